import { MAX_PATHS } from './document.ts';
import { REQUEST_BOUNDS } from './json-text.ts';
import { JsonPathError, parseJsonPath, type Segment, type Selector, type Slice } from './json-path.ts';

/**
 * The maximum number of selectors in all paths together. Each path is compared with every other, so the work grows with
 * the square of this number. `KEYFOLD_FIELDS` in Lambda has fewer, because all environment variables together have at
 * most 4 KB.
 */
const MAX_SELECTORS = 2000;

/**
 * Finds the reasons why no document can satisfy a list of paths. Empty if there are none.
 * @returns texts to append to the name of the list
 * @example fieldPathFaults(['$.a', '$.a']) // ['[1] repeats [0]']
 */
export function fieldPathFaults(paths: readonly string[]): string[] {
  if (paths.length > MAX_PATHS) return [` has ${paths.length} paths, and a request may have ${MAX_PATHS}`];
  const parsed: Segment[][] = [];
  const faults: string[] = [];
  for (const [i, path] of paths.entries()) {
    try {
      parsed.push(parseJsonPath(path));
    } catch (error) {
      if (!(error instanceof JsonPathError)) throw error;
      faults.push(`[${i}] ${error.message}`);
    }
  }
  const selectors = parsed.flat().reduce((sum, segment) => sum + segment.selectors.length, 0);
  if (selectors > MAX_SELECTORS)
    return [` has ${selectors} selectors, and all paths together may have ${MAX_SELECTORS}`];
  // Check pairs only if every path is valid, because the faults name positions in the list.
  return faults.length > 0 ? faults : [...faultsOfEach(parsed), ...faultsOfPairs(parsed)];
}

/**
 * A lower bound for the number of values that paths without faults select in a document that satisfies them. It counts
 * the paths that select at most one value. A negative index is not counted, because another path may select that item.
 */
export function leastValues(paths: readonly string[]): number {
  return paths.filter((path) => parseJsonPath(path).every(isOfOneValue)).length;
}

function isOfOneValue({ descends, selectors }: Segment): boolean {
  const [only, ...more] = selectors;
  if (descends || more.length > 0) return false;
  return only?.kind === 'name' || (only?.kind === 'index' && only.index >= 0);
}

function faultsOfEach(paths: readonly Segment[][]): string[] {
  return paths.flatMap((path, i) => {
    const isTooDeep = path.length > REQUEST_BOUNDS.depth;
    const selectsSome = !isTooDeep && !path.some(({ selectors }) => selectors.every(selectsNothing));
    return selectsSome ? [] : [`[${i}] selects nothing in any document`];
  });
}

function faultsOfPairs(paths: readonly Segment[][]): string[] {
  return paths.flatMap((a, i) =>
    paths.flatMap((b, j) => {
      if (i === j) return [];
      const covered = coveredLengths(a, b);
      if (covered.some((length) => length < b.length)) return [`[${j}] selects only values inside those of [${i}]`];
      if (j < i) return [];
      if (covered.includes(b.length) && coveredLengths(b, a).includes(a.length)) return [`[${j}] repeats [${i}]`];
      return conflict(a, b) ? [`[${j}] and [${i}] require the same value to be both an object and an array`] : [];
    }),
  );
}

/**
 * Finds the prefixes of `b` that select only values that `a` selects. Returns the lengths of these prefixes in
 * segments. The work grows with the product of the paths' lengths.
 */
function coveredLengths(a: readonly Segment[], b: readonly Segment[]): number[] {
  // Empty prefixes of both paths select the root.
  let lengths = new Set([0]);
  for (const { descends, selectors } of a) {
    const next = new Set<number>();
    let least = Infinity;
    for (const length of lengths) least = Math.min(least, length);
    for (const [i, segment] of b.entries()) {
      const reaches = descends ? least <= i : lengths.has(i) && !segment.descends;
      if (reaches && segment.selectors.every((one) => selectors.some((other) => includes(other, one)))) next.add(i + 1);
    }
    lengths = next;
  }
  return [...lengths];
}

/** Whether `one` selects every child that `other` selects, for every possible value. */
function includes(one: Selector, other: Selector): boolean {
  if (one.kind === 'wildcard') return true;
  if (one.kind === 'slice' && sliceIncludes(one, other)) return true;
  return isSame(one, other);
}

/** Compares two selectors. `JSON.stringify` would take twenty times as long. */
function isSame(one: Selector, other: Selector): boolean {
  switch (one.kind) {
    case 'name':
      return other.kind === 'name' && one.name === other.name;
    case 'index':
      return other.kind === 'index' && one.index === other.index;
    case 'slice':
      return other.kind === 'slice' && one.start === other.start && one.end === other.end && one.step === other.step;
    case 'wildcard':
    default:
      return other.kind === one.kind;
  }
}

/** Whether a slice selects every item that `other` selects, for every possible array. */
function sliceIncludes({ start, end, step }: Slice, other: Selector): boolean {
  if (Math.abs(step) === 1 && (step > 0 ? (start ?? 0) : (start ?? -1) + 1) === 0 && end === undefined) {
    return other.kind !== 'name';
  }
  // A negative bound counts from the end, so its position depends on the length of the array.
  const [from = 0, to = Infinity] = [start, end];
  if (step < 0 || from < 0) return false;
  if (other.kind === 'index') return other.index >= from && other.index < to && (other.index - from) % step === 0;
  if (other.kind !== 'slice' || other.step < 0) return false;
  const [otherFrom = 0, otherTo = Infinity] = [other.start, other.end];
  return (
    otherFrom >= from && otherTo >= 0 && otherTo <= to && other.step % step === 0 && (otherFrom - from) % step === 0
  );
}

/**
 * Whether two paths contradict each other about a value. One path selects a member, so the value must be an object. The
 * other path selects an item, so the value must be an array.
 */
function conflict(a: readonly Segment[], b: readonly Segment[]): boolean {
  for (const [i, segment] of a.entries()) {
    const other = b[i];
    if (other === undefined || segment.descends || other.descends) return false;
    const [kind, otherKind] = [kindOf(segment), kindOf(other)];
    if (kind !== undefined && otherKind !== undefined && kind !== otherKind) return true;
    const [only, ...more] = segment.selectors;
    const isOne = more.length === 0 && (only?.kind === 'name' || only?.kind === 'index');
    if (!isOne || other.selectors.length > 1 || !isSame(only, other.selectors[0] as Selector)) return false;
  }
  return false;
}

/** The kind of value from which a segment can select children. Undefined if both kinds are possible. */
function kindOf({ selectors }: Segment): 'object' | 'array' | undefined {
  if (selectors.every(({ kind }) => kind === 'name')) return 'object';
  return selectors.every(({ kind }) => kind === 'index' || kind === 'slice') ? 'array' : undefined;
}

/** An upper bound for the number of items in any array of a request. */
const { values: MAX_ITEMS } = REQUEST_BOUNDS;

function selectsNothing(selector: Selector): boolean {
  if (selector.kind === 'index') return selector.index >= MAX_ITEMS || selector.index < -MAX_ITEMS;
  if (selector.kind !== 'slice') return false;
  const { start, end, step } = selector;
  // A slice selects nothing if it begins after the last item, or ends before the first.
  const [first = 0, last = 0] = step > 0 ? [start, end] : [end, start];
  if (first >= MAX_ITEMS || last < -MAX_ITEMS) return true;
  if (step === 0 || (step > 0 && end === 0) || (step < 0 && end === -1)) return true;
  if (start === undefined || end === undefined || start < 0 !== end < 0) return false;
  return step > 0 ? start >= end : start <= end;
}
