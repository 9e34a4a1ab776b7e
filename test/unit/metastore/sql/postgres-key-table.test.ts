/** The statements for PostgreSQL, on a stub driver. test/integration/sql runs the same statements on a database. */
import { describe, expect, it } from 'vitest';
import { PostgresKeyTable } from '../../../../src/metastore/sql/postgres-key-table.ts';
import { codeOf, errorOf, noDeadline } from '../../../support/fakes.ts';

interface Sent {
  readonly text: string;
  readonly values: readonly unknown[];
  readonly rowMode: string;
  readonly types: { getTypeParser: () => (text: string) => unknown };
}

const ID = '_SK_svc_prod';
const deadline = noDeadline();
const OF_ID = 'id = $1 AND id::text COLLATE "C" = $1';
const TEXT = 'left(key_record::text, 65536)';
const COLUMNS = `extract(epoch FROM created::timestamptz)::text, created::text, ${TEXT}`;
const SELECT = `SELECT ${COLUMNS} FROM encryption_key WHERE ${OF_ID}`;
const PAGE = `SELECT ${COLUMNS}, id::text FROM encryption_key`;
const DATE_AT = `coalesce((SELECT created FROM encryption_key WHERE ${OF_ID} AND created::text = $2), $3)`;
const IN_ORDER = 'ORDER BY encryption_key.id, encryption_key.created LIMIT';
const UNCHANGED = `WHERE ${OF_ID} AND created::text = $2 AND ${TEXT} COLLATE "C" IS NOT DISTINCT FROM $3`;
const ROW = { created: 60, date: '1970-01-01 00:01:00+00', text: '{"a":1}' };

/** A table whose driver gives the same rows and the same count for each query. */
function tableWith(rows: readonly (readonly (string | null)[])[], rowCount: number | null = rows.length) {
  const sent: Sent[] = [];
  const connection = {
    query: async (query: Sent) => {
      sent.push(query);
      return { rows, rowCount };
    },
    release: () => {},
    on: () => {},
    removeListener: () => {},
  };
  return {
    table: new PostgresKeyTable({ connect: async () => connection }, {}),
    sent,
    texts: () => sent.map(({ text, values }) => [text, values]),
  };
}

describe('the key table in PostgreSQL', () => {
  it('selects only the rows of one ID, and gets each row as an array of the texts that the server sends', async () => {
    const { table, sent, texts } = tableWith([]);
    await table.select({ id: ID }, deadline);
    await table.select({ id: ID, limit: 1 }, deadline);
    await table.select({ id: ID, created: 60, limit: 1 }, deadline);
    await table.select({ id: ID, notAfter: 60, limit: 10 }, deadline);
    expect(texts()).toEqual([
      [`${SELECT} ORDER BY created DESC`, [ID]],
      [`${SELECT} ORDER BY created DESC LIMIT 1`, [ID]],
      [`${SELECT} AND created = to_timestamp($2) ORDER BY created DESC LIMIT 1`, [ID, '60']],
      [`${SELECT} AND created <= to_timestamp($2) ORDER BY created DESC LIMIT 10`, [ID, '60']],
    ]);
    for (const { rowMode, types } of sent) expect([rowMode, types.getTypeParser()('60')]).toEqual(['array', '60']);
  });

  it.for([
    ['60', 60],
    ['60.000000', 60],
    ['60.5', undefined],
    ['Infinity', undefined],
    [null, undefined],
  ] as const)('reads the time "%s" from the server as the date %s', async ([seconds, created]) => {
    const { table } = tableWith([[seconds, null, null, ID]]);
    const row = { created, date: '', text: null };
    expect(await table.select({ id: ID }, deadline)).toEqual([row]);
    expect(await table.page(undefined, 1, deadline)).toEqual([{ ...row, id: ID }]);
  });

  it('reads pages in the order of the primary key, from the beginning or after a row', async () => {
    const { table, texts } = tableWith([['60', ROW.date, ROW.text, ID]]);
    const [row] = await table.page(undefined, 500, deadline);
    expect(row).toEqual({ ...ROW, id: ID });
    await table.page(row, 2, deadline);
    expect(texts()).toEqual([
      [`${PAGE} ${IN_ORDER} 500`, []],
      [`${PAGE} WHERE (id, created) > ($1, ${DATE_AT}) ${IN_ORDER} 2`, [ID, ROW.date, ROW.date]],
    ]);
  });

  it.for([
    [1, 'stored', true],
    [0, 'duplicate', false],
    [null, 'duplicate', false],
  ] as const)('writes only to a row that is unchanged (written rows: %s)', async ([count, stored, isWritten]) => {
    const { table, texts } = tableWith([], count);
    expect(await table.insert(ID, 60, '{"a":1}', deadline)).toBe(stored);
    expect(await table.replace(ID, ROW, '{"b":1}', deadline)).toBe(isWritten);
    expect(await table.remove(ID, { ...ROW, text: null }, deadline)).toBe(isWritten);
    const columns = 'encryption_key (id, created, key_record)';
    expect(texts()).toEqual([
      [`INSERT INTO ${columns} VALUES ($1, to_timestamp($2), $3) ON CONFLICT DO NOTHING`, [ID, '60', '{"a":1}']],
      [`UPDATE encryption_key SET key_record = $4 ${UNCHANGED}`, [ID, ROW.date, '{"a":1}', '{"b":1}']],
      [`DELETE FROM encryption_key ${UNCHANGED}`, [ID, ROW.date, null]],
    ]);
  });

  it('sends no ID with U+0000, which no row can have', async () => {
    const { table, sent } = tableWith([['60', ROW.date, ROW.text]]);
    expect(await table.select({ id: 'a\0b' }, deadline)).toEqual([]);
    expect(await codeOf(table.insert('a\0b', 60, '{}', deadline))).toBe('InvalidRequest');
    expect(sent).toEqual([]);
  });
});

it('the key table in PostgreSQL names its address in the cause of an outage', async () => {
  const refused = Object.assign(new Error('SECRET'), { code: '42501' });
  const table = new PostgresKeyTable({ connect: () => Promise.reject(refused) }, { at: ' at h:5432' });
  expect(await errorOf(table.select({ id: ID }, deadline))).toMatchObject({
    code: 'MetastoreUnavailable',
    message: 'The metastore does not answer.',
    cause: new Error('PostgreSQL at h:5432 table encryption_key: 42501'),
  });
});
