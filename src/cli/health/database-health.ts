import { KeyfoldError } from '../../errors.ts';
import { faultText } from '../../connections/call-fault.ts';
import type { Outcome } from '../../connections/inspected-calls.ts';
import type { DatabaseInspection } from '../../maintenance/inspection.ts';
import type { KeyTable } from '../../maintenance/key-table.ts';
import { fault, ok, skip, warn, type HealthCheck } from './check.ts';
import type { TableHealth } from './table-health.ts';

export const DATABASE_PAGE = 'docs/how-to/use-postgresql-or-mysql.md';

/** What an operator should do after an error, by the error code of the database or of the system. */
const FIXES: readonly (readonly [code: RegExp, fix: string])[] = [
  [/^28|^ER_ACCESS_DENIED/, 'correct the user or the password in KEYFOLD_METASTORE_URL'],
  [/^3D000$|^ER_BAD_DB_ERROR$|^ER_DBACCESS_DENIED_ERROR$/, 'correct the database in KEYFOLD_METASTORE_URL'],
  [/^42P01$|^42703$|^ER_NO_SUCH_TABLE$|^ER_BAD_FIELD_ERROR$/, `create the table: ${DATABASE_PAGE}#the-table`],
  [/^42501$|^ER_TABLEACCESS_DENIED_ERROR$/, `grant SELECT on encryption_key: ${DATABASE_PAGE}#rights`],
  [/^NoTls$/, 'let the server speak TLS, or require none: correct sslmode in KEYFOLD_METASTORE_URL, or PGSSLMODE'],
  [/^ENOENT$|^EACCES$/, 'correct the file or the socket that KEYFOLD_METASTORE_URL names'],
  [/^E[A-Z]+$/, 'check the route to the database, and the host and port in KEYFOLD_METASTORE_URL'],
];

const HIDDEN_ROWS = warn(
  'table',
  'row-level security applies to this user, so keys may look absent',
  'ALTER TABLE encryption_key DISABLE ROW LEVEL SECURITY, or give each user of the table BYPASSRLS',
);

/** The health of the table, and the difference between the clocks of the database and of this machine. */
export interface DatabaseHealth extends TableHealth {
  /** Undefined if the database did not respond. */
  readonly clockOffsetMs?: number;
}

/**
 * Checks that an SQL database responds and accepts writes, and that its key table has the columns and the primary key
 * that Keyfold needs.
 */
export async function checkDatabase(
  table: KeyTable,
  inspect: () => Promise<Outcome<DatabaseInspection>>,
  systemKeyId: string,
): Promise<DatabaseHealth> {
  const { table: name, region } = await table.place();
  try {
    await table.list(systemKeyId);
  } catch (error) {
    if (!(error instanceof KeyfoldError)) throw error;
    const says = error.cause instanceof Error ? error.cause.message : error.message;
    return { checks: [fault('table', says, fixOf(says))], answers: false, holdsRows: false };
  }
  const answers = ok('table', `${name} in ${region}`);
  const outcome = await inspect();
  if ('fault' in outcome) {
    const says = `could not look: ${faultText(outcome.fault)}`;
    const checks = [answers, skip('table primary key', says), skip('table writes', says)];
    return { checks, answers: true, holdsRows: false };
  }
  const { answer } = outcome;
  const checks = [answer.mayHideRows ? HIDDEN_ROWS : answers, primaryKeyOf(answer), writesOf(answer)];
  return { checks, answers: true, holdsRows: answer.holdsRows, clockOffsetMs: answer.clockOffsetMs };
}

/** The code of the error is the last word of its message. */
function fixOf(says: string): string {
  const code = says.slice(says.lastIndexOf(' ') + 1);
  return FIXES.find(([codes]) => codes.test(code))?.[1] ?? `${DATABASE_PAGE}#deadlines-and-faults`;
}

function primaryKeyOf({ hasPrimaryKey }: DatabaseInspection): HealthCheck {
  const check = 'table primary key';
  if (hasPrimaryKey) return ok(check, 'id, created');
  const says = 'no unique index covers id and created, so two processes can store two keys under one name';
  return fault(check, says, 'ALTER TABLE encryption_key ADD PRIMARY KEY (id, created)');
}

function writesOf({ isReadOnly, isUnsafe, canInsert, isTooNarrow }: DatabaseInspection): HealthCheck {
  const check = 'table writes';
  if (isReadOnly) {
    const fix = 'name the primary server in KEYFOLD_METASTORE_URL, and in the pool of each process';
    return fault(check, 'the server is read-only, as a replica is', fix);
  }
  if (isTooNarrow) {
    const says = 'created must be a TIMESTAMP, and key_record a TEXT: otherwise new keys fail or cannot be read again';
    return fault(check, says, `change the type of the column before the next encrypt: ${DATABASE_PAGE}#the-table`);
  }
  if (!canInsert) {
    const fix = `GRANT INSERT ON encryption_key, if the service connects as this user: ${DATABASE_PAGE}#rights`;
    return warn(check, 'this user cannot insert rows, so it cannot make the next key', fix);
  }
  if (!isUnsafe) return ok(check, 'the server accepts them');
  const fix = `SET GLOBAL autocommit = 1, and add STRICT_TRANS_TABLES to sql_mode: ${DATABASE_PAGE}#deadlines-and-faults`;
  return fault(check, 'Keyfold refuses to write without autocommit and a strict sql_mode', fix);
}
