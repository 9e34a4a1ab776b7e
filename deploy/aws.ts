import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Calls the AWS CLI, whose credentials are those of the environment.
 * @returns what it answers; undefined where that is nothing
 * @throws Error with what the CLI says
 */
export async function aws<T>(region: string, service: string, command: string, args: readonly string[]): Promise<T> {
  const all = [service, command, '--region', region, '--output', 'json', '--no-cli-pager', ...args];
  const running = run('aws', all, { maxBuffer: 64 * 1024 * 1024 });
  // Where there is no terminal to ask for a code, it would wait for one here.
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

/** The CLI's version. Undefined if it does not say. Some of version 1 write it to stderr. */
async function cliVersion(): Promise<string | undefined> {
  const { stdout, stderr } = await run('aws', ['--version']).catch(() => ({ stdout: '', stderr: '' }));
  return /aws-cli\/([\d.]+)/.exec(stdout + stderr)?.[1];
}

/**
 * Refuses to go on in an account that is not the deployment's.
 * @returns the caller's ARN
 * @throws Error naming both
 */
export async function requireAccount(account: string, region: string): Promise<string> {
  const caller = await aws<{ Account: string; Arn: string }>(region, 'sts', 'get-caller-identity', []);
  if (caller.Account === account) return caller.Arn;
  throw new Error(`these are credentials of account ${caller.Account}; the deployment is of ${account}`);
}

/**
 * Refuses to make keys for somebody who does not administer them: KMS takes no key policy that locks its maker out.
 * @throws Error naming the caller
 */
export function requireAdministrator(administrators: readonly string[], caller: string): void {
  // A role's path is not in the ARN of who has assumed it.
  const [, partition, account, role] = /^arn:([^:]+):sts::(\d+):assumed-role\/([^/]+)\//.exec(caller) ?? [];
  const isCaller = (arn: string): boolean =>
    arn === caller ||
    (role !== undefined && arn.startsWith(`arn:${partition}:iam::${account}:role/`) && arn.endsWith(`/${role}`));
  if (!administrators.some(isCaller)) throw new Error(`${caller} is not among administrators of deploy.yml`);
}
