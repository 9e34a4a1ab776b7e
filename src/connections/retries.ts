import { StandardRetryStrategy } from '@smithy/core/retry';

/** The methods of a retry strategy that the SDK's clients call. */
type RetryStrategy = Pick<
  StandardRetryStrategy,
  'acquireInitialRetryToken' | 'refreshRetryTokenForRetry' | 'recordSuccess'
>;

/**
 * Returns the SDK's standard retry strategy, but with a retry quota for each request. All requests of a client share
 * the SDK's own quota, and only successes refill it. So after an outage, requests to a healthy table would have no
 * retries left. `maxAttempts` and the request's deadline still bound each request.
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
