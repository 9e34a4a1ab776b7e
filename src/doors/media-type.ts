import { MIMEType } from 'node:util';

const JSON_TYPE = 'application/json';
/** The longest Content-Type that is parsed, because Node's parser takes quadratic time for white space. */
const MAX_LENGTH = 1000;

/**
 * Says why a Content-Type (RFC 9110, 8.3) does not mean JSON in UTF-8. Among its parameters, only `charset` matters.
 * Undefined if the type is accepted.
 */
export function mediaTypeFault(header: string): string | undefined {
  const type = header.length > MAX_LENGTH ? undefined : parseType(header);
  if (type?.essence !== JSON_TYPE) return `The Content-Type must be ${JSON_TYPE}.`;
  const charset = type.params.get('charset');
  const isUtf8 = /^utf-?8$/i.test(charset ?? 'utf-8') && charsetsIn(header) === (charset === null ? 0 : 1);
  return isUtf8 ? undefined : 'The Content-Type may name one charset, once: UTF-8.';
}

/** Counts the charsets in a Content-Type, because `MIMEType` silently drops a malformed or repeated charset. */
function charsetsIn(header: string): number {
  const unquoted = header.replaceAll(/="(?:\\.|[^"\\])*"?/g, '=');
  return unquoted.match(/;\s*charset\s*(?=[=;]|$)/gi)?.length ?? 0;
}

function parseType(header: string): MIMEType | undefined {
  try {
    return new MIMEType(header);
  } catch {
    return undefined;
  }
}
