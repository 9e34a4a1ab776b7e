import { expect } from 'vitest';
import * as library from '../../src/index.ts';
import { memoryService } from './fakes.ts';
import { realBytesOf } from './hostile.ts';
import { isTold, type PublicFunctions } from './public-function.ts';
import { PLUGINS } from './public-plugins.ts';

const { KeyfoldError, MemoryMetastore, SessionFactory, StaticKms } = library;

const HELLO = Buffer.from('héllo');
const CARD = { document: { id: 7, card: '4111' } };
const FIELDS = { fields: ['$.card'], allowMissing: true };
const place = (): object => ({ context: { table: 'users' }, contextFrom: { id: '$.id' }, bindPath: 'exact' });
const noop = (): void => {};

export const session = memoryService().session('p');
const limits = (): object => ({ deadlineAtMs: Date.now() + 60_000, signal: new AbortController().signal });
const isHello = (payload: Uint8Array): void => expect(Buffer.compare(payload, HELLO)).toBe(0);

/**
 * Asserts that a record decrypts to its payload. If the test replaced a sealed member, decryption may instead fail, but
 * only with `RecordUnreadable`.
 */
async function opens(record: library.DataRowRecord, given?: { readonly data: unknown }): Promise<void> {
  const payload = await session.decrypt(record).catch((error: unknown) => {
    expect(error).toMatchObject({ code: 'RecordUnreadable' });
    expect(given).not.toBe(undefined);
    return HELLO;
  });
  isHello(payload);
}

/** Asserts that another process can decrypt the records of a service, if the service makes any. */
async function serves(factory: library.SessionFactory, [options]: [library.SessionFactoryOptions]): Promise<void> {
  let sealed: string;
  try {
    sealed = await factory.session('p').encryptToJson(HELLO);
  } catch (error) {
    isTold(error);
    return;
  }
  const same = { ...options, now: undefined, policy: undefined, events: undefined };
  isHello(await new SessionFactory(same as never).session('p').decryptJson(sealed));
}

const service = (): library.SessionFactoryOptions => ({
  service: 'svc',
  product: 'prod',
  regionSuffix: 'us-west-2',
  allowAmbiguousNames: false,
  metastore: new MemoryMetastore(),
  kms: new StaticKms(Buffer.alloc(32, 7), {}),
  policy: { expireAfterMs: 1e9, wearsOut: () => false },
  now: Date.now,
  events: { keyCreated: noop, keyRetired: noop, cacheUsed: noop, servedStale: noop, openedUnbound: noop },
});
const factory = new SessionFactory(service());

