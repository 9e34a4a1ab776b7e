import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import type { Clock } from '../../../src/index.ts';

/** A row in DynamoDB's JSON format. */
export type Item = Record<string, AttributeValue>;

/** One of the two replicated tables. */
export interface Replica {
  /** Reads the row that has the same primary key as `item`. */
  read(item: Item): Promise<Item | undefined>;
  /** Writes a whole row. Replaces the row with the same primary key, if there is one. */
  put(item: Item): Promise<void>;
  /** Deletes the row with the primary key of `item`, if there is one. */
  remove(item: Item): Promise<void>;
}

/** The timing of the replication. */
export interface LinkOptions {
  readonly now: Clock;
  /**
   * The maximum time that a row takes to reach the other replica. Times vary, so a later write may overtake an earlier
   * one.
   */
  readonly lagMs: number;
  /**
   * Returns a random number of at least 0 and less than 1. The number determines how long the next row takes to reach
   * the other replica.
   */
  readonly draw: () => number;
}

/** A write on its way to the other replica: a whole row, or its deletion. */
interface Parcel {
  readonly to: number;
  /** The row, or only its primary key if it was deleted. */
  readonly item: Item;
  readonly deleted: boolean;
  readonly writtenAs: number;
  dueAtMs: number;
}

/**
 * Two replicas that behave like those of an eventually consistent DynamoDB Global Table:
 * - The replica that receives a write checks the write's condition.
 * - The other replica then receives the whole row. Rows arrive in no particular order.
 * - If both replicas write a row, the later write replaces the whole row in both. A deletion counts as a write.
 */
export class GlobalTable {
  readonly #replicas: readonly [Replica, Replica];
  readonly #link: LinkOptions;
  /**
   * For each replica and row, the number of the write that produced the row's current content. Writes are numbered in
   * chronological order.
   */
  readonly #has = [new Map<string, number>(), new Map<string, number>()] as const;
  #writes = 0;
  #underWay: Parcel[] = [];
  #cut = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(replicas: readonly [Replica, Replica], link: LinkOptions) {
    this.#replicas = replicas;
    this.#link = link;
  }

  /** Whether the replicas are disconnected. */
  get isCut(): boolean {
    return this.#cut;
  }

  /**
   * Performs a write in one replica. If the write succeeds, the other replica receives the row later. Only one write
   * runs at a time, so this method can read the written row after the write.
   * @param key a row with the primary key of the written row
   */
  write<T extends { readonly done: boolean }>(at: number, key: Item, work: () => Promise<T>): Promise<T> {
    return this.#inTurn(async () => {
      const result = await work();
      if (!result.done) return result;
      const row = await this.#replicas[at]?.read(key);
      const item = row ?? key;
      const writtenAs = (this.#writes += 1);
      this.#has[at]?.set(nameOf(item), writtenAs);
      this.#underWay.push({ to: 1 - at, item, deleted: row === undefined, writtenAs, dueAtMs: this.#dueAtMs() });
      return result;
    });
  }

  /** Delivers the rows that are due, unless the replicas are disconnected. */
  deliver(): Promise<void> {
    return this.#inTurn(async () => {
      const nowMs = this.#link.now();
      const due = this.#cut ? [] : this.#underWay.filter(({ dueAtMs }) => dueAtMs <= nowMs);
      this.#underWay = this.#underWay.filter((parcel) => !due.includes(parcel));
      for (const { to, item, deleted, writtenAs } of due.toSorted((a, b) => a.dueAtMs - b.dueAtMs)) {
        const has = this.#has[to]?.get(nameOf(item)) ?? 0;
        if (has > writtenAs) continue;
        await (deleted ? this.#replicas[to]?.remove(item) : this.#replicas[to]?.put(item));
        this.#has[to]?.set(nameOf(item), writtenAs);
      }
    });
  }

  /** Disconnects the replicas. Rows that are on their way must wait, and so must later rows. */
  cut(): void {
    this.#cut = true;
  }

  /** Connects the replicas again. Rows that had to wait are sent now. */
  heal(): void {
    if (!this.#cut) return;
    this.#cut = false;
    for (const parcel of this.#underWay) parcel.dueAtMs = this.#dueAtMs();
  }

  #dueAtMs(): number {
    const { now, lagMs, draw } = this.#link;
    return now() + Math.ceil(draw() * lagMs);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}

function nameOf(item: Item): string {
  return `${item['Created']?.N} ${item['Id']?.S}`;
}
