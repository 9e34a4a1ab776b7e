/** Tests the exact limits of requests, and the callbacks that report item counts to the door. */
import { describe, expect, it } from 'vitest';
import { MAX_JSON_DEPTH } from '../../../src/records/json-depth.ts';
import { fieldPathFaults } from '../../../src/operations/field-path-faults.ts';
import { encryptFieldsInput } from '../../../src/operations/encrypt-fields.ts';
import { parseInput } from '../../../src/operations/operation.ts';
import { parseJsonPath } from '../../../src/operations/json-path.ts';
import { locateValues } from '../../../src/operations/json-text.ts';
import type { OperationName } from '../../../src/operations/operation-name.ts';
import { codeOf, errorOf, FakeDependencies } from '../../support/fakes.ts';
import { operate } from '../../support/operations.ts';

const bytes = (count: number): { plaintext: string } => ({ plaintext: Buffer.alloc(count).toString('base64') });

/** Writes an array that has `count` values, including the array itself. */
function list(count: number): string {
  return `[${Array.from({ length: count - 1 }, () => '1').join(',')}]`;
}

function nested(depth: number): string {
  return '['.repeat(depth) + ']'.repeat(depth);
}

function paths(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `$.a${i}`);
}

/** Returns the first selector of a path. */
function nameIn(path: string): unknown {
  const [segment] = parseJsonPath(path);
  return segment?.selectors[0];
}

describe('the plaintext limit', () => {
  it.for([
    ['encrypt', bytes(10), bytes(11)],
    ['encrypt-batch', { items: [bytes(4), bytes(6)] }, { items: [bytes(5), bytes(6)] }],
    ['encrypt-fields', { document: ['12345678'], fields: ['$[0]'] }, { document: ['123456789'], fields: ['$[0]'] }],
  ] as const)('lets %s accept exactly the limit, but not one byte more', async ([operation, most, more]) => {
    const { answer } = operate(new FakeDependencies().process(), { plaintextLimitBytes: 10 });
    await expect(answer(operation, most)).resolves.toBeTypeOf('object');
    expect(await errorOf(answer(operation, more))).toMatchObject({
      code: 'PayloadTooLarge',
      message: 'The plaintext is larger than 10 bytes.',
    });
  });

  it('lets decrypt and rewrap accept exactly the limit, but not one byte more', async () => {
    const world = new FakeDependencies();
    const { answer } = operate(world.process());
    const [most, more] = [await answer('encrypt', bytes(10)), await answer('encrypt', bytes(11))];
    const small = operate(world.process(), { plaintextLimitBytes: 10 });
    for (const operation of ['decrypt', 'rewrap'] as const) {
      await expect(small.answer(operation, most)).resolves.toBeTypeOf('object');
      expect(await codeOf(small.answer(operation, more))).toBe('PayloadTooLarge');
    }
  });
});

it('encrypt-fields accepts as many values as a request may have items', async () => {
  const { answer } = operate(undefined, { maxItems: 3 });
  const { document } = await answer('encrypt-fields', { document: [1, 2, 3], fields: ['$[*]'] });
  expect(await answer('decrypt-fields', { document, all: true })).toEqual({ document: [1, 2, 3] });
});

it('a record with an empty plaintext counts as zero bytes', async () => {
  const world = new FakeDependencies();
  const { answer } = operate(world.process());
  const items = [await answer('encrypt', bytes(10)), await answer('encrypt', bytes(0))];
  const small = operate(world.process(), { plaintextLimitBytes: 10 });
  const plaintexts = [bytes(10), bytes(0)];
  expect(await small.answer('decrypt-batch', { items })).toEqual({ results: plaintexts });
});

