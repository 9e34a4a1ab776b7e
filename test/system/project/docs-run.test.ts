/** Runs what the documents ask readers to run against `npm start`: curl commands, the CLI, and whole programs. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codeBlocksOf, commandsOf, MARKDOWN, ROOT } from '../../support/documents.ts';
import { addressOf, startLocalProcess, stopLocalProcess, type LocalProcess } from '../../support/local-process.ts';
import { runCurl, wordsOf } from '../../support/pasted.ts';

const run = promisify(execFile);

const NPX = /^(?:npm run -s keyfold --|npx keyfold) /;

let world: LocalProcess;
let folder: string;
/** Maps each address in the documents to the address of this local world. */
let addresses: Record<string, string>;

beforeAll(async () => {
  world = await startLocalProcess();
  folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
  addresses = {
    'http://127.0.0.1:8080': world.url,
    'http://127.0.0.1:8081': addressOf(world, 'KMS'),
    'http://127.0.0.1:8082': addressOf(world, 'DynamoDB'),
    'http://127.0.0.1:8083': addressOf(world, 'SQS'),
  };
  // Every page except the tutorial assumes that this file exists.
  const encrypt = `curl -d {"plaintext":"aGVsbG8="} ${world.url}/v1/partitions/tenant-1/encrypt | tee record.json`;
  await runCurl(encrypt.replace('curl', "curl -H 'content-type: application/json'"), folder);
});
afterAll(async () => {
  await stopLocalProcess(world);
  await rm(folder, { recursive: true });
});

/** Replaces the addresses in a string with the addresses of this local world. */
const here = (text: string): string =>
  text.replaceAll(/http:\/\/127\.0\.0\.1:808\d/g, (address) => addresses[address] ?? address);

/** Runs one command, if it can run here. Returns the HTTP status of its response, or the exit code of its process. */
async function outcomeOf(command: string, env: Record<string, string>): Promise<{ ended: number; output: string }> {
  if (command.startsWith('export ')) {
    for (const [, name = '', value = ''] of command.matchAll(/(\w+)=(\S+)/g)) env[name] = value;
  } else if (command.startsWith('curl ')) {
    const { status, body } = await runCurl(command, folder);
    return { ended: status, output: body };
  } else if (command.startsWith('sed ')) {
    // The documents use sed only to insert a member at the beginning of a JSON object.
    const [, member = '', from = '', to = ''] = /^sed 's\/\^\{\/\{(.*)\/' (\S+) > (\S+)$/.exec(command) ?? [];
    await writeFile(join(folder, to), `{${member}${(await readFile(join(folder, from), 'utf8')).slice(1)}`);
  } else if (NPX.test(command)) {
    const args = [join(ROOT, 'src/cli/main.ts'), ...wordsOf(command.replace(NPX, ''))];
    const { stdout } = await run(process.execPath, args, { env: { ...process.env, ...env } });
    return { ended: 0, output: stdout };
  }
  return { ended: 0, output: '' };
}

/** Runs the matching commands of a page in order, and the `export` commands that they need. */
async function follow(file: string, which: RegExp): Promise<{ command: string; ended: number; output: string }[]> {
  const env: Record<string, string> = {};
  const outcomes = [];
  for (const { language, code } of codeBlocksOf(file)) {
    if (language !== 'sh') continue;
    for (const command of commandsOf(here(code))) {
      const outcome = which.test(command) && { command, ...(await outcomeOf(command, env)) };
      if (outcome && !/^(?:export|sed) /.test(command)) outcomes.push(outcome);
    }
  }
  return outcomes;
}

/** The creation time of the Intermediate Key that a record names. */
function dateOfKeyIn(output = ''): number {
  return Number(/"ParentKeyMeta":\{[^}]*"Created":(\d+)/.exec(output)?.[1]);
}

