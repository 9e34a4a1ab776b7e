import type { APIGatewayProxyEventV2, SQSEvent } from 'aws-lambda';
import { KeyfoldError } from '../errors.ts';
import { isJsonObject, membersOf } from '../input/json-object.ts';

/** The error for an event from a source that this function does not serve. */
export function unexpectedEvent(expected: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `This function expects ${expected}; this event is something else.`);
}

/** Whether an event is a request of an API Gateway HTTP API in payload format 2.0. */
export function isFromGateway(event: unknown): event is APIGatewayProxyEventV2 {
  const { version, type, routeKey, rawPath, headers, pathParameters, requestContext } = membersOf(event);
  const { http, domainName } = membersOf(requestContext);
  const { partition, operation } = membersOf(pathParameters);
  return (
    version === '2.0' &&
    // Events for a Lambda authorizer differ from requests only by their member `type`.
    type === undefined &&
    typeof routeKey === 'string' &&
    typeof rawPath === 'string' &&
    isJsonObject(headers) &&
    // Check only the headers and parameters that a door reads, because this runs for every request.
    isTextOrAbsent(headers['content-type']) &&
    isTextOrAbsent(headers['content-encoding']) &&
    isTextOrAbsent(partition) &&
    isTextOrAbsent(operation) &&
    typeof membersOf(http)['method'] === 'string' &&
    typeof domainName === 'string' &&
    // Events of a function URL differ only by their domain name.
    !domainName.includes('.lambda-url.')
  );
}

/**
 * Whether an event is an HTTP request of any kind, for example from a function URL, a REST API or a load balancer. Such
 * a sender reads an HTTP response.
 */
export function isRequest(event: unknown): boolean {
  return isJsonObject(membersOf(event)['requestContext']);
}

/** Whether the sender of an event meant a direct invocation, even if the event is invalid. */
export function isInvocation(event: unknown): boolean {
  const { operation, partition } = membersOf(event);
  return operation !== undefined || partition !== undefined;
}

/** Whether every record of an event is an SQS message. */
export function isFromQueue(event: unknown): event is SQSEvent {
  const { Records: records } = membersOf(event);
  return Array.isArray(records) && records.every(isQueueRecord);
}

function isQueueRecord(record: unknown): boolean {
  const { eventSource, eventSourceARN, messageId, body, attributes } = membersOf(record);
  const isNamed = [eventSourceARN, messageId, body].every((text) => typeof text === 'string');
  return eventSource === 'aws:sqs' && isNamed && isJsonObject(attributes);
}

/** Whether an event is from an EventBridge schedule, or is empty because an operator invoked the function by hand. */
export function isFromSchedule(event: unknown): boolean {
  if (event === null || event === undefined) return true;
  const { source, 'detail-type': detailType } = membersOf(event);
  if (source === 'aws.events' || source === 'aws.scheduler') {
    return detailType === undefined || detailType === 'Scheduled Event';
  }
  return isJsonObject(event) && Object.keys(event).length === 0;
}

function isTextOrAbsent(value: unknown): boolean {
  return typeof value === 'string' || value === undefined;
}
