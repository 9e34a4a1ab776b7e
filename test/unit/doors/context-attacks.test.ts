import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  byClient,
  byQueue,
  directly,
  inTheLibrary,
  overHttp,
  type OpenDoor,
  type Send,
} from '../../support/context-doors.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { captureOutput } from '../../support/http-door.ts';

beforeEach(() => void captureOutput());
afterEach(() => vi.restoreAllMocks());

const DOORS: Readonly<Record<string, OpenDoor>> = {
  'the HTTP API': overHttp,
  'a directly invoked function': directly,
  'the queue function': byQueue,
  'the library': inTheLibrary,
  'the client': byClient,
};
const HOME = '"context":{"id":"1"}';

/** Returns the error code of a request, or of the first item in a batch. Returns `ok` if the request succeeds. */
function outcomeOf(answer: Record<string, unknown> | string): string {
  if (typeof answer === 'string') return answer;
  const [first] = (answer['results'] ?? []) as { error?: { code: string } }[];
  return first?.error?.code ?? 'ok';
}

/**
 * For each operation, a function that writes the members of a request. Its argument is the JSON text of the member
 * `context`, or empty for no context.
 */
type Requests = Record<string, (context: string) => string>;

const SEALING: Requests = {
  encrypt: (context) => `"plaintext":"aGk="${context && `,${context}`}`,
  'encrypt-batch': (context) => `"items":[{"plaintext":"aGk="${context && `,${context}`}}]`,
  'encrypt-fields': (context) => `"document":{"a":1},"fields":["$.a"]${context && `,${context}`}`,
};

/** Seals with a context, and returns the requests that open the result. */
async function stored(send: Send, context: string): Promise<Requests> {
  const { record } = (await send('encrypt', SEALING['encrypt']?.(context) ?? '')) as { record: unknown };
  const { document } = (await send('encrypt-fields', SEALING['encrypt-fields']?.(context) ?? '')) as {
    document: { a: string };
  };
  const text = JSON.stringify(record);
  const whole = JSON.stringify(document);
  return {
    decrypt: (given) => `"record":${text}${given && `,${given}`}`,
    'decrypt-batch': (given) => `"items":[{"record":${text}${given && `,${given}`}}]`,
    'decrypt-fields': (given) => `"document":${whole},"fields":["$.a"]${given && `,${given}`}`,
    'decrypt-fields of all': (given) => `"document":${whole},"all":true${given && `,${given}`}`,
    'encrypt-fields with skipSealed': (given) =>
      `"document":${whole},"fields":["$.a"],"skipSealed":true${given && `,${given}`}`,
  };
}

/** Sends each request with a context, and returns the outcomes by the names of the requests. */
async function outcomes(send: Send, requests: Requests, context: string): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const [name, members] of Object.entries(requests)) {
    all[name] = outcomeOf(await send(name.split(' ')[0] ?? '', members(context)));
  }
  return all;
}

/** Maps the name of every request to the same outcome. */
const every = (requests: object, code: string): object =>
  Object.fromEntries(Object.keys(requests).map((name) => [name, code]));

/** The text of the given number of context entries, without braces. */
const entriesText = (count: number): string => Array.from({ length: count }, (_, i) => `"n${i}":""`).join();

/** The members of a request with the given number of entries in `context`, and one entry in `contextFrom`. */
const withEntries = (n: number): string =>
  `"document":{"a":1,"id":"1"},"fields":["$.a"],"context":{${entriesText(n)}},"contextFrom":{"id":"$.id"}`;

