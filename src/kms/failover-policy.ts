import { timerFaults } from '../async/deadline.ts';
import { numberFaults, withDefaults } from '../input/defaults.ts';
import { invalidConfiguration } from '../errors.ts';

/** How Keyfold retries KMS calls, and how long a failed region stays last in the order. All times are milliseconds. */
export interface FailoverPolicy {
  /**
   * The maximum number of rounds of a request. The first round tries every region. Later rounds try only the regions
   * with a transient fault.
   */
  readonly maxRounds: number;
  /** The first random delay is at most this long. The limit doubles with each further delay. */
  readonly baseDelayMs: number;
  /** Upper bound of every delay between rounds. */
  readonly longestDelayMs: number;
  /** Upper bound of every delay after throttling. The first such delay is at least about a sixth of this bound. */
  readonly throttledDelayMs: number;
  /**
   * After a region's first failure, Keyfold tries the region last for about this long. Each further failure doubles the
   * time.
   */
  readonly firstCoolDownMs: number;
  /** Upper bound of every cool-down. */
  readonly longestCoolDownMs: number;
  /**
   * What Keyfold does if a region's key is disabled, denied or deleted. `failover` tries the next region, and `fail`
   * ends the request.
   */
  readonly onKeyRefused: 'failover' | 'fail';
  /** How many regions must have wrapped a new System Key before Keyfold uses it. */
  readonly minimumWrappedRegions: number;
}

/**
 * These numbers of rounds, delays and cool-downs were tuned with `npm run fleet`, which simulates outages: see
 * docs/explanation/kms-failover.md.
 */
const DEFAULTS: FailoverPolicy = {
  maxRounds: 8,
  baseDelayMs: 50,
  longestDelayMs: 2000,
  throttledDelayMs: 4500,
  firstCoolDownMs: 5000,
  longestCoolDownMs: 10_000,
  onKeyRefused: 'failover',
  minimumWrappedRegions: 1,
};

/**
 * Returns the default policy with `changes` applied.
 * @param regions the number of regions with a KMS key
 * @throws KeyfoldError `InvalidConfiguration`, with a list of every invalid setting
 */
export function failoverPolicy(changes: Partial<FailoverPolicy>, regions: number): FailoverPolicy {
  const faults = failoverFaults(changes, regions);
  if (faults.length > 0) throw invalidConfiguration(faults);
  return withDefaults(DEFAULTS, changes, 'failover');
}

/** Lists every invalid setting in `changes` for this number of regions. The list is empty if all are valid. */
export function failoverFaults(changes: Partial<FailoverPolicy>, regions: number): string[] {
  const policy = withDefaults(DEFAULTS, changes, 'failover');
  const faults = [...numberFaults(policy, DEFAULTS), ...timerFaults(policy, ['longestDelayMs', 'throttledDelayMs'])];
  const { minimumWrappedRegions, onKeyRefused } = policy;
  if (policy.baseDelayMs > policy.longestDelayMs) faults.push('baseDelayMs is more than longestDelayMs');
  if (policy.firstCoolDownMs > policy.longestCoolDownMs) faults.push('firstCoolDownMs is more than longestCoolDownMs');
  if (!['failover', 'fail'].includes(onKeyRefused)) faults.push("onKeyRefused must be 'failover' or 'fail'");
  if (regions > 0 && minimumWrappedRegions > regions) {
    faults.push(`minimumWrappedRegions is ${minimumWrappedRegions} and there are ${regions} regions with a KMS key`);
  }
  return faults;
}
