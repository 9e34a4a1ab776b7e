import { KMSServiceException } from '@aws-sdk/client-kms';
import { isThrottlingError } from '@smithy/core/retry';
import { KeyfoldError } from '../errors.ts';
import { signatureFaultOf } from '../connections/signature-fault.ts';

/**
 * What a failed call says about the region:
 * - `throttled`: retry later
 * - `unavailable`: try another region
 * - `misconfigured`: an operator must act
 * - `corrupt`: the bytes from the key row are bad
 */
export type FaultClass = 'throttled' | 'unavailable' | 'misconfigured' | 'corrupt';

/** The KMS actions that this service calls. */
export type KmsAction = 'GenerateDataKey' | 'Encrypt' | 'Decrypt';

/** A failure in one region. The error holds no bytes of any request or answer. */
export class RegionFault extends Error {
  override readonly name = 'RegionFault';
  readonly region: string;
  readonly action: KmsAction;
  readonly faultClass: FaultClass;
  /** The error name of KMS, a network error code, or a Keyfold name for an answer that Keyfold refuses. */
  readonly errorName: string;

  constructor(region: string, action: KmsAction, faultClass: FaultClass, errorName: string, detail?: string) {
    super(`${action} in ${region}: ${faultClass} (${errorName})${detail === undefined ? '' : `: ${detail}`}`);
    this.region = region;
    this.action = action;
    this.faultClass = faultClass;
    this.errorName = errorName;
  }
}

const UNAVAILABLE = new Set([
  'KMSInternalException',
  'DependencyTimeoutException',
  'KeyUnavailableException',
  'RequestTimeout',
  'RequestTimeoutException',
  'RequestAbortedException',
]);
/**
 * Errors of KMS for invalid parameters. The parameters of a Decrypt come from the key row, so they mean that the row is
 * corrupt.
 */
const INVALID_PARAMETERS = new Set(['ValidationException', 'ValidationError', 'InvalidArnException']);
/** Key states that an operator has set. Every other invalid state is temporary, such as a disconnected key store. */
const OPERATOR_SET_STATE = /\bpending\s*(?:replica\s*)?(?:deletion|import)\b/i;
/** Errors whose message is kept, because it names the principal, key or state that an operator must correct. */
const DETAILED_ERRORS = new Set([
  'AccessDeniedException',
  'DisabledException',
  'KMSInvalidStateException',
  'NotFoundException',
]);
const MAX_DETAIL = 400;

/**
 * Converts an error of the SDK to a `RegionFault`. Only a few errors keep their message. If the SDK cannot parse an
 * answer, its error quotes the answer, which can contain a key.
 */
export function classify(region: string, action: KmsAction, error: unknown): RegionFault {
  const faultClass = classOf(action, error);
  const detail =
    error instanceof KMSServiceException && DETAILED_ERRORS.has(error.name)
      ? error.message.slice(0, MAX_DETAIL)
      : undefined;
  return new RegionFault(region, action, faultClass, nameOf(error), detail);
}

function classOf(action: KmsAction, error: unknown): FaultClass {
  const name = nameOf(error);
  const isAnswer = error instanceof KMSServiceException;
  const status = isAnswer ? error.$metadata.httpStatusCode : undefined;
  if (error instanceof Error && isThrottlingError(error as Parameters<typeof isThrottlingError>[0])) return 'throttled';
  if (name === 'InvalidCiphertextException') return 'corrupt';
  if (INVALID_PARAMETERS.has(name) && action === 'Decrypt') return 'corrupt';
  if (UNAVAILABLE.has(name) || signatureFaultOf(error) !== undefined) return 'unavailable';
  if (status !== undefined && (status >= 500 || status === 408 || status === 425)) return 'unavailable';
  if (isAnswer && name === 'KMSInvalidStateException' && !OPERATOR_SET_STATE.test(error.message)) return 'unavailable';
  if (isAnswer || isCredentialsError(name)) return 'misconfigured';
  // KMS did not answer: a network error, a time-out, or an answer from a proxy between Keyfold and KMS.
  return 'unavailable';
}

function isCredentialsError(name: string): boolean {
  return name === 'CredentialsProviderError' || name.startsWith('Token');
}

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'UnknownError';
  const { code } = error as NodeJS.ErrnoException;
  const name = typeof code === 'string' ? code : error.name;
  return /^\w{1,64}$/.test(name) ? name : 'UnknownError';
}

/** Builds the error of a request that no region answered. The error is retryable if any of the faults is transient. */
export function everyRegionFailed(faults: readonly RegionFault[]): KeyfoldError {
  const classes = new Set(faults.map((fault) => fault.faultClass));
  if (classes.has('unavailable')) return regionsFailed(faults, 'No KMS region answered');
  if (!classes.has('throttled')) return regionsFailed(faults, 'Every KMS region refused');
  const summary = classes.size === 1 ? 'KMS throttles in every region' : 'Every KMS region throttles or refuses';
  return regionsFailed(faults, summary);
}

/**
 * Builds the error of a request that failed because of these faults. Its message is `summary`, followed by the fault of
 * each region.
 */
export function regionsFailed(faults: readonly RegionFault[], summary: string): KeyfoldError {
  const details = faults.map((fault) => `${fault.region} ${fault.faultClass} (${fault.errorName})`).join(', ');
  const classes = new Set(faults.map((fault) => fault.faultClass));
  const transientCode = classes.has('unavailable') ? 'KmsUnavailable' : 'KmsThrottled';
  const code = classes.has('unavailable') || classes.has('throttled') ? transientCode : 'KmsMisconfigured';
  return new KeyfoldError(code, `${summary}: ${details}.`, { cause: new AggregateError(faults, 'KMS') });
}
