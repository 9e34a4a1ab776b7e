import { isPartition, type KeyMeta } from '../records/ids.ts';
import { contextsIn } from '../operations/context.ts';
import type { OperationName } from '../operations/operation-name.ts';
import { toKeyfoldError } from './problem.ts';

/** The request that an audit line describes: its caller, door, operation and partition. */
export interface AuditSubject {
  readonly door: 'http' | 'direct' | 'queue';
  /** Lambda's request id of the invocation. */
  readonly requestId: string;
  /**
   * The SQS message id. Only the queue door sets it, because all messages of an invocation have the same request ID.
   */
  readonly messageId?: string | undefined;
  /** The caller that the event names. Null for a direct invocation, because CloudTrail records that caller. */
  readonly principal: string | null;
  readonly operation: OperationName;
  /** The partition's name from the request. It may be invalid. */
  readonly partition: string;
}

/** One audit line: the outcome of one operation (docs/reference/audit.md). It never contains plaintext or records. */
export interface AuditEntry extends Omit<AuditSubject, 'partition'> {
  /** Null if the operation failed and the partition's name is invalid, because an invalid name may be any text. */
  readonly partition: string | null;
  /** `ok`, or the error code. */
  readonly result: string;
  /** The Intermediate Keys that the operation used or tried, as `id@created`. At most ten are listed. */
  readonly keys: readonly string[];
  /**
   * Whether the request, or one of its items, contains a context. The names and values of a context are never logged.
   */
  readonly context: boolean;
  /**
   * The number of items in a batch, or the number of values that a field operation selects. Undefined for other
   * operations.
   */
  readonly items?: number | undefined;
  /** The number of batch items that failed. Undefined if none failed. */
  readonly failed?: number | undefined;
}

/** The destination of audit lines. */
export interface AuditLog {
  /** Writes an audit line at every log level except SILENT. */
  audited(entry: AuditEntry): void;
}

const OK = 'ok';
/** The most keys that one audit line lists. */
const MAX_KEYS = 10;

/** Collects the keys and item counts of one operation while it runs. */
export class AuditTrail {
  readonly #keys: KeyMeta[] = [];
  #hasContext = false;
  #items: number | undefined;
  #failed: number | undefined;

  /** Records whether the request contains a context. The door calls this as soon as it has parsed the body. */
  requestRead(value: unknown): void {
    this.#hasContext = contextsIn(value).length > 0;
  }

  /** Records that the operation sealed or opened under this key. */
  readonly keyUsed = (key: KeyMeta): void => {
    const isKnown = this.#keys.some(({ id, created }) => created === key.created && id === key.id);
    if (!isKnown && this.#keys.length < MAX_KEYS) this.#keys.push(key);
  };

  /** Records how many items or field values the operation has. */
  readonly itemsCounted = (count: number): void => {
    this.#items = count;
  };

  /** Records how many items of a batch have failed. */
  itemsFailed(count: number): void {
    this.#failed = count;
  }

  /**
   * Returns the operation's audit entry.
   * @param result `ok`, or an error code
   */
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
      context: this.#hasContext,
      items: this.#items,
      failed: this.#failed,
    };
  }
}

/**
 * Runs an operation and writes its audit line, whether the operation succeeds or fails. The line is written before the
 * door responds to the caller.
 * @throws any error of `work`, unchanged
 */
export async function audited<T>(
  log: AuditLog,
  subject: AuditSubject,
  work: (trail: AuditTrail) => Promise<T>,
): Promise<T> {
  const trail = new AuditTrail();
  const answer = await work(trail).catch((thrown: unknown) => {
    log.audited(trail.entry(subject, toKeyfoldError(thrown).code));
    throw thrown;
  });
  log.audited(trail.entry(subject, OK));
  return answer;
}
