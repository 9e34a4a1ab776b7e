/** Runs the deployment scripts with fakes in place of the AWS CLI and osls. The fakes record the calls. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { vi } from 'vitest';
import { yamlParse } from 'yaml-cfn';
import { deploy } from '../../../deploy/deploy.ts';

const root = join(import.meta.dirname, '..', '..', '..');

const FAKES = join(import.meta.dirname, 'fake-cli.ts');

/** The deployment file that each run starts from. */
export const EXAMPLE = join(root, 'deploy.example.yml');

/**
 * The fakes' responses by service and command, or by the name of a waiter. A string is an error. A list has one
 * response for each call, and its last response repeats. CHANGE_SET stands for the name of the latest change set. Other
 * calls get an empty response. If there is no response for osls, the real osls runs.
 */
export type Answers = Readonly<Record<string, unknown>>;

/** The response of an invoked function. */
export function invoked(payload: unknown, meta: object = {}): object {
  return { ...meta, [PAYLOAD]: payload };
}

/** The exit code and output of a script, and the calls that it made. */
export interface Outcome {
  readonly code: number;
  readonly said: string;
  /** The cause of the error with which the script failed, if the script ran in this process. */
  readonly cause?: unknown;
  /** The service and command of each call, with the other arguments. */
  readonly calls: readonly { readonly name: string; readonly args: readonly string[] }[];
}

/** Runs the deployment scripts. */
export interface Cli {
  /**
   * Runs `deploy/main.ts` in this process, with changes to the example deployment and to the environment. If the test
   * file mocks `node:child_process` with `withFakes`, the fakes also run in this process.
   */
  deploy(args: readonly string[], answers: Answers, changed?: object, variables?: object): Promise<Outcome>;
  /**
   * Runs `deploy/main.ts` like {@link deploy}, but in a child process, which starts each fake in its own process. The
   * output includes the output of osls.
   */
  deployInProcess(args: readonly string[], answers: Answers, changed?: object, variables?: object): Promise<Outcome>;
  /** Runs `deploy/main.ts` like {@link deploy}, with the text of a deployment file. */
  run(args: readonly string[], answers: Answers, file: string, variables?: object): Promise<Outcome>;
  remove(): Promise<void>;
}

const IDENTITY = {
  'sts get-caller-identity': {
    Account: '111122223333',
    Arn: 'arn:aws:sts::111122223333:assumed-role/key-administrator/somebody',
  },
  'configure export-credentials': {
    Version: 1,
    AccessKeyId: 'EXPORTED',
    SecretAccessKey: 'not-a-secret',
    SessionToken: 'session',
  },
};

const PAYLOAD = 'payload';

/** Writes the fakes into a folder. */
export async function startCli(): Promise<Cli> {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-deploy-'));
  await symlink(join(import.meta.dirname, 'fake-aws.sh'), join(folder, 'aws'));

  const runBy = async (
    how: typeof runHere,
    args: readonly string[],
    answers: Answers,
    file: string,
    variables: object,
  ): Promise<Outcome> => {
    for (const name of ['answers', 'fails', 'payloads', 'times']) {
      await rm(join(folder, name), { recursive: true, force: true });
      await mkdir(join(folder, name));
    }
    const put = async (name: string, answer: unknown): Promise<void> => {
      if (typeof answer === 'string') return writeFile(join(folder, 'fails', name), answer);
      const { [PAYLOAD]: payload, ...meta } = answer as Record<string, unknown>;
      if (payload !== undefined) await writeFile(join(folder, 'payloads', name), JSON.stringify(payload));
      return writeFile(join(folder, 'answers', name), JSON.stringify(meta));
    };
    for (const [name, answer] of Object.entries({ ...IDENTITY, ...answers })) {
      const list = Array.isArray(answer) ? (answer as unknown[]) : [answer];
      await put(name, list.at(-1));
      for (const [i, one] of list.slice(0, -1).entries()) await put(`${name} ${i + 1}`, one);
    }
    await rm(join(folder, 'calls'), { force: true });
    await writeFile(join(folder, 'calls'), '');
    const own = {
      PATH: `${folder}:${process.env['PATH'] ?? ''}`,
      NODE_OPTIONS: `--import ${pathToFileURL(FAKES).href}`,
      FAKE_NODE: process.execPath,
      FAKE_CLI: FAKES,
      KEYFOLD_DEPLOY_FILE: file,
      ...variables,
    };
    const ended = await how(args, own);
    const calls = (await readFile(join(folder, 'calls'), 'utf8')).split('\0\0').slice(0, -1);
    return {
      ...ended,
      calls: calls.map((call) => {
        const [service, command, ...rest] = call.split('\0');
        return { name: `${service} ${command}`, args: rest };
      }),
    };
  };

  const example = async (changed: object): Promise<string> => {
    const file = join(folder, 'deploy.yml');
    await writeFile(file, JSON.stringify({ ...(yamlParse(await readFile(EXAMPLE, 'utf8')) as object), ...changed }));
    return file;
  };
  return {
    run: (args, answers, file, variables = {}) => runBy(runHere, args, answers, file, variables),
    deploy: async (args, answers, changed = {}, variables = {}) =>
      runBy(runHere, args, answers, await example(changed), variables),
    deployInProcess: async (args, answers, changed = {}, variables = {}) =>
      runBy(runProcess, args, answers, await example(changed), variables),
    remove: () => rm(folder, { recursive: true }),
  };
}

type Ended = Omit<Outcome, 'calls'>;

function runProcess(args: readonly string[], variables: object): Promise<Ended> {
  const options = { cwd: root, env: { ...process.env, ...variables } };
  return new Promise((resolve) => {
    execFile(process.execPath, ['deploy/main.ts', ...args], options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), said: stdout + stderr }),
    );
  });
}

/** Runs the script as its entry file does, but in this process. */
async function runHere(args: readonly string[], variables: object): Promise<Ended> {
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value as string);
  const lines: string[] = [];
  try {
    await deploy(args, (line) => lines.push(line));
    return { code: 0, said: lines.map((line) => `${line}\n`).join('') };
  } catch (error) {
    const { message, cause } = error as Error;
    return { code: 1, said: [...lines, message].map((line) => `${line}\n`).join(''), cause };
  } finally {
    vi.unstubAllEnvs();
  }
}

/** The services and commands that were called, in order. */
export function namesOf({ calls }: Outcome): string[] {
  return calls.map(({ name }) => name);
}
