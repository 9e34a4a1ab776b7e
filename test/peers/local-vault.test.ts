/** Tests `npm start -- --kms vault` with a real OpenBao server, over HTTP and on the page. */
import { access, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { JournalCall } from '../../local/call-journal.ts';
import { LOCAL_CREDENTIALS } from '../support/local-credentials.ts';
import { addressOf, startLocalProcess, stopLocalProcess, type LocalProcess } from '../support/local-process.ts';
import { runCurl } from '../support/pasted.ts';
import { launchBrowser } from './browser.ts';
import { BAO_FOLDER } from './openbao.ts';
import { PageUnderTest } from './page-under-test.ts';

process.env['PATH'] = `${BAO_FOLDER}:${process.env['PATH']}`;

let world: LocalProcess;
/** The address of OpenBao. */
let bao: string;
/** The folder of OpenBao's tokens. */
let folder: string;

beforeAll(async () => {
  world = await startLocalProcess('--kms', 'vault');
  bao = addressOf(world, 'OpenBao');
  folder = /tokens are in (\S+)/.exec(world.greeting)?.[1] ?? '';
});
afterAll(() => stopLocalProcess(world));

async function post(path: string, content: unknown): Promise<{ status: number; answer: unknown }> {
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(world.url + path, { method: 'POST', headers, body: JSON.stringify(content) });
  const text = await answer.text();
  return { status: answer.status, answer: text === '' ? undefined : JSON.parse(text) };
}

const encrypt = (): Promise<{ status: number; answer: unknown }> =>
  post('/v1/partitions/tenant-1/encrypt', { plaintext: 'aGVsbG8=' });

/** Decrypts in a cold process. */
async function decryptCold(record: unknown): Promise<{ status: number; answer: unknown }> {
  await post('/local/cold-start', {});
  return post('/v1/partitions/tenant-1/decrypt', record);
}

/** Calls OpenBao with the token in a file of the token folder. Returns the status. */
async function callBao(path: string, file: string, body: object): Promise<number> {
  const headers = { 'x-vault-token': await readFile(join(folder, file), 'utf8') };
  const answer = await fetch(`${bao}/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  return answer.status;
}

/** The `KeyRecord.Key` of each System Key in the table, decoded from base64. */
async function systemKeyWraps(): Promise<string[]> {
  const client = new DynamoDBClient({
    endpoint: addressOf(world, 'DynamoDB'),
    region: 'us-west-2',
    credentials: LOCAL_CREDENTIALS,
  });
  const { Items = [] } = await client.send(new ScanCommand({ TableName: 'EncryptionKey' }));
  client.destroy();
  const wraps = Items.filter(({ Id }) => Id?.S?.startsWith('_SK_')).map((row) => row['KeyRecord']?.M?.['Key']?.S);
  return wraps.map((wrap = '') => Buffer.from(wrap, 'base64').toString());
}

it('OpenBao wraps the System Key, and opens it for a cold process', async () => {
  const { status, answer: record } = await encrypt();
  expect(status).toBe(200);
  expect(await decryptCold(record)).toEqual({ status: 200, answer: { plaintext: 'aGVsbG8=' } });
  expect(await systemKeyWraps()).toEqual([expect.stringMatching(/^vault:v1:/)]);
  const { calls } = (await (await fetch(`${world.url}/local/calls?since=0`)).json()) as { calls: JournalCall[] };
  const made = calls.filter(({ service }) => service === 'OpenBao');
  expect(made.map(({ action, outcome }) => `${action} ${outcome}`)).toEqual([
    'transit/encrypt/keyfold ok',
    'transit/decrypt/keyfold ok',
  ]);
});

it('with OpenBao, npm start does not mention KMS or regions, and prints a command that rotates the transit key', async () => {
  expect(world.greeting).not.toMatch(/KMS|region|--data|us-west-2/);
  const { answer: record } = await encrypt();
  const [, commands = ''] = /^3\. Rotate.*\n +(.*)$/m.exec(world.greeting) ?? [];
  const rootToken = await readFile(join(folder, 'root-token'), 'utf8');
  for (const command of commands.replace(/"(.*)\$\(cat \S+\)"/, `'$1${rootToken}'`).split(' && ')) {
    expect((await runCurl(command, folder)).status).toBeLessThan(300);
  }
  expect(await decryptCold(record)).toMatchObject({ status: 200 });
  expect(await post('/local/keys/rotate', {})).toMatchObject({ status: 200, answer: { exitCode: 0 } });
  expect((await systemKeyWraps()).map((wrap) => wrap.replace(/:[^:]*$/, '')).toSorted()).toEqual([
    'vault:v1',
    'vault:v2',
  ]);
});

it('a sealed OpenBao opens no key for a cold process until an operator unseals OpenBao', async () => {
  const { answer: record } = await encrypt();
  expect(await callBao('sys/seal', 'root-token', {})).toBe(204);
  expect(await decryptCold(record)).toMatchObject({ status: 503, answer: { code: 'KmsUnavailable' } });
  const key = await readFile(join(folder, 'unseal-key'), 'utf8');
  expect(await callBao('sys/unseal', 'root-token', { key })).toBe(200);
  await expect.poll(async () => (await decryptCold(record)).status, { timeout: 30_000 }).toBe(200);
});

it("the functions' token can only use the transit key, and only the current user can read the token's folder", async () => {
  const plaintext = Buffer.from('x').toString('base64');
  expect(await callBao('transit/encrypt/keyfold', 'token', { plaintext })).toBe(200);
  expect(await callBao('transit/encrypt/another', 'token', { plaintext })).toBe(403);
  expect(await callBao('transit/keys/keyfold/rotate', 'token', {})).toBe(403);
  expect((await stat(folder)).mode & 0o777).toBe(0o700);
});

it('the local page encrypts, decrypts, revokes and rotates, and shows no regions', async () => {
  const browser = await launchBrowser();
  const underTest = await PageUnderTest.open(browser, world.url);
  const { page } = underTest;
  const text = (selector: string): Promise<string> => page.locator(selector).innerText();
  expect(await page.getByText('by region').isVisible()).toBe(false);
  expect(await text('#tour-title')).toBe('Try it in three steps');
  expect(await text('.aside')).toContain('run on OpenBao and on an emulator of DynamoDB.');

  expect(await underTest.press('Encrypt', /^Encrypted/)).toMatch(/: \d OpenBao calls?, \d DynamoDB calls?\.$/);
  await underTest.press('Start cold', /^Started cold/);
  expect(await underTest.press('Decrypt', /^Decrypted/)).toBe('Decrypted: 1 OpenBao call, 2 DynamoDB calls.');
  expect(await text('.why')).toBe('OpenBao decrypted the System Key, which now stays in memory.');
  expect(await text('.calls')).toMatch(/OpenBao\s+transit\/decrypt\/keyfold\s+✓ ok/);
  expect(await text('#chain')).toMatch(/The System Key is encrypted with version \d of a transit key\./);

  await page.getByRole('button', { name: /^Replace a tenant's key/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await underTest.said(/^Rewrapped/);
  await page.getByRole('button', { name: 'Rotate the System Key' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Rotate', exact: true }).click();
  expect(await underTest.said(/^Rotated/)).toMatch(/^Rotated: [1-9]/);
  expect(await text('.note')).toContain('the last record still decrypts');
  expect(await underTest.press('Run maintenance', /^Maintained/)).toMatch(/[1-9] OpenBao calls/);
  expect(await text('.why')).toBe('It checks that OpenBao decrypts each System Key, and reports what it found.');
  for (const part of ['.tour', '.world', '#chain', '#keys']) expect(await text(part)).not.toMatch(/KMS|region/);
  expect(underTest.complaints).toEqual([]);
  await browser.close();
});

it('with OpenBao, npm start deletes its folder and stops OpenBao when the process ends', async () => {
  expect((await readdir(folder)).toSorted()).toEqual(['root-token', 'token', 'unseal-key']);
  await stopLocalProcess(world);
  await expect(access(folder)).rejects.toThrow('ENOENT');
  await expect(fetch(`${bao}/v1/sys/health`)).rejects.toThrow('fetch failed');
});
