/** Tests PostgresRows on a stub pool. test/peers tests it on a real server. */
import { expect, it } from 'vitest';
import type { SourceFault } from '../../../src/maintenance/reencryption/rows.ts';
import { PostgresRows, type RowsPool } from '../../../src/rows/postgres-rows.ts';
import { errorOf } from '../../support/fakes.ts';

const OPTIONS = { table: 'orders', fields: ['card'] };
const NAMES = { partitionField: undefined, partition: undefined, context: undefined, contextFrom: undefined };

/**
 * A source whose pool describes the table's columns and key, and returns the rows of `answer` for every other query.
 */
function rowsWith(answer: () => (string | null)[][], key = KEY): PostgresRows {
  const pool: RowsPool = {
    query: async ({ text }) => {
      if (text.includes('pg_attribute WHERE')) return { rows: COLUMNS, rowCount: 2 };
      return { rows: text.includes('pg_index') ? key : answer(), rowCount: 1 };
    },
  };
  return new PostgresRows({ ...OPTIONS, ...NAMES }, pool);
}

const COLUMNS = [
  ['id', 'integer'],
  ['card', 'text'],
];
/** The columns of the primary key, and the number of rows when the table was last analysed. */
const KEY = [['id', '1200']];
const ROW = { id: '1', key: ['1'], columns: new Map(), cells: new Map(), partition: undefined, context: undefined };

it.for<['may help' | 'cannot help', string]>([
  ['may help', '57P01'],
  ['may help', '08006'],
  ['may help', '40001'],
  ['may help', '53300'],
  ['may help', '55P03'],
  ['may help', '25006'],
  ['may help', 'ECONNRESET'],
  ['may help', 'EPIPE'],
  ['cannot help', '42501'],
  ['cannot help', '42P01'],
  ['cannot help', '25P02'],
])('PostgresRows reports that a retry %s after the error %s', async ([verdict, code]) => {
  const rows = rowsWith(() => {
    throw Object.assign(new Error('secret'), { code });
  });
  const fault = (await errorOf(rows.reread(ROW))) as SourceFault;
  expect(fault).toMatchObject({ name: 'SourceFault', mayPass: verdict === 'may help' });
  expect(fault.message).toBe(`The table orders fails: ${code}`);
});

it('PostgresRows retries a failed read of a page', async () => {
  let failures = 0;
  const rows = rowsWith(() => {
    failures += 1;
    if (failures < 3) throw Object.assign(new Error('secret'), { code: '57P01' });
    return [['1', 'kf1.']];
  });
  expect((await rows.pages(undefined).next()).value).toHaveLength(1);
});

it('PostgresRows reads no value from a column that is NULL', async () => {
  const rows = rowsWith(() => [
    ['1', 'kf1.'],
    ['2', null],
  ]);
  const read: unknown[] = [];
  for await (const page of rows.pages(undefined)) read.push(...page.map(({ id, cells }) => [id, [...cells]]));
  expect(read).toEqual([
    ['{"id":"1"}', [['card', { kind: 'text', text: 'kf1.' }]]],
    ['{"id":"2"}', []],
  ]);
});

