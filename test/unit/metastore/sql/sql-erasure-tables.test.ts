/** Erasures in SQL, on a table in memory. test/peers runs whole erasures on real servers. */
import { describe, expect, it } from 'vitest';
import type { EnvelopeKeyRecord, KeyRow } from '../../../../src/index.ts';
import type { RegisteredErasure } from '../../../../src/maintenance/erasure-table.ts';
import {
  decodeKeyRow,
  encodeKeyRecord,
  erasedMember,
  MAX_KEY_RECORD_CHARACTERS,
  withMembers,
  type SqlKeyRow,
} from '../../../../src/metastore/sql/key-record.ts';
import { SqlErasureTables } from '../../../../src/metastore/sql/sql-erasure-tables.ts';
import { registerIdOf } from '../../../../src/records/ids.ts';
import { errorOf } from '../../../support/fakes.ts';
import { keyRecord } from '../../../../src/testing/key-record.ts';

const NAMES = { service: 'svc', product: 'prod' };
const KEY = keyRecord('_IK_tenant_svc_prod', 60);
const SECOND = (seconds: number) => keyRecord('', seconds).created;
const MARK = { erase: 'e1', at: SECOND(100), due: SECOND(200), proof: Buffer.alloc(32, 7) };
const ENTRY = { partition: 'tenant', erase: 'e1', at: SECOND(100), due: SECOND(200) } as unknown as RegisteredErasure;

interface StoredRow extends SqlKeyRow {
  readonly id: string;
  text: string | null;
}

/** A key table in memory, with the contract of SqlKeyTable and SqlPages. */
function openTables(rows: StoredRow[] = [], hides: readonly StoredRow[] = [], inspection = {}) {
  const read = { rows: 0 };
  const unchanged = (id: string, { date, text }: SqlKeyRow) =>
    rows.findIndex((row) => row.id === id && row.date === date && row.text === text);
  const table = {
    select: async ({ id, created }: { id: string; created?: number }) => {
      const found = rows.filter((row) => row.id === id && (created === undefined || row.date === String(created)));
      read.rows += found.length;
      return structuredClone(found);
    },
    insert: async (id: string, created: number, text: string) => {
      if ([...rows.filter((row) => row.id === id), ...hides].some((row) => row.created === created)) return 'duplicate';
      rows.push({ id, created, date: String(created), text });
      return 'stored';
    },
    replace: async (id: string, from: SqlKeyRow, to: string) => {
      const row = rows[unchanged(id, from)];
      if (row !== undefined) row.text = to;
      return row !== undefined;
    },
    remove: async (id: string, from: SqlKeyRow) => {
      const index = unchanged(id, from);
      return index >= 0 && rows.splice(index, 1).length === 1;
    },
    page: async () => rows,
  };
  const inspect = async () => inspection;
  const tables = new SqlErasureTables({ table, inspect, called: 'PostgreSQL at h:1' } as never, NAMES);
  return { rows, read, tables, table: tables.at(), register: tables.register };
}

const rowOf = (record: EnvelopeKeyRecord): StoredRow => ({
  id: record.id,
  created: record.created,
  date: String(record.created),
  text: encodeKeyRecord(record),
});

