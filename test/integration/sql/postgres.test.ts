/** Tests everything that Keyfold does in PostgreSQL, on PGlite. test/peers tests it on a real server. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DatabaseInspection } from '../../../src/maintenance/inspection.ts';
import type { SqlKeyRow } from '../../../src/metastore/sql/key-record.ts';
import { openDatabase, type Database } from '../../../src/metastore/sql/open-database.ts';
import { postgresRowsContract } from '../../support/contract/postgres-rows-contract.ts';
import { reencryptPostgresContract } from '../../support/contract/reencrypt-postgres-contract.ts';
import { sqlErasureContract } from '../../support/contract/sql-erasure-contract.ts';
import { sqlMetastoreContract } from '../../support/contract/sql-metastore-contract.ts';
import { sqlOperatorContract } from '../../support/contract/sql-operator-contract.ts';
import { noDeadline } from '../../support/fakes.ts';
import { PgliteServer } from '../../support/pglite.ts';
import { databaseAt, type SqlDatabase } from '../../support/sql-database.ts';

let server: PgliteServer;
let database: SqlDatabase;

beforeAll(async () => {
  server = await PgliteServer.start();
  database = databaseAt('PostgreSQL', server.port);
}, 60_000);
afterAll(async () => {
  await database.close();
  await server.stop();
});

/** Opens the database as a command does. */
function open(): Promise<Database> {
  return openDatabase(`postgres://keyfold@127.0.0.1:${server.port}/postgres`, 'DATABASE_URL');
}

describe('the metastore', () => {
  sqlMetastoreContract('PostgreSQL', () => database);
});
describe('the commands', () => {
  sqlOperatorContract('PostgreSQL', () => database);
});
describe('erasures', () => {
  sqlErasureContract('PostgreSQL', () => database);
});
describe('rows', () => {
  postgresRowsContract(() => server.port);
});
describe('keyfold reencrypt', () => {
  reencryptPostgresContract(() => database);
});

it('the key table finds and changes a row only by its exact ID and text, whatever the collation', async () => {
  const caseless = 'TEXT COLLATE caseless';
  // PGlite ignores the strength in a locale such as und-u-ks-level2.
  await database.run(
    "CREATE COLLATION caseless (provider = icu, locale = 'und@colStrength=secondary', deterministic = false)",
  );
  expect(await database.run("SELECT 'a' COLLATE caseless = 'A'")).toEqual([[true]]);
  await database.createTable({ id: caseless, keyRecord: caseless });
  const { table, close } = await open();
  await table.insert('_SK_case', 60, '{"Key":"a"}', noDeadline());
  const rows = await table.select({ id: '_SK_case' }, noDeadline());
  expect(rows).toMatchObject([{ created: 60, text: '{"Key":"a"}' }]);
  expect(await table.select({ id: '_SK_CASE' }, noDeadline())).toEqual([]);
  const [row] = rows as [SqlKeyRow];
  const stale = { ...row, text: '{"Key":"A"}' };
  expect(await table.replace('_SK_case', stale, '{}', noDeadline())).toBe(false);
  expect(await table.replace('_SK_CASE', row, '{}', noDeadline())).toBe(false);
  expect(await table.remove('_SK_case', stale, noDeadline())).toBe(false);
  expect(await table.replace('_SK_case', row, '{}', noDeadline())).toBe(true);
  expect(await table.remove('_SK_case', { ...row, text: '{}' }, noDeadline())).toBe(true);
  await close();
});

describe('the inspection for keyfold doctor', () => {
  const HEALTHY: Omit<DatabaseInspection, 'clockOffsetMs'> = {
    hasPrimaryKey: true,
    isReadOnly: false,
    isUnsafe: false,
    holdsRows: false,
    canInsert: true,
    mayHideRows: false,
    isTooNarrow: false,
  };
  const CHANGE = 'ALTER TABLE encryption_key';
  const NO_KEY = `${CHANGE} DROP CONSTRAINT encryption_key_pkey`;
  const AS_READER = ['CREATE ROLE reader', 'GRANT SELECT ON encryption_key TO reader', 'SET ROLE reader'];

  beforeEach(() => database.createTable());
  // PGlite has one session, so the next test would otherwise have the same settings.
  afterEach(async () => {
    for (const sql of ['RESET ROLE', 'RESET default_transaction_read_only']) await database.run(sql);
    await database.createTable();
    await database.run('DROP ROLE IF EXISTS reader');
  });

  it.for<[string, string[], Partial<DatabaseInspection>]>([
    ['no fault of a new table', [], {}],
    [
      'that the table holds rows',
      ["INSERT INTO encryption_key (id, key_record) VALUES ('a', '{}')"],
      { holdsRows: true },
    ],
    ['a read-only server', ['SET default_transaction_read_only = on'], { isReadOnly: true }],
    ['a table without a primary key', [NO_KEY], { hasPrimaryKey: false }],
    [
      'no fault of a primary key whose columns are in another order',
      [NO_KEY, `${CHANGE} ADD PRIMARY KEY (created, id)`],
      {},
    ],
    [
      'an additional column in the primary key',
      [NO_KEY, `${CHANGE} ADD PRIMARY KEY (id, created, key_record)`],
      { hasPrimaryKey: false },
    ],
    [
      'no fault of a primary key with an INCLUDE column',
      [NO_KEY, `${CHANGE} ADD PRIMARY KEY (id, created) INCLUDE (key_record)`],
      {},
    ],
    [
      'a primary key in which the date is only an INCLUDE column',
      [NO_KEY, `${CHANGE} ADD PRIMARY KEY (id) INCLUDE (created)`],
      { hasPrimaryKey: false },
    ],
    [
      'an index that is not unique, instead of a primary key',
      [NO_KEY, 'CREATE INDEX ON encryption_key (id, created)'],
      { hasPrimaryKey: false },
    ],
    [
      'no fault of a unique index instead of a primary key',
      [NO_KEY, 'CREATE UNIQUE INDEX ON encryption_key (id, created)'],
      {},
    ],
    [
      'a unique index on only some of the rows, instead of a primary key',
      [NO_KEY, "CREATE UNIQUE INDEX ON encryption_key (id, created) WHERE id <> 'a'"],
      { hasPrimaryKey: false },
    ],
    [
      'the column created of the type DATE, which is too narrow',
      [`${CHANGE} ALTER created TYPE DATE`],
      { isTooNarrow: true },
    ],
    [
      'the column key_record of 999 characters, which is too narrow',
      [`${CHANGE} ALTER key_record TYPE VARCHAR(999)`],
      { isTooNarrow: true },
    ],
    [
      'the column key_record of 999 padded characters, which is too narrow',
      [`${CHANGE} ALTER key_record TYPE CHAR(999)`],
      { isTooNarrow: true },
    ],
    ['no fault of the column key_record of 1000 characters', [`${CHANGE} ALTER key_record TYPE VARCHAR(1000)`], {}],
    ['a user who may only read', AS_READER, { canInsert: false }],
    [
      'row-level security, which may hide rows',
      [`${CHANGE} ENABLE ROW LEVEL SECURITY`, ...AS_READER],
      { canInsert: false, mayHideRows: true },
    ],
  ])('reports %s', async ([, statements, change]) => {
    for (const sql of statements) await database.run(sql);
    const { inspect, close } = await open();
    const outcome = await inspect();
    await close();
    const { clockOffsetMs, ...found } = 'answer' in outcome ? outcome.answer : { clockOffsetMs: NaN };
    expect(found).toEqual({ ...HEALTHY, ...change });
    expect(Math.abs(clockOffsetMs)).toBeLessThan(60_000);
  });
});
