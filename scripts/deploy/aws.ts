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
  const { stdout } = await run('aws', all, { maxBuffer: 64 * 1024 * 1024 }).catch(
    (error: { code?: unknown; stderr?: string }) => {
      if (error.code === 'ENOENT') throw new Error('the AWS CLI (aws) is not installed', { cause: error });
      throw new Error(`aws ${service} ${command} in ${region} failed: ${error.stderr?.trim() ?? ''}`, { cause: error });
    },
  );
  return (stdout.trim() === '' ? undefined : JSON.parse(stdout)) as T;
}

/**
 * Refuses to go on in an account that is not the deployment's.
 * @throws Error naming both
 */
export async function requireAccount(account: string, region: string): Promise<void> {
  const { Account } = await aws<{ Account: string }>(region, 'sts', 'get-caller-identity', []);
  if (Account !== account)
    throw new Error(`these are credentials of account ${Account}; the deployment is of ${account}`);
}
