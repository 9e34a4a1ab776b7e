/**
 * Tests that twice the input causes at most about twice the work, in all code that reads a caller's input, a record or
 * a key row. The inputs are ordinary and hostile ones. `npm run bench` measures the time.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatTable, printableJson } from '../../src/cli/text.ts';
import { documentOf } from '../../src/client/documents.ts';
import { readInvocation } from '../../src/doors/invocation.ts';
import { decodeBase64, decodeBase64Url } from '../../src/crypto/base64.ts';
import { decodeCompactRecord } from '../../src/records/compact-record.ts';
import { decodeDataRowRecord } from '../../src/records/data-row-record.ts';
import { isPartition, KeyNaming, regionOfKeyId } from '../../src/records/ids.ts';
import { isNestedTooDeeply } from '../../src/records/json-depth.ts';
import { decodeKekEnvelope, replaceKeks } from '../../src/kms/kek-envelope.ts';
import { parseKmsArn } from '../../src/kms/key-arn.ts';
import { readKeyItem, type KeyItem } from '../../src/metastore/dynamodb-item.ts';
import { locateFields } from '../../src/operations/field-locations.ts';
import { selectValues, withDescendants } from '../../src/operations/field-paths.ts';
import { parseJsonPath } from '../../src/operations/json-path.ts';
import { exactInteger } from '../../src/input/exact-integer.ts';
import { locateValues, type JsonValue } from '../../src/operations/json-text.ts';
import { WorkMeter } from '../support/work.ts';

const ALLOW_MISSING = { allowMissing: true };
/** How much the work for twice the input may exceed twice the work: 1.1 means by ten percent. */
const TOLERANCE = 1.1;
/** The fixed amount of work that any input costs, whatever its size. */
const FIXED = 100;

let meter: WorkMeter;
beforeAll(async () => {
  meter = await WorkMeter.start();
});
afterAll(() => meter.stop());

/** An input of about the given size, and the code that reads it. The code may throw if the input is invalid. */
interface Shape<Input> {
  readonly name: string;
  readonly input: (n: number) => Input;
  readonly read: (input: Input) => unknown;
}

function shape<Input>(name: string, input: (n: number) => Input, read: (input: Input) => unknown): Shape<unknown> {
  return { name, input, read: read as (input: unknown) => unknown };
}

async function workOn({ input, read }: Shape<unknown>, n: number): Promise<number> {
  const made = input(n);
  return meter.workOf(() => {
    try {
      read(made);
    } catch {
      // If the code rejects the input, the work before the rejection counts as well.
    }
  });
}

function twice(shapes: readonly Shape<unknown>[], n: number): void {
  it.for(shapes.map((one) => [one.name, one] as const))(
    '%s causes at most about twice the work of an input half its size',
    async ([, one]) => {
      // V8 counts the work of a function only after the function's first run.
      await workOn(one, n);
      const [once, doubled] = [await workOn(one, n), await workOn(one, 2 * n)];
      expect(once).toBeGreaterThan(0);
      expect(doubled).toBeLessThanOrEqual(2 * TOLERANCE * once + FIXED);
    },
  );
}

function repeated(part: string, before = '', behind = ''): (n: number) => string {
  return (n) => before + part.repeat(n) + behind;
}

function pathOf(name: string, part: string, before = '$', behind = ''): Shape<unknown> {
  return shape(name, repeated(part, before, behind), parseJsonPath);
}

describe('a path of twice the length', () => {
  const shapes = [
    pathOf('with names', '.a'),
    pathOf('with quoted names', "['a']"),
    pathOf('with descendant segments', '..*'),
    pathOf('with indexes', '1,', '$[', '1]'),
    pathOf('with slices', '::-1,', '$[', '1]'),
    pathOf('with one long name', 'a', '$.'),
    pathOf('with escapes', '\\u0061', '$["', '"]'),
    pathOf('with surrogate pairs', '\\ud83d\\udd11', '$["', '"]'),
    pathOf('with backslashes in an unterminated string', '\\\\', '$["'),
    pathOf('with an unterminated string', 'a', "$['"),
    pathOf('with white space', ' ', '$', '.a'),
    pathOf('with white space in brackets', ' ', '$[0', ''),
    pathOf('with digits', '1', '$['),
    pathOf('with brackets', '[', '$'),
    pathOf('with dots', '.', '$'),
    pathOf('with commas', ',', '$[0'),
    pathOf('with nested calls in a filter', 'f(', '$[?', '@.a'),
    pathOf('with parentheses in a filter', '(', '$[?'),
  ];
  twice(shapes, 40);
});

