import { describe, expect, it, vi } from 'vitest';
import { EnvelopeKey } from '../../../src/envelope/envelope-key.ts';
import { decodeDataRowRecord, type DataRowRecord, type Session } from '../../../src/index.ts';
import { codeOf, DAY_MS, FakeDependencies, MINUTE_MS } from '../../support/fakes.ts';

const NO_BOUND = { dataRowKeyMaxMessages: 1000, dataRowKeyMaxBytes: 1_000_000, dataRowKeyMaxAgeMs: DAY_MS };

/** Encrypts `count` payloads of `sizeBytes` bytes, one after the other. */
async function sealed(session: Session, count: number, sizeBytes = 1): Promise<DataRowRecord[]> {
  const records: DataRowRecord[] = [];
  for (let i = 0; i < count; i += 1) records.push(await session.encrypt(Buffer.alloc(sizeBytes, i)));
  return records;
}

/** The number of consecutive records that share each Data Row Key. */
function runs(records: readonly DataRowRecord[]): number[] {
  const lengths: number[] = [];
  records.forEach(({ key }, i) => {
    const isSame = i > 0 && Buffer.compare(key.encryptedKey, records[i - 1]?.key.encryptedKey ?? Buffer.alloc(0)) === 0;
    if (isSame) lengths[lengths.length - 1] = (lengths.at(-1) ?? 0) + 1;
    else lengths.push(1);
  });
  return lengths;
}

describe('a Data Row Key', () => {
  it('encrypts only one record by default', async () => {
    expect(runs(await sealed(new FakeDependencies().process().session('p'), 3))).toEqual([1, 1, 1]);
  });

  it('encrypts up to dataRowKeyMaxMessages payloads', async () => {
    for (const [dataRowKeyMaxMessages, lengths] of [
      [2, [2, 2, 2, 1]],
      [3, [3, 3, 1]],
    ] as const) {
      const session = new FakeDependencies().process({ policy: { ...NO_BOUND, dataRowKeyMaxMessages } }).session('p');
      expect(runs(await sealed(session, 7))).toEqual(lengths);
    }
  });

  it('encrypts up to dataRowKeyMaxMessages payloads with encryptToJson', async () => {
    const session = new FakeDependencies().process({ policy: { ...NO_BOUND, dataRowKeyMaxMessages: 3 } }).session('p');
    const texts = await Promise.all(['a', 'b', 'c', 'd'].map((text) => session.encryptToJson(Buffer.from(text))));
    expect(runs(texts.map(decodeDataRowRecord))).toEqual([3, 1]);
    const opened = await Promise.all(texts.map(async (text) => (await session.decryptJson(text)).toString()));
    expect(opened).toEqual(['a', 'b', 'c', 'd']);
  });

  it('encrypts up to dataRowKeyMaxBytes bytes, or one larger payload', async () => {
    const policy = { ...NO_BOUND, dataRowKeyMaxBytes: 10 };
    const session = new FakeDependencies().process({ policy }).session('p');
    expect(runs(await sealed(session, 5, 5))).toEqual([2, 2, 1]);
    expect(runs(await sealed(session, 2, 11))).toEqual([1, 1]);
  });

  it('encrypts until its age exceeds dataRowKeyMaxAgeMs', async () => {
    const world = new FakeDependencies();
    const session = world.process({ policy: { ...NO_BOUND, dataRowKeyMaxAgeMs: MINUTE_MS } }).session('p');
    const first = await sealed(session, 1);
    world.clock.advance(MINUTE_MS - 1);
    const second = await sealed(session, 1);
    world.clock.advance(1);
    expect(runs([...first, ...second, ...(await sealed(session, 2))])).toEqual([2, 2]);
  });

  it('is shared by all sessions of its partition, and by no other partition', async () => {
    const process = new FakeDependencies().process({ policy: NO_BOUND });
    const of = (partition: string): Promise<DataRowRecord> => process.session(partition).encrypt(Buffer.from('x'));
    const records = [await of('p'), await of('q'), await of('p'), await of('q')];
    expect(runs([records[0], records[2]] as DataRowRecord[])).toEqual([2]);
    expect(runs([records[1], records[3]] as DataRowRecord[])).toEqual([2]);
    expect(runs(records)).toEqual([1, 1, 1, 1]);
  });

  it('encrypts nothing more once its Intermediate Key is known to be revoked', async () => {
    const world = new FakeDependencies();
    const process = world.process({ policy: NO_BOUND });
    const [before] = await sealed(process.session('p'), 1);
    const [row] = world.metastore.ofKind('IK');
    if (row !== undefined) world.metastore.change(row, { revoked: true });
    world.clock.advance(60 * MINUTE_MS);
    const [after] = await sealed(process.session('p'), 1);
    expect(after?.key.parent.created).toBeGreaterThan(before?.key.parent.created ?? Infinity);
    expect(runs([before, after] as DataRowRecord[])).toEqual([1, 1]);
  });

  it('is shared by the items of a batch with shareDataRowKey, but not by several batches', async () => {
    const process = new FakeDependencies().process();
    const request = (): Promise<DataRowRecord[]> => sealed(process.session('p').batch({ shareDataRowKey: true }), 3);
    expect(runs([...(await request()), ...(await request())])).toEqual([3, 3]);
    expect(runs(await sealed(process.session('p').batch({ shareDataRowKey: false }), 2))).toEqual([1, 1]);
  });

  it('is replaced within a batch if its Intermediate Key reaches its usage limit', async () => {
    let seals = 0;
    const policy = { wearsOut: () => (seals += 1) === 3 };
    const session = new FakeDependencies().process({ policy }).session('p').batch({ shareDataRowKey: true });
    const records = await sealed(session, 4);
    expect(runs(records)).toEqual([2, 2]);
    expect(new Set(records.map(({ key }) => key.parent.created)).size).toBe(2);
  });

  it('seals each record with its own nonce, and decrypts each record independently of the others', async () => {
    const world = new FakeDependencies();
    const records = await sealed(world.process().session('p').batch({ shareDataRowKey: true }), 3);
    expect(new Set(records.map(({ data }) => Buffer.from(data.slice(-12)).toString('hex'))).size).toBe(3);
    for (const [i, record] of records.entries()) {
      expect(await world.process().session('p').decrypt(record)).toEqual(Buffer.alloc(1, i));
    }
  });
});

