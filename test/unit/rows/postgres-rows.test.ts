/** Tests PostgresRows on a stub pool. test/peers tests it on a real server. */
import { expect, it } from 'vitest';
import type { Cell, SourceFault } from '../../../src/maintenance/reencryption/rows.ts';
import { PostgresRows, type RowsPool } from '../../../src/rows/postgres-rows.ts';
import { errorOf } from '../../support/fakes.ts';

/** A row as the source gives it. */
type ReadRow = Parameters<PostgresRows['replace']>[0];

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

it('the position of PostgresRows is the key of the last row that it has read', async () => {
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
] as const)('the size that PostgresRows reports %s', async ([, counted, size]) => {
  const rows = rowsWith(() => [['1', 'kf1.']], [['id', counted]]);
  await rows.pages(undefined).next();
  expect(rows.size()).toBe(size);
});

it.for([
  ['There is no table orders. Without double quotes, its name is folded to lower case.', [], KEY],
  ['The table orders has no primary key.', COLUMNS, []],
  ['The table orders has no column card.', [['id', 'integer']], KEY],
  ['The column card is part of the primary key, so it cannot be changed.', COLUMNS, [['id'], ['card']]],
] as const)('PostgresRows refuses a table or a column: %s', async ([message, columns, key]) => {
  const pool: RowsPool = {
    query: async ({ text }) => ({
      rows: text.includes('pg_attribute WHERE') ? columns : key,
      rowCount: 1,
    }),
  };
  const reading = new PostgresRows({ ...OPTIONS, ...NAMES }, pool).pages(undefined).next();
  expect(await errorOf(reading)).toMatchObject({
    code: 'InvalidRequest',
    message,
  });
});

/** The columns of a table with the primary key `(tenant, no)`. */
const TYPES = [
  ['tenant', 'text'],
  ['no', 'bytea'],
  ['card', 'character varying'],
  ['doc', 'jsonb'],
  ['raw', 'bytea'],
  ['at', 'date'],
];

/** The expression that reads a column of that table as text. */
const as = (name: string): string => (name === 'no' || name === 'raw' ? `encode("${name}", 'hex')` : `"${name}"::text`);

it('PostgresRows sends the expected queries, and reads all of their results', async () => {
  const sent: [text: string, values: readonly unknown[]][] = [];
  const sizes = [[['8388607'], ['1'], ['1']], [['1'], ['8388608']], [], []];
  const first = ['t', '01', 'kf1.a', '"kf1.b"', '6f6c64', 't', '2026-01-01'];
  const many = Array.from({ length: 1000 }, (_, i) => ['u', i.toString(16), null, 'null', null, 'u', null]);
  const pages = [[first], [], many, []];
  const pool: RowsPool = {
    query: async ({ text, values, rowMode }) => {
      expect(rowMode).toBe('array');
      sent.push([text, values]);
      if (text.includes('pg_attribute WHERE')) return { rows: TYPES, rowCount: 6 };
      if (text.includes('pg_index'))
        return {
          rows: [
            ['tenant', '0'],
            ['no', '0'],
          ],
          rowCount: 2,
        };
      if (text.startsWith('UPDATE')) return { rows: [], rowCount: 1 };
      if (text.includes(' WHERE "tenant"'))
        return { rows: [['t', '01', null, '[1.50]', null, 't', null]], rowCount: 1 };
      return { rows: (text.includes('coalesce') ? sizes : pages).shift() ?? [], rowCount: 1 };
    },
  };
  const names = { partitionField: 'tenant', partition: undefined, context: { a: 'b' }, contextFrom: { at: 'at' } };
  const rows = new PostgresRows({ table: 'Shop."Orders"', fields: ['card', 'doc', 'raw'], ...names }, pool);
  const read: ReadRow[][] = [];
  for await (const page of rows.pages(undefined)) read.push([...page]);
  expect([rows.size(), await rows.position()]).toEqual([0, { after: ['u', '3e7'] }]);
  const [[row] = [], { length } = []] = read;
  expect([read.length, length]).toEqual([2, 1000]);
  const common = { id: '{"tenant":"t","no":"01"}', key: ['t', '01'], partition: 't' };
  const columns = ['card', 'doc', 'raw', 'tenant', 'at'];
  expect(row).toEqual({
    ...common,
    columns: new Map(columns.map((name, i) => [name, first[i + 2]])),
    cells: new Map<string, unknown>([
      ['card', { kind: 'text', text: 'kf1.a' }],
      ['doc', { kind: 'text', text: 'kf1.b' }],
      ['raw', { kind: 'bytes', bytes: Buffer.from('old') }],
    ]),
    context: { a: 'b', at: '2026-01-01' },
  });
  expect(await rows.reread(row as ReadRow)).toEqual({
    ...common,
    columns: new Map(columns.map((name, i) => [name, [null, '[1.50]', null, 't', null][i]])),
    cells: new Map([['doc', { kind: 'json', text: '[1.50]' }]]),
    context: { a: 'b', at: undefined },
  });
  const cells = new Map<string, Cell>([
    ['raw', { kind: 'text', text: 'new' }],
    ['doc', { kind: 'json', text: '{}' }],
  ]);
  expect(await rows.replace(row as ReadRow, cells)).toBe('written');
  const select = `SELECT ${['tenant', 'no', ...columns].map(as).join(', ')} FROM "shop"."Orders" AS source`;
  const sizesOf = ['octet_length("card")', 'pg_column_size("doc")', 'octet_length("raw")', 'octet_length("tenant")'];
  const sums = [...sizesOf, 'pg_column_size("at")'].map((size) => `coalesce(${size}, 0)::bigint`);
  const size = `SELECT (${sums.join(' + ')})::text FROM "shop"."Orders" AS source`;
  const order = 'ORDER BY source."tenant", source."no" LIMIT';
  const after = `WHERE (source."tenant", source."no") > ($1, decode($2, 'hex'))`;
  expect(sent).toEqual([
    [
      'WITH RECURSIVE types (name, type) AS (SELECT attname, atttypid FROM pg_attribute WHERE ' +
        'attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ' +
        "UNION ALL SELECT name, typbasetype FROM types JOIN pg_type ON oid = type WHERE typtype = 'd') " +
        "SELECT name, format_type(type, NULL) FROM types JOIN pg_type ON oid = type WHERE typtype <> 'd'",
      ['"shop"."Orders"'],
    ],
    [
      'SELECT a.attname, c.reltuples::bigint::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid ' +
        'JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1]) ' +
        'AND i.indrelid = $1::regclass AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)',
      ['"shop"."Orders"'],
    ],
    [`${size} ${order} 1000`, []],
    [`${select} ${order} 2`, []],
    [`${size} ${after} ${order} 1000`, ['t', '01']],
    [`${select} ${after} ${order} 1`, ['t', '01']],
    [`${size} ${after} ${order} 1000`, ['t', '01']],
    [`${select} ${after} ${order} 1000`, ['t', '01']],
    [`${size} ${after} ${order} 1000`, ['u', '3e7']],
    [`${select} ${after} ${order} 1000`, ['u', '3e7']],
    [`${select} WHERE "tenant" = $1 AND "no" = decode($2, 'hex')`, ['t', '01']],
    [
      `UPDATE "shop"."Orders" SET "raw" = decode($1, 'hex'), "doc" = $2 WHERE "tenant" = $8 AND "no" = decode($9, 'hex')` +
        columns.map((name, i) => ` AND ${as(name)} COLLATE "C" IS NOT DISTINCT FROM $${i + 3}`).join(''),
      ['6e6577', '{}', ...first.slice(2), 't', '01'],
    ],
  ]);
});

