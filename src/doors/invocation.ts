import { KeyfoldError } from '../envelope/errors.ts';
import { isOperationName, type OperationName } from '../operations/operation-name.ts';
import type { Call } from './perform.ts';

/** What an event means where it says nothing. */
export interface InvocationDefaults {
  readonly operation?: OperationName;
}

/**
 * Reads an event that names its operation and partition itself: a direct invocation, or the body of a message.
 * @param event parsed JSON
 * @param text see {@link OperationRequest}
 * @throws KeyfoldError `InvalidRequest`
 */
export function readInvocation(event: unknown, text: () => string, defaults: InvocationDefaults = {}): Call {
  if (typeof event !== 'object' || event === null || Array.isArray(event)) {
    throw new KeyfoldError('InvalidRequest', 'The event is not a JSON object.');
  }
  const { operation = defaults.operation, partition, ...value } = event as Readonly<Record<string, unknown>>;
  if (!isOperationName(operation)) throw new KeyfoldError('InvalidRequest', 'The event names no operation there is.');
  if (typeof partition !== 'string') throw new KeyfoldError('InvalidRequest', 'The event has no partition.');
  return { partition, operation, request: { value, text } };
}
