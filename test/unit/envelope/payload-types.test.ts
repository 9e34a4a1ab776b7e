import { createSecretKey } from 'node:crypto';
import vm from 'node:vm';
import { describe, expect, it } from 'vitest';
import { open, seal } from '../../../src/crypto/aead.ts';
import {
  decodeCompactRecord,
  decodeDataRowRecord,
  decryptBatch,
  encodeCompactRecord,
  encodeDataRowRecord,
  type DataRowRecord,
  type EnvelopeKeyRecord,
  type Session,
} from '../../../src/index.ts';
import { errorOf, FakeDependencies, memoryService } from '../../support/fakes.ts';
import { detached, outOfBounds } from '../../support/hostile.ts';

/** An array of any size, all of whose properties claim that it has one byte. */
class ShortArray extends Uint8Array {
  override get length(): number {
    return 1;
  }
  override get byteLength(): number {
    return 1;
  }
  override get byteOffset(): number {
    return 1;
  }
  override subarray(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(1);
  }
}

/** Values that are not payloads, by their description. */
const NO_PAYLOADS: Readonly<Record<string, () => unknown>> = {
  'a string': () => 'héllo',
  'an ASCII string': () => 'hello',
  'a String object': () => new String('hello'),
  'a Uint16Array': () => new Uint16Array([256, 257]),
  'a Uint8ClampedArray': () => new Uint8ClampedArray(2),
  'a DataView': () => new DataView(new ArrayBuffer(4)),
  'an ArrayBuffer': () => new ArrayBuffer(4),
  'an array': () => [1, 2],
  'a proxy of a Uint8Array': () => new Proxy(new Uint8Array(4), {}),
  'an object with the prototype of Uint8Array': () => Object.create(Uint8Array.prototype) as unknown,
  undefined: () => undefined,
  null: () => null,
  'a Uint8Array whose buffer was transferred': detached,
  'a Uint8Array that lies beyond the end of its buffer': outOfBounds,
};

/** Payloads by their description, with the expected bytes. */
const PAYLOADS: Readonly<Record<string, [() => Uint8Array, number[]]>> = {
  'a Uint8Array from another realm': [
    () => vm.runInNewContext('new Uint8Array([1, 2, 255])') as Uint8Array,
    [1, 2, 255],
  ],
  'a Uint8Array with shared memory': [() => new Uint8Array(new SharedArrayBuffer(2)).fill(9), [9, 9]],
  'a Uint8Array with a resizable buffer': [
    () => new Uint8Array(new ArrayBuffer(2, { maxByteLength: 8 })).fill(9),
    [9, 9],
  ],
  'a part of a larger buffer': [() => new Uint8Array([1, 2, 3, 4]).subarray(1, 3), [2, 3]],
  'an empty Uint8Array': [() => new Uint8Array(), []],
  'an instance of a subclass of Uint8Array that reports a shorter length': [() => new ShortArray([1, 2, 3]), [1, 2, 3]],
  'a Uint8Array with a length property of its own': [
    () => Object.defineProperty(new Uint8Array([1, 2, 3]), 'length', { value: 1 }),
    [1, 2, 3],
  ],
};

/** Overwrites every array of a record, as a caller who uses the arrays again may do. */
function overwrite({ key, proof, data }: DataRowRecord): void {
  for (const bytes of [key.encryptedKey, proof, data]) bytes?.fill(0);
}

describe('a payload', () => {
  it.for(Object.entries(NO_PAYLOADS))(
    'is rejected with a TypeError before any key is read if it is %s',
    async ([, make]) => {
      const world = new FakeDependencies();
      const session = world.process().session('p');
      for (const method of ['encrypt', 'encryptToJson'] as const) {
        const error = await errorOf(session[method](make() as never));
        expect(error).toBeInstanceOf(TypeError);
        expect((error as Error).message).toMatch(/^plaintext must be a Uint8Array/);
      }
      expect(() => seal(createSecretKey(Buffer.alloc(32)), make() as never)).toThrow(TypeError);
      expect(world.log.take()).toEqual([]);
    },
  );

  it.for(Object.entries(PAYLOADS))('can be %s, and decrypts to the same bytes', async ([, [make, bytes]]) => {
    const session = memoryService().session('p');
    // The first round loads the keys. The second round finds them in the cache.
    for (let i = 0; i < 2; i += 1) {
      const record = await session.encrypt(make());
      expect([...(await session.decrypt(record))]).toEqual(bytes);
      expect([...(await session.decryptJson(await session.encryptToJson(make())))]).toEqual(bytes);
    }
    const key = createSecretKey(Buffer.alloc(32, 1));
    expect([...(open(key, seal(key, make())) ?? [])]).toEqual(bytes);
  });

  it('is encrypted as it was at the time of the call, even if the session has to wait for a key', async () => {
    const world = new FakeDependencies();
    const [written, gone] = [Buffer.from('as given'), new Uint8Array([1, 2, 3])];
    const session = world.process().session('p');
    const records = [session.encrypt(written), session.encrypt(gone)];
    written.fill('x');
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    const payloads = await Promise.all(records.map(async (record) => session.decrypt(await record)));
    expect(payloads.map(String)).toEqual(['as given', '\u0001\u0002\u0003']);
  });

  it('counts towards dataRowKeyMaxBytes by its actual size in bytes', async () => {
    const session = memoryService({ policy: { dataRowKeyMaxMessages: 9, dataRowKeyMaxBytes: 5 } }).session('p');
    const records = [await session.encrypt(new ShortArray(3)), await session.encrypt(new ShortArray(3))];
    expect(records[0]?.key.encryptedKey).not.toEqual(records[1]?.key.encryptedKey);
  });
});

