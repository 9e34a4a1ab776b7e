/** Erases partitions whose keys are in a real PostgreSQL or MariaDB database, even while Asherah uses the table. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startKmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { ensureKeys } from '../../local/function-environment.ts';
import { operatorAdapters } from '../../src/container.ts';
import {
  AwsKms,
  SessionFactory,
  StaticKms,
  type DataRowRecord,
  type EnvelopeKeyRecord,
  type KeyId,
} from '../../src/index.ts';
import { TOMBSTONE_CREATED, type EpochSeconds, type PartitionId } from '../../src/records/ids.ts';
import { read } from '../support/documents.ts';
import { failingAt, KILLS } from '../support/erasure-kills.ts';
import { codeOf, DAY_MS, MINUTE_MS, noDeadline } from '../support/fakes.ts';
import { OperatorFixture, type CliRun } from '../support/operator.ts';
import { GO_STATIC_KEY, startAsherah, type Asherah } from './asherah.ts';
import { AWS_ENVIRONMENT, startDynamoDbLocal } from './processes.ts';
import { NAMES, shareTable } from './shared-table.ts';
import { KINDS, startDatabase, type SqlDatabase, type SqlKind } from './sql-database.ts';

Object.assign(process.env, AWS_ENVIRONMENT);

const PAYLOAD = Buffer.from('payload, and \u{1f511}');
const SYSTEM_KEY = `_SK_${NAMES.service}_${NAMES.product}` as KeyId;
const idOf = (partition: string): KeyId => `_IK_${partition}_${NAMES.service}_${NAMES.product}` as KeyId;
const ERASED = ['PartitionErased', 'PartitionErased', 'PartitionErased'];

let databases: Readonly<Record<SqlKind, SqlDatabase>>;

beforeAll(async () => {
  const [PostgreSQL, MariaDB] = await Promise.all([startDatabase('PostgreSQL'), startDatabase('MariaDB')]);
  databases = { PostgreSQL, MariaDB };
});
afterAll(() => Promise.all(Object.values(databases).map((database) => database.stop())));

/** The address of the database, for the command and for Asherah Rust. */
function urlOf(kind: SqlKind, user = 'keyfold'): string {
  const at = `${user}@127.0.0.1:${databases[kind].server.port}`;
  return kind === 'PostgreSQL' ? `postgres://${at}/postgres` : `mysql://${at}/test`;
}

/** A key table in a time zone, an operator, and records of the partition under two keys. */
async function setUp(kind: SqlKind, { zone = kind === 'PostgreSQL' ? 'UTC' : '+00:00', types = {} } = {}) {
  const database = databases[kind];
  await database.setTimeZone(zone);
  await database.createTable(types);
  const { metastore, close } = database.open();
  const operator = OperatorFixture.at('http://127.0.0.1:9');
  const { clock } = operator;
  // Asherah uses the true time. Its new keys get later dates than the keys of this service.
  clock.nowMs = Date.now() - 120 * MINUTE_MS;
  const service = (): SessionFactory =>
    new SessionFactory({ ...NAMES, metastore, kms: new StaticKms(GO_STATIC_KEY, {}), now: clock.now });
  const user = { name: 'keyfold' };
  const keyfold = (...args: string[]): Promise<CliRun> =>
    operator.keyfold(args, {
      KEYFOLD_SERVICE: NAMES.service,
      KEYFOLD_PRODUCT: NAMES.product,
      KEYFOLD_STATIC_MASTER_KEY_HEX: GO_STATIC_KEY.toString('hex'),
      KEYFOLD_METASTORE_URL: urlOf(kind, user.name),
      KEYFOLD_DYNAMODB_ENDPOINT: undefined,
    });
  const erase = (...options: string[]): Promise<CliRun> =>
    keyfold('partitions', 'erase', 'tenant', '--reason', 'x', '--confirm', 'tenant', ...options);
  const first = await service().session('tenant').encrypt(PAYLOAD);
  await keyfold('keys', 'revoke', idOf('tenant'), 'latest', '--yes');
  clock.advance(2 * MINUTE_MS);
  const records = [first, await service().session('tenant').encrypt(PAYLOAD)];
  const other = await service().session('other').encrypt(PAYLOAD);
  return { database, user, metastore, close, operator, clock, service, keyfold, erase, records, other };
}

