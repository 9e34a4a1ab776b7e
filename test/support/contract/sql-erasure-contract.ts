/** The contract of erasures of partitions whose keys are in an SQL database. */
import { beforeEach, describe, expect, it } from 'vitest';
import { operatorAdapters } from '../../../src/container.ts';
import type { EnvelopeKeyRecord, KeyId } from '../../../src/index.ts';
import { TOMBSTONE_CREATED } from '../../../src/records/ids.ts';
import { failingAt, KILLS } from '../erasure-kills.ts';
import { codeOf, DAY_MS, MINUTE_MS, noDeadline } from '../fakes.ts';
import type { SqlDatabase, SqlKind } from '../sql-database.ts';
import {
  answers,
  dates,
  ERASED,
  idOf,
  NAMES,
  PAYLOAD,
  setUpErasure,
  status,
  type ErasureWorld,
} from '../sql-erasure-world.ts';

const SYSTEM_KEY = `_SK_${NAMES.service}_${NAMES.product}` as KeyId;

/** Statements that change the table, so that it accepts rows that Asherah would not write. */
const NULLABLE: Readonly<Record<SqlKind, readonly string[]>> = {
  PostgreSQL: ['ALTER TABLE encryption_key ALTER COLUMN key_record DROP NOT NULL'],
  MariaDB: [
    'ALTER TABLE encryption_key MODIFY key_record LONGTEXT NULL',
    'ALTER TABLE encryption_key MODIFY created TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)',
  ],
};
/** Values that a date column accepts, but that do not mean a point in time. */
const ODD_DATES: Readonly<Record<SqlKind, readonly string[]>> = {
  PostgreSQL: ['infinity', '-infinity'],
  MariaDB: ['0000-00-00 00:00:00'],
};

const CASES = {
  PostgreSQL: [
    ['in the time zone UTC', { zone: 'UTC' }],
    ['in the time zone Asia/Kolkata', { zone: 'Asia/Kolkata' }],
    [
      'with the column types TIMESTAMPTZ and JSONB',
      { zone: 'America/New_York', types: { created: 'TIMESTAMPTZ', keyRecord: 'JSONB' } },
    ],
  ],
  MariaDB: [
    ['in the time zone +00:00', { zone: '+00:00' }],
    ['in the time zone +13:00', { zone: '+13:00' }],
    ['in the time zone -12:00', { zone: '-12:00' }],
    ['with the column type DATETIME', { zone: '+00:00', types: { created: 'DATETIME' } }],
  ],
} as const;

