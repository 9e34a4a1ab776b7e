/** Tests the operator's commands on real PostgreSQL and MariaDB servers, with the settings from the SQL page. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { HealthCheck } from '../../src/cli/health/check.ts';
import { SessionFactory, StaticKms, type EnvelopeKeyRecord, type KeyId } from '../../src/index.ts';
import { noDeadline } from '../support/fakes.ts';
import { OperatorFixture, type CliRun } from '../support/operator.ts';
import { OpenBao, ROOT } from './openbao.ts';
import { AWS_ENVIRONMENT } from './processes.ts';
import { KINDS, startDatabase, type OpenMetastore, type SqlDatabase, type SqlKind } from './sql-database.ts';

Object.assign(process.env, AWS_ENVIRONMENT);

const MASTER_KEY = Buffer.alloc(32, 7);
const SYSTEM_KEY = '_SK_orders_shop' as KeyId;
const INTERMEDIATE_KEY = '_IK_tenant-1_orders_shop' as KeyId;
const PAYLOAD = Buffer.from('payload');
const ZONE_FIX = 'docs/how-to/use-postgresql-or-mysql.md#time-zones';

/** The settings of a command whose key table is in a SQL database. */
function settingsOf(kind: SqlKind, { server }: SqlDatabase): Record<string, string | undefined> {
  const at = `keyfold@127.0.0.1:${server.port}`;
  return {
    KEYFOLD_METASTORE_URL: kind === 'PostgreSQL' ? `postgres://${at}/postgres` : `mariadb://${at}/test`,
    KEYFOLD_DYNAMODB_ENDPOINT: undefined,
  };
}

