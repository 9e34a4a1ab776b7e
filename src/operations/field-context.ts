import * as v from 'valibot';
import type { Session } from '../envelope/session.ts';
import { KeyfoldError } from '../errors.ts';
import { looksCompact } from '../records/compact-record.ts';
import type { RecordContext, RecordForm } from '../records/record-proof.ts';
import { contextEntry, contextFromEntry, stringsOf } from './context.ts';
import type { JsonDocument } from './document.ts';
import { locateFields, type BindPath, type FieldLocation, type FieldLocations } from './field-locations.ts';
import { readers, type ValueReader } from './field-paths.ts';
import { exactInteger } from '../input/exact-integer.ts';
import { stringOf, type JsonValue } from './json-text.ts';

/** The schema of `bindPath`. */
export const bindPathSchema = v.pipe(
  v.picklist(['exact', 'none']),
  v.description(
    'By default, a context binds a field to its path without the indexes of arrays. exact keeps the indexes; none leaves the path out.',
  ),
);

/** The schemas of the request members that bind fields to their places. */
export const bindingEntries = {
  context: contextEntry,
  contextFrom: contextFromEntry,
  bindPath: v.optional(bindPathSchema),
};

/** The members of a request that say how to bind its fields. */
interface BindingInput {
  readonly context?: unknown;
  readonly contextFrom?: unknown;
  readonly bindPath?: BindPath;
}

/** Returns the session for the place of a field. */
export type FieldSession = (field: JsonValue, form: RecordForm) => Session;

/**
 * Prepares the sessions for the fields of a document. Each session is bound to the context of the request, to the
 * entries from the document, and to the path of its field.
 * @param fields the fields that the request encrypts or decrypts
 * @returns undefined if the request has no context
 * @throws KeyfoldError `InvalidRequest`
 */
export function fieldSessions(
  { context, contextFrom, bindPath }: BindingInput,
  document: JsonDocument,
  fields: readonly JsonValue[],
  session: Session,
): FieldSession | undefined {
  const given = stringsOf(context, 'context');
  const paths = stringsOf(contextFrom, 'contextFrom');
  if (given === undefined && paths === undefined) {
    if (bindPath === undefined) return undefined;
    throw new KeyfoldError('InvalidRequest', 'bindPath must come with context or contextFrom.');
  }
  const fixed = given === undefined ? [] : Object.entries(given);
  const locations = locateFields(document.root, fields, bindPath);
  const read = entriesFrom(paths, given, document, locations);
  return (field, form) => {
    const location = locations.of.get(field) as FieldLocation;
    // Object.fromEntries keeps an entry named `__proto__`. An assignment would set the prototype instead.
    const entries = Object.fromEntries([...fixed, ...read(location)]);
    return session.withContext(entries, { form, path: location.path });
  };
}

/**
 * Prepares the entries of `contextFrom`. Reads an entry of the document once, and an entry of an array element once per
 * element.
 */
function entriesFrom(
  paths: RecordContext | undefined,
  given: RecordContext | undefined,
  document: JsonDocument,
  { outside }: FieldLocations,
): (location: FieldLocation) => [string, string][] {
  if (paths === undefined) return () => [];
  const names = Object.keys(paths);
  if (names.length === 0) throw invalid('must have 1 to 16 entries');
  if (names.some((name) => given !== undefined && Object.hasOwn(given, name))) {
    throw new KeyfoldError('InvalidRequest', 'A name must not stand in both context and contextFrom.');
  }
  const all = readers(Object.values(paths), 'contextFrom');
  const valuesOf = (root: JsonValue | undefined, wanted: ValueReader['from']): [string, string][] =>
    all.flatMap(({ from, values }, i) => {
      if (from !== wanted) return [];
      if (root === undefined) throw invalid('has a path that begins with @, but a field is in no array');
      return [[names[i] as string, textOf(values(root), document.text, outside)]];
    });
  const ofDocument = valuesOf(document.root, 'document');
  const ofElements = new Map<JsonValue | undefined, [string, string][]>();
  return ({ element }) => {
    const known = ofElements.get(element) ?? valuesOf(element, 'element');
    ofElements.set(element, known);
    return [...ofDocument, ...known];
  };
}

/**
 * Returns the text of the single value that a path selects. Errors name neither the entry nor the path, because both
 * are the caller's data.
 */
function textOf(values: ReadonlySet<JsonValue>, text: string, outside: ReadonlySet<JsonValue>): string {
  const [value] = values;
  if (value === undefined || values.size > 1) throw invalid('must have paths that each select exactly one value');
  const string = stringOf(text, value);
  if (!outside.has(value) || (string !== undefined && looksCompact(string))) {
    throw invalid('must not select a value that is encrypted');
  }
  if (string !== undefined) return string;
  const source = text.slice(value.start, value.end);
  const scalar = source === 'true' || source === 'false' ? source : exactInteger(source);
  if (scalar === undefined) throw invalid('must have paths that select strings, booleans or safe integers');
  return scalar;
}

function invalid(what: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `contextFrom ${what}.`);
}
