import { describe, expect, it } from 'vitest';
import { fieldPathFaults } from '../../../src/operations/field-path-faults.ts';
import { selectValues } from '../../../src/operations/field-paths.ts';
import { locateValues } from '../../../src/operations/json-text.ts';

describe('fieldPathFaults', () => {
  it.for([
    [['$.a', '$.a.b'], '[1] selects only values inside those of [0]'],
    [['$.a.b', '$.a'], '[0] selects only values inside those of [1]'],
    [['$', '$.a'], '[1] selects only values inside those of [0]'],
    [['$.*', '$.a.b'], '[1] selects only values inside those of [0]'],
    [['$[*]', "$['a']['b']"], '[1] selects only values inside those of [0]'],
    [['$..a', '$.x.a.b'], '[1] selects only values inside those of [0]'],
    [['$..a', '$..a.b'], '[1] selects only values inside those of [0]'],
    [['$..a', '$..a..b'], '[1] selects only values inside those of [0]'],
    [['$..a', '$.x[*].a[0]'], '[1] selects only values inside those of [0]'],
    [["$['a','b']", '$.b.c'], '[1] selects only values inside those of [0]'],
    [['$.a[0:5]', '$.a[0:5].x'], '[1] selects only values inside those of [0]'],
    [['$.a[:]', '$.a[0].b'], '[1] selects only values inside those of [0]'],
    [['$.a[:]', '$.a[-1].b'], '[1] selects only values inside those of [0]'],
    [['$.a[:]', '$.a[*].b'], '[1] selects only values inside those of [0]'],
    [['$.a[::-1]', '$.a[0].b'], '[1] selects only values inside those of [0]'],
    [['$.a[-1::-1]', '$.a[2:].b'], '[1] selects only values inside those of [0]'],
    [['$.a[0:5]', '$.a[2].b'], '[1] selects only values inside those of [0]'],
    [['$.a[0:5]', '$.a[1:3].b'], '[1] selects only values inside those of [0]'],
    [['$.a[0:5]', '$.a[1:5:2].b'], '[1] selects only values inside those of [0]'],
    [['$.a[1::2]', '$.a[3].b'], '[1] selects only values inside those of [0]'],
    [['$.a[1::2]', '$.a[1::4].b'], '[1] selects only values inside those of [0]'],
    [['$.a', '$.a'], '[1] repeats [0]'],
    [['$.a', "$['a']"], '[1] repeats [0]'],
    [["$['a','b']", "$['b','a']"], '[1] repeats [0]'],
    [['$.a.b', '$.a[0]'], '[1] and [0] require the same value to be both an object and an array'],
    [['$.a', '$[0]'], '[1] and [0] require the same value to be both an object and an array'],
    [['$.x[0].a', '$.x[0][0]'], '[1] and [0] require the same value to be both an object and an array'],
    [['$.x[-1][0]', '$.x[-1].a'], '[1] and [0] require the same value to be both an object and an array'],
    [['$.a[0:2]', '$.a.b'], '[1] and [0] require the same value to be both an object and an array'],
    [["$.a['b','c']", '$.a[0,1:3]'], '[1] and [0] require the same value to be both an object and an array'],
    [['$.a[:-1:-1]'], '[0] selects nothing in any document'],
    [['$.a[0:0]'], '[0] selects nothing in any document'],
    [['$.a[::0]'], '[0] selects nothing in any document'],
    [['$.a[5:2]'], '[0] selects nothing in any document'],
    [['$.a[-1:-3]'], '[0] selects nothing in any document'],
    [['$.a[2:5:-1]'], '[0] selects nothing in any document'],
    [[`$${'[0]'.repeat(101)}`], '[0] selects nothing in any document'],
    [['$[100000]'], '[0] selects nothing in any document'],
    [['$[-100001]'], '[0] selects nothing in any document'],
    [['$.a[9007199254740991]'], '[0] selects nothing in any document'],
    [['$.a[100000:]'], '[0] selects nothing in any document'],
    [['$.a[:-100001]'], '[0] selects nothing in any document'],
  ] as const)('finds a fault in paths that no document can satisfy: %j', ([paths, fault]) => {
    expect(fieldPathFaults(paths)).toEqual([fault]);
  });
});

describe('fieldPathFaults', () => {
  it.for([
    [['$.a', '$.b'], { a: 1, b: 1 }],
    [['$.a', '$..b'], { a: 1, b: 1 }],
    [['$.a', '$.*.b'], { a: 1, x: { b: 1 } }],
    [['$..a', '$..b'], { a: 1, b: 1 }],
    [['$..*'], { a: 1 }],
    [['$.*', '$.a'], { a: 1 }],
    [['$..a', '$.a'], { a: 1 }],
    [["$['a','b']", '$.a'], { a: 1, b: 1 }],
    [['$.x[0]', '$.x[-1]'], { x: [1, 2] }],
    [['$.x[0]', '$.x[1:]'], { x: [1, 2] }],
    [['$.x[0].a', '$.x[1][0]'], { x: [{ a: 1 }, [1]] }],
    [['$.x[*].a', '$.x[*].b'], { x: [{ a: 1, b: 1 }] }],
    [['$.a..b', '$.a[0]'], { a: [1, { b: 2 }] }],
    [['$.a[0]', '$.a..b'], { a: [1, { b: 2 }] }],
    [['$..a.b', '$..a[0]'], { a: { b: 1 }, x: { a: [1] } }],
    [["$['a','b'].x", "$['a','b'][0]"], { a: { x: 1 }, b: [1] }],
    [
      ['$[0,1].x', '$[0,1][0]'],
      [{ x: 1 }, [1]],
    ],
    [
      ['$[0:2].x', '$[0:2][0]'],
      [{ x: 1 }, [1]],
    ],
    [
      ['$[*].x', '$[*][0]'],
      [{ x: 1 }, [1]],
    ],
    [['$.a.x', '$.b[0]'], { a: { x: 1 }, b: [1] }],
    [["$.a['b',1]", '$.a[0]'], { a: [1, 2] }],
    [["$.a['b',1]", '$.a.c'], { a: { b: 1, c: 2 } }],
    [['$.a.b', "$.a[0,'c']"], { a: { b: 1, c: 2 } }],
    [['$.x.a', '$.x[*]'], { x: { a: 1 } }],
    [['$.x[0::-1]', '$.x[1].b'], { x: [1, { b: 1 }] }],
    [['$.x[0:2]', '$.x[2].b'], { x: [1, 2, { b: 1 }] }],
    [['$.x[1:]', '$.x[0].b'], { x: [{ b: 1 }, 2] }],
    [['$.x[0::2]', '$.x[1].b'], { x: [1, { b: 1 }] }],
    [['$.x[0:2]', '$.x[1:3].b'], { x: [1, 2, { b: 1 }] }],
    [['$.x[1:]', '$.x[0:2].b'], { x: [{ b: 1 }, 2] }],
    [['$.x[0::2]', '$.x[1::2].b'], { x: [1, { b: 1 }] }],
    [['$.x[0::2]', '$.x[0::3].b'], { x: [1, 2, 3, { b: 1 }] }],
    [['$.x[::-1]', '$.y[-3:-1]', '$.z[3:0:-1]'], { x: [1], y: [1, 2, 3], z: [1, 2] }],
  ] as const)('finds no fault in paths that a document can satisfy: %j', ([paths, document]) => {
    expect(fieldPathFaults(paths)).toEqual([]);
    expect(selectValues(locateValues(JSON.stringify(document)), paths, { allowMissing: false })).not.toEqual([]);
  });
});
