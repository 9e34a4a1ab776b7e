import { timeAhead, type Clock } from '../../async/clock.ts';
import { KeyfoldError, type ErrorCode } from '../../errors.ts';
import { allEnded } from '../../operations/operation.ts';
import { Pace } from './pace.ts';
import { retried } from './retries.ts';
import type { Position, Row, RowSource } from './rows.ts';
import { Tally, type Counts } from './tally.ts';
import { keysOf, type Verbs } from './verbs.ts';

/** The position where a run stopped, and its counts so far. A checkpoint is JSON. */
export interface Checkpoint {
  readonly position: Position;
  readonly counts: Counts;
  /** The fields that at least one row has had so far. */
  readonly fields?: readonly string[];
}

/** A row that could not be processed. */
export interface QuarantinedRow {
  readonly row: string;
  /** An error's code, or `ChangedTooOften` if other writers changed the row before each attempt to write it. */
  readonly code: ErrorCode | 'ChangedTooOften';
}

/** The source of a run, what the run does with each row, its limits and its callbacks. */
export interface ReencryptionOptions {
  readonly source: RowSource;
  readonly verbs: Pick<Verbs, 'apply'>;
  /**
   * Stores a row that could not be processed. Once the promise has resolved, the stored row must survive even if the
   * process is killed.
   */
  readonly quarantine: (row: QuarantinedRow) => Promise<void>;
  /**
   * Called about every two seconds, and when the run stops at its time limit. Undefined if no run will continue from a
   * checkpoint.
   */
  readonly save: ((checkpoint: Checkpoint) => Promise<void>) | undefined;
  /** Called with the number of finished rows. */
  readonly advanced?: (rows: number) => void;
  /** Whether the run writes nothing. */
  readonly dryRun?: boolean;
  /** The highest number of rows per second. Undefined for no limit. */
  readonly rate?: number | undefined;
  /** If this signal aborts, the run finishes the rows in progress and throws the reason. */
  readonly signal?: AbortSignal;
  readonly now: Clock;
}

/** How many rows are processed at the same time. The number is high, because a row mostly waits for the source. */
const CONCURRENCY = 64;
const SAVE_INTERVAL_MS = 2000;
/** How many times a row is read again if another writer has changed it. */
const MAX_REREADS = 100;

/** Re-encrypts the rows of a source. Meanwhile, other programs and other runs may write to the rows. */
export class Reencryption {
  readonly #options: ReencryptionOptions;
  readonly #pace: Pace | undefined;
  /** The fields that at least one row has had so far, including the rows before the checkpoint. */
  readonly fields = new Set<string>();
  #tally = new Tally();
  #hasAwaitedKey = false;
  /** Whether not to retry. Only the first rows wait for an invisible key, because someone may have invented many. */
  readonly #isFinal = (error: unknown): boolean =>
    this.#hasAwaitedKey && error instanceof KeyfoldError && error.code === 'KeyNotYetVisible';

  constructor(options: ReencryptionOptions) {
    const { rate, now } = options;
    this.#options = options;
    this.#pace = rate === undefined ? undefined : new Pace(rate, now);
  }

