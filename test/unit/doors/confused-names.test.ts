import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { documentOf } from '../../../src/client/documents.ts';
import { requestOf } from '../../../src/doors/json-request.ts';
import { openDirectDoor } from '../../support/direct-door.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { captureOutput, openDoor, request } from '../../support/http-door.ts';
import { FakeQueues, openQueueDoor, OUTPUT, queueRecord } from '../../support/queue-door.ts';

/**
 * Triggers a bug of `JSON.parse` in Node 24.21. After `JSON.parse` has parsed `{"x":0,"\\":0}` and `{"x":0,"\n":0}`,
 * it reads the name `"\n"` after `"x"` as a backslash. The same happens to `"\u00e9"`, which is how Python writes é. So
 * the document of one tenant can change how Keyfold reads the document of another.
 */
function poison(): void {
  for (const text of ['{"x":0,"\\\\":0}', '{"x":0,"\\n":0}', '{"x":0,"caf\\\\":0}', '{"x":0,"caf\\n":0}'])
    JSON.parse(text);
}

beforeEach(() => {
  captureOutput();
  poison();
});
afterEach(() => vi.restoreAllMocks());

/**
 * Encrypts a field of a document by direct invocation, and returns the outcome. A refused request must not touch any
 * key.
 */
async function sealDirectly(document: string): Promise<unknown> {
  const world = new FakeDependencies();
  const event = `{"operation":"encrypt-fields","partition":"p","fields":["$.x"],"document":${document}}`;
  const { payload, error } = await openDirectDoor({ world })(event);
  return payload ?? { ...error, keysTouched: world.log.take().length > 0 };
}

const REFUSED = expect.objectContaining({
  errorType: 'InvalidRequest',
  errorMessage: expect.stringMatching(/a name that Lambda may not have passed on exactly.*documentText/) as string,
  keysTouched: false,
}) as object;

it('the function for direct invocation refuses a document if a bug of JSON.parse gave a member the wrong name', async () => {
  // The bug depends on everything that JSON.parse has parsed before. So this test must be the first in the file, and
  // the file has a process of its own.
  for (const [written, taken] of [
    ['\\n', '\\'],
    ['\\u00e9', '\\'],
    ['caf\\u00e9', 'caf\\'],
  ]) {
    expect(Object.keys(JSON.parse(`{"x":0,"${written}":1}`) as object)).toEqual(['x', taken]);
    expect(await sealDirectly(`{"x":0,"${written}":1}`)).toEqual(REFUSED);
  }
});

/** Names of members: a description, the name, and its JSON spelling. */
const NAMES = [
  ['that is a line feed', '\n', '\\n'],
  ['that is an é', 'é', '\\u00e9'],
  ['that ends with an é', 'café', 'caf\\u00e9'],
  ['that is a backslash', '\\', '\\\\'],
  ['with an inner backslash', 'a\\b', 'a\\\\b'],
  ['that is a quotation mark', '"', '\\"'],
  ['that is a slash', '/', '\\/'],
  ['that is a control character', '\u0001', '\\u0001'],
  ['with an escaped letter', 'plain', 'pl\\u0061in'],
] as const;

