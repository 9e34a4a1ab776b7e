import * as v from 'valibot';
import type { Session } from '../envelope/session.ts';
import { KeyfoldError } from '../errors.ts';
import { isJsonObject } from '../input/json-object.ts';
import { MAX_ENTRIES, type RecordContext, type RecordPlace } from '../records/record-proof.ts';

/**
 * The JSON Schema of an object with 1 to 16 strings. It is not a Valibot schema, because Valibot would drop a member
 * with the name `__proto__`.
 */
const STRINGS = {
  type: 'object',
  minProperties: 1,
  maxProperties: MAX_ENTRIES,
  // Keyfold limits the length of a string in bytes of UTF-8, but a schema can limit it only in characters.
  propertyNames: { minLength: 1, maxLength: 128 },
} as const;

/** The JSON Schema of `context`. Operations check the value with {@link stringsOf}. */
export const contextSchema = v.pipe(
  v.unknown(),
  v.metadata({
    ...STRINGS,
    additionalProperties: { type: 'string', maxLength: 1024 },
    description:
      'Names the place of the record, such as {"table": "users", "id": "42"}. A record that is encrypted with a context decrypts with the same context only. Keyfold neither stores nor logs it.',
  }),
);
export const contextEntry = v.optional(contextSchema);

/** The JSON Schema of `contextFrom`. */
export const contextFromSchema = v.pipe(
  v.unknown(),
  v.metadata({
    ...STRINGS,
    additionalProperties: { type: 'string' },
    description:
      'Reads entries of the context from the document, by JSONPath: {"id": "$.id"}. A path that begins with @ starts at the element of the innermost array around the field. Each path must select one string, boolean or safe integer.',
  }),
);
export const contextFromEntry = v.optional(contextFromSchema);

/**
 * Reads an object of strings from a request.
 * @param name the name of the member
 * @throws KeyfoldError `InvalidRequest` if it is not an object, or if a value is not a string
 */
export function stringsOf(value: unknown, name: string): RecordContext | undefined {
  if (value === undefined) return undefined;
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (isObject && Object.values(value).every((entry) => typeof entry === 'string')) return value as RecordContext;
  throw new KeyfoldError('InvalidRequest', `${name} must be an object whose values are strings.`);
}

/**
 * Makes the session for the place of a record.
 * @param context the context in the request. Undefined if the record has no place.
 * @throws KeyfoldError `InvalidRequest`
 */
export function sessionIn(session: Session, context: RecordContext | undefined, place?: RecordPlace): Session {
  return context === undefined ? session : session.withContext(context, place);
}

/** The contexts of a request and its items, before any check. */
export function contextsIn(request: unknown): unknown[] {
  if (!isJsonObject(request)) return [];
  const { context, contextFrom, items } = request;
  const ofItems = Array.isArray(items)
    ? items.map((item: unknown) => (isJsonObject(item) ? item['context'] : undefined))
    : [];
  return [context, contextFrom, ...ofItems].filter((given) => given !== undefined);
}
