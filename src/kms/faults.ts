import { KMSServiceException } from '@aws-sdk/client-kms';
import { isThrottlingError } from '@smithy/core/retry';
import { KeyfoldError } from '../errors.ts';
import { signatureFaultOf } from '../connections/signature-fault.ts';

/** What a failed call tells of the region: come back soon, go elsewhere, have someone act, or the bytes are bad. */
export type FaultClass = 'throttled' | 'unavailable' | 'misconfigured' | 'corrupt';

/** The KMS actions that this service calls. */
export type KmsAction = 'GenerateDataKey' | 'Encrypt' | 'Decrypt';

/** One region's failure. It holds no bytes of any request or answer. */
export class RegionFault extends Error {
  override readonly name = 'RegionFault';
  readonly region: string;
  readonly action: KmsAction;
  readonly faultClass: FaultClass;
  /** KMS's own error name, the network's code, or ours for an answer that we refuse. */
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
/** What KMS says of parameters that it does not read. Those of a Decrypt come from the key row. */
const INVALID_PARAMETERS = new Set(['ValidationException', 'ValidationError', 'InvalidArnException']);
/**
 * The states of a KMS key that somebody chose for it. Every other state passes, such as that of a key store that is
 * disconnected.
 */
const CHOSEN_STATE = /\bpending\s*(?:replica\s*)?(?:deletion|import)\b/i;
/**
 * Errors whose message names the principal, key or state at fault, which is what someone who must act wants to read.
 */
const TELLING = new Set([
  'AccessDeniedException',
  'DisabledException',
  'KMSInvalidStateException',
  'NotFoundException',
]);
const MAX_DETAIL = 400;

/**
 * What an error of the SDK means. Of its text only the messages of a few errors are kept: the SDK quotes an answer that
 * it cannot parse, and an answer can hold a key.
 */
export function classify(region: string, action: KmsAction, error: unknown): RegionFault {
  const faultClass = classOf(action, error);
  const detail =
    error instanceof KMSServiceException && TELLING.has(error.name) ? error.message.slice(0, MAX_DETAIL) : undefined;
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
  if (isAnswer && name === 'KMSInvalidStateException' && !CHOSEN_STATE.test(error.message)) return 'unavailable';
  if (isAnswer || isCredentialsError(name)) return 'misconfigured';
  // No answer of KMS's: the network, a time-out, or something between us and KMS that answered in its place.
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

/** The error of a request that no region could answer: retryable where any of them may recover. */
export function everyRegionFailed(faults: readonly RegionFault[]): KeyfoldError {
  const classes = new Set(faults.map((fault) => fault.faultClass));
  if (classes.has('unavailable')) return regionsFailed(faults, 'No KMS region answered');
  return regionsFailed(faults, classes.has('throttled') ? 'KMS throttles in every region' : 'Every KMS region refused');
}

/**
 * The error of a request that failed for these regions' faults; `what` says how, and then what happened in each is
 * told.
 */
export function regionsFailed(faults: readonly RegionFault[], what: string): KeyfoldError {
  const said = faults.map((fault) => `${fault.region} ${fault.faultClass} (${fault.errorName})`).join(', ');
  const classes = new Set(faults.map((fault) => fault.faultClass));
  const passing = classes.has('unavailable') ? 'KmsUnavailable' : 'KmsThrottled';
  const code = classes.has('unavailable') || classes.has('throttled') ? passing : 'KmsMisconfigured';
  return new KeyfoldError(code, `${what}: ${said}.`, { cause: new AggregateError(faults, 'KMS') });
}
