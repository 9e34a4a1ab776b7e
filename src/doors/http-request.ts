import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { ACTION_OF, type OperationName } from '../operations/operation-name.ts';
import { base64Length, type OperationRequest } from '../operations/operation.ts';
import { readBodyText } from './http-body.ts';
import { requestOf } from './json-request.ts';

/** Space in a body besides its payload: the rest of the record, white space and unknown members. */
const BODY_ROOM_BYTES = 64 * 1024;
/** Lambda's limit for an event. */
const MAX_EVENT_BYTES = 6 * 1024 * 1024;
const PLAINTEXT_PREFIX = '{"plaintext":"';
const PLAINTEXT_SUFFIX = '"}';
/** Matches a decrypt request up to the payload, if its record is written as by Keyfold and Asherah for Go. */
const DATA_PREFIX =
  /^\{"record":\{"Key":\{"Created":(0|[1-9]\d{0,14}),"Key":"([A-Za-z0-9+/=]*)","ParentKeyMeta":\{"KeyId":"([ !#-[\]-\uffff]*)","Created":(0|[1-9]\d{0,14})\}\},"Data":"/;
const DATA_SUFFIX = '"}}';

/**
 * Parses the body of a request.
 * @param limitBytes the largest body that is accepted, after base64 decoding
 * @throws KeyfoldError `UnsupportedMediaType`, `PayloadTooLarge` or `InvalidRequest`, none of which contains the body
 */
export function readBody(event: APIGatewayProxyEventV2, limitBytes: number): OperationRequest {
  const text = readBodyText(event, limitBytes);
  const value = plaintextAlone(text) ?? recordAlone(text);
  return value === undefined ? requestOf(text) : { value, text: () => text };
}

/**
 * A fast path for a body that contains only a plaintext; undefined for any other body. The JSON parser is skipped,
 * because on a large body it takes half as long as sealing. This is safe: the base64 decoder later refuses every
 * character that JSON forbids or escapes.
 */
function plaintextAlone(text: string): { plaintext: string } | undefined {
  if (!text.startsWith(PLAINTEXT_PREFIX)) return undefined;
  const rest = text.slice(PLAINTEXT_PREFIX.length);
  if (!rest.endsWith(PLAINTEXT_SUFFIX)) return undefined;
  const plaintext = rest.slice(0, -PLAINTEXT_SUFFIX.length);
  return plaintext.includes('"') || plaintext.includes('\\') ? undefined : { plaintext };
}

/**
 * The fast path of {@link plaintextAlone} for a body that contains only a record. The pattern rules out repeated names.
 */
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

/**
 * The largest body that an operation accepts, in bytes. Operations on one item accept the largest plaintext in base64;
 * the others accept as much as Lambda does.
 */
export function bodyLimitBytes(operation: OperationName, plaintextLimitBytes: number): number {
  return operation === ACTION_OF[operation] ? base64Length(plaintextLimitBytes) + BODY_ROOM_BYTES : MAX_EVENT_BYTES;
}
