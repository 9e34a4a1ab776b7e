import { describe, expect, it } from 'vitest';
import { fieldPathFaults, leastValues } from '../../../src/operations/field-path-faults.ts';
import { selectValues } from '../../../src/operations/field-paths.ts';
import { locateValues } from '../../../src/operations/json-text.ts';

describe('fieldPathFaults', () => {
  it.for([
    ['$.a', '$.a.b'],
    ['$', '$.a'],
    ['$.*', '$.a.b'],
    ['$[*]', "$['a']['b']"],
    ['$..a', '$.x.a.b'],
    ['$..a', '$..a.b'],
    ['$..a', '$..a..b'],
    ['$..a', '$.x[*].a[0]'],
    ["$['a','b']", '$.b.c'],
    ['$.a[0:5]', '$.a[0:5].x'],
    ['$.a[:]', '$.a[0].b'],
    ['$.a[:]', '$.a[-1].b'],
    ['$.a[:]', '$.a[*].b'],
    ['$.a[::-1]', '$.a[0].b'],
    ['$.a[-1::-1]', '$.a[2:].b'],
    ['$.a[0:5]', '$.a[2].b'],
    ['$.a[2:5]', '$.a[2].b'],
    ['$.a[0:5]', '$.a[1:3].b'],
    ['$.a[0:5]', '$.a[1:5:2].b'],
    ['$.a[1::2]', '$.a[3].b'],
    ['$.a[1::2]', '$.a[1::4].b'],
  ] as const)('reports that the values of $0 contain those of $1', ([outer, inner]) => {
    expect(fieldPathFaults([outer, inner])).toEqual(['[1] selects only values inside those of [0]']);
    expect(fieldPathFaults([inner, outer])).toEqual(['[0] selects only values inside those of [1]']);
  });

  it.for([
    ['$.a', '$.a'],
    ['$.a', "$['a']"],
    ["$['a','b']", "$['b','a']"],
  ] as const)('reports that $0 and $1 are the same path', (paths) => {
    expect(fieldPathFaults(paths)).toEqual(['[1] repeats [0]']);
  });

  it.for([
    ['$.a.b', '$.a[0]'],
    ['$.a', '$[0]'],
    ['$.x[0].a', '$.x[0][0]'],
    ['$.x[-1][0]', '$.x[-1].a'],
    ['$.a[0:2]', '$.a.b'],
    ['$.a[:]', '$.a.b.c'],
    ["$.a['b','c']", '$.a[0,1:3]'],
  ] as const)('reports that $0 and $1 require the same value to be both an object and an array', (paths) => {
    expect(fieldPathFaults(paths)).toEqual(['[1] and [0] require the same value to be both an object and an array']);
  });

  it.for([
    ['$.a[:-1:-1]', '$.a[:-1:-1]'],
    ['$.a[0:0]', '$.a[0:0]'],
    ['$.a[::0]', '$.a[::0]'],
    ['$.a[5:2]', '$.a[5:2]'],
    ['$.a[-1:-3]', '$.a[-1:-3]'],
    ['$.a[2:5:-1]', '$.a[2:5:-1]'],
    ['a path with 101 segments', `$${'[0]'.repeat(101)}`],
    ['$[100000]', '$[100000]'],
    ['$[-100001]', '$[-100001]'],
    ['$.a[9007199254740991]', '$.a[9007199254740991]'],
    ['$.a[100000:]', '$.a[100000:]'],
    ['$.a[:-100001]', '$.a[:-100001]'],
    ['$.a[-100001::-1]', '$.a[-100001::-1]'],
    ['$.a[:100000:-1]', '$.a[:100000:-1]'],
  ] as const)('reports that %s selects nothing in any document', ([, path]) => {
    expect(fieldPathFaults([path])).toEqual(['[0] selects nothing in any document']);
  });

  it.for([
    ['a path with 100 segments', [`$${'[0]'.repeat(100)}`], JSON.parse(`${'['.repeat(100)}1${']'.repeat(100)}`)],
    [`$.a and $.b`, ['$.a', '$.b'], { a: 1, b: 1 }],
    [`$.a and $..b`, ['$.a', '$..b'], { a: 1, b: 1 }],
    [`$.a and $.*.b`, ['$.a', '$.*.b'], { a: 1, x: { b: 1 } }],
    [`$..a and $..b`, ['$..a', '$..b'], { a: 1, b: 1 }],
    [`$..*`, ['$..*'], { a: 1 }],
    [`$.* and $.a`, ['$.*', '$.a'], { a: 1 }],
    [`$..a and $.a`, ['$..a', '$.a'], { a: 1 }],
    [`$['a','b'] and $.a`, ["$['a','b']", '$.a'], { a: 1, b: 1 }],
    [`$.x[0] and $.x[-1]`, ['$.x[0]', '$.x[-1]'], { x: [1, 2] }],
    [`$.x[0] and $.x[1:]`, ['$.x[0]', '$.x[1:]'], { x: [1, 2] }],
    [`$.x[0].a and $.x[1][0]`, ['$.x[0].a', '$.x[1][0]'], { x: [{ a: 1 }, [1]] }],
    [`$.x[*].a and $.x[*].b`, ['$.x[*].a', '$.x[*].b'], { x: [{ a: 1, b: 1 }] }],
    [`$.a..b and $.a[0]`, ['$.a..b', '$.a[0]'], { a: [1, { b: 2 }] }],
    [`$.a[0] and $.a..b`, ['$.a[0]', '$.a..b'], { a: [1, { b: 2 }] }],
    [`$..a.b and $..a[0]`, ['$..a.b', '$..a[0]'], { a: { b: 1 }, x: { a: [1] } }],
    [`$['a','b'].x and $['a','b'][0]`, ["$['a','b'].x", "$['a','b'][0]"], { a: { x: 1 }, b: [1] }],
    [`$[0,1].x and $[0,1][0]`, ['$[0,1].x', '$[0,1][0]'], [{ x: 1 }, [1]]],
    [`$[0:2].x and $[0:2][0]`, ['$[0:2].x', '$[0:2][0]'], [{ x: 1 }, [1]]],
    [`$[*].x and $[*][0]`, ['$[*].x', '$[*][0]'], [{ x: 1 }, [1]]],
    [`$.a.x and $.b[0]`, ['$.a.x', '$.b[0]'], { a: { x: 1 }, b: [1] }],
    [`$.a['b',1] and $.a[0]`, ["$.a['b',1]", '$.a[0]'], { a: [1, 2] }],
    [`$.a['b',1] and $.a.c`, ["$.a['b',1]", '$.a.c'], { a: { b: 1, c: 2 } }],
    [`$.a.b and $.a[0,'c']`, ['$.a.b', "$.a[0,'c']"], { a: { b: 1, c: 2 } }],
    [`$.x.a.b and $.x['a','c'][0]`, ['$.x.a.b', "$.x['a','c'][0]"], { x: { a: { b: 1 }, c: [1] } }],
    [`$.x[0,100000]`, ['$.x[0,100000]'], { x: [1] }],
    [`$.x.a and $.x[*]`, ['$.x.a', '$.x[*]'], { x: { a: 1 } }],
    [`$.x[0::-1] and $.x[1].b`, ['$.x[0::-1]', '$.x[1].b'], { x: [1, { b: 1 }] }],
    [`$.x[0:2] and $.x[2].b`, ['$.x[0:2]', '$.x[2].b'], { x: [1, 2, { b: 1 }] }],
    [`$.x[1:] and $.x[0].b`, ['$.x[1:]', '$.x[0].b'], { x: [{ b: 1 }, 2] }],
    [`$.x[0::2] and $.x[1].b`, ['$.x[0::2]', '$.x[1].b'], { x: [1, { b: 1 }] }],
    [`$.x[0:2] and $.x[1:3].b`, ['$.x[0:2]', '$.x[1:3].b'], { x: [1, 2, { b: 1 }] }],
    [`$.x[1:] and $.x[0:2].b`, ['$.x[1:]', '$.x[0:2].b'], { x: [{ b: 1 }, 2] }],
    [`$.x[0::2] and $.x[1::2].b`, ['$.x[0::2]', '$.x[1::2].b'], { x: [1, { b: 1 }] }],
    [`$.x[0::2] and $.x[0::3].b`, ['$.x[0::2]', '$.x[0::3].b'], { x: [1, 2, 3, { b: 1 }] }],
    [
      `$.x[::-1] and $.y[-3:-1] and $.z[3:0:-1]`,
      ['$.x[::-1]', '$.y[-3:-1]', '$.z[3:0:-1]'],
      { x: [1], y: [1, 2, 3], z: [1, 2] },
    ],
  ] as const)('accepts %s, because a document can contain all selected values', ([, paths, document]) => {
    expect(fieldPathFaults(paths)).toEqual([]);
    expect(selectValues(locateValues(JSON.stringify(document)), paths, { allowMissing: false })).not.toEqual([]);
  });
});

