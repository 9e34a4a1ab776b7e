import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import type { EnvelopeEvents } from '../../../src/envelope/ports.ts';
import { exactInteger } from '../../../src/input/exact-integer.ts';
import { codeOf, errorOf, FakeDependencies } from '../../support/fakes.ts';
import { operate, type Answer, type Operator } from '../../support/operations.ts';

const HOME = { table: 'users', id: '42' };
const ORDER = {
  id: 7,
  tenant: 't',
  items: [
    { line: 'a', ssn: 1 },
    { line: 'b', ssn: 2 },
  ],
};
const SSNS = ['$.items[*].ssn'];
const NOT_ONE = 'contextFrom must have paths that each select exactly one value.';
const ENCRYPTED = 'contextFrom must not select a value that is encrypted.';
const NO_SCALAR = 'contextFrom must have paths that select strings, booleans or safe integers.';

/** A document with one field. The names in the field's path have this many characters in total. */
function nested(characters: number): Answer {
  return { ['n'.repeat(characters - 1)]: [{ s: 2 }] };
}

async function sealed(operator: Operator, request: Answer, document: unknown = ORDER): Promise<typeof ORDER> {
  const answer = await operator.answer('encrypt-fields', { document, fields: SSNS, ...request });
  return answer['document'] as typeof ORDER;
}

describe('encrypt and decrypt with a context', () => {
  it.for([
    ['the default', undefined],
    ['the compact', 'compact'],
  ] as const)('succeed only if both use the same context, in %s format', async ([, format]) => {
    const { answer, ask } = operate();
    const { record } = await answer('encrypt', { plaintext: 'aGk=', context: HOME, ...(format && { format }) });
    expect(await answer('decrypt', { record, context: HOME })).toEqual({ plaintext: 'aGk=' });
    expect(await codeOf(ask('decrypt', { record, context: { ...HOME, id: '43' } }))).toBe('RecordUnreadable');
    expect(await codeOf(ask('decrypt', { record }))).toBe('ContextRequired');
    const moved = await answer('rewrap', { record, format: 'compact' });
    expect(await answer('decrypt', { record: moved['record'], context: HOME })).toEqual({ plaintext: 'aGk=' });
  });

  it.for([
    ['null', null],
    ['an empty array', []],
    ['an array', ['a']],
    ['a string', 'id=1'],
    ['a number', 7],
    ['an object with a number as a value', { id: 1 }],
    ['an object with null as a value', { id: null }],
    ['an object without entries', {}],
    ['an object with an empty name', { '': 'x' }],
    ['an object with a value of 1,025 bytes', { id: 'x'.repeat(1025) }],
  ] as const)('refuse %s as the context', async ([, context]) => {
    const world = new FakeDependencies();
    const { ask } = operate(world.process());
    const error = await errorOf(ask('encrypt', { plaintext: 'aGk=', context }));
    expect(error).toMatchObject({
      code: 'InvalidRequest',
      message: expect.stringMatching(/^context must/) as string,
    });
    expect(world.log.take()).toEqual([]);
  });

  it('bind each item of a batch to its own context', async () => {
    const { answer, itemFailures } = operate();
    const contexts = ['1', '2', '3'].map((id) => ({ table: 'users', id }));
    const items = contexts.map((context) => ({ plaintext: 'aGk=', context }));
    const sealing = await answer('encrypt-batch', { items, shareDataRowKey: true });
    const records = (sealing['results'] as { record: unknown }[]).map(({ record }) => record);
    const given = records.map((record, i) => ({ record, context: contexts[i === 2 ? 0 : i] }));
    const { results } = await answer('decrypt-batch', { items: given });
    expect(results).toMatchObject([
      { plaintext: 'aGk=' },
      { plaintext: 'aGk=' },
      { error: { code: 'RecordUnreadable' } },
    ]);
    expect(itemFailures).toHaveLength(1);
  });

  it('refuse only the item that has a malformed context', async () => {
    const { answer } = operate();
    const items = [
      { plaintext: 'aGk=', context: {} },
      { plaintext: 'aGk=', context: HOME },
    ];
    const { results } = await answer('encrypt-batch', { items });
    expect(results).toMatchObject([
      { error: { code: 'InvalidRequest' } },
      { record: { Proof: expect.any(String) as string } },
    ]);
  });

  it('open the record of a single field if the request contains the path of the field', async () => {
    const operator = operate();
    const { items } = await sealed(operator, { context: HOME });
    const record = items[0]?.ssn;
    const path = "$['items'][*]['ssn']";
    expect(await operator.answer('decrypt', { record, context: HOME, path })).toEqual({ plaintext: 'MQ==' });
    expect(await codeOf(operator.ask('decrypt', { record, context: HOME, path: "$['items'][*]['x']" }))).toBe(
      'RecordUnreadable',
    );
    expect(await codeOf(operator.ask('decrypt', { record, path }))).toBe('InvalidRequest');
  });

  it('refuse a path if the record was not sealed as a field', async () => {
    const { answer, ask } = operate();
    const { record } = await answer('encrypt', { plaintext: '', context: HOME, format: 'compact' });
    expect(await codeOf(ask('decrypt', { record, context: HOME, path: '$' }))).toBe('InvalidRequest');
  });
});