describe.for(Object.entries(DOORS))('%s', ([, open]) => {
  it.for(['seal', 'always'] as const)('refuses to seal without a context if requireContext is "%s"', async (mode) => {
    const world = new FakeDependencies();
    const send = open(world, { requireContext: mode });
    expect(await outcomes(send, SEALING, '')).toEqual(every(SEALING, 'ContextRequired'));
    expect(world.log.take()).toEqual([]);
    expect(await outcomes(send, SEALING, HOME)).toEqual(every(SEALING, 'ok'));
  });

  it('refuses to open a record without a context if requireContext is "always", but still rewraps the record', async () => {
    const world = new FakeDependencies();
    for (const context of ['', HOME]) {
      const requests = await stored(open(world), context);
      world.log.take();
      const send = open(world, { requireContext: 'always' });
      const { 'encrypt-fields with skipSealed': skipping = () => '', ...opening } = requests;
      expect(await outcomes(send, opening, '')).toEqual(every(opening, 'ContextRequired'));
      expect(world.log.take()).toEqual([]);
      expect(outcomeOf(await send('encrypt-fields', skipping('')))).toBe('ContextRequired');
      expect(outcomeOf(await send('rewrap', requests['decrypt']?.('') ?? ''))).toBe('ok');
    }
  });

  it('opens an unbound record for a request with a context only if the key of the record is older than unboundBefore', async () => {
    const world = new FakeDependencies();
    const requests = await stored(open(world), '');
    const [created = 0] = world.metastore.ofKind('IK').map((row) => row.created);
    const unreadable = every(requests, 'RecordUnreadable');
    expect(await outcomes(open(world), requests, HOME)).toEqual(unreadable);
    expect(await outcomes(open(world, { unboundBefore: created }), requests, HOME)).toEqual(unreadable);
    // Callers treat all values in the result as bound, so skipSealed must not keep an unbound value.
    expect(await outcomes(open(world, { unboundBefore: created + 1 }), requests, HOME)).toEqual({
      ...every(requests, 'ok'),
      'encrypt-fields with skipSealed': 'RecordUnreadable',
    });
    const bound = await stored(open(world), HOME);
    const late = open(world, { unboundBefore: created + 1 });
    expect(await outcomes(late, bound, '"context":{"id":"2"}')).toEqual(every(bound, 'RecordUnreadable'));
    expect(await outcomes(late, bound, '')).toEqual(every(bound, 'ContextRequired'));
  });

  it.for([
    ['the value of __proto__', String.raw`"__proto__":"a"`, String.raw`"__proto__":"b"`],
    ['the value of constructor', `"constructor":"a","toString":""`, `"constructor":"b","toString":""`],
    ['the normalisation of a name', '"\u00e9":"x"', '"e\u0301":"x"'],
    ['a NUL in a value', String.raw`"id":"a\u0000"`, String.raw`"id":"a"`],
    ['a byte order mark', '"id":"\ufeffa"', '"id":"a"'],
    ['a bidirectional mark', '"id":"a\u202e"', '"id":"a"'],
    ['the values of names with rare characters', '"\u{10000}":"1","\uffff":"2"', '"\u{10000}":"2","\uffff":"1"'],
    ['the values of numeric names', '"1":"a","0":"b"', '"1":"b","0":"a"'],
    ['the last letter of a name of 128 bytes', `"${'é'.repeat(64)}":""`, `"${'é'.repeat(63)}":""`],
    ['the last letter of a value of 1,024 bytes', `"id":"${'é'.repeat(512)}"`, `"id":"${'é'.repeat(511)}"`],
  ] as const)('distinguishes contexts that differ only in %s', async ([, home, away]) => {
    const world = new FakeDependencies();
    const send = open(world);
    for (const seal of [home, away]) {
      const requests = await stored(send, `"context":{${seal}}`);
      delete requests['encrypt-fields with skipSealed'];
      for (const given of [home, away]) {
        const expected = every(requests, given === seal ? 'ok' : 'RecordUnreadable');
        expect(await outcomes(send, requests, `"context":{${given}}`)).toEqual(expected);
      }
    }
  });

  it.for([
    ['an empty context', '{}'],
    ['null as the context', 'null'],
    ['a number as a context value', '{"id":1}'],
    ['an object as a context value', '{"id":{}}'],
    ['an array as the context', '["id"]'],
    ['a number as the context value __proto__', '{"__proto__":7}'],
    ['an object as the context value __proto__', '{"__proto__":{"id":"1"}}'],
    ['a context name of 129 bytes', `{"${'é'.repeat(64)}x":""}`],
    ['a context value of 1,025 bytes', `{"id":"${'é'.repeat(512)}x"}`],
    ['17 context entries', `{${entriesText(17)}}`],
    ['a lone surrogate in a context value', String.raw`{"id":"\ud800"}`],
    ['a lone surrogate in a context name', String.raw`{"\udc00":""}`],
    ['surrogates in the wrong order in a context value', String.raw`{"id":"\udc00\ud800"}`],
  ])('refuses %s before it reads a key', async ([, context]) => {
    const world = new FakeDependencies();
    expect(await outcomes(open(world), SEALING, `"context":${context}`)).toEqual(every(SEALING, 'InvalidRequest'));
    expect(world.log.take()).toEqual([]);
  });

  it.for([
    ['a path to the whole document', '{"x":"$"}', '$.items[*].s'],
    ['a path to the field itself', '{"x":"$.items[0].s"}', '$.items[*].s'],
    ['a path to an array around the field', '{"x":"$.items"}', '$.items[*].s'],
    ['the path @ if the array element is the field', '{"x":"@"}', '$.tags[*]'],
    ['the path @ if the array element contains the field', '{"x":"@"}', '$.items[*].s'],
    ['a path from the array element to the field', '{"x":"@.s"}', '$.items[*].s'],
    ['a path to a part of the field', '{"x":"$.sealed.in"}', '$.sealed'],
    ['a path with two @', '{"x":"@@.n"}', '$.items[*].s'],
    ['a path without $', '{"x":"items"}', '$.items[*].s'],
    ['an empty path', '{"x":""}', '$.items[*].s'],
    ['a path with white space before $', '{"x":" $.id"}', '$.items[*].s'],
    ['a path to every descendant', '{"x":"$..*"}', '$.items[*].s'],
    ['a path to a member that only the first array element has', '{"x":"@.once"}', '$.items[*].s'],
    ['a path to a member of Object.prototype', '{"x":"$.toString"}', '$.items[*].s'],
    ['a path that selects nothing under the name __proto__', '{"__proto__":"$.nothing"}', '$.items[*].s'],
    ['an object instead of a path', '{"x":{}}', '$.items[*].s'],
  ])('refuses this contextFrom before it reads a key: %s', async ([, contextFrom, field]) => {
    const world = new FakeDependencies();
    const document = `{"id":"1","sealed":{"in":"1"},"tags":["a","b"],"items":[{"s":"x","n":"1","once":"1"},{"s":"y","n":"2"}]}`;
    const members = `"document":${document},"fields":["${field}"],"contextFrom":${contextFrom}`;
    expect(outcomeOf(await open(world)('encrypt-fields', members))).toBe('InvalidRequest');
    expect(world.log.take()).toEqual([]);
  });

  it('refuses decrypt-fields before it reads a key if contextFrom selects nothing for one field', async () => {
    const world = new FakeDependencies();
    const send = open(world);
    const binding = '"contextFrom":{"n":"@.n"}';
    const document = '"document":{"items":[{"s":"x","n":"1"},{"s":"y","n":"2"}]}';
    const sealed = await send('encrypt-fields', `${document},"fields":["$.items[*].s"],${binding}`);
    const members = JSON.stringify(sealed).slice(1, -1).replace(',"n":"2"', '');
    world.log.take();
    expect(outcomeOf(await open(world)('decrypt-fields', `${members},"all":true,${binding}`))).toBe('InvalidRequest');
    expect(world.log.take()).toEqual([]);
  });

  it('counts the entries of context and contextFrom together, and refuses more than 16', async () => {
    const world = new FakeDependencies();
    const send = open(world);
    expect(outcomeOf(await send('encrypt-fields', withEntries(16)))).toBe('InvalidRequest');
    expect(world.log.take()).toEqual([]);
    expect(outcomeOf(await send('encrypt-fields', withEntries(15)))).toBe('ok');
  });

  it('binds a field to the value of the member __proto__, as to the value of any other member', async () => {
    const send = open(new FakeDependencies());
    const binding = `"contextFrom":{"__proto__":"$.__proto__"}`;
    const { document } = (await send(
      'encrypt-fields',
      `"document":{"__proto__":"home","a":1},"fields":["$.a"],${binding}`,
    )) as { document: object };
    const text = JSON.stringify(document);
    expect(outcomeOf(await send('decrypt-fields', `"document":${text},"all":true,${binding}`))).toBe('ok');
    const away = text.replace('home', 'away');
    expect(outcomeOf(await send('decrypt-fields', `"document":${away},"all":true,${binding}`))).toBe(
      'RecordUnreadable',
    );
  });
});

