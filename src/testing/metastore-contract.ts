import assert from 'node:assert/strict';
import { optional, STRING, type Types } from '../input/checks.ts';
import { SessionFactory } from '../envelope/session-factory.ts';
import type { EnvelopeKeyRecord, Metastore } from '../envelope/ports.ts';
import { StaticKms } from '../kms/static-kms.ts';
import {
  checkedOptions,
  CONTRACT_OPTIONS,
  mustFailWith,
  mustHonourAbort,
  type ContractCase,
  type ContractOptions,
  type Opener,
} from './contract-case.ts';
import { noDeadline } from './hand-clock.ts';
import { keyMeta, keyRecord, LONG_ID } from './key-record.ts';

/** Options of {@link metastoreContract}. */
export interface MetastoreContractOptions extends ContractOptions<Metastore> {
  /**
   * The longest ID that the cases use, for a store that cannot hold every ID. Default: an ID of 2,048 bytes with
   * control and format characters, including U+0000.
   */
  readonly longId?: string;
}

const OPTIONS: Types<MetastoreContractOptions> = { ...CONTRACT_OPTIONS, longId: optional(STRING) };
const NAMES = { service: 'contract', product: 'keyfold' };
const deadline = noDeadline();

/**
 * The contract of every `Metastore`, as test cases for any test framework. Each case uses its own ids, so all
 * cases can share one store. The store must be empty before the first case.
 * @param open makes the plug-in. Each call stands for a separate process on the same store.
 * @example
 * import { it } from 'vitest';
 * import { metastoreContract } from 'keyfold/testing';
 *
 * for (const { name, run } of metastoreContract(() => new MyMetastore(options))) it(name, run);
 * @throws TypeError if an argument is not a function
 */
export function metastoreContract(open: Opener<Metastore>, options: MetastoreContractOptions = {}): ContractCase[] {
  const { openFailing, longId = LONG_ID } = checkedOptions(open, options, OPTIONS);
  const cases: ContractCase[] = [
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
      name: 'loads a record with a long ID that contains control and format characters',
      run: async () => {
        const metastore = await open();
        const record = keyRecord(longId, 60, { parent: keyMeta('_SK_long', 60) });
        assert.equal(await metastore.store(record, deadline), 'stored');
        mustEqual(await metastore.load(record.id, record.created, deadline), record);
        mustEqual(await metastore.loadLatest(record.id, deadline), record);
      },
    },
    {
      name: 'loads no record for another ID or another date',
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
      name: 'answers a call under an aborted deadline, or rejects with the reason of its signal',
      run: async () => {
        const metastore = await open();
        const { id, created } = keyMeta('_SK_aborted', 60);
        await mustHonourAbort((by) => metastore.load(id, created, by), 'load');
        await mustHonourAbort((by) => metastore.loadLatest(id, by), 'loadLatest');
        await mustHonourAbort((by) => metastore.store(keyRecord('_SK_aborted', 60), by), 'store');
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
  ];
  if (openFailing === undefined) return cases;
  const outage: ContractCase = {
    name: 'rejects with MetastoreUnavailable if its store does not answer',
    run: async () => {
      const failing = await openFailing();
      const { id, created } = keyMeta('_SK_failing', 60);
      await mustFailWith(failing.load(id, created, deadline), 'load', ['MetastoreUnavailable']);
      await mustFailWith(failing.loadLatest(id, deadline), 'loadLatest', ['MetastoreUnavailable']);
      await mustFailWith(failing.store(keyRecord(id, created), deadline), 'store', ['MetastoreUnavailable']);
      const recent = failing.loadRecent?.(id, created, deadline);
      if (recent !== undefined) await mustFailWith(recent, 'loadRecent', ['MetastoreUnavailable']);
    },
  };
  return [...cases, outage];
}

/** Checks that a row stays the same if a caller changes the record that they have loaded. */
export async function mustKeep(
  stored: EnvelopeKeyRecord,
  load: () => Promise<EnvelopeKeyRecord | undefined>,
): Promise<void> {
  const loaded = await load();
  mustEqual(loaded, stored);
  loaded?.encryptedKey.fill(0);
  loaded?.proof?.fill(0);
  Object.assign(loaded ?? {}, { revoked: !stored.revoked });
  Object.assign(loaded?.parent ?? {}, { created: 1 });
  mustEqual(await load(), stored);
}

/** Checks that a loaded record has the same members as another record. Bytes may be any kind of Uint8Array. */
export function mustEqual(loaded: EnvelopeKeyRecord | undefined, expected: EnvelopeKeyRecord | undefined): void {
  assert.deepEqual(plain(loaded), plain(expected));
}

function plain(record: EnvelopeKeyRecord | undefined): object | undefined {
  if (record === undefined) return undefined;
  const { id, created, encryptedKey, parent, proof, revoked } = record;
  return {
    id,
    created,
    encryptedKey: Buffer.from(encryptedKey).toString('base64'),
    parent: parent && { id: parent.id, created: parent.created },
    proof: proof && Buffer.from(proof).toString('base64'),
    revoked,
  };
}
