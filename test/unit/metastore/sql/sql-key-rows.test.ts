import { expect, it } from 'vitest';
import type { KeyRow } from '../../../../src/index.ts';
import { encodeKeyRecord } from '../../../../src/metastore/sql/key-record.ts';
import {
  findRow,
  keyRowsOf,
  type SqlCursor,
  type SqlPageRow,
  type SqlPages,
} from '../../../../src/metastore/sql/sql-key-rows.ts';
import type { SqlKeyTable, SqlSelection } from '../../../../src/metastore/sql/sql-metastore.ts';
import { keyRecord } from '../../../../src/testing/key-record.ts';

async function found(table: SqlPages): Promise<KeyRow[]> {
  const rows: KeyRow[] = [];
  for await (const row of keyRowsOf(table)) rows.push(row);
  return rows;
}

it.for([
  [0, 1],
  [499, 1],
  [500, 2],
  [1001, 3],
] as const)('all %i rows of an SQL table are read, in pages of 500 (pages: %i)', async ([count, pages]) => {
  const records = Array.from({ length: count }, (_, i) => keyRecord('_SK_svc_prod', 60 * i));
  const rows = records.map((record): SqlPageRow => {
    const { id, created } = record;
    return { id, created, date: String(created), text: encodeKeyRecord(record) };
  });
  const asked: (string | undefined)[] = [];
  const page = async (after: SqlCursor | undefined, limit: number): Promise<SqlPageRow[]> => {
    asked.push(after?.date);
    const from = after === undefined ? 0 : rows.findIndex(({ date }) => date === after.date) + 1;
    return rows.slice(from, from + limit);
  };
  expect(await found({ page })).toEqual(records);
  expect(asked).toEqual(Array.from({ length: pages }, (_, i) => (i === 0 ? undefined : String(60 * (500 * i - 1)))));
});

it('rows of an SQL table are left out if their IDs are not IDs of keys', async () => {
  const rows: SqlPageRow[] = [
    { id: 'config', created: 0, date: '0', text: '{}' },
    { id: '_IK_p_svc_prod', created: 60, date: '60', text: '{' },
  ];
  expect(await found({ page: async () => rows })).toMatchObject([
    { id: '_IK_p_svc_prod', unreadable: expect.any(String) as string },
  ]);
});

it('a row of an SQL table is searched for by its date, and among all rows of its ID only if that finds nothing', async () => {
  const id = '_IK_p_svc_prod';
  const row = { created: 60, date: '60', text: '{}' };
  const asked: SqlSelection[] = [];
  const select = async (selection: SqlSelection): Promise<(typeof row)[]> => {
    asked.push(selection);
    return selection.created === 61 ? [] : [row];
  };
  const table = { select } as unknown as SqlKeyTable;
  for (const created of [60, 61, undefined]) expect(await findRow(table, id, created, () => true)).toBe(row);
  expect(await findRow(table, id, 60, () => false)).toBeUndefined();
  const dated = { id, created: 60, limit: 1 };
  expect(asked).toEqual([dated, { id, created: 61, limit: 1 }, { id }, { id }, dated, { id }]);
});
