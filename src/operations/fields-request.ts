import {
  ANYTHING,
  ARRAY,
  BOOLEAN,
  checked,
  itemsOf,
  OBJECT,
  oneOf,
  optional,
  recordOf,
  STRING,
  type Types,
} from '../input/checks.ts';
import { hasLargeNumber } from '../records/fast-paths.ts';
import type { RecordContext } from '../records/record-proof.ts';

/**
 * A document, either as a JavaScript value or as JSON text, but not both. In JSON text, numbers keep all their digits.
 */
export type GivenDocument =
  | { readonly document: unknown; readonly documentText?: undefined }
  | { readonly documentText: string; readonly document?: undefined };

/** The result of an operation on a document. It has the same form as the document in the request. */
export type DocumentOf<Given extends GivenDocument> = Given extends { readonly documentText: string }
  ? string
  : unknown;

/** Options for calls that encrypt several payloads. */
export interface SharingOptions {
  /** Encrypts all payloads under one Data Row Key. This is faster, but a leak of that key exposes all of them. */
  readonly shareDataRowKey?: boolean;
}

/** Binds each field to its place, so that an attacker cannot move or swap sealed values unnoticed. */
export interface FieldBinding {
  /** Names the place of the document, such as its table and its id. */
  readonly context?: RecordContext;
  /**
   * Reads entries of the context from the document, by JSONPath. A path that begins with `@` starts at the innermost
   * array element around the field.
   */
  readonly contextFrom?: Readonly<Record<string, string>>;
  /**
   * Whether a context also binds a field to its path. By default, array indexes are omitted from the path. `exact`
   * keeps them, and `none` does not bind to the path.
   */
  readonly bindPath?: 'exact' | 'none';
}

/** Selects values of a document by JSONPath. docs/how-to/seal-fields.md describes the supported paths. */
export interface FieldSelection extends FieldBinding {
  readonly fields: readonly string[];
  /** Allows paths that select no value. By default, such a path is an error. */
  readonly allowMissing?: boolean;
}

/** The values of a document that a request encrypts. */
export type FieldsToEncrypt = FieldSelection &
  SharingOptions & {
    /**
     * Keeps a value unchanged if it is already a compact record that this partition can decrypt. With a context, the
     * record must be bound to that context and path.
     */
    readonly skipSealed?: boolean;
  };

/** The values of a document that a request decrypts: selected values, or every compact record. */
export type FieldsToDecrypt = FieldSelection | (FieldBinding & { readonly all: true });

/** The members that both field operations have in common. */
export interface FieldRequest extends FieldBinding {
  readonly document: unknown;
  readonly documentText?: string;
  readonly fields?: readonly string[];
  readonly allowMissing?: boolean;
}

const DOCUMENT_OPTIONS: Types<Omit<FieldRequest, 'fields'>> = {
  document: ANYTHING,
  documentText: optional(STRING),
  allowMissing: optional(BOOLEAN),
  context: optional(OBJECT),
  contextFrom: optional(OBJECT),
  bindPath: optional(oneOf('exact', 'none')),
};

/** The types of a request to encrypt fields. */
export const ENCRYPT_FIELDS: Types<FieldRequest & FieldsToEncrypt> = {
  ...DOCUMENT_OPTIONS,
  fields: ARRAY,
  skipSealed: optional(BOOLEAN),
  shareDataRowKey: optional(BOOLEAN),
};

/** The types of a request to decrypt fields. */
export const DECRYPT_FIELDS: Types<FieldRequest & { readonly all?: boolean }> = {
  ...DOCUMENT_OPTIONS,
  fields: optional(ARRAY),
  all: optional(BOOLEAN),
};

/**
 * Makes the request members that describe a document. They always contain the document as text, so that no parser on
 * the way rounds a number.
 * @param textOf writes a JavaScript value as JSON text. It returns undefined if the value has no JSON form.
 * @throws TypeError unless exactly one of `document` and `documentText` is given, if the document has no JSON form, or
 * for a path or a context entry that is not a string
 */
