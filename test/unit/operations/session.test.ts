/** Tests text, batches and document fields that the library encrypts in the caller's own process. */
import { describe, expect, it } from 'vitest';
import {
  decryptBatch,
  decryptFields,
  encodeCompactRecord,
  encodeDataRowRecord,
  encryptBatch,
  encryptFields,
  KeyfoldError,
  rewrapBatch,
  type DataRowRecord,
} from '../../../src/index.ts';
import { errorOf, memoryService } from '../../support/fakes.ts';

const keyfold = memoryService();
const session = keyfold.session('tenant-1');
const other = keyfold.session('tenant-2');
const PAYLOADS = ['one', '', 'three'].map((text) => Buffer.from(text));

/** An object whose member cannot be read. */
const UNREADABLE = {
  get id(): never {
    throw new Error('from a getter');
  },
};

async function sealed(): Promise<DataRowRecord[]> {
  return (await encryptBatch(session, PAYLOADS)) as DataRowRecord[];
}

describe('Session.encryptText', () => {
  it.for([
    ['an empty text', ''],
    ['letters beyond ASCII', 'héllo'],
    ['a byte order mark', '\ufeffmark'],
    ['a surrogate pair and a null character', '𝄞 \u0000'],
    ['100,000 characters', 'x'.repeat(100_000)],
  ] as const)('encrypts %s to a compact record that decryptText can decrypt', async ([, text]) => {
    const record = await session.encryptText(text);
    expect(record).toMatch(/^kf1\.[\w-]+$/);
    expect(await session.decryptText(record)).toBe(text);
  });

  it.for([
    ['a number', 5],
    ['undefined', undefined],
    ['a Uint8Array', new Uint8Array(2)],
    ['a String object', Object('x')],
  ] as const)('refuses %s with a TypeError that begins with "text must be"', async ([, text]) => {
    const error = await errorOf(session.encryptText(text as never));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toMatch(/^text must be /);
  });

  it('refuses a lone surrogate, because UTF-8 would replace it', async () => {
    expect(await errorOf(session.encryptText('a\ud800'))).toMatchObject({
      code: 'InvalidRequest',
      message: 'The text is not well-formed Unicode.',
    });
  });

  it('with a context, encrypts to a bound compact record that decryptText can decrypt with the same context', async () => {
    const bound = session.withContext({ id: '1' });
    const record = await bound.encryptText('hello');
    expect(record).toMatch(/^kf2\.[\w-]+$/);
    expect(await bound.decryptText(record)).toBe('hello');
    expect(await errorOf(session.decryptText(record))).toMatchObject({ code: 'ContextRequired' });
  });
});

describe('Session.decryptText', () => {
  it('decrypts a record in the JSON format', async () => {
    expect(await session.decryptText(await session.encryptToJson(Buffer.from('héllo')))).toBe('héllo');
  });

  it("decrypts a field's record to the JSON text of the field's value", async () => {
    const { card } = (await encryptFields(session, { document: { card: '41' }, fields: ['$.card'] })) as {
      card: string;
    };
    expect(await session.decryptText(card)).toBe('"41"');
  });

  it('rejects with RecordUnreadable if a payload is not UTF-8', async () => {
    const record = encodeCompactRecord(await session.encrypt(Buffer.from([0xff])), 'bytes') as string;
    expect(await errorOf(session.decryptText(record))).toMatchObject({ code: 'RecordUnreadable' });
  });

  it('rejects text that is not a record, and records of another partition', async () => {
    expect(await errorOf(session.decryptText('kf1.x'))).toMatchObject({ code: 'InvalidRequest' });
    expect(await errorOf(session.decryptText('hello'))).toMatchObject({ code: 'InvalidRequest' });
    const foreign = await other.encryptText('hello');
    expect(await errorOf(session.decryptText(foreign))).toMatchObject({ code: 'RecordUnreadable' });
  });
});

