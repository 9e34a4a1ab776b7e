import type { DynamoDbMetastoreOptions } from '../metastore/dynamodb-options.ts';
import type { RowTransfer, TransferredRow } from '../maintenance/row-transfer.ts';
import { auditFailure, openAudit, type TransferOutcome } from './audit.ts';
import { EXIT, type CliDependencies } from './dependencies.ts';
import { interruptible } from './interrupt.ts';
import { progressOf } from './progress.ts';
import { formatFields, formatRow, printableJson } from './text.ts';
import type { AuditedRequest } from './write-audit.ts';

/** Options of `table import` and `table copy`. */
export interface TransferRequest extends AuditedRequest {
  readonly action: 'table import' | 'table copy';
  /** Adds the rows without asking the operator. */
  readonly yes: boolean;
  readonly json: boolean;
}

type Outcome = TransferredRow['outcome'];
/** The number of source rows with each outcome. */
type Counts = Record<Outcome, number>;

/**
 * Runs `table import` or `table copy`. It compares the source with the table, asks for confirmation, adds the rows that
 * are missing, and compares again. A run that was interrupted can be repeated.
 * @param target the key table to which the command adds the rows
 * @returns the exit code: a failure if a row of the source is not in the table afterwards, or if the operator declines
 * @throws KeyfoldError `MetastoreUnavailable` if the source or the table fails
 */
export async function transferRows(
  request: TransferRequest,
  transfer: RowTransfer,
  target: DynamoDbMetastoreOptions,
  dependencies: CliDependencies,
): Promise<number> {
  const { terminal, now, caller } = dependencies;
  const { action, reason = null, dryRun } = request;
  const place = await dependencies.openTable(target).place();
  const from = await transfer.from();
  if (dryRun) return finish(request, transfer, dependencies);
  const before = await survey(transfer.compare(), dependencies);
  const plan = `${sumOf(before)} rows of ${from}, of which ${before.missing} are missing in ${place.table} in ${place.region}`;
  if (before.missing === 0) return finish(request, transfer, dependencies);
  // With --json, standard output must contain only JSON.
  if (request.json) terminal.err(`${plan}.`);
  else terminal.out(`${plan}.`);
  if (!request.yes && !(await isConfirmed(before.missing, dependencies))) {
    terminal.err('keyfold: not confirmed: nothing was written; --yes goes ahead');
    return EXIT.failed;
  }
  const audit = await openAudit(request.auditFile, terminal);
  const record = (outcome: TransferOutcome, missing: number, added: number): Promise<void> => {
    const time = new Date(now()).toISOString();
    return audit({ time, action, from, reason, ...place, caller, dryRun, missing, added, outcome });
  };
  await interruptible(dependencies, async (signal) => {
    await record('attempting', before.missing, 0);
    const counts = noRows();
    try {
      await survey(transfer.add(signal), dependencies, { counts, total: sumOf(before) });
    } catch (error) {
      terminal.err(`Added ${counts.added} of ${before.missing} missing rows.`);
      await auditFailure(error, () => record('failed', before.missing - counts.added, counts.added));
      throw error;
    }
    await record('transferred', counts.missing, counts.added);
  });
  return finish(request, transfer, dependencies);
}

/** Compares the tables a last time, and prints each row that needs the operator's attention. */
async function finish(
  { json, dryRun }: TransferRequest,
  transfer: RowTransfer,
  dependencies: CliDependencies,
): Promise<number> {
  const { terminal } = dependencies;
  const show = (row: TransferredRow): void => {
    const { id, created, rawCreated, outcome, why = '' } = row;
    if (json) terminal.out(printableJson({ ...row, created: created ?? null }));
    else terminal.out(formatRow([outcome, id, String(created ?? rawCreated ?? '?'), why], [10, 0, 0, 0]), 'red');
  };
  const counts = await survey(transfer.compare(), dependencies, { show });
  const { same, missing, differs, erased, unreadable } = counts;
  const report = { rows: sumOf(counts), same, missing, differs, erased, unreadable };
  if (json) terminal.out(printableJson({ dryRun, ...report }));
  else terminal.out(formatFields(Object.entries(report).map(([name, count]) => [name, String(count)])));
  return same === report.rows || (dryRun && same + missing === report.rows) ? EXIT.ok : EXIT.failed;
}

interface SurveyOptions {
  /** Receives the counts, even if the survey fails. */
  readonly counts?: Counts;
  readonly total?: number;
  /** Called with each row that cannot be added. */
  readonly show?: (row: TransferredRow) => void;
}

/** Counts a transfer's rows by outcome. */
async function survey(
  rows: AsyncIterable<TransferredRow>,
  dependencies: CliDependencies,
  { counts = noRows(), total, show }: SurveyOptions = {},
): Promise<Counts> {
  const progress = progressOf('rows', dependencies, total);
  try {
    for await (const row of rows) {
      counts[row.outcome] += 1;
      if (row.outcome === 'differs' || row.outcome === 'erased' || row.outcome === 'unreadable') show?.(row);
      progress.advance();
    }
  } finally {
    progress.end();
  }
  return counts;
}

function noRows(): Counts {
  return { same: 0, missing: 0, added: 0, differs: 0, erased: 0, unreadable: 0 };
}

function sumOf(counts: Counts): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

async function isConfirmed(count: number, { terminal }: CliDependencies): Promise<boolean> {
  if (terminal.ask === undefined) return false;
  return (await terminal.ask(`Type yes to add ${count} ${count === 1 ? 'row' : 'rows'}: `)).trim() === 'yes';
}
