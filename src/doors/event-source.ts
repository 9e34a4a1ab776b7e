import type { APIGatewayProxyEventV2, SQSEvent } from 'aws-lambda';
import { KeyfoldError } from '../errors.ts';

type Members = Readonly<Record<string, unknown>>;

/** What a function says to an event that is not for it. */
export function unexpectedEvent(expected: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `This function expects ${expected}; this event is something else.`);
}

/** Whether an event is a request that an HTTP API of API Gateway hands over in payload format 2.0. */
export function isFromGateway(event: unknown): event is APIGatewayProxyEventV2 {
  const { version, type, routeKey, rawPath, headers, pathParameters, requestContext } = membersOf(event);
  const { http, domainName } = membersOf(requestContext);
  const { partition, operation } = membersOf(pathParameters);
  return (
    version === '2.0' &&
    // A Lambda authorizer's events look the same but for their type.
    type === undefined &&
    typeof routeKey === 'string' &&
    typeof rawPath === 'string' &&
    isObject(headers) &&
    // Only what is read of them is checked, since every request comes by here.
    isTextOrAbsent(headers['content-type']) &&
    isTextOrAbsent(headers['content-encoding']) &&
    isTextOrAbsent(partition) &&
    isTextOrAbsent(operation) &&
    typeof membersOf(http)['method'] === 'string' &&
    typeof domainName === 'string' &&
    // A function URL's events look the same but for its name.
    !domainName.includes('.lambda-url.')
  );
}

/** Whether an event is an HTTP request from anywhere, whose sender reads a response: a function URL, a REST API, a load balancer. */
export function isRequest(event: unknown): boolean {
  return isObject(membersOf(event)['requestContext']);
}

/** Whether an event may be a direct invocation, right or wrong. */
export function isInvocation(event: unknown): boolean {
  const { operation, partition } = membersOf(event);
  return operation !== undefined || partition !== undefined;
}

/** Whether an event brings messages of SQS and nothing else. */
export function isFromQueue(event: unknown): event is SQSEvent {
  const { Records: records } = membersOf(event);
  return Array.isArray(records) && records.every(isQueueRecord);
}

function isQueueRecord(record: unknown): boolean {
  const { eventSource, eventSourceARN, messageId, body, attributes } = membersOf(record);
  const isNamed = [eventSourceARN, messageId, body].every((text) => typeof text === 'string');
  return eventSource === 'aws:sqs' && isNamed && isObject(attributes);
}

/** Whether an event is a schedule's, or empty, as an operator invokes a function by hand. */
export function isFromSchedule(event: unknown): boolean {
  if (event === null || event === undefined) return true;
  const { source, 'detail-type': detailType } = membersOf(event);
  if (source === 'aws.events' || source === 'aws.scheduler') {
    return detailType === undefined || detailType === 'Scheduled Event';
  }
  return isObject(event) && Object.keys(event).length === 0;
}

function isTextOrAbsent(value: unknown): boolean {
  return typeof value === 'string' || value === undefined;
}

function membersOf(value: unknown): Members {
  return isObject(value) ? value : {};
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
