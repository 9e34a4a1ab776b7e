import { afterEach, expect, it, vi } from 'vitest';
import { retriesOf } from '../../../src/connections/retries.ts';
import { errorOf } from '../../support/fakes.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

it('each request has its own retries, even after an outage in which many requests failed', async () => {
  // Without a random delay, the SDK's strategy does not wait before a retry.
  vi.spyOn(Math, 'random').mockReturnValue(0);
  const strategy = retriesOf(4);
  const down = { errorType: 'TRANSIENT' } as const;
  for (let request = 0; request < 100; request += 1) {
    let token = await strategy.acquireInitialRetryToken('service');
    for (let retry = 1; retry <= 3; retry += 1) {
      token = await strategy.refreshRetryTokenForRetry(token, down);
      expect(token.getRetryCount()).toBe(retry);
    }
    expect(await errorOf(strategy.refreshRetryTokenForRetry(token, down))).toBeInstanceOf(Error);
    strategy.recordSuccess(token);
  }
});