describe('docs/tutorial/try-it-locally.md', () => {
  it('has commands that print what the page shows', async () => {
    const outcomes = await follow('docs/tutorial/try-it-locally.md', /^(?:curl|export|npm run -s keyfold|sed) /);
    const outputs = outcomes.map(({ ended, output }) => `${ended} ${output}`);
    expect(outputs).toEqual([
      expect.stringMatching(/^200 \{"record":\{"Key":/),
      '200 {"plaintext":"aGVsbG8="}',
      expect.stringMatching(/^422 .*"RecordUnreadable"/),
      expect.stringMatching(/^200 \{"document":\{"id":7,"card":"kf1j\./),
      '200 {"document":{"id":7,"card":4111111111111111.10}}',
      expect.stringMatching(/^200 .*"down"/),
      expect.stringMatching(/^20\d /),
      '200 {"plaintext":"aGVsbG8="}',
      expect.stringMatching(/^200 .*"us-west-2","state":"unavailable".*"us-east-1","state":"ok"/),
      expect.stringMatching(/^200 /),
      expect.stringMatching(/^0 ID .*\n_SK_local_keyfold /),
      expect.stringMatching(/^0 ID .*\n_IK_tenant-1_local_keyfold /),
      expect.stringMatching(/^0 revoke .*\nRevoked\./s),
      expect.stringMatching(/^20\d /),
      expect.stringMatching(/^200 \{"record":\{"Key":/),
    ]);
    const [first = 0, last = 0] = [outputs[0], outputs.at(-1)].map(dateOfKeyIn);
    expect(last).toBeGreaterThan(first);
  });
});

const others = MARKDOWN.filter((file) => file !== 'docs/tutorial/try-it-locally.md' && file !== 'CHANGELOG.md').filter(
  (file) => codeBlocksOf(file).some(({ language, code }) => language === 'sh' && /^curl /m.test(code)),
);

it.for(others)('the curl commands of %s succeed', async (file) => {
  const outcomes = await follow(file, /^curl /);
  expect(outcomes.map(({ command, ended }) => [ended < 300, command])).toEqual(
    outcomes.map(({ command }) => [true, command]),
  );
  expect(outcomes.length).toBeGreaterThan(0);
});

it('the program in docs/tutorial/first-dynamodb-table.md prints what the page shows', async () => {
  const blocks = codeBlocksOf('docs/tutorial/first-dynamodb-table.md');
  const program = blocks.find(({ language }) => language === 'js')?.code ?? '';
  const library = JSON.stringify(join(ROOT, 'src/index.ts'));
  // This folder is inside the repository's node_modules, so that programs find the AWS SDK.
  const file = join(await mkdtemp(join(ROOT, 'node_modules', '.docs-')), 'customers.mjs');
  await writeFile(file, program.replace("'keyfold'", library));
  const env: Record<string, string> = {};
  for (const { code } of blocks)
    for (const [, all = ''] of here(code).matchAll(/^(export .*)$/gm)) await outcomeOf(all, env);
  const first = await run(process.execPath, [file], { env: { ...process.env, ...env } });
  const again = await run(process.execPath, [file], { env: { ...process.env, ...env } });
  await rm(join(file, '..'), { recursive: true });
  for (const { stdout } of [first, again])
    expect(stdout).toMatch(/^stored: kf1\.[\w-]{100,}\nopened: 4111 1111 1111 1111\n$/);
  expect(blocks.some(({ code }) => code.endsWith('opened: 4111 1111 1111 1111'))).toBe(true);
});

it('the program in the README runs unchanged, and prints what the README says', async () => {
  const block = codeBlocksOf('README.md').find(({ language }) => language === 'ts');
  const file = join(folder, 'example.ts');
  await writeFile(file, block?.code.replace("'keyfold'", JSON.stringify(join(ROOT, 'src/index.ts'))) ?? '');
  const { stdout } = await run(process.execPath, [file], { env: {} });
  expect(stdout).toBe('hello\n');
});