describe('an operation', () => {
  it.for([
    ['encrypt-batch with two items', 'encrypt-batch', { items: [bytes(1), bytes(1)] }, 2],
    ['encrypt-batch without items', 'encrypt-batch', { items: [] }, 0],
    ['encrypt-fields with three values', 'encrypt-fields', { document: [1, 2, 3], fields: ['$[*]'] }, 3],
    ['decrypt-fields on a document without records', 'decrypt-fields', { document: [1, 2, 3], all: true }, 0],
  ] as const satisfies readonly (readonly [string, OperationName, object, number])[])(
    'passes the number of items to itemsCounted for %s',
    async ([, operation, body, count]) => {
      const counts: number[] = [];
      const itemsCounted = (counted: number): void => void counts.push(counted);
      await operate(undefined, { itemsCounted }).ask(operation, body);
      expect(counts).toEqual([count]);
    },
  );

  it('calls itemsFailed only if items failed', async () => {
    const told: number[] = [];
    const itemsFailed = (errors: readonly unknown[]): void => void told.push(errors.length);
    const { ask } = operate(undefined, { itemsFailed });
    await ask('encrypt-batch', { items: [bytes(1)] });
    expect(told).toEqual([]);
    await ask('encrypt-batch', { items: [bytes(1), {}, {}] });
    expect(told).toEqual([2]);
  });
});

it('a list of paths is read only up to its first fault', () => {
  let reads = 0;
  const fields = new Proxy(Array<number>(100_000).fill(1), {
    get: (target, name, receiver): unknown => {
      if (typeof name === 'string' && /^\d+$/.test(name)) reads += 1;
      return Reflect.get(target, name, receiver);
    },
  });
  expect(() => parseInput(encryptFieldsInput, { document: {}, fields })).toThrow('fields[0] must be a string.');
  expect(reads).toBeLessThan(10);
});

describe('the document of a request', () => {
  it('may have up to 100,000 values and the maximum depth', () => {
    expect(locateValues(list(100_000)).items).toHaveLength(99_999);
    expect(() => locateValues(list(100_001))).toThrow('The request holds more than 100000 values.');
    expect(locateValues(nested(MAX_JSON_DEPTH)).end).toBe(2 * MAX_JSON_DEPTH);
    expect(() => locateValues(nested(MAX_JSON_DEPTH + 1))).toThrow(
      `The request is nested deeper than ${MAX_JSON_DEPTH}.`,
    );
    const ofAnswer = { subject: 'answer', depth: 2, values: 9 } as const;
    expect(() => locateValues(nested(3), ofAnswer)).toThrow('The answer is nested deeper than 2.');
  });

  it('is refused with an error about nesting if its documentText is nested too deeply', async () => {
    const documentText = nested(200);
    const error = await errorOf(operate().ask('encrypt-fields', { documentText, fields: ['$'] }));
    expect(error).toMatchObject({ code: 'InvalidRequest', message: expect.stringContaining('nested') as string });
  });

  it.for([
    ['ASCII characters', 'tenant-1'],
    ['a letter beyond ASCII', 'é'],
    ['20 surrogate pairs', '🔑'.repeat(20)],
  ] as const)(
    'is refused if the response would be one character too long, for a partition with %s',
    async ([, partition]) => {
      const world = new FakeDependencies();
      const body = { document: { a: 1, b: 'text' }, fields: ['$.a', '$.b'] };
      const { length } = await operate(world.process()).ask('encrypt-fields', body, partition);
      world.log.take();
      const within = (most: number): Promise<string> =>
        operate(world.process(), { answerFits: (answer) => answer.length <= most }).ask(
          'encrypt-fields',
          body,
          partition,
        );
      expect(await errorOf(within(length - 1))).toMatchObject({
        code: 'PayloadTooLarge',
        message: 'The answer would be too large to return.',
      });
      expect(world.log.take()).toEqual([]);
      expect(await within(length)).toHaveLength(length);
    },
  );

  it('may lack a field that decrypt-fields names, but only if allowMissing is true', async () => {
    const { ask } = operate();
    const body = { document: {}, fields: ['$.a'] };
    expect(await ask('decrypt-fields', { ...body, allowMissing: true })).toBe('{"document":{}}');
    expect(await codeOf(ask('decrypt-fields', { ...body, allowMissing: false }))).toBe('FieldNotFound');
  });

  it('may have records at any depth, and decrypt-fields finds these records', async () => {
    const { ask, answer } = operate();
    const { document } = await answer('encrypt-fields', {
      document: { deep: { a: 1 }, flat: 2, list: [{ b: 3 }], last: 4 },
      fields: ['$..a', '$.flat', '$..b', '$.last'],
    });
    expect(await ask('decrypt-fields', { document, all: true })).toBe(
      '{"document":{"deep":{"a":1},"flat":2,"list":[{"b":3}],"last":4}}',
    );
  });
});

