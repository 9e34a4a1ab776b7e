import { execFile } from 'node:child_process';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Deployment } from './deployment.ts';

const root = join(import.meta.dirname, '..', '..');
const run = promisify(execFile);

/** The template of the app in a package. */
export const APP_TEMPLATE = 'cloudformation-template-update-stack.json';

/** A file of a package. */
export interface Artefact {
  readonly name: string;
  readonly sizeBytes: number;
}

/** The folder of a region's package, which git ignores. */
export function packageFolder({ prefix }: Pick<Deployment, 'prefix'>, region: string): string {
  return join(root, '.keyfold', 'app', prefix, region);
}

/**
 * Packages what is in dist/ for a region: the template and a zip for each function. Asks nobody, and needs no credentials.
 * @param file the deployment
 * @param folder where to; what was there before goes
 * @throws Error with what osls says
 */
export async function packageApp(file: string, region: string, folder: string): Promise<Artefact[]> {
  await rm(folder, { recursive: true, force: true });
  await osls(['package', '--package', folder, '--region', region], file);
  const files = (await readdir(folder)).filter((name) => name.endsWith('.zip') || name === APP_TEMPLATE);
  return Promise.all(
    files.toSorted().map(async (name) => ({ name, sizeBytes: (await stat(join(folder, name))).size })),
  );
}

/**
 * Runs osls with a deployment.
 * @returns what it said
 * @throws Error with what it said
 */
export async function osls(args: readonly string[], file: string): Promise<string> {
  const bin = fileURLToPath(import.meta.resolve('osls/bin/serverless.js'));
  const env = { ...process.env, KEYFOLD_DEPLOY_FILE: file, SLS_NOTIFICATIONS_MODE: 'off' };
  return run(process.execPath, [bin, ...args], { cwd: root, env }).then(said, (error: Output) => {
    throw new Error(`osls ${args[0]} failed:\n${said(error)}`, { cause: error });
  });
}

interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

function said({ stdout, stderr }: Output): string {
  return `${stdout}${stderr}`.trim();
}
