/** Tests the programs in examples/languages against the local world. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
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
