/** Runs the example in docs/reference/client.md, and tests how the client parses and writes documents. */
import { execFile } from 'node:child_process';
import { readFile, writeFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { documentOf } from '../../../src/client/documents.ts';
import { jsonOf } from '../../../src/client/json.ts';
import { lossless, requestMembers } from '../../../src/operations/fields-request.ts';
import { startLocalApi } from '../../support/local-api.ts';

/** Returns the JSON text that the client sends for a document. */
function textOf(document: unknown): unknown {
  return requestMembers({ document }, (value) => jsonOf(value, 'request.document', lossless))['documentText'];
}

const root = join(import.meta.dirname, '..', '..', '..');

it('the example in docs/reference/client.md runs, and returns what the page shows', async () => {
  const docs = await readFile(join(root, 'docs', 'reference', 'client.md'), 'utf8');
  const [, example = ''] = /documents\.test\.ts.*?```ts\n(.*?)```/s.exec(docs) ?? [];
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
  const api = await startLocalApi();
  try {
    expect(example).toContain("from 'keyfold/client'");
    const local = example
      .replace("'keyfold/client'", JSON.stringify(join(root, 'src', 'client', 'index.ts')))
      .replace("'keyfold/client/lambda'", JSON.stringify(join(root, 'src', 'client', 'lambda.ts')));
    await writeFile(join(folder, 'example.ts'), local);
    const env = { ...process.env, AWS_ENDPOINT_URL_LAMBDA: api.url };
    const { stdout } = await promisify(execFile)(process.execPath, ['example.ts'], { cwd: folder, env });
    const said = [...example.matchAll(/console\.log.*?\/\/ (.*)/g)].map(([, comment]) => comment);
    expect(stdout.trim().split('\n')).toEqual(said);
  } finally {
    await api.stop();
    await rm(folder, { recursive: true });
  }
});

it.for([
  ['with the largest safe integer', '{"a":9007199254740991}'],
  ['with fractions and exponents', '[1.0,-0,1e3,0.1]'],
  ['that is a string of many digits', '"12345678901234567890"'],
  ['with a member name of many digits', '{"12345678901234567890":1}'],
  ['that is null', 'null'],
] as const)('documentOf parses a document %s', ([, text]) => {
  expect(documentOf(text, undefined)).toEqual(JSON.parse(text));
});

it.for([
  ['9007199254740993', '9007199254740993'],
  ['-12345678901234567890', '{"a":[{"b":-12345678901234567890}]}'],
  ['1e400', '[1e400]'],
  ['1E+25', '1E+25'],
] as const)('documentOf rejects the number %s, which JavaScript cannot represent exactly', ([, text]) => {
  expect(() => documentOf(text, undefined)).toThrow(expect.objectContaining({ code: 'InexactNumber' }));
});

it('the client keeps the sign of -0', () => {
  expect(textOf({ a: [-0, 0], b: -0 })).toBe('{"a":[-0,0],"b":-0}');
});

it('the client rejects a document that is nested more deeply than JSON.stringify supports', () => {
  const document = JSON.parse('['.repeat(60_000) + ']'.repeat(60_000)) as unknown;
  expect(() => textOf(document)).toThrow(
    expect.objectContaining({ code: 'InvalidRequest', message: 'The request is nested too deeply.' }),
  );
});

it('documentOf parses a document with 60,000 levels of nesting', () => {
  expect(documentOf('['.repeat(60_000) + ']'.repeat(60_000), undefined)).toBeInstanceOf(Array);
});

it.for<[string, () => unknown]>([
  ['NaN', () => [Number.NaN]],
  ['an infinity', () => ({ card: -Infinity })],
  ['a boxed NaN', () => [new Number(Number.NaN)]],
  ['an invalid Date', () => ({ card: new Date(Number.NaN) })],
  ['an invalid Date of another realm', () => [runInNewContext('new Date(NaN)')]],
  ['an undefined item of an array', () => [undefined]],
  ['a hole of an array', () => Array.from({ length: 2 }).fill(1, 1)],
  ['a function', () => ({ card: () => '4111' })],
  ['a symbol', () => ({ card: Symbol('4111') })],
  ['a Map', () => ({ card: new Map([['number', '4111']]) })],
  ['a Set', () => [new Set(['4111'])]],
  ['a regular expression', () => ({ card: /4111/ })],
  ['an Error', () => new Error('4111')],
  ['a promise', () => ({ card: Promise.resolve('4111') })],
  ['bytes', () => ({ card: new Uint8Array([4, 1, 1, 1]) })],
  ['an ArrayBuffer', () => ({ card: new ArrayBuffer(4) })],
  ['an array with further members', () => ({ card: /(?<bank>\d)/.exec('4111') })],
  ['URL parameters', () => new URLSearchParams('card=4111')],
])('the client refuses %s, which JSON.stringify would drop or replace', ([, make]) => {
  expect(() => textOf(make())).toThrow(
    new TypeError('request.document has no JSON form.', {
      cause: new TypeError(
        'JSON has no such value: a function, NaN, an invalid Date, a Map, bytes, undefined in an array or members of an array.',
      ),
    }),
  );
});

it('the client names the cause if JSON.stringify refuses a value', () => {
  const cause: unknown = expect.objectContaining({ message: 'Do not know how to serialize a BigInt' });
  const refused: unknown = expect.objectContaining({ message: 'request has no JSON form.', cause });
  expect(() => jsonOf({ a: 5n })).toThrow(refused);
});

it('the client sends what toJSON methods return, and leaves out undefined members', () => {
  class Card {
    readonly number = '4111';
  }
  const others = { date: new Date(0), url: new URL('https://keyfold.example'), bytes: Buffer.from('a') };
  const document = {
    card: new Card(),
    ...others,
    boxed: [new Number(5), new Number(1.5), new String('s'), new Boolean(false)],
    bare: Object.create(null) as object,
    gone: undefined,
  };
  expect(textOf(document)).toBe(JSON.stringify(document));
});

it('the client throws a TypeError for an undefined document, and jsonOf returns undefined for a function or a symbol', () => {
  expect(() => textOf(undefined)).toThrow(new TypeError('request must have one of document and documentText.'));
  for (const value of [undefined, () => 1, Symbol('a')]) expect(jsonOf(value)).toBeUndefined();
});