describe('the fields of a document with a context', () => {
  it('still open after members and array items are reordered', async () => {
    const operator = operate();
    const { id, items } = await sealed(operator, { context: HOME });
    const reordered = { items: items.toReversed(), id };
    const { document } = await operator.answer('decrypt-fields', { document: reordered, fields: SSNS, context: HOME });
    expect(document).toEqual({ items: ORDER.items.toReversed(), id: 7 });
    expect(await operator.answer('decrypt-fields', { document: reordered, all: true, context: HOME })).toEqual({
      document,
    });
  });

  it('do not open in another member, even with the same context', async () => {
    const operator = operate();
    const fields = ['$.a', '$.b'];
    const answer = await operator.answer('encrypt-fields', { document: { a: 1, b: 2 }, fields, context: HOME });
    const { a, b } = answer['document'] as { a: string; b: string };
    const swapped = { document: { a: b, b: a }, fields };
    expect(await codeOf(operator.ask('decrypt-fields', { ...swapped, context: HOME }))).toBe('RecordUnreadable');
    const unbound = await operator.answer('encrypt-fields', { document: { a: 1, b: 2 }, fields });
    const plain = unbound['document'] as { a: string; b: string };
    const opened = await operator.answer('decrypt-fields', { document: { a: plain.b, b: plain.a }, fields });
    expect(opened['document']).toEqual({ a: 2, b: 1 });
  });

  it('are bound to array indexes with bindPath "exact", and to no path with bindPath "none"', async () => {
    const operator = operate();
    const exact = { context: HOME, bindPath: 'exact' };
    const document = await sealed(operator, exact);
    expect((await operator.answer('decrypt-fields', { document, fields: SSNS, ...exact }))['document']).toEqual(ORDER);
    const reversed = { ...document, items: document.items.toReversed() };
    expect(await codeOf(operator.ask('decrypt-fields', { document: reversed, fields: SSNS, ...exact }))).toBe(
      'RecordUnreadable',
    );
    const none = { context: HOME, bindPath: 'none' };
    const [first] = (await sealed(operator, none)).items;
    const moved = { document: { x: first?.ssn }, fields: ['$.x'], ...none };
    expect((await operator.answer('decrypt-fields', moved))['document']).toEqual({ x: 1 });
  });

  it('can be records of bytes with bindPath "none", and skipSealed leaves these records unchanged', async () => {
    const { answer } = operate();
    const { record } = await answer('encrypt', { plaintext: 'AAEC', context: HOME, format: 'compact' });
    const request = { document: { s: record }, fields: ['$.s'], context: HOME, bindPath: 'none' };
    expect(await answer('decrypt-fields', request)).toEqual({ document: { s: 'AAEC' } });
    expect(await answer('encrypt-fields', { ...request, skipSealed: true })).toEqual({ document: { s: record } });
  });

  it('can take context values from the document and from the array element around the field', async () => {
    const operator = operate();
    const from = { contextFrom: { id: '$.id', line: '@.line' }, context: { table: 'orders' } };
    const document = await sealed(operator, from);
    const opened = await operator.answer('decrypt-fields', { document, fields: SSNS, ...from });
    expect(opened['document']).toEqual(ORDER);
    const [first, second] = document.items;
    const swapped = {
      ...document,
      items: [
        { ...first, ssn: second?.ssn },
        { ...second, ssn: first?.ssn },
      ],
    };
    expect(await codeOf(operator.ask('decrypt-fields', { document: swapped, fields: SSNS, ...from }))).toBe(
      'RecordUnreadable',
    );
    const renamed = { ...document, id: 8 };
    expect(await codeOf(operator.ask('decrypt-fields', { document: renamed, fields: SSNS, ...from }))).toBe(
      'RecordUnreadable',
    );
    const context = { table: 'orders', id: '7', line: 'a' };
    const given = { record: first?.ssn, context, path: "$['items'][*]['ssn']" };
    expect(await operator.answer('decrypt', given)).toEqual({ plaintext: 'MQ==' });
  });

  it.for([
    ['the integer 7', '7', 'the decimal 7.0', '7.0'],
    ['the integer 7', '7', 'the number 70e-1', '70e-1'],
    ['the value true', 'true', 'the same value again', 'true'],
    ['the value false', 'false', 'the same value again', 'false'],
    ['the letter é', '"\u00e9"', 'its JSON escape', String.raw`"\u00e9"`],
    ['the number -0', '-0', 'the number 0', '0'],
  ] as const)('have the same context for $0 and $2', async ([, one, , other]) => {
    const operator = operate();
    const request = { fields: ['$.s'], contextFrom: { id: '$.id' } };
    const text = `{"id":${one},"s":1}`;
    const { documentText } = await operator.answer('encrypt-fields', { documentText: text, ...request });
    const changed = (documentText as string).replace(`"id":${one}`, `"id":${other}`);
    const opened = await operator.answer('decrypt-fields', { documentText: changed, ...request });
    expect(opened['documentText']).toBe(`{"id":${other},"s":1}`);
  });

  it.for([
    ['has a path that selects nothing', { id: '$.nothing' }, NOT_ONE],
    ['has a path that selects two values', { id: '$.items[*].line' }, NOT_ONE],
    ['selects a value that is encrypted', { id: '$.items[0].ssn' }, ENCRYPTED],
    ['selects an object', { id: '$.items[1]' }, NO_SCALAR],
    ['selects null', { id: '$.none' }, NO_SCALAR],
    ['selects a number that is not an integer', { id: '$.half' }, NO_SCALAR],
    ['selects a number beyond the safe integers', { id: '$.big' }, NO_SCALAR],
    ['selects a compact record', { id: '$.sealed' }, ENCRYPTED],
    [
      'has a malformed path',
      { id: '$.id', line: '$.[' },
      "The request's contextFrom[1] is not a JSONPath: at character 3 it needs a name or *.",
    ],
    [
      'has a path with a filter',
      { id: '$.items[?@.ssn == 1].line' },
      "The request's contextFrom[0] has a filter at character 9: filters are not supported.",
    ],
    ['has a number instead of a path', { id: 7 }, 'contextFrom must be an object whose values are strings.'],
    ['has no entries', {}, 'contextFrom must have 1 to 16 entries.'],
    [
      'has a name that is also in context',
      { id: '$.id', table: '$.id' },
      'A name must not stand in both context and contextFrom.',
    ],
  ] as const)('are not encrypted if contextFrom %s', async ([, contextFrom, message]) => {
    const { ask } = operate();
    const document = `{"id":1,"none":null,"half":0.5,"big":9007199254740993,"sealed":"kf1j.x",${JSON.stringify(ORDER).slice(1)}`;
    const asked = JSON.stringify({ fields: SSNS, contextFrom, context: { table: 't' } });
    const body = `{"document":${document.replace('"id":7,', '')},${asked.slice(1)}`;
    expect(await errorOf(ask('encrypt-fields', body))).toMatchObject({ code: 'InvalidRequest', message });
  });

  it('may take an entry named constructor from the document, beside a context', async () => {
    const operator = operate();
    const request = { context: HOME, contextFrom: { constructor: '$.id' } };
    const document = await sealed(operator, request);
    expect(await operator.answer('decrypt-fields', { ...request, document, all: true })).toEqual({ document: ORDER });
  });

  it('are refused if a path in contextFrom begins at an array element, but a field is in no array', async () => {
    const request = { document: { id: 1, s: 2 }, fields: ['$.s'], contextFrom: { id: '@.id' } };
    expect(await errorOf(operate().ask('encrypt-fields', request))).toMatchObject({
      code: 'InvalidRequest',
      message: 'contextFrom has a path that begins with @, but a field is in no array.',
    });
  });

  it('are refused before any key is read if the names in a path have more than 4,096 characters', async () => {
    const world = new FakeDependencies();
    const { answer, ask } = operate(world.process());
    const fields = ['$.*[0].s'];
    for (const [length, bindPath] of [
      [4096, undefined],
      [4096, 'exact'],
      [4097, 'none'],
    ] as const) {
      const request = { fields, context: HOME, ...(bindPath && { bindPath }) };
      const { document } = await answer('encrypt-fields', { ...request, document: nested(length) });
      expect(await answer('decrypt-fields', { ...request, document })).toEqual({ document: nested(length) });
    }
    const { document } = await answer('encrypt-fields', { fields, document: nested(4097) });
    world.log.take();
    for (const request of [{ context: HOME }, { context: HOME, bindPath: 'exact' }]) {
      const refused = {
        code: 'InvalidRequest',
        message: 'The names above a field have more than 4096 characters.',
      };
      expect(await errorOf(ask('encrypt-fields', { ...request, fields, document }))).toMatchObject(refused);
      expect(await errorOf(ask('decrypt-fields', { ...request, fields, document }))).toMatchObject(refused);
    }
    expect(world.log.take()).toEqual([]);
  });

  it('may have paths that together are longer than 4,096 characters', async () => {
    const { answer } = operate();
    const document = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [String(i).repeat(500), { s: i }]));
    const request = { fields: ['$.*.s'], context: HOME };
    const encrypted = await answer('encrypt-fields', { ...request, document });
    expect(await answer('decrypt-fields', { ...request, ...encrypted })).toEqual({ document });
  });

  it('do not open under another name, even if the names contain quotes, backslashes and control characters', async () => {
    const operator = operate();
    const names = ["a'", 'a\\', "a\\'", 'a\u0001', 'a\n', 'a\\n', '', '__proto__', "']['"];
    const documentText = `{${names.map((name, i) => `${JSON.stringify(name)}:${i}`).join(',')}}`;
    const request = { fields: ['$.*'], context: HOME };
    const answer = await operator.answer('encrypt-fields', { documentText, ...request });
    const text = answer['documentText'] as string;
    expect((await operator.answer('decrypt-fields', { documentText: text, ...request }))['documentText']).toBe(
      documentText,
    );
    const values = [...text.matchAll(/"kf2j[^"]*"/g)].map(([value]) => value);
    const rotated = names.map((name, i) => `${JSON.stringify(name)}:${values[(i + 1) % values.length]}`);
    for (const [i, name] of names.entries()) {
      const alone = `{${rotated[i]}}`;
      expect([name, await codeOf(operator.ask('decrypt-fields', { documentText: alone, ...request }))]).toEqual([
        name,
        'RecordUnreadable',
      ]);
    }
  });
});

