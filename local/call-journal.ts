/** A call that reached the key service or the DynamoDB emulator. */
export interface JournalCall {
  readonly service: 'KMS' | 'OpenBao' | 'DynamoDB';
  /** The region of a KMS call. Null for OpenBao and DynamoDB, because all calls go to one server. */
  readonly region: string | null;
  readonly action: string;
  /** The ID of the key row that a DynamoDB call names. Null if the call names none. */
  readonly keyId: string | null;
  /** `ok`, or the reason why the call failed. */
  readonly outcome: string;
}

const MAX_CALLS = 10_000;

/**
 * The calls that reached the key service and DynamoDB, in the order in which they ended. The servers report these
 * calls, so the page shows only calls that really happened.
 */
export class CallJournal {
  #calls: JournalCall[] = [];
  #dropped = 0;

  /** The number of calls so far. Pass it to `since` later to get the calls that have ended since then. */
  get position(): number {
    return this.#dropped + this.#calls.length;
  }

  note(call: JournalCall): void {
    this.#calls.push(call);
    if (this.#calls.length <= MAX_CALLS) return;
    this.#dropped += MAX_CALLS / 2;
    this.#calls = this.#calls.slice(MAX_CALLS / 2);
  }

  /** The calls that ended after a position, oldest first. Beyond 10,000 calls, the older half is dropped. */
  since(position: number): readonly JournalCall[] {
    return this.#calls.slice(Math.max(0, position - this.#dropped));
  }
}
