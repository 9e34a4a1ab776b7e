import { MIMEType } from 'node:util';
import { decodeBase64 } from '../crypto/base64.ts';
import { utf8Of } from '../crypto/utf8.ts';
import { KeyfoldError } from '../errors.ts';
import { base64Length } from '../operations/operation.ts';
import type { HttpRequest } from './http-event.ts';

const JSON_TYPE = 'application/json';
/** The longest Content-Type that is parsed, because Node's parser takes quadratic time for white space. */
const MAX_TYPE_LENGTH = 1000;

/**
 * Returns the text of a request's body.
 * @param limitBytes the largest body that is accepted, after base64 decoding
 * @throws KeyfoldError `UnsupportedMediaType`, `PayloadTooLarge` or `InvalidRequest`, none of which contains the body
 */
export function readBodyText({ headers, body, isBase64Encoded }: HttpRequest, limitBytes: number): string {
  checkType(headers['content-type']);
  checkEncoding(headers['content-encoding']);
  // An empty request has no body in payload format 2.0, and null in 1.0.
  const given = body ?? '';
  if (typeof given !== 'string') throw invalid("The event's body must be text: the JSON as a string.");
  if (given === '') throw invalid('The request has no body: send a JSON object.');
  if (given.length > (isBase64Encoded ? base64Length(limitBytes) : limitBytes)) {
    throw new KeyfoldError('PayloadTooLarge', `The body is larger than ${limitBytes} bytes.`);
  }
  return isBase64Encoded ? decode(given) : given;
}

/** Checks the Content-Type (RFC 9110, 8.3). Of its parameters only `charset` matters, and it must be UTF-8. */
function checkType(header: string | undefined): void {
  if (header === JSON_TYPE) return;
  const type = (header ?? '').length > MAX_TYPE_LENGTH ? undefined : parseType(header);
  if (type?.essence !== JSON_TYPE) {
    throw unsupported(`The Content-Type must be ${JSON_TYPE}.`);
  }
  const charset = type.params.get('charset');
  if (!/^utf-?8$/i.test(charset ?? 'utf-8') || charsetsIn(header) !== (charset === null ? 0 : 1)) {
    throw unsupported('The Content-Type may name one charset, once: UTF-8.');
  }
}

/** Counts the charsets in a Content-Type, because `MIMEType` silently drops a malformed or repeated charset. */
function charsetsIn(header = ''): number {
  const unquoted = header.replaceAll(/="(?:\\.|[^"\\])*"?/g, '=');
  return unquoted.match(/;\s*charset\s*(?=[=;]|$)/gi)?.length ?? 0;
}

function parseType(header: string | undefined): MIMEType | undefined {
  try {
    return new MIMEType(header ?? '');
  } catch {
    return undefined;
  }
}

/** Checks that the body is not encoded (RFC 9110, 8.4). The encoding `identity` means no encoding. */
function checkEncoding(header = ''): void {
  const encodings = header.split(',').map((encoding) => encoding.trim().toLowerCase());
  if (encodings.every((encoding) => encoding === '' || encoding === 'identity')) return;
  throw unsupported('The body has a Content-Encoding, and none is supported: send it uncompressed.');
}

function decode(base64: string): string {
  const bytes = decodeBase64(base64);
  if (bytes === undefined) throw invalid("The event's body is not base64, though isBase64Encoded says so.");
  const text = utf8Of(bytes);
  if (text === undefined) throw invalid('The body is not UTF-8.');
  return text;
}

function unsupported(message: string): KeyfoldError {
  return new KeyfoldError('UnsupportedMediaType', message);
}

function invalid(message: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', message);
}
