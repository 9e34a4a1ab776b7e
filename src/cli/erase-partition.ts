import type { OperatorConfig } from '../config/operator-config.ts';
import { errorNameOf, invalidConfiguration, KeyfoldError } from '../errors.ts';
import type { Erasure } from '../envelope/ports.ts';
import type { ErasureTables, KeyCopy } from '../maintenance/erasure-table.ts';
import { PartitionErasure, type ErasureState, type StepOptions } from '../maintenance/partition-erasure.ts';
import { auditFailure, openAudit, type EraseOutcome } from './audit.ts';
import { EXIT, type CliDependencies } from './dependencies.ts';
import { erasurePlan, erasureStatus, type EraseStep } from './erasure-view.ts';
import { interruptible } from './interrupt.ts';
import { progressOf } from './progress.ts';
import { clockFaultOf } from './table-clock.ts';
import { isoOf, jsonLines } from './text.ts';

/** Arguments and options of `partitions erase`. */
export interface EraseRequest {
  readonly partition: string;
  readonly step: EraseStep;
  /** The time between marking the rows and deleting them, in seconds. */
  readonly waitSeconds: number;
  readonly dryRun: boolean;
  /** The name of the partition, to confirm the command without a terminal. */
  readonly confirm: string | undefined;
  /** Whether `finish` also deletes unmarked rows, without asking the operator. */
  readonly deleteUnmarked: boolean;
  readonly reason: string | undefined;
  readonly auditFile: string | undefined;
  readonly json: boolean;
}

interface EraseResult {
  readonly outcome: EraseOutcome;
  readonly says: string;
  readonly erasure?: Erasure | undefined;
}

interface Run {
  readonly request: EraseRequest;
  readonly config: OperatorConfig;
  readonly dependencies: CliDependencies;
  readonly tables: ErasureTables;
  readonly erasure: PartitionErasure;
  readonly record: (outcome: EraseOutcome, of: Erasure | undefined, rows: number) => Promise<void>;
}

const SUCCESSES: ReadonlySet<EraseOutcome> = new Set(['begun', 'cancelled', 'deleted', 'would-write']);

/**
 * Runs `partitions erase`. Every step that changes the table shows what it will do, and asks the operator for the name
 * of the partition. It writes to the audit log before and after it changes the table.
 * @returns the exit code: a failure if nothing was done, or if rows are left
 * @throws KeyfoldError `InvalidConfiguration` if the settings do not name the service or its KMS, `InvalidRequest` if
 * the partition is invalid or the reason is missing, or an error of KMS or of the table
 */
export async function erasePartition(
  request: EraseRequest,
  config: OperatorConfig,
  dependencies: CliDependencies,
): Promise<number> {
  const { names, policy } = config;
  if (names === undefined) throw invalidConfiguration(['set KEYFOLD_SERVICE and KEYFOLD_PRODUCT to erase a partition']);
  const { now, terminal, caller } = dependencies;
  const tables = dependencies.openErasureTables(config.metastore, names);
  const kms = await dependencies.openKms(config.kms);
  const erasure = new PartitionErasure({ names, partition: request.partition, tables, kms, policy, now });
  if (request.step === 'status') return showStatus({ request, config, dependencies, tables, erasure });
  if (request.step === 'begin' && !request.reason) {
    throw new KeyfoldError('InvalidRequest', 'An erasure needs a --reason for the audit.');
  }
  const audit = await openAudit(request.auditFile, terminal);
  const place = await dependencies.openTable(config.metastore).place();
  const record: Run['record'] = (outcome, of, rows) => {
    const { step, reason = null, dryRun } = request;
    const { partition } = erasure;
    const time = new Date(now()).toISOString();
    const which = { partition, step, erase: of?.erase ?? null, due: of?.due ?? null, rows };
    return audit({ time, action: 'partitions erase', ...which, reason, ...place, caller, dryRun, outcome });
  };
  const { outcome, says, erasure: of } = await attempt({ request, config, dependencies, tables, erasure, record });
  const failed = !SUCCESSES.has(outcome);
  if (request.json) {
    const { step, dryRun } = request;
    terminal.out(jsonLines({ partition: erasure.partition, step, dryRun, outcome, says, ...of }));
  } else if (failed) terminal.err(`keyfold: ${says}`);
  else terminal.out(says);
  return failed ? EXIT.failed : EXIT.ok;
}

async function attempt(run: Run): Promise<EraseResult> {
  const { request, config, dependencies, tables, erasure, record } = run;
  const { terminal, now } = dependencies;
  const state = await erasure.read();
  const datesRows = request.step === 'begin' || request.step === 'finish';
  const clockFault = datesRows ? await clockFaultOf(tables, now) : undefined;
  const refusal = clockFault ?? refusalOf(request, state, now());
  if (refusal !== undefined) {
    await record('refused', state.erasure, state.rows.length);
    return { outcome: 'refused', says: refusal };
  }
  const copies = request.step === 'cancel' ? [] : await readCopies(tables, state, now() / 1000);
  const due = state.erasure?.due ?? Math.floor(now() / 1000) + request.waitSeconds;
  const facts = { copies, policy: config.policy };
  // With --json, standard output must contain only the JSON of the outcome.
  const say = (line: string): void => (request.json ? terminal.err(line) : terminal.out(line));
  for (const line of erasurePlan(erasure.partition, request.step, due, state, facts, now())) say(line);
  if (request.dryRun) {
    await record('would-write', state.erasure, state.rows.length);
    return { outcome: 'would-write', says: 'Dry run: nothing was written.', erasure: state.erasure };
  }
  if (!(await isConfirmed(request, dependencies))) {
    await record('declined', state.erasure, state.rows.length);
    return { outcome: 'declined', says: 'not confirmed: nothing was written' };
  }
  // Ask before the first write, because the audit line depends on the answer.
  const unmarked = request.step === 'finish' && (await includesUnmarked(request, state, dependencies));
  return interruptible(dependencies, async (signal) => {
    // Write to the audit log first, so that even after a crash every erased partition has an audit line.
    const progress = progressOf('rows', dependencies, state.rows.length);
    await record('attempting', state.erasure, state.rows.length);
    let result: StepResult;
    try {
      result = await doStep(run, state, unmarked, { signal, advanced: () => progress.advance() });
    } catch (error) {
      terminal.err('The step has not ended. Run it again to continue it, or see --status.');
      await auditFailure(error, () => record('failed', state.erasure, state.rows.length));
      throw error;
    } finally {
      progress.end();
    }
    await record(result.outcome, result.erasure, result.rows);
    return result;
  });
}