describe('a record', () => {
  const session = memoryService().session('p');
  const PAYLOAD = Buffer.from('payload');

  it.for<[string, (record: DataRowRecord) => unknown]>([
    ['record', () => null],
    ['record', () => '{}'],
    ['record.key', ({ data }) => ({ data })],
    ['record.data', ({ key }) => ({ key, data: 'AAAA' })],
    ['record.proof', ({ key, data }) => ({ key, proof: 'x'.repeat(32), data })],
    ['record.key.created', ({ key, data }) => ({ key: { ...key, created: '5' }, data })],
    ['record.key.encryptedKey', ({ key, data }) => ({ key: { ...key, encryptedKey: [1] }, data })],
    ['record.key.parent', ({ key, data }) => ({ key: { ...key, parent: null }, data })],
    ['record.key.parent.id', ({ key, data }) => ({ key: { ...key, parent: { ...key.parent, id: 5 } }, data })],
    ['record.key.parent.created', ({ key, data }) => ({ key: { ...key, parent: { id: key.parent.id } }, data })],
  ])('is rejected with a TypeError that names the part with the wrong type: %s', async ([name, change]) => {
    const broken = change(await session.encrypt(PAYLOAD)) as DataRowRecord;
    const message = new RegExp(`^${name.replaceAll('.', '\\.')} (?:must|cannot) be`);
    for (const work of [
      async () => session.decrypt(broken),
      async () => session.rewrap(broken),
      async () => encodeDataRowRecord(broken),
      async () => encodeCompactRecord(broken, 'bytes'),
    ]) {
      const error = await errorOf(work());
      expect(error).toBeInstanceOf(TypeError);
      expect((error as Error).message).toMatch(message);
    }
  });

  it('is read only once, so that a getter cannot change it later', async () => {
    const { key, data } = await session.encrypt(PAYLOAD);
    let reads = 0;
    const changing = {
      key,
      get data() {
        return (reads += 1) === 1 ? data : ('gone' as never);
      },
    };
    expect(await session.decrypt(changing)).toEqual(PAYLOAD);
    reads = 0;
    expect(await session.decryptJson(encodeDataRowRecord(changing))).toEqual(PAYLOAD);
  });

  it('is opened as it was at the time of the call, even if the session has to wait for a key', async () => {
    const world = new FakeDependencies();
    const bound = await world.process().session('p').withContext({ table: 'users' }).encrypt(PAYLOAD);
    const methods: readonly ((cold: Session, record: DataRowRecord) => Promise<unknown>)[] = [
      (cold, record) => cold.withContext({ table: 'users' }).decrypt(record),
      (cold, record) => decryptBatch(cold.withContext({ table: 'users' }), [record]).then(([first]) => first),
      async (cold, record) => ((await cold.opensUnbound(record)) ? PAYLOAD : undefined),
    ];
    for (const method of methods) {
      const record = structuredClone(bound);
      const opened = method(world.process().session('p'), record);
      overwrite(record);
      expect(await opened).toEqual(PAYLOAD);
    }
  });

  it('is rewrapped as it was at the time of the call, even if the session has to wait for a key', async () => {
    const world = new FakeDependencies();
    const context = { table: 'users' };
    const bound = await world.process().session('p').withContext(context).encrypt(PAYLOAD);
    world.metastore.change(world.metastore.latest(bound.key.parent.id) as EnvelopeKeyRecord, { revoked: true });
    const cold = world.process().session('p');
    const record = structuredClone(bound);
    const rewrapped = cold.rewrap(record);
    overwrite(record);
    const { record: moved } = await rewrapped;
    expect(await cold.withContext(context).decrypt(moved)).toEqual(PAYLOAD);
  });

  it('is encoded completely, even if its arrays report a length that is too short', async () => {
    const { key, data } = await session.encrypt(PAYLOAD);
    const record = { key: { ...key, encryptedKey: new ShortArray(key.encryptedKey) }, data: new ShortArray(data) };
    expect(await session.decrypt(record)).toEqual(PAYLOAD);
    expect(await session.decryptJson(encodeDataRowRecord(record))).toEqual(PAYLOAD);
    const compact = encodeCompactRecord(record, 'bytes') ?? '';
    expect(await session.decrypt(decodeCompactRecord(compact).record)).toEqual(PAYLOAD);
  });

  it('is rejected by the encoders if its date or kind is invalid', async () => {
    const { key, data } = await session.encrypt(PAYLOAD);
    for (const created of [Number.NaN, Infinity, 0.5]) {
      const code = { code: 'InvalidRequest' };
      expect(() => encodeDataRowRecord({ key: { ...key, created }, data })).toThrow(expect.objectContaining(code));
    }
    expect(() => encodeCompactRecord({ key, data }, 'text' as never)).toThrow("kind must be 'bytes' or 'json'");
    for (const decode of [decodeDataRowRecord, decodeCompactRecord]) {
      expect(() => decode(Buffer.from('kf1.') as never)).toThrow('text must be a string');
    }
  });
});