it.for(['$[-100000]', '$[-100000::-1]', '$[99999]'])(
  'fieldPathFaults accepts %s, because it selects an item of an array with 100,000 items',
  (path) => {
    expect(fieldPathFaults([path])).toEqual([]);
  },
);

it('fieldPathFaults compares paths only if every path is valid', () => {
  expect(fieldPathFaults(['$.a', '$.', '$.a'])).toEqual([expect.stringMatching(/^\[1\] /)]);
});

it('fieldPathFaults accepts up to 100 paths, and up to 2000 selectors in all paths together', () => {
  const paths = Array.from({ length: 100 }, (_, i) => `$.p${i}${'.x'.repeat(19)}`);
  expect(fieldPathFaults(paths)).toEqual([]);
  expect(fieldPathFaults([...paths, '$.more'])).toEqual([' has 101 paths, and a request may have 100']);
  expect(fieldPathFaults([...paths.slice(1), `$.p0${'.x'.repeat(20)}`])).toEqual([
    ' has 2001 selectors, and all paths together may have 2000',
  ]);
});

it('leastValues counts the paths that can select only one value', () => {
  expect(leastValues(['$.a', '$.b[0]', "$['c','d']", '$..e', '$.f[*]', '$.g[-1]', '$.h[0:1]'])).toBe(2);
});