describe('the batch methods of a session', () => {
  it('encrypt and decrypt in the order of the items, with a Data Row Key for each record', async () => {
    const records = await sealed();
    expect(await decryptBatch(session, records)).toEqual(PAYLOADS);
    expect(new Set(records.map(({ key }) => Buffer.from(key.encryptedKey).toString('hex'))).size).toBe(3);
    expect(await session.decryptJson(encodeDataRowRecord(records[2] as DataRowRecord))).toEqual(PAYLOADS[2]);
  });

  it('use one Data Row Key if shareDataRowKey is set', async () => {
    const records = (await encryptBatch(session, PAYLOADS, { shareDataRowKey: true })) as DataRowRecord[];
    expect(new Set(records.map(({ key }) => Buffer.from(key.encryptedKey).toString('hex'))).size).toBe(1);
    expect(await decryptBatch(session, records)).toEqual(PAYLOADS);
  });

  it('return the error of a failed item in its place', async () => {
    const [first, second] = await sealed();
    const foreign = await other.encrypt(Buffer.from('x'));
    const results = await decryptBatch(session, [first, foreign, second] as DataRowRecord[]);
    expect(results).toEqual([PAYLOADS[0], expect.any(KeyfoldError), PAYLOADS[1]]);
    expect(results[1]).toMatchObject({ code: 'RecordUnreadable', retryable: false });
  });

  it('return an error for a record whose proof has a wrong length, and process the other records', async () => {
    const [first, second] = (await sealed()) as [DataRowRecord, DataRowRecord];
    const records = [first, { ...first, proof: Buffer.alloc(31) }, second];
    const opened = await decryptBatch(session, records);
    expect(opened).toEqual([PAYLOADS[0], expect.objectContaining({ code: 'InvalidRequest' }), PAYLOADS[1]]);
    const rewrapped = await rewrapBatch(session, records);
    expect(rewrapped[1]).toBeInstanceOf(KeyfoldError);
    expect([rewrapped[0], rewrapped[2]]).toEqual([first, second].map((record) => ({ record, rewrapped: false })));
  });

  it('obey a signal that the limits object inherits from its prototype', async () => {
    const reason = new Error('gone');
    class Scope {
      get signal(): AbortSignal {
        return AbortSignal.abort(reason);
      }
    }
    const records = await sealed();
    const cold = memoryService().session('tenant-1');
    expect(await errorOf(encryptBatch(cold, PAYLOADS, new Scope()))).toBe(reason);
    expect(await errorOf(decryptBatch(cold, records, new Scope()))).toBe(reason);
    expect(await errorOf(rewrapBatch(cold, records, new Scope()))).toBe(reason);
  });

  it('rewrap records, and report which records already had the latest key', async () => {
    const records = await sealed();
    expect(await rewrapBatch(session, records)).toEqual(records.map((record) => ({ record, rewrapped: false })));
  });

  it.for<[string, () => Promise<unknown>]>([
    ['session must be a Session, not another object.', () => encryptBatch({} as never, PAYLOADS)],
    ['session must be a Session, not another object.', () => decryptBatch({} as never, [])],
    ['session must be a Session, not another object.', () => rewrapBatch({} as never, [])],
    ['plaintexts must be an array, not a string.', () => encryptBatch(session, 'x' as never)],
    [
      'plaintexts[1] must be a Uint8Array whose buffer is not detached, not a string.',
      () => encryptBatch(session, [Buffer.alloc(1), 'x' as never]),
    ],
    ['options must be an object, not null.', () => encryptBatch(session, [], null as never)],
    [
      'options.shareDataRowKey must be a boolean, not a number.',
      () => encryptBatch(session, [], { shareDataRowKey: 1 as never }),
    ],
    [
      'options has no option share. Its options are deadlineAtMs, signal, shareDataRowKey.',
      () => encryptBatch(session, [], { share: true } as never),
    ],
    ['records must be an array, not another object.', () => decryptBatch(session, {} as never)],
    ['records must be an array, not another object.', () => rewrapBatch(session, {} as never)],
    [
      'records[0].key must be an object, not undefined.',
      () => decryptBatch(session, [{ data: Buffer.alloc(1) } as never]),
    ],
    ['records[0] must be an object, not a string.', () => rewrapBatch(session, ['kf1.x' as never])],
    ['limits must be an object, not null.', () => decryptBatch(session, [], null as never)],
    ['limits must be an object, not null.', () => rewrapBatch(session, [], null as never)],
  ])('throw the TypeError "%s"', async ([message, call]) => {
    const error = await errorOf(call());
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toBe(message);
  });

  const methods = ['encrypt', 'decrypt', 'rewrap', 'batch'];
  it.for(methods)('throw a TypeError for a session that lacks the method %s', async (name) => {
    const others = methods.filter((method) => method !== name);
    const lacking = Object.fromEntries(others.map((method) => [method, () => {}]));
    expect(await errorOf(encryptBatch(lacking as never, []))).toEqual(
      new TypeError('session must be a Session, not another object.'),
    );
  });

  it('report the cause in the error if a record has the wrong type', async () => {
    const error = await errorOf(decryptBatch(session, ['kf1.x' as never]));
    expect(error).toMatchObject({ cause: new TypeError('record must be an object, not a string.') });
  });
});

