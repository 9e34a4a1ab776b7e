/**
 * The fakes of the AWS CLI and of osls. Their responses are in the first folder of the PATH. A test runs the fakes in
 * its own process (fake-processes.ts) or in child processes. In child processes, this file is the program of the fake
 * AWS CLI. Every Node process of a deployment script imports it to replace osls.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** The output and exit code of a program. */
export interface Reply {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const NOTHING: Reply = { code: 0, stdout: '', stderr: '' };

/** The folder of the fakes, which is the first folder of the PATH. Undefined if that folder holds no fakes. */
export function folderOf({ PATH = '' }: Environment): string | undefined {
  const [first = ''] = PATH.split(':');
  return existsSync(join(first, 'aws')) && existsSync(join(first, 'calls')) ? first : undefined;
}

/**
 * Does what the AWS CLI would do. It records each argument followed by a NUL, and each call followed by another NUL.
 * `lambda invoke` writes its response to the file that its last argument names.
 */
export function answerAws(folder: string, args: readonly string[], env: Environment): Reply {
  if (args[0] === '--version') {
    const version = `aws-cli/${env['CLI_VERSION'] ?? '2.31.0'} Python/3.13.7\n`;
    return { ...NOTHING, [env['CLI_VERSION_TO'] === '2' ? 'stderr' : 'stdout']: version };
  }
  record(folder, args);
  const [service, command] = args;
  const waiter = command === 'wait' ? args.find((word) => word.endsWith('-complete')) : undefined;
  const name = waiter ?? `${service} ${command}`;
  const changeSet = join(folder, 'change-set');
  if (args.includes('--change-set-name')) writeFileSync(changeSet, args[args.indexOf('--change-set-name') + 1] ?? '');
  // To overwrite a file can take milliseconds, because some file systems then write it to the disk at once.
  appendFileSync(join(folder, 'times', name), '.');
  const times = read(folder, 'times', name)?.length;
  for (const one of [`${name} ${times}`, name]) {
    const fault = read(folder, 'fails', one);
    if (fault !== undefined) return { code: 254, stdout: '', stderr: fault };
    const answer = read(folder, 'answers', one);
    if (answer === undefined) continue;
    const payload = read(folder, 'payloads', one);
    if (payload !== undefined) writeFileSync(args.at(-1) ?? '', payload);
    const set = existsSync(changeSet) ? readFileSync(changeSet, 'utf8') : '';
    return { ...NOTHING, stdout: answer.replaceAll('CHANGE_SET', set) };
  }
  return NOTHING;
}

/**
 * Does what a command of osls would do. Returns undefined if the folder has no response for the command, so that the
 * real osls runs.
 */
export function answerOsls(folder: string, args: readonly string[], env: Environment): Reply | undefined {
  const [command = '', ...rest] = args;
  const name = `osls ${command}`;
  const [fault, answer] = [read(folder, 'fails', name), read(folder, 'answers', name)];
  if (fault === undefined && answer === undefined) return undefined;
  const variables = Object.entries(env).filter(([variable]) => /^(?:AWS|OSLS|SLS)_/.test(variable));
  record(folder, ['osls', command, ...rest, ...variables.map(([variable, value]) => `${variable}=${value}`)]);
  if (fault !== undefined) return { code: 1, stdout: '', stderr: fault };
  if (command === 'package') {
    const made = rest[rest.indexOf('--package') + 1] ?? '';
    mkdirSync(made, { recursive: true });
    writeFileSync(join(made, 'cloudformation-template-update-stack.json'), answer ?? '');
  }
  return { ...NOTHING, stdout: `${name}\n` };
}

function record(folder: string, words: readonly string[]): void {
  appendFileSync(join(folder, 'calls'), `${words.join('\0')}\0\0`);
}

function read(...path: string[]): string | undefined {
  const file = join(...path);
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

function exit({ code, stdout, stderr }: Reply): never {
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  process.exit(code);
}

const [, program = '', ...given] = process.argv;
const own = folderOf(process.env);
if (own !== undefined && program.endsWith('/serverless.js')) {
  const reply = answerOsls(own, given, process.env);
  if (reply !== undefined) exit(reply);
} else if (own !== undefined && program.endsWith('/fake-cli.ts')) {
  // Reads its input to the end, as a prompt would.
  if (given[0] !== '--version') readFileSync(0);
  exit(answerAws(own, given, process.env));
}
