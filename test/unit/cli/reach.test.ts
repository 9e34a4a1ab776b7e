import { describe, expect, it } from 'vitest';
import { latestBy, latestByInWords, reachOf } from '../../../src/cli/reach.ts';
import { cryptoPolicy } from '../../../src/index.ts';
import { MINUTE_MS } from '../../support/fakes.ts';

const WRITTEN_AT = Date.UTC(2026, 0, 1);

describe('a revocation', () => {
  it('reaches the last warm process one revokeCheckInterval after the write', () => {
    expect(latestBy(cryptoPolicy(), WRITTEN_AT)).toBe('2026-01-01T01:00:00.000Z');
    expect(latestBy(cryptoPolicy({ revokeCheckIntervalMs: 90_500 }), WRITTEN_AT)).toBe('2026-01-01T00:01:30.500Z');
  });

  it('may take up to staleGrace longer while the metastore is down, and the command prints this delay', () => {
    const bounds = { revokeCheckIntervalMs: 60 * MINUTE_MS, staleGraceMs: 15 * MINUTE_MS };
    expect(latestByInWords(bounds, WRITTEN_AT)).toBe(
      '2026-01-01T01:00:00.000Z: 60 min (revokeCheckInterval) after the write, plus staleGrace (15 min) while the metastore is down',
    );
  });

  it.for([
    [
      'a System Key affects new encrypts of every partition of the service',
      '_SK_orders_shop',
      'new encrypts of every partition of the service:',
    ],
    [
      "a region's System Key affects new encrypts of every partition of the service in that region",
      '_SK_orders_shop_us-east-1',
      'new encrypts of every partition of the service in us-east-1,',
    ],
    [
      'an Intermediate Key affects new encrypts of its partition',
      '_IK_p_orders_shop',
      'new encrypts of this partition:',
    ],
    [
      "a region's Intermediate Key affects new encrypts of its partition in that region",
      '_IK_p_orders_shop_us-east-1',
      'new encrypts of this partition in us-east-1,',
    ],
  ] as const)('of %s', ([, id, says]) => {
    const region = id.endsWith('us-east-1') ? 'us-east-1' : undefined;
    const [first] = reachOf(id, region, cryptoPolicy(), WRITTEN_AT);
    expect(first?.[0]).toBe('reaches');
    expect(first?.[1]).toContain(says);
  });
});
