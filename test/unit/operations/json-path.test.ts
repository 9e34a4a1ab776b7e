import { describe, expect, it } from 'vitest';
import { errorOf } from '../../support/fakes.ts';
import { readers, selectValues } from '../../../src/operations/field-paths.ts';
import { JsonPathError, parseJsonPath } from '../../../src/operations/json-path.ts';
import { locateValues } from '../../../src/operations/json-text.ts';
import { operate } from '../../support/operations.ts';

const NAMES = { o: { 'j j': { 'k.k': 3 } }, "'": { '@': 2 } };
const WILD = { o: { j: 1, k: 2 }, a: [5, 3] };
const LETTERS = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const DEEP = { o: { j: 1, k: 2 }, a: [5, 3, [{ j: 4 }, { k: 6 }]] };
const NULLS = { a: null, b: [null], c: [{}], null: 1 };
const NORMAL = { a: { b: [0, 1] }, '\u000b': 2 };
const STORE = {
  store: {
    book: [
      { author: 'Rees', price: 8.95 },
      { author: 'Waugh', price: 12.99 },
      { author: 'Melville', isbn: '1', price: 8.99 },
      { author: 'Tolkien', isbn: '2', price: 22.99 },
    ],
    bicycle: { color: 'red', price: 399 },
  },
};
const [first, second, third, fourth] = STORE.store.book;

/** Returns the values that a path selects, each of them once, in the order of the document. */
function select(document: unknown, path: string): unknown[] {
  const text = JSON.stringify(document);
  const selected = selectValues(locateValues(text), [path], { allowMissing: true });
  return selected.map(({ start, end }) => JSON.parse(text.slice(start, end)) as unknown);
}

describe('selectValues', () => {
  it.for([
    // RFC 9535, section 1.5
    [STORE, '$.store.book[*].author', ['Rees', 'Waugh', 'Melville', 'Tolkien']],
    [STORE, '$..author', ['Rees', 'Waugh', 'Melville', 'Tolkien']],
    [STORE, '$.store.*', [STORE.store.book, STORE.store.bicycle]],
    [STORE, '$.store..price', [8.95, 12.99, 8.99, 22.99, 399]],
    [STORE, '$..book[2]', [third]],
    [STORE, '$..book[2].author', ['Melville']],
    [STORE, '$..book[2].publisher', []],
    [STORE, '$..book[-1]', [fourth]],
    [STORE, '$..book[0,1]', [first, second]],
    [STORE, '$..book[:2]', [first, second]],
    // RFC 9535, sections 2.2.3 and 2.3.1.3
    [NAMES, '$', [NAMES]],
    [NAMES, "$.o['j j']", [{ 'k.k': 3 }]],
    [NAMES, "$.o['j j']['k.k']", [3]],
    [NAMES, '$.o["j j"]["k.k"]', [3]],
    [NAMES, '$["\'"]["@"]', [2]],
    // RFC 9535, section 2.3.2.3
    [WILD, '$[*]', [WILD.o, WILD.a]],
    [WILD, '$.o[*]', [1, 2]],
    [WILD, '$.o[*, *]', [1, 2]],
    [WILD, '$.a[*]', [5, 3]],
    // RFC 9535, section 2.3.3.3
    [['a', 'b'], '$[1]', ['b']],
    [['a', 'b'], '$[-2]', ['a']],
    // RFC 9535, section 2.3.4.3
    [LETTERS, '$[1:3]', ['b', 'c']],
    [LETTERS, '$[5:]', ['f', 'g']],
    [LETTERS, '$[1:5:2]', ['b', 'd']],
    [LETTERS, '$[5:1:-2]', ['d', 'f']],
    [LETTERS, '$[::-1]', LETTERS],
    [LETTERS, '$[::-2]', ['a', 'c', 'e', 'g']],
    [LETTERS, '$[::-3]', ['a', 'd', 'g']],
    [LETTERS, '$[99:-99:-4]', ['c', 'g']],
    [LETTERS, '$[-99:99:3]', ['a', 'd', 'g']],
    [LETTERS, '$[:-5:-1]', ['d', 'e', 'f', 'g']],
    [LETTERS, '$[-1:0:-3]', ['d', 'g']],
    // A step may be left out after its colon (RFC 9535, section 2.3.4.1).
    [LETTERS, '$[1:3:]', ['b', 'c']],
    // RFC 9535, section 2.5.1.3
    [LETTERS, '$[0, 3]', ['a', 'd']],
    [LETTERS, '$[0:2, 5]', ['a', 'b', 'f']],
    [LETTERS, '$[0, 0]', ['a']],
    // RFC 9535, section 2.5.2.3
    [DEEP, '$..j', [1, 4]],
    [DEEP, '$..o', [DEEP.o]],
    [DEEP, '$.o..[*, *]', [1, 2]],
    [{ a: [5, 3, [4, 6]] }, '$.a[2]..[0, 1]', [4, 6]],
    // RFC 9535, section 2.6.1
    [NULLS, '$.a', [null]],
    [NULLS, '$.a[0]', []],
    [NULLS, '$.a.d', []],
    [NULLS, '$.b[0]', [null]],
    [NULLS, '$.b[*]', [null]],
    [NULLS, '$.null', [1]],
    // RFC 9535, section 2.7.1
    [NORMAL, '$.a.b[1:2]', [1]],
    [NORMAL, '$.a.b[-2]', [0]],
    [NORMAL, '$["\\u000B"]', [2]],
    [NORMAL, '$["\\u0061"]', [NORMAL.a]],
  ] as const)('selects the values that RFC 9535 gives for the path $1', ([document, path, values]) => {
    expect(select(document, path)).toEqual(values);
  });
});

