/** The contract of the operator's commands on an SQL database, with the settings from the SQL page. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, beforeEach, expect, it } from 'vitest';
import {
  parseEpochSeconds,
  SessionFactory,
  StaticKms,
  type EnvelopeKeyRecord,
  type KeyId,
} from '../../../src/index.ts';
import { openDatabase } from '../../../src/metastore/sql/open-database.ts';
import { SqlErasureRegister } from '../../../src/metastore/sql/sql-erasure-register.ts';
import { noDeadline } from '../fakes.ts';
import { OperatorFixture, type CliRun } from '../operator.ts';
import { StubVault } from '../stub-vault.ts';
import type { OpenMetastore, SqlDatabase, SqlKind } from '../sql-database.ts';

const MASTER_KEY = Buffer.alloc(32, 7);
const SYSTEM_KEY = '_SK_orders_shop' as KeyId;
const INTERMEDIATE_KEY = '_IK_tenant-1_orders_shop' as KeyId;
const PAYLOAD = Buffer.from('payload');

/** The settings of a command whose key table is in an SQL database. */
export function sqlSettings(kind: SqlKind, { port }: SqlDatabase): Record<string, string | undefined> {
  const at = `keyfold@127.0.0.1:${port}`;
  return {
    KEYFOLD_METASTORE_URL: kind === 'PostgreSQL' ? `postgres://${at}/postgres` : `mariadb://${at}/test`,
    KEYFOLD_DYNAMODB_ENDPOINT: undefined,
  };
}