/** Different spellings of the path to `s`, for each of the documents `{"a":{"s":1}}` and `{"l":[[{"s":1}]]}`. */
const SPELLINGS = {
  '{"a":{"s":1}}': ['$.a.s', `$['a']['s']`, `$["a"]["s"]`, String.raw`$["\u0061"].s`, '$..s', '$.*.s', '$ .a ["s"]'],
  '{"l":[[{"s":1}]]}': ['$.l[0][0].s', '$.l[-1][-1].s', '$.l[:1][::-1].s', '$.l[*][*].s', '$..[0].s', '$.l[0,0]..s'],
};

describe('the path of a bound field', () => {
  it.for(Object.entries(SPELLINGS))('is the same for all spellings of a path in %s', async ([documentText, paths]) => {
    const operator = operate();
    for (const bindPath of ['exact', 'none', undefined]) {
      const binding = { context: HOME, bindPath };
      for (const [i, path] of paths.entries()) {
        const encrypted = await operator.answer('encrypt-fields', { documentText, fields: [path], ...binding });
        const fields = [paths[(i + 1) % paths.length]];
        expect(await operator.answer('decrypt-fields', { ...encrypted, fields, ...binding })).toEqual({ documentText });
      }
    }
  });

  it('is bound only once if two spellings of a path select the field', async () => {
    const operator = operate();
    const request = { document: { a: { s: 1 } }, context: HOME };
    const { document } = await operator.answer('encrypt-fields', { ...request, fields: ['$.a.s', `$["a"]['s']`] });
    const opened = await operator.answer('decrypt-fields', { document, context: HOME, all: true });
    expect(opened['document']).toEqual(request.document);
    for (const fields of [['$.a', '$.a.s'], ['$..*'], ['$', '$.a']]) {
      expect(await codeOf(operator.ask('encrypt-fields', { ...request, fields }))).toBe('InvalidRequest');
    }
  });

  it.for([
    ['a member with the name *, and an item of an array', '$.a.*', '{"a":{"*":S}}', '{"a":[S]}', undefined],
    ['a member with the name 0, and the first item of an array', '$.a.*', '{"a":{"0":S}}', '{"a":[S]}', 'exact'],
    ['an item, and the item after it', '$[0]', '[S,0]', '[0,S]', 'exact'],
    ['the first items of two arrays', '$[0][0]', '[[S],[0]]', '[[0],[S]]', 'exact'],
    ['an item, and an item one array deeper', '$[0]', '[S]', '[[S]]', undefined],
    ['a member without a name, and the document itself', '$.*', '{"":S}', 'S', undefined],
    ['a name with a dot, and two names', '$.*', '{"a.b":S}', '{"a":{"b":S}}', undefined],
    ['a name that imitates two names, and two names', '$.*', `{"a']['b":S}`, '{"a":{"b":S}}', undefined],
    ['a name that imitates an index, and an item', '$.*', `{"a'][*]['b":S}`, '{"a":[{"b":S}]}', undefined],
    ['a composed letter, and a decomposed one', '$.*', '{"\u00e9":S}', '{"e\u0301":S}', undefined],
    ['a ligature, and its two letters', '$.*', '{"\ufb01":S}', '{"fi":S}', undefined],
    ['a capital letter, and a small one', '$.*', '{"A":S}', '{"a":S}', undefined],
    ['a name, and the name with a NUL', '$.*', '{"a":S}', String.raw`{"a\u0000":S}`, undefined],
    ['a name, and the name with a space', '$.*', '{"a":S}', '{"a ":S}', undefined],
    ['the names __proto__ and constructor', '$.*', '{"__proto__":S}', '{"constructor":S}', undefined],
    ['__proto__, and a member of it', '$.*', '{"__proto__":S}', '{"__proto__":{"__proto__":S}}', undefined],
    ['the same member of two objects', '$.a.s', '{"a":{"s":S}}', '{"b":{"s":S}}', undefined],
    ['a member, and the same member one level deeper', '$.s', '{"s":S}', '{"s":{"s":S}}', undefined],
  ] as const)('differs between %s', async ([, field, home, away, bindPath]) => {
    const operator = operate();
    const binding = { context: HOME, bindPath };
    const documentText = home.replace('S', '"secret"');
    const encrypted = await operator.answer('encrypt-fields', { documentText, fields: [field], ...binding });
    const opening = { all: true, ...binding };
    expect(await operator.answer('decrypt-fields', { ...opening, ...encrypted })).toEqual({ documentText });
    const [record = ''] = /"kf2j[^"]*"/.exec(encrypted['documentText'] as string) ?? [];
    const moved = { ...opening, documentText: away.replace('S', record) };
    expect(await codeOf(operator.ask('decrypt-fields', moved))).toBe('RecordUnreadable');
  });

  it('must be given to decrypt in the normalized spelling', async () => {
    const operator = operate();
    const { document } = await operator.answer('encrypt-fields', {
      document: { a: [{ s: 1 }] },
      fields: ['$..s'],
      context: HOME,
    });
    const record = (document as { a: [{ s: string }] }).a[0].s;
    for (const path of ['$.a[*].s', `$["a"][*]["s"]`, `$['a'][*]['s'] `, `$['a'][0]['s']`, '', undefined]) {
      const work = operator.ask('decrypt', { record, context: HOME, path });
      expect([path, await codeOf(work)]).toEqual([path, 'RecordUnreadable']);
    }
    expect(await codeOf(operator.ask('decrypt', { record, context: HOME, path: '\ud800' }))).toBe('InvalidRequest');
    const path = `$['a'][*]['s']`;
    expect(await operator.answer('decrypt', { record, context: HOME, path })).toEqual({ plaintext: 'MQ==' });
  });
});

