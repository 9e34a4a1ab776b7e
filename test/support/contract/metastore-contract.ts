import { describe, expect, it } from 'vitest';
import type { EnvelopeKeyRecord, KeyMeta, Metastore, SystemKeyStore } from '../../../src/index.ts';
import { noDeadline } from '../fakes.ts';

/** An ordinary key record, with some members replaced. */
export function keyRecord(id: string, created: number, changes: Partial<EnvelopeKeyRecord> = {}): EnvelopeKeyRecord {
  return { ...meta(id, created), encryptedKey: Buffer.from(`key ${created}`), revoked: false, ...changes };
}

function meta(id: string, created: number): KeyMeta {
  return { id: id as KeyMeta['id'], created: created as KeyMeta['created'] };
}

/** An id of 2,048 bytes with control and format characters. */
export const LONG_ID = '_IK_\0\n\u001b\u0085\u202e\u2028\ufeff\ufffe\u{e0001}'.padEnd(2037, 'x');

/**
 * The contract of every metastore. Each test uses its own ids.
 * @param longId an id that the store can hold, for stores that cannot hold {@link LONG_ID}
 */
export function metastoreContract(name: string, open: () => Metastore & SystemKeyStore, longId = LONG_ID): void {
  describe(`${name} as a metastore`, () => {
    const deadline = noDeadline();

    it('loads a record with the values that were stored', async () => {
      const metastore = open();
      const system = keyRecord('_SK_fields', 60);
      const intermediate = keyRecord('_IK_ü_fields', 120, { parent: meta('_SK_fields', 60), revoked: true });
      expect(await metastore.store(system, deadline)).toBe('stored');
      expect(await metastore.store(intermediate, deadline)).toBe('stored');
      expect(await metastore.load(system.id, system.created, deadline)).toEqual(system);
      expect(await metastore.load(intermediate.id, intermediate.created, deadline)).toEqual(intermediate);
    });

    it('loads a record with an id of 2,048 bytes that contains control and format characters', async () => {
      const metastore = open();
      const record = keyRecord(longId, 60, { parent: meta('_SK_long', 60) });
      expect(Buffer.byteLength(longId)).toBe(2048);
      expect(await metastore.store(record, deadline)).toBe('stored');
      expect(await metastore.load(record.id, record.created, deadline)).toEqual(record);
      expect(await metastore.loadLatest(record.id, deadline)).toEqual(record);
    });

    it('loads no record for another ID or another date', async () => {
      const metastore = open();
      const record = keyRecord('_SK_absent', 60);
      await metastore.store(record, deadline);
      expect(await metastore.load(record.id, keyRecord('', 61).created, deadline)).toBeUndefined();
      expect(await metastore.load(keyRecord('_SK_other', 60).id, record.created, deadline)).toBeUndefined();
      expect(await metastore.loadLatest(keyRecord('_SK_abs', 0).id, deadline)).toBeUndefined();
    });

    it('loads the record with the latest date, whatever the order in which records were stored', async () => {
      const metastore = open();
      for (const created of [9, 1000, 200]) await metastore.store(keyRecord('_SK_latest', created), deadline);
      const latest = await metastore.loadLatest(keyRecord('_SK_latest', 0).id, deadline);
      expect(latest?.created).toBe(1000);
    });

    it('loads the ten latest records up to a date', async () => {
      const metastore = open();
      const { id } = keyRecord('_SK_recent', 0);
      expect(await metastore.loadRecent?.(id, keyRecord('', 1000).created, deadline)).toEqual([]);
      for (let created = 10; created <= 130; created += 10) {
        await metastore.store(keyRecord('_SK_recent', created), deadline);
      }
      const recent = (await metastore.loadRecent?.(id, keyRecord('', 120).created, deadline)) ?? [];
      expect(recent.map(({ created }) => created)).toEqual([120, 110, 100, 90, 80, 70, 60, 50, 40, 30]);
      expect(recent[0]).toEqual(keyRecord('_SK_recent', 120));
    });

    it('reports a second record with the same ID and date as a duplicate, and keeps the first', async () => {
      const metastore = open();
      const first = keyRecord('_SK_duplicate', 60);
      await metastore.store(first, deadline);
      const second = keyRecord('_SK_duplicate', 60, { encryptedKey: Buffer.from('another') });
      expect(await metastore.store(second, deadline)).toBe('duplicate');
      expect(await metastore.load(first.id, first.created, deadline)).toEqual(first);
    });

    it('lists all rows of an ID, latest first', async () => {
      const metastore = open();
      const times = Array.from({ length: 30 }, (_, i) => 60 * (i + 1));
      const stored = times.map((created) =>
        metastore.store(keyRecord('_SK_rows', created, { encryptedKey: Buffer.alloc(1000, created) }), deadline),
      );
      await Promise.all(stored);
      await metastore.store(keyRecord('_SK_rows_of_another', 60), deadline);
      const rows = await metastore.rows(keyRecord('_SK_rows', 0).id, deadline);
      expect(rows.map((row) => row.created)).toEqual(times.toReversed());
      expect(rows.at(-1)).toEqual(keyRecord('_SK_rows', 60, { encryptedKey: Buffer.alloc(1000, 60) }));
    });

    it('replaces a sealed key only if it has not changed, and keeps the rest of the row', async () => {
      const metastore = open();
      const record = keyRecord('_SK_replace', 60, { revoked: true });
      await metastore.store(record, deadline);
      expect(await metastore.replaceKey(record, Buffer.from('renewed'), deadline)).toBe('replaced');
      const renewed = { ...record, encryptedKey: Buffer.from('renewed') };
      expect(await metastore.load(record.id, record.created, deadline)).toEqual(renewed);
      expect(await metastore.replaceKey(record, Buffer.from('late'), deadline)).toBe('changed');
      expect(await metastore.load(record.id, record.created, deadline)).toEqual(renewed);
    });

    it('copies the sealed key, so that a caller may overwrite the array later', async () => {
      const metastore = open();
      const record = keyRecord('_SK_copies', 60, { encryptedKey: Buffer.from('first') });
      await metastore.store(record, deadline);
      record.encryptedKey.fill(0);
      const stored = keyRecord('_SK_copies', 60, { encryptedKey: Buffer.from('first') });
      expect(await metastore.load(record.id, record.created, deadline)).toEqual(stored);
      const renewed = Buffer.from('renewed');
      expect(await metastore.replaceKey(stored, renewed, deadline)).toBe('replaced');
      renewed.fill(0);
      const kept = await metastore.load(record.id, record.created, deadline);
      expect(Buffer.from(kept?.encryptedKey ?? []).toString()).toBe('renewed');
    });

    it('keeps each row as it was stored if a caller changes a record that it has loaded', async () => {
      const metastore = open();
      const proof = Buffer.alloc(32, 1);
      const stored = keyRecord('_IK_loaded', 60, { parent: meta('_SK_loaded', 60), proof });
      await metastore.store(stored, deadline);
      const loads = [
        () => metastore.load(stored.id, stored.created, deadline),
        () => metastore.loadLatest(stored.id, deadline),
        async () => (await metastore.loadRecent?.(stored.id, stored.created, deadline))?.[0],
        async () => (await metastore.rows(stored.id, deadline))[0] as EnvelopeKeyRecord | undefined,
      ];
      for (const load of loads) {
        const loaded = await load();
        expect(loaded).toEqual(stored);
        loaded?.encryptedKey.fill(0);
        loaded?.proof?.fill(0);
        Object.assign(loaded ?? {}, { revoked: true });
        Object.assign(loaded?.parent ?? {}, { created: 1 });
        expect(await load()).toEqual(stored);
      }
    });

    it('creates no row if the row whose key it should replace is absent', async () => {
      const metastore = open();
      const record = keyRecord('_SK_replace_absent', 60);
      expect(await metastore.replaceKey(record, Buffer.from('renewed'), deadline)).toBe('changed');
      expect(await metastore.load(record.id, record.created, deadline)).toBeUndefined();
    });

    it('accepts only one of many concurrent replacements of a key', async () => {
      const metastore = open();
      const record = keyRecord('_SK_replace_race', 60);
      await metastore.store(record, deadline);
      const outcomes = await Promise.all(
        Array.from({ length: 10 }, (_, i) => metastore.replaceKey(record, Buffer.from(`${i}`), deadline)),
      );
      expect(outcomes.filter((outcome) => outcome === 'replaced')).toHaveLength(1);
      const kept = await metastore.load(record.id, record.created, deadline);
      expect(Buffer.from(kept?.encryptedKey ?? []).toString()).toBe(String(outcomes.indexOf('replaced')));
    });

    it('stores only one of many concurrent records with the same ID and date', async () => {
      const metastore = open();
      const records = Array.from({ length: 20 }, (_, i) =>
        keyRecord('_SK_race', 60, { encryptedKey: Buffer.from(`${i}`) }),
      );
      const outcomes = await Promise.all(records.map((record) => metastore.store(record, deadline)));
      expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(1);
      const kept = records[outcomes.indexOf('stored')];
      expect(await metastore.loadLatest(keyRecord('_SK_race', 60).id, deadline)).toEqual(kept);
    });
  });
}
