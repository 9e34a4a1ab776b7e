/** Tests the operator's commands on a real OpenBao server, with the settings from docs/how-to/use-vault.md. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { HealthCheck } from '../../src/cli/health/check.ts';
import { SessionFactory, type DataRowRecord, type EnvelopeKeyRecord, type KeyId } from '../../src/index.ts';
import { VaultKms } from '../../src/kms/vault/index.ts';
import { noDeadline } from '../support/fakes.ts';
import { OperatorFixture } from '../support/operator.ts';
import { StubQuotas } from '../support/stub-quotas.ts';
import { OpenBao } from './openbao.ts';
import { AWS_ENVIRONMENT } from './processes.ts';

Object.assign(process.env, AWS_ENVIRONMENT);

const TRANSIT_KEY = 'keyfold';
const SYSTEM_KEY = '_SK_orders_shop' as KeyId;
const PAYLOAD = Buffer.from('payload');

let bao: OpenBao;
let operator: OperatorFixture;
let quotas: StubQuotas;
let role: { roleId: string; secretId: string };
let folder: string;
let record: DataRowRecord;

beforeAll(async () => {
  [bao, operator, quotas] = await Promise.all([OpenBao.start(), OperatorFixture.start(), StubQuotas.start()]);
  await bao.write(`transit/keys/${TRANSIT_KEY}`, {});
  role = await bao.makeRole('operator', TRANSIT_KEY, {});
  folder = await mkdtemp(join(tmpdir(), 'keyfold-secret-'));
  await writeFile(join(folder, 'secret-id'), role.secretId);
  record = await sessions().session('tenant-1').encrypt(PAYLOAD);
});
afterAll(async () => {
  await Promise.all([bao.stop(), operator.stop(), quotas.stop(), rm(folder, { recursive: true })]);
});

/** A service process with a cold cache. */
function sessions(): SessionFactory {
  const auth = { method: 'approle', ...role } as const;
  const kms = new VaultKms({ addresses: [bao.url], transitKey: TRANSIT_KEY, auth });
  return new SessionFactory({ service: 'orders', product: 'shop', kms, metastore: operator.metastore });
}

async function keyfold(...args: string[]): Promise<{ code: number; answer: unknown }> {
  // VaultKms uses the real time, so the commands must use it too.
  operator.clock.nowMs = Date.now();
  const { code, stdout } = await operator.keyfold([...args, '--json'], {
    KEYFOLD_KMS: 'vault',
    KEYFOLD_VAULT_ADDRESSES: bao.url,
    KEYFOLD_VAULT_TRANSIT_KEY: TRANSIT_KEY,
    KEYFOLD_VAULT_AUTH: 'approle',
    KEYFOLD_VAULT_ROLE: role.roleId,
    KEYFOLD_VAULT_SECRET_FILE: join(folder, 'secret-id'),
  });
  return { code, answer: JSON.parse(stdout) as unknown };
}

/**
 * The checks that `keyfold doctor` reports with the state `fault`. The command also warns that the emulator's table has
 * no deletion protection.
 */
async function faults(): Promise<HealthCheck[]> {
  const { code, answer } = await keyfold('doctor');
  const found = (answer as HealthCheck[]).filter(({ state }) => state === 'fault');
  expect(code).toBe(found.length > 0 ? 1 : 3);
  return found;
}

it('after keyfold keys rotate, the service seals under the new keys, and still opens records under the old keys', async () => {
  expect(await keyfold('keys', 'rotate')).toMatchObject({ code: 0, answer: [{ id: SYSTEM_KEY, outcome: 'rotated' }] });
  const latest = await operator.metastore.loadLatest(SYSTEM_KEY, noDeadline());
  const partition = await keyfold('keys', 'rotate', '--partition', 'tenant-1');
  expect(partition).toMatchObject({ code: 0, answer: [{ outcome: 'rotated' }] });
  const { parent } = (await sessions().session('tenant-1').encrypt(PAYLOAD)).key;
  const row = await operator.metastore.load(parent.id as KeyId, parent.created as never, noDeadline());
  expect(row?.parent).toEqual({ id: SYSTEM_KEY, created: latest?.created });
  expect(await sessions().session('tenant-1').decrypt(record)).toEqual(PAYLOAD);
});

it('keyfold keys prove adds the missing proof to a row, and the service accepts that proof', async () => {
  const row = (await operator.metastore.loadLatest(SYSTEM_KEY, noDeadline())) as EnvelopeKeyRecord;
  expect(row.proof).toBeDefined();
  await operator.put({ ...row, proof: undefined });
  const added = { id: SYSTEM_KEY, created: row.created, outcome: 'added' };
  const answer = expect.arrayContaining([added]) as unknown;
  expect(await keyfold('keys', 'prove', '--yes')).toMatchObject({ code: 0, answer });
  expect(await operator.metastore.loadLatest(SYSTEM_KEY, noDeadline())).toEqual(row);
});

it('keyfold maintain reports whether Vault opens each System Key', async () => {
  const regions = [{ region: new URL(bao.url).host, opens: true, renewed: false }];
  const answer = { systemKeys: [{ regions }, { regions }] };
  expect(await keyfold('maintain')).toMatchObject({ code: 0, answer });
});

it('keyfold doctor reports a sealed server, and System Keys whose transit key version min_decryption_version forbids', async () => {
  expect(await faults()).toEqual([]);
  await bao.write(`transit/keys/${TRANSIT_KEY}/rotate`, {});
  await bao.write(`transit/keys/${TRANSIT_KEY}/config`, { min_decryption_version: 2 });
  const forbidden = { check: 'system keys proofs', says: expect.stringContaining('KeyVersionRefused') as unknown };
  expect(await faults()).toMatchObject([forbidden]);
  await bao.write(`transit/keys/${TRANSIT_KEY}/config`, { min_decryption_version: 1 });
  await bao.write('sys/seal', {});
  expect(await faults()).toMatchObject([{ check: `vault ${bao.url} calls` }]);
  await bao.unseal();
  expect(await faults()).toEqual([]);
});
