/** Tests Keyfold and Asherah on one SQL table. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  decodeDataRowRecord,
  encodeDataRowRecord,
  SessionFactory,
  StaticKms,
  type DataRowRecord,
  type KeyMeta,
} from '../../src/index.ts';
import { noDeadline } from '../support/fakes.ts';
import { GO_STATIC_KEY, startAsherah, type Asherah } from './asherah.ts';
import type { SqlKind } from '../support/sql-database.ts';
import { startDatabase, type ServedDatabase } from './sql-database.ts';

const NAMES = { service: 'svc', product: 'prod' };
const DAY_MS = 86_400_000;
const PAYLOAD = Buffer.from('payload, and \u{1f511}');

/**
 * Asherah Rust needs the type JSON in PostgreSQL, and refuses TEXT. Asherah Go's binding for Python supports only
 * MySQL.
 */
const CASES = [
  { core: 'go', kind: 'MariaDB', zone: '+00:00', columns: 'the usual types', types: {} },
  { core: 'go', kind: 'MariaDB', zone: '+05:30', columns: 'the usual types', types: {} },
  { core: 'go', kind: 'MariaDB', zone: '-08:00', columns: 'the usual types', types: {} },
  { core: 'rust', kind: 'MariaDB', zone: '+00:00', columns: 'the usual types', types: {} },
  { core: 'rust', kind: 'MariaDB', zone: '+05:30', columns: 'the usual types', types: {} },
  { core: 'rust', kind: 'PostgreSQL', zone: 'UTC', columns: 'JSON', types: { keyRecord: 'JSON' } },
  { core: 'rust', kind: 'PostgreSQL', zone: 'Asia/Kolkata', columns: 'JSONB', types: { keyRecord: 'JSONB' } },
  {
    core: 'rust',
    kind: 'PostgreSQL',
    zone: 'Asia/Kolkata',
    columns: 'TIMESTAMPTZ and JSONB',
    types: { created: 'TIMESTAMPTZ', keyRecord: 'JSONB' },
  },
] as const;

let databases: Readonly<Record<SqlKind, ServedDatabase>>;

beforeAll(async () => {
  const [PostgreSQL, MariaDB] = await Promise.all([startDatabase('PostgreSQL'), startDatabase('MariaDB')]);
  databases = { PostgreSQL, MariaDB };
});
afterAll(() => Promise.all(Object.values(databases).map((database) => database.stop())));

describe.for(CASES)(
  'Keyfold and Asherah ($core) on $kind (time zone $zone, columns of $columns)',
  ({ core, kind, zone, types }) => {
    it("read each other's records under keys that Asherah created", async () => {
      const { asherah, keyfold } = await together();
      await using peer = await asherah();
      const theirs = await peer.encrypt('tenant', PAYLOAD);
      expect(await keyfold().session('tenant').decryptJson(theirs)).toEqual(PAYLOAD);

      const ours = await keyfold().session('tenant').encrypt(PAYLOAD);
      expect(ours.key.parent).toEqual(decodeDataRowRecord(theirs).key.parent);
      expect(await peer.decrypt('tenant', encodeDataRowRecord(ours))).toEqual(PAYLOAD);
    });

    it("read each other's records under keys that Keyfold created with proofs", async () => {
      const { asherah, keyfold, metastore } = await together();
      const ours = await keyfold().session('tenant').encrypt(PAYLOAD);
      const { id, created } = ours.key.parent as KeyMeta;
      expect((await metastore.load(id, created, noDeadline()))?.proof).toHaveLength(32);
      await using peer = await asherah();
      expect(await peer.decrypt('tenant', encodeDataRowRecord(ours))).toEqual(PAYLOAD);

      const theirs = await peer.encrypt('tenant', Buffer.alloc(0));
      expect(decodeDataRowRecord(theirs).key.parent).toEqual(ours.key.parent);
      expect(await keyfold().session('tenant').decryptJson(theirs)).toEqual(Buffer.alloc(0));
    });

    it('still read old records after either of them has rotated the keys', async () => {
      const { asherah, keyfold } = await together();
      const ours = await keyfold(-100 * DAY_MS)
        .session('tenant')
        .encrypt(PAYLOAD);
      await using peer = await asherah();
      const theirs = decodeDataRowRecord(await peer.encrypt('tenant', PAYLOAD));
      expect(theirs.key.parent.created).toBeGreaterThan(ours.key.parent.created);
      const later = keyfold(100 * DAY_MS).session('tenant');
      const rotated = await later.encrypt(PAYLOAD);
      expect(rotated.key.parent.created).toBeGreaterThan(theirs.key.parent.created);
      await using fresh = await asherah();
      for (const record of [ours, theirs, rotated] as DataRowRecord[]) {
        expect(await later.decrypt(record)).toEqual(PAYLOAD);
        expect(await fresh.decrypt('tenant', encodeDataRowRecord(record))).toEqual(PAYLOAD);
      }
    });

    it('write the same date, in UTC, into the column and into the key record', async () => {
      const { asherah, metastore } = await together();
      await using peer = await asherah();
      const { id, created } = decodeDataRowRecord(await peer.encrypt('tenant', PAYLOAD)).key.parent as KeyMeta;
      expect(await metastore.loadLatest(id, noDeadline())).toMatchObject({ id, created });
      expect(await metastore.load(id, created, noDeadline())).toMatchObject({ id, created });
      if (kind === 'PostgreSQL') return;
      const [[text] = []] = await databases[kind].run('SELECT CAST(created AS CHAR) FROM encryption_key WHERE id = ?', [
        id,
      ]);
      expect(text).toBe(new Date(created * 1000).toISOString().slice(0, 19).replace('T', ' '));
    });

    const together = async () => {
      const database = databases[kind];
      await database.setTimeZone(zone);
      await database.createTable(types);
      const { metastore } = database.open();
      const { port } = database.server;
      const scheme = kind === 'PostgreSQL' ? 'postgres' : 'mysql';
      const uri = `${scheme}://keyfold@127.0.0.1:${port}/${kind === 'PostgreSQL' ? 'postgres' : 'test'}`;
      const connectionString = core === 'go' ? `keyfold@tcp(127.0.0.1:${port})/test` : uri;
      return {
        metastore,
        asherah: (): Promise<Asherah> => startAsherah({ ...NAMES, core, connectionString }),
        keyfold: (offsetMs = 0): SessionFactory =>
          new SessionFactory({
            ...NAMES,
            metastore,
            kms: new StaticKms(GO_STATIC_KEY, {}),
            now: () => Date.now() + offsetMs,
          }),
      };
    };
  },
);
