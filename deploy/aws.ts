import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Runs the AWS CLI with the credentials of the environment.
 * @returns the parsed output. Undefined if there is none.
 * @throws Error with the message of the CLI
 */
export async function aws<T>(region: string, service: string, command: string, args: readonly string[]): Promise<T> {
  const all = [service, command, '--region', region, '--output', 'json', '--no-cli-pager', ...args];
  const running = run('aws', all, { maxBuffer: 64 * 1024 * 1024 });
  // Close standard input. If there is no terminal, the CLI would wait for an MFA code from standard input.
  running.child.stdin?.end();
  const { stdout } = await running.catch(async (error: { code?: unknown; stderr?: string }) => {
    if (error.code === 'ENOENT') throw new Error('the AWS CLI (aws) is not installed', { cause: error });
    const version = await cliVersion();
    if (version?.startsWith('1.') === true) {
      const found = `the aws on the PATH is version ${version}`;
      throw new Error(`this needs version 2 of the AWS CLI, and ${found}`, { cause: error });
    }
    throw new Error(`aws ${service} ${command} in ${region} failed: ${error.stderr?.trim() ?? ''}`, { cause: error });
  });
  return (stdout.trim() === '' ? undefined : JSON.parse(stdout)) as T;
}

/**
 * The version of the CLI. Undefined if the CLI prints no version. Some releases of version 1 print it to standard
 * error.
 */
async function cliVersion(): Promise<string | undefined> {
  const { stdout, stderr } = await run('aws', ['--version']).catch(() => ({ stdout: '', stderr: '' }));
  return /aws-cli\/([\d.]+)/.exec(stdout + stderr)?.[1];
}

/**
 * Checks that the caller's account is the account of the deployment.
 * @returns the ARN of the caller
 * @throws Error that names both accounts if they differ
 */
export async function requireAccount(account: string, region: string): Promise<string> {
  const caller = await aws<{ Account: string; Arn: string }>(region, 'sts', 'get-caller-identity', []);
  if (caller.Account === account) return caller.Arn;
  throw new Error(`these are credentials of account ${caller.Account}; the deployment is in ${account}`);
}

/**
 * Checks that the caller is a key administrator. KMS refuses a key policy that locks out its creator.
 * @throws Error that names the caller
 */
export function requireAdministrator(administrators: readonly string[], caller: string): void {
  // The ARN of an assumed role does not contain the path of the role.
  const [, partition, account, role] = /^arn:([^:]+):sts::(\d+):assumed-role\/([^/]+)\//.exec(caller) ?? [];
  const isCaller = (arn: string): boolean =>
    arn === caller ||
    (role !== undefined && arn.startsWith(`arn:${partition}:iam::${account}:role/`) && arn.endsWith(`/${role}`));
  if (!administrators.some(isCaller)) throw new Error(`${caller} is not among administrators of deploy.yml`);
}
