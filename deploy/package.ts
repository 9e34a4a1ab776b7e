import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { partition } from '@aws-sdk/core/client';
import { aws } from './aws.ts';
import type { Deployment } from './deployment.ts';
import { roleStacks } from './stacks.ts';

const root = join(import.meta.dirname, '..');
const run = promisify(execFile);

/** The file name of the app's template in a package. */
export const APP_TEMPLATE = 'cloudformation-template-update-stack.json';

export interface Artefact {
  readonly name: string;
  readonly sizeBytes: number;
}

/**
 * The AWS partitions that osls supports. For a region in another partition, osls would upload the template to
 * `s3.amazonaws.com`, where that partition's CloudFormation would not find it.
 */
const PARTITIONS_OF_OSLS: ReadonlySet<string> = new Set(['aws', 'aws-cn', 'aws-us-gov', 'aws-iso', 'aws-iso-b']);

/** @throws Error if osls cannot deploy to the region */
export function requireOslsPartition(region: string): void {
  const { name } = partition(region);
  if (PARTITIONS_OF_OSLS.has(name)) return;
  throw new Error(
    `osls, which deploys the app, does not know where S3 is in the partition ${name} of ${region}: ` +
      'deploy what npm run package makes by other means (docs/tutorial/deploy.md)',
  );
}

/** The folder for the package of a region. Git ignores it. */
export function packageFolder({ prefix }: Pick<Deployment, 'prefix'>, region: string): string {
  return join(root, '.keyfold', 'app', prefix, region);
}

/**
 * Packages dist/ for a region: a template, and a zip for each function. It makes no call to AWS and needs no
 * credentials.
 * @param file the file of the deployment
 * @param folder the folder of the package, whose former contents are deleted
 * @throws Error with the output of osls
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

/** Adds what `keyfold/cdk` needs to a package: its account and region, and the parameters of roles.yml. */
export async function describePackage(deployment: Deployment, region: string, folder: string): Promise<void> {
  const roles = roleStacks(deployment).find((stack) => stack.region === region)?.parameters;
  const described = { account: deployment.account, region, roles };
  await writeFile(join(folder, 'stacks.json'), `${JSON.stringify(described, undefined, 2)}\n`);
}

/**
 * Deploys a package with the credentials of the AWS CLI, and prints the output of osls. With other credentials, osls
 * could ask for an MFA code and wait without a terminal.
 * @throws Error if osls fails
 */
export async function deployPackage(file: string, region: string, folder: string): Promise<void> {
  const credentials = await aws<Credentials>(region, 'configure', 'export-credentials', ['--format', 'process']);
  const { args, cwd, env } = osls(['deploy', '--package', folder, '--region', region], file, region);
  // Remove other credentials from the environment. Otherwise osls would prefer a profile, or credentials in the
  // variables that only osls reads.
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

/** The command that runs osls for a deployment. */
function osls(args: readonly string[], file: string, region: string): OslsProcess {
  const bin = fileURLToPath(import.meta.resolve('osls/bin/serverless.js'));
  const env = {
    ...process.env,
    KEYFOLD_DEPLOY_FILE: file,
    SLS_NOTIFICATIONS_MODE: 'off',
    // Only warn about regions that osls does not know, because the template is correct for them too.
    OSLS_VALIDATION: PARTITIONS_OF_OSLS.has(partition(region).name) ? 'error' : 'warn',
  };
  return { args: [bin, ...args], cwd: root, env };
}

interface Credentials {
  readonly AccessKeyId: string;
  readonly SecretAccessKey: string;
  readonly SessionToken?: string;
}
