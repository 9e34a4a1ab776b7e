import { MAX_PATHS } from './document.ts';
import { JsonPathError, parseJsonPath, type Segment, type Selector, type Slice } from './json-path.ts';

/** Why no document can satisfy some paths, each fault reading on from a name for the paths; empty if some can. */
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
  // Positions are told below, so all of the paths must be there.
  return faults.length > 0 ? faults : [...faultsOfEach(parsed), ...faultsOfPairs(parsed)];
}

function faultsOfEach(paths: readonly Segment[][]): string[] {
  return paths.flatMap((path, i) =>
    path.some(({ selectors }) => selectors.every(selectsNothing)) ? [`[${i}] selects nothing in any document`] : [],
  );
}

function faultsOfPairs(paths: readonly Segment[][]): string[] {
  return paths.flatMap((a, i) =>
    paths.flatMap((b, j) => {
      if (i === j) return [];
      const covered = coveredLengths(a, b);
      if (covered.some((length) => length < b.length)) return [`[${j}] selects only values inside those of [${i}]`];
      if (j < i) return [];
      if (covered.includes(b.length) && coveredLengths(b, a).includes(a.length)) return [`[${j}] repeats [${i}]`];
      return conflict(a, b) ? [`[${j}] and [${i}] take one value for an object and for an array`] : [];
    }),
  );
}

/**
 * The numbers of segments after which every value that `b` reaches is one that `a` selects.
 * The work grows with the product of the paths' lengths.
 */
function coveredLengths(a: readonly Segment[], b: readonly Segment[]): number[] {
  // After none of a's segments the root is selected, which is what b reaches after none of its own.
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

/** Whether a selector picks, from any value, all that another does. */
function includes(one: Selector, other: Selector): boolean {
  if (one.kind === 'wildcard') return true;
  if (one.kind === 'slice' && sliceIncludes(one, other)) return true;
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Whether a slice picks, from any array, all that another selector does. A slice selects nothing of an object. */
function sliceIncludes({ start, end, step }: Slice, other: Selector): boolean {
  if (Math.abs(step) === 1 && (step > 0 ? (start ?? 0) : (start ?? -1) + 1) === 0 && end === undefined) {
    return other.kind !== 'name';
  }
  // How far a bound that counts from the end reaches depends on the array.
  const [from = 0, to = Infinity] = [start, end];
  if (step < 0 || from < 0 || to < 0) return false;
  if (other.kind === 'index') return other.index >= from && other.index < to && (other.index - from) % step === 0;
  if (other.kind !== 'slice' || other.step < 0) return false;
  const [otherFrom = 0, otherTo = Infinity] = [other.start, other.end];
  return (
    otherFrom >= from && otherTo >= 0 && otherTo <= to && other.step % step === 0 && (otherFrom - from) % step === 0
  );
}

/** Whether two paths are the same up to a value, and one goes on to a member of it and the other to an item. */
function conflict(a: readonly Segment[], b: readonly Segment[]): boolean {
  for (const [i, segment] of a.entries()) {
    const other = b[i];
    if (other === undefined || segment.descends || other.descends) return false;
    const [kind, otherKind] = [kindOf(segment), kindOf(other)];
    if (kind !== undefined && otherKind !== undefined && kind !== otherKind) return true;
    const [only, ...more] = segment.selectors;
    const isOne = more.length === 0 && (only?.kind === 'name' || only?.kind === 'index');
    if (!isOne || JSON.stringify(segment) !== JSON.stringify(other)) return false;
  }
  return false;
}

/** What a value must be for a segment to select anything of it; undefined if it may be either. */
function kindOf({ selectors }: Segment): 'object' | 'array' | undefined {
  if (selectors.every(({ kind }) => kind === 'name')) return 'object';
  return selectors.every(({ kind }) => kind === 'index' || kind === 'slice') ? 'array' : undefined;
}

function selectsNothing(selector: Selector): boolean {
  if (selector.kind !== 'slice') return false;
  const { start, end, step } = selector;
  if (step === 0 || (step > 0 && end === 0) || (step < 0 && end === -1)) return true;
  if (start === undefined || end === undefined || start < 0 !== end < 0) return false;
  return step > 0 ? start >= end : start <= end;
}