describe.for(KINDS)('keyfold on %s', (kind) => {
  const operator = OperatorFixture.at('http://127.0.0.1:9');
  let database: SqlDatabase;
  let opened: OpenMetastore;

  beforeAll(async () => {
    database = await startDatabase(kind);
    opened = database.open();
  });
  afterAll(() => database.stop());
  beforeEach(() => database.createTable());

  /** A service process with a cold cache. */
  function sessions(): SessionFactory {
    const kms = new StaticKms(MASTER_KEY, {});
    return new SessionFactory({ service: 'orders', product: 'shop', kms, metastore: opened.metastore });
  }

  function keyfold(args: readonly string[], stdin = ''): Promise<CliRun> {
    operator.clock.nowMs = Date.now();
    const settings = { ...settingsOf(kind, database), KEYFOLD_STATIC_MASTER_KEY_HEX: MASTER_KEY.toString('hex') };
    return operator.keyfold(args, settings, { stdin });
  }

  async function json(args: readonly string[], stdin?: string): Promise<unknown> {
    const { code, stdout } = await keyfold([...args, '--json'], stdin);
    return { code, answer: JSON.parse(stdout) as unknown };
  }

  it('keys list, show and inspect --chain find the keys, and a partition only under its own ID', async () => {
    const record = await sessions().session('tenant-1').encryptToJson(PAYLOAD);
    await database.run("INSERT INTO encryption_key (id, key_record) VALUES ('config', '{}')");
    const system = { id: SYSTEM_KEY, state: 'valid' };
    const intermediate = { id: INTERMEDIATE_KEY, state: 'valid', parent: { id: SYSTEM_KEY } };
    expect(await json(['keys', 'list'])).toMatchObject({ code: 0, answer: [system] });
    expect(await json(['keys', 'list', '--partition', 'tenant-1'])).toMatchObject({ answer: [intermediate] });
    expect(await json(['keys', 'list', '--partition', 'TENANT-1'])).toMatchObject({ answer: [] });
    expect(await json(['keys', 'list', '--all'])).toMatchObject({ answer: [intermediate, system] });
    expect(await json(['keys', 'show', SYSTEM_KEY, 'latest'])).toMatchObject({ code: 0, answer: system });
    expect(await json(['inspect', record, '--chain'])).toMatchObject({ answer: { chain: [intermediate, system] } });
  });

  it('keys rotate makes keys that the service seals under', async () => {
    const former = await sessions().session('tenant-1').encrypt(PAYLOAD);
    expect(await json(['keys', 'rotate'])).toMatchObject({ code: 0, answer: [{ id: SYSTEM_KEY, outcome: 'rotated' }] });
    const partitions = await json(['keys', 'rotate', '--all-partitions']);
    expect(partitions).toMatchObject({ code: 0, answer: [{ id: INTERMEDIATE_KEY, outcome: 'rotated' }] });
    const later = await sessions().session('tenant-1').encrypt(PAYLOAD);
    expect(later.key.parent.created).toBeGreaterThan(former.key.parent.created);
    expect(await sessions().session('tenant-1').decrypt(former)).toEqual(PAYLOAD);
  });

  it('keys revoke revokes a key for good, and changes nothing else in its row', async () => {
    const { key } = await sessions().session('tenant-1').encrypt(PAYLOAD);
    const before = await opened.metastore.loadLatest(INTERMEDIATE_KEY, noDeadline());
    const { code, stderr } = await keyfold(['keys', 'revoke', INTERMEDIATE_KEY, 'latest', '--yes']);
    const server = `${kind === 'PostgreSQL' ? kind : 'MySQL'} at 127.0.0.1:${database.server.port}`;
    expect({ code, stderr }).toMatchObject({
      code: 0,
      stderr: expect.stringContaining(`"region":"${server}"`) as unknown,
    });
    expect(await opened.metastore.loadLatest(INTERMEDIATE_KEY, noDeadline())).toEqual({ ...before, revoked: true });
    expect(await json(['keys', 'revoke', INTERMEDIATE_KEY, 'latest'])).toMatchObject({ code: 0 });
    expect((await keyfold(['keys', 'revoke', INTERMEDIATE_KEY, '60', '--yes'])).code).toBe(1);
    const later = await sessions().session('tenant-1').encrypt(PAYLOAD);
    expect(later.key.parent.created).toBeGreaterThan(key.parent.created);
  });

  it('keys prove adds a proof that the service accepts, and only to a row that has none', async () => {
    await sessions().session('tenant-1').encrypt(PAYLOAD);
    const { proof, ...row } = (await opened.metastore.loadLatest(SYSTEM_KEY, noDeadline())) as EnvelopeKeyRecord;
    await database.run(`DELETE FROM encryption_key WHERE id = '${SYSTEM_KEY}'`);
    await opened.metastore.store(row, noDeadline());
    const added = { id: SYSTEM_KEY, created: row.created, outcome: 'added' };
    const proven = { id: INTERMEDIATE_KEY, outcome: 'proven' };
    expect(await json(['keys', 'prove', '--yes'])).toMatchObject({ code: 0, answer: [added, proven] });
    expect(await opened.metastore.loadLatest(SYSTEM_KEY, noDeadline())).toEqual({ ...row, proof });
    expect((await keyfold(['keys', 'prove', '--yes', '--against', 'backup'])).code).toBe(2);
  });

  it('verify opens records', async () => {
    const record = await sessions().session('tenant-1').encryptToJson(PAYLOAD);
    expect(await json(['verify', '-'], record)).toMatchObject({ code: 0, answer: { records: 1, opens: 1 } });
  });

  /** What `keyfold doctor` finds apart from the static master key of these tests. */
  async function found(settings: Record<string, string | undefined> = {}): Promise<object[]> {
    const master = { KEYFOLD_STATIC_MASTER_KEY_HEX: MASTER_KEY.toString('hex') };
    operator.clock.nowMs = Date.now();
    const all = { ...settingsOf(kind, database), ...master, ...settings };
    const { stdout } = await operator.keyfold(['doctor', '--json'], all);
    const checks = JSON.parse(stdout) as HealthCheck[];
    return checks.filter(({ check, state }) => state !== 'ok' && check !== 'kms');
  }

  it('doctor finds no fault in a healthy table, and compares the clock with that of the database', async () => {
    await sessions().session('tenant-1').encrypt(PAYLOAD);
    expect(await found()).toEqual([]);
  });

  it('doctor reports a table without a primary key, a server that accepts no writes, and a wrong name', async () => {
    await sessions().session('tenant-1').encrypt(PAYLOAD);
    const url = settingsOf(kind, database)['KEYFOLD_METASTORE_URL'] ?? '';
    const elsewhere = { KEYFOLD_METASTORE_URL: url.replace(/\w+$/, 'nowhere') };
    expect(await found(elsewhere)).toMatchObject([
      { check: 'clock', state: 'skip' },
      { check: 'table', fix: expect.stringMatching(/correct the database/) as string },
      { check: 'system keys', state: 'skip' },
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

  it('doctor reports rows that were written in another time zone', async () => {
    await sessions().session('tenant-1').encrypt(PAYLOAD);
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

  it.runIf(kind === 'MariaDB')('doctor reports a session in which Keyfold refuses to write', async () => {
    await database.run("SET GLOBAL sql_mode = ''");
    expect(await found()).toMatchObject([
      { check: 'table writes', state: 'fault', fix: expect.stringMatching(/STRICT_TRANS_TABLES/) as string },
    ]);
    await database.run("SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES'");
  });

  it("commands that only DynamoDB supports are refused, and no command reads DynamoDB's settings", async () => {
    for (const args of [['table', 'copy', '--from', 'Other', '--yes']]) {
      const { code, stderr } = await keyfold(args);
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr: expect.stringContaining('unset KEYFOLD_METASTORE_URL') as unknown,
      });
    }
    const { code, stderr } = await keyfold(['keys', 'list', '--table', 'Other']);
    expect(code).toBe(2);
    expect(stderr).toContain('KEYFOLD_TABLE has no meaning with KEYFOLD_METASTORE_URL');
  });
});

it('keyfold maintain and keyfold doctor work without AWS if they use Vault and PostgreSQL, and doctor names a database that is down', async () => {
  const [bao, database] = await Promise.all([OpenBao.start(), startDatabase('PostgreSQL')]);
  await Promise.all([bao.write('transit/keys/keyfold', {}), database.createTable()]);
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-token-'));
  await writeFile(join(folder, 'token'), ROOT);
  const settings = {
    ...settingsOf('PostgreSQL', database),
    AWS_ACCESS_KEY_ID: undefined,
    AWS_SECRET_ACCESS_KEY: undefined,
    AWS_REGION: undefined,
    KEYFOLD_KMS: 'vault',
    KEYFOLD_VAULT_ADDRESSES: bao.url,
    KEYFOLD_VAULT_TRANSIT_KEY: 'keyfold',
    KEYFOLD_VAULT_AUTH: 'token',
    KEYFOLD_VAULT_SECRET_FILE: join(folder, 'token'),
  };
  const operator = OperatorFixture.at('http://127.0.0.1:9');
  const run = async (command: string): Promise<unknown> => {
    const { code, stdout } = await operator.keyfoldProcess([command, '--json'], settings);
    return { code, answer: JSON.parse(stdout) as unknown };
  };
  expect(await run('maintain')).toMatchObject({ code: 0, answer: { created: { id: SYSTEM_KEY } } });
  const states = {
    settings: 'ok',
    clock: 'ok',
    [`vault ${bao.url} calls`]: 'ok',
    table: 'ok',
    'table primary key': 'ok',
  };
  const sound = {
    'table writes': 'ok',
    'system keys': 'ok',
    'system keys age': 'ok',
    'system keys dates': 'ok',
    'system keys proofs': 'ok',
  };
  const found = Object.entries({ ...states, ...sound }).map(([check, state]) => ({ check, state }));
  expect(await run('doctor')).toMatchObject({ code: 0, answer: found });
  await database.stop();
  const at = `PostgreSQL at 127.0.0.1:${database.server.port} table encryption_key: ECONNREFUSED`;
  const down = expect.arrayContaining([
    expect.objectContaining({ check: 'table', state: 'fault', says: at }),
  ]) as unknown;
  expect(await run('doctor')).toMatchObject({ code: 1, answer: down });
  await Promise.all([bao.stop(), rm(folder, { recursive: true })]);
});
