/**
 * The fast paths around the JSON parser. `JSON.parse` takes half as long as sealing if a text is mostly the base64 of
 * one large payload. Each function here gives exactly what the plain way gives, or undefined. The caller then takes the
 * plain way, which also finds out what is wrong with a text.
 *
 * A payload is decoded here, because strict base64 contains none of the characters that JSON forbids or escapes. That
 * makes a search for them unnecessary.
 */
import { decodeBase64 } from '../crypto/base64.ts';

/** The body of an encrypt request that has only a plaintext. */
export class PlaintextBody {
  readonly plaintext: Buffer;

  constructor(plaintext: Buffer) {
    this.plaintext = plaintext;
  }
}

/** The body of a decrypt or rewrap request that has only a record, as a JSON object. */
export class RecordBody {
  readonly record: {
    readonly key: {
      readonly created: number;
      readonly encryptedKey: Buffer;
      readonly parent: { readonly id: string; readonly created: number };
    };
    readonly data: Buffer;
  };

  constructor(record: RecordBody['record']) {
    this.record = record;
  }
}

const PLAINTEXT_PREFIX = '{"plaintext":"';
const PLAINTEXT_SUFFIX = '"}';
/**
 * Matches a body up to the payload, if its record is written as by Keyfold and Asherah for Go. Each member stands at
 * its own place, so no name is repeated.
 */
const RECORD_PREFIX =
  /^\{"record":\{"Key":\{"Created":(0|[1-9]\d{0,14}),"Key":"([A-Za-z0-9+/=]*)","ParentKeyMeta":\{"KeyId":"([ !#-[\]-\uffff]*)","Created":(0|[1-9]\d{0,14})\}\},"Data":"/;
const RECORD_SUFFIX = '"}}';
const DATA_PREFIX = ',"Data":"';
const DATA_SUFFIX = '"}';

/** Reads the body `{"plaintext":"…"}`. The plain way parses the JSON, refuses repeated names and decodes the base64. */
export function readPlaintextBody(text: string): PlaintextBody | undefined {
  if (!text.startsWith(PLAINTEXT_PREFIX)) return undefined;
  const plaintext = payloadAt(text, PLAINTEXT_PREFIX.length, PLAINTEXT_SUFFIX);
  return plaintext && new PlaintextBody(plaintext);
}

/** Reads the body `{"record":{"Key":…,"Data":"…"}}`. The plain way is that of {@link readPlaintextBody}. */
export function readRecordBody(text: string): RecordBody | undefined {
  const match = RECORD_PREFIX.exec(text);
  if (match === null) return undefined;
  const [before, created, key = '', id = '', parentCreated] = match;
  const encryptedKey = decodeBase64(key);
  const data = payloadAt(text, before.length, RECORD_SUFFIX);
  if (encryptedKey === undefined || data === undefined) return undefined;
  const parent = { id, created: Number(parentCreated) };
  return new RecordBody({ key: { created: Number(created), encryptedKey, parent }, data });
}

/**
 * Splits the text of a record whose last member is its payload: into the value without that member, and the payload.
 * The plain way parses the whole text and decodes its `Data`.
 */
export function cutPayload(text: string): { rest: Record<string, unknown>; data: Buffer } | undefined {
  const at = text.indexOf(DATA_PREFIX);
  if (at < 0) return undefined;
  const data = payloadAt(text, at + DATA_PREFIX.length, DATA_SUFFIX);
  if (data === undefined) return undefined;
  try {
    // If the shortened text is an object with a member, then the removed part was another member of the same object.
    const rest = JSON.parse(`${text.slice(0, at)}}`) as Record<string, unknown>;
    return Object.keys(rest).length > 0 ? { rest, data } : undefined;
  } catch {
    return undefined;
  }
}

/** Reads a JSON string that contains no escape. The plain way is `JSON.parse`. @param source valid JSON, with quotes */
export function readUnescaped(source: string): string | undefined {
  return source.includes('\\') ? undefined : source.slice(1, -1);
}

const [QUOTE, COLON] = [0x22, 0x3a];

/**
 * Whether an object in a JSON text has two members of one name. `JSON.parse` drops repeated members, so the text then
 * has more names than its value. The plain way locates every value of the text, which takes three times as long.
 * Undefined for a text with a backslash: `JSON.parse` of Node 24.21 can confuse its names.
 * @param value what `JSON.parse` gave for the text
 */
export function hasRepeatedNames(text: string, value: unknown): boolean | undefined {
  return text.includes('\\') ? undefined : countMembers(value) !== countNames(text);
}

/**
 * Whether a JSON text has a number beyond `Number.MAX_SAFE_INTEGER`: false if it has neither sixteen digits in a row
 * nor an exponent, which few texts have. The plain way looks at every number of the parsed value.
 */
export function hasLargeNumber(text: string): false | undefined {
  return /\d{16}|\d[eE]\+?\d/.test(text) ? undefined : false;
}

/** Decodes the base64 from `start` to the suffix, which must end the text. Undefined if it is not strict base64. */
function payloadAt(text: string, start: number, suffix: string): Buffer | undefined {
  const rest = text.slice(start);
  return rest.endsWith(suffix) ? decodeBase64(rest.slice(0, -suffix.length)) : undefined;
}

/** Counts the members of all objects in a value. The parser has bounded the depth, so recursion is safe. */
function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countMembers(item);
    return count;
  }
  // Object.values would allocate an array for each object.
  for (const name in value) count += 1 + countMembers((value as Readonly<Record<string, unknown>>)[name]);
  return count;
}

/** Counts the member names in a JSON text without backslashes. Each is followed by a colon outside of a string. */
function countNames(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charCodeAt(at);
    if (character === QUOTE) at = text.indexOf('"', at + 1);
    else if (character === COLON) count += 1;
  }
  return count;
}
