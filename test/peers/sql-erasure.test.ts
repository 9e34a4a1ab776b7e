/** Erases partitions whose keys are in a real PostgreSQL or MariaDB database, even while Asherah uses the table. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startKmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { ensureKeys } from '../../local/function-environment.ts';
import { operatorAdapters } from '../../src/container.ts';
import { AwsKms, SessionFactory } from '../../src/index.ts';
import { TOMBSTONE_CREATED, type EpochSeconds, type PartitionId } from '../../src/records/ids.ts';
import { sqlErasureContract } from '../support/contract/sql-erasure-contract.ts';
import { read } from '../support/documents.ts';
import { failingAt } from '../support/erasure-kills.ts';
import { codeOf, DAY_MS, MINUTE_MS } from '../support/fakes.ts';
import { KINDS, type SqlKind } from '../support/sql-database.ts';
import {
  answers,
  dates,
  ERASED,
  PAYLOAD,
  setUpErasure,
  status,
  urlOf,
  type ErasureWorld,
} from '../support/sql-erasure-world.ts';
import { GO_STATIC_KEY, startAsherah, type Asherah } from './asherah.ts';
import { AWS_ENVIRONMENT, startDynamoDbLocal } from './processes.ts';
import { NAMES, shareTable } from './shared-table.ts';
import { startDatabase, type ServedDatabase } from './sql-database.ts';

Object.assign(process.env, AWS_ENVIRONMENT);

let databases: Readonly<Record<SqlKind, ServedDatabase>>;

beforeAll(async () => {
  const [PostgreSQL, MariaDB] = await Promise.all([startDatabase('PostgreSQL'), startDatabase('MariaDB')]);
  databases = { PostgreSQL, MariaDB };
});
afterAll(() => Promise.all(Object.values(databases).map((database) => database.stop())));

/** The master key of Asherah Go, so that Asherah and Keyfold open each other's records. */
function setUp(kind: SqlKind, options: Parameters<typeof setUpErasure>[2] = {}): Promise<ErasureWorld> {
  return setUpErasure(kind, databases[kind], { masterKey: GO_STATIC_KEY, ...options });
}

describe.for(KINDS)('%s', (kind) => {
  sqlErasureContract(kind, () => databases[kind]);
});

describe.for(KINDS)('an erasure on %s', (kind) => {
  let world: ErasureWorld;
  beforeEach(async () => {
    world = await setUp(kind);
    return () => world.close();
  });

  it('continues where it stopped after the database server was killed', async () => {
    const { erase, operator, clock } = world;
    const { openDatabase } = operatorAdapters;
    const { server } = databases[kind];
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

  it('needs only the rights that docs/how-to/erase-a-partition.md lists', async () => {
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
      KEYFOLD_METASTORE_URL: urlOf(kind, databases[kind]),
      KEYFOLD_DYNAMODB_ENDPOINT: undefined,
    };
    // Maintenance uses the true time, so this erasure began two days ago.
    const { openErasureTables, close } = await operatorAdapters.openDatabase(
      urlOf(kind, databases[kind]),
      'KEYFOLD_METASTORE_URL',
    );
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
      DATABASE_URL: urlOf(kind, databases[kind]),
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

it('an erasure on MariaDB refuses a partition that the collation treats as equal to an erased partition', async () => {
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
  it('still encrypts and decrypts for a partition that is marked for erasure, until the keys are deleted', async () => {
    const world = await setUp(kind, { types });
    const { service, erase, clock, close } = world;
    const connectionString =
      core === 'go' ? `keyfold@tcp(127.0.0.1:${databases[kind].server.port})/test` : urlOf(kind, databases[kind]);
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
    // Asherah wrote its key's row after the erasure had marked all other rows. So Keyfold opens this record until an
    // operator agrees to delete the row.
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
