import assert from 'node:assert/strict';
import { NUMBER, optional, STRING, type Types } from '../input/checks.ts';
import { SessionFactory } from '../envelope/session-factory.ts';
import type { Metastore } from '../envelope/ports.ts';
import { StaticKms } from '../kms/static-kms.ts';
import { TOMBSTONE_CREATED } from '../records/ids.ts';
import { checkedOptions, type Call, type ContractCase, type Opener } from './contract-case.ts';
import { noDeadline } from '../async/deadline.ts';
import { keyMeta, keyRecord, LONG_ID } from './key-record.ts';
import { idAndDateCases } from './metastore-ids.ts';
import { mustEqual, mustKeep } from './must-equal.ts';
import { outageCases, STORE_OPTIONS, type StoreContractOptions } from './store-outages.ts';

/** Options of {@link metastoreContract}. */
export interface MetastoreContractOptions extends StoreContractOptions<Metastore> {
  /**
   * The longest ID that the cases use, for a store that cannot hold every ID. Default: an ID of 2,048 bytes with
   * control and format characters, including U+0000.
   */
  readonly longId?: string;
  /**
   * The latest date that the cases use, in seconds since 1970, for a store that cannot hold later dates. Default: the
   * end of the year 9999.
   */
  readonly lastDate?: number;
}

const OPTIONS: Types<MetastoreContractOptions> = {
  ...STORE_OPTIONS,
  longId: optional(STRING),
  lastDate: optional(NUMBER),
};
const NAMES = { service: 'contract', product: 'keyfold' };
const deadline = noDeadline();
const { id: ID, created: CREATED } = keyMeta('_SK_outage', 60);

/**
 * The contract of every `Metastore`, as test cases for any test framework. Each case uses its own ids, so all cases can
 * share one store. The store must be empty before the first case.
 * @param open makes the plug-in. The cases treat each plug-in as a separate process, so all plug-ins must share one
 * store.
 * @example
 * import { it } from 'vitest';
 * import { metastoreContract } from 'keyfold/testing';
 *
 * for (const { name, run } of metastoreContract(() => new MyMetastore(options))) it(name, run);
 * @throws TypeError for an argument of the wrong type or an unknown option
 */
