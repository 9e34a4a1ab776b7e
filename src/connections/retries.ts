import { StandardRetryStrategy } from '@smithy/core/retry';

/** The part of a retry strategy that the SDK's clients call. */
type RetryStrategy = Pick<
  StandardRetryStrategy,
  'acquireInitialRetryToken' | 'refreshRetryTokenForRetry' | 'recordSuccess'
>;

/**
 * The SDK's standard retries with a quota for each request. The SDK's own quota belongs to the client and is refilled by later
 * successes alone: after an outage, the requests of a healthy table would go without retries. How much a request may cost is
 * bounded by its attempts and its deadline.
 * @example
 * new DynamoDBClient({ maxAttempts: 3, retryStrategy: retriesOf(3) });
 */
export function retriesOf(maxAttempts: number): RetryStrategy {
  const fresh = (): StandardRetryStrategy => new StandardRetryStrategy(maxAttempts);
  return {
    acquireInitialRetryToken: (scope) => fresh().acquireInitialRetryToken(scope),
    refreshRetryTokenForRetry: (token, error) => fresh().refreshRetryTokenForRetry(token, error),
    recordSuccess: () => {},
  };
}
