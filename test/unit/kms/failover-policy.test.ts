import { describe, expect, it } from 'vitest';
import { failoverFaults, failoverPolicy, type FailoverPolicy } from '../../../src/kms/failover-policy.ts';

describe('failoverPolicy', () => {
  it.for<[Partial<FailoverPolicy>, number]>([
    [{ baseDelayMs: 2000 }, 2],
    [{ firstCoolDownMs: 10_000 }, 2],
    [{ minimumWrappedRegions: 2 }, 2],
    [{ minimumWrappedRegions: 1 }, 1],
    [{ minimumWrappedRegions: 2 }, 0],
  ])('accepts %j for %i regions', ([changes, regions]) => {
    expect(failoverFaults(changes, regions)).toEqual([]);
    expect(failoverPolicy(changes, regions)).toMatchObject(changes);
  });

  it.for<[Partial<FailoverPolicy>, number, string]>([
    [{ baseDelayMs: 2001 }, 2, 'baseDelayMs is more than longestDelayMs'],
    [{ firstCoolDownMs: 10_001 }, 2, 'firstCoolDownMs is more than longestCoolDownMs'],
    [{ minimumWrappedRegions: 2 }, 1, 'minimumWrappedRegions is 2 and there are 1 regions with a KMS key'],
    [{ onKeyRefused: 'ask' as never }, 2, "onKeyRefused must be 'failover' or 'fail'"],
    [{ maxRounds: 0 }, 2, 'maxRounds must be a positive whole number'],
    [{ longestDelayMs: 2 ** 31 }, 2, 'longestDelayMs must not be more than 2147483647'],
    [{ throttledDelayMs: 2 ** 31 }, 2, 'throttledDelayMs must not be more than 2147483647'],
    [{ maxRounds: 2 ** 53 }, 2, 'maxRounds must be a positive whole number'],
  ])('rejects %j for %i regions: %s', ([changes, regions, fault]) => {
    expect(failoverFaults(changes, regions)).toEqual([fault]);
    expect(() => failoverPolicy(changes, regions)).toThrow(fault);
  });

  it('lists every invalid setting', () => {
    expect(failoverFaults({ maxRounds: 0, baseDelayMs: 2001, minimumWrappedRegions: 2 }, 1)).toEqual([
      'maxRounds must be a positive whole number',
      'baseDelayMs is more than longestDelayMs',
      'minimumWrappedRegions is 2 and there are 1 regions with a KMS key',
    ]);
  });
});
