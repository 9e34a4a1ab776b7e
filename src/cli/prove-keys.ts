import type { OperatorConfig } from '../config/operator-config.ts';
import { invalidConfiguration, KeyfoldError } from '../errors.ts';
import type { EnvelopeKeyRecord } from '../envelope/ports.ts';
import { mayBeSameTable } from '../metastore/table-name.ts';
import { KeyNaming } from '../records/ids.ts';
import { checkRows, type RowCheck } from '../maintenance/row-checks.ts';
import { auditFailure, openAudit, type Audit, type ProveOutcome } from './audit.ts';
import { openTableOf } from './one-key.ts';
import { interruptible } from './interrupt.ts';
import { progressOf } from './progress.ts';
import { formatTable, jsonLines } from './text.ts';
import { EXIT, type CliDependencies } from './dependencies.ts';

/** Options of `keys prove`. */
export interface ProveRequest {
  /**
   * The name of a table that an operator restored from a backup. A row gets a proof only if that table contains an
   * identical row.
   */
  readonly against: string | undefined;
  readonly region: string | undefined;
  readonly dryRun: boolean;
  /** Adds the proofs without asking the operator. */
  readonly yes: boolean;
  readonly reason: string | undefined;
  readonly auditFile: string | undefined;
  readonly json: boolean;
}

/** One row as `--json` prints it. */
interface RowView {
  readonly id: string;
  readonly created: number | null;
  readonly outcome: 'proven' | 'would-prove' | 'added' | 'changed' | 'refused';
  readonly why?: string;
}

/**
 * Runs `keys prove`. It opens every key of the service, shows which rows would get a proof, and asks for confirmation.
 * Then it writes the proofs one by one, each in the region of its row. It never changes a row that has a proof.
 * @returns the exit code: a failure if the command refuses a row, if a row changed meanwhile, or if the operator
 * declines
 * @throws KeyfoldError `InvalidConfiguration` if the settings do not name the service or its KMS
 * @throws the errors of KMS and of the table
 */
export async function proveKeys(
  request: ProveRequest,
  config: OperatorConfig,
  dependencies: CliDependencies,
): Promise<number> {
  const { names, policy, metastore } = config;
  if (names === undefined) throw invalidConfiguration(['set KEYFOLD_SERVICE and KEYFOLD_PRODUCT to prove its keys']);
  const { now, terminal } = dependencies;
  const { against } = request;
  // The name is empty if it comes from a shell variable that is not set. An empty name must not turn off the
  // comparison.
  const isKeyTable = async (table: string): Promise<boolean> =>
    mayBeSameTable(table, (await dependencies.openTable(metastore).place()).table);
  if (against !== undefined && (against === '' || (await isKeyTable(against))))
    throw new KeyfoldError(
      'InvalidRequest',
      '--against must name a table that was restored from a backup, and not the key table.',
    );
  const kms = await dependencies.openKms(config.kms);
  const rows = await dependencies.openTable(metastore).list();
  const backup =
    against === undefined ? undefined : await dependencies.openTable({ ...metastore, tableName: against }).list();
  const checks = await checkRows(rows, { naming: new KeyNaming(names), kms, policy, now, ...(backup && { backup }) });
  const provable = checks.filter(({ state }) => state === 'provable');
  if (!request.json) for (const line of planOf(checks)) terminal.out(line);
  if (request.dryRun || provable.length === 0) return finish(request, checks.map(viewOf), dependencies);
  if (!request.yes && !(await isConfirmed(provable.length, dependencies))) {
    terminal.err('keyfold: not confirmed: nothing was written; --yes goes ahead');
    return EXIT.failed;
  }
  const audit = await openAudit(request.auditFile, terminal);
  const views: RowView[] = [];
  const progress = progressOf('rows', dependencies, checks.length);
  try {
    await interruptible(dependencies, async (signal) => {
      for (const check of checks) {
        signal.throwIfAborted();
        views.push(await proveRow(check, audit, request, config, dependencies));
        progress.advance();
      }
    }).finally(() => progress.end());
  } catch (error) {
    finish(request, views, dependencies);
    throw error;
  }
  return finish(request, views, dependencies);
}

/** Writes the proof of a row, if the row can get one. */
async function proveRow(
  check: RowCheck,
  audit: Audit,
  request: ProveRequest,
  config: OperatorConfig,
  dependencies: CliDependencies,
): Promise<RowView> {
  const { now, caller } = dependencies;
  const { proof } = check;
  if (proof === undefined) return viewOf(check);
  const row = check.row as EnvelopeKeyRecord;
  const { id, created } = row;
  const table = openTableOf({ id, created, region: request.region }, config, dependencies);
  const place = await table.place();
  const record = (outcome: ProveOutcome): Promise<void> => {
    const { reason = null, dryRun } = request;
    const time = new Date(now()).toISOString();
    return audit({ time, action: 'keys prove', id, created, reason, ...place, caller, dryRun, outcome });
  };
  await record('attempting');
  const outcome = await table.prove(row, proof).catch(async (error: unknown) => {
    await auditFailure(error, () => record('failed'));
    throw error;
  });
  await record(outcome);
  return { id, created, outcome: outcome === 'proven' ? 'added' : 'changed' };
}

async function isConfirmed(count: number, { terminal }: CliDependencies): Promise<boolean> {
  if (terminal.ask === undefined) return false;
  return (await terminal.ask(`Type yes to add ${count} ${count === 1 ? 'proof' : 'proofs'}: `)).trim() === 'yes';
}

function viewOf({ row, state, why }: RowCheck): RowView {
  const view = {
    id: row.id,
    created: row.created ?? null,
    outcome: state === 'provable' ? 'would-prove' : state,
  } as const;
  return why === undefined ? view : { ...view, why };
}

/** Yields the rows without a proof, the rows that the command refuses, and a summary. */
function* planOf(checks: readonly RowCheck[]): Iterable<string> {
  const shown = checks.filter(({ state }) => state !== 'proven');
  const cells = shown.map(({ row, state, why }) => [row.id, String(row.created ?? '?'), state, why ?? '']);
  if (cells.length > 0) yield* formatTable(['ID', 'CREATED', 'STATE', 'WHY'], cells);
  const count = (wanted: RowCheck['state']): number => checks.filter(({ state }) => state === wanted).length;
  yield `${count('proven')} rows are proven, ${count('provable')} can be, ${count('refused')} are refused.`;
}

function finish({ json, dryRun }: ProveRequest, views: readonly RowView[], { terminal }: CliDependencies): number {
  const count = (...wanted: RowView['outcome'][]): number =>
    views.filter(({ outcome }) => wanted.includes(outcome)).length;
  if (json) {
    terminal.out(jsonLines(views));
  } else if (dryRun) {
    terminal.out('Dry run: nothing was written.');
  } else {
    const again = count('changed') > 0 ? ` ${count('changed')} rows changed meanwhile: run the command again.` : '';
    terminal.out(`Added ${count('added')} proofs.${again}`);
  }
  return count('refused', 'changed') > 0 ? EXIT.failed : EXIT.ok;
}
