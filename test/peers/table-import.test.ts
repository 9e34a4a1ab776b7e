/** Moves Asherah's key table from PostgreSQL or MariaDB to DynamoDB, as docs/how-to/move-from-asherah.md describes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Environment } from '../../src/config/app-config.ts';
import type { EnvelopeKeyRecord } from '../../src/index.ts';
import { keyRecord } from '../../src/testing/key-record.ts';
import { DynamoDbProxy } from '../support/dynamodb-proxy.ts';
import { noDeadline } from '../support/fakes.ts';
import { FollowedPage } from '../support/followed-page.ts';
import { cellsOf, OperatorFixture, type CliRun } from '../support/operator.ts';
import { GO_STATIC_KEY, startAsherah } from './asherah.ts';
import { AWS_ENVIRONMENT, startDynamoDbLocal, type PeerServer } from './processes.ts';
import { NAMES, shareTable, type SharedTable } from './shared-table.ts';
import { KINDS, type SqlKind } from '../support/sql-database.ts';
import { startDatabase, type ServedDatabase } from './sql-database.ts';

const PAYLOAD = Buffer.from('payload, and \u{1f511}');
/** Enough rows for more than two pages. */
const ROWS = 1200;

let databases: Readonly<Record<SqlKind, ServedDatabase>>;
let dynamoDb: PeerServer;
let proxy: DynamoDbProxy;
let target: SharedTable;

beforeAll(async () => {
  Object.assign(process.env, AWS_ENVIRONMENT);
  const [PostgreSQL, MariaDB, local] = await Promise.all([
    startDatabase('PostgreSQL'),
    startDatabase('MariaDB'),
    startDynamoDbLocal(),
  ]);
  databases = { PostgreSQL, MariaDB };
  dynamoDb = local;
  proxy = await DynamoDbProxy.start(dynamoDb.endpoint);
});
afterAll(async () => {
  await proxy.stop();
  await Promise.all([dynamoDb, ...Object.values(databases)].map((server) => server.stop()));
});
beforeEach(async () => {
  target = await shareTable(dynamoDb.endpoint, { core: 'rust' });
  proxy.calls = [];
});

function urlOf(kind: SqlKind): string {
  const { port } = databases[kind].server;
  const rest = `keyfold:secret@127.0.0.1:${port}`;
  return kind === 'PostgreSQL' ? `postgres://${rest}/postgres` : `mysql://keyfold@127.0.0.1:${port}/test`;
}

/** Runs the CLI. The operator answers every question with yes. */
function keyfold(args: readonly string[], environment: Environment = {}): Promise<CliRun> {
  const settings = {
    KEYFOLD_SERVICE: NAMES.service,
    KEYFOLD_PRODUCT: NAMES.product,
    KEYFOLD_TABLE: target.tableName,
    KEYFOLD_STATIC_MASTER_KEY_HEX: GO_STATIC_KEY.toString('hex'),
    ...environment,
  };
  return OperatorFixture.at(proxy.endpoint).keyfold(args, settings, { ask: () => Promise.resolve('yes') });
}

function tableImport(kind: SqlKind, ...options: string[]): Promise<CliRun> {
  return keyfold(['table', 'import', '--json', ...options], { DATABASE_URL: urlOf(kind) });
}

/** The last object that `--json` printed, which has the counts. */
function reportOf({ stdout }: CliRun): unknown {
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
}

const NONE = { rows: '0', same: '0', missing: '0', differs: '0', erased: '0', unreadable: '0' };

/** The counts at the end of the text that `table import` prints. */
function countsOf(run: CliRun): object {
  return Object.fromEntries(cellsOf(run).slice(-Object.keys(NONE).length)) as object;
}

const CASES = [
  { core: 'go', kind: 'MariaDB', zone: '+00:00', columns: 'the usual types', types: {} },
  { core: 'rust', kind: 'MariaDB', zone: '+05:30', columns: 'the usual types', types: {} },
  { core: 'rust', kind: 'PostgreSQL', zone: 'Asia/Kolkata', columns: 'JSON', types: { keyRecord: 'JSON' } },
  {
    core: 'rust',
    kind: 'PostgreSQL',
    zone: 'UTC',
    columns: 'TIMESTAMPTZ and JSONB',
    types: { created: 'TIMESTAMPTZ', keyRecord: 'JSONB' },
  },
] as const;

