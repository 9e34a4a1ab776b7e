import { isPartition, type KeyMeta } from '../records/ids.ts';
import type { OperationName } from '../operations/operation-name.ts';
import { toKeyfoldError } from './problem.ts';

/** Who asked for what, and where. */
export interface AuditSubject {
  readonly door: 'http' | 'direct' | 'queue';
  /** Lambda's id of the invocation. */
  readonly requestId: string;
  /** Of a queue, whose messages of one invocation have one request id. */
  readonly messageId?: string | undefined;
  /** Who asked, as far as the event says: null for a direct invocation, of which CloudTrail knows. */
  readonly principal: string | null;
  readonly operation: OperationName;
  /** As it was asked for: there may be no such. */
  readonly partition: string;
}

/** What the audit says of one operation (docs/audit.md). None of the data. */
export interface AuditEntry extends Omit<AuditSubject, 'partition'> {
  /** Null where there can be no such partition: what stands in its place may be anything. */
  readonly partition: string | null;
  /** `ok`, or the code of the error. */
  readonly result: string;
  /** The Intermediate Keys that records were sealed under or tried with, as id@created; at most ten. */
  readonly keys: readonly string[];
  /** Of a batch how many items, of an operation on fields how many values. */
  readonly items?: number | undefined;
  /** How many of the items failed, if any did. */
  readonly failed?: number | undefined;
}

/** Where the lines of the audit go. */
export interface AuditLog {
  /** Writes a line of the audit, whatever the log's level, unless that is SILENT. */
  audited(entry: AuditEntry): void;
}

const OK = 'ok';
/** In one line. */
const MAX_KEYS = 10;

/** What an operation used and did, gathered while it runs. */
export class AuditTrail {
  readonly #keys: KeyMeta[] = [];
  #items: number | undefined;
  #failed: number | undefined;

  /** Takes note of a key that a record was sealed or opened under. */
  readonly keyUsed = (key: KeyMeta): void => {
    const isKnown = this.#keys.some(({ id, created }) => created === key.created && id === key.id);
    if (!isKnown && this.#keys.length < MAX_KEYS) this.#keys.push(key);
  };

  /** Takes note of how many items or values an operation is on. */
  readonly itemsCounted = (count: number): void => {
    this.#items = count;
  };

  /** Takes note of how many of them failed while the others went on. */
  itemsFailed(count: number): void {
    this.#failed = count;
  }

  /** What there is to say. */
  entry({ door, requestId, messageId, principal, operation, partition }: AuditSubject, result: string): AuditEntry {
    return {
      door,
      requestId,
      messageId,
      principal,
      operation,
      partition: result === OK || isPartition(partition) ? partition : null,
      result,
      keys: this.#keys.map(({ id, created }) => `${id}@${created}`),
      items: this.#items,
      failed: this.#failed,
    };
  }
}

/**
 * Does what was asked for, and writes its line of the audit whatever comes of it, before anything is answered.
 * @throws what the work throws
 */
export async function audited<T>(
  log: AuditLog,
  asked: AuditSubject,
  work: (trail: AuditTrail) => Promise<T>,
): Promise<T> {
  const trail = new AuditTrail();
  const answer = await work(trail).catch((thrown: unknown) => {
    log.audited(trail.entry(asked, toKeyfoldError(thrown).code));
    throw thrown;
  });
  log.audited(trail.entry(asked, OK));
  return answer;
}