type World = Awaited<ReturnType<typeof setUp>>;

function answerOf(work: Promise<unknown>, done: string): Promise<string> {
  return work.then(
    () => done,
    () => codeOf(work),
  );
}

/**
 * The results of cold processes that open each record and then seal. Also checks that another partition's record opens.
 */
async function answers({ service, records, other }: World): Promise<string[]> {
  const open = (partition: string, record: DataRowRecord): Promise<string> =>
    answerOf(service().session(partition).decrypt(record), 'opened');
  expect(await open('other', other)).toBe('opened');
  const opened = await Promise.all(records.map((record) => open('tenant', record)));
  return [...opened, await answerOf(service().session('tenant').encrypt(PAYLOAD), 'sealed')];
}

async function status({ erase }: World): Promise<Record<string, unknown>> {
  return JSON.parse((await erase('--status', '--json')).stdout) as Record<string, unknown>;
}

/** The dates in the key records of the partition, latest first. */
async function dates({ metastore }: World, partition = 'tenant'): Promise<(number | undefined)[]> {
  return (await metastore.rows(idOf(partition), noDeadline())).map(({ created }) => created);
}

const CASES = [
  ['PostgreSQL in the time zone UTC', 'PostgreSQL', { zone: 'UTC' }],
  ['PostgreSQL in the time zone Asia/Kolkata', 'PostgreSQL', { zone: 'Asia/Kolkata' }],
  [
    'PostgreSQL with the column types TIMESTAMPTZ and JSONB',
    'PostgreSQL',
    { zone: 'America/New_York', types: { created: 'TIMESTAMPTZ', keyRecord: 'JSONB' } },
  ],
  ['MariaDB in the time zone +00:00', 'MariaDB', { zone: '+00:00' }],
  ['MariaDB in the time zone +13:00', 'MariaDB', { zone: '+13:00' }],
  ['MariaDB in the time zone -12:00', 'MariaDB', { zone: '-12:00' }],
  ['MariaDB with the column type DATETIME', 'MariaDB', { zone: '+00:00', types: { created: 'DATETIME' } }],
] as const;

