import type { KMSServiceException } from '@aws-sdk/client-kms';
import { isThrottlingError } from '@smithy/core/retry';
import { mayFindLater } from '../connections/passing-fault.ts';
import { signatureFaultOf } from '../connections/signature-fault.ts';
import { errorNameOf } from '../errors.ts';
import { RegionFault, type FaultClass, type KmsAction } from './region-fault.ts';

const UNAVAILABLE = new Set([
  'KMSInternalException',
  'DependencyTimeoutException',
  'KeyUnavailableException',
  'RequestTimeout',
  'RequestTimeoutException',
  'RequestAbortedException',
]);
/**
 * KMS errors for invalid parameters. The parameters of a Decrypt call come from the key row, so these errors mean that
 * the row is corrupt.
 */
const INVALID_PARAMETERS = new Set(['ValidationException', 'ValidationError', 'InvalidArnException']);
/**
 * Matches the key states that an operator has set. Every other invalid state is temporary, such as a disconnected key
 * store.
 */
const OPERATOR_SET_STATE = /\bpending\s*(?:replica\s*)?(?:deletion|import)\b/i;
/**
 * The errors whose messages are kept. These messages name the principal, key or state that an operator must correct.
 */
const DETAILED_ERRORS = new Set([
  'AccessDeniedException',
  'DisabledException',
  'KMSInvalidStateException',
  'NotFoundException',
]);
const MAX_DETAIL = 400;

/**
 * Converts an error of the SDK to a `RegionFault`. Only a few errors keep their message, because an SDK error may quote
 * a response that it cannot parse. Such a response can contain a key.
 */
export function classify(region: string, action: KmsAction, error: unknown): RegionFault {
  const faultClass = classOf(action, error);
  const detail = isAnswer(error) && DETAILED_ERRORS.has(error.name) ? error.message.slice(0, MAX_DETAIL) : undefined;
  return new RegionFault(region, action, faultClass, errorNameOf(error), detail);
}

/**
 * Converts an error of a credential provider to a `RegionFault`. The provider may call STS, whose errors have the same
 * names as errors of KMS, but do not mean that the key row is corrupt.
 */
export function credentialsFault(region: string, action: KmsAction, error: unknown): RegionFault {
  return new RegionFault(region, action, mayFindLater(error) ? 'unavailable' : 'misconfigured', errorNameOf(error));
}

function classOf(action: KmsAction, error: unknown): FaultClass {
  const name = errorNameOf(error);
  const status = isAnswer(error) ? error.$metadata.httpStatusCode : undefined;
  if (error instanceof Error && isThrottlingError(error as Parameters<typeof isThrottlingError>[0])) return 'throttled';
  if (name === 'InvalidCiphertextException') return 'corrupt';
  if (INVALID_PARAMETERS.has(name) && action === 'Decrypt') return 'corrupt';
  if (UNAVAILABLE.has(name) || signatureFaultOf(error) !== undefined) return 'unavailable';
  if (status !== undefined && (status >= 500 || status === 408 || status === 425)) return 'unavailable';
  if (isAnswer(error)) {
    return name === 'KMSInvalidStateException' && !OPERATOR_SET_STATE.test(error.message)
      ? 'unavailable'
      : 'misconfigured';
  }
  if (isCredentialsError(name)) return 'misconfigured';
  // KMS did not respond: a network error, a timeout, or a response from a proxy between Keyfold and KMS.
  return 'unavailable';
}

/**
 * Whether an error is a response of an AWS service. The function does not test the error's class, because a caller's
 * client may throw the class of another version of the SDK.
 */
function isAnswer(error: unknown): error is KMSServiceException {
  return error instanceof Error && '$fault' in error;
}

function isCredentialsError(name: string): boolean {
  return name === 'CredentialsProviderError' || name.startsWith('Token');
}
