import assert from 'node:assert/strict';
import type { Metastore } from '../envelope/ports.ts';
import type { SystemKeyStore } from '../maintenance/system-key-maintenance.ts';
import { checkedOptions, type Call, type ContractCase, type Opener } from './contract-case.ts';
import { noDeadline } from '../async/deadline.ts';
import { keyMeta, keyRecord } from './key-record.ts';
import { mustEqual, mustKeep } from './must-equal.ts';
import { outageCases, STORE_OPTIONS, type StoreContractOptions } from './store-outages.ts';

const deadline = noDeadline();

function bytesOf(created: number): Buffer {
  return Buffer.alloc(1000, created);
}

/**
 * The contract of a metastore that `SystemKeyMaintenance` can use, as test cases for any test framework. Such a
 * metastore also passes `metastoreContract`.
 * @param open makes a new instance of the metastore. The cases treat each instance as a separate process, so all
 * instances must use the same store.
 * @example
 * import { it } from 'vitest';
 * import { systemKeyStoreContract } from 'keyfold/testing';
 *
 * for (const { name, run } of systemKeyStoreContract(() => new MyMetastore(options))) it(name, run);
 * @throws TypeError for an argument of the wrong type or an unknown option
 */
export function systemKeyStoreContract(
  open: Opener<Metastore & SystemKeyStore>,
  options: StoreContractOptions<Metastore & SystemKeyStore> = {},
): ContractCase[] {
  const faults = checkedOptions(open, options, STORE_OPTIONS);
  return [
    {
      name: 'lists all rows of an ID, latest first',
      run: async () => {
        const metastore = await open();
        const times = Array.from({ length: 30 }, (_, i) => 60 * (i + 1));
        const stored = times.map((created) =>
          metastore.store(keyRecord('_SK_rows', created, { encryptedKey: bytesOf(created) }), deadline),
        );
        await Promise.all(stored);
        await metastore.store(keyRecord('_SK_rows_of_another', 60), deadline);
        const rows = await metastore.rows(keyMeta('_SK_rows', 0).id, deadline);
        assert.deepEqual(
          rows.map((row) => row.created),
          times.toReversed(),
        );
        const oldest = rows.at(-1);
        assert.ok(oldest !== undefined && 'encryptedKey' in oldest, 'a row that parses is a record');
        mustEqual(oldest, keyRecord('_SK_rows', 60, { encryptedKey: bytesOf(60) }));
      },
    },
    {
      name: 'replaces a sealed key only if it has not changed, and keeps the rest of the row',
      run: async () => {
        const metastore = await open();
        const record = keyRecord('_SK_replace', 60, { revoked: true, proof: Buffer.alloc(32, 3) });
        await metastore.store(record, deadline);
        assert.equal(await metastore.replaceKey(record, Buffer.from('renewed'), deadline), 'replaced');
        const renewed = { ...record, encryptedKey: Buffer.from('renewed') };
        mustEqual(await metastore.load(record.id, record.created, deadline), renewed);
        assert.equal(await metastore.replaceKey(record, Buffer.from('late'), deadline), 'changed');
        mustEqual(await metastore.load(record.id, record.created, deadline), renewed);
      },
    },
    {
      name: 'shows a replaced key at once to every process',
      run: async () => {
        const [writer, reader] = [await open(), await open()];
        const record = keyRecord('_SK_replaced', 60);
        await writer.store(record, deadline);
        for (let i = 0; i < 5; i += 1) {
          const present = await reader.load(record.id, record.created, deadline);
          assert.ok(present !== undefined, 'the row must be there');
          const renewed = Buffer.from(`renewed ${i}`);
          assert.equal(await writer.replaceKey(present, renewed, deadline), 'replaced');
          const expected = { ...record, encryptedKey: renewed };
          mustEqual(await reader.load(record.id, record.created, deadline), expected);
          mustEqual(await reader.loadLatest(record.id, deadline), expected);
        }
      },
    },
    {
      name: 'copies the renewed key, so that a caller may overwrite the array later',
      run: async () => {
        const metastore = await open();
        const record = keyRecord('_SK_copies', 60);
        await metastore.store(record, deadline);
        const renewed = Buffer.from('renewed');
        assert.equal(await metastore.replaceKey(record, renewed, deadline), 'replaced');
        renewed.fill(0);
        const kept = await metastore.load(record.id, record.created, deadline);
        assert.equal(Buffer.from(kept?.encryptedKey ?? []).toString(), 'renewed');
      },
    },
    {
      name: 'keeps each row as it was stored if a caller changes a row that it has listed',
      run: async () => {
        const metastore = await open();
        const stored = keyRecord('_SK_listed', 60);
        await metastore.store(stored, deadline);
        await mustKeep(stored, async () => {
          const [row] = await metastore.rows(stored.id, deadline);
          assert.ok(row !== undefined && 'encryptedKey' in row, 'a row that parses is a record');
          return row;
        });
      },
    },
    {
      name: 'creates no row if the row whose key it should replace is absent',
      run: async () => {
        const metastore = await open();
        const record = keyRecord('_SK_replace_absent', 60);
        assert.equal(await metastore.replaceKey(record, Buffer.from('renewed'), deadline), 'changed');
        assert.equal(await metastore.load(record.id, record.created, deadline), undefined);
      },
    },
    {
      name: 'accepts only one of many concurrent replacements of a key',
      run: async () => {
        const [metastore, other] = [await open(), await open()];
        const record = keyRecord('_SK_replace_race', 60);
        await metastore.store(record, deadline);
        const outcomes = await Promise.all(
          Array.from({ length: 10 }, (_, i) =>
            (i % 2 === 0 ? metastore : other).replaceKey(record, Buffer.from(`new ${i}`), deadline),
          ),
        );
        assert.equal(outcomes.filter((outcome) => outcome === 'replaced').length, 1);
        const kept = await metastore.load(record.id, record.created, deadline);
        assert.equal(Buffer.from(kept?.encryptedKey ?? []).toString(), `new ${outcomes.indexOf('replaced')}`);
      },
    },
    ...outageCases(open, faults, CALLS),
  ];
}

const RECORD = keyRecord('_SK_store_outage', 60);
const CALLS: readonly Call<SystemKeyStore>[] = [
  ['replaceKey', (store, by) => store.replaceKey(RECORD, Buffer.from('renewed'), by)],
  ['rows', (store, by) => store.rows(RECORD.id, by)],
];