describe('a document of twice the size', () => {
  const document = (name: string, input: (n: number) => string): Shape<unknown> => shape(name, input, locateValues);
  const texts = [
    document('with numbers', repeated('1,', '[', '1]')),
    document('with members', (n) =>
      JSON.stringify(Object.fromEntries(Array.from({ length: n }, (_, i) => [`m${i}`, i]))),
    ),
    document('with one long string', repeated('a', '"', '"')),
    document('with backslashes', repeated('\\\\', '"', '"')),
    document('with escaped quotes', repeated('\\"', '"', '"')),
    document('with white space', repeated(' ', '[', ']')),
    document('with digits', repeated('1')),
    document('with brackets', repeated('[')),
    document(
      'with lists that are nested ninety deep',
      (n) => `[${`${'['.repeat(90)}${']'.repeat(90)},`.repeat(Math.ceil(n / 90))}1]`,
    ),
  ];
  const depths = texts.map(({ name, input }) =>
    shape(`${name}, when its depth is checked,`, input as (n: number) => string, isNestedTooDeeply),
  );
  twice(
    [
      ...texts,
      ...depths,
      shape('with zeros in a number of a context', repeated('0', '0.', '1'), exactInteger),
      shape('with zeros at the end of a number of a context', repeated('0', '1.'), exactInteger),
      shape('with numbers, when it is returned as a value,', repeated('1e2,', '[', '1]'), (text) =>
        documentOf(text, undefined),
      ),
    ],
    300,
  );
});

function wide(n: number): JsonValue {
  return locateValues(`[${'{"a":[1,2],"b":{"a":3}},'.repeat(n)}0]`);
}

function deep(n: number): JsonValue {
  return locateValues(`[${`${'{"a":'.repeat(90)}1${'}'.repeat(90)},`.repeat(Math.ceil(n / 90))}0]`);
}

function flat(n: number): JsonValue {
  return locateValues(`[${'1,'.repeat(n)}1]`);
}

describe('paths through a document of twice the size', () => {
  const select = (name: string, path: string, input: (n: number) => JsonValue): Shape<unknown> =>
    shape(name, input, (root: JsonValue) => selectValues(root, [path], ALLOW_MISSING));
  const shapes = [
    select('that select by name', '$[*].b.a', wide),
    select('that select descendants', '$..a', wide),
    select('that select descendants of descendants', '$..*..*..*', wide),
    select('that select nested descendants of descendants', '$..a..a..a', deep),
    select('that select nested descendants, of which none matches,', '$..a..x..a', deep),
    select('that select every value many times', '$[*,*,*,*,*]', flat),
    select('that select one index many times', '$[0,0,-1,0,0]', flat),
    select('that select slices with every value', '$[::1,::-1,0:9007199254740991]', flat),
    select('that select empty slices', '$[9007199254740991:,::0,5:1]', flat),
    select('that select slices with huge steps', '$[::9007199254740991,::-9007199254740991]', flat),
    shape('that visit every nested value', deep, (root: JsonValue) => withDescendants([root])),
    shape('that visit every value', wide, (root: JsonValue) => withDescendants([root])),
  ];
  twice(shapes, 450);
});

describe('a path of twice the length through one document', () => {
  const root = locateValues(`[${`${'{"a":'.repeat(50)}1${'}'.repeat(50)},`.repeat(5)}0]`);
  const through = (name: string, part: string, before = '$', behind = ''): Shape<unknown> =>
    shape(name, repeated(part, before, behind), (path: string) => selectValues(root, [path], ALLOW_MISSING));
  twice(
    [
      through('with descendant segments', '..*'),
      through('with unions', '*,', '$..[', '*]'),
      through('with names', '..a'),
    ],
    10,
  );

  it('is refused after about as many steps as a path of half its length', async () => {
    const large = locateValues(`[${'[1],'.repeat(40_000)}0]`);
    const works = [];
    for (const n of [30, 60])
      works.push(
        await workOn(
          shape('', repeated('..*', '$'), (path: string) => selectValues(large, [path], ALLOW_MISSING)),
          n,
        ),
      );
    expect(works[1]).toBeLessThan(1.1 * (works[0] ?? 0));
  });
});

