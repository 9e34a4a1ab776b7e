/** The scripts that deploy, with a stand-in for the AWS CLI, which writes down what it is asked. */
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { yamlParse } from 'yaml-cfn';

const root = join(import.meta.dirname, '..', '..');

/** The deployment that all of these begin with. */
export const EXAMPLE = join(root, 'deploy.example.yml');

/** What the stand-in answers, by service and command: a string is what it fails with. It answers all else with nothing. */
export type Answers = Readonly<Record<string, unknown>>;

/** What a script did. */
export interface Outcome {
  readonly code: number;
  readonly said: string;
  /** Each call's service and command, and its other arguments. */
  readonly calls: readonly { readonly name: string; readonly args: readonly string[] }[];
}

/** The scripts. */
export interface Cli {
  /** Runs `scripts/deploy.ts` with the example, some of it changed. */
  deploy(args: readonly string[], answers: Answers, changed?: object): Promise<Outcome>;
  /** Runs it with a deployment's file. */
  run(args: readonly string[], answers: Answers, file: string): Promise<Outcome>;
  remove(): Promise<void>;
}

const IDENTITY = { 'sts get-caller-identity': { Account: '111122223333' } };

/** An argument ends with NUL, and a call with a further one. */
const STAND_IN = `#!/bin/sh
cd "$(dirname "$0")"
printf '%s\\0' "$@" >> calls
printf '\\0' >> calls
if [ -f "fails/$1 $2" ]; then cat "fails/$1 $2" >&2; exit 254; fi
if [ -f "answers/$1 $2" ]; then cat "answers/$1 $2"; fi
`;

/** Makes the stand-in. */
export async function startCli(): Promise<Cli> {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-deploy-'));
  await writeFile(join(folder, 'aws'), STAND_IN);
  await chmod(join(folder, 'aws'), 0o755);

  const run: Cli['run'] = async (args, answers, file) => {
    for (const name of ['answers', 'fails']) {
      await rm(join(folder, name), { recursive: true, force: true });
      await mkdir(join(folder, name));
    }
    for (const [name, answer] of Object.entries({ ...IDENTITY, ...answers })) {
      if (typeof answer === 'string') await writeFile(join(folder, 'fails', name), answer);
      else await writeFile(join(folder, 'answers', name), JSON.stringify(answer));
    }
    await writeFile(join(folder, 'calls'), '');
    const env = { ...process.env, PATH: `${folder}:${process.env['PATH'] ?? ''}`, KEYFOLD_DEPLOY_FILE: file };
    const { code, said } = await new Promise<Omit<Outcome, 'calls'>>((resolve) => {
      execFile(process.execPath, ['scripts/deploy.ts', ...args], { cwd: root, env }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), said: stdout + stderr }),
      );
    });
    const calls = (await readFile(join(folder, 'calls'), 'utf8')).split('\0\0').slice(0, -1);
    return {
      code,
      said,
      calls: calls.map((call) => {
        const [service, command, ...rest] = call.split('\0');
        return { name: `${service} ${command}`, args: rest };
      }),
    };
  };

  return {
    run,
    deploy: async (args, answers, changed = {}) => {
      const file = join(folder, 'deploy.yml');
      await writeFile(file, JSON.stringify({ ...(yamlParse(await readFile(EXAMPLE, 'utf8')) as object), ...changed }));
      return run(args, answers, file);
    },
    remove: () => rm(folder, { recursive: true }),
  };
}

/** The services and commands that were called, in order. */
export function namesOf({ calls }: Outcome): string[] {
  return calls.map(({ name }) => name);
}
