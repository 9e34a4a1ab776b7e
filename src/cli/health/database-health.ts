import { KeyfoldError } from '../../errors.ts';
import type { KeyTable } from '../../maintenance/key-table.ts';
import { fault, ok } from './check.ts';
import type { TableHealth } from './table-health.ts';

/** Checks that an SQL database responds, and that its key table has the columns that Keyfold reads. */
export async function checkDatabase(table: KeyTable, systemKeyId: string): Promise<TableHealth> {
  const { table: name, region } = await table.place();
  try {
    await table.list(systemKeyId);
    return { checks: [ok('table', `${name} in ${region}`)], answers: true };
  } catch (error) {
    if (!(error instanceof KeyfoldError)) throw error;
    const says = error.cause instanceof Error ? error.cause.message : error.message;
    return {
      checks: [fault('table', says, 'docs/how-to/use-postgresql-or-mysql.md#deadlines-and-faults')],
      answers: false,
    };
  }
}