describe('a document of twice the size, whose fields are bound to their paths,', () => {
  const shapes = [
    shape(
      'with as many fields as quotation marks in the name above them',
      (n) => locateValues(JSON.stringify({ ["'".repeat(n)]: Array.from({ length: n }, () => 0) })),
      (root: JsonValue) => locateFields(root, selectValues(root, ['$.*[*]'], ALLOW_MISSING), 'exact'),
    ),
  ];
  twice(shapes, 300);
});

function base64(n: number): string {
  return 'A'.repeat(4 * n);
}

function recordText(key: string, id: string, data: string): string {
  return `{"Key":{"Created":1,"Key":"${key}","ParentKeyMeta":{"KeyId":"${id}","Created":1}},"Data":"${data}"}`;
}

describe('a record of twice the size', () => {
  const naming = new KeyNaming({ service: 's', product: 'p', regionSuffix: 'us-east-1' });
  const partition = naming.parsePartition('a');
  const isOurs = (id: string): boolean => naming.isIntermediateKeyOf(partition, id) || naming.isSystemKey(id);
  const shapes = [
    shape('with a long payload', (n) => recordText('AAAA', 'id', base64(n)), decodeDataRowRecord),
    shape('with a long key', (n) => recordText(base64(n), 'id', 'AAAA'), decodeDataRowRecord),
    shape('with many payloads', repeated(',"Data":"x"', '{"a":1', '}'), decodeDataRowRecord),
    shape('with many members', repeated('"a":1,', '{', '"Data":""}'), decodeDataRowRecord),
    shape('in its compact form', (n) => `kf1.${base64(n)}`, decodeCompactRecord),
    shape('in its compact form, with invalid base64,', (n) => `kf1.${base64(n)}=`, decodeCompactRecord),
    shape('in base64', base64, decodeBase64),
    shape('in base64 with padding', repeated('='), decodeBase64),
    shape('in base64url', base64, decodeBase64Url),
    shape('with a long ID', repeated('a', '_IK_a_s_p_'), isOurs),
    shape('whose ID has many hyphens', repeated('-a', '_IK_a_s_p_us', '-1x'), isOurs),
    shape('whose ID has one long region', repeated('a', '_SK_s_p_us-', '-1'), isOurs),
    shape('whose ID consists of underscores', repeated('_', '_IK_'), regionOfKeyId),
    shape('for a partition with a long name', repeated('a'), isPartition),
    shape('for a partition whose name consists of control characters', repeated('\u0001'), isPartition),
    shape(
      'in an event with many members',
      (n) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`m${i}`, i])),
      (event) => readInvocation({ value: event, text: () => '' }),
    ),
  ];
  twice(shapes, 300);
});

function item(n: number): KeyItem {
  return {
    Id: { S: '_SK_s_p' },
    Created: { N: '1' },
    KeyRecord: { M: { Created: { N: '1' }, Key: { S: base64(n) } } },
    ...Object.fromEntries(Array.from({ length: n }, (_, i) => [`more${i}`, { S: 'x' }])),
  };
}

describe('a key row of twice the size', () => {
  const kek = { region: 'us-west-2', arn: 'alias/x', encryptedKek: 'AAAA' };
  const envelope = (n: number): Buffer =>
    Buffer.from(JSON.stringify({ encryptedKey: 'AAAA', kmsKeks: Array.from({ length: n }, () => kek) }));
  const shapes = [
    shape('with more wraps', envelope, decodeKekEnvelope),
    shape('with more wraps, when it is encoded again,', envelope, (bytes) => replaceKeks(bytes, [])),
    shape('that consists of nested lists', (n) => Buffer.from('['.repeat(n)), decodeKekEnvelope),
    shape('with a longer key and more attributes', item, readKeyItem),
    shape('with a longer ARN', repeated('a', 'arn:aws:kms:us-west-2:111122223333:key/', '!'), parseKmsArn),
    shape('with an ARN that consists of hyphens', repeated('-', 'arn:aws'), parseKmsArn),
    shape(
      'that is printed as a table',
      (n) => Array.from({ length: n }, (_, i) => [`${i}`, 'x'.repeat(i)]),
      (rows) => formatTable(['ID', 'X'], rows),
    ),
    shape(
      'that is printed as JSON',
      (n) => '\u202e'.repeat(n),
      (text) => printableJson(text),
    ),
  ];
  twice(shapes, 300);
});