it('selectValues takes at most 1,000,000 steps for the paths of one request', () => {
  // Each wildcard takes 100,000 steps: one for itself, and 99,999 for the values.
  const root = locateValues(`[${'0,'.repeat(99_998)}0]`);
  const tenWildcards = '$[*,*,*,*,*,*,*,*,*,*]';
  expect(selectValues(root, [tenWildcards], { allowMissing: false })).toHaveLength(99_999);
  expect(() => selectValues(root, [tenWildcards, '$.a'], { allowMissing: true })).toThrow('more than 1000000 steps');
});

it('the function readers takes at most 1,000,000 steps for all paths together, even if several fields use a path', () => {
  // Each use of a path takes 600,200 steps: 200 selectors for each of 3,001 values.
  const root = locateValues(`{"id":7,"more":[${'0,'.repeat(2_997)}0]}`);
  const [one, other] = readers(
    [1, 2].map(() => `$..[${Array(200).fill("'x'").join(',')}]`),
    'contextFrom',
  );
  expect(one?.values(root).size).toBe(0);
  for (const reader of [one, other]) {
    expect(() => reader?.values(root)).toThrow("The request's contextFrom take more than 1000000 steps");
  }
});

describe('parseJsonPath', () => {
  it.for([
    ['escapes of both kinds of quotes', String.raw`$['\'"\b\f\n\r\t\/\\']["'\""]`],
    ['an escaped surrogate pair', String.raw`$["\uD83D\uDD11"]['\ud83d\udd11']`],
    ['names beyond ASCII without quotes', '$.é.\u{1f511}.ñ9'],
    ['white space everywhere except after dots', '$ \t\n\r[ 0 , \'a\' , * , 1 : 2 : 3 ] .a\n..b [ "c" ]'],
    ['the largest integers', '$[9007199254740991,-9007199254740991,:9007199254740991:-9007199254740991]'],
    ['a step of zero', '$[::0]'],
  ] as const)('accepts %s', ([, path]) => {
    expect(() => parseJsonPath(path)).not.toThrow();
  });

  it.for([
    ['that is empty', '', 'is not a JSONPath: at its end it needs $'],
    ['without $', 'a', 'is not a JSONPath: at character 1 it needs $'],
    ['with a space before $', ' $', 'is not a JSONPath: at character 1 it needs $'],
    ['with a space after $', '$ ', 'is not a JSONPath: at its end it needs . or ['],
    ['without a dot before a name', '$a', 'is not a JSONPath: at character 2 it needs . or ['],
    ['that ends with a dot', '$.', 'is not a JSONPath: at its end it needs a name or *'],
    ['with a space after a dot', '$. a', 'is not a JSONPath: at character 3 it needs a name or *'],
    ['with three dots', '$...a', 'is not a JSONPath: at character 4 it needs a name or *'],
    ['with a space after two dots', '$.. [0]', 'is not a JSONPath: at character 4 it needs a name or *'],
    ['with a name that begins with a digit', '$.1a', 'is not a JSONPath: at character 3 it needs a name or *'],
    ['with a hyphen in an unquoted name', '$.a-b', 'is not a JSONPath: at character 4 it needs . or ['],
    [
      'with half a surrogate pair in an unquoted name',
      '$.\ud800',
      'is not a JSONPath: at character 3 it needs a name or *',
    ],
    ['with empty brackets', '$[]', 'is not a JSONPath: at character 3 it needs a name in quotes, a number, : or *'],
    ['without a closing bracket', '$[0', 'is not a JSONPath: at its end it needs , or ]'],
    ['without a comma between indices', '$[0 1]', 'is not a JSONPath: at character 5 it needs , or ]'],
    [
      'with a comma before the closing bracket',
      '$[0,]',
      'is not a JSONPath: at character 5 it needs a name in quotes, a number, : or *',
    ],
    [
      'with an unquoted name in brackets',
      '$[a]',
      'is not a JSONPath: at character 3 it needs a name in quotes, a number, : or *',
    ],
    ['with a minus sign without digits', '$[-]', 'is not a JSONPath: at character 4 it needs a digit'],
    ['with four parts in a slice', '$[1:2:3:4]', 'is not a JSONPath: at character 8 it needs , or ]'],
    ['without a closing quotation mark', "$['a]", "is not a JSONPath: at its end it needs the ' that ends the name"],
    ['without a closing double quote', '$["a\']', 'is not a JSONPath: at its end it needs the " that ends the name'],
    [
      'with an unescaped line feed',
      '$["\n"]',
      'is not a JSONPath: at character 4 it needs an escape instead of this character',
    ],
    [
      'with an unescaped half of a surrogate pair',
      "$['\udc00']",
      'is not a JSONPath: at character 4 it needs an escape instead of this character',
    ],
    ['with an unknown escape', String.raw`$['\x']`, 'is not a JSONPath: at character 5 it needs an escape of JSONPath'],
    [
      'with an escaped double quotation mark in single ones',
      String.raw`$['\"']`,
      'is not a JSONPath: at character 5 it needs an escape of JSONPath',
    ],
    [
      'with an escaped single quotation mark in double ones',
      String.raw`$["\'"]`,
      'is not a JSONPath: at character 5 it needs an escape of JSONPath',
    ],
    [
      'with an escape of two hexadecimal digits',
      String.raw`$["\u12"]`,
      'is not a JSONPath: at character 6 it needs four hexadecimal digits',
    ],
    [
      'with only an escaped high surrogate',
      String.raw`$["\ud83d"]`,
      'is not a JSONPath: at character 10 it needs a complete surrogate pair',
    ],
    [
      'with only an escaped low surrogate',
      String.raw`$["\udd11"]`,
      'is not a JSONPath: at character 10 it needs a complete surrogate pair',
    ],
    [
      'with two escaped low surrogates',
      String.raw`$["\udd11\udd11"]`,
      'is not a JSONPath: at character 10 it needs a complete surrogate pair',
    ],
    ['with a filter', '$[?@.a]', 'has a filter at character 3: filters are not supported'],
    [
      'with a filter after an index',
      "$[0, ?match(@.a, '(a+)+')]",
      'has a filter at character 6: filters are not supported',
    ],
    ['of more than 1,000 characters', `$${'.a'.repeat(500)}`, 'is longer than 1000 characters'],
    ['of more than 200 selectors', `$[${'0,'.repeat(200)}0]`, 'has more than 200 selectors'],
  ] as const)('refuses a path %s, and says why', ([, path, message]) => {
    expect(() => parseJsonPath(path)).toThrow(new JsonPathError(message));
  });

  it.for([
    ...['01', '-0', '-01', '9007199254740992', '-9007199254740992'].map((integer) => [integer, integer] as const),
    ['10^400', `1${'0'.repeat(400)}`],
  ] as const)('refuses the integer %s as an index and in each part of a slice', ([, integer]) => {
    for (const selector of ['*', '*:', ':*', '::*']) {
      const needed = 'a whole number from -(2^53-1) to 2^53-1 without leading zeros';
      expect(() => parseJsonPath(`$[${selector.replace('*', integer)}]`)).toThrow(
        new JsonPathError(`is not a JSONPath: at character ${3 + selector.indexOf('*')} it needs ${needed}`),
      );
    }
  });

  it('names a malformed path of a request by the index of the path, and does not quote the path', async () => {
    const body = { document: [1], fields: ['$[0]', '$[?CANARY(f(f(f(f(f(f(f(f(f(f(f(@.a'] };
    expect(await errorOf(operate().ask('encrypt-fields', body))).toMatchObject({
      code: 'InvalidRequest',
      message: "The request's fields[1] has a filter at character 3: filters are not supported.",
    });
  });
});
