import { ANYTHING, check, optionsOf, STRING, type Type } from './input/checks.ts';
import { escapeHidden } from './input/hidden-characters.ts';

/**
 * Whether the same request may succeed when it is sent again, for each way in which one can fail. Every error code
 * there is stands here; the doors map the same codes to their own status.
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
  RecordUnreadable: false,
  KeyNotYetVisible: true,
  KmsThrottled: true,
  KmsUnavailable: true,
  KmsMisconfigured: false,
  KeyRowUnreadable: false,
  MetastoreUnavailable: true,
  DeadlineExceeded: true,
  Internal: false,
} as const satisfies Record<string, boolean>;

/** What went wrong, as a literal: `switch (error.code)` narrows. */
export type ErrorCode = keyof typeof RETRYABLE;

/** Whether a name from outside is an error's code. */
export function isErrorCode(name: unknown): name is ErrorCode {
  return typeof name === 'string' && Object.hasOwn(RETRYABLE, name);
}

/** Whether a request that failed so may succeed when it is sent again. */
export function isRetryable(code: ErrorCode): boolean {
  return RETRYABLE[code];
}

const OPTIONS = { cause: ANYTHING };
const CODE: Type = { called: 'an ErrorCode', holds: isErrorCode };

/**
 * Every failure that Keyfold reports. `message` may be shown to the caller: it says what is wrong and holds nothing of the
 * caller's data. What only an operator should see is in `cause`, which holds no plaintext and no key bytes either.
 */
export class KeyfoldError extends Error {
  override readonly name = 'KeyfoldError';
  readonly code: ErrorCode;

  /** @throws TypeError for a code that there is not, and for a message that is not a string */
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

/** A configuration that cannot be run. `message` lists every fault found, one a line. */
export function invalidConfiguration(faults: readonly string[]): KeyfoldError {
  return new KeyfoldError('InvalidConfiguration', `Keyfold cannot start:\n${faults.map((f) => `- ${f}`).join('\n')}`);
}

/**
 * A record that does not open. The message is the same whatever the reason (tampered, another partition's, key gone), so
 * that a caller learns nothing from it; `reason` is for the log.
 */
export function recordUnreadable(reason: string): KeyfoldError {
  return new KeyfoldError('RecordUnreadable', 'The record cannot be opened for this partition.', {
    cause: new Error(reason),
  });
}

/** A key row that does not parse or whose key does not open. Never to be taken for an absent one. */
export function keyRowUnreadable(row: { id: string; created: number }, reason: string, cause?: unknown): KeyfoldError {
  return new KeyfoldError(
    'KeyRowUnreadable',
    `The key row ${escapeHidden(row.id)} created ${row.created} cannot be read: ${reason}.`,
    {
      cause,
    },
  );
}
