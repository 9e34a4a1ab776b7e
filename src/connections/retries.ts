import { isServerError, isThrottlingError, isTransientError, StandardRetryStrategy } from '@smithy/core/retry';

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

/**
 * Codes of temporary faults that the SDK does not know: those of `fetch` for a connection that closed or did not
 * respond, and those of the system if it has no free file descriptor.
 */
const PASSING = /^(?:UND_ERR_(?:(?:CONNECT|HEADERS|BODY)_TIMEOUT|SOCKET)|EMFILE|ENFILE)$/;
/** The number of causes in which {@link mayPass} looks for a code. `fetch` has its reason in its first cause. */
const MAX_CAUSES = 10;

/**
 * Whether another attempt may succeed: after throttling, a 5xx response or a network error, according to the SDK or to
 * the code of the error or of one of its causes.
 */
export function mayPass(thrown: unknown): boolean {
  const error = (thrown instanceof Error ? thrown : new Error()) as Parameters<typeof isTransientError>[0];
  return isThrottlingError(error) || isTransientError(error) || isServerError(error) || hasPassingCode(thrown);
}

function hasPassingCode(thrown: unknown, causes = 0): boolean {
  if (typeof thrown !== 'object' || thrown === null || causes > MAX_CAUSES) return false;
  const { code, cause } = thrown as { readonly code?: unknown; readonly cause?: unknown };
  return (typeof code === 'string' && PASSING.test(code)) || hasPassingCode(cause, causes + 1);
}
