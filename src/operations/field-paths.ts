import parse, { type JsonPathQuery } from 'jsonpath-rfc9535/parser';
import { KeyfoldError } from '../envelope/errors.ts';
import type { JsonValue } from './json-text.ts';

type ParsedSegment = JsonPathQuery['segments'][number];
type ParsedSelector = Exclude<ParsedSegment['node'], { type: 'BracketedSelection' }> | BracketedSelector;
type BracketedSelector = Extract<ParsedSegment['node'], { type: 'BracketedSelection' }>['selectors'][number];
type Selector = Exclude<ParsedSelector, { type: 'FilterSelector' }>;

/** A step of a path: what it picks from each value reached, or also from all that is inside it. */
interface Segment {
  readonly descends: boolean;
  readonly selectors: readonly Selector[];
}

/** A path of a request, parsed. */
interface Path {
  readonly segments: readonly Segment[];
  /** How errors name it, since its text is the caller's. */
  readonly name: string;
}

/** How many characters a path may have. */
export const LONGEST_PATH = 1000;
/** How many values the paths of one request may step on, which bounds what descendants and wildcards can cost. */
const MOST_STEPS = 1_000_000;
/** Most paths. Of sealing many short values the parser took a tenth. */
const NAMES_ALONE = /^\$(?:\.[A-Za-z_][A-Za-z0-9_]*)+$/;

/**
 * The values of a document that some paths select (JSONPath, RFC 9535), in the document's order, each once.
 * @throws KeyfoldError `InvalidRequest` for a path that is none or has a filter, and where one value is inside another;
 * `FieldNotFound` for a path that selects nothing
 */
export function selectValues(
  root: JsonValue,
  paths: readonly string[],
  { allowMissing }: { readonly allowMissing: boolean },
): JsonValue[] {
  const selected = new Set<JsonValue>();
  const count = stepCounter();
  for (const path of paths.map(parsePath)) {
    const found = follow(path, root, count);
    if (found.size === 0 && !allowMissing) throw new KeyfoldError('FieldNotFound', `${path.name} selects nothing.`);
    for (const value of found) selected.add(value);
  }
  const inOrder = [...selected].toSorted((a, b) => a.start - b.start);
  const overlaps = inOrder.some((value, i) => value.start < (inOrder[i - 1]?.end ?? 0));
  if (overlaps) throw new KeyfoldError('InvalidRequest', 'The fields select a value inside another that they select.');
  return inOrder;
}

/** Whether all of these are paths that {@link selectValues} takes. */
export function areFieldPaths(paths: readonly string[]): boolean {
  try {
    paths.forEach(parsePath);
    return true;
  } catch (error) {
    if (error instanceof KeyfoldError) return false;
    throw error;
  }
}

/** The values and all that is inside them, at any depth. */
export function withDescendants(values: Iterable<JsonValue>): Set<JsonValue> {
  const all = new Set(values);
  // A set goes on to what is added to it on the way.
  for (const value of all) for (const child of childrenOf(value)) all.add(child);
  return all;
}

function parsePath(text: string, index: number): Path {
  const name = `fields[${index}]`;
  if (text.length > LONGEST_PATH) throw invalid(`${name} is longer than ${LONGEST_PATH} characters`);
  if (NAMES_ALONE.test(text)) return { segments: text.split('.').slice(1).map(byName), name };
  let query: JsonPathQuery;
  try {
    query = parse(text);
  } catch {
    // The parser's own error quotes what it read.
    throw invalid(`${name} is not a JSONPath`);
  }
  const segments = query.segments.map(({ type, node }) => {
    const selectors: readonly ParsedSelector[] = node.type === 'BracketedSelection' ? node.selectors : [node];
    if (!selectors.every(isNoFilter)) throw invalid(`${name} has a filter`);
    return { descends: type === 'DescendantSegment', selectors };
  });
  return { segments, name };
}

function byName(value: string): Segment {
  return { descends: false, selectors: [{ type: 'MemberNameShorthand', value }] };
}

function isNoFilter(selector: ParsedSelector): selector is Selector {
  return selector.type !== 'FilterSelector';
}

/** Each segment starts from a set: a value that was reached in two ways is stepped on once. */
function follow({ segments }: Path, root: JsonValue, count: () => void): Set<JsonValue> {
  let reached = new Set([root]);
  for (const { descends, selectors } of segments) {
    const next = new Set<JsonValue>();
    for (const value of descends ? withDescendants(reached) : reached) {
      for (const selector of selectors) {
        count();
        for (const child of childrenBy(selector, value)) {
          count();
          next.add(child);
        }
      }
    }
    reached = next;
  }
  return reached;
}

function childrenOf({ members, items }: JsonValue): Iterable<JsonValue> {
  return members?.values() ?? items ?? [];
}

function childrenBy(selector: Selector, value: JsonValue): Iterable<JsonValue> {
  switch (selector.type) {
    case 'MemberNameShorthand':
    case 'NameSelector':
      return present(value.members?.get(selector.value));
    case 'IndexSelector':
      return present(value.items?.at(selector.value));
    case 'SliceSelector':
      return slice(value.items ?? [], selector);
    case 'WildcardSelector':
    default:
      return childrenOf(value);
  }
}

/** RFC 9535, section 2.3.4.2.2. */
function* slice(
  items: readonly JsonValue[],
  { start, end, step: givenStep }: Extract<Selector, { type: 'SliceSelector' }>,
): Iterable<JsonValue> {
  const step = givenStep ?? 1;
  if (step === 0) return;
  const size = items.length;
  const [lowest, highest] = step > 0 ? [0, size] : [-1, size - 1];
  const bound = (given: number | null, otherwise: number): number =>
    given === null ? otherwise : Math.min(Math.max(given < 0 ? size + given : given, lowest), highest);
  const from = bound(start, step > 0 ? lowest : highest);
  const to = bound(end, step > 0 ? highest : lowest);
  for (let i = from; step > 0 ? i < to : i > to; i += step) yield* present(items[i]);
}

function present(value: JsonValue | undefined): readonly JsonValue[] {
  return value === undefined ? [] : [value];
}

function stepCounter(): () => void {
  let steps = 0;
  return () => {
    steps += 1;
    if (steps > MOST_STEPS) throw invalid(`fields take more than ${MOST_STEPS} steps through the document`);
  };
}

function invalid(what: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `The request's ${what}.`);
}
