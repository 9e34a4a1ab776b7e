import { KeyfoldError } from '../envelope/errors.ts';
import { isOnFields, isOperationName, type OperationName } from '../operations/operation-name.ts';
import type { Call } from './perform.ts';

/** What an event means where it says nothing. */
export interface InvocationDefaults {
  readonly operation?: OperationName;
  /** Which values of a document are meant, of an operation on fields. */
  readonly fields?: readonly string[] | undefined;
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
  const { operation = defaults.operation, partition, ...given } = event as Readonly<Record<string, unknown>>;
  if (!isOperationName(operation)) throw new KeyfoldError('InvalidRequest', 'The event names no operation there is.');
  if (typeof partition !== 'string') throw new KeyfoldError('InvalidRequest', 'The event has no partition.');
  return { partition, operation, request: { value: withFields(operation, given, defaults), text } };
}

/** What was given, with the fields that are meant where it says nothing of them. */
function withFields(
  operation: OperationName,
  given: Readonly<Record<string, unknown>>,
  { fields }: InvocationDefaults,
): unknown {
  const isSaid = Object.hasOwn(given, 'fields') || Object.hasOwn(given, 'all');
  return fields === undefined || isSaid || !isOnFields(operation) ? given : { ...given, fields };
}
