import { KeyfoldError } from '../errors.ts';
import { isJsonObject, type JsonObject } from '../input/json-object.ts';
import { isOnFields, isOperationName, OPERATION_NAMES, type OperationName } from '../operations/operation-name.ts';
import type { OperationRequest } from '../operations/operation.ts';
import type { Call } from './perform.ts';

/** Values for members that an event omits. */
export interface InvocationDefaults {
  readonly operation?: OperationName;
  /** The JSONPaths of a field operation whose event has neither `fields` nor `all`. */
  readonly fields?: readonly string[] | undefined;
}

/**
 * Reads an event that names its operation and partition: a direct invocation, or the body of a queue message.
 * @throws KeyfoldError `InvalidRequest`
 */
export function readInvocation(given: OperationRequest, defaults: InvocationDefaults = {}): Call {
  const event = given.value;
  if (!isJsonObject(event)) throw invalid('The event must be a JSON object.');
  const { operation = defaults.operation, partition, ...members } = event;
  if (!isOperationName(operation)) throw invalid(`operation must be one of ${OPERATION_NAMES.join(', ')}.`);
  if (partition === undefined) throw invalid('The event must have a partition.');
  if (typeof partition !== 'string') throw invalid('partition must be a string.');
  return { partition, operation, request: { ...given, value: withFields(operation, members, defaults) } };
}

/** Adds the default fields to a field operation, if the request has neither `fields` nor `all`. */
function withFields(operation: OperationName, given: JsonObject, { fields }: InvocationDefaults): unknown {
  const hasSelection = Object.hasOwn(given, 'fields') || Object.hasOwn(given, 'all');
  return fields === undefined || hasSelection || !isOnFields(operation) ? given : { ...given, fields };
}

function invalid(message: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', message);
}