describe('the register of erasures in SQL', () => {
  it('lists, updates and removes an entry', async () => {
    const { register, rows } = openTables();
    expect(await register.add(ENTRY)).toBe(true);
    expect(await register.list()).toEqual([{ ...ENTRY, deletedAt: undefined }]);
    await register.update({ ...ENTRY, deletedAt: 300 });
    expect(await register.list()).toEqual([{ ...ENTRY, deletedAt: 300 }]);
    await register.remove(ENTRY);
    expect(rows).toEqual([]);
  });

  it('refuses a second erasure in the same second', async () => {
    const { register } = openTables();
    await register.add(ENTRY);
    expect(await register.add({ ...ENTRY, erase: 'e2' })).toBe(false);
    expect(await register.list()).toMatchObject([{ erase: 'e1' }]);
  });

  it('writes entries that Asherah can read as revoked keys', async () => {
    const { register, rows } = openTables();
    await register.add(ENTRY);
    const [row] = rows as [StoredRow];
    expect(row.id).toBe(registerIdOf(NAMES));
    expect(decodeKeyRow(KEY.id, row)).toMatchObject({ created: 100, revoked: true });
    await register.update({ ...ENTRY, deletedAt: 300 });
    const { partition, erase, due } = ENTRY;
    const members = { Partition: partition, Erase: erase, Due: due, DeletedAt: 300 };
    expect(row.text).toBe(JSON.stringify({ Created: 100, Key: 'AA==', Revoked: true, ...members }));
  });

  it('does nothing if the entry to update or to remove is absent', async () => {
    const { register, rows } = openTables();
    await register.update(ENTRY);
    await register.remove(ENTRY);
    expect(rows).toEqual([]);
  });

  it.for(['Partition', 'Erase', 'Due'])('does not list an entry without the member %s', async (member) => {
    const { register, rows } = openTables();
    await register.add(ENTRY);
    const [row] = rows as [StoredRow];
    row.text = withMembers(String(row.text), { [member]: undefined });
    expect(await register.list()).toEqual([]);
  });
});

it('the register of erasures in SQL does not list rows that are malformed', async () => {
  const { register, rows } = openTables();
  await register.add(ENTRY);
  const [row] = rows as [StoredRow];
  rows.push({ ...row, created: undefined, date: '7.5' }, { ...row, text: '{' });
  expect(await register.list()).toEqual([{ ...ENTRY, deletedAt: undefined }]);
});