it.for([
  ['date', 'date', 'false'],
  ['date', 'timestamp with time zone', 'false'],
  ['date', 'timestamp without time zone', 'false'],
  ['time', 'time without time zone', 'false'],
  ['fraction', 'double precision', null],
  ['fraction', 'real', null],
] as const)('PostgresRows checks whether the database writes a key with a %s exactly', async ([, type, inexact]) => {
  let answer: string | null = 'true';
  const sent: unknown[] = [];
  const pool: RowsPool = {
    query: async ({ text, values }) => {
      if (text.includes('pg_attribute WHERE'))
        return {
          rows: [
            ['id', 'text'],
            ['at', type],
            ['card', 'text'],
          ],
          rowCount: 3,
        };
      if (text.includes('pg_index')) return { rows: [['id'], ['at']], rowCount: 2 };
      if (!text.includes('DateStyle')) return { rows: [], rowCount: 0 };
      sent.push([text, values]);
      return { rows: [[answer]], rowCount: 1 };
    },
  };
  const rows = new PostgresRows({ ...OPTIONS, ...NAMES }, pool);
  expect(await rows.pages(undefined).next()).toEqual({ done: true, value: undefined });
  expect([rows.size(), await rows.position()]).toEqual([undefined, {}]);
  answer = inexact;
  expect(await errorOf(rows.pages(undefined).next())).toMatchObject({
    code: 'InvalidRequest',
    message: 'The primary key has a date or a fraction: SET DateStyle = ISO, and extra_float_digits = 1.',
  });
  const query = [
    "SELECT (current_setting('DateStyle') LIKE 'ISO%' AND current_setting('extra_float_digits')::int > 0)::text",
    [],
  ];
  expect(sent).toEqual([query, query]);
});

it.for(['22001', '23505', '54000', 'P0001'])(
  'PostgresRows throws InvalidRequest for a row that PostgreSQL refuses (%s)',
  async (code) => {
    const rows = rowsWith(() => {
      throw Object.assign(new Error('secret'), { code });
    });
    expect(await errorOf(rows.replace(ROW, new Map([['card', { kind: 'text', text: 'x' }]])))).toMatchObject({
      code: 'InvalidRequest',
      message: `PostgreSQL refuses the changed row: ${code}.`,
    });
  },
);

/** Reads a table with a column `key_record` and this primary key. */
async function readWithKey(...key: string[]): Promise<unknown> {
  const answers = [[['key_record', 'text']], key.map((name) => [name])];
  const pool: RowsPool = { query: async () => ({ rows: answers.shift() ?? [], rowCount: 1 }) };
  return new PostgresRows({ ...OPTIONS, ...NAMES, fields: ['key_record'] }, pool).pages(undefined).next();
}

it('PostgresRows refuses a key table, because the rows of a key table hold no records', async () => {
  expect(await readWithKey('id')).toEqual({ done: true, value: undefined });
  expect(await errorOf(readWithKey('id', 'created'))).toMatchObject({
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
