import { readPlaintextBody, readRecordBody } from '../records/fast-paths.ts';
import { ACTION_OF, type OperationName } from '../operations/operation-name.ts';
import { base64Length, type OperationRequest } from '../operations/operation.ts';
import { readBodyText } from './http-body.ts';
import type { HttpRequest } from './http-event.ts';
import { requestOf } from './json-request.ts';

/** The bytes that a body may have besides the payload: the rest of the record, white space and unknown members. */
const BODY_ROOM_BYTES = 64 * 1024;
/** Lambda's limit for an event. */
const MAX_EVENT_BYTES = 6 * 1024 * 1024;

/** The fast path of each operation that has one. */
const FAST_PATHS: Readonly<Partial<Record<OperationName, (text: string) => unknown>>> = {
  encrypt: readPlaintextBody,
  decrypt: readRecordBody,
  rewrap: readRecordBody,
};

/**
 * Parses the body of a request.
 * @param limitBytes the largest body that is accepted, after base64 decoding
 * @throws KeyfoldError `UnsupportedMediaType`, `PayloadTooLarge` or `InvalidRequest`, none of which contains the body
 */
export async function readBody(
  request: HttpRequest,
  operation: OperationName,
  limitBytes: number,
): Promise<OperationRequest> {
  const text = await readBodyText(request, limitBytes);
  const value = FAST_PATHS[operation]?.(text);
  return value === undefined ? requestOf(text) : { value, text: () => text };
}

/**
 * The largest body that an operation accepts, in bytes. For an operation on one item, this is the largest plaintext in
 * base64, plus some headroom. Other operations accept as much as Lambda does.
 */
export function bodyLimitBytes(operation: OperationName, plaintextLimitBytes: number): number {
  return operation === ACTION_OF[operation] ? base64Length(plaintextLimitBytes) + BODY_ROOM_BYTES : MAX_EVENT_BYTES;
}