describe('the function for direct invocation', () => {
  it.for([
    ['that is a line feed', '{"x":0,"\\n":1}'],
    ['that is a backslash', '{"x":0,"\\\\":1}'],
    ['with an inner backslash', '{"x":0,"a\\\\b":1}'],
    ['with a quotation mark', '{"x":0,"\\"":1}'],
    ['with a control character', '{"x":0,"\\u0001":1}'],
    ['that is a high surrogate', '{"x":0,"\\ud800":1}'],
    ['that is a low surrogate', '{"x":0,"\\udfff":1}'],
    ['that is a line feed deep inside the document', '[{"a":[{"x":0,"\\n":1}]}]'],
    ['that is a line feed in a selected field', '{"x":{"x":0,"\\n":1}}'],
  ] as const)('refuses a document with a member name %s, and points to documentText', async ([, document]) => {
    expect(await sealDirectly(document)).toEqual(REFUSED);
  });

  it.for(['é', 'café', 'plain'])(
    'either refuses a document with the escaped member name %s, or keeps the name unchanged',
    async (name) => {
      const written = name.replace(/[éi]/, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`);
      const kept = expect.stringContaining(`"${name}":1}`) as string;
      expect([REFUSED, kept]).toContainEqual(await sealDirectly(`{"x":0,"${written}":1}`));
    },
  );

  it('accepts unescaped member names in a document, and any member names in documentText', async () => {
    const invoke = openDirectDoor();
    const about = { operation: 'encrypt-fields', partition: 'p', fields: ['$.x'] };
    const document = { x: 0, é: 1, '/': 2, '€': 3, ' ': 4, '\u{1f511}': 5, ['__proto__']: 6, '\ud7ff\ue000': 7 };
    const sealed = await invoke({ ...about, document });
    expect(sealed.payload).toContain('"é":1,"/":2,"€":3," ":4,"\u{1f511}":5,"__proto__":6,"\ud7ff\ue000":7');
    for (const [, , written] of NAMES) {
      const documentText = `{"x":0,"${written}":1}`;
      const { payload = '' } = await invoke({ ...about, documentText });
      expect((JSON.parse(payload) as { documentText: string }).documentText).toContain(`,"${written}":1}`);
    }
  });

  it.for(NAMES)('never changes a member name %s in a response', async ([, name, written]) => {
    const invoke = openDirectDoor();
    const sealed = await invoke({
      operation: 'encrypt-fields',
      partition: 'p',
      fields: ['$.a'],
      documentText: `{"a":{"x":0,"${written}":1.0}}`,
    });
    const { documentText } = JSON.parse(sealed.payload ?? '') as { documentText: string };
    const about = { operation: 'decrypt-fields', partition: 'p', all: true };
    const text = await invoke({ ...about, documentText });
    expect(JSON.parse(text.payload ?? '')).toEqual({ documentText: `{"a":{"x":0,"${written}":1.0}}` });
    const value = await invoke({ ...about, document: JSON.parse(documentText) as unknown });
    const isEscaped = JSON.stringify(name).includes('\\');
    expect(value.payload).toBe(isEscaped ? undefined : `{"document":{"a":{"x":0,"${name}":1.0}}}`);
    const told = 'The document holds a name that may not reach the caller exactly: ask for it as documentText.';
    expect(value.error?.errorMessage).toBe(isEscaped ? told : undefined);
  });
});

describe('the HTTP API', () => {
  it('keeps the member names of a request, even names that JSON.parse would confuse', () => {
    const { value } = requestOf('{"x":0,"\\n":1}');
    expect(Object.keys(value as object)).toEqual(['x', '\n']);
  });

  it.for(NAMES)(
    'encrypts and decrypts the fields of a document, and does not change a member name %s',
    async ([, , written]) => {
      const door = openDoor();
      const document = `{"x":0,"y":{"x":0,"${written}":1}}`;
      const sealed = await door(
        request('encrypt-fields', `{"documentText":${JSON.stringify(document)},"fields":["$.y"]}`),
      );
      const opened = await door(request('decrypt-fields', { ...sealed.body, all: true }));
      expect(opened.body).toEqual({ documentText: document });
    },
  );

  it('finds the members of a request and of a record even if their names contain JSON escapes', async () => {
    const door = openDoor();
    for (const text of ['{"plaintex\\\\":0}', '{"plaintex\\n":0}', '{"a":0,"Ke\\\\":0}', '{"a":0,"Ke\\n":0}'])
      JSON.parse(text);
    const sealed = await door(request('encrypt', '{"plaintex\\u0074":"aGVsbG8="}'));
    expect(sealed.status).toBe(200);
    const record = JSON.stringify(sealed.body['record']).replace('{"Key"', '{"a":0,"Ke\\u0079"');
    expect((await door(request('decrypt', `{"record":${record}}`))).body).toEqual({ plaintext: 'aGVsbG8=' });
  });
});

it('the queue function does not change the member names in the document of a message', async () => {
  const queues = new FakeQueues();
  const body = '{"x":0,"part\\u0069tion":"p","document":{"x":0,"\\u00e9":1,"\\n":2},"fields":["$.x"]}'.replace(
    '"x":0,',
    '',
  );
  expect(await openQueueDoor({ queues })([queueRecord('a', body)])).toEqual([]);
  expect(queues.in(OUTPUT)[0]?.body).toMatch(/^\{"document":\{"x":"kf1j\.[\w-]+","\\u00e9":1,"\\n":2\}\}$/);
});

describe('the client', () => {
  it.for([
    ['that is a line feed', '\\n'],
    ['that is an escaped é', '\\u00e9'],
    ['that ends with an escaped é', 'caf\\u00e9'],
    ['that is a backslash', '\\\\'],
  ] as const)('points to documentText if a document has a member name %s', ([, written]) => {
    const read = (): unknown => documentOf(`{"a":[{"x":0,"${written}":1}]}`, 'r');
    expect(read).toThrow(expect.objectContaining({ code: 'InexactName', requestId: 'r' }));
    expect(read).toThrow(/documentText/);
  });

  it('returns a parsed document if JSON.parse cannot have confused the member names', () => {
    expect(documentOf('{"x":0,"é":"\\n","a\\"b":1}', 'r')).toEqual({ x: 0, é: '\n', 'a"b': 1 });
  });
});
