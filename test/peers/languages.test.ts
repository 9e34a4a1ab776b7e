/** Runs the programs of docs/how-to/call-from-other-languages.md against `npm start`. */
import { execFile } from 'node:child_process';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { codeBlocksOf } from '../support/documents.ts';
import { startLocalWorld, stopLocalWorld, type LocalWorld } from '../support/local-world.ts';
import { pythonOf } from './install.ts';
import { installOnce, PEERS_FOLDER } from './peers-folder.ts';
import { AWS_ENVIRONMENT } from './processes.ts';

const run = promisify(execFile);
const folder = join(PEERS_FOLDER, 'languages');
const jars = join(PEERS_FOLDER, 'languages-java');
const blocks = codeBlocksOf('docs/how-to/call-from-other-languages.md');

let world: LocalWorld;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  const pom = join(import.meta.dirname, 'languages', 'pom.xml');
  await installOnce('languages-java', pom, async (target) => {
    await run('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${target}`]);
  });
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const file of ['go.mod', 'go.sum']) await cp(join(import.meta.dirname, 'languages', file), join(folder, file));
  world = await startLocalWorld();
  env = { ...process.env, ...AWS_ENVIRONMENT, AWS_ENDPOINT_URL_LAMBDA: world.url, KEYFOLD_ENDPOINT: world.url };
});
afterAll(() => stopLocalWorld(world));

/** The n-th program in a language, from 0: the first invokes a function, the second calls the API. */
function programIn(language: string, n: number): string {
  const programs = blocks.filter((block) => block.language === language);
  expect(programs).toHaveLength(2);
  return programs[n]?.code ?? '';
}

const WAYS = [
  ['invokes the functions', 0],
  ['signs requests to the API', 1],
] as const;

it.for(WAYS)('the program in Python that %s encrypts and decrypts', async ([, n]) => {
  const file = join(folder, `program${n}.py`);
  await writeFile(file, programIn('python', n));
  const { stdout } = await run(pythonOf('moto'), [file], { env });
  expect(stdout).toBe('hello\n');
});

it.for(WAYS)('the program in Go that %s encrypts and decrypts', async ([, n]) => {
  const program = join(folder, `program${n}`);
  await mkdir(program);
  await writeFile(join(program, 'main.go'), `${programIn('go', n)}\n`);
  const { stdout } = await run('go', ['run', `./program${n}`], { cwd: folder, env });
  expect(stdout.trim()).toBe(n === 0 ? 'hello' : '{"plaintext":"aGVsbG8="}');
  expect((await run('gofmt', ['-l', program])).stdout).toBe('');
});

it.for(WAYS)('the program in Java that %s encrypts and decrypts', async ([, n]) => {
  const code = programIn('java', n);
  const [, name = ''] = /public class (\w+)/.exec(code) ?? [];
  const file = join(folder, `${name}.java`);
  await writeFile(file, code);
  const { stdout } = await run('java', ['-cp', join(jars, '*'), file], { env });
  expect(stdout).toBe('{"plaintext":"aGVsbG8="}\n');
});