describe.for([
  ['the HTTP API', overHttp],
  ['the queue function', byQueue],
] as const)('%s', ([, open]) => {
  it.for([
    ['without escapes', '"id":"1","id":"1"'],
    ['with an escape', String.raw`"id":"1","\u0069d":"2"`],
    ['as __proto__', '"__proto__":"1","__proto__":"2"'],
    ['as an escaped __proto__', String.raw`"__proto__":"1","\u005f_proto__":"2"`],
    ['with a surrogate pair', '"\u{10000}":"1",' + String.raw`"\ud800\udc00":"2"`],
  ] as const)('refuses a context in which a name appears twice (%s)', async ([, twice]) => {
    const world = new FakeDependencies();
    const send = open(world);
    for (const [operation, members] of [
      ['encrypt', `"plaintext":"aGk=","context":{${twice}}`],
      ['encrypt', `"context":{${twice}},"plaintext":"aGk="`],
      ['encrypt-batch', `"items":[{"plaintext":"aGk=","context":{${twice}}}]`],
      ['encrypt-fields', `"document":{"a":1},"fields":["$.a"],"context":{${twice}}`],
      ['encrypt-fields', `"document":{"a":1},"fields":["$.a"],"contextFrom":{${twice.replaceAll(/"[12]"/g, '"$.a"')}}`],
    ] as const) {
      expect(outcomeOf(await send(operation, members))).toBe('InvalidRequest');
    }
    expect(world.log.take()).toEqual([]);
  });
});
