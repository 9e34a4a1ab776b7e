import { isThrottlingError, isTransientError } from '@smithy/core/retry';
import { signatureFaultOf } from './signature-fault.ts';

/**
 * Codes of temporary faults that the SDK does not know: those of `fetch` for a connection that closed or did not
 * respond, and those of the system if its network is down, or if it has no free file descriptor, port or buffer.
 */
const PASSING =
  /^(?:UND_ERR_(?:(?:CONNECT|HEADERS|BODY)_TIMEOUT|SOCKET)|E(?:MFILE|NFILE|ADDRNOTAVAIL|CONNABORTED|HOSTDOWN|NETDOWN|NOBUFS))$/;
/** The number of causes in which {@link mayPass} looks for a code. `fetch` has its reason in its first cause. */
const MAX_CAUSES = 10;

/** The error with which the SDK's search ends if it has found no credentials anywhere. */
const NOTHING_FOUND = 'Could not load credentials from any providers';
/**
 * The error of STS if it could not fetch the key of the identity provider in time. Its name is the same as for a token
 * that is invalid.
 */
const KEY_NOT_FETCHED = /^Couldn't retrieve verification key\b/;

type SdkError = Parameters<typeof isTransientError>[0];

/**
 * Whether another attempt may succeed: after throttling, a 5xx response or a network error, according to the SDK or to
 * the code of the error or of one of its causes, or after an agent in the environment had no credentials.
 */
export function mayPass(thrown: unknown): boolean {
  const error = (thrown instanceof Error ? thrown : new Error()) as SdkError;
  const { httpStatusCode: status = 0 } = error.$metadata ?? {};
  return (
    isThrottlingError(error) ||
    isTransient(error) ||
    (status >= 500 && status <= 599) ||
    hasPassingCode(thrown) ||
    (error.name.startsWith('InvalidIdentityToken') && KEY_NOT_FETCHED.test(error.message)) ||
    (error.message === NOTHING_FOUND && isPromisedCredentials())
  );
}

/**
 * Whether another call of a function that finds a secret or AWS credentials may succeed. AWS may have refused the
 * function's own credentials, which have expired, or its signature, because of the clock.
 */
export function mayFindLater(thrown: unknown): boolean {
  return mayPass(thrown) || signatureFaultOf(thrown) !== undefined;
}

/**
 * Whether the environment names the address of an agent that has credentials, as on ECS and EKS. If the SDK found none,
 * that agent has failed or throttled. The SDK's error does not say so.
 */
function isPromisedCredentials(): boolean {
  const { AWS_CONTAINER_CREDENTIALS_FULL_URI: full, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: relative } = process.env;
  return Boolean(full) || Boolean(relative);
}

/** Asks the SDK. The SDK throws a TypeError if one of the error's causes is null; such an error is not transient. */
function isTransient(error: SdkError): boolean {
  try {
    return isTransientError(error);
  } catch {
    return false;
  }
}

function hasPassingCode(error: unknown, causes = 0): boolean {
  if (typeof error !== 'object' || error === null || causes > MAX_CAUSES) return false;
  const { code, cause } = error as { readonly code?: unknown; readonly cause?: unknown };
  return (typeof code === 'string' && PASSING.test(code)) || hasPassingCode(cause, causes + 1);
}