/** Runs the tests of erasures that need no more than one session of the database. */
export function sqlErasureContract(kind: SqlKind, open: () => SqlDatabase): void {
  describe.for<[string, object]>(CASES[kind].map(([title, options]) => [title, options]))(
    'an erasure %s',
    ([, options]) => {
      let world: ErasureWorld;
      beforeEach(async () => {
        world = await setUpErasure(kind, open(), options);
        return () => world.close();
      });

      it('marks the keys, deletes them after the waiting time, and leaves every other row as it was', async () => {
        const { erase, clock, metastore } = world;
        const others = [
          ...(await metastore.rows(SYSTEM_KEY, noDeadline())),
          ...(await metastore.rows(idOf('other'), noDeadline())),
        ];
        expect(await status(world)).toMatchObject({ state: 'none', rows: 2 });
        expect((await erase()).stdout).toContain('Marked 2 rows.');
        expect(await answers(world)).toEqual(ERASED);
        expect(await status(world)).toMatchObject({
          state: 'waiting',
          rows: 2,
          unmarked: 0,
          replicas: [{ rows: 2, tombstones: 1 }],
          copies: [{ kind: 'unknown', text: 'the backups, logs and replicas of a database cannot be listed' }],
        });
        expect((await erase('--finish')).code).toBe(1);

        clock.advance(8 * DAY_MS);
        expect((await erase('--finish')).stdout).toContain('Deleted.');
        expect(await dates(world)).toEqual([TOMBSTONE_CREATED]);
        expect(await answers(world)).toEqual(ERASED);
        expect(await status(world)).toMatchObject({ state: 'deleted', rows: 0, copies: [{ kind: 'unknown' }] });
        const now = [
          ...(await metastore.rows(SYSTEM_KEY, noDeadline())),
          ...(await metastore.rows(idOf('other'), noDeadline())),
        ];
        expect(now).toEqual(others);
      });

      it('can be cancelled, after which every record opens again and the next encrypt makes a new key', async () => {
        const { erase } = world;
        await erase();
        expect((await erase('--cancel')).code).toBe(0);
        expect(await status(world)).toMatchObject({ state: 'none', rows: 2 });
        expect(await dates(world)).not.toContain(TOMBSTONE_CREATED);
        expect(await answers(world)).toEqual(['opened', 'opened', 'sealed']);
      });
    },
  );

  describe('an erasure', () => {
    let world: ErasureWorld;
    beforeEach(async () => {
      world = await setUpErasure(kind, open());
      return () => world.close();
    });

    it.for(KILLS)(
      'that was killed in the step "%s" is completed by a second run (at write %i, %s the row was stored)',
      async ([step, n, when]) => {
        const { erase, clock, operator } = world;
        const options = step === 'begin' ? [] : [`--${step}`];
        if (step !== 'begin') await erase();
        if (step === 'finish') clock.advance(8 * DAY_MS);
        const { openDatabase } = operatorAdapters;
        operator.adapters.openDatabase = async (url, variable) => {
          const { openErasureTables, ...opened } = await openDatabase(url, variable);
          return {
            ...opened,
            openErasureTables: (table, names) => failingAt(openErasureTables(table, names), n, when),
          };
        };
        const killed = await erase(...options);
        expect(killed).toMatchObject({ code: 1, stderr: expect.stringContaining('"outcome":"failed"') as string });
        operator.adapters.openDatabase = openDatabase;
        clock.advance(MINUTE_MS);
        // If the command was killed after its last write, nothing is left to cancel, so the repeated command fails.
        const isOver = step === 'cancel' && n === 4 && when === 'after';
        expect((await erase(...options)).code).toBe(isOver ? 1 : 0);
        const expected = { begin: ['waiting', 3], cancel: ['none', 2], finish: ['deleted', 1] }[step];
        expect([(await status(world))['state'], (await dates(world)).length]).toEqual(expected);
        expect(await answers(world)).toEqual(step === 'cancel' ? ['opened', 'opened', 'sealed'] : ERASED);
      },
    );

    it('makes warm processes stop sealing once the check interval has passed, and stop opening once the maximum age and grace period have passed', async () => {
      const { service, erase, clock, records } = world;
      const warm = service().session('tenant');
      await warm.encrypt(PAYLOAD);
      for (const record of records) await warm.decrypt(record);
      await erase();
      clock.advance(61 * MINUTE_MS);
      expect(await codeOf(warm.encrypt(PAYLOAD))).toBe('PartitionErased');
      clock.advance(15 * MINUTE_MS);
      for (const record of records) expect(await codeOf(warm.decrypt(record))).toBe('PartitionErased');
    });

    it('stays in effect if a process still stores a new key, which --finish deletes only with --delete-unmarked', async () => {
      const { erase, metastore, clock } = world;
      const latest = (await metastore.loadLatest(idOf('tenant'), noDeadline())) as EnvelopeKeyRecord;
      await erase();
      await metastore.store({ ...latest, created: (latest.created + 60) as never, revoked: false }, noDeadline());
      expect(await answers(world)).toEqual(ERASED);
      expect(await status(world)).toMatchObject({ rows: 3, unmarked: 1 });
      clock.advance(8 * DAY_MS);
      expect(await erase('--finish')).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('1 rows are left') as string,
      });
      expect((await erase('--finish', '--delete-unmarked')).code).toBe(0);
      expect(await dates(world)).toEqual([TOMBSTONE_CREATED]);
    });

    it('lists rows that cannot be read, and deletes them if the operator agrees', async () => {
      const { database, erase, clock, metastore } = world;
      const [row] = await database.run(`SELECT key_record FROM encryption_key WHERE id = '${idOf('tenant')}'`);
      for (const statement of NULLABLE[kind]) await database.run(statement);
      const rows: [created: string, keyRecord: string][] = [
        ['2020-01-01 00:00:00', 'NULL'],
        ['2020-01-02 00:00:00', "REPEAT(' ', 70000)"],
        ['2020-01-03 00:00:00.5', `'${String(row?.[0])}'`],
        ['2020-01-04 00:00:00', "'not JSON'"],
        // A row that has the date of a tombstone, but is not a tombstone. The erasure must still write the real
        // tombstone.
        [kind === 'PostgreSQL' ? '9999-12-31 23:59:59' : '2038-01-17 23:59:59', 'NULL'],
        ...ODD_DATES[kind].map((date): [string, string] => [date, 'NULL']),
      ];
      const session = kind === 'PostgreSQL' ? database : await database.connect();
      if (session !== database) await session.run("SET sql_mode = ''");
      for (const [created, keyRecord] of rows) {
        await session.run(
          `INSERT INTO encryption_key (id, created, key_record) VALUES ('${idOf('tenant')}', '${created}', ${keyRecord})`,
        );
      }
      if (session !== database) await session.close();
      const unreadable = rows.length - 1;
      const begun = await erase();
      expect(begun.stdout).toContain(`${unreadable} rows could not be marked`);
      expect(begun.stdout).toContain('2020-01-03 00:00:00.5');
      clock.advance(8 * DAY_MS);
      expect(await erase('--finish')).toMatchObject({
        code: 1,
        stderr: expect.stringContaining(`${unreadable} rows are left`) as string,
      });
      expect(await erase('--finish', '--delete-unmarked')).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('Deleted.') as string,
      });
      expect(await metastore.rows(idOf('tenant'), noDeadline())).toMatchObject([
        { created: TOMBSTONE_CREATED, revoked: true },
      ]);
      expect(await answers(world)).toEqual(ERASED);
    });

    it('ignores a tombstone whose proof is forged, and replaces it', async () => {
      const { database, metastore, erase } = world;
      const forged = { Erase: 'forged', At: 60, Due: 120, Proof: Buffer.alloc(32).toString('base64') };
      const { parent } = (await metastore.loadLatest(idOf('tenant'), noDeadline())) as EnvelopeKeyRecord;
      const key = { Created: TOMBSTONE_CREATED, Key: Buffer.alloc(60).toString('base64'), Revoked: true };
      const text = JSON.stringify({
        ...key,
        ParentKeyMeta: { KeyId: parent?.id, Created: parent?.created },
        Erased: forged,
      });
      const created = kind === 'PostgreSQL' ? '9999-12-31 23:59:59' : '2038-01-17 23:59:59';
      await database.run(
        `INSERT INTO encryption_key (id, created, key_record) VALUES ('${idOf('tenant')}', '${created}', '${text}')`,
      );
      expect((await answers(world)).slice(0, 2)).toEqual(['opened', 'opened']);
      expect(await status(world)).toMatchObject({ state: 'none' });
      expect((await erase()).code).toBe(0);
      expect(await answers(world)).toEqual(ERASED);
    });
  });
}
