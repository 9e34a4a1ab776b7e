import { execFile, type ExecFileOptions } from 'node:child_process';
import { copyFile, mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CLIENT_SOURCES, GENERATOR_MODULES } from './generators.ts';
import { pythonOf } from './install.ts';
import { PEERS_FOLDER } from './peers-folder.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const DOCUMENT = join(ROOT, 'docs', 'openapi.json');

/** A client that a generator makes, and a program that uses it. */
export interface GeneratedClient {
  readonly generator: string;
  /** Generates the client into an empty folder. @throws Error if the generator fails or warns */
  readonly generate: (folder: string) => Promise<void>;
  /** Checks the types of the client and the program. @throws Error with the errors that the type checker finds */
  readonly compile: (folder: string) => Promise<void>;
  /** Runs the program against an API. @returns its report */
  readonly report: (folder: string, url: string) => Promise<unknown>;
}

const openApiFetch = typeScriptClient('openapi-fetch', ['openapi-typescript', DOCUMENT, '--output', 'schema.ts']);
const heyApi = typeScriptClient('hey-api', ['openapi-ts', '--input', DOCUMENT, '--output', 'client', '--no-log-file']);

const python: GeneratedClient = {
  generator: 'openapi-python-client',
  generate: async (folder) => {
    const bin = join(PEERS_FOLDER, 'openapi-python-client', 'bin');
    const env = { ...process.env, PATH: `${bin}:${process.env['PATH']}` };
    const args = ['generate', '--path', DOCUMENT, '--output-path', 'client', '--fail-on-warning'];
    await run(join(bin, 'openapi-python-client'), args, { cwd: folder, env });
  },
  compile: async (folder) => {
    await copyFile(join(CLIENT_SOURCES, 'python_client.py'), join(folder, 'python_client.py'));
    const files = ['client/keyfold_client', 'python_client.py'];
    await run(pythonOf('openapi-python-client'), ['-m', 'mypy', '--strict', ...files], {
      cwd: folder,
      env: pathTo(folder),
    });
  },
  report: async (folder, url) => {
    const { stdout } = await run(pythonOf('openapi-python-client'), ['python_client.py', url], {
      cwd: folder,
      env: pathTo(folder),
    });
    return JSON.parse(stdout);
  },
};

/** The clients with which `docs/openapi.json` is tested. */
export const GENERATED_CLIENTS: readonly GeneratedClient[] = [openApiFetch, heyApi, python];

/** Makes an empty folder for a client, next to the generators. */
export async function clientFolder({ generator }: GeneratedClient): Promise<string> {
  const folder = join(PEERS_FOLDER, 'generated', generator);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  return folder;
}

function typeScriptClient(generator: string, [command = '', ...args]: readonly string[]): GeneratedClient {
  return {
    generator,
    generate: async (folder) => {
      await symlink(GENERATOR_MODULES, join(folder, 'node_modules'));
      await run(process.execPath, [join(GENERATOR_MODULES, '.bin', command), ...args], { cwd: folder });
    },
    compile: async (folder) => {
      for (const file of [`${generator}.ts`, 'tsconfig.json', 'package.json'])
        await copyFile(join(CLIENT_SOURCES, file), join(folder, file));
      const types = ['--typeRoots', join(ROOT, 'node_modules', '@types')];
      await run(process.execPath, [join(GENERATOR_MODULES, '.bin', 'tsc'), '-p', '.', ...types], { cwd: folder });
    },
    report: async (folder, url) => {
      const { stdout } = await run(process.execPath, [join('dist', `${generator}.js`), url], { cwd: folder });
      return JSON.parse(stdout);
    },
  };
}

function pathTo(folder: string): NodeJS.ProcessEnv {
  return { ...process.env, PYTHONPATH: join(folder, 'client'), MYPYPATH: join(folder, 'client') };
}

/** Runs a command and returns its output. @throws Error with the whole output if the command fails */
async function run(command: string, args: readonly string[], options: ExecFileOptions): Promise<{ stdout: string }> {
  try {
    return await promisify(execFile)(command, args, { ...options, encoding: 'utf8' });
  } catch (error) {
    const { message, stdout } = error as Error & { stdout: string };
    throw new Error(`${message}\n${stdout}`, { cause: error });
  }
}
