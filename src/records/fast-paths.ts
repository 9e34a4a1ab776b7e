/**
 * Fast paths that avoid the JSON parser. If most of a text is the base64 of a large payload, `JSON.parse` takes half as
 * long as the encryption. Each function here returns exactly the result of the plain code, or undefined. If the result
 * is undefined, the caller uses the plain code, which also reports what is wrong with a text.
 *
 * These functions decode the payload. Strict base64 contains no character that JSON forbids or escapes, so they need
 * not search for such characters.
 */
import { decodeBase64 } from '../crypto/base64.ts';
import { PROOF_BYTES } from './record-proof.ts';

/** The body of an encrypt request that has only a plaintext and, optionally, a context. */
export class PlaintextBody {
  readonly plaintext: Buffer;
  readonly context: Strings | undefined;

  constructor(plaintext: Buffer, context?: Strings) {
    this.plaintext = plaintext;
    this.context = context;
  }
}

/** The body of a decrypt or rewrap request that has only a record as a JSON object and, optionally, a context. */
export class RecordBody {
  readonly record: {
    readonly key: {
      readonly created: number;
      readonly encryptedKey: Buffer;
      readonly parent: { readonly id: string; readonly created: number };
    };
    readonly proof?: Buffer;
    readonly data: Buffer;
  };
  readonly context: Strings | undefined;

  constructor(record: RecordBody['record'], context?: Strings) {
    this.record = record;
    this.context = context;
  }
}

/** An object whose values are strings. */
type Strings = Readonly<Record<string, string>>;

const PLAINTEXT_PREFIX = '{"plaintext":"';
/** The text that follows a plaintext: at the end of a body, or before a context. */
const PLAINTEXT_END = { atEnd: '"}', beforeContext: '","context":' };
const RECORD_END = { atEnd: '"}}', beforeContext: '"},"context":' };
/**
 * Matches a body up to the proof or the payload, if its record has the layout that Keyfold and Asherah for Go write.
 * Each member has a fixed place, so no name is repeated.
 */