export function requestMembers(
  { document, documentText, fields, context, contextFrom, ...members }: FieldRequest,
  textOf: (document: unknown) => string | undefined,
): Readonly<Record<string, unknown>> {
  if ((document === undefined) === (documentText === undefined)) {
    throw new TypeError('request must have one of document and documentText.');
  }
  const text = documentText ?? textOf(document);
  if (text === undefined) throw new TypeError('request.document has no JSON form.');
  const paths = fields && itemsOf(fields, 'request.fields', checked(STRING));
  return {
    ...members,
    ...(context && { context: recordOf(context, 'request.context', STRING) }),
    ...(contextFrom && { contextFrom: recordOf(contextFrom, 'request.contextFrom', STRING) }),
    ...(paths && { fields: paths }),
    documentText: text,
  };
}

/**
 * A replacer for JSON.stringify. It refuses values that JSON.stringify would drop, or replace with `null` or `{}`. The
 * service would seal the replacement, so the value would be lost. As `JSON.stringify` does, the replacer omits
 * undefined members of objects.
 */
export function lossless(this: unknown, name: string, value: unknown): unknown {
  // oxlint-disable-next-line oxc/no-this-in-exported-function -- JSON.stringify passes the holder of a value as `this`
  const holder = this as Readonly<Record<string, unknown>>;
  const isKept = typeof value === 'object' ? isKeptObject(value) : isKeptPrimitive(value, holder);
  // JSON.stringify has already called the toJSON method of a Date. An invalid Date has become null, so look at the
  // original value.
  if (isKept && !(value === null && tagOf(holder[name]) === '[object Date]'))
    return Object.is(value, -0) ? MINUS_ZERO : value;
  throw new TypeError(
    'JSON has no such value: a function, NaN, an invalid Date, a Map, bytes, undefined in an array or members of an array.',
  );
}

/**
 * Takes the place of the number -0, which JSON.stringify would write as 0. On Node 20, which lacks `JSON.rawJSON`, the
 * sign is lost.
 */
const MINUS_ZERO = (JSON as { readonly rawJSON?: (text: string) => unknown }).rawJSON?.('-0') ?? 0;

function isKeptPrimitive(value: unknown, holder: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  if (value === undefined) return !Array.isArray(holder);
  return typeof value !== 'function' && typeof value !== 'symbol';
}

function isKeptObject(value: object | null): boolean {
  // JSON.stringify drops the members of an array that are not items, such as the groups of a regular expression's
  // match.
  if (Array.isArray(value)) return Object.keys(value).length <= value.length;
  if (value === null || OBJECT.holds(value)) return true;
  // JSON.stringify unwraps Number, String and Boolean objects.
  const tag = tagOf(value);
  if (tag === '[object Number]') return Number.isFinite(Number(value));
  return tag === '[object String]' || tag === '[object Boolean]';
}

/** The built-in kind of a value, in any realm. */
function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value);
}

/** Why a document from `JSON.parse` may differ from its text. */
export const INEXACT = {
  InexactNumber: inexact('number that JavaScript cannot represent exactly'),
  InexactName: inexact('name that JSON.parse may have confused with another'),
} as const;

function inexact(what: string): string {
  return `The document contains a ${what}. Use documentText instead.`;
}

/**
 * Checks that a parsed document agrees with its JSON text. It allows fractions, although `JSON.parse` rounds them. It
 * refuses numbers beyond `Number.MAX_SAFE_INTEGER`, and names with a backslash. `JSON.parse` of Node 24.21 may confuse
 * two names if one of them is written with a backslash. The name that it returns then contains a backslash.
 * @returns undefined if the document is exact
 */
export function inexactnessOf(text: string, document: unknown): keyof typeof INEXACT | undefined {
  if (hasLargeNumber(text) ?? someValue(document, isLarge)) return 'InexactNumber';
  return text.includes('\\') && someValue(document, hasNameWithBackslash) ? 'InexactName' : undefined;
}

/** Whether a parsed number may differ from its JSON text. */
function isLarge(value: unknown): boolean {
  return typeof value === 'number' && Math.abs(value) > Number.MAX_SAFE_INTEGER;
}

function hasNameWithBackslash(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).some((name) => name.includes('\\'));
}

/** Whether a predicate holds for a value or for any value nested in it. */
function someValue(value: unknown, predicate: (value: unknown) => boolean): boolean {
  const pending = [value];
  while (pending.length > 0) {
    const next = pending.pop();
    if (predicate(next)) return true;
    if (typeof next !== 'object' || next === null) continue;
    for (const inner of Object.values(next)) pending.push(inner);
  }
  return false;
}