describe.for(CASES)('an erasure on %s', ([, kind, options]) => {
  let world: World;
  beforeEach(async () => {
    world = await setUp(kind, options);
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
});

describe.for(KINDS)('an erasure on %s', (kind) => {
  let world: World;
  beforeEach(async () => {
    world = await setUp(kind);
    return () => world.close();
  });

  it.for(KILLS)(
    'that is killed in the step "%s" (write %i, %s it) is completed by running it again',
    async ([step, n, when]) => {
      const { erase, clock, operator } = world;
      const options = step === 'begin' ? [] : [`--${step}`];
      if (step !== 'begin') await erase();
      if (step === 'finish') clock.advance(8 * DAY_MS);
      const { openDatabase } = operatorAdapters;
      operator.adapters.openDatabase = async (url, variable) => {
        const { openErasureTables, ...opened } = await openDatabase(url, variable);
        return { ...opened, openErasureTables: (table, names) => failingAt(openErasureTables(table, names), n, when) };
      };
      const killed = await erase(...options);
      expect(killed).toMatchObject({ code: 1, stderr: expect.stringContaining('"outcome":"failed"') as string });
      operator.adapters.openDatabase = openDatabase;
      clock.advance(MINUTE_MS);
      // If the last write was made, nothing is left to do.
      const isOver = step === 'cancel' && n === 4 && when === 'after';
      expect((await erase(...options)).code).toBe(isOver ? 1 : 0);
      const expected = { begin: ['waiting', 3], cancel: ['none', 2], finish: ['deleted', 1] }[step];
      expect([(await status(world))['state'], (await dates(world)).length]).toEqual(expected);
      expect(await answers(world)).toEqual(step === 'cancel' ? ['opened', 'opened', 'sealed'] : ERASED);
    },
  );

  it('continues where it stopped after the database server was killed', async () => {
    const { database, erase, operator, clock } = world;
    const { openDatabase } = operatorAdapters;
    const { server } = database;
    for (const [step, n] of [
      ['begin', 3],
      ['finish', 1],
    ] as const) {
      const options = step === 'begin' ? [] : [`--${step}`];
      operator.adapters.openDatabase = async (url, variable) => {
        const { openErasureTables, ...opened } = await openDatabase(url, variable);
        const openTables: typeof openErasureTables = (table, names) =>
          failingAt(openErasureTables(table, names), n, 'before', () => server.kill());
        return { ...opened, openErasureTables: openTables };
      };
      const { code, stderr } = await erase(...options);
      expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('ECONNREFUSED') as string });
      operator.adapters.openDatabase = openDatabase;
      await server.start();
      expect((await erase(...options)).code).toBe(0);
      expect(await answers(world)).toEqual(ERASED);
      clock.advance(8 * DAY_MS);
    }
    expect(await dates(world)).toEqual([TOMBSTONE_CREATED]);
  });

  it('stops warm processes from sealing after the check interval, and from opening after the maximum age and grace period', async () => {
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

  it('is not undone by a process that was about to make a key, and asks whether to delete that key', async () => {
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

  it('needs only the rights that the how-to page lists', async () => {
    const { database, user, erase, clock } = world;
    const right = /GRANT .*DELETE.*(?=;)/g;
    const [ofPostgres = '', ofMySql = ''] = read('docs/how-to/erase-a-partition.md').match(right) ?? [];
    const statements =
      kind === 'PostgreSQL'
        ? ['DROP ROLE IF EXISTS eraser', 'CREATE ROLE eraser LOGIN', ofPostgres]
        : [
            "CREATE OR REPLACE USER eraser@'127.0.0.1'",
            ofMySql.replace('keys.', 'test.').replace('eraser', "eraser@'127.0.0.1'"),
          ];
    for (const statement of statements) await database.run(statement);
    user.name = 'eraser';
    for (const options of [[], ['--cancel'], []]) expect((await erase(...options)).code).toBe(0);
    clock.advance(8 * DAY_MS);
    expect((await erase('--finish')).code).toBe(0);
    expect(await dates(world)).toEqual([TOMBSTONE_CREATED]);
    expect(await status(world)).toMatchObject({ state: 'deleted' });
  });

  it('is reported by maintenance when it is due', async () => {
    const { operator, metastore } = world;
    const emulator = await startKmsEmulator();
    process.env['AWS_ENDPOINT_URL_KMS'] = emulator.endpoint;
    const region = AWS_ENVIRONMENT.AWS_REGION;
    const keys = await ensureKeys(emulator, [region]);
    const names = { service: 'wrapped', product: 'by-kms' };
    const kms = new AwsKms({ keys, preferredRegion: region, endpoint: emulator.endpoint });
    await new SessionFactory({ ...names, metastore, kms }).session('tenant').encrypt(PAYLOAD);
    const settings = {
      KEYFOLD_SERVICE: names.service,
      KEYFOLD_PRODUCT: names.product,
      KEYFOLD_KMS_KEYS: JSON.stringify(keys),
      KEYFOLD_METASTORE_URL: urlOf(kind),
      KEYFOLD_DYNAMODB_ENDPOINT: undefined,
    };
    // Maintenance uses the true time, so this erasure began two days ago.
    const { openErasureTables, close } = await operatorAdapters.openDatabase(urlOf(kind), 'KEYFOLD_METASTORE_URL');
    const at = Math.floor((Date.now() - 2 * DAY_MS) / 1000) as EpochSeconds;
    const due = (at + 86_400) as EpochSeconds;
    await openErasureTables({}, names).register.add({ partition: 'tenant' as PartitionId, erase: 'one', at, due });
    await close();
    const { code, stdout } = await operator.keyfold(['maintain', '--json'], settings);
    expect([code, JSON.parse(stdout)]).toMatchObject([
      0,
      { erasuresDue: [{ partition: 'tenant', erase: 'one', due }] },
    ]);
    await emulator.close();
  });

  it('stays in effect after the rows are moved to DynamoDB', async () => {
    const { erase, operator, records } = world;
    await erase();
    const dynamoDb = await startDynamoDbLocal();
    const { tableName, keyfold } = await shareTable(dynamoDb.endpoint, { core: 'go' });
    const imported = await operator.keyfold(['table', 'import', '--yes', '--json'], {
      DATABASE_URL: urlOf(kind),
      KEYFOLD_TABLE: tableName,
      KEYFOLD_DYNAMODB_ENDPOINT: dynamoDb.endpoint,
    });
    expect(imported.code).toBe(0);
    const session = keyfold().session('tenant');
    for (const record of records) expect(await codeOf(session.decrypt(record))).toBe('PartitionErased');
    expect(await codeOf(session.encrypt(PAYLOAD))).toBe('PartitionErased');
    await dynamoDb.stop();
  });
});

it('an erasure on MariaDB refuses a partition that the collation treats as equal to an erased one', async () => {
  const world = await setUp('MariaDB');
  const { service, keyfold, erase, clock, close } = world;
  clock.advance(MINUTE_MS);
  await service().session('TENANT').encrypt(PAYLOAD);
  expect((await erase()).code).toBe(0);
  const second = await keyfold('partitions', 'erase', 'TENANT', '--reason', 'x', '--confirm', 'TENANT');
  expect(second).toMatchObject({ code: 2, stderr: expect.stringContaining('use utf8mb4_bin') as string });
  expect(await dates(world, 'TENANT')).toHaveLength(1);
  await close();
});

describe.for([
  ['go', 'MariaDB', {}],
  ['rust', 'MariaDB', {}],
  ['rust', 'PostgreSQL', { keyRecord: 'JSON' }],
] as const)('Asherah %s on %s', ([core, kind, types]) => {
  it('treats a tombstone as a revoked key, still opens marked keys, and creates a new key that Keyfold never uses', async () => {
    const world = await setUp(kind, { types });
    const { service, erase, clock, close } = world;
    const connectionString = core === 'go' ? `keyfold@tcp(127.0.0.1:${databases[kind].server.port})/test` : urlOf(kind);
    const asherah = (): Promise<Asherah> => startAsherah({ ...NAMES, core, connectionString });
    const old = await service().session('tenant').encryptToJson(PAYLOAD);
    await erase();
    const theirs = await (async () => {
      await using peer = await asherah();
      expect(await peer.decrypt('tenant', old)).toEqual(PAYLOAD);
      return await peer.encrypt('tenant', PAYLOAD);
    })();
    expect((await dates(world))[0]).toBe(TOMBSTONE_CREATED);
    expect(await answers(world)).toEqual(ERASED);
    // The row of Asherah's key has no mark, so Keyfold opens what this key sealed until an operator agrees to delete
    // the row.
    expect(await service().session('tenant').decryptJson(theirs)).toEqual(PAYLOAD);

    clock.advance(8 * DAY_MS);
    expect((await erase('--finish', '--delete-unmarked')).code).toBe(0);
    expect(await dates(world)).toEqual([TOMBSTONE_CREATED]);
    await using cold = await asherah();
    for (const record of [old, theirs]) {
      await expect(cold.decrypt('tenant', record)).rejects.toThrow('Asherah');
      expect(await codeOf(service().session('tenant').decryptJson(record))).toBe('PartitionErased');
    }
    await close();
  });
});
