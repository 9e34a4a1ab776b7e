/** One call that reached an emulator. */
export interface JournalCall {
  readonly service: 'KMS' | 'DynamoDB';
  /** KMS's region; null for DynamoDB, of which there is one. */
  readonly region: string | null;
  readonly action: string;
  /** The id of the key row that DynamoDB was asked about; null where the call named none. */
  readonly keyId: string | null;
  /** `ok`, or what kept the call from an answer. */
  readonly outcome: string;
}

const MAX_CALLS = 10_000;

/**
 * What was called at the emulators, in the order in which the calls ended. They themselves tell it, so that what a request
 * costs is what was really asked for, and nothing that Keyfold says of itself.
 */
export class CallJournal {
  #calls: JournalCall[] = [];
  #forgotten = 0;

  /** How many calls there have been: a place to come back to. */
  get position(): number {
    return this.#forgotten + this.#calls.length;
  }

  note(call: JournalCall): void {
    this.#calls.push(call);
    if (this.#calls.length <= MAX_CALLS) return;
    this.#forgotten += MAX_CALLS / 2;
    this.#calls = this.#calls.slice(MAX_CALLS / 2);
  }

  /** The calls that have ended since a position, oldest first; the oldest of all are forgotten above 10,000. */
  since(position: number): readonly JournalCall[] {
    return this.#calls.slice(Math.max(0, position - this.#forgotten));
  }
}