describe.for(CASES)('Asherah $core on $kind (time zone $zone, columns of $columns)', ({ core, kind, zone, types }) => {
  it("can move its key table to DynamoDB, where it and Keyfold open each other's records", async () => {
    const database = databases[kind];
    await database.setTimeZone(zone);
    await database.createTable(types);
    const go = `keyfold@tcp(127.0.0.1:${database.server.port})/test`;
    const connectionString = core === 'go' ? go : urlOf(kind).replace(':secret', '');
    const tenants = ['tenant', 'other', 'é and \u{1f511}'];
    await using peer = await startAsherah({ ...NAMES, core, connectionString });
    const theirs = await Promise.all(tenants.map((tenant) => peer.encrypt(tenant, PAYLOAD)));

    const folder = await mkdtemp(join(tmpdir(), 'keyfold-import-'));
    const page = new FollowedPage('docs/how-to/move-from-asherah.md', {
      folder,
      keyfold,
      values: { 'postgres://reader:password@db.internal:5432/keys?sslmode=verify-full': urlOf(kind) },
      only: (heading) => heading === 'From an SQL database',
    });
    page.pass('npm install');
    const dry = await page.run('keyfold table import --dry-run');
    expect([dry.code, countsOf(dry)]).toEqual([0, { ...NONE, rows: '4', missing: '4' }]);
    const first = await page.run('keyfold table import');
    expect([first.code, countsOf(first)]).toEqual([0, { ...NONE, rows: '4', same: '4' }]);

    // Asherah has made another key since. The last import, after Asherah has stopped, adds it.
    theirs.push(await peer.encrypt('late', PAYLOAD));
    tenants.push('late');
    const second = await page.again();
    expect([second.code, countsOf(second)]).toEqual([0, { ...NONE, rows: '5', same: '5' }]);
    expect(page.left()).toEqual([]);

    await writeFile(join(folder, 'records'), theirs.join('\n'));
    const verified = await keyfold(['verify', join(folder, 'records'), '--json']);
    expect([verified.code, reportOf(verified)]).toMatchObject([0, { records: 4, opens: 4, unreadable: 0 }]);
    await rm(folder, { recursive: true });

    const ours = await target.keyfold().session('new').encryptToJson(PAYLOAD);
    await using moved = await startAsherah({
      ...NAMES,
      core,
      tableName: target.tableName,
      dynamoDbEndpoint: dynamoDb.endpoint,
      region: AWS_ENVIRONMENT.AWS_REGION,
      regionSuffix: false,
    });
    expect(await moved.decrypt('new', ours)).toEqual(PAYLOAD);
    for (const [i, record] of theirs.entries()) expect(await moved.decrypt(tenants[i] ?? '', record)).toEqual(PAYLOAD);
  });
});

