/** The contract of the rows of PostgreSQL tables, with columns and keys of many types. */
import { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cell, Row, RowSource } from '../../../src/maintenance/reencryption/rows.ts';
import { openPostgresRows } from '../../../src/rows/open-postgres.ts';

/** A text as long as a record. */
const LONG = `kf1.${'Ab9-'.repeat(50)}`;

let url: string;
let pool: Pool;

const text = (value: string): Cell => ({ kind: 'text', text: value });
const json = (value: string): Cell => ({ kind: 'json', text: value });
const bytes = (value: string): Cell => ({ kind: 'bytes', bytes: Buffer.from(value) });

/** Drops the table `rows` if it exists, creates it with these columns, and opens it. */
export async function openTable(columns: string, fields: readonly string[] = ['card']): Promise<RowSource> {
  await pool.query('DROP TABLE IF EXISTS rows');
  await pool.query(`CREATE TABLE rows (${columns})`);
  const names = { partition: undefined, partitionField: undefined, context: undefined, contextFrom: undefined };
  return openPostgresRows(url, { table: 'rows', fields, ...names });
}

async function rowsOf(source: RowSource, from?: Parameters<RowSource['pages']>[0]): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const page of source.pages(from)) rows.push(...page);
  return rows;
}

/** The value of the column `card`, as PostgreSQL writes it. */
async function stored(): Promise<string | undefined> {
  const { rows } = await pool.query<{ card: string }>('SELECT card::text AS card FROM rows');
  return rows[0]?.card;
}

