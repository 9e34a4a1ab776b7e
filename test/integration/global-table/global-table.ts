import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import type { Clock } from '../../../src/index.ts';

/** A row as DynamoDB has it. */
export type Item = Record<string, AttributeValue>;

/** One table of the two, past which nobody writes. */
export interface Replica {
  /** The row with the primary key of `item`, or with the attributes of one. */
  read(item: Item): Promise<Item | undefined>;
  /** Puts a whole row, whatever is there. */
  put(item: Item): Promise<void>;
}

/** How rows travel. */
export interface LinkOptions {
  readonly now: Clock;
  /** No row is longer under way. Each takes its own time, so that later writes may overtake earlier ones. */
  readonly lagMs: number;
  /** From 0 up to 1, for how long each row takes. */
  readonly draw: () => number;
}

/** A whole row on its way to the other replica. */
interface Parcel {
  readonly to: number;
  readonly item: Item;
  readonly writtenAs: number;
  dueAtMs: number;
}

/**
 * Two replicas that follow each other as those of a DynamoDB Global Table do (eventual consistency): conditions are
 * judged by the replica that is written to; each write then travels as the whole row, rows in no order; and of two
 * writes of one row the last wins everywhere, as a whole.
 */
export class GlobalTable {
  readonly #replicas: readonly [Replica, Replica];
  readonly #link: LinkOptions;
  /** For each replica, of each row, which write it has. Writes are numbered in the order of their time. */
  readonly #has = [new Map<string, number>(), new Map<string, number>()] as const;
  #writes = 0;
  #underWay: Parcel[] = [];
  #cut = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(replicas: readonly [Replica, Replica], link: LinkOptions) {
    this.#replicas = replicas;
    this.#link = link;
  }

  /** Whether the replicas are cut off from each other. */
  get isCut(): boolean {
    return this.#cut;
  }

  /**
   * Does a write in one replica, and sends the row on where it was done. One write at a time: a row read back is what
   * this write made of it.
   * @param key a row with the same primary key
   */
  write<T extends { readonly done: boolean }>(at: number, key: Item, work: () => Promise<T>): Promise<T> {
    return this.#inTurn(async () => {
      const result = await work();
      const item = result.done ? await this.#replicas[at]?.read(key) : undefined;
      if (item !== undefined) {
        const writtenAs = (this.#writes += 1);
        this.#has[at]?.set(nameOf(item), writtenAs);
        this.#underWay.push({ to: 1 - at, item, writtenAs, dueAtMs: this.#dueAtMs() });
      }
      return result;
    });
  }

  /** Delivers what is due by now. Nothing is, while the replicas are cut off from each other. */
  deliver(): Promise<void> {
    return this.#inTurn(async () => {
      const nowMs = this.#link.now();
      const due = this.#cut ? [] : this.#underWay.filter(({ dueAtMs }) => dueAtMs <= nowMs);
      this.#underWay = this.#underWay.filter((parcel) => !due.includes(parcel));
      for (const { to, item, writtenAs } of due.toSorted((a, b) => a.dueAtMs - b.dueAtMs)) {
        const has = this.#has[to]?.get(nameOf(item)) ?? 0;
        if (has > writtenAs) continue;
        await this.#replicas[to]?.put(item);
        this.#has[to]?.set(nameOf(item), writtenAs);
      }
    });
  }

  /** Cuts the replicas off from each other: what is under way waits, and so does what follows. */
  cut(): void {
    this.#cut = true;
  }

  /** Ends a cut. What has waited sets out now. */
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