describe('the field methods of a session', () => {
  it('encrypt and decrypt fields of a document value, and leave the rest of the document unchanged', async () => {
    const document = { id: 7, card: '4111', name: { last: 'Lovelace', first: 'Ada' } };
    const sealedDocument = (await encryptFields(session, { document, fields: ['$.card', '$.name'] })) as object;
    expect(sealedDocument).toEqual({
      id: 7,
      card: expect.stringMatching(/^kf1j\./),
      name: expect.stringMatching(/^kf1j\./),
    });
    expect(await decryptFields(session, { document: sealedDocument, all: true })).toEqual(document);
    const opened = await decryptFields(session, { document: sealedDocument, fields: ['$.card'] });
    expect(opened).toEqual({ ...sealedDocument, card: '4111' });
  });

  it('keep all digits of a number, and keep the white space in a documentText', async () => {
    const documentText = ' { "n": 12345678901234567890, "m":1.0 } ';
    const text: string = await encryptFields(session, { documentText, fields: ['$.n'] });
    expect(text).toMatch(/^ \{ "n": "kf1j\.[\w-]+", "m":1\.0 \} $/);
    expect(await decryptFields(session, { documentText: text, all: true })).toBe(documentText);
    const document: unknown = JSON.parse(text);
    expect(await errorOf(decryptFields(session, { document, all: true }))).toMatchObject({
      code: 'InvalidRequest',
      message: 'The document contains a number that JavaScript cannot represent exactly. Use documentText instead.',
    });
  });

  it('keep the sign of -0', async () => {
    const document = { a: -0, b: [-0, 0] };
    const written = await encryptFields(session, { document, fields: ['$.a', '$.b'] });
    expect(await decryptFields(session, { document: written, all: true })).toStrictEqual(document);
  });

  it.for([
    ['NaN', { card: Number.NaN }],
    ['a Map', { card: new Map() }],
    ['an array that contains undefined', [undefined]],
  ] as const)('refuse a document with %s, because JSON would lose the value', async ([, document]) => {
    const error = await errorOf(encryptFields(session, { document, fields: ['$.*'] }));
    expect(error).toEqual(new TypeError('request.document has no JSON form.'));
    expect(error).toMatchObject({ cause: { message: expect.stringMatching(/^JSON has no such value: /) as string } });
  });

  it.for<[string, object]>([
    ['a name with a backslash', { 'a\\b': 1, card: '4111' }],
    ['a nested name with a backslash', { list: [null, { x: 1, 'a\\b': 2 }], card: '4111' }],
  ])('refuse a document with %s, because JSON.parse may have confused two names', async ([, document]) => {
    expect(await errorOf(encryptFields(session, { document, fields: ['$.card'] }))).toMatchObject({
      code: 'InvalidRequest',
      message: 'The document contains a name that JSON.parse may have confused with another. Use documentText instead.',
    });
  });

  it('accept a backslash in a value, and the largest exact integers', async () => {
    const document = { text: 'a\\b', most: Number.MAX_SAFE_INTEGER, least: Number.MIN_SAFE_INTEGER, none: null, s: 1 };
    const written = await encryptFields(session, { document, fields: ['$.s'] });
    expect(await decryptFields(session, { document: written, all: true })).toEqual(document);
  });

  it('refuse an object that is not a session, refuse wrong limits, and stop if the signal has aborted', async () => {
    const request = { document: { a: 1 }, fields: ['$.a'] };
    const reason = new Error('gone');
    const document = await encryptFields(session, request);
    const cold = memoryService().session('tenant-1');
    for (const call of [
      (on: unknown, limits: unknown) => encryptFields(on as never, request, limits as never),
      (on: unknown, limits: unknown) => decryptFields(on as never, { document, all: true }, limits as never),
    ]) {
      expect(await errorOf(call({}, {}))).toEqual(new TypeError('session must be a Session, not another object.'));
      expect(await errorOf(call(session, null))).toEqual(new TypeError('limits must be an object, not null.'));
      expect(await errorOf(call(cold, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    }
  });

  it("bind fields to the request's context, and refuse a session that has a context", async () => {
    const request = { context: { table: 'orders' }, contextFrom: { id: '$.id' }, bindPath: 'exact' } as const;
    const sealing = await encryptFields(session, { document: { id: 7, card: '4111' }, fields: ['$.card'], ...request });
    const opened = await decryptFields(session, { document: sealing, all: true, ...request });
    expect(opened).toEqual({ id: 7, card: '4111' });
    const moved = { ...(sealing as object), id: 8 };
    const error = await errorOf(decryptFields(session, { document: moved, all: true, ...request }));
    expect(error).toMatchObject({ code: 'RecordUnreadable' });
    const bound = session.withContext({ table: 'orders' });
    expect(await errorOf(encryptFields(bound, { document: {}, fields: ['$'] }))).toEqual(
      new TypeError('session must have no context: pass request.context instead.'),
    );
  });

  it('refuse a document in which the paths of all bound fields together are too long', async () => {
    // Each path has about 24,600 characters, because each control character in a name becomes six characters.
    const name = '\u0001'.repeat(4096);
    const bind = (count: number, more: object): Promise<unknown> => {
      const document = { [name]: Array(count).fill(1) };
      return encryptFields(session, { document, fields: ['$.*[*]'], context: { id: '7' }, ...more });
    };
    const refused = {
      code: 'InvalidRequest',
      message: 'The paths of all fields together have more than 33554432 characters.',
    };
    for (const more of [{}, { bindPath: 'exact' }]) {
      expect(await errorOf(bind(1366, more))).toMatchObject(refused);
      expect(await bind(1360, more)).toBeTypeOf('object');
    }
    expect(await bind(1366, { bindPath: 'none' })).toBeTypeOf('object');
  });

  it("fail with the same errors as the API's operations", async () => {
    const at = (fields: string[], more = {}): Promise<unknown> =>
      errorOf(encryptFields(session, { document: { a: 1 }, fields, ...more }));
    expect(await at(['$.b'])).toMatchObject({ code: 'FieldNotFound' });
    expect(await at(['$['])).toMatchObject({ code: 'InvalidRequest' });
    expect(await at([])).toMatchObject({ code: 'InvalidRequest' });
    expect(await encryptFields(session, { document: { a: 1 }, fields: ['$.b'], allowMissing: true })).toEqual({ a: 1 });
    let deep: unknown = 1;
    for (let i = 0; i < 200_000; i += 1) deep = [deep];
    expect(await errorOf(encryptFields(session, { document: deep, fields: ['$[0]'] }))).toMatchObject({
      code: 'InvalidRequest',
      message: 'The document is nested too deeply.',
    });
  });

  it.for<[string, object]>([
    ['request must have one of document and documentText', { fields: ['$.a'] }],
    ['request must have one of document and documentText', { document: 1, documentText: '1', fields: ['$.a'] }],
    ['request.fields must be an array', { document: {}, fields: '$.a' }],
    ['request.fields[0] must be a string', { document: {}, fields: [5] }],
    ['request.context.id must be a string', { document: {}, fields: ['$'], context: { id: 42 } }],
    ['request.context.id cannot be read', { document: {}, fields: ['$'], context: UNREADABLE }],
    ['request.contextFrom.id must be a string', { document: {}, fields: ['$'], contextFrom: { id: ['$.id'] } }],
    ['request.contextFrom.id cannot be read', { document: {}, fields: ['$'], contextFrom: UNREADABLE }],
    ['request has no option field', { document: {}, fields: ['$.a'], field: 1 }],
    ['request.document has no JSON form', { document: () => {}, fields: ['$.a'] }],
    ['request.document has no JSON form', { document: 5n, fields: ['$.a'] }],
  ])('fail with the TypeError "%s"', async ([message, request]) => {
    const error = await errorOf(encryptFields(session, request as never));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toContain(message);
  });

  it('report the cause in the error if reading a member of the request throws', async () => {
    const request = { document: {}, fields: ['$'], context: UNREADABLE };
    const error = await errorOf(encryptFields(session, request));
    expect(error).toMatchObject({ cause: { message: 'from a getter' } });
    const { proxy, revoke } = Proxy.revocable<string[]>([], {});
    revoke();
    const second = await errorOf(encryptFields(session, { document: {}, fields: proxy }));
    expect(second).toMatchObject({ message: 'request.fields cannot be read.', cause: expect.any(TypeError) as Error });
  });
});