/** Every slice with these bounds and steps. An empty bound is left out. */
function slicesOf(bounds: readonly string[], steps: readonly number[]): string[] {
  return bounds.flatMap((start) => bounds.flatMap((end) => steps.map((step) => `${start}:${end}:${step}`)));
}

/** The items that a selector selects from each array of up to eight items. */
function itemsOf(selector: string): number[][] {
  return Array.from({ length: 9 }, (_, length) => {
    const text = JSON.stringify(Array.from({ length }, (_item, i) => i));
    const selected = selectValues(locateValues(text), [`$[${selector}]`], { allowMissing: true });
    return selected.map(({ start, end }) => Number(text.slice(start, end)));
  });
}

it('fieldPathFaults reports a slice only if the slice selects nothing from any array', () => {
  const slices = slicesOf(['', '-3', '-2', '-1', '0', '1', '2', '3'], [-2, -1, 0, 1, 2]);
  const empty = slices.filter((slice) => itemsOf(slice).every((items) => items.length === 0));
  expect(slices.filter((slice) => fieldPathFaults([`$[${slice}]`]).length > 0)).toEqual(empty);
});

it('fieldPathFaults reports one array selector as inside another only if the other selects at least the same items of every array', () => {
  const slices = slicesOf(['', '-2', '-1', '0', '1', '2', '3'], [-1, 1, 2]);
  const some = [...slices, '-2', '-1', '0', '1', '2', '3'].map((selector) => ({ selector, items: itemsOf(selector) }));
  const wrong = some.flatMap((outer) =>
    some.filter((inner) => {
      const faults = fieldPathFaults([`$[${outer.selector}]`, `$[${inner.selector}].a`]);
      const isReported = faults.includes('[1] selects only values inside those of [0]');
      return isReported && !inner.items.every((items, i) => items.every((item) => outer.items[i]?.includes(item)));
    }),
  );
  expect(wrong).toEqual([]);
});