describe.for(KINDS)('keyfold table import from %s', (kind) => {
  /** Makes a table with many rows. MariaDB's collation treats some of their IDs as equal. */
  async function fill(): Promise<EnvelopeKeyRecord[]> {
    const database = databases[kind];
    await database.setTimeZone(kind === 'PostgreSQL' ? 'UTC' : '+00:00');
    await database.createTable();
    const { metastore, close } = database.open();
    const records = Array.from({ length: ROWS }, (_, i) => {
      const name = ['tenant', 'Tenant', 'ténant', 'tenant '][i % 4] ?? '';
      const more = i % 5 === 0 ? { revoked: true, proof: Buffer.alloc(32, i) } : {};
      return keyRecord(`_IK_${name}${i % 40 > 20 ? i : ''}_svc_prod`, 60 * (i + 1), more);
    });
    await Promise.all(records.map((record) => metastore.store(record, noDeadline())));
    await close();
    return records;
  }

  it('adds every row of a table with several pages, and makes only the DynamoDB calls that docs/reference/cli.md lists', async () => {
    const records = await fill();
    const run = await tableImport(kind, '--yes');
    expect([run.code, reportOf(run)]).toMatchObject([0, { rows: ROWS, same: ROWS }]);
    expect(new Set(proxy.calls.map((call) => call.split(' ')[0]))).toEqual(new Set(['Get', 'Query', 'Put']));
    for (const record of records) {
      expect(await target.metastore.load(record.id, record.created, noDeadline())).toEqual(record);
    }
  });

  // Register this test only for PostgreSQL. On MariaDB, a skipped test would make the CI run fail.
  it.for(kind === 'PostgreSQL' ? ['SQL, DMY'] : [])(
    'adds every row even if the database writes dates in the style %s, which PostgreSQL misreads',
    async (style) => {
      const database = databases[kind];
      // PostgreSQL 15 writes IST for India's time, and reads it as Israel's.
      await database.setTimeZone('Asia/Kolkata');
      await database.run(`ALTER DATABASE postgres SET DateStyle = '${style}'`);
      await database.createTable({ created: 'TIMESTAMPTZ' });
      await database.run(`INSERT INTO encryption_key SELECT '_SK_svc_prod', to_timestamp(60 * i),
      json_build_object('Created', 60 * i, 'Key', 'AAAA') FROM generate_series(1, ${ROWS}) AS i`);
      const run = await tableImport(kind, '--yes');
      await database.run('ALTER DATABASE postgres RESET DateStyle');
      expect([run.code, reportOf(run)]).toMatchObject([0, { rows: ROWS, same: ROWS }]);
    },
  );

  it('names a row that it cannot read, and adds all other rows', async () => {
    const database = databases[kind];
    await database.createTable();
    const { metastore, close } = database.open();
    await metastore.store(keyRecord('_SK_svc_prod', 60), noDeadline());
    await close();
    await database.run("INSERT INTO encryption_key VALUES ('_SK_broken', '2020-01-01 00:00:00', 'SECRET')");
    const run = await tableImport(kind, '--yes');
    expect(run.stdout).toContain('"id":"_SK_broken"');
    expect(run.stdout).toContain('key_record is missing or malformed');
    expect(run.stdout + run.stderr).not.toContain('SECRET');
    expect([run.code, reportOf(run)]).toMatchObject([1, { rows: 2, same: 1, unreadable: 1 }]);
  });

  it("adds no row if the session's time zone differs from the time zone in which the rows were written", async () => {
    const database = databases[kind];
    await database.setTimeZone(kind === 'PostgreSQL' ? 'Asia/Kolkata' : '+05:30');
    await database.createTable();
    const { metastore, close } = database.open();
    await metastore.store(keyRecord('_SK_svc_prod', 1_600_000_020), noDeadline());
    await close();
    await database.setTimeZone(kind === 'PostgreSQL' ? 'UTC' : '+00:00');
    const run = await tableImport(kind, '--yes');
    expect([run.code, reportOf(run)]).toMatchObject([1, { rows: 1, unreadable: 1 }]);
    expect(run.stdout).toContain('key_record.Created differs from created');
    expect(await target.metastore.rows('_SK_svc_prod' as never, noDeadline())).toEqual([]);
  });

  it('names the address of a database that is down, but not its URL, and continues in the next run', async () => {
    await fill();
    const { server } = databases[kind];
    let puts = 0;
    proxy.faultOf = (call) => {
      if (call.startsWith('Put')) puts += 1;
      return puts === 40 ? { kind: 'overtaken', by: () => server.kill() } : undefined;
    };
    const broken = await tableImport(kind, '--yes');
    proxy.faultOf = () => undefined;
    expect(broken.code).toBe(1);
    expect(broken.stderr).toContain(`at 127.0.0.1:${server.port}`);
    expect(broken.stderr).toContain('ECONNREFUSED');
    expect(broken.stderr).not.toContain('secret');
    await server.start();
    const run = await tableImport(kind, '--yes');
    expect([run.code, reportOf(run)]).toMatchObject([0, { rows: ROWS, same: ROWS }]);
  });
});
