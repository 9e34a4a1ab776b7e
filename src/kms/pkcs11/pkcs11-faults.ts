import type { FaultClass } from '../region-fault.ts';

/** Why a token did not complete a call. The worker thread sends it to the main thread. */
export interface TokenFault {
  readonly faultClass: FaultClass;
  /** A PKCS#11 code (`CKR_…`), or Keyfold's own name for the fault. */
  readonly errorName: string;
}

/** A fault that Keyfold finds, such as a key that is absent. */
export class TokenError extends Error {
  readonly fault: TokenFault;

  constructor(faultClass: FaultClass, errorName: string) {
    super(errorName);
    this.fault = { faultClass, errorName };
  }
}

/** The codes for a token that has no session left, or no memory or other resource for another session. */
const THROTTLED = new Set(['CKR_SESSION_COUNT', 'CKR_DEVICE_MEMORY', 'CKR_TOKEN_RESOURCE_EXCEEDED']);
/**
 * Matches the codes for a wrong configuration: the PIN, the key or the mechanism does not meet Keyfold's requirements,
 * the token forbids the call, or the library cannot have threads.
 */
const MISCONFIGURED =
  /^CKR_(?:PIN_|USER_PIN_|USER_TYPE_|USER_TOO_MANY_|USER_ANOTHER_|MECHANISM_|TEMPLATE_|KEY_(?!HANDLE_)|ATTRIBUTE_|(?:UN)?WRAPPING_KEY_(?!HANDLE_)|FUNCTION_NOT_SUPPORTED|FUNCTION_REJECTED|ACTION_PROHIBITED|SESSION_READ_ONLY$|TOKEN_WRITE_PROTECTED|CANT_LOCK|NEED_TO_CREATE_THREADS|FIPS_|LIBRARY_LOAD_)/;
/**
 * Libraries return one of these codes if they cannot open bytes. SoftHSM returns the first code for other faults, too.
 * `pkcs11js` 2 reports `CKR_VENDOR_DEFINED` for every code that it does not know, such as the code of PKCS#11 3 for a
 * wrong tag.
 */
const PERHAPS_CORRUPT =
  /^CKR_(?:GENERAL_ERROR|FUNCTION_FAILED|ARGUMENTS_BAD|DEVICE_ERROR|VENDOR_DEFINED|AEAD_DECRYPT_FAILED|(?:ENCRYPTED_)?DATA_|WRAPPED_KEY_|SIGNATURE_)/;

/**
 * Converts an error from `pkcs11js` or from Keyfold. The fault contains the error's message only if the message is a
 * PKCS#11 code.
 */
export function tokenFaultOf(error: unknown): TokenFault {
  if (error instanceof TokenError) return error.fault;
  const errorName = codeOf(error) ?? 'UnknownError';
  if (THROTTLED.has(errorName)) return { faultClass: 'throttled', errorName };
  return { faultClass: MISCONFIGURED.test(errorName) ? 'misconfigured' : 'unavailable', errorName };
}

/** Whether the cause of an error may be the bytes, and not the token. */
export function isPerhapsCorrupt(error: unknown): boolean {
  return PERHAPS_CORRUPT.test(codeOf(error) ?? '');
}

/** The PKCS#11 code of an error. A manufacturer's own code is a number. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  return /^CKR_\w{1,64}$/.test(error.message) ? error.message : undefined;
}
