/** Tests VaultKms on a real OpenBao server. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VaultKms, type VaultKmsOptions } from '../../src/kms/vault/index.ts';
import { kmsContract, wrapRenewerContract } from '../../src/testing/index.ts';
import { FrozenProcess } from '../integration/connections/frozen-process.ts';
import { buildWorker } from '../support/build-worker.ts';
import { runContract } from '../support/contract/bind.ts';
import { codeOf, noDeadline } from '../support/fakes.ts';
import { keyOf } from '../support/kms.ts';
import { OpenBao, ROOT } from './openbao.ts';

const KEY = Buffer.alloc(32, 9);
const TOKEN = { method: 'token', token: ROOT } as const;

let bao: OpenBao;
let keys = 0;

beforeAll(async () => {
  bao = await OpenBao.start();
});
afterAll(() => bao.stop());

async function makeKey(): Promise<string> {
  const name = `key-${(keys += 1)}`;
  await bao.write(`transit/keys/${name}`, {});
  return name;
}

const open = (transitKey: string, changes: Partial<VaultKmsOptions> = {}): VaultKms =>
  new VaultKms({ addresses: [bao.url], transitKey, auth: TOKEN, failover: { maxRounds: 1 }, ...changes });
const wrap = (kms: VaultKms): Promise<Uint8Array> => kms.wrap(KEY, noDeadline());
const unwrap = (kms: VaultKms, wrapped: Uint8Array): Promise<unknown> => keyOf(kms.unwrap(wrapped, noDeadline()));

const openContract = (): VaultKms => open('contract');
const faults = {
  openFailing: () => open('contract', { addresses: ['http://127.0.0.1:9'] }),
  openRefused: () => open('no-such-key', { auth: { method: 'token', token: 'wrong' } }),
  rotate: async () => void (await bao.write('transit/keys/contract/rotate', {})),
};
runContract('VaultKms on OpenBao as a KMS', kmsContract(openContract, faults));
runContract('VaultKms on OpenBao as a renewer of wraps', wrapRenewerContract(openContract, faults));

describe('VaultKms with a transit key', () => {
  it('wraps with the new version after a rotation, and still unwraps old wraps', async () => {
    const key = await makeKey();
    const old = await wrap(open(key));
    await bao.write(`transit/keys/${key}/rotate`, {});
    const renewed = await wrap(open(key));
    expect(Buffer.from(renewed).toString()).toMatch(/^vault:v2:/);
    for (const wrapped of [old, renewed]) expect(await unwrap(open(key), wrapped)).toEqual(KEY);
  });

  it('throws KmsMisconfigured for an old wrap while min_decryption_version forbids the version of the wrap', async () => {
    const key = await makeKey();
    const old = await wrap(open(key));
    await bao.write(`transit/keys/${key}/rotate`, {});
    await bao.write(`transit/keys/${key}/config`, { min_decryption_version: 2 });
    expect(await codeOf(unwrap(open(key), old))).toBe('KmsMisconfigured');
    await bao.write(`transit/keys/${key}/config`, { min_decryption_version: 1 });
    expect(await unwrap(open(key), old)).toEqual(KEY);
  });

  it('throws KmsMisconfigured for an old wrap after the version of the wrap is trimmed', async () => {
    const key = await makeKey();
    const old = await wrap(open(key));
    await bao.write(`transit/keys/${key}/rotate`, {});
    await bao.write(`transit/keys/${key}/config`, { min_decryption_version: 2, min_encryption_version: 2 });
    await bao.write(`transit/keys/${key}/trim`, { min_available_version: 2 });
    expect(await codeOf(unwrap(open(key), old))).toBe('KmsMisconfigured');
    expect(await unwrap(open(key), await wrap(open(key)))).toEqual(KEY);
  });

  it('throws KmsMisconfigured if the key does not exist, and reports a wrap under another key as unreadable', async () => {
    const [key, other] = [await makeKey(), await makeKey()];
    const wrapped = await wrap(open(key));
    expect(await codeOf(unwrap(open('no-such-key'), wrapped))).toBe('KmsMisconfigured');
    expect(await codeOf(unwrap(open(key, { transitMount: 'no/such' }), wrapped))).toBe('KmsMisconfigured');
    expect(await unwrap(open(other), wrapped)).toEqual({ unreadable: 'no version of the transit key opens it' });
    const role = await bao.makeRole('no-key', 'not-made', {});
    expect(await codeOf(wrap(open('not-made', { auth: { method: 'approle', ...role } })))).toBe('KmsMisconfigured');
  });

  it.for(['rsa-2048', 'rsa-3072', 'rsa-4096'])('refuses a key of type %s', async (type) => {
    await bao.write(`transit/keys/${type}`, { type });
    expect(await codeOf(wrap(open(type)))).toBe('KmsMisconfigured');
    const { ciphertext } = await bao.write(`transit/encrypt/${type}`, { plaintext: KEY.toString('base64') });
    expect(await open(type).unwrap(Buffer.from(String(ciphertext)), noDeadline())).toMatchObject({
      unreadable: expect.stringContaining('RSA') as string,
    });
  });

  it.for(['aes128-gcm96', 'chacha20-poly1305', 'xchacha20-poly1305'])('wraps with a key of type %s', async (type) => {
    await bao.write(`transit/keys/${type}`, { type });
    expect(await unwrap(open(type), await wrap(open(type)))).toEqual(KEY);
  });

  it('finds a key in a namespace only if the options name that namespace', async () => {
    await bao.write('sys/namespaces/team', {});
    await bao.write('sys/mounts/transit', { type: 'transit' }, 'team');
    await bao.write('transit/keys/theirs', {}, 'team');
    const wrapped = await wrap(open('theirs', { namespace: 'team' }));
    expect(await unwrap(open('theirs', { namespace: 'team' }), wrapped)).toEqual(KEY);
    expect(await codeOf(unwrap(open('theirs'), wrapped))).toBe('KmsMisconfigured');
  });

  it('does not unwrap a wrap in which a character was changed', async () => {
    const key = await makeKey();
    const text = Buffer.from(await wrap(open(key))).toString();
    for (let at = 0; at < text.length; at += 7) {
      const changed = `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`;
      const outcome = await unwrap(open(key), Buffer.from(changed)).catch((error: unknown) => error);
      expect({ changed, opens: Buffer.isBuffer(outcome) }).toEqual({ changed, opens: false });
    }
  });
});

describe('VaultKms with a token', () => {
  it('logs in again if the token expired while the process was frozen', async () => {
    const key = await makeKey();
    const role = await bao.makeRole('short', key, { token_ttl: '1s', token_max_ttl: '1s' });
    const wrapped = Buffer.from(await wrap(open(key))).toString();
    const worker = await buildWorker(join(import.meta.dirname, '..', 'integration', 'connections', 'freeze-worker.ts'));
    const settings = { ENDPOINT: bao.url, VAULT_TRANSIT_KEY: key, WRAPPED: wrapped, INVOCATION_MS: '10000' };
    const frozen = await FrozenProcess.start(worker, 'Vault', { ...settings, VAULT_ROLE: JSON.stringify(role) });
    for (let i = 0; i < 3; i += 1) {
      expect(await frozen.serve(8)).toEqual(Array.from({ length: 8 }, () => 'ok'));
      await frozen.freeze(2000);
    }
    expect(await frozen.serve(1)).toEqual(['ok']);
    await frozen.end();
    await rm(dirname(worker), { recursive: true });
  });

  it('renews the token if the secret ID works for only one login', async () => {
    const key = await makeKey();
    const role = await bao.makeRole('once', key, { token_ttl: '4s', token_max_ttl: '60s', secret_id_num_uses: 1 });
    const kms = open(key, { auth: { method: 'approle', ...role } });
    const wrapped = await wrap(kms);
    for (let i = 0; i < 2; i += 1) {
      await sleep(3000);
      expect(await unwrap(kms, wrapped)).toEqual(KEY);
    }
    expect(await codeOf(wrap(open(key, { auth: { method: 'approle', ...role } })))).toBe('KmsMisconfigured');
  });

  it('logs in again within the same attempt if the token was revoked', async () => {
    const key = await makeKey();
    const role = await bao.makeRole('revoked', key, {});
    const kms = open(key, { auth: { method: 'approle', ...role } });
    const wrapped = await wrap(kms);
    await bao.write('sys/leases/revoke-prefix/auth/approle', {});
    expect(await unwrap(kms, wrapped)).toEqual(KEY);
  });

  it('throws KmsMisconfigured if the token is wrong', async () => {
    const auth = { method: 'token', token: 'wrong' } as const;
    expect(await codeOf(wrap(open(await makeKey(), { auth })))).toBe('KmsMisconfigured');
  });
});

describe('VaultKms with a server', () => {
  it('throws KmsUnavailable while the server is sealed, and works again once the server is unsealed', async () => {
    const key = await makeKey();
    const kms = open(key);
    const wrapped = await wrap(kms);
    await bao.write('sys/seal', {});
    expect(await codeOf(unwrap(kms, wrapped))).toBe('KmsUnavailable');
    expect(kms.regionStates()[0]?.lastFault?.errorName).toBe('Sealed');
    await bao.unseal();
    expect(await unwrap(kms, wrapped)).toEqual(KEY);
  });

  it('throws KmsUnavailable if the server is killed during a request and there is no other address', async () => {
    const doomed = await OpenBao.start();
    const key = await makeKey();
    const alone = open(key, { addresses: [doomed.url], requestTimeoutMs: 60_000 });
    const withAnother = open(key, { addresses: [doomed.url, bao.url], requestTimeoutMs: 60_000 });
    // The operating system still accepts connections for a stopped process, so the calls are still waiting when the
    // process is killed.
    doomed.process.kill('SIGSTOP');
    await untilStopped(doomed.process.pid);
    const calls = [codeOf(wrap(alone)), wrap(withAnother)] as const;
    await sleep(200);
    doomed.process.kill('SIGKILL');
    expect(await calls[0]).toBe('KmsUnavailable');
    expect(await unwrap(open(key), await calls[1])).toEqual(KEY);
    await doomed.stop();
  });
});

/** Waits until the kernel has stopped every thread of a process. Until then, the process may still answer. */
async function untilStopped(pid = 0): Promise<void> {
  const threads = await readdir(`/proc/${pid}/task`);
  const states = await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/stat`, 'utf8')));
  if (states.some((state) => !state.includes(') T '))) {
    await sleep(5);
    await untilStopped(pid);
  }
}

it('the commands of docs/how-to/use-vault.md create a role that VaultKms can use', async () => {
  const server = await OpenBao.start({ prepared: false });
  const page = await readFile(join(import.meta.dirname, '..', '..', 'docs', 'how-to', 'use-vault.md'), 'utf8');
  const [, commands = ''] = /^```sh\n(.*?)^```$/ms.exec(page) ?? [];
  await server.run(commands);
  const role = await server.roleOf('orders');
  const kms = open('keyfold', { addresses: [server.url], auth: { method: 'approle', ...role } });
  expect(await unwrap(kms, await wrap(kms))).toEqual(KEY);
  await server.run('bao write -f transit/keys/keyfold/rotate');
  expect(Buffer.from(await wrap(kms)).toString()).toMatch(/^vault:v2:/);
  const misspelt = open('keyfolt', { addresses: [server.url], auth: { method: 'approle', ...role } });
  expect(await codeOf(wrap(misspelt))).toBe('KmsMisconfigured');
  await server.stop();
});
