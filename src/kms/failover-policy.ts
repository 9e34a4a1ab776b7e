import { numberFaults, withDefaults } from '../input/defaults.ts';
import { invalidConfiguration } from '../errors.ts';

/** How regions are tried one after the other, and how long one that failed is spared. */
export interface FailoverPolicy {
  /** How often all regions that may yet recover are gone through. */
  readonly maxRounds: number;
  /** The first delay is drawn from zero to this; each later one from zero to twice the one before. */
  readonly baseDelayMs: number;
  /** No delay is longer. */
  readonly longestDelayMs: number;
  /** Where a region throttles, no delay is longer than this, and the first is drawn from a sixth of it. */
  readonly throttledDelayMs: number;
  /** How long, about, a region is asked last after a first failure; twice as long after each further one. */
  readonly firstCoolDownMs: number;
  /** No cool-down is longer. */
  readonly longestCoolDownMs: number;
  /** Whether a region that refuses its key (disabled, denied, gone) is passed over, or ends the request. */
  readonly onKeyRefused: 'failover' | 'fail';
  /** How many regions must have wrapped a new System Key before it is used. */
  readonly minimumWrappedRegions: number;
}

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
 * The default policy with some of it replaced, for so many regions.
 * @throws KeyfoldError `InvalidConfiguration`, listing what does not fit
 */
export function failoverPolicy(changes: Partial<FailoverPolicy>, regions: number): FailoverPolicy {
  const faults = failoverFaults(changes, regions);
  if (faults.length > 0) throw invalidConfiguration(faults);
  return withDefaults(DEFAULTS, changes, 'failover');
}

/** What is wrong with changes to the default policy, for so many regions; empty where nothing is. */
export function failoverFaults(changes: Partial<FailoverPolicy>, regions: number): string[] {
  const policy = withDefaults(DEFAULTS, changes, 'failover');
  const faults = numberFaults(policy, DEFAULTS);
  const { minimumWrappedRegions, onKeyRefused } = policy;
  if (policy.baseDelayMs > policy.longestDelayMs) faults.push('baseDelayMs is more than longestDelayMs');
  if (policy.firstCoolDownMs > policy.longestCoolDownMs) faults.push('firstCoolDownMs is more than longestCoolDownMs');
  if (!['failover', 'fail'].includes(onKeyRefused)) faults.push("onKeyRefused must be 'failover' or 'fail'");
  if (regions > 0 && minimumWrappedRegions > regions) {
    faults.push(`minimumWrappedRegions is ${minimumWrappedRegions} and there are ${regions} regions with a KMS key`);
  }
  return faults;
}
