import { KeyfoldError } from '../errors.ts';

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

/** A failure in one region. The error holds no bytes of any request or response. */
export class RegionFault extends Error {
  override readonly name = 'RegionFault';
  readonly region: string;
  readonly action: KmsAction;
  readonly faultClass: FaultClass;
  /** The name of a KMS error, the code of a network error, or Keyfold's own name for a response that it refuses. */
  readonly errorName: string;

  constructor(region: string, action: KmsAction, faultClass: FaultClass, errorName: string, detail?: string) {
    super(`${action} in ${region}: ${faultClass} (${errorName})${detail === undefined ? '' : `: ${detail}`}`);
    this.region = region;
    this.action = action;
    this.faultClass = faultClass;
    this.errorName = errorName;
  }
}

/**
 * Builds the error of a request that failed in every region. The error is retryable if any of the faults is transient.
 */
export function everyRegionFailed(faults: readonly RegionFault[]): KeyfoldError {
  const classes = new Set(faults.map((fault) => fault.faultClass));
  if (classes.has('unavailable')) return regionsFailed(faults, 'No KMS region answered');
  if (!classes.has('throttled')) return regionsFailed(faults, 'Every KMS region refused');
  const summary = classes.size === 1 ? 'KMS throttles in every region' : 'Every KMS region throttles or refuses';
  return regionsFailed(faults, summary);
}

/**
 * Builds the error of a request that failed because of these faults. Its message is `summary`, then the fault of each
 * region.
 */
export function regionsFailed(faults: readonly RegionFault[], summary: string): KeyfoldError {
  const details = faults.map((fault) => `${fault.region} ${fault.faultClass} (${fault.errorName})`).join(', ');
  const classes = new Set(faults.map((fault) => fault.faultClass));
  const transientCode = classes.has('unavailable') ? 'KmsUnavailable' : 'KmsThrottled';
  const code = classes.has('unavailable') || classes.has('throttled') ? transientCode : 'KmsMisconfigured';
  const reasons = faults.map((fault) => fault.message).join('; ');
  return new KeyfoldError(code, `${summary}: ${details}.`, { cause: new AggregateError(faults, reasons) });
}
