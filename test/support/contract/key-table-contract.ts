import { describe, expect, it } from 'vitest';
import type { KeyTable } from '../../../src/maintenance/key-table.ts';
import type { Metastore } from '../../../src/index.ts';
import type { KeyItem } from '../../../src/metastore/dynamodb-item.ts';
import { noDeadline } from '../fakes.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';

/** One key table, opened as an operator, as a metastore and as a plain DynamoDB client. */
export interface TableUnderTest {
  readonly table: KeyTable;
  readonly metastore: Metastore;
  readonly put: (item: KeyItem) => Promise<void>;
}

/** The contract of every {@link KeyTable}. Each test uses its own IDs. */
export function keyTableContract(open: () => TableUnderTest): void {
  describe('the key table', () => {
    const deadline = noDeadline();

    it('finds a row by its ID and date, and the latest row of an ID', async () => {
      const { table, metastore } = open();
      const records = [9, 1000, 200].map((created) => keyRecord('_SK_find', created));
      for (const record of records) await metastore.store(record, deadline);
      expect(await table.find('_SK_find', 200)).toEqual(records[2]);
      expect(await table.find('_SK_find', 'latest')).toEqual(records[1]);
      expect(await table.find('_SK_find', 201)).toBeUndefined();
      expect(await table.find('_SK_fin', 'latest')).toBeUndefined();
    });

    it('lists only the rows with the given ID, latest first', async () => {
      const { table, metastore } = open();
      for (const created of [9, 1000, 200]) await metastore.store(keyRecord('_SK_list', created), deadline);
      await metastore.store(keyRecord('_SK_list_us-east-1', 5), deadline);
      expect((await table.list('_SK_list')).map((row) => row.created)).toEqual([1000, 200, 9]);
      expect(await table.list('_SK_nothing')).toEqual([]);
    });

    it('lists all rows, even if the table has many pages', async () => {
      const { table, metastore } = open();
      const big = { encryptedKey: Buffer.alloc(30_000) };
      const ofId = Array.from({ length: 40 }, (_, i) => keyRecord('_SK_pages', 60 * (i + 1), big));
      for (const record of ofId) await metastore.store(record, deadline);
      expect(await table.list('_SK_pages')).toEqual(ofId.toReversed());
      expect((await table.list()).filter((row) => row.id === '_SK_pages')).toHaveLength(40);
    });

    it('reports a row as unreadable if the row does not parse', async () => {
      const { table, put } = open();
      await put({ Id: { S: '_SK_broken-row' }, Created: { N: '60' }, KeyRecord: { S: 'CANARY' } });
      await put({ Id: { S: '__another_program__:1' }, Created: { N: '0.5' }, Guard: { S: 'CANARY' } });
      const broken = {
        id: '_SK_broken-row',
        created: 60,
        unreadable: 'The key row _SK_broken-row created 60 cannot be read: KeyRecord is missing or malformed.',
      };
      expect(await table.find('_SK_broken-row', 60)).toEqual(broken);
      expect(await table.find('_SK_broken-row', 'latest')).toEqual(broken);
      expect(await table.list('_SK_broken-row')).toEqual([broken]);
      const all = await table.list();
      expect(all).toContainEqual(broken);
      expect(all).toContainEqual({
        id: '__another_program__:1',
        created: undefined,
        rawCreated: '0.5',
        unreadable: expect.stringContaining('Created is missing or malformed') as string,
      });
    });

    it('revokes a row, even twice, and changes nothing else in the row', async () => {
      const { table, metastore } = open();
      const record = keyRecord('_IK_p_revoke', 60, { parent: keyRecord('_SK_revoke', 30) });
      const { id, created } = record;
      await metastore.store(record, deadline);
      await metastore.store(keyRecord('_IK_p_revoke', 61), deadline);
      const stored = await metastore.load(id, created, deadline);
      for (let i = 0; i < 2; i += 1) {
        expect(await table.revoke(record)).toBe('revoked');
        expect(await metastore.load(id, created, deadline)).toEqual({ ...stored, revoked: true });
      }
      expect((await metastore.loadLatest(id, deadline))?.revoked).toBe(false);
    });

    it('creates no row if the row to revoke is absent', async () => {
      const { table } = open();
      const record = keyRecord('_SK_revoke-absent', 60);
      expect(await table.revoke(record)).toBe('absent');
      expect(await table.find(record.id, record.created)).toBeUndefined();
    });
  });
}
