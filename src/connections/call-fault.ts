import { errorNameOf } from '../errors.ts';

/** Why a call to AWS failed, for an operator. */
export interface CallFault {
  /** The name of the service's error, or the code of a network error, such as `ECONNREFUSED`. */
  readonly name: string;
  /** The address that did not respond, or the message of an error that names what an operator must correct. */
  readonly detail?: string | undefined;
}

/**
 * Errors whose message is kept, because it names a principal, a key, a state or a table. Other messages are omitted,
 * because some SDK errors quote responses, which can contain data.
 */
const DETAILED_ERRORS = new Set([
  'AccessDeniedException',
  'CredentialsProviderError',
  'DisabledException',
  'ExpiredTokenException',
  'InvalidArnException',
  'KMSInvalidStateException',
  'NotFoundException',
  'ResourceNotFoundException',
  'UnknownOperationException',
  'UnrecognizedClientException',
]);
const MAX_DETAIL = 400;

/** Describes the error of an SDK client. For a network error, it keeps the code and the address. */
export function callFaultOf(thrown: unknown): CallFault {
  const name = errorNameOf(thrown);
  const address = addressOf(thrown);
  if (address !== undefined) return { name, detail: address };
  const isDetailed = DETAILED_ERRORS.has(name) && thrown instanceof Error;
  return { name, ...(isDetailed && { detail: thrown.message.slice(0, MAX_DETAIL) }) };
}

/** The address that did not respond, such as `127.0.0.1:8082`. Undefined if the error is not a network error. */
export function addressOf(thrown: unknown): string | undefined {
  const { address, port, errors } = (thrown ?? {}) as {
    readonly address?: string;
    readonly port?: number;
    readonly errors?: readonly unknown[];
  };
  if (address !== undefined) return `${address}:${port ?? '?'}`;
  // If a name has several addresses, Node reports one error for each of them.
  return Array.isArray(errors) ? addressOf(errors[0]) : undefined;
}

/** Formats a fault in one line, such as `ECONNREFUSED 127.0.0.1:8082`. */
export function faultText({ name, detail }: CallFault): string {
  if (detail === undefined) return name;
  return /^E[A-Z]+$/.test(name) ? `${name} ${detail}` : `${name}: ${detail}`;
}
