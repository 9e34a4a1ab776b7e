/** The contract of a metastore in an SQL database with Asherah's table. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  SessionFactory,
  SystemKeyMaintenance,
  type EnvelopeKeyRecord,
  type KeyfoldError,
  type KeyMeta,
} from '../../../src/index.ts';
import { encodeKeyRecord } from '../../../src/metastore/sql/key-record.ts';
import { keyRecord, LONG_ID } from '../../../src/testing/key-record.ts';
import { codeOf, errorOf, FakeKms, noDeadline } from '../fakes.ts';
import type { OpenMetastore, SqlDatabase, SqlKind } from '../sql-database.ts';
import { runMetastoreContracts } from './bind.ts';
import { rowProofContract } from './row-proof-contract.ts';

const NAMES = { service: 'svc', product: 'prod' };
const deadline = noDeadline();

/**
 * Runs the tests that need no more than one session of the database.
 * @param empty the name of a database without a table, if the server has several databases
 */
export function sqlMetastoreContract(kind: SqlKind, opened: () => SqlDatabase, empty?: string): void {
  const isPostgres = kind === 'PostgreSQL';
  let database: SqlDatabase;
  let one: OpenMetastore;
  beforeAll(() => {
    database = opened();
    one = database.open();
  });

  describe('with IDs of 2,048 bytes', () => {
    /** A server that accepts connections but never responds. */
    const silent = createServer((socket) => void sockets.push(socket));
    const sockets: Socket[] = [];

    beforeAll(async () => {
      await database.createTable({ id: isPostgres ? 'TEXT' : 'VARBINARY(2048)' });
      if (empty !== undefined) await database.run(`CREATE DATABASE ${empty}`);
      await once(silent.listen(0, '127.0.0.1'), 'listening');
    });
    afterAll(() => {
      silent.close();
      for (const socket of sockets) socket.destroy();
    });
    const faults = {
      openFailing: () => database.open({ port: 9 }).metastore,
      openHanging: () => database.open({ port: (silent.address() as AddressInfo).port }).metastore,
      ...(empty !== undefined && { openMissing: () => database.open({ name: empty }).metastore }),
    };
    // Do not test values that the columns cannot hold: U+0000 in a string of PostgreSQL, and dates after 2038 in a
    // TIMESTAMP of MariaDB.
    const limits = isPostgres ? { longId: LONG_ID.replace('\0', '\u0001') } : { lastDate: 2 ** 31 - 1 };
    runMetastoreContracts(kind, () => one.metastore, faults, limits);
  });

  describe('with proofs of its key rows', () => {
    beforeAll(() => database.createTable());
    const [id, text] = isPostgres ? ['$1', '$2'] : ['?', '?'];
    // In the JSON text, the member `Key` follows the row's own date, but not the parent's date. So the pattern includes
    // `Key`, to match only the row's own date.
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
    beforeEach(() => database.createTable());

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
      // Give each row a different date. If the dates were equal and a collation treated the IDs as equal, the primary
      // key would reject the rows. Then the test would not reach the reads.
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

    it('refuses to store a row with an impossible ID or date, and finds no such row', async () => {
      const { metastore } = one;
      for (const id of ['', 'a'.repeat(2049), 'a\ud800', 'a\0']) {
        const row = keyRecord(id, 60);
        expect(await metastore.load(row.id, row.created, deadline)).toBeUndefined();
        expect(await metastore.loadLatest(row.id, deadline)).toBeUndefined();
        expect(await metastore.rows(row.id, deadline)).toEqual([]);
        expect(await metastore.loadRecent(row.id, row.created, deadline)).toEqual([]);
        const outcome = await metastore.store(row, deadline).catch((error: KeyfoldError) => error.code);
        // Only MySQL stores an ID with U+0000, because a string in PostgreSQL cannot contain this character.
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

    it('names an unreadable row without its content, and reads the other rows', async () => {
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
        `{"x":"${'S'.repeat(isPostgres ? 70_000 : 65_000)}`,
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
  });
}
