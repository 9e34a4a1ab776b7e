import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { ACTION_OF, type OperationName } from '../operations/operation-name.ts';
import { base64Length, type OperationRequest } from '../operations/operation.ts';
import { readBodyText } from './http-body.ts';
import { requestOf } from './json-request.ts';

/** What a record or a request adds to its payload, with room for white space and fields we do not know. */
const BODY_ROOM_BYTES = 64 * 1024;
/** Lambda's own limit. */
const MAX_EVENT_BYTES = 6 * 1024 * 1024;
const BEFORE_PLAINTEXT = '{"plaintext":"';
const BEHIND_PLAINTEXT = '"}';
/** A request with a record as Keyfold and Asherah's Go write it, up to the payload. */
const DATA_PREFIX =
  /^\{"record":\{"Key":\{"Created":(0|[1-9]\d{0,14}),"Key":"([A-Za-z0-9+/=]*)","ParentKeyMeta":\{"KeyId":"([ !#-[\]-\uffff]*)","Created":(0|[1-9]\d{0,14})\}\},"Data":"/;
const DATA_SUFFIX = '"}}';

/**
 * The request's body, parsed.
 * @throws KeyfoldError `UnsupportedMediaType`, `PayloadTooLarge` or `InvalidRequest`; never with the body on it
 */
export function readBody(event: APIGatewayProxyEventV2, limitBytes: number): OperationRequest {
  const text = readBodyText(event, limitBytes);
  const value = plaintextAlone(text) ?? recordAlone(text);
  return value === undefined ? requestOf(text) : { value, text: () => text };
}

/**
 * A body that holds a plaintext and nothing else, without a look at each of its characters. Decoding the base64 is that look:
 * no character that JSON forbids or escapes is part of base64. Parsing a large one takes half as long as sealing it.
 */
function plaintextAlone(text: string): { plaintext: string } | undefined {
  if (!text.startsWith(BEFORE_PLAINTEXT)) return undefined;
  const rest = text.slice(BEFORE_PLAINTEXT.length);
  if (!rest.endsWith(BEHIND_PLAINTEXT)) return undefined;
  const plaintext = rest.slice(0, -BEHIND_PLAINTEXT.length);
  return plaintext.includes('"') || plaintext.includes('\\') ? undefined : { plaintext };
}

/** A body that holds a record and nothing else, as {@link plaintextAlone}. No name can stand in it twice. */
function recordAlone(text: string): { record: unknown } | undefined {
  const match = DATA_PREFIX.exec(text);
  if (match === null) return undefined;
  const [before, created, key, keyId, parentCreated] = match;
  const rest = text.slice(before.length);
  if (!rest.endsWith(DATA_SUFFIX)) return undefined;
  const data = rest.slice(0, -DATA_SUFFIX.length);
  if (data.includes('"') || data.includes('\\')) return undefined;
  const parent = { KeyId: keyId, Created: Number(parentCreated) };
  return { record: { Key: { Created: Number(created), Key: key, ParentKeyMeta: parent }, Data: data } };
}

/** How long the body of an operation may be: what the largest payload needs, and as much as Lambda takes where there may be many. */
export function bodyLimitBytes(operation: OperationName, plaintextLimitBytes: number): number {
  return operation === ACTION_OF[operation] ? base64Length(plaintextLimitBytes) + BODY_ROOM_BYTES : MAX_EVENT_BYTES;
}
