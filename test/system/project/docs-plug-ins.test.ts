/** Tests that the examples on the pages about other key services and metastores compile, run and pass the contracts. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDynamoDb } from '../../../local/dynamodb.ts';
import { settingsSchema } from '../../../src/config/settings.ts';
import { PKCS11_ENTRIES } from '../../../src/config/pkcs11-config.ts';
import { VAULT_ENTRIES } from '../../../src/config/vault-config.ts';
import { FAKE_DRIVER_PATH, FakeToken } from '../../support/fake-hsm/fake-token.ts';
import { StubVault } from '../../support/stub-vault.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..', '..');
const PAGES = ['write-a-kms-plug-in.md', 'write-a-metastore.md', 'use-vault.md', 'use-an-hsm.md'] as const;
let folder: string;
/** The files of each page's examples. */
const examples: Record<string, string[]> = {};

beforeAll(async () => {
  // This folder is inside the repository, so that TypeScript and Node find the modules of the examples.
  await mkdir(join(root, '.keyfold'), { recursive: true });
  folder = await mkdtemp(join(root, '.keyfold', 'plug-ins-'));
  for (const page of PAGES) examples[page] = await write(page);
});
afterAll(() => rm(folder, { recursive: true }));

/** Writes the examples of a page into files. The opening line of each block contains the name of its file. */
async function write(page: string): Promise<string[]> {
  const text = await readFile(join(root, 'docs', 'how-to', page), 'utf8');
  const blocks = [...text.matchAll(/^```ts (\S+)\n(.*?)^```$/gms)];
  for (const [, name = '', code = ''] of blocks) {
    const imports = code
      .replaceAll("from 'keyfold'", `from '${join(root, 'src', 'index.ts')}'`)
      .replaceAll("from 'keyfold/testing'", `from '${join(root, 'src', 'testing', 'index.ts')}'`)
      .replaceAll("from 'keyfold/pkcs11'", `from '${join(root, 'src', 'kms', 'pkcs11', 'index.ts')}'`)
      .replaceAll("from 'keyfold/vault'", `from '${join(root, 'src', 'kms', 'vault', 'index.ts')}'`);
    await writeFile(join(folder, name), imports);
  }
  return blocks.map(([, name = '']) => name);
}

it("the examples compile with this repository's strict compiler options", async () => {
  const config = { extends: join(root, 'tsconfig.json'), include: [], files: Object.values(examples).flat() };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  expect(await run(process.execPath, [tsc, '-p', folder])).toMatchObject({ stdout: '' });
});

describe.each([
  ['write-a-kms-plug-in.md', 23],
  ['write-a-metastore.md', 27],
])('the example in docs/how-to/%s', (page, cases) => {
  it('passes every case of the contract', async () => {
    const names = examples[page] ?? [];
    expect(names).toHaveLength(2);
    const file = join(folder, names.find((name) => name.endsWith('.test.ts')) ?? '');
    const { stdout } = await run(process.execPath, ['--no-warnings', '--test-reporter=tap', '--test', file]);
    expect(stdout).toMatch(new RegExp(`^# pass ${cases}$`, 'm'));
    expect(stdout).toMatch(/^# fail 0$/m);
  });
});

describe('docs/how-to/use-vault.md', () => {
  it('has an example that logs in and encrypts', async () => {
    const [name = ''] = examples['use-vault.md'] ?? [];
    const [vault, dynamoDb] = await Promise.all([StubVault.start(), startDynamoDb('EncryptionKey', 0)]);
    await writeFile(join(folder, 'secret-id'), 'secret\n');
    const env = {
      ...process.env,
      VAULT_ADDRESSES: vault.url,
      VAULT_ROLE_ID: 'orders',
      VAULT_SECRET_ID_FILE: join(folder, 'secret-id'),
      AWS_ENDPOINT_URL_DYNAMODB: dynamoDb.endpoint,
    };
    expect(await run(process.execPath, [join(folder, name)], { env })).toEqual({ stdout: 'hello\n', stderr: '' });
    expect(vault.requests[0]?.body).toEqual({ role_id: 'orders', secret_id: 'secret' });
    await Promise.all([vault.stop(), dynamoDb.close()]);
  });

  it('names exactly the existing settings for Vault', async () => {
    const text = await readFile(join(root, 'docs', 'how-to', 'use-vault.md'), 'utf8');
    const named = [...text.matchAll(/^\| `KEYFOLD_(\w+)`/gm)].map(([, name = '']) => name);
    expect(named).toEqual(expect.arrayContaining([...Object.keys(VAULT_ENTRIES), 'KMS']));
    expect(Object.keys({ ...settingsSchema.entries, ...VAULT_ENTRIES })).toEqual(expect.arrayContaining(named));
  });
});

describe('docs/how-to/use-an-hsm.md', () => {
  it('has an example that logs in and encrypts', async () => {
    const [name = ''] = examples['use-an-hsm.md'] ?? [];
    const [token, dynamoDb] = [new FakeToken(), await startDynamoDb('EncryptionKey', 0)];
    await writeFile(join(folder, 'pin'), '1234\n');
    const env = {
      ...process.env,
      NODE_PATH: FAKE_DRIVER_PATH,
      HSM_LIBRARY: token.library,
      HSM_PIN_FILE: join(folder, 'pin'),
      AWS_ENDPOINT_URL_DYNAMODB: dynamoDb.endpoint,
    };
    expect(await run(process.execPath, [join(folder, name)], { env })).toEqual({ stdout: 'hello\n', stderr: '' });
    expect(token.takeCalls().filter((call) => call === 'C_Login')).toHaveLength(1);
    await dynamoDb.close();
    token.remove();
  });

  it('names exactly the HSM settings that exist', async () => {
    const text = await readFile(join(root, 'docs', 'how-to', 'use-an-hsm.md'), 'utf8');
    const named = [...text.matchAll(/^\| `KEYFOLD_(\w+)`/gm)].map(([, name = '']) => name);
    expect(named.toSorted()).toEqual(Object.keys(PKCS11_ENTRIES).toSorted());
  });
});