/** Runs the tests of the operator's commands. */
export function sqlOperatorContract(kind: SqlKind, open: () => SqlDatabase): void {
  const operator = OperatorFixture.at('http://127.0.0.1:9');
  let database: SqlDatabase;
  let opened: OpenMetastore;

  beforeAll(() => {
    database = open();
    opened = database.open();
  });
  beforeEach(() => database.createTable());

  /** A service process with a cold cache. */
  function sessions(): SessionFactory {
    const kms = new StaticKms(MASTER_KEY, {});
    return new SessionFactory({ service: 'orders', product: 'shop', kms, metastore: opened.metastore });
  }

  function keyfold(args: readonly string[], stdin = ''): Promise<CliRun> {
    operator.clock.nowMs = Date.now();
    const settings = { ...sqlSettings(kind, database), KEYFOLD_STATIC_MASTER_KEY_HEX: MASTER_KEY.toString('hex') };
    return operator.keyfold(args, settings, { stdin });
  }

  async function json(args: readonly string[], stdin?: string): Promise<unknown> {
    const { code, stdout } = await keyfold([...args, '--json'], stdin);
    return { code, answer: JSON.parse(stdout) as unknown };
  }

  /** The keys that `keys rotate --all-partitions` would rotate. */
  async function rotated(...options: string[]): Promise<string[]> {
    const args = ['keys', 'rotate', '--all-partitions', '--dry-run', ...options];
    return ((await json(args)) as { answer: { id: string }[] }).answer.map(({ id }) => id).toSorted();
  }

  it('keyfold keys list, keys show and inspect --chain find keys, even of partitions whose names differ only in case', async () => {
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

  it('after keyfold keys rotate, the service seals under the new keys', async () => {
    const former = await sessions().session('tenant-1').encrypt(PAYLOAD);
    expect(await json(['keys', 'rotate'])).toMatchObject({ code: 0, answer: [{ id: SYSTEM_KEY, outcome: 'rotated' }] });
    const partitions = await json(['keys', 'rotate', '--all-partitions']);
    expect(partitions).toMatchObject({ code: 0, answer: [{ id: INTERMEDIATE_KEY, outcome: 'rotated' }] });
    const later = await sessions().session('tenant-1').encrypt(PAYLOAD);
    expect(later.key.parent.created).toBeGreaterThan(former.key.parent.created);
    expect(await sessions().session('tenant-1').decrypt(former)).toEqual(PAYLOAD);
  });

  it('keyfold keys rotate rotates each partition once, even if the collation mixes the rows of two partitions', async () => {
    await sessions().session('tenant-1').encrypt(PAYLOAD);
    const row = (await opened.metastore.loadLatest(INTERMEDIATE_KEY, noDeadline())) as EnvelopeKeyRecord;
    const other = INTERMEDIATE_KEY.replace('tenant', 'TENANT') as KeyId;
    for (const [id, hours] of [
      [other, 3],
      [row.id, 2],
      [other, 1],
    ] as const) {
      const created = parseEpochSeconds(row.created - hours * 3600);
      expect(await opened.metastore.store({ ...row, id, created }, noDeadline())).toBe('stored');
    }
    expect(await rotated()).toEqual([other, row.id]);
    expect(await rotated('--older-than', '30m')).toEqual([other]);
  });

  it('keyfold keys revoke revokes a key permanently, and changes nothing else in the row of the key', async () => {
    const { key } = await sessions().session('tenant-1').encrypt(PAYLOAD);
    const before = await opened.metastore.loadLatest(INTERMEDIATE_KEY, noDeadline());
    const { code, stderr } = await keyfold(['keys', 'revoke', INTERMEDIATE_KEY, 'latest', '--yes']);
    const server = `${kind === 'PostgreSQL' ? kind : 'MySQL'} at 127.0.0.1:${database.port}`;
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

  it('keyfold keys prove adds a proof only to a row without a proof, and the service accepts the proof', async () => {
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

  it('keyfold maintain makes the first System Key, checks the System Keys, and names the erasures that are due', async () => {
    const [vault, folder] = [await StubVault.start(), await mkdtemp(join(tmpdir(), 'keyfold-token-'))];
    await writeFile(join(folder, 'token'), 'fixed');
    const run = (args: readonly string[]): Promise<CliRun> =>
      operator.keyfold(args, {
        ...sqlSettings(kind, database),
        KEYFOLD_KMS: 'vault',
        KEYFOLD_VAULT_ADDRESSES: vault.url,
        KEYFOLD_VAULT_TRANSIT_KEY: 'keyfold',
        KEYFOLD_VAULT_AUTH: 'token',
        KEYFOLD_VAULT_SECRET_FILE: join(folder, 'token'),
      });
    operator.clock.nowMs = Date.now();
    expect((await run(['maintain', '--dry-run', '--json'])).code).toBe(0);
    expect(await opened.metastore.rows(SYSTEM_KEY, noDeadline())).toEqual([]);
    const made = JSON.parse((await run(['maintain', '--json'])).stdout) as { created: { created: number } };
    expect(made.created).toEqual({ id: SYSTEM_KEY, created: expect.any(Number) as number });
    expect(await opened.metastore.rows(SYSTEM_KEY, noDeadline())).toMatchObject([made.created]);
    const { KEYFOLD_METASTORE_URL: url = '' } = sqlSettings(kind, database);
    const register = await openDatabase(url, 'KEYFOLD_METASTORE_URL');
    const due = { partition: 'p', erase: 'e', at: 60, due: 61 } as never;
    await new SqlErasureRegister(register, { service: 'orders', product: 'shop' }).add(due);
    await register.close();
    const { code, stdout } = await run(['maintain', '--json']);
    expect([code, JSON.parse(stdout)]).toMatchObject([
      0,
      { systemKeys: [{ ...made.created, regions: [{ opens: true }] }], erasuresDue: [due] },
    ]);
    await vault.stop();
    await rm(folder, { recursive: true });
  });

  it('keyfold verify opens records', async () => {
    const record = await sessions().session('tenant-1').encryptToJson(PAYLOAD);
    expect(await json(['verify', '-'], record)).toMatchObject({ code: 0, answer: { records: 1, opens: 1 } });
  });

  it("commands that only DynamoDB supports are refused, and no command reads DynamoDB's settings", async () => {
    for (const args of [['table', 'copy', '--from', 'Other', '--yes']]) {
      const { code, stderr } = await keyfold(args);
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr: 'keyfold: This needs a key table in DynamoDB: unset KEYFOLD_METASTORE_URL.\n',
      });
    }
    const { code, stderr } = await keyfold(['keys', 'list', '--table', 'Other']);
    expect(code).toBe(2);
    expect(stderr).toContain('KEYFOLD_TABLE has no meaning with KEYFOLD_METASTORE_URL');
  });
}