describe('a record with a shared Data Row Key', () => {
  it('can be overwritten by the caller without an effect on other records that share the key', async () => {
    const world = new FakeDependencies();
    const session = world.process({ policy: NO_BOUND }).session('p');
    const [first] = (await sealed(session, 1)) as [DataRowRecord];
    first.key.encryptedKey.fill(0);
    Object.assign(first.key.parent, { id: 'written over' });
    const [second] = (await sealed(session, 1)) as [DataRowRecord];
    expect(await world.process().session('p').decrypt(second)).toEqual(Buffer.alloc(1, 0));
  });
});

describe('a batch session', () => {
  it('decrypts each record correctly if the caller reuses one buffer for all of them', async () => {
    const process = new FakeDependencies().process();
    const buffer = Buffer.alloc(60);
    const session = process.session('p').batch({ shareDataRowKey: false });
    const bytes: number[] = [];
    for (const record of await sealed(process.session('p'), 2)) {
      buffer.set(record.key.encryptedKey);
      bytes.push((await session.decrypt({ ...record, key: { ...record.key, encryptedKey: buffer } }))[0] ?? -1);
    }
    expect(bytes).toEqual([0, 1]);
  });

  it('opens a shared Data Row Key once for consecutive records', async () => {
    const process = new FakeDependencies().process();
    const records = await sealed(process.session('p').batch({ shareDataRowKey: true }), 3);
    const opens = vi.spyOn(EnvelopeKey.prototype, 'open');
    const session = process.session('p').batch({ shareDataRowKey: false });
    for (const record of records) await session.decrypt(record);
    expect(opens).toHaveBeenCalledTimes(1);
    opens.mockRestore();
  });

  it('shares one Data Row Key among 1,000 records, which is the maximum for a request', async () => {
    const session = new FakeDependencies().process({ policy: { wearsOut: () => false } }).session('p');
    expect(runs(await sealed(session.batch({ shareDataRowKey: true }), 1001))).toEqual([1000, 1]);
  });

  it('shares one Data Row Key among payloads of 64 MiB', async () => {
    const session = new FakeDependencies().process().session('p').batch({ shareDataRowKey: true });
    const records: DataRowRecord[] = [];
    for (const bytes of [64 * 1024 * 1024 - 1, 1, 1]) records.push(await session.encrypt(Buffer.alloc(bytes)));
    expect(runs(records)).toEqual([2, 1]);
  });

  it('shares one Data Row Key for less than a minute', async () => {
    const world = new FakeDependencies();
    const session = world.process().session('p').batch({ shareDataRowKey: true });
    const seconds = world.clock.nowMs / 1000;
    world.clock.advance(999);
    const records = [await session.encrypt(Buffer.alloc(1))];
    for (const ms of [59_999, 1]) {
      world.clock.advance(ms);
      records.push(await session.encrypt(Buffer.alloc(1)));
    }
    expect(runs(records)).toEqual([2, 1]);
    expect(records.map(({ key }) => key.created)).toEqual([seconds, seconds, seconds + 60]);
  });

  it('decrypts records with shared and separate Data Row Keys in any order', async () => {
    const world = new FakeDependencies();
    const process = world.process();
    const shared = await sealed(process.session('p').batch({ shareDataRowKey: true }), 2);
    const own = await sealed(process.session('p'), 2);
    const [a, b, c, d] = [...shared, ...own] as [DataRowRecord, DataRowRecord, DataRowRecord, DataRowRecord];
    const session = world.process().session('p').batch({ shareDataRowKey: false });
    const bytes: number[] = [];
    for (const record of [a, b, c, b, d, a]) bytes.push((await session.decrypt(record))[0] ?? -1);
    expect(bytes).toEqual([0, 1, 0, 1, 1, 0]);
    expect(await codeOf(session.decrypt({ ...c, data: a.data }))).toBe('RecordUnreadable');
    expect(await codeOf(session.decrypt({ ...a, data: c.data }))).toBe('RecordUnreadable');
    const key = { ...a.key, encryptedKey: Buffer.from(a.key.encryptedKey).fill(0, 0, 1) };
    expect(await codeOf(session.decrypt({ ...a, key }))).toBe('RecordUnreadable');
  });

  it('opens a Data Row Key again if the next record names another Intermediate Key', async () => {
    const world = new FakeDependencies();
    const process = world.process();
    const [old] = (await sealed(process.session('p'), 1)) as [DataRowRecord];
    world.clock.advance(91 * DAY_MS);
    const [young] = (await sealed(process.session('p'), 1)) as [DataRowRecord];
    const session = process.session('p').batch({ shareDataRowKey: false });
    await session.decrypt(old);
    const relabelled = { ...old, key: { ...old.key, parent: young.key.parent } };
    expect(await codeOf(session.decrypt(relabelled))).toBe('RecordUnreadable');
  });
});