  /**
   * Re-encrypts all rows, beginning at a checkpoint.
   * @param from where an earlier run stopped. If undefined, the run begins with the first row.
   * @param runMs the time limit in milliseconds. When it is over, the run finishes the page in progress and stops.
   * @returns the counts, and the position to resume from. The position is undefined if all rows are done.
   * @throws KeyfoldError the error of KMS or of the metastore if it persists, because it does not concern a single row
   * @throws SourceFault if the source fails for about half a minute, or refuses the calls
   */
  async run(
    from?: Checkpoint,
    runMs = Number.POSITIVE_INFINITY,
  ): Promise<{ readonly counts: Counts; readonly position: Position | undefined }> {
    const { source, save, now, signal } = this.#options;
    const tally = new Tally(from?.counts);
    this.#tally = tally;
    for (const field of from?.fields ?? []) this.fields.add(field);
    const endsAtMs = timeAhead(runMs, now);
    let savedMs = now();
    for await (const rows of source.pages(from?.position, signal)) {
      for (const { cells } of rows) for (const field of cells.keys()) this.fields.add(field);
      await this.#page(rows, tally);
      const nowMs = now();
      // Use the absolute value of the time since the last save, because a clock may be set back.
      const isOver = nowMs >= endsAtMs();
      if (!isOver && Math.abs(nowMs - savedMs) < SAVE_INTERVAL_MS) continue;
      if (save === undefined && !isOver) continue;
      const position = await source.position();
      await save?.({ position, counts: tally.counts(), fields: [...this.fields] });
      savedMs = nowMs;
      if (isOver) return { counts: tally.counts(), position };
    }
    return { counts: tally.counts(), position: undefined };
  }

  /** The counts so far. They are available even after the run has failed. */
  counts(): Counts {
    return this.#tally.counts();
  }

  async #page(rows: readonly Row[], tally: Tally): Promise<void> {
    const remaining = rows.values();
    let hasFailed = false;
    const lane = async (): Promise<void> => {
      for (const row of remaining) {
        if (hasFailed) return;
        await this.#pace?.spend(1, this.#options.signal);
        this.#options.signal?.throwIfAborted();
        await this.#row(row, tally);
        this.#options.advanced?.(1);
      }
    };
    const failing = (error: unknown): never => {
      hasFailed = true;
      throw error;
    };
    // Wait for all concurrent loops, so that no row is written after the run has ended.
    await allEnded(Array.from({ length: Math.min(CONCURRENCY, rows.length) }, () => lane().catch(failing)));
  }

  async #row(given: Row, tally: Tally): Promise<void> {
    const { source, verbs, dryRun = false, signal } = this.#options;
    let row: Row | undefined = given;
    for (let reads = 0; row !== undefined && row.cells.size > 0; reads += 1) {
      const current: Row = row;
      try {
        const { cells, keys } = await retried(() => verbs.apply(current), signal, this.#isFinal);
        const replaced =
          cells.size === 0 || dryRun ? 'written' : await retried(() => source.replace(current, cells), signal);
        if (replaced === 'written') {
          tally.count(cells.size === 0 ? 'unchanged' : 'written', dryRun ? keysOf(current) : keys);
          return;
        }
      } catch (error) {
        if (!(error instanceof KeyfoldError)) throw error;
        this.#hasAwaitedKey ||= error.code === 'KeyNotYetVisible';
        // Name the row in the error, because this row may be the only one whose KMS key is disabled or deleted.
        if (error.code === 'KmsMisconfigured')
          throw new KeyfoldError(error.code, `Row ${current.id}: ${error.message}`, { cause: error.cause });
        if (isOfTheRun(error)) throw error;
        await this.#quarantine(current, error.code, tally);
        return;
      }
      // If execution gets here, another writer changed the row before this write.
      if (reads === MAX_REREADS) {
        await this.#quarantine(current, 'ChangedTooOften', tally);
        return;
      }
      row = await retried(() => source.reread(current), signal);
    }
    tally.count('skipped', []);
  }

  async #quarantine(row: Row, code: QuarantinedRow['code'], tally: Tally): Promise<void> {
    const { quarantine, signal } = this.#options;
    await retried(() => quarantine({ row: row.id, code }), signal);
    tally.count('quarantined', keysOf(row, code === 'InvalidRequest'));
  }
}

/**
 * Whether an error stops the run, because it would also affect other rows. `KeyNotYetVisible` is retryable, but affects
 * only the rows that name one key. Someone who can write a row can invent such a key.
 */
function isOfTheRun({ code, retryable }: KeyfoldError): boolean {
  return (retryable && code !== 'KeyNotYetVisible') || code === 'InvalidConfiguration';
}