export function metastoreContract(open: Opener<Metastore>, options: MetastoreContractOptions = {}): ContractCase[] {
  const { longId = LONG_ID, lastDate = TOMBSTONE_CREATED, ...faults } = checkedOptions(open, options, OPTIONS);
  return [
    {
      name: 'loads a record with the values that were stored',
      run: async () => {
        const metastore = await open();
        const system = keyRecord('_SK_fields', 60, { proof: Buffer.alloc(32, 3) });
        const intermediate = keyRecord('_IK_ü_fields', 120, { parent: keyMeta('_SK_fields', 60), revoked: true });
        assert.equal(await metastore.store(system, deadline), 'stored');
        assert.equal(await metastore.store(intermediate, deadline), 'stored');
        const other = await open();
        mustEqual(await other.load(system.id, system.created, deadline), system);
        mustEqual(await other.load(intermediate.id, intermediate.created, deadline), intermediate);
      },
    },
    {
      name: 'loads no record for a different ID or date',
      run: async () => {
        const metastore = await open();
        const record = keyRecord('_SK_absent', 60);
        await metastore.store(record, deadline);
        assert.equal(await metastore.load(record.id, keyMeta('', 61).created, deadline), undefined);
        for (const id of ['_SK_other', '_SK_abs', '_sk_absent', '_SK_absent ']) {
          assert.equal(await metastore.load(keyMeta(id, 0).id, record.created, deadline), undefined, id);
          assert.equal(await metastore.loadLatest(keyMeta(id, 0).id, deadline), undefined, id);
        }
      },
    },
    {
      name: 'loads the record with the latest date, whatever the order in which records were stored',
      run: async () => {
        const metastore = await open();
        for (const created of [9, 1000, 200]) await metastore.store(keyRecord('_SK_latest', created), deadline);
        mustEqual(await metastore.loadLatest(keyMeta('_SK_latest', 0).id, deadline), keyRecord('_SK_latest', 1000));
      },
    },
    {
      name: 'loads the ten latest records up to a date, if it has loadRecent',
      run: async () => {
        const metastore = await open();
        if (metastore.loadRecent === undefined) return;
        const { id, created: last } = keyMeta('_SK_recent', 120);
        assert.deepEqual(await metastore.loadRecent(id, last, deadline), []);
        for (let created = 10; created <= 130; created += 10) {
          await metastore.store(keyRecord('_SK_recent', created), deadline);
        }
        const recent = await metastore.loadRecent(id, last, deadline);
        assert.deepEqual(
          recent.map(({ created }) => created),
          [120, 110, 100, 90, 80, 70, 60, 50, 40, 30],
        );
        mustEqual(recent[0], keyRecord('_SK_recent', 120));
      },
    },
    {
      name: 'reports a second record with the same ID and date as a duplicate, and keeps the first',
      run: async () => {
        const metastore = await open();
        const first = keyRecord('_SK_duplicate', 60);
        await metastore.store(first, deadline);
        const second = keyRecord('_SK_duplicate', 60, { encryptedKey: Buffer.from('another') });
        assert.equal(await metastore.store(second, deadline), 'duplicate');
        mustEqual(await metastore.load(first.id, first.created, deadline), first);
      },
    },
    {
      name: 'shows a stored record at once to every process, even to one that has just found none',
      run: async () => {
        const [writer, reader] = [await open(), await open()];
        const { id } = keyMeta('_SK_consistent', 0);
        for (let created = 60; created <= 600; created += 60) {
          const record = keyRecord(id, created);
          assert.equal(await reader.load(id, record.created, deadline), undefined);
          assert.equal((await reader.loadLatest(id, deadline))?.created, created === 60 ? undefined : created - 60);
          await writer.store(record, deadline);
          mustEqual(await reader.load(id, record.created, deadline), record);
          mustEqual(await reader.loadLatest(id, deadline), record);
        }
      },
    },
    {
      name: 'keeps every byte of a sealed key of 16 KiB',
      run: async () => {
        const record = keyRecord('_SK_large', 60, {
          encryptedKey: Buffer.from(Array.from({ length: 16_384 }, (_, i) => i)),
        });
        assert.equal(await (await open()).store(record, deadline), 'stored');
        mustEqual(await (await open()).load(record.id, record.created, deadline), record);
      },
    },
    {
      name: 'stores only one of many concurrent records with the same ID and date',
      run: async () => {
        const [first, second] = [await open(), await open()];
        const records = Array.from({ length: 20 }, (_, i) =>
          keyRecord('_SK_race', 60, { encryptedKey: Buffer.from(`key ${i}`) }),
        );
        const stores = records.map((record, i) => (i % 2 === 0 ? first : second).store(record, deadline));
        const outcomes = await Promise.all(stores);
        assert.equal(outcomes.filter((outcome) => outcome === 'stored').length, 1);
        assert.equal(outcomes.filter((outcome) => outcome === 'duplicate').length, 19);
        const kept = records[outcomes.indexOf('stored')];
        mustEqual(await first.loadLatest(keyMeta('_SK_race', 60).id, deadline), kept);
      },
    },
    {
      name: 'copies the sealed key, so that a caller may overwrite the array later',
      run: async () => {
        const metastore = await open();
        const record = keyRecord('_SK_kept', 60);
        await metastore.store(record, deadline);
        record.encryptedKey.fill(0);
        mustEqual(await metastore.load(record.id, record.created, deadline), keyRecord('_SK_kept', 60));
      },
    },
    {
      name: 'keeps each row as it was stored if a caller changes a record that it has loaded',
      run: async () => {
        const metastore = await open();
        const stored = keyRecord('_IK_loaded', 60, { parent: keyMeta('_SK_loaded', 60), proof: Buffer.alloc(32, 1) });
        await metastore.store(stored, deadline);
        await mustKeep(stored, () => metastore.load(stored.id, stored.created, deadline));
        await mustKeep(stored, () => metastore.loadLatest(stored.id, deadline));
        if (metastore.loadRecent === undefined) return;
        await mustKeep(stored, async () => (await metastore.loadRecent?.(stored.id, stored.created, deadline))?.[0]);
      },
    },
    {
      name: 'lets two processes that race for their first keys open the records of each other',
      run: async () => {
        const kms = new StaticKms(Buffer.alloc(32, 7), {});
        const process = async (): Promise<SessionFactory> =>
          new SessionFactory({ ...NAMES, kms, metastore: await open() });
        const [first, second] = [(await process()).session('tenant'), (await process()).session('tenant')];
        const records = await Promise.all([first, second].map((session) => session.encrypt(Buffer.from('hello'))));
        for (const session of [first, second, (await process()).session('tenant')]) {
          for (const record of records) assert.equal((await session.decrypt(record)).toString(), 'hello');
        }
      },
    },
    ...idAndDateCases(open, longId, lastDate),
    ...outageCases(open, faults, CALLS),
  ];
}

const CALLS: readonly Call<Metastore>[] = [
  ['store', (metastore, by) => metastore.store(keyRecord('_SK_outage', 60), by)],
  ['load', (metastore, by) => metastore.load(ID, CREATED, by)],
  ['loadLatest', (metastore, by) => metastore.loadLatest(ID, by)],
  ['loadRecent', (metastore, by) => metastore.loadRecent?.(ID, CREATED, by)],
];
