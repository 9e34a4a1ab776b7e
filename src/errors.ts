import { ANYTHING, check, optionsOf, STRING, type Type } from './input/checks.ts';
import { escapeHidden } from './input/hidden-characters.ts';

/**
 * All error codes. The value of each code says whether a retry of the same request may succeed. The doors map the codes
 * to HTTP statuses.
 */
const RETRYABLE = {
  InvalidConfiguration: false,
  InvalidRequest: false,
  Unauthenticated: false,
  Forbidden: false,
  NotFound: false,
  MethodNotAllowed: false,
  UnsupportedMediaType: false,
  PayloadTooLarge: false,
  FieldNotFound: false,
  ContextRequired: false,
  RecordUnreadable: false,
  PartitionErased: false,
  KeyNotYetVisible: true,
  KmsThrottled: true,
  KmsUnavailable: true,
  KmsMisconfigured: false,
  KeyRowUnreadable: false,
  MetastoreUnavailable: true,
  NotReady: true,
  DeadlineExceeded: true,
  Internal: false,
} as const satisfies Record<string, boolean>;

/** The literal code of an error, for `switch (error.code)`. */
export type ErrorCode = keyof typeof RETRYABLE;

/** Whether a value is an error code. */
export function isErrorCode(name: unknown): name is ErrorCode {
  return typeof name === 'string' && Object.hasOwn(RETRYABLE, name);
}

/** Whether a retry of a request that failed with this code may succeed. */
export function isRetryable(code: ErrorCode): boolean {
  return RETRYABLE[code];
}

const OPTIONS = { cause: ANYTHING };
const CODE: Type = { called: 'an ErrorCode', holds: isErrorCode };

/**
 * The error of every failure that Keyfold reports. `message` is for callers. It says what is wrong, and contains no
 * data of the request. Details for operators are in `cause`, which contains neither plaintext nor key bytes.
 */
export class KeyfoldError extends Error {
  override readonly name = 'KeyfoldError';
  readonly code: ErrorCode;

  /** @throws TypeError for an unknown code, or a message that is not a string */
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    check(code, 'code', CODE);
    check(message, 'message', STRING);
    super(message, options && optionsOf(options, 'options', OPTIONS));
    this.code = code;
  }

  /** Whether the same request may succeed later. */
  get retryable(): boolean {
    return isRetryable(this.code);
  }
}

/** The error for an invalid configuration. `message` lists everything that is wrong, one line for each fault. */
export function invalidConfiguration(faults: readonly string[]): KeyfoldError {
  return new KeyfoldError('InvalidConfiguration', `Keyfold cannot start:\n${faults.map((f) => `- ${f}`).join('\n')}`);
}

/** The error for a call that has no context although the record or the configuration needs one. */
export function contextRequired(): KeyfoldError {
  return new KeyfoldError('ContextRequired', 'A context is required: give the context that the record is bound to.');
}

/**
 * The error for a record that does not open. The message is the same for a changed record, for a record of another
 * partition and for an absent key, so that callers learn nothing from it. `reason` goes to the log.
 */
export function recordUnreadable(reason: string): KeyfoldError {
  return new KeyfoldError('RecordUnreadable', 'The record cannot be opened for this partition.', {
    cause: new Error(reason),
  });
}

/** The error for a partition whose keys an operator is erasing or has erased. */
export function partitionErased(): KeyfoldError {
  return new KeyfoldError('PartitionErased', 'An operator has erased the keys of this partition.');
}

/** The error for a key row that cannot be parsed, or whose key does not open. Such a row must never count as absent. */
export function keyRowUnreadable(
  row: { id: string; created: number | string },
  reason: string,
  cause?: unknown,
): KeyfoldError {
  return new KeyfoldError(
    'KeyRowUnreadable',
    `The key row ${escapeHidden(row.id)} created ${row.created} cannot be read: ${reason}.`,
    {
      cause,
    },
  );
}

/**
 * For logs and metrics: the code of a thrown value, such as `ECONNREFUSED`, or the name of an error without a code. The
 * message is omitted, because some SDK errors quote responses, which can contain data.
 */
export function errorNameOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return 'UnknownError';
  const { code } = thrown as NodeJS.ErrnoException;
  const name = typeof code === 'string' ? code : thrown.name;
  return /^\w{1,64}$/.test(name) ? name : 'UnknownError';
}