describe('skipSealed', () => {
  const once = { document: { s: 'x' }, fields: ['$.s'] };
  const sealOnce = async (operator: Operator, request: Answer): Promise<unknown> =>
    (await operator.answer('encrypt-fields', { ...once, ...request }))['document'];

  it('leaves a field unchanged if it opens with this context and path', async () => {
    const operator = operate();
    const document = await sealOnce(operator, { context: HOME });
    expect(await sealOnce(operator, { document, context: HOME, skipSealed: true })).toEqual(document);
  });

  it.for([
    ['a field that is bound to another context', { context: { id: 'other' } }, { context: HOME }, 'RecordUnreadable'],
    [
      'a field that is bound to another path',
      { context: HOME, bindPath: 'none' },
      { context: HOME },
      'RecordUnreadable',
    ],
    ['a field that is not bound', {}, { context: HOME }, 'RecordUnreadable'],
    ['a bound field without a context', { context: HOME }, {}, 'ContextRequired'],
  ] as const)('refuses %s', async ([, before, after, code]) => {
    const operator = operate();
    const document = await sealOnce(operator, before);
    expect(await codeOf(sealOnce(operator, { document, ...after, skipSealed: true }))).toBe(code);
  });

  it('refuses an unbound field even if unboundBefore lets the field open', async () => {
    const world = new FakeDependencies();
    const openedUnbound = vi.fn<EnvelopeEvents['openedUnbound']>();
    const rules = { unboundBefore: Math.floor(world.clock.nowMs / 1000) + 1, events: { openedUnbound } };
    const operator = operate(world.process(rules));
    const document = await sealOnce(operator, {});
    const opening = { document, fields: ['$.s'], context: HOME };
    expect(await errorOf(sealOnce(operator, { document, context: HOME, skipSealed: true }))).toMatchObject({
      code: 'RecordUnreadable',
      cause: { message: 'it is not bound to any context' },
    });
    expect(openedUnbound).not.toHaveBeenCalled();
    expect((await operator.answer('decrypt-fields', opening))['document']).toEqual(once.document);
    expect(openedUnbound).toHaveBeenCalledOnce();
  });

  it.for([
    ['has no context', {}],
    ['has a context', { context: HOME }],
  ] as const)('encrypts a string that only looks like a record if the request %s', async ([, request]) => {
    const world = new FakeDependencies();
    const operator = operate(world.process());
    const stranger = operate();
    for (const before of [{}, { context: HOME }]) {
      const document = await sealOnce(stranger, before);
      const again = await sealOnce(operator, { document, ...request, skipSealed: true });
      const opened = await operator.answer('decrypt-fields', { document: again, fields: ['$.s'], ...request });
      expect(opened['document']).toEqual(document);
    }
  });
});