/** The functions of the package's main entry, `keyfold`. */
export const LIBRARY: PublicFunctions = {
  ...PLUGINS,
  cryptoPolicy: {
    args: () => [{ expireAfterMs: 5, createDatePrecisionMs: 1, dataRowKeyMaxMessages: 2, wearsOut: () => false }],
    call: library.cryptoPolicy,
    holds: ({ wearsOut, ...numbers }: library.CryptoPolicy) => {
      for (const number of Object.values(numbers)) expect(Number.isSafeInteger(number)).toBe(true);
      expect(wearsOut).toBeTypeOf('function');
    },
  },
  encodeDataRowRecord: {
    args: async () => [await session.encrypt(HELLO)],
    call: library.encodeDataRowRecord,
    holds: (text: string, [record]: [library.DataRowRecord]) => {
      const { key, data } = library.decodeDataRowRecord(text);
      expect([key.encryptedKey, data]).toEqual([record.key.encryptedKey, record.data].map(realBytesOf));
      expect(key.parent.id).toBe(record.key.parent.id);
    },
  },
  decodeDataRowRecord: {
    args: async () => [await session.encryptToJson(HELLO)],
    call: library.decodeDataRowRecord,
    holds: (record: library.DataRowRecord) => opens(record),
  },
  dataRowRecordFromValue: {
    args: async () => [JSON.parse(await session.encryptToJson(HELLO))],
    call: library.dataRowRecordFromValue,
    holds: (record: library.DataRowRecord) => opens(record, record),
  },
  encodeCompactRecord: {
    args: async () => [await session.encrypt(HELLO), 'bytes'],
    call: library.encodeCompactRecord,
    holds: (text: string | undefined, [record, kind]: [library.DataRowRecord, string]) => {
      if (text === undefined) return;
      const decoded = library.decodeCompactRecord(text);
      expect(decoded.kind).toBe(kind);
      expect(decoded.record.data).toEqual(realBytesOf(record.data));
      expect(decoded.record.key.encryptedKey).toEqual(realBytesOf(record.key.encryptedKey));
    },
  },
  decodeCompactRecord: {
    args: async () => [library.encodeCompactRecord(await session.encrypt(HELLO), 'bytes')],
    call: library.decodeCompactRecord,
    holds: ({ record }: library.CompactRecord) => opens(record),
  },
  parseKeyId: { args: () => ['_SK_svc_prod'], call: library.parseKeyId },
  parseEpochSeconds: { args: () => [60], call: library.parseEpochSeconds },
  encryptBatch: {
    args: () => [session, [Buffer.from(HELLO), Buffer.from('x')], { ...limits(), shareDataRowKey: true }],
    call: library.encryptBatch,
    holds: async (records: (library.DataRowRecord | library.KeyfoldError)[], [, plaintexts]: [unknown, unknown[]]) => {
      expect(records).toHaveLength(plaintexts.length);
      for (const [i, record] of records.entries()) {
        expect(await session.decrypt(record as library.DataRowRecord)).toEqual(realBytesOf(plaintexts[i]));
      }
    },
  },
  decryptBatch: {
    args: async () => [session, [await session.encrypt(HELLO), await session.encrypt(HELLO)], limits()],
    call: library.decryptBatch,
    holds: (payloads: unknown[]) => {
      for (const payload of payloads) {
        if (payload instanceof KeyfoldError) expect(payload.code).toBe('RecordUnreadable');
        else isHello(payload as Uint8Array);
      }
    },
  },
  rewrapBatch: {
    args: async () => [session, [await session.encrypt(HELLO)], limits()],
    call: library.rewrapBatch,
  },
  encryptFields: {
    args: () => [session, { ...CARD, ...FIELDS, ...place(), skipSealed: false, shareDataRowKey: false }, limits()],
    call: library.encryptFields,
    holds: async (
      sealed: unknown,
      [, { document, documentText, context, contextFrom, bindPath }]: [
        unknown,
        library.GivenDocument & library.FieldBinding,
      ],
    ) => {
      const text = documentText ?? JSON.stringify(document);
      const sealedText = documentText === undefined ? JSON.stringify(sealed) : (sealed as string);
      const binding = { context, contextFrom, bindPath } as library.FieldBinding;
      const opened = await library.decryptFields(session, { documentText: sealedText, all: true, ...binding });
      expect(JSON.parse(opened)).toEqual(JSON.parse(text));
    },
  },
  decryptFields: {
    args: async () => [
      session,
      { document: await library.encryptFields(session, { ...CARD, ...FIELDS, ...place() }), ...FIELDS, ...place() },
      limits(),
    ],
    call: library.decryptFields,
  },
  'new KeyfoldError': {
    args: () => ['NotFound', 'Nothing.', { cause: new Error('why') }],
    call: (...args: [never, never]) => new KeyfoldError(...args),
    holds: (error: library.KeyfoldError) => expect(error.retryable).toBeTypeOf('boolean'),
  },
  'new SessionFactory': {
    args: () => [service()],
    call: (options: never) => new SessionFactory(options),
    holds: serves,
  },
  'SessionFactory.preload': { args: () => [limits()], call: (given: never) => factory.preload(given) },
  'SessionFactory.checkSystemKey': {
    args: async () => {
      await factory.session('p').encrypt(HELLO);
      return [limits()];
    },
    call: (given: never) => factory.checkSystemKey(given),
  },
  'SessionFactory.session': {
    args: () => ['p', noop],
    call: (...args: [never, never]) => factory.session(...args),
    // A request fails if its `keyUsed` callback throws.
    holds: (made: library.Session) =>
      made.encrypt(HELLO).then(async (sealed) => isHello(await made.decrypt(sealed)), isTold),
  },
  'Session.batch': {
    args: () => [{ shareDataRowKey: true }],
    call: (options: never) => session.batch(options),
    holds: async (made: library.Session) => isHello(await made.decrypt(await made.encrypt(HELLO))),
  },
  'Session.withContext': {
    args: () => [
      { table: 'users', id: '42' },
      { form: 'json', path: "$['a']" },
    ],
    call: (...args: [never, never]) => session.withContext(...args),
    holds: async (made: library.Session) => isHello(await made.decrypt(await made.encrypt(HELLO))),
  },
  'Session.opensUnbound': {
    args: async () => [await session.encrypt(HELLO), limits()],
    call: (...args: [never, never]) => session.opensUnbound(...args),
    holds: (outcome: boolean) => expect(outcome).toBeTypeOf('boolean'),
  },
  'Session.encrypt': {
    args: () => [Buffer.from(HELLO), limits()],
    call: (...args: [never, never]) => session.encrypt(...args),
    holds: async (record: library.DataRowRecord, [plaintext]: [unknown]) =>
      expect(await session.decrypt(record)).toEqual(realBytesOf(plaintext)),
  },
  'Session.encryptToJson': {
    args: () => [Buffer.from(HELLO), limits()],
    call: (...args: [never, never]) => session.encryptToJson(...args),
    holds: async (text: string, [plaintext]: [unknown]) =>
      expect(await session.decryptJson(text)).toEqual(realBytesOf(plaintext)),
  },
  'Session.decrypt': {
    args: async () => [await session.encrypt(HELLO), limits()],
    call: (...args: [never, never]) => session.decrypt(...args),
    holds: isHello,
  },
  'Session.decryptJson': {
    args: async () => [await session.encryptToJson(HELLO), limits()],
    call: (...args: [never, never]) => session.decryptJson(...args),
    holds: isHello,
  },
  'Session.encryptText': {
    args: () => ['héllo', limits()],
    call: (...args: [never, never]) => session.encryptText(...args),
    holds: async (record: string, [text]: [string]) => expect(await session.decryptText(record)).toBe(text),
  },
  'Session.decryptText': {
    args: async () => [await session.encryptText('héllo'), limits()],
    call: (...args: [never, never]) => session.decryptText(...args),
    holds: (text: string) => expect(text).toBe('héllo'),
  },
  'Session.rewrap': {
    args: async () => [await session.encrypt(HELLO), limits()],
    call: (...args: [never, never]) => session.rewrap(...args),
    // Rewrapping does not read the payload. So a payload that the test replaced stays in the record, which then does
    // not decrypt.
    holds: ({ record }: { record: library.DataRowRecord }) => opens(record, record),
  },
};
