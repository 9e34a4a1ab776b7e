/** Tests `keyfold doctor` on real PostgreSQL and MariaDB servers. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { HealthCheck } from '../../src/cli/health/check.ts';
import { SessionFactory, StaticKms } from '../../src/index.ts';
import { sqlSettings } from '../support/contract/sql-operator-contract.ts';
import { OperatorFixture } from '../support/operator.ts';
import { KINDS } from '../support/sql-database.ts';
import { AWS_ENVIRONMENT } from './processes.ts';
import { startDatabase, type ServedDatabase } from './sql-database.ts';

Object.assign(process.env, AWS_ENVIRONMENT);

const MASTER_KEY = Buffer.alloc(32, 7);
const PAYLOAD = Buffer.from('payload');
const ZONE_FIX = 'docs/how-to/use-postgresql-or-mysql.md#time-zones';

describe.for(KINDS)('keyfold doctor on %s', (kind) => {
  const operator = OperatorFixture.at('http://127.0.0.1:9');
  let database: ServedDatabase;

  beforeAll(async () => {
    database = await startDatabase(kind);
  });
  afterAll(() => database.stop());
  beforeEach(async () => {
    await database.createTable();
    const { metastore, close } = database.open();
    const kms = new StaticKms(MASTER_KEY, {});
    await new SessionFactory({ service: 'orders', product: 'shop', kms, metastore })
      .session('tenant-1')
      .encrypt(PAYLOAD);
    await close();
  });

  /** What `keyfold doctor` finds apart from the static master key of these tests. */
  async function found(settings: Record<string, string | undefined> = {}): Promise<object[]> {
    const master = { KEYFOLD_STATIC_MASTER_KEY_HEX: MASTER_KEY.toString('hex') };
    operator.clock.nowMs = Date.now();
    const all = { ...sqlSettings(kind, database), ...master, ...settings };
    const { stdout } = await operator.keyfold(['doctor', '--json'], all);
    const checks = JSON.parse(stdout) as HealthCheck[];
    return checks.filter(({ check, state }) => state !== 'ok' && check !== 'kms');
  }

  it('finds no fault in a healthy table, and compares the clock with that of the database', async () => {
    expect(await found()).toEqual([]);
  });

  it('reports a table without a primary key, a server that accepts no writes, and a wrong database or service name', async () => {
    const url = sqlSettings(kind, database)['KEYFOLD_METASTORE_URL'] ?? '';
    const elsewhere = { KEYFOLD_METASTORE_URL: url.replace(/\w+$/, 'nowhere') };
    expect(await found(elsewhere)).toMatchObject([
      { check: 'clock', state: 'skip' },
      { check: 'table', fix: expect.stringMatching(/correct the database/) as string },
      { check: 'system keys', state: 'skip' },
      { check: 'erasures', state: 'skip' },
    ]);
    const reading = `${url}?options=-c%20default_transaction_read_only%3Don`;
    if (kind === 'MariaDB') await database.run('SET GLOBAL read_only = 1');
    const replica = { check: 'table writes', state: 'fault', says: expect.stringMatching(/read-only/) as string };
    expect(await found(kind === 'MariaDB' ? {} : { KEYFOLD_METASTORE_URL: reading })).toMatchObject([replica]);
    if (kind === 'MariaDB') await database.run('SET GLOBAL read_only = 0');
    const typo = {
      check: 'system keys',
      state: 'warn',
      says: expect.stringMatching(/has other rows/) as string,
      fix: expect.stringMatching(/KEYFOLD_SERVICE/) as string,
    };
    expect(await found({ KEYFOLD_SERVICE: 'ordres' })).toMatchObject([typo]);
    const dropped = kind === 'PostgreSQL' ? 'CONSTRAINT encryption_key_pkey' : 'PRIMARY KEY';
    await database.run(`ALTER TABLE encryption_key DROP ${dropped}`);
    const unkeyed = {
      check: 'table primary key',
      state: 'fault',
      fix: expect.stringMatching(/ADD PRIMARY KEY/) as string,
    };
    expect(await found()).toMatchObject([unkeyed]);
  });

  it.for([
    ['created has the type DATE', { created: 'DATE' }],
    ['key_record is too short', { keyRecord: 'VARCHAR(999)' }],
  ] as const)(
    'reports a table in which the column %s, because such a table cannot store keys correctly',
    async ([, types]) => {
      await database.createTable(types);
      expect(await found()).toMatchObject([{ check: 'table writes', state: 'fault' }]);
      await database.createTable({ keyRecord: 'VARCHAR(1000)' });
      expect(await found()).toEqual([]);
    },
  );

  it('reports rows that were written in another time zone', async () => {
    await database.setTimeZone(kind === 'PostgreSQL' ? 'Asia/Kolkata' : '+05:30');
    const rows = {
      check: 'system keys',
      state: 'fault',
      says: expect.stringMatching(/^unreadable rows/) as string,
      fix: expect.stringContaining(ZONE_FIX) as string,
    };
    expect(await found()).toMatchObject([rows]);
    await database.setTimeZone(kind === 'PostgreSQL' ? 'UTC' : '+00:00');
  });

  // Register this test only for PostgreSQL. On MariaDB, a skipped test would make the CI run fail.
  it.for(kind === 'PostgreSQL' ? ['(id, created) INCLUDE (key_record)'] : [])(
    'accepts the primary key %s, but not a key that has the date only in its INCLUDE clause',
    async (key) => {
      const change = (to: string): Promise<unknown> =>
        database.run(`ALTER TABLE encryption_key DROP CONSTRAINT encryption_key_pkey, ADD PRIMARY KEY ${to}`);
      await change(key);
      expect(await found()).toEqual([]);
      await database.run('DELETE FROM encryption_key');
      await change('(id) INCLUDE (created)');
      expect(await found()).toContainEqual(expect.objectContaining({ check: 'table primary key', state: 'fault' }));
    },
  );

  it.for(kind === 'PostgreSQL' ? ['reader'] : [])(
    'reports a user %s who may not insert rows, and row-level security that may hide rows from this user',
    async (user) => {
      await database.run(`CREATE ROLE ${user} LOGIN`);
      await database.run(`GRANT SELECT ON encryption_key TO ${user}`);
      const url = sqlSettings(kind, database)['KEYFOLD_METASTORE_URL']?.replace('keyfold@', `${user}@`);
      const writes = { check: 'table writes', state: 'warn', fix: expect.stringContaining('GRANT INSERT') as string };
      expect(await found({ KEYFOLD_METASTORE_URL: url })).toMatchObject([writes]);
      await database.run(`GRANT INSERT ON encryption_key TO ${user}`);
      await database.run('ALTER TABLE encryption_key ENABLE ROW LEVEL SECURITY');
      await database.run('CREATE POLICY every ON encryption_key USING (true)');
      const rows = { check: 'table', state: 'warn', says: expect.stringContaining('row-level security') as string };
      expect(await found({ KEYFOLD_METASTORE_URL: url })).toMatchObject([rows]);
      expect(await found()).toEqual([]);
    },
  );

  if (kind === 'PostgreSQL') return;

  it('compares the clock correctly in the hour that the end of daylight saving time repeats', async () => {
    const endS = Math.floor(Date.now() / 1000) - 1800;
    for (const row of [
      "time_zone VALUES (7, 'N')",
      "time_zone_name VALUES ('Summer', 7)",
      "time_zone_transition_type VALUES (7, 0, 7200, 1, 'S'), (7, 1, 3600, 0, 'W')",
      `time_zone_transition VALUES (7, 0, 0), (7, ${endS}, 1)`,
    ])
      await database.run(`INSERT INTO mysql.${row}`);
    await database.setTimeZone('Summer');
    const other = { check: 'system keys', fix: expect.stringContaining(ZONE_FIX) as string };
    expect(await found()).toMatchObject([other]);
    await database.setTimeZone('+00:00');
  });

  it('reports a session in which Keyfold refuses to write', async () => {
    await database.run("SET GLOBAL sql_mode = ''");
    expect(await found()).toMatchObject([
      { check: 'table writes', state: 'fault', fix: expect.stringMatching(/STRICT_TRANS_TABLES/) as string },
    ]);
    await database.run("SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES'");
  });
});
