import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { installOnce, PEERS_FOLDER } from './peers-folder.ts';

const run = promisify(execFile);
const NAME = 'lambda-runtime';
const FOLDER = join(PEERS_FOLDER, NAME);
const VERSIONS = join(import.meta.dirname, `${NAME}.json`);
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'arm64' };

/** The paths of Lambda's runtime emulator and of Lambda's Node client for the Runtime API. */
export const LAMBDA_RUNTIME = {
  emulator: join(FOLDER, 'aws-lambda-rie'),
  client: join(FOLDER, 'node_modules', 'aws-lambda-ric', 'index.mjs'),
};

/**
 * Installs the emulator and the client once. The emulator is part of the wheel of the SAM CLI. The client comes from
 * npm, which builds the native part with CMake, make and a C++ compiler against the headers of this version of Node.
 */
export async function installLambdaRuntime(): Promise<void> {
  await installOnce(NAME, VERSIONS, async (folder) => {
    const versions = JSON.parse(await readFile(VERSIONS, 'utf8')) as Record<'aws-sam-cli' | 'aws-lambda-ric', string>;
    await Promise.all([
      unpackEmulator(folder, versions['aws-sam-cli']),
      installClient(folder, versions['aws-lambda-ric']),
    ]);
  });
}

async function unpackEmulator(folder: string, version: string): Promise<void> {
  const environment = join(folder, 'python');
  await run('python3', ['-m', 'venv', environment]);
  const python = join(environment, 'bin', 'python');
  const wheel = ['--no-deps', '--quiet', '--dest', environment, `aws-sam-cli==${version}`];
  await run(python, ['-m', 'pip', 'download', ...wheel]);
  const name = `samcli/local/rapid/aws-lambda-rie-${ARCHITECTURES[process.arch] ?? process.arch}`;
  const script =
    'import glob, sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(glob.glob(sys.argv[1])[0]).read(sys.argv[2]))';
  const unpack = ['-c', script, join(environment, '*.whl'), name];
  const { stdout } = await run(python, unpack, { encoding: 'buffer', maxBuffer: 64 * 1024 * 1024 });
  await writeFile(LAMBDA_RUNTIME.emulator, stdout);
  await chmod(LAMBDA_RUNTIME.emulator, 0o755);
  await rm(environment, { recursive: true });
}

async function installClient(folder: string, version: string): Promise<void> {
  // Allow the install script of this package, which builds the native part. npm runs no other install scripts.
  const description = { private: true, allowScripts: { 'aws-lambda-ric': true } };
  await writeFile(join(folder, 'package.json'), JSON.stringify(description));
  const env = { ...process.env, npm_config_nodedir: headersOfThisNode() };
  const options = ['--no-audit', '--no-fund', '--ignore-scripts=false', '--save-exact'];
  await run('npm', ['install', ...options, `aws-lambda-ric@${version}`], { cwd: folder, env });
}

/** The folder that contains `include/node`. If undefined, node-gyp downloads the headers. */
export function headersOfThisNode(): string | undefined {
  const home = dirname(dirname(process.execPath));
  return existsSync(join(home, 'include', 'node', 'node_api.h')) ? home : undefined;
}