interface StepResult extends EraseResult {
  /** The number of the partition's key rows after the step. */
  readonly rows: number;
}

async function doStep(
  { request, erasure }: Run,
  state: ErasureState,
  unmarked: boolean,
  options: StepOptions,
): Promise<StepResult> {
  const { erasure: known, rows } = state;
  if (request.step === 'begin') {
    const begun = await erasure.begin(state, request.waitSeconds, options);
    const after = await erasure.read();
    const missing = after.rows.filter(({ marked }) => !marked).length;
    const left = missing === 0 ? '' : ` ${missing} rows could not be marked: --finish asks about them.`;
    const says = `Marked ${after.rows.length - missing} rows. --finish may delete them from ${isoOf(begun.due) ?? '?'}.${left}`;
    return { outcome: 'begun', says, erasure: begun, rows: after.rows.length };
  }
  if (request.step === 'cancel') {
    await erasure.cancel(state, options);
    const says = 'Cancelled. The old keys open records again, but stay revoked. The next encrypt makes a new key.';
    return { outcome: 'cancelled', says, erasure: known, rows: rows.length };
  }
  const after = await erasure.finish(state, known as Erasure, unmarked, options);
  const count = after.rows.length;
  if (count === 0) {
    const says = 'Deleted. The tombstones stay. --status lists the copies that still hold the keys.';
    return { outcome: 'deleted', says, erasure: known, rows: 0 };
  }
  const without = after.rows.filter(({ marked }) => !marked).length;
  const says = `${count} rows are left, of which ${without} have no mark: run --finish again`;
  return { outcome: 'incomplete', says, erasure: known, rows: count };
}

/** Returns why a step is not possible now. Returns undefined if it is possible. */
function refusalOf({ step }: EraseRequest, { erasure, rows }: ErasureState, nowMs: number): string | undefined {
  if (step === 'begin') {
    return rows.length === 0 && erasure === undefined ? 'the partition has no key rows' : undefined;
  }
  if (erasure === undefined) return 'no erasure of this partition is under way';
  if (step === 'cancel') {
    return rows.length === 0 ? 'the key rows are deleted: there is nothing left to bring back' : undefined;
  }
  return erasure.due * 1000 > nowMs ? `the rows may be deleted from ${isoOf(erasure.due) ?? '?'}` : undefined;
}

async function isConfirmed(
  { partition, step, confirm }: EraseRequest,
  { terminal }: CliDependencies,
): Promise<boolean> {
  if (confirm !== undefined) return confirm === partition;
  if (terminal.ask === undefined) return false;
  const what = {
    begin: 'erase its keys',
    cancel: 'cancel the erasure',
    finish: 'delete its keys for good',
    status: '',
  };
  return (await terminal.ask(`Type the name of the partition to ${what[step]}: `)) === partition;
}

/** Whether to delete unmarked rows, too. These rows were made after the others were marked, or marking them failed. */
async function includesUnmarked(
  { deleteUnmarked }: EraseRequest,
  { rows }: ErasureState,
  { terminal }: CliDependencies,
): Promise<boolean> {
  const count = rows.filter(({ marked }) => !marked).length;
  if (count === 0 || deleteUnmarked) return true;
  if (terminal.ask === undefined) return false;
  return (await terminal.ask(`Type yes to delete also the ${count} rows without a mark: `)).trim() === 'yes';
}

async function showStatus({ request, config, dependencies, tables, erasure }: Omit<Run, 'record'>): Promise<number> {
  const { terminal, now } = dependencies;
  const state = await erasure.read();
  const entry = await erasure.registered(state.erasure);
  const replicas = await erasure.replicas(state);
  const copies = state.erasure === undefined ? [] : await readCopies(tables, state, entry?.deletedAt ?? now() / 1000);
  const status = erasureStatus(state, { replicas, copies, deletedAt: entry?.deletedAt, policy: config.policy }, now());
  if (request.json) terminal.out(jsonLines({ partition: erasure.partition, ...status.view }));
  else for (const line of status.lines) terminal.out(line);
  return EXIT.ok;
}

/**
 * Lists the copies of every replica, such as backups. If the copies of a replica cannot be listed, the result contains
 * an entry that says so.
 */
async function readCopies(tables: ErasureTables, { regions }: ErasureState, existedAt: number): Promise<KeyCopy[]> {
  const lists = regions.map((region) =>
    tables.copies(region, Math.floor(existedAt)).catch((error: unknown) => {
      if (!(error instanceof KeyfoldError)) throw error;
      const cause = error.cause instanceof Error ? error.cause.message : errorNameOf(error);
      return [{ kind: 'unknown' as const, region, text: `the copies cannot be listed: ${cause}` }];
    }),
  );
  return (await Promise.all(lists)).flat();
}