it.for([
  ['text to a column of type text', 'text', { kind: 'text', text: 'kf1.x' }, '"card" = $1', 'kf1.x'],
  [
    'bytes to a column of type bytea',
    'bytea',
    { kind: 'bytes', bytes: Buffer.from('hi') },
    `"card" = decode($1, 'hex')`,
    '6869',
  ],
  ['text to a column of type jsonb', 'jsonb', { kind: 'text', text: 'kf1.x' }, '"card" = $1', '"kf1.x"'],
  ['a record to a column of type jsonb', 'jsonb', { kind: 'json', text: '{"Data":""}' }, '"card" = $1', '{"Data":""}'],
  ['bytes to a column of type jsonb', 'jsonb', { kind: 'bytes', bytes: Buffer.from('hi') }, '"card" = $1', '"aGk="'],
  ['bytes to a column of type text', 'text', { kind: 'bytes', bytes: Buffer.from('hi') }, '"card" = $1', 'aGk='],
] as const)('PostgresRows writes %s only if the row is unchanged', async ([, type, cell, set, value]) => {
  const sent: { text: string; values: readonly unknown[] }[] = [];
  let rowCount = 1;
  const pool: RowsPool = {
    query: async (query) => {
      if (query.text.includes('pg_attribute WHERE'))
        return {
          rows: [
            ['id', 'integer'],
            ['card', type],
          ],
          rowCount: 2,
        };
      if (query.text.includes('pg_index')) return { rows: KEY, rowCount: 1 };
      if (query.text.startsWith('SELECT')) return { rows: [['1', type === 'jsonb' ? '"old"' : '6f6c64']], rowCount: 1 };
      sent.push(query);
      return { rows: [], rowCount };
    },
  };
  const rows = new PostgresRows({ ...OPTIONS, ...NAMES }, pool);
  const [row] = (await rows.pages(undefined).next()).value as [typeof ROW];
  expect(await rows.replace(row, new Map([['card', cell]]))).toBe('written');
  const [{ text, values } = { text: '', values: [] }] = sent;
  expect(text).toContain(`SET ${set} WHERE "id" = $3 AND `);
  expect(text).toMatch(/ COLLATE "C" IS NOT DISTINCT FROM \$2$/);
  expect(values).toEqual([value, type === 'jsonb' ? '"old"' : '6f6c64', '1']);
  rowCount = 0;
  expect(await rows.replace(row, new Map([['card', cell]]))).toBe('changed');
});

it('PostgresRows remembers the key of the last row that it has read', async () => {
  const rows = rowsWith(() => [
    ['1', 'kf1.'],
    ['2', 'kf1.'],
  ]);
  expect(await rows.position()).toEqual({});
  await rows.pages(undefined).next();
  expect(await rows.position()).toEqual({ after: ['2'] });
});

it.for([
  ['is how many rows PostgreSQL counted in its last analysis', '1200', 1200],
  ['is unknown before the first analysis', '-1', undefined],
] as const)('the size of PostgresRows %s', async ([, counted, size]) => {
  const rows = rowsWith(() => [['1', 'kf1.']], [['id', counted]]);
  await rows.pages(undefined).next();
  expect(rows.size()).toBe(size);
});

it.for([
  ['has no primary key', COLUMNS, []],
  ['has no column card', [['id', 'integer']], KEY],
  ['is part of the primary key', COLUMNS, [['card']]],
] as const)('PostgresRows refuses a table or column that %s', async ([reason, columns, key]) => {
  const pool: RowsPool = {
    query: async ({ text }) => ({
      rows: text.includes('pg_attribute WHERE') ? columns : key,
      rowCount: 1,
    }),
  };
  const reading = new PostgresRows({ ...OPTIONS, ...NAMES }, pool).pages(undefined).next();
  expect(await errorOf(reading)).toMatchObject({
    code: 'InvalidRequest',
    message: expect.stringContaining(reason) as string,
  });
});

it('PostgresRows refuses to change the keys of a key table', async () => {
  const answers = [[['key_record', 'text']], [['id'], ['created']]];
  const pool: RowsPool = { query: async () => ({ rows: answers.shift() ?? [], rowCount: 1 }) };
  const rows = new PostgresRows({ ...OPTIONS, ...NAMES, fields: ['key_record'] }, pool);
  expect(await errorOf(rows.pages(undefined).next())).toMatchObject({
    code: 'InvalidRequest',
    message: 'The table orders is a key table: its rows hold keys, not records.',
  });
});

it('PostgresRows reads a row again, and returns nothing if the row is gone', async () => {
  let answer: (string | null)[][] = [['1', 'kf1.new']];
  const rows = rowsWith(() => answer);
  await rows.pages(undefined).next();
  expect(await rows.reread(ROW)).toMatchObject({ id: '{"id":"1"}', columns: new Map([['card', 'kf1.new']]) });
  answer = [];
  expect(await rows.reread(ROW)).toBeUndefined();
});
