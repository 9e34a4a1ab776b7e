/** Tests the SQL metastores on real database servers. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  SessionFactory,
  SystemKeyMaintenance,
  type Deadline,
  type EnvelopeKeyRecord,
  type KeyfoldError,
  type KeyMeta,
} from '../../src/index.ts';
import { encodeKeyRecord } from '../../src/metastore/sql/key-record.ts';
import { codeOf, errorOf, FakeKms, HandClock, noDeadline } from '../support/fakes.ts';
import { keyRecord, LONG_ID } from '../../src/testing/key-record.ts';
import { runMetastoreContracts } from '../support/contract/bind.ts';
import { rowProofContract } from '../support/contract/row-proof-contract.ts';
import { KINDS, startDatabase, type OpenMetastore, type SqlDatabase } from './sql-database.ts';

const CACHES = 200;
const NAMES = { service: 'svc', product: 'prod' };
const deadline = noDeadline();

describe.for(KINDS)('%s', (kind) => {
  const isPostgres = kind === 'PostgreSQL';
  let database: SqlDatabase;
  let one: OpenMetastore;
  /** A server that accepts connections but never responds. */
  const silent = createServer((socket) => void sockets.push(socket));
  const sockets: Socket[] = [];

  beforeAll(async () => {
    database = await startDatabase(kind);
  });
  afterAll(() => database.stop());

  describe('with IDs of 2,048 bytes', () => {
    beforeAll(async () => {
      await database.createTable({ id: isPostgres ? 'TEXT' : 'VARBINARY(2048)' });
      await database.run('CREATE DATABASE empty');
      one = database.open();
      await once(silent.listen(0, '127.0.0.1'), 'listening');
    });
    afterAll(() => {
      silent.close();
      for (const socket of sockets) socket.destroy();
    });
    const faults = {
      openFailing: () => database.open({ port: 9 }).metastore,
      openHanging: () => database.open({ port: (silent.address() as AddressInfo).port }).metastore,
      openMissing: () => database.open({ name: 'empty' }).metastore,
    };
    // A string in PostgreSQL cannot contain U+0000. A TIMESTAMP of MariaDB ends in 2038.
    const limits = isPostgres ? { longId: LONG_ID.replace('\0', '\u0001') } : { lastDate: 2 ** 31 - 1 };
    runMetastoreContracts(kind, () => one.metastore, faults, limits);
  });

  describe('with proofs of its key rows', () => {
    beforeAll(async () => {
      await database.createTable();
      one = database.open();
    });
    const [id, text] = isPostgres ? ['$1', '$2'] : ['?', '?'];
    // `Key` follows the row's own date. The date of the parent ends an object.
    const remove = async (key: KeyMeta): Promise<void> =>
      void (await database.run(`DELETE FROM encryption_key WHERE id = ${id} AND key_record LIKE ${text}`, [
        key.id,
        `%"Created":${key.created},"Key"%`,
      ]));
    const put = async (row: EnvelopeKeyRecord): Promise<void> => {
      await remove(row);
      expect(await one.metastore.store(row, deadline)).toBe('stored');
    };
    rowProofContract(kind, () => ({ metastore: one.metastore, put, remove }));
  });

  describe("with Asherah's schema", () => {
    beforeAll(() => {
      one = database.open();
    });
    beforeEach(() => database.createTable());

    it('stores one row per key if 200 caches encrypt for a new partition at once, and each cache can open every record', async () => {
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

    it('needs one query for a known partition, and one query and one insert for a new partition', async () => {
      const kms = new FakeKms();
      const factoryOf = ({ metastore }: OpenMetastore): SessionFactory =>
        new SessionFactory({ ...NAMES, metastore, kms });
      await factoryOf(one).session('first').encrypt(Buffer.from('x'));
      const counted = database.open();
      const factory = factoryOf(counted);
      await factory.preload();
      const before = counted.queries();
      await factory.session('first').encrypt(Buffer.from('x'));
      expect(counted.queries() - before).toBe(1);
      await factory.session('second').encrypt(Buffer.from('x'));
      expect(counted.queries() - before).toBe(3);
    });

    it('distinguishes IDs that a collation considers equal', async () => {
      const ids = ['_IK_tenant_a', '_IK_Tenant_a', '_IK_ténant_a', '_IK_tenant_a ', '_IK_tenant_a\u200b'];
      const { metastore } = one;
      // The dates differ by one second. With a collation that treats the IDs as equal, the primary key would otherwise
      // reject the rows.
      const rows = ids.map((id, i) => keyRecord(id, 60 + i));
      for (const row of rows) expect(await metastore.store(row, deadline)).toBe('stored');
      for (const row of rows) {
        expect(await metastore.loadLatest(row.id, deadline)).toEqual(row);
        expect(await metastore.rows(row.id, deadline)).toEqual([row]);
        for (const { created } of rows.filter((other) => other !== row)) {
          expect(await metastore.load(row.id, created, deadline)).toBeUndefined();
        }
      }
    });

    it('finds and stores no row with an ID or a date that no row can have', async () => {
      const { metastore } = one;
      for (const id of ['', 'a'.repeat(2049), 'a\ud800', 'a\0']) {
        const row = keyRecord(id, 60);
        expect(await metastore.load(row.id, row.created, deadline)).toBeUndefined();
        expect(await metastore.loadLatest(row.id, deadline)).toBeUndefined();
        expect(await metastore.rows(row.id, deadline)).toEqual([]);
        expect(await metastore.loadRecent(row.id, row.created, deadline)).toEqual([]);
        const outcome = await metastore.store(row, deadline).catch((error: KeyfoldError) => error.code);
        // A string in MySQL can contain U+0000.
        expect(outcome).toBe(id === 'a\0' && !isPostgres ? 'stored' : 'InvalidRequest');
      }
      for (const created of [-1, 0, 1.5, Number.NaN, 2 ** 31, 4e9, 253_402_300_800, Number.MAX_SAFE_INTEGER]) {
        const row = keyRecord('_SK_dates', created);
        expect(await metastore.load(row.id, row.created, deadline)).toBeUndefined();
      }
      const { id, created } = keyRecord('_SK_dates', Number.MAX_SAFE_INTEGER);
      expect(await metastore.loadRecent(id, created, deadline)).toEqual([]);
      expect(await codeOf(metastore.store(keyRecord('_SK_dates', -5), deadline))).toBe('InvalidRequest');
      expect(await codeOf(metastore.store(keyRecord('_SK_dates', 253_402_300_800), deadline))).toBe('InvalidRequest');
    });

    it('refuses a row that would not fit into the columns, and stores nothing', async () => {
      const { metastore } = one;
      const tooLong = [
        keyRecord(`_IK_${'t'.repeat(300)}_svc_prod`, 60),
        keyRecord('_SK_big', 60, { encryptedKey: Buffer.alloc(50_000) }),
        ...(isPostgres ? [] : [keyRecord('_SK_late', 2 ** 32)]),
      ];
      for (const row of tooLong) {
        const error = await errorOf(metastore.store(row, deadline));
        expect(error).toMatchObject({ code: 'InvalidRequest' });
        expect(String(error)).not.toMatch(/ttt|AAAA/);
      }
      const existing = keyRecord('_SK_grows', 60);
      await metastore.store(existing, deadline);
      expect(await codeOf(metastore.replaceKey(existing, Buffer.alloc(50_000), deadline))).toBe('InvalidRequest');
      expect(await database.run('SELECT id FROM encryption_key')).toEqual([['_SK_grows']]);
    });

    it('stores and lists the latest possible date', async () => {
      const last = keyRecord('_SK_last', isPostgres ? 253_402_300_799 : 2 ** 31 - 1);
      expect(await one.metastore.store(last, deadline)).toBe('stored');
      expect(await one.metastore.loadLatest(last.id, deadline)).toEqual(last);
    });

    it('keeps every row that it reported as stored if the server is killed while it writes', async () => {
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
      "stops a write on the server at the write's %s, and then needs only one of the pool's connections",
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

    it('returns a connection to the pool if the pool provides it after the deadline', async () => {
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

    it('names a row that it cannot read, shows no part of its content, and reads the other rows', async () => {
      const { metastore } = one;
      const good = keyRecord('_SK_poison', 120, { proof: Buffer.alloc(32, 1) });
      const text = encodeKeyRecord(good);
      const changed = (changes: object): string => JSON.stringify({ ...(JSON.parse(text) as object), ...changes });
      const poisons = [
        'SECRET',
        '',
        '[]',
        'null',
        '{}',
        text.slice(0, -1),
        '['.repeat(200) + ']'.repeat(200),
        `{"x":"${'S'.repeat(isPostgres ? 5_000_000 : 65_000)}`,
        changed({ Created: 121 }),
        changed({ Created: '120' }),
        changed({ Created: undefined }),
        changed({ Key: 'SECRET' }),
        changed({ Key: 7 }),
        changed({ ParentKeyMeta: 'SECRET' }),
        changed({ ParentKeyMeta: { KeyId: '_SK_x' } }),
        changed({ Revoked: 'false' }),
        changed({ Proof: '' }),
        changed({ Proof: Buffer.alloc(31).toString('base64') }),
        changed({ Proof: null }),
        changed({ Proof: { SECRET: 1 } }),
      ];
      await metastore.store(keyRecord('_SK_poison', 60), deadline);
      await metastore.store(good, deadline);
      await metastore.store(keyRecord('_SK_poison', 180), deadline);
      const placeholder = isPostgres ? ['$1', '$2'] : ['?', '?'];
      for (const poison of poisons) {
        const where = isPostgres ? 'created = to_timestamp(120)' : "created = '1970-01-01 00:02:00'";
        await database.run(
          `UPDATE encryption_key SET key_record = ${placeholder[0]} WHERE id = ${placeholder[1]} AND ${where}`,
          [poison, good.id],
        );
        for (const error of [
          await errorOf(metastore.load(good.id, good.created, deadline)),
          await errorOf(metastore.loadRecent(good.id, good.created, deadline)),
          await errorOf(metastore.replaceKey(good, Buffer.from('new'), deadline)),
        ]) {
          expect(error).toMatchObject({ code: 'KeyRowUnreadable' });
          expect(String(error)).toContain('_SK_poison created 120');
          expect(`${String(error)} ${String((error as KeyfoldError).cause)}`).not.toMatch(/SECRET|SSS/);
        }
        const newest = keyRecord('_SK_poison', 180);
        expect(await metastore.loadRecent(newest.id, newest.created, deadline)).toEqual([newest]);
        expect(await metastore.rows(good.id, deadline)).toMatchObject([
          newest,
          { id: good.id, created: 120, unreadable: expect.any(String) as string },
          keyRecord('_SK_poison', 60),
        ]);
      }
      await database.run(`UPDATE encryption_key SET key_record = ${placeholder[0]} WHERE id = ${placeholder[1]}`, [
        text,
        good.id,
      ]);
      expect(await metastore.load(good.id, good.created, deadline)).toEqual(good);
    });

    it('lets maintenance renew the wraps of System Keys, and keeps the other members of their rows', async () => {
      const { metastore } = one;
      const row = keyRecord('_SK_svc_prod', Math.floor(Date.now() / 60_000) * 60, { proof: Buffer.alloc(32, 1) });
      await metastore.store(row, deadline);
      const more = encodeKeyRecord(row).replace('{', '{"More":{"a":[1]},');
      await database.run(`UPDATE encryption_key SET key_record = ${isPostgres ? '$1' : '?'}`, [more]);
      const kms = Object.assign(new FakeKms(), {
        renew: async (wrapped: Uint8Array) => ({
          regions: [],
          renewed: Buffer.from(wrapped).equals(Buffer.from(row.encryptedKey)) ? Buffer.from('renewed') : undefined,
        }),
      });
      const maintenance = new SystemKeyMaintenance({ ...NAMES, metastore, kms });
      const { systemKeys, createFault } = await maintenance.run();
      expect(createFault).toBeUndefined();
      expect(systemKeys).toMatchObject([{ id: row.id, created: row.created, state: 'valid' }]);
      const renewed = { ...row, encryptedKey: Buffer.from('renewed') };
      expect(await metastore.load(row.id, row.created, deadline)).toEqual(renewed);
      const [[text] = []] = await database.run('SELECT key_record FROM encryption_key');
      expect(JSON.parse(text as string)).toMatchObject({ More: { a: [1] } });
    });

    it('reports a missing table as MetastoreUnavailable, and not as an absent key', async () => {
      await database.run('DROP TABLE encryption_key');
      const { metastore } = one;
      const row = keyRecord('_SK_x', 60);
      const works = [
        metastore.load(row.id, row.created, deadline),
        metastore.loadLatest(row.id, deadline),
        metastore.loadRecent(row.id, row.created, deadline),
        metastore.rows(row.id, deadline),
        metastore.store(row, deadline),
        metastore.replaceKey(row, Buffer.from('x'), deadline),
      ];
      for (const error of await Promise.all(works.map(errorOf))) {
        expect(error).toMatchObject({ code: 'MetastoreUnavailable' });
        const cause = isPostgres
          ? 'PostgreSQL table encryption_key: 42P01'
          : 'MySQL table encryption_key: ER_NO_SUCH_TABLE';
        expect(String((error as KeyfoldError).cause)).toBe(`Error: ${cause}`);
      }
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

    // PostgreSQL has neither setting. A test that is not registered does not count as skipped.
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
