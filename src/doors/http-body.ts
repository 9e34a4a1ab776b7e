import { decodeBase64 } from '../crypto/base64.ts';
import { utf8Of } from '../crypto/utf8.ts';
import { KeyfoldError } from '../errors.ts';
import { base64Length } from '../operations/operation.ts';
import type { HttpRequest } from './http-event.ts';

/**
 * Returns the text of a request's body.
 * @param limitBytes the largest body that is accepted, after base64 decoding
 * @throws KeyfoldError `UnsupportedMediaType`, `PayloadTooLarge` or `InvalidRequest`, none of which contains the body
 */
export async function readBodyText(
  { headers, body, isBase64Encoded }: HttpRequest,
  limitBytes: number,
): Promise<string> {
  await checkType(headers['content-type']);
  checkEncoding(headers['content-encoding']);
  // If a request has no body, `body` is absent in payload format 2.0, and null in 1.0.
  const given = body ?? '';
  if (typeof given !== 'string') throw invalid("The event's body must be text: the JSON as a string.");
  if (given === '') throw invalid('The request has no body: send a JSON object.');
  if (given.length > (isBase64Encoded ? base64Length(limitBytes) : limitBytes)) {
    throw new KeyfoldError('PayloadTooLarge', `The body is larger than ${limitBytes} bytes.`);
  }
  return isBase64Encoded ? decode(given) : given;
}

/** Checks the Content-Type. To keep cold starts short, the code for parameters is loaded at its first use. */
async function checkType(header: string | undefined): Promise<void> {
  if (header === 'application/json') return;
  const { mediaTypeFault } = await import('./media-type.ts');
  const fault = mediaTypeFault(header ?? '');
  if (fault !== undefined) throw unsupported(fault);
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
