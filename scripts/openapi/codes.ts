import * as v from 'valibot';
import type { ErrorCode } from '../../src/errors.ts';

/** Explains when the API responds with each error code. Undefined for a code that no response has. */
const CODES: Readonly<Record<ErrorCode, string | undefined>> = {
  InvalidConfiguration: undefined,
  InvalidRequest: 'not JSON, wrong shape, two members of one name, bad base64, bad partition, bad path, too many items',
  Unauthenticated: 'the request has not passed the authorizer that is configured',
  Forbidden: 'the caller may not do this, or this function does not serve it',
  NotFound: 'there is nothing at this path',
  MethodNotAllowed: 'the path takes another method, which Allow names',
  UnsupportedMediaType: 'the body is not application/json in UTF-8, or has a Content-Encoding',
  PayloadTooLarge: 'the body, the plaintexts together, or the answer that there would be',
  FieldNotFound: 'a path selects nothing',
  ContextRequired: 'the record is bound to a context, or the configuration requires one, and the request has none',
  RecordUnreadable: "tampered with, another partition's, or its key is gone: one answer for all",
  PartitionErased: 'an operator has erased the keys of the partition, or is about to; no retry can succeed',
  KeyNotYetVisible: 'a key under 15 minutes old that may not have been replicated here yet',
  KmsThrottled: 'KMS throttles in every region',
  KmsUnavailable: 'no region of KMS answered, and one may later',
  KmsMisconfigured: 'every region of KMS refused',
  KeyRowUnreadable: 'a row of the key table does not parse, or its key opens nowhere',
  MetastoreUnavailable: 'DynamoDB does not answer, or refuses',
  NotReady: 'the latest System Key does not open, or the table does not answer',
  DeadlineExceeded: 'there was no time left',
  Internal: 'anything else; no detail goes out',
};

/** The codes that a response can have. */
export const ANSWERED_CODES = (Object.keys(CODES) as ErrorCode[]).filter((code) => CODES[code] !== undefined);

/** The code of an error, for a whole request or for one item of a batch. */
export const errorCode = v.pipe(v.picklist(ANSWERED_CODES), v.description(describeCodes(ANSWERED_CODES)));

/** Describes codes, one per line. */
export function describeCodes(codes: readonly ErrorCode[]): string {
  return codes.map((code) => `${code}: ${CODES[code] ?? ''}.`).join('\n');
}
