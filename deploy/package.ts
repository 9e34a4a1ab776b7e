import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { partition } from '@aws-sdk/core/client';
import { aws } from './aws.ts';
import type { Deployment } from './deployment.ts';

const root = join(import.meta.dirname, '..');
const run = promisify(execFile);

/** The template of the app in a package. */
export const APP_TEMPLATE = 'cloudformation-template-update-stack.json';

/** A file of a package. */
export interface Artefact {
  readonly name: string;
  readonly sizeBytes: number;
}

/**
 * Of all others osls knows no region, and takes S3 to be at `s3.amazonaws.com`, where their CloudFormation finds no
 * template.
 */
const PARTITIONS_OF_OSLS: ReadonlySet<string> = new Set(['aws', 'aws-cn', 'aws-us-gov', 'aws-iso', 'aws-iso-b']);

/** @throws Error where osls cannot deploy to a region */
export function requireOslsPartition(region: string): void {
  const { name } = partition(region);
  if (PARTITIONS_OF_OSLS.has(name)) return;
  throw new Error(
    `osls, which deploys the app, does not know where S3 is in the partition ${name} of ${region}: ` +
      'deploy what npm run package makes by other means (docs/deploy.md)',
  );
}

/** The folder of a region's package, which git ignores. */
export function packageFolder({ prefix }: Pick<Deployment, 'prefix'>, region: string): string {
  return join(root, '.keyfold', 'app', prefix, region);
}

/**
 * Packages what is in dist/ for a region: the template and a zip for each function. Asks nobody, and needs no
 * credentials.
 * @param file the deployment
 * @param folder where to; what was there before goes
 * @throws Error with what osls says
 */
export async function packageApp(file: string, region: string, folder: string): Promise<Artefact[]> {
  await rm(folder, { recursive: true, force: true });
  const { args, ...options } = osls(['package', '--package', folder, '--region', region], file, region);
  await run(process.execPath, args, options).catch((error: { stdout: string; stderr: string }) => {
    throw new Error(`osls package failed:\n${error.stdout}${error.stderr}`.trim(), { cause: error });
  });
  const files = (await readdir(folder)).filter((name) => name.endsWith('.zip') || name === APP_TEMPLATE);
  return Promise.all(
    files.toSorted().map(async (name) => ({ name, sizeBytes: (await stat(join(folder, name))).size })),
  );
}

/**
 * Deploys a package, with the credentials that the AWS CLI has: osls would look for its own, and ask for a code where
 * nobody can give it. What it does it says itself, meanwhile.
 * @throws Error where it fails
 */
export async function deployPackage(file: string, region: string, folder: string): Promise<void> {
  const credentials = await aws<Credentials>(region, 'configure', 'export-credentials', ['--format', 'process']);
  const { args, cwd, env } = osls(['deploy', '--package', folder, '--region', region], file, region);
  // A profile of the environment would come before the credentials, and so would those that osls knows by the prefix.
  const others = Object.entries(env).filter(
    ([name]) => !/^AWS_(?:.*_)?(?:PROFILE|ACCESS_KEY_ID|SESSION_TOKEN)$/.test(name),
  );
  const child = spawn(process.execPath, args, {
    cwd,
    env: {
      ...Object.fromEntries(others),
      AWS_ACCESS_KEY_ID: credentials.AccessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.SecretAccessKey,
      ...(credentials.SessionToken !== undefined && { AWS_SESSION_TOKEN: credentials.SessionToken }),
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`osls deploy failed in ${region}`);
}

interface OslsProcess {
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
}

/** How osls is run with a deployment. */
function osls(args: readonly string[], file: string, region: string): OslsProcess {
  const bin = fileURLToPath(import.meta.resolve('osls/bin/serverless.js'));
  const env = {
    ...process.env,
    KEYFOLD_DEPLOY_FILE: file,
    SLS_NOTIFICATIONS_MODE: 'off',
    // The template is right for regions that osls has no name of, too.
    OSLS_VALIDATION: PARTITIONS_OF_OSLS.has(partition(region).name) ? 'error' : 'warn',
  };
  return { args: [bin, ...args], cwd: root, env };
}

interface Credentials {
  readonly AccessKeyId: string;
  readonly SecretAccessKey: string;
  readonly SessionToken?: string;
}
