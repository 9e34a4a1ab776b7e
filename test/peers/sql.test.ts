/** Tests the SQL metastores on real database servers. */
import { createPool } from 'mysql2/promise';
import { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { SessionFactory, type Deadline, type EnvelopeKeyRecord, type KeyfoldError } from '../../src/index.ts';
import type { SqlKeyRow } from '../../src/metastore/sql/key-record.ts';
import { MySqlMetastore } from '../../src/metastore/sql/mysql-metastore.ts';
import { PostgresMetastore } from '../../src/metastore/sql/postgres-metastore.ts';
import { openDatabase } from '../../src/metastore/sql/open-database.ts';
import { codeOf, errorOf, FakeKms, HandClock, noDeadline } from '../support/fakes.ts';
import { keyRecord } from '../../src/testing/key-record.ts';
import { sqlMetastoreContract } from '../support/contract/sql-metastore-contract.ts';
import { KINDS, type OpenMetastore } from '../support/sql-database.ts';
import { startDatabase, type ServedDatabase } from './sql-database.ts';

const CACHES = 200;
const NAMES = { service: 'svc', product: 'prod' };
const deadline = noDeadline();

/** What a database, its column of IDs or a connection is created with. */
interface Narrow {
  readonly encoding?: string;
  readonly id?: string;
  readonly charset?: string;
}

interface Opened {
  readonly metastore: PostgresMetastore | MySqlMetastore;
  readonly count: () => Promise<number>;
  readonly close: () => Promise<void>;
}

describe.for(KINDS)('the metastore on %s', (kind) => {
  const isPostgres = kind === 'PostgreSQL';
  let database: ServedDatabase;
  let one: OpenMetastore;

  beforeAll(async () => {
    database = await startDatabase(kind);
  });
  afterAll(() => database.stop());

  sqlMetastoreContract(kind, () => database, 'without_table');

  describe('with several sessions', () => {
    beforeAll(() => {
      one = database.open();
    });
    beforeEach(() => database.createTable());

    it('stores one row per key if 200 caches encrypt at once, and lets every cache open every record', async () => {
      const clock = new HandClock();
      const kms = new FakeKms();
      const { metastore } = database.open({ connections: 50, queryTimeoutMs: 60_000 });
      const factories = Array.from(
        { length: CACHES },
        () => new SessionFactory({ ...NAMES, metastore, kms, now: clock.now }),
      );
      const records = await Promise.all(factories.map((f, i) => f.session('tenant').encrypt(Buffer.from(`from ${i}`))));
      const rows = await database.run('SELECT id FROM encryption_key ORDER BY id');
      expect(rows.flat()).toEqual(['_IK_tenant_svc_prod', '_SK_svc_prod']);
      for (const factory of factories) {
        const opened = await Promise.all(records.map((record) => factory.session('tenant').decrypt(record)));
        expect(opened.map(String)).toEqual(records.map((_, i) => `from ${i}`));
      }
    });

    it('keeps every row that was reported as stored, even if the server is killed during a write', async () => {
      const { metastore } = database.open({ connections: 8 });
      const stored: EnvelopeKeyRecord[] = [];
      const failed: [EnvelopeKeyRecord, unknown][] = [];
      let next = 60;
      const write = async (): Promise<void> => {
        while (failed.length < 8) {
          const row = keyRecord('_SK_killed', (next += 1), { encryptedKey: Buffer.alloc(2000, next) });
          await metastore.store(row, deadline).then(
            () => stored.push(row),
            (error: unknown) => failed.push([row, error]),
          );
        }
      };
      const writers = Array.from({ length: 8 }, write);
      await vi.waitFor(() => expect(stored.length).toBeGreaterThan(100), { timeout: 30_000 });
      await database.server.kill();
      await Promise.all(writers);
      for (const [, error] of failed) {
        expect(error).toMatchObject({ code: 'MetastoreUnavailable' });
        const { cause } = error as KeyfoldError;
        expect(String(cause)).toMatch(
          new RegExp(`^Error: ${isPostgres ? 'PostgreSQL' : 'MySQL'} table encryption_key: \\w+$`),
        );
      }
      await database.server.start();
      for (const row of stored) expect(await metastore.load(row.id, row.created, deadline)).toEqual(row);
      for (const [row] of failed) {
        const found = await metastore.load(row.id, row.created, deadline);
        expect([undefined, row]).toContainEqual(found);
      }
      expect(await metastore.store(keyRecord('_SK_killed', 1), deadline)).toBe('stored');
    });

    it('replaces or removes a row only if its text exactly equals the expected text, whatever the collation and the date style', async () => {
      if (isPostgres) {
        await database.run(
          "CREATE COLLATION IF NOT EXISTS caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        );
        await database.createTable({ created: 'TIMESTAMPTZ', keyRecord: 'TEXT COLLATE caseless' });
        // With this date style, PostgreSQL writes IST after a date, and reads IST as the time of Israel.
        await database.setTimeZone('Asia/Kolkata');
        await database.run("ALTER DATABASE postgres SET datestyle = 'SQL, DMY'");
      }
      const url = `${isPostgres ? 'postgres' : 'mysql'}://keyfold@127.0.0.1:${database.port}/${isPostgres ? 'postgres' : 'test'}`;
      const { table, close } = await openDatabase(url, 'DATABASE_URL');
      await table.insert('_SK_case', 60, '{"Key":"a"}', deadline);
      const [row] = (await table.select({ id: '_SK_case' }, deadline)) as [SqlKeyRow];
      expect(row).toMatchObject({ created: 60, text: '{"Key":"a"}' });
      const stale = { ...row, text: '{"Key":"A"}' };
      expect(await table.replace('_SK_case', stale, '{}', deadline)).toBe(false);
      expect(await table.remove('_SK_case', stale, deadline)).toBe(false);
      expect(await table.replace('_SK_case', row, '{}', deadline)).toBe(true);
      expect(await table.remove('_SK_case', { ...row, text: '{}' }, deadline)).toBe(true);
      await close();
      if (isPostgres) await database.run('ALTER DATABASE postgres RESET ALL');
    });

    it('refuses a partition whose characters the database, the column or the connection lacks', async () => {
      const trials = isPostgres
        ? [
            { encoding: 'LATIN1', kept: ['é', '"'], refused: ['漢', '😀'] },
            { encoding: 'EUC_JP', kept: ['漢', '"'], refused: ['😀'] },
          ]
        : [
            { id: 'VARCHAR(255) CHARACTER SET latin1', kept: ['é', '"'], refused: ['漢', '😀'] },
            { id: 'VARCHAR(255) CHARACTER SET utf8mb3', kept: ['é', '漢'], refused: ['😀'] },
            { charset: 'latin1', kept: ['é', '"'], refused: ['漢', '😀'] },
            { charset: 'UTF8_GENERAL_CI', kept: ['é', '漢'], refused: ['😀'] },
          ];
      for (const { kept, refused, ...narrow } of trials) {
        const { metastore, count, close } = await openNarrow(narrow);
        for (const partition of kept) {
          const row = keyRecord(`_IK_${partition}_svc_prod`, 60);
          expect(await metastore.store(row, deadline)).toBe('stored');
          expect(await metastore.loadLatest(row.id, deadline)).toEqual(row);
        }
        for (const partition of refused) {
          const row = keyRecord(`_IK_${partition}_svc_prod`, 60);
          expect(await codeOf(metastore.store(row, deadline))).toBe('InvalidRequest');
          expect(await metastore.loadLatest(row.id, deadline).catch(({ code }: KeyfoldError) => code)).toBeOneOf([
            undefined,
            'InvalidRequest',
          ]);
        }
        expect(await count()).toBe(kept.length);
        await close();
      }
    });

    it('opens new connections without an error after the server restarts', async () => {
      const { metastore } = database.open({ connections: 4 });
      const row = keyRecord('_SK_restart', 60);
      await metastore.store(row, deadline);
      await Promise.all(Array.from({ length: 4 }, () => metastore.load(row.id, row.created, deadline)));
      await database.server.kill();
      await database.server.start();
      expect(await metastore.load(row.id, row.created, deadline)).toEqual(row);
    });

    it.for(['deadline', 'query timeout'] as const)(
      'stops a write on the server at the %s, even if the pool has only one connection',
      async (limit) => {
        const row = keyRecord('_SK_slow', 60);
        const blocker = await holdRow(row);
        const { metastore } = database.open({
          connections: 1,
          ...(limit === 'query timeout' && { queryTimeoutMs: 150 }),
        });
        const given: Deadline =
          limit === 'deadline' ? { atMs: Date.now() + 300, signal: AbortSignal.timeout(300) } : deadline;
        const error = await errorOf(metastore.store(row, given));
        const { name, cause } = error as KeyfoldError;
        expect(`${name} ${String(cause)}`).toMatch(
          limit === 'deadline' ? /^TimeoutError undefined$/ : /^KeyfoldError .*: NoAnswerInTime$/,
        );
        await vi.waitFor(async () => expect(await runningInserts()).toBe(0), { timeout: 20_000 });
        await blocker.rollback();
        expect(await metastore.load(row.id, row.created, deadline)).toBeUndefined();
        expect(await metastore.store(row, deadline)).toBe('stored');
      },
    );

    it('returns a connection to the pool if the pool provides the connection only after the deadline', async () => {
      const row = keyRecord('_SK_queue', 60);
      const blocker = await holdRow(row);
      const { metastore } = database.open({ connections: 1 });
      const first = metastore.store(row, deadline);
      const over = AbortSignal.timeout(100);
      const waiting = metastore.loadLatest(row.id, { atMs: Date.now() + 100, signal: over });
      expect(await errorOf(waiting)).toBe(over.reason);
      await blocker.rollback();
      expect(await first).toBe('stored');
      expect(await metastore.loadLatest(row.id, deadline)).toEqual(row);
    });

    it('works with exactly the rights that the documents list', async () => {
      const grants = isPostgres
        ? [
            'CREATE ROLE service LOGIN',
            'GRANT SELECT, INSERT ON encryption_key TO service',
            'CREATE ROLE maintenance LOGIN',
            'GRANT SELECT, INSERT, UPDATE (key_record) ON encryption_key TO maintenance',
          ]
        : [
            "CREATE USER service@'127.0.0.1'",
            "GRANT SELECT, INSERT ON test.encryption_key TO service@'127.0.0.1'",
            "CREATE USER maintenance@'127.0.0.1'",
            "GRANT SELECT, INSERT, UPDATE (key_record, created) ON test.encryption_key TO maintenance@'127.0.0.1'",
          ];
      for (const grant of grants) await database.run(grant);
      const service = database.open({ user: 'service', connections: 1 }).metastore;
      const maintenance = database.open({ user: 'maintenance' }).metastore;
      const row = keyRecord('_SK_rights', 60);
      expect(await service.store(row, deadline)).toBe('stored');
      expect(await service.store(row, deadline)).toBe('duplicate');
      expect(await service.rows(row.id, deadline)).toEqual([row]);
      expect(await codeOf(service.replaceKey(row, Buffer.from('x'), deadline))).toBe('MetastoreUnavailable');
      expect(await maintenance.replaceKey(row, Buffer.from('x'), deadline)).toBe('replaced');
      // The service needs no additional right to stop one of its own queries.
      const slow = keyRecord('_SK_slow', 60);
      const blocker = await holdRow(slow);
      const signal = AbortSignal.timeout(200);
      const over = await errorOf(service.store(slow, { atMs: Date.now() + 200, signal }));
      expect(over).toBe(signal.reason);
      await vi.waitFor(async () => expect(await runningInserts()).toBe(0), { timeout: 20_000 });
      await blocker.rollback();
    });

    // PostgreSQL has neither setting, so do not register these tests for it. Skipped tests would make the CI run fail.
    it.for(isPostgres ? [] : ["sql_mode = ''", 'autocommit = 0'])(
      'refuses to write in a session with %s, because the row could be truncated or lost',
      async (setting) => {
        const { metastore, close } = database.open({ connections: 1, setting });
        const row = keyRecord('_SK_unsafe', 60);
        const error = await errorOf(metastore.store(row, deadline));
        expect(error).toMatchObject({ code: 'MetastoreUnavailable' });
        expect(String((error as KeyfoldError).cause)).toContain('autocommit and a strict sql_mode');
        await one.metastore.store(row, deadline);
        expect(await codeOf(metastore.replaceKey(row, Buffer.from('x'), deadline))).toBe('MetastoreUnavailable');
        expect(await one.metastore.load(row.id, row.created, deadline)).toEqual(row);
        await close();
        await database.createTable();
      },
    );

    /** Inserts a row in a transaction that stays open, so that other writers of the row wait. */
    async function holdRow(row: EnvelopeKeyRecord): Promise<{ rollback(): Promise<unknown> }> {
      const connection = await database.connect();
      await connection.run(isPostgres ? 'BEGIN' : 'START TRANSACTION');
      const date = isPostgres ? `to_timestamp(${row.created})` : `'1970-01-01 00:01:00'`;
      await connection.run(`INSERT INTO encryption_key (id, created, key_record) VALUES ('${row.id}', ${date}, '{}')`);
      return { rollback: () => connection.run('ROLLBACK').then(() => connection.close()) };
    }

    /** Opens a metastore whose database, column or connection lacks some characters. */
    async function openNarrow({
      encoding = 'UTF8',
      id = 'VARCHAR(255)',
      charset = 'utf8mb4',
    }: Narrow): Promise<Opened> {
      const at = { host: '127.0.0.1', port: database.port, user: 'keyfold' };
      const count = 'SELECT count(*) AS rows_stored FROM encryption_key';
      const create = `CREATE TABLE encryption_key (id ${id}, created TIMESTAMP, key_record TEXT, PRIMARY KEY (id, created))`;
      if (isPostgres) {
        await database.run('DROP DATABASE IF EXISTS narrow');
        await database.run(`CREATE DATABASE narrow ENCODING '${encoding}' LOCALE 'C' TEMPLATE template0`);
        const pool = new Pool({ ...at, database: 'narrow' });
        await pool.query(create);
        return {
          metastore: new PostgresMetastore({ pool }),
          count: async () => Number((await pool.query<{ rows_stored: string }>(count)).rows[0]?.rows_stored),
          close: () => pool.end(),
        };
      }
      await database.createTable({ id });
      const pool = createPool({ ...at, database: 'test', charset });
      return {
        metastore: new MySqlMetastore({ pool }),
        count: async () => Number((await database.run(count))[0]?.[0]),
        close: () => pool.end(),
      };
    }

    /** The number of inserts that the server is running. */
    async function runningInserts(): Promise<number> {
      const [[count] = []] = await database.run(
        isPostgres
          ? "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'INSERT INTO encryption_key%'"
          : "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO encryption_key%'",
      );
      return Number(count);
    }
  });
});
