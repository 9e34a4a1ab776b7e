import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { valueWithDataLast } from '../envelope/data-row-record.ts';
import { KeyfoldError } from '../envelope/errors.ts';
import { parseRequestJson } from '../envelope/json-depth.ts';
import { HTTP_PARTITION, NO_HTTP_PARTITION } from '../operations/http-partition.ts';
import { ACTION_OF, isOperationName, type OperationName } from '../operations/operation-name.ts';
import { base64Length, type OperationRequest } from '../operations/operation.ts';

/** What a record or a request adds to its payload, with room for white space and fields we do not know. */
const BODY_ROOM_BYTES = 64 * 1024;
/** Lambda's own limit. */
const LARGEST_EVENT_BYTES = 6 * 1024 * 1024;
const BEFORE_PLAINTEXT = '{"plaintext":"';
const BEHIND_PLAINTEXT = '"}';
const BEFORE_RECORD = '{"record":';
const JSON_TYPE = /^application\/json(?:\s*;\s*charset="?utf-8"?)?\s*$/i;

/** What a request to a partition asks for. */
export interface Target {
  readonly partition: string;
  readonly operation: OperationName;
}

/**
 * Which partition and operation a request names, from the path parameters that API Gateway matched and authorized.
 * @throws KeyfoldError `NotFound` for an operation that there is not
 */
export function readTarget(event: APIGatewayProxyEventV2): Target {
  const { partition = '', operation = '' } = event.pathParameters ?? {};
  if (!isOperationName(operation)) throw new KeyfoldError('NotFound', 'There is no such operation.');
  return { partition, operation };
}

/** @throws KeyfoldError `InvalidRequest` for a partition that cannot be named over HTTP */
export function checkPartition(partition: string): void {
  if (!HTTP_PARTITION.test(partition)) throw new KeyfoldError('InvalidRequest', NO_HTTP_PARTITION);
}

/**
 * The request's body, parsed.
 * @throws KeyfoldError `UnsupportedMediaType`, `PayloadTooLarge` or `InvalidRequest`; never with the body on it
 */
export function readBody(event: APIGatewayProxyEventV2, limitBytes: number): OperationRequest {
  if (!JSON_TYPE.test(event.headers['content-type'] ?? '')) {
    throw new KeyfoldError('UnsupportedMediaType', 'The content type is not application/json.');
  }
  const { body = '', isBase64Encoded } = event;
  if (body.length > (isBase64Encoded ? base64Length(limitBytes) : limitBytes)) {
    throw new KeyfoldError('PayloadTooLarge', `The body is larger than ${limitBytes} bytes.`);
  }
  try {
    const text = isBase64Encoded ? decodeUtf8(Buffer.from(body, 'base64')) : body;
    return { value: plaintextAlone(text) ?? recordAlone(text) ?? parseRequestJson(text), text: () => text };
  } catch (error) {
    if (error instanceof KeyfoldError) throw error;
    // The parser's own error quotes what it read.
    throw new KeyfoldError('InvalidRequest', 'The body is not JSON in UTF-8.');
  }
}

/**
 * A body that holds a plaintext and nothing else, without a look at each of its characters: that is for whoever decodes the
 * base64, which no character that JSON forbids or escapes is part of. Parsing a large one takes half as long as sealing it.
 */
function plaintextAlone(text: string): { plaintext: string } | undefined {
  if (!text.startsWith(BEFORE_PLAINTEXT)) return undefined;
  const rest = text.slice(BEFORE_PLAINTEXT.length);
  if (!rest.endsWith(BEHIND_PLAINTEXT)) return undefined;
  const plaintext = rest.slice(0, -BEHIND_PLAINTEXT.length);
  return plaintext.includes('"') || plaintext.includes('\\') ? undefined : { plaintext };
}

/** A body that holds a record and nothing else, as {@link plaintextAlone}. */
function recordAlone(text: string): { record: unknown } | undefined {
  if (!text.startsWith(BEFORE_RECORD) || !text.endsWith('}')) return undefined;
  const record = valueWithDataLast(text.slice(BEFORE_RECORD.length, -1));
  return record && { record };
}

/** How long the body of an operation may be: what the largest payload needs, and as much as Lambda takes where there may be many. */
export function bodyLimitBytes(operation: OperationName, plaintextLimitBytes: number): number {
  return operation === ACTION_OF[operation] ? base64Length(plaintextLimitBytes) + BODY_ROOM_BYTES : LARGEST_EVENT_BYTES;
}

function decodeUtf8(bytes: Buffer): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}
