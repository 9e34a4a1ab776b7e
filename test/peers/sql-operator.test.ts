/** Tests the operator's commands on real PostgreSQL and MariaDB servers. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sqlOperatorContract, sqlSettings } from '../support/contract/sql-operator-contract.ts';
import { OperatorFixture } from '../support/operator.ts';
import { KINDS } from '../support/sql-database.ts';
import { OpenBao, ROOT } from './openbao.ts';
import { AWS_ENVIRONMENT } from './processes.ts';
import { startDatabase, type ServedDatabase } from './sql-database.ts';

Object.assign(process.env, AWS_ENVIRONMENT);

describe.for(KINDS)('keyfold on %s', (kind) => {
  let database: ServedDatabase;
  beforeAll(async () => {
    database = await startDatabase(kind);
  });
  afterAll(() => database.stop());

  sqlOperatorContract(kind, () => database);
});

it('with Vault and PostgreSQL, keyfold maintain and keyfold doctor need no AWS, and doctor reports a database that is down', async () => {
  const [bao, database] = await Promise.all([OpenBao.start(), startDatabase('PostgreSQL')]);
  await Promise.all([bao.write('transit/keys/keyfold', {}), database.createTable()]);
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-token-'));
  await writeFile(join(folder, 'token'), ROOT);
  const settings = {
    ...sqlSettings('PostgreSQL', database),
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
  expect(await run('maintain')).toMatchObject({ code: 0, answer: { created: { id: '_SK_orders_shop' } } });
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
    erasures: 'ok',
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