describe('an erasure in SQL', () => {
  it("counts the database as the only region, and reports that it cannot list the database's copies", async () => {
    const { tables } = openTables();
    expect(await tables.regions()).toEqual(['PostgreSQL at h:1']);
    expect(await tables.copies('PostgreSQL at h:1')).toEqual([
      {
        kind: 'unknown',
        region: 'PostgreSQL at h:1',
        text: 'the backups, logs and replicas of a database cannot be listed',
      },
    ]);
  });

  it("compares the clock with the database's, and names the fault if the database does not respond", async () => {
    const ahead = openTables([], [], { answer: { clockOffsetMs: 7 } });
    expect(await ahead.tables.clockOffsetMs()).toBe(7);
    const down = openTables([], [], { fault: { name: 'ECONNREFUSED', address: undefined } });
    const error = await errorOf(down.tables.clockOffsetMs());
    expect(error).toMatchObject({ code: 'MetastoreUnavailable' });
    expect(String((error as Error).cause)).toBe('Error: PostgreSQL at h:1 table encryption_key: ECONNREFUSED');
  });

  it('reads the rows of an ID, and the rows whose IDs begin with a prefix', async () => {
    const other = keyRecord('_IK_other_svc_prod', 60);
    const { table } = openTables([rowOf(KEY), rowOf(other)]);
    expect(await table.rows({ id: KEY.id })).toEqual([KEY]);
    expect(await table.rows({ prefixes: ['_IK_tenant_', '_IK_none_'] })).toEqual([KEY]);
  });

  it('marks a row and revokes its key, and removes the mark again', async () => {
    const { table, rows } = openTables([rowOf(KEY)]);
    await table.mark(KEY, MARK);
    const marked = { ...KEY, erased: MARK, revoked: true };
    expect(await table.rows({ id: KEY.id })).toEqual([marked]);
    await table.mark(marked, undefined);
    expect(await table.rows({ id: KEY.id })).toEqual([{ ...KEY, revoked: true }]);
    expect(rows).toHaveLength(1);
  });

  it('reads each row of an ID once to mark it, and once to delete it', async () => {
    const keys = Array.from({ length: 100 }, (_, i) => keyRecord(KEY.id, 60 * (i + 1)));
    const { table, rows, read } = openTables(keys.map(rowOf));
    for (const key of keys) await table.mark(key, MARK);
    for (const key of keys) await table.remove({ ...key, erased: MARK, revoked: true });
    expect([rows, read.rows]).toEqual([[], 200]);
  });

  it('deletes a row even if the database does not find the row by its date', async () => {
    const { table, rows } = openTables([{ ...rowOf(KEY), date: '2026-10-25 02:30:00' }]);
    await table.remove(KEY);
    expect(rows).toEqual([]);
  });

  it.for([
    ['the sealed key', { encryptedKey: Buffer.from('other') }],
    ['the mark', { erased: { ...MARK, erase: 'another' } }],
    ['the date', { created: SECOND(61) }],
  ] as const)('neither marks nor deletes a row if %s has changed since it was read', async ([, changes]) => {
    const { table, rows } = openTables([rowOf(KEY)]);
    const stale = { ...KEY, ...changes } as EnvelopeKeyRecord;
    await table.mark(stale, MARK);
    await table.remove(stale);
    expect(rows).toEqual([rowOf(KEY)]);
  });

  it('stores a tombstone with its mark', async () => {
    const { table } = openTables();
    await table.store({ ...KEY, erased: MARK });
    await table.store({ ...KEY, erased: MARK });
    expect(await table.rows({ id: KEY.id })).toEqual([{ ...KEY, erased: MARK }]);
  });

  it('replaces a tombstone, unless it has changed since it was read', async () => {
    const { table } = openTables([rowOf(KEY)]);
    const erased = { ...MARK, proof: Buffer.alloc(32, 9) };
    await table.store({ ...KEY, erased }, { ...KEY, erased: MARK });
    expect(await table.rows({ id: KEY.id })).toEqual([KEY]);
    await table.store({ ...KEY, erased }, KEY);
    expect(await table.rows({ id: KEY.id })).toEqual([{ ...KEY, erased }]);
  });

  it('reports a collation that makes two partitions equal', async () => {
    const hidden = rowOf(keyRecord('_IK_TENANT_svc_prod', 60));
    const storing = openTables([], [hidden]).table.store(KEY);
    await expect(storing).rejects.toMatchObject({
      code: 'InvalidRequest',
      message:
        'The collation of the column id treats the partition as equal to another one, which is erased: use utf8mb4_bin.',
    });
  });

  it('reads a malformed mark as a mark without a valid proof', () => {
    const text = withMembers(encodeKeyRecord(KEY), { Erased: { Erase: 1, At: 'x', Proof: '*' } });
    const erased = { erase: '', at: 0, due: 0, proof: Buffer.alloc(0) };
    expect(decodeKeyRow(KEY.id, { ...rowOf(KEY), text })).toMatchObject({ erased });
    expect(erasedMember(MARK).Erased).toEqual({ Erase: 'e1', At: 100, Due: 200, Proof: MARK.proof.toString('base64') });
  });

  it.for([
    ['is not JSON', { text: 'not JSON' }],
    ['is NULL', { text: null }],
    ['is too long', { text: ' '.repeat(MAX_KEY_RECORD_CHARACTERS + 1) }],
    ['has a date that is not a whole number of seconds', { created: undefined, date: '60.5' }],
  ] as const)('deletes a row that %s, but no other row with its ID', async ([, changes]) => {
    const { table, rows } = openTables([rowOf(KEY), { ...rowOf(KEY), created: 61, date: '61', ...changes }]);
    const [, unreadable] = await table.rows({ id: KEY.id });
    await table.remove(unreadable as KeyRow);
    expect(rows).toEqual([rowOf(KEY)]);
  });

  it.for([
    ['has become readable', encodeKeyRecord(KEY)],
    ['has become unreadable for another reason', encodeKeyRecord({ ...KEY, created: SECOND(120) })],
  ])('does not delete a row that %s since it was read', async ([, text]) => {
    const { table, rows } = openTables([{ ...rowOf(KEY), text: null }]);
    const [unreadable] = await table.rows({ id: KEY.id });
    (rows[0] as StoredRow).text = text as string;
    await table.remove(unreadable as KeyRow);
    expect(rows).toHaveLength(1);
  });
});

it.for(['add', 'update', 'remove'] as const)(
  'the register of erasures in SQL fails to %s an entry in an outage',
  async (verb) => {
    const { register, rows } = openTables();
    await register.add(ENTRY);
    const outage = new Error('the database is down');
    const fails = () => Promise.reject(outage);
    const table = { select: async () => rows, insert: fails, replace: fails, remove: fails };
    const failing = new SqlErasureTables({ table } as never, NAMES).register;
    expect(await errorOf(failing[verb](ENTRY))).toBe(outage);
  },
);