describe('parseJsonPath', () => {
  it('accepts up to 1000 characters and 200 selectors', () => {
    expect(parseJsonPath(`$.${'a'.repeat(998)}`)).toHaveLength(1);
    expect(() => parseJsonPath(`$.${'a'.repeat(999)}`)).toThrow('is longer than 1000 characters');
    expect(parseJsonPath(`$[${'0,'.repeat(199)}0]`)[0]?.selectors).toHaveLength(200);
    expect(() => parseJsonPath(`$[${'0,'.repeat(200)}0]`)).toThrow('has more than 200 selectors');
  });

  it.for([
    ...['A', 'Z', 'a', 'z', '_', 'b0', 'b9'].map((name) => [name, name] as const),
    ['U+0080', '\u0080'],
    ['U+D7FF', '\ud7ff'],
    ['U+E000', '\ue000'],
    ['U+FFFF', '\uffff'],
    ['U+10000', '\u{10000}'],
  ] as const)('accepts the unquoted name %s', ([, name]) => {
    expect(nameIn(`$.${name}.z`)).toEqual({ kind: 'name', name });
  });

  it.for([
    ...['@', '[', '`', '{', '0', '9', '/', ':'].map((name) => [name, name] as const),
    ['U+007F', '\u007f'],
    ['U+D800', '\ud800'],
    ['U+DFFF', '\udfff'],
  ] as const)('refuses an unquoted name that begins with %s', ([, name]) => {
    expect(() => parseJsonPath(`$.${name}`)).toThrow('is not a JSONPath');
  });

  it.for(['$.a:', '$.a/'])('refuses the unquoted name in %s', (path) => {
    expect(() => parseJsonPath(path)).toThrow('is not a JSONPath: at character 4 it needs . or [');
  });

  it.for([
    [String.raw`\b`, '\b'],
    [String.raw`\f`, '\f'],
    [String.raw`\n`, '\n'],
    [String.raw`\r`, '\r'],
    [String.raw`\t`, '\t'],
    [String.raw`\/`, '/'],
    [String.raw`\\`, '\\'],
    [String.raw`\"`, '"'],
    [String.raw`\u00e9`, 'é'],
    [String.raw`\uD800\uDC00`, '\u{10000}'],
    [String.raw`\udbff\udfff`, '\u{10ffff}'],
  ] as const)('reads the escape %s', ([escape, name]) => {
    expect(nameIn(`$["${escape}"]`)).toEqual({ kind: 'name', name });
  });

  it.for([
    String.raw`\u0g12`,
    String.raw`\ug012`,
    String.raw`\u012g`,
    String.raw`\ud800\ud800`,
    String.raw`\ud800\ue000`,
    String.raw`\udc00\udc00`,
  ])('refuses the escape %s', (escape) => {
    expect(() => parseJsonPath(`$["${escape}"]`)).toThrow('is not a JSONPath');
  });
});

describe('fieldPathFaults', () => {
  it('accepts as many paths as a request may have', () => {
    expect(fieldPathFaults(paths(100))).toEqual([]);
    expect(fieldPathFaults(paths(101))).toEqual([' has 101 paths, and a request may have 100']);
  });

  it('accepts 2,000 selectors in all paths together', () => {
    const indexes = Array.from({ length: 2000 }, (_, i) => i);
    const long = Array.from({ length: 20 }, (_, i) => `$[${indexes.slice(100 * i, 100 * i + 100).join()}]`);
    expect(fieldPathFaults(long)).toEqual([]);
    expect(fieldPathFaults([...long, '$.a'])).toEqual([' has 2001 selectors, and all paths together may have 2000']);
  });

  it('names each malformed path by its index', () => {
    expect(fieldPathFaults(['$.a', 'b', '$[?@.a]'])).toEqual([
      '[1] is not a JSONPath: at character 1 it needs $',
      '[2] has a filter at character 3: filters are not supported',
    ]);
  });

  it('accepts an empty slice next to an index', () => {
    expect(fieldPathFaults(['$[0:0,1]'])).toEqual([]);
  });

  it('reports each fault of two paths only once', () => {
    expect(fieldPathFaults(['$.a', '$.a'])).toEqual(['[1] repeats [0]']);
    expect(fieldPathFaults(['$.a', '$[0]'])).toEqual([
      '[1] and [0] require the same value to be both an object and an array',
    ]);
  });
});
