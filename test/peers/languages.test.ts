/** Tests the programs in examples/languages and the tutorial's curl commands against the local world. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codeBlocksOf } from '../support/documents.ts';
import { startLocalProcess, stopLocalProcess, type LocalProcess } from '../support/local-process.ts';
import { startSignedFront, type SignedFront } from '../support/signed-front.ts';
import { pythonOf } from './install.ts';
import { PEERS_FOLDER } from './peers-folder.ts';
import { AWS_ENVIRONMENT } from './processes.ts';

const FOLDER = join(import.meta.dirname, '..', '..', 'examples', 'languages');
const JAVA = ['java', '-cp', join(PEERS_FOLDER, 'languages-java', '*')] as const;
const PROGRAMS: readonly (readonly [file: string, command: readonly [string, ...string[]]])[] = [
  ['python/invoke.py', [pythonOf('moto'), join(FOLDER, 'python', 'invoke.py')]],
  ['python/signed_http.py', [pythonOf('moto'), join(FOLDER, 'python', 'signed_http.py')]],
  ['go/invoke/main.go', [join(PEERS_FOLDER, 'languages-go', 'invoke')]],
  ['go/http/main.go', [join(PEERS_FOLDER, 'languages-go', 'http')]],
  ['java/Invoke.java', [...JAVA, join(FOLDER, 'java', 'Invoke.java')]],
  ['java/SignedHttp.java', [...JAVA, join(FOLDER, 'java', 'SignedHttp.java')]],
];

let world: LocalProcess;
let front: SignedFront;

beforeAll(async () => {
  world = await startLocalProcess();
  front = await startSignedFront(world.url, AWS_ENVIRONMENT.AWS_SECRET_ACCESS_KEY);
});
afterAll(async () => {
  await front.stop();
  await stopLocalProcess(world);
});

/** Runs a program. @returns everything that it printed, and whether it succeeded */
async function output(
  [command, ...args]: readonly [string, ...string[]],
  more = {},
): Promise<{ ok: boolean; stdout: string; stderr: string }> {
  const env = {
    ...process.env,
    ...AWS_ENVIRONMENT,
    AWS_DEFAULT_REGION: AWS_ENVIRONMENT.AWS_REGION,
    AWS_ENDPOINT_URL_LAMBDA: world.url,
    KEYFOLD_URL: front.url,
    ...more,
  };
  return promisify(execFile)(command, args, { env }).then(
    (ended) => ({ ok: true, ...ended }),
    ({ stdout, stderr }: { stdout: string; stderr: string }) => ({ ok: false, stdout, stderr }),
  );
}

it.for(PROGRAMS)('the program %s encrypts and decrypts', async ([, command]) => {
  expect(await output(command)).toMatchObject({ ok: true, stdout: 'hello\n' });
});

it.for(PROGRAMS.filter(([file]) => /http/i.test(file)))('the program %s signs its requests', async ([, command]) => {
  const { ok, stdout, stderr } = await output(command, { AWS_SECRET_ACCESS_KEY: 'another' });
  expect([ok, stdout]).toEqual([false, '']);
  expect(stderr).toContain('Forbidden');
});

it.for(PROGRAMS)('the program %s reports the error code if KMS refuses the request', async ([, command]) => {
  const faults = ['us-west-2', 'us-east-1'].map((region) => `${world.url}/local/regions/${region}/fault`);
  const body = JSON.stringify({ kind: 'error', name: 'DisabledException', status: 400 });
  for (const fault of faults) await fetch(fault, { method: 'PUT', body });
  await fetch(`${world.url}/local/cold-start`, { method: 'POST' });
  const { ok, stderr } = await output(command);
  for (const fault of faults) await fetch(fault, { method: 'DELETE' });
  expect(ok).toBe(false);
  expect(stderr).toContain('KmsMisconfigured');
});

describe('the curl commands in docs/tutorial/deploy.md', () => {
  const [code = ''] = codeBlocksOf('docs/tutorial/deploy.md').flatMap((block) =>
    block.code.startsWith('signed() (') ? [block.code] : [],
  );
  /** The shell function stands in for the AWS CLI, whose credentials are temporary. */
  const paste = async (secret: string): Promise<{ stdout: string }> => {
    const variables = { ACCESS_KEY_ID: 'local', SECRET_ACCESS_KEY: secret, SESSION_TOKEN: 'token//with+signs==' };
    const exports = Object.entries(variables).map(([name, value]) => `export AWS_${name}=${value}`);
    const aws = `aws() { [ "$*" = 'configure export-credentials --profile caller --format env' ] && echo '${exports.join('\n')}'; }`;
    const folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
    try {
      const script = `${aws}\nurl=${front.url}\n${code}\necho "[$AWS_ACCESS_KEY_ID]"`;
      return await promisify(execFile)('sh', ['-c', script], { cwd: folder, env: { PATH: process.env['PATH'] } });
    } finally {
      await rm(folder, { recursive: true });
    }
  };

  it('encrypt and decrypt, and leave no credentials in the shell', async () => {
    const { stdout } = await paste(AWS_ENVIRONMENT.AWS_SECRET_ACCESS_KEY);
    expect(stdout).toBe('{"plaintext":"aGVsbG8="}[]\n');
  });

  it('print what the page says if API Gateway refuses the signature', async () => {
    const { stdout } = await paste('another');
    expect(stdout).toBe('{"message":"Forbidden"}[]\n');
  });
});
