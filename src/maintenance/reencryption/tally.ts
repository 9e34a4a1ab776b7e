import { keyName, type KeyMeta } from '../../records/ids.ts';

/** How many records name one Intermediate Key. */
interface KeyCount {
  readonly id: string;
  readonly created: number;
  readonly records: number;
}

/** The counts of a run, as JSON. */
export interface Counts {
  /** The number of rows that have at least one of the fields. */
  readonly rows: number;
  /** The number of rows that were written. In a dry run, the number that would be written. */
  readonly written: number;
  /** The number of rows that needed no change. */
  readonly unchanged: number;
  /** The number of rows that could not be processed. */
  readonly quarantined: number;
  /** The number of rows that have none of the fields, or that another writer removed meanwhile. */
  readonly skipped: number;
  /** The number of records in the rows after the run. */
  readonly records: number;
  /** The number of quarantined rows with a field that cannot be read as a record, so that its key is unknown. */
  readonly malformed: number;
  /** How many records are left under each Intermediate Key. */
  readonly keys: readonly KeyCount[];
}

/** The outcome for a row. */
export type RowOutcome = 'written' | 'unchanged' | 'quarantined' | 'skipped';

/** Counts rows, and the records under each key. */
export class Tally {
  readonly #rows: Record<RowOutcome, number> = { written: 0, unchanged: 0, quarantined: 0, skipped: 0 };
  readonly #keys = new Map<string, { readonly id: string; readonly created: number; records: number }>();
  #malformed = 0;

  /** @param counts the counts of the earlier run that this run continues */
  constructor(counts?: Counts) {
    if (counts === undefined) return;
    const { written, unchanged, quarantined, skipped, malformed, keys } = counts;
    this.#rows = { written, unchanged, quarantined, skipped };
    this.#malformed = malformed;
    for (const key of keys) this.#keys.set(keyName(key as KeyCount & KeyMeta), { ...key });
  }

  /** @param keys the keys of the row's records after the run. Undefined if a record cannot be parsed. */
  count(outcome: RowOutcome, keys: readonly KeyMeta[] | undefined): void {
    this.#rows[outcome] += 1;
    if (keys === undefined) this.#malformed += 1;
    for (const { id, created } of keys ?? []) {
      const name = keyName({ id, created });
      const known = this.#keys.get(name);
      if (known === undefined) this.#keys.set(name, { id, created, records: 1 });
      else known.records += 1;
    }
  }

  counts(): Counts {
    const { written, unchanged, quarantined, skipped } = this.#rows;
    const keys = Array.from(this.#keys.values(), ({ id, created, records }) => ({ id, created, records }));
    const total = keys.reduce((sum, key) => sum + key.records, 0);
    const rows = written + unchanged + quarantined;
    return { rows, written, unchanged, quarantined, skipped, records: total, malformed: this.#malformed, keys };
  }
}