describe('exactInteger', () => {
  it('returns the same as BigInt for every decimal that is an integer', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.integer({ min: 0, max: 5 }), (value, zeros) => {
        const expected = String(value === 0 ? 0 : value);
        expect(exactInteger(`${value}`)).toBe(expected);
        expect(exactInteger(`${value}.${'0'.repeat(zeros + 1)}`)).toBe(expected);
        expect(exactInteger(`${value}e0`)).toBe(expected);
        expect(exactInteger(`${value}${'0'.repeat(zeros)}e-${zeros}`)).toBe(expected);
      }),
    );
  });

  it.for([
    '1.5',
    '1.00000000000000000001',
    '1e-1',
    '9007199254740992',
    '1e400',
    '1e-400',
    'true',
    '"1"',
    '05e-1',
    '1.000000000000000000010',
    '0x10',
  ])('refuses %s', (source) => {
    expect(exactInteger(source)).toBeUndefined();
  });

  it('is fast for a number with very many zeros', () => {
    const zeros = '0'.repeat(100_000);
    for (const source of [`0.${zeros}1`, `1.${zeros}1`, `0.${zeros}1e-1`]) {
      expect(exactInteger(source)).toBeUndefined();
    }
  });

  it.for([
    ['-0', '0'],
    ['0e99', '0'],
    ['0.000', '0'],
    ['0e-5', '0'],
    ['1', '1'],
    ['1.0', '1'],
    ['12e2', '1200'],
    ['-1.20e1', '-12'],
  ])('turns %s into %s', ([source, digits]) => {
    expect(exactInteger(source as string)).toBe(digits);
  });
});