const RECORD_PREFIX =
  /^\{"record":\{"Key":\{"Created":(0|[1-9]\d{0,14}),"Key":"([A-Za-z0-9+/=]*)","ParentKeyMeta":\{"KeyId":"([ !#-[\]-\uffff]*)","Created":(0|[1-9]\d{0,14})\}\},/;
const PROOF_PREFIX = '"Proof":"';
const PROOF_BASE64_LENGTH = 44;
const PAYLOAD_AFTER_PROOF = '","Data":"';
const PAYLOAD_PREFIX = '"Data":"';
/**
 * The functions search at most this many characters at the end of a body for a context. If the context is longer, the
 * caller uses the plain code.
 */
const MAX_CONTEXT_LENGTH = 512;
const DATA_PREFIX = `,${PAYLOAD_PREFIX}`;
const DATA_SUFFIX = '"}';

/**
 * Reads the body `{"plaintext":"…"}`, optionally with a context after the payload. The plain code parses the JSON,
 * refuses repeated names and decodes the base64.
 */
export function readPlaintextBody(text: string): PlaintextBody | undefined {
  if (!text.startsWith(PLAINTEXT_PREFIX)) return undefined;
  const payload = payloadWithContext(text, PLAINTEXT_PREFIX.length, PLAINTEXT_END);
  return payload && new PlaintextBody(payload.bytes, payload.context);
}

/**
 * Reads the body `{"record":{"Key":…,"Data":"…"}}`, optionally with a context after the record. The plain code is the
 * same as for {@link readPlaintextBody}.
 */
export function readRecordBody(text: string): RecordBody | undefined {
  const match = RECORD_PREFIX.exec(text);
  if (match === null) return undefined;
  const [before, created, key = '', id = '', parentCreated] = match;
  const proof = readProof(text, before.length);
  const dataAt = proof === undefined ? before.length : before.length + PROOF_PREFIX.length + PROOF_BASE64_LENGTH;
  const prefix = proof === undefined ? PAYLOAD_PREFIX : PAYLOAD_AFTER_PROOF;
  if (!text.startsWith(prefix, dataAt)) return undefined;
  const encryptedKey = decodeBase64(key);
  const payload = payloadWithContext(text, dataAt + prefix.length, RECORD_END);
  if (encryptedKey === undefined || payload === undefined) return undefined;
  const parent = { id: ownCopyOf(id), created: Number(parentCreated) };
  const recordKey = { created: Number(created), encryptedKey, parent };
  const { bytes: data, context } = payload;
  return new RecordBody(proof === undefined ? { key: recordKey, data } : { key: recordKey, proof, data }, context);
}

/** Reads the proof at a position of a body. Undefined unless it is there, as the strict base64 of 32 bytes. */
function readProof(text: string, at: number): Buffer | undefined {
  if (!text.startsWith(PROOF_PREFIX, at)) return undefined;
  const start = at + PROOF_PREFIX.length;
  const proof = decodeBase64(text.slice(start, start + PROOF_BASE64_LENGTH));
  return proof?.length === PROOF_BYTES ? proof : undefined;
}

/**
 * Copies a part of a long text that contains no escape. Without a copy, V8 would make a slice, which keeps the whole
 * text in memory. The process keeps the IDs of keys, so it would also keep whole request bodies.
 */
function ownCopyOf(part: string): string {
  return JSON.parse(`"${part}"`) as string;
}

/**
 * Splits the text of a record into its payload and the parsed value of the rest. The payload must be the last member.
 * The plain code parses the whole text and decodes its `Data`.
 */
export function cutPayload(text: string): { rest: Record<string, unknown>; data: Buffer } | undefined {
  const at = text.indexOf(DATA_PREFIX);
  if (at < 0) return undefined;
  const data = payloadAt(text, at + DATA_PREFIX.length, DATA_SUFFIX);
  if (data === undefined) return undefined;
  try {
    // The text before `Data`, closed with `}`, must parse as an object with at least one member. Only then was the part
    // that was cut off a top-level member of the record.
    const rest = JSON.parse(`${text.slice(0, at)}}`) as Record<string, unknown>;
    return Object.keys(rest).length > 0 ? { rest, data } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads a JSON string that contains no escape. The plain code is `JSON.parse`.
 * @param source valid JSON, with quotes
 */
export function readUnescaped(source: string): string | undefined {
  return source.includes('\\') ? undefined : source.slice(1, -1);
}

const [QUOTE, COLON] = [0x22, 0x3a];

/**
 * Whether an object in a JSON text has two members of the same name. `JSON.parse` drops repeated members, so such a
 * text contains more names than the parsed value has. The plain code locates every value of the text, which takes three
 * times as long. Returns undefined for a text with a backslash, because `JSON.parse` of Node 24.21 can confuse its
 * names.
 * @param value the result of `JSON.parse` for the text
 */
export function hasRepeatedNames(text: string, value: unknown): boolean | undefined {
  return text.includes('\\') ? undefined : countMembers(value) !== countNames(text);
}

/**
 * Whether a JSON text may contain a number beyond `Number.MAX_SAFE_INTEGER`. Returns false if the text has neither
 * sixteen digits in a row nor an exponent, as is the case for most texts. The plain code checks every number of the
 * parsed value.
 */
export function hasLargeNumber(text: string): false | undefined {
  return /\d{16}|\d[eE]\+?\d/.test(text) ? undefined : false;
}

/**
 * Decodes the base64 from `start` to the suffix. The text must end with the suffix. Undefined if it is not strict
 * base64.
 */
function payloadAt(text: string, start: number, suffix: string): Buffer | undefined {
  const rest = text.slice(start);
  return rest.endsWith(suffix) ? decodeBase64(rest.slice(0, -suffix.length)) : undefined;
}

/**
 * Decodes the base64 from `start` to the end of the payload, and reads the context after it. The text must end with
 * `atEnd`, or with a brace after the context.
 */
function payloadWithContext(
  text: string,
  start: number,
  { atEnd, beforeContext }: typeof RECORD_END,
): { readonly bytes: Buffer; readonly context?: Strings } | undefined {
  const end = text.indexOf(beforeContext, Math.max(start, text.length - MAX_CONTEXT_LENGTH));
  if (end < 0) {
    const bytes = payloadAt(text, start, atEnd);
    return bytes && { bytes };
  }
  const context = text.endsWith('}') ? readStrings(text.slice(end + beforeContext.length, -1)) : undefined;
  const bytes = context && decodeBase64(text.slice(start, end));
  return bytes && { bytes, context };
}

/** Reads an object of strings. Undefined for any other text, and for an object in which a name is repeated. */
function readStrings(text: string): Strings | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  if (text.includes('\\')) return undefined;
  const strings = value as Strings;
  let count = 0;
  for (const name in strings) {
    if (typeof strings[name] !== 'string') return undefined;
    count += 1;
  }
  return count === countNames(text) ? strings : undefined;
}

/** Counts the members of all objects in a value. The parser has limited the depth, so recursion is safe. */
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

/**
 * Counts the names of members in a JSON text without backslashes: a colon outside a string follows each name.
 */
function countNames(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charCodeAt(at);
    if (character === QUOTE) at = text.indexOf('"', at + 1);
    else if (character === COLON) count += 1;
  }
  return count;
}