/** Runs the tests on the server at a port. */
export function postgresRowsContract(portOf: () => number): void {
  beforeAll(async () => {
    url = `postgres://keyfold@127.0.0.1:${portOf()}/postgres`;
    pool = new Pool({ connectionString: url, types: { getTypeParser: () => (value: string) => value } });
    pool.on('error', () => {});
    await pool.query('CREATE DOMAIN short_text AS VARCHAR(10)');
    await pool.query('CREATE DOMAIN long_text AS VARCHAR(300) CHECK (length(VALUE) > 0)');
    await pool.query('CREATE DOMAIN binary_text AS BYTEA');
    await pool.query('CREATE DOMAIN secret AS binary_text');
    await pool.query('CREATE DOMAIN document AS JSONB');
    await pool.query("CREATE TYPE region AS ENUM ('west', 'east', 'north')");
    // PGlite ignores the strength in a locale such as und-u-ks-level2.
    await pool.query(
      "CREATE COLLATION any_case (provider = icu, locale = 'und@colStrength=secondary', deterministic = false)",
    );
  });
  afterAll(() => pool.end());

  describe('PostgresRows: columns', () => {
    it.for([
      ['TEXT', text('old'), text(LONG), LONG],
      ['TEXT COLLATE any_case', text('old'), text('OLD'), 'OLD'],
      ['VARCHAR(300)', text('old'), text(LONG), LONG],
      ['CHAR(300)', text('old'), text(LONG), LONG],
      ['long_text', text('old'), text(LONG), LONG],
      ['JSON', json('{"a": 1}'), json('{"b": 1}'), '{"b": 1}'],
      ['JSONB', json('{"a": 1}'), text(LONG), `"${LONG}"`],
      ['JSONB', text('old'), json('{"b": 1}'), '{"b": 1}'],
      ['document', json('{"a": 1}'), text(LONG), `"${LONG}"`],
      ['BYTEA', bytes('old'), bytes(LONG), `\\x${Buffer.from(LONG).toString('hex')}`],
      ['secret', bytes('old'), bytes(LONG), `\\x${Buffer.from(LONG).toString('hex')}`],
    ] as const)('reads and writes a column of type %s', async ([type, before, after, written]) => {
      const source = await openTable(`id INT PRIMARY KEY, card ${type}`);
      const value = before.kind === 'bytes' ? Buffer.from(before.bytes) : before.text;
      const isJsonText = before.kind === 'text' && type === 'JSONB';
      await pool.query('INSERT INTO rows VALUES (1, $1)', [isJsonText ? JSON.stringify(value) : value]);
      const [row] = await rowsOf(source);
      expect(row?.cells.get('card')).toEqual(before);
      expect(await source.replace(row as Row, new Map([['card', after]]))).toBe('written');
      expect(await stored()).toBe(written);
      // The row has changed since it was read.
      expect(await source.replace(row as Row, new Map([['card', before]]))).toBe('changed');
      expect((await source.reread(row as Row))?.cells.get('card')).toEqual(after);
    });

    it.for(['TEXT', 'JSON', 'JSONB', 'document'])(
      'reads NULL and JSON null as absent in a column of type %s',
      async (type) => {
        const source = await openTable(`id INT PRIMARY KEY, card ${type}`);
        await pool.query('INSERT INTO rows VALUES (1, $1), (2, NULL), (3, \'"null"\')', [
          type === 'TEXT' ? null : 'null',
        ]);
        expect((await rowsOf(source)).map(({ cells }) => cells.size)).toEqual([0, 0, 1]);
      },
    );

    it.for(['CHAR(10)', 'VARCHAR(10)', 'short_text', 'BIT(3)', 'INT', 'region'])(
      'refuses a text that does not fit a column of type %s, and leaves the column as it was',
      async (type) => {
        const source = await openTable(`id INT PRIMARY KEY, card ${type}`);
        const value = type === 'region' ? 'west' : '101';
        await pool.query('INSERT INTO rows VALUES (1, $1)', [value]);
        const [row] = await rowsOf(source);
        await expect(source.replace(row as Row, new Map([['card', text(LONG)]]))).rejects.toMatchObject({
          code: 'InvalidRequest',
        });
        expect(await stored()).toBe(value);
      },
    );
  });

  describe('PostgresRows: keys', () => {
    it.for([
      ...['DOUBLE PRECISION', 'REAL'].map((type) => [type, 'extra_float_digits', '0']),
      ...['DATE', 'TIME', 'TIMESTAMP', 'TIMESTAMPTZ'].map((type) => [type, 'DateStyle', "'SQL, DMY'"]),
    ])(
      'refuses a key of type %s if the database writes values of that type inexactly (%s = %s)',
      async ([type, setting, value]) => {
        // On a server, the first statement takes effect in sessions that begin later. PGlite has only one session, in
        // which the second statement takes effect.
        for (const alter of [`ALTER DATABASE postgres SET ${setting} = ${value}`, `SET ${setting} = ${value}`])
          await pool.query(alter);
        try {
          await expect(rowsOf(await openTable(`id ${type} PRIMARY KEY, card TEXT`))).rejects.toMatchObject({
            code: 'InvalidRequest',
            message: expect.stringContaining('SET DateStyle = ISO') as string,
          });
          expect(await rowsOf(await openTable('id INT PRIMARY KEY, card TEXT'))).toEqual([]);
        } finally {
          for (const reset of [`ALTER DATABASE postgres RESET ${setting}`, `RESET ${setting}`]) await pool.query(reset);
        }
      },
    );

    it.for([
      ['TEXT', 'a', 'b', "c'\\"],
      ['CHAR(36)', 'a1', 'a2', 'a3'],
      ['VARCHAR(36)', 'a1', 'a2', 'a3'],
      ['BIT(3)', '001', '010', '100'],
      ['INT', '1', '2', '10'],
      ['BIGINT', '1', '9007199254740993', '9007199254740994'],
      ['NUMERIC(30, 2)', '1.50', '12345678901234567890.25', '12345678901234567890.50'],
      ['DOUBLE PRECISION', '0.1', '0.30000000000000004', '1e+300'],
      ['UUID', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002', 'f'.repeat(32)],
      ['TIMESTAMPTZ', '2026-01-01 00:00:00.000001+02', '2026-01-01 00:00:00.000002+02', '2027-01-01 00:00:00Z'],
      ['DATE', '2026-01-01', '2026-01-02', '2027-01-01'],
      ['BYTEA', '\\x00ff', '\\x01', '\\xff'],
      ['JSONB', '1', '2', '{"a": 1}'],
      ['BOOLEAN', 'false', 'true', undefined],
      ['region', 'west', 'east', 'north'],
      ['long_text', 'a1', 'a2', 'a3'],
      ['secret', '\\x00ff', '\\x01', '\\xff'],
      ['TEXT COLLATE any_case', 'A1', 'a2', 'A3'],
    ] as const)('finds rows by a primary key of type %s, and continues after a given row', async ([type, ...keys]) => {
      const source = await openTable(`id ${type} PRIMARY KEY, card TEXT`);
      const values = keys.filter((key) => key !== undefined);
      for (const key of values) await pool.query("INSERT INTO rows VALUES ($1, 'old')", [key]);
      const rows = await rowsOf(source);
      expect(rows).toHaveLength(values.length);
      const after = (rows[0] as Row & { readonly key: readonly string[] }).key;
      expect((await rowsOf(source, { after })).map(({ id }) => id)).toEqual(rows.slice(1).map(({ id }) => id));
      for (const row of rows) {
        expect(await source.reread(row)).toEqual(row);
        expect(await source.replace(row, new Map([['card', text(row.id)]]))).toBe('written');
      }
      expect((await rowsOf(source)).map(({ cells }) => cells.get('card'))).toEqual(rows.map(({ id }) => text(id)));
    });

    it.for([
      ['INT', 'i'],
      ['TIMESTAMP', "'2026-01-01'::timestamp + i * interval '9 days'"],
      ['TEXT', 'i::text'],
    ])('reads each row once from a table with several pages and a key of type %s', async ([type, value]) => {
      const source = await openTable(`id ${type} PRIMARY KEY, card TEXT`);
      await pool.query(`INSERT INTO rows SELECT ${value}, 'old' FROM generate_series(1, 2500) AS i`);
      await pool.query('ANALYZE rows');
      const ids = (await rowsOf(source)).map(({ id }) => id);
      expect([ids.length, new Set(ids).size, source.size?.()]).toEqual([2500, 2500, 2500]);
    });

    it('finds and changes rows by a primary key whose INCLUDE columns may be NULL', async () => {
      const source = await openTable('id INT, note TEXT, card TEXT, PRIMARY KEY (id) INCLUDE (note, card)');
      await pool.query("INSERT INTO rows VALUES (1, NULL, 'old'), (2, 'x', 'old')");
      const [row, ...others] = await rowsOf(source);
      expect([row?.id, others.length]).toEqual(['{"id":"1"}', 1]);
      expect(await source.replace(row as Row, new Map([['card', text('new')]]))).toBe('written');
    });

    it.for([
      ['TEXT', "repeat('x', 1048576)"],
      ['BYTEA', String.raw`decode(repeat('00', 1048576), 'hex')`],
    ])('ends a page before its values of type %s exceed 8 MiB', async ([type, value]) => {
      const source = await openTable(`id INT PRIMARY KEY, card ${type}, note TEXT`, ['card', 'note']);
      await pool.query(`INSERT INTO rows SELECT i, ${value} FROM generate_series(1, 12) AS i`);
      await pool.query("UPDATE rows SET note = repeat('y', 8388608) WHERE id = 10");
      const pages: number[] = [];
      for await (const page of source.pages(undefined)) pages.push(page.length);
      expect(pages).toEqual([8, 1, 1, 2]);
    });

    it('reads each row once from a table with several pages and a composite key', async () => {
      const source = await openTable('n INT, tenant CHAR(8), card TEXT, PRIMARY KEY (tenant, n)');
      await pool.query("INSERT INTO rows SELECT i, 't' || i % 3, 'old' FROM generate_series(1, 2500) AS i");
      const rows = await rowsOf(source);
      expect(new Set(rows.map(({ id }) => id)).size).toBe(2500);
      expect(rows).toHaveLength(2500);
      expect(JSON.parse(rows[0]?.id ?? '')).toEqual({ tenant: 't0', n: '3' });
      expect(await source.replace(rows[0] as Row, new Map([['card', text('new')]]))).toBe('written');
      const { rows: changed } = await pool.query("SELECT n, tenant FROM rows WHERE card = 'new'");
      expect(changed).toEqual([{ n: '3', tenant: 't0      ' }]);
    });
  });
}
