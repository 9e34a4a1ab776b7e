import { beforeEach, describe, expect, expectTypeOf, it } from 'vitest';
import { KeyfoldClientError, type KeyfoldClient, type JsonRecord } from '../../../src/client/index.ts';
import { isErrorCode } from '../../../src/errors.ts';

const HELLO = Buffer.from('hello');
const EXACT = '{"id":12345678901234567890,"card":4111111111111111.10}';

/** Returns the error of a call that must fail. */
export async function failureOf(work: Promise<unknown>): Promise<KeyfoldClientError> {
  const outcome = await work.then(
    () => new Error('it succeeded'),
    (error: unknown) => error,
  );
  if (outcome instanceof KeyfoldClientError) return outcome;
  throw outcome;
}

/** The contract of every transport of the client. Its tests run on the real handlers. */
export function clientContract(way: string, open: () => KeyfoldClient): void {
  describe(`the client over ${way}`, () => {
    let client: KeyfoldClient;
    beforeEach(() => {
      client = open();
    });

    it('decrypts a record in either format to the original payload', async () => {
      const tenant = client.partition('tenant-1');
      const record = await tenant.encrypt(HELLO);
      expectTypeOf(record).toEqualTypeOf<JsonRecord>();
      expect(Object.keys(record)).toEqual(['Key', 'Data']);
      expect(await tenant.decrypt(record)).toEqual(new Uint8Array(HELLO));
      const compact = await tenant.encrypt(HELLO, { format: 'compact' });
      expectTypeOf(compact).toEqualTypeOf<string>();
      expect(compact).toMatch(/^kf1\./);
      expect(await tenant.decrypt(compact)).toEqual(new Uint8Array(HELLO));
    });

    it('encrypts an empty payload and a payload of one megabyte', async () => {
      const tenant = client.partition('tenant-1');
      for (const payload of [new Uint8Array(), new Uint8Array(1_048_576).fill(0xa7)]) {
        const opened = await tenant.decrypt(await tenant.encrypt(payload));
        expect(Buffer.from(opened).equals(payload)).toBe(true);
      }
    });

    it('encrypts only the part of a buffer that a view covers', async () => {
      const tenant = client.partition('tenant-1');
      const opened = await tenant.decrypt(await tenant.encrypt(new Uint8Array(HELLO).subarray(1, 3)));
      expect(Buffer.from(opened).toString()).toBe('el');
      expect(opened.buffer.byteLength).toBe(2);
    });

    it('rewraps a record in the same format unless the caller asks for the compact format', async () => {
      const tenant = client.partition('tenant-1');
      const record = await tenant.encrypt(HELLO);
      expect(await tenant.rewrap(record)).toEqual({ record, rewrapped: false });
      const { record: compact } = await tenant.rewrap(record, { format: 'compact' });
      expectTypeOf(compact).toEqualTypeOf<string>();
      expect(await tenant.rewrap(compact)).toEqual({ record: compact, rewrapped: false });
    });

    it('returns the results of a batch in order, with the error of a failed item in its place', async () => {
      const tenant = client.partition('tenant-1');
      const sealed = await tenant.encryptBatch([HELLO, new Uint8Array()], { format: 'compact' });
      expect(sealed).toEqual([expect.stringMatching(/^kf1\./), expect.stringMatching(/^kf1\./)]);
      const strange = await client.partition('tenant-2').encrypt(HELLO);
      const [first = '', second = ''] = sealed.map(String);
      const opened = await tenant.decryptBatch([first, strange, second]);
      expect([opened[0], opened[2]]).toEqual([new Uint8Array(HELLO), new Uint8Array()]);
      expect(opened[1]).toMatchObject({ name: 'KeyfoldServiceError', code: 'RecordUnreadable', retryable: false });
      const moved = await tenant.rewrapBatch([first, strange, second]);
      expect(moved[0]).toEqual({ record: first, rewrapped: false });
      expect(moved[1]).toBeInstanceOf(KeyfoldClientError);
      expect(await tenant.encryptBatch([])).toEqual([]);
    });

    it('uses one Data Row Key for a batch or a document if shareDataRowKey is set', async () => {
      const tenant = client.partition('tenant-1');
      const sealed = await tenant.encryptBatch([HELLO, HELLO], { shareDataRowKey: true });
      const [first, second] = sealed.map((record) => (record as { Key: { Key: string } }).Key.Key);
      expect(first).toBe(second);
      const document = { a: 1, b: 2 };
      const fields = await tenant.encryptFields({ document, fields: ['$.*'], shareDataRowKey: true });
      const { a, b } = fields as { a: string; b: string };
      // Compare the records without their last bytes, which are the payload, the nonce and the tag. The other bytes are
      // equal, because they describe the shared Data Row Key.
      expect(a.slice(0, -40)).toBe(b.slice(0, -40));
      expect(await tenant.decryptFields({ document: fields as object, all: true })).toEqual(document);
    });

    it("throws an error for a batch above the service's limit", async () => {
      const tenant = client.partition('tenant-1');
      const error = await failureOf(tenant.encryptBatch(Array.from({ length: 1001 }, () => HELLO)));
      expect(error).toMatchObject({ code: 'InvalidRequest', message: expect.stringContaining('1000') as string });
    });

    it('encrypts and decrypts the fields of a document passed as a value', async () => {
      const tenant = client.partition('tenant-1');
      const document = { id: 7, card: { no: '4111', cvc: 123.5 }, ['__proto__x']: null };
      const sealed = await tenant.encryptFields({ document, fields: ['$.card'] });
      expectTypeOf(sealed).toEqualTypeOf<unknown>();
      expect(sealed).toEqual({ ...document, card: expect.stringMatching(/^kf1j\./) as string });
      expect(await tenant.decryptFields({ document: sealed, all: true })).toEqual(document);
      const again = await tenant.encryptFields({ document: sealed, fields: ['$.card'], skipSealed: true });
      expect(again).toEqual(sealed);
      const missing = tenant.encryptFields({ document, fields: ['$.cart'] });
      expect(await failureOf(missing)).toMatchObject({ code: 'FieldNotFound' });
      expect(await tenant.encryptFields({ document, fields: ['$.cart'], allowMissing: true })).toEqual(document);
    });

    it('encrypts and decrypts the fields of a document passed as text, without losing digits', async () => {
      const tenant = client.partition('tenant-1');
      const sealed = await tenant.encryptFields({ documentText: EXACT, fields: ['$.card'] });
      expectTypeOf(sealed).toEqualTypeOf<string>();
      expect(sealed).toMatch(/^\{"id":12345678901234567890,"card":"kf1j\./);
      expect(await tenant.decryptFields({ documentText: sealed, fields: ['$.card'] })).toBe(EXACT);
    });

    it('throws InexactNumber if a JavaScript number cannot represent a decrypted number exactly', async () => {
      const tenant = client.partition('tenant-1');
      const sealed = await tenant.encryptFields({ documentText: EXACT, fields: ['$.id'] });
      const opening = tenant.decryptFields({ document: JSON.parse(sealed), all: true });
      expect(await failureOf(opening)).toMatchObject({ code: 'InexactNumber', retryable: false });
    });

    it.for([
      ['JSON', {}],
      ['compact', { format: 'compact' }],
    ] as const)('binds a %s record to its context', async ([, options]) => {
      const tenant = client.partition('tenant-1');
      const [context, other] = [
        { table: 'users', id: '42' },
        { table: 'users', id: '43' },
      ];
      const record = await tenant.encrypt(HELLO, { ...options, context });
      expect(await tenant.decrypt(record, { context: { id: '42', table: 'users' } })).toEqual(new Uint8Array(HELLO));
      expect(await failureOf(tenant.decrypt(record, { context: other }))).toMatchObject({ code: 'RecordUnreadable' });
      expect(await failureOf(tenant.decrypt(record))).toMatchObject({ code: 'ContextRequired', retryable: false });
      const { record: moved } = await tenant.rewrap(record);
      expect(await tenant.decrypt(moved, { context })).toEqual(new Uint8Array(HELLO));
    });

    it('binds each item of a batch to its own context', async () => {
      const tenant = client.partition('tenant-1');
      const contexts = [{ id: '1' }, { id: '2' }];
      const items = [...contexts.map((context) => ({ plaintext: HELLO, context })), HELLO];
      const records = (await tenant.encryptBatch(items)) as JsonRecord[];
      const given = records.slice(0, 2).map((record, i) => ({ record, context: contexts[i] }));
      const [first, second, third] = await tenant.decryptBatch(
        [...given, records[0] ?? '', records[2] ?? ''].slice(0, 3),
      );
      expect([first, second]).toEqual([new Uint8Array(HELLO), new Uint8Array(HELLO)]);
      expect(third).toMatchObject({ code: 'ContextRequired' });
    });

    it('binds each field of a document to the context and to the path of the field', async () => {
      const tenant = client.partition('tenant-1');
      const binding = { context: { table: 'orders' }, contextFrom: { id: '$.id' } };
      const request = { document: { id: 7, items: [{ ssn: 1 }] }, fields: ['$.items[*].ssn'], ...binding };
      const sealed = (await tenant.encryptFields(request)) as { items: { ssn: string }[] };
      expect(await tenant.decryptFields({ document: sealed, all: true, ...binding })).toEqual(request.document);
      const record = sealed.items[0]?.ssn ?? '';
      const place = { context: { table: 'orders', id: '7' }, path: "$['items'][*]['ssn']" };
      expect(Buffer.from(await tenant.decrypt(record, place)).toString()).toBe('1');
      const moved = { document: { ...sealed, id: 8 }, all: true, ...binding } as const;
      expect(await failureOf(tenant.decryptFields(moved))).toMatchObject({ code: 'RecordUnreadable' });
    });

    it("throws an error with Keyfold's code and detail, and with a flag that says whether a retry may help", async () => {
      const record = await client.partition('tenant-1').encrypt(HELLO);
      const error = await failureOf(client.partition('tenant-2').decrypt(record));
      expect(error).toMatchObject({
        name: 'KeyfoldServiceError',
        code: 'RecordUnreadable',
        message: 'The record cannot be opened for this partition.',
        retryable: false,
      });
      expect(error.requestId).toMatch(/^[0-9a-f-]{36}$/);
      expect(isErrorCode(error.code)).toBe(true);
    });

    it("rejects an aborted call with the signal's abort reason", async () => {
      const reason = new Error('the caller has gone');
      const tenant = client.partition('tenant-1');
      await expect(tenant.encrypt(HELLO, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      const controller = new AbortController();
      const running = tenant.encryptBatch(
        Array.from({ length: 1000 }, () => HELLO),
        { signal: controller.signal },
      );
      setImmediate(() => controller.abort(reason));
      await expect(running).rejects.toBe(reason);
    });
  });
}
