import { spawn } from 'node:child_process';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

const root = join(import.meta.dirname, '..', '..');
const SYSTEM_KEY = '_SK_held_shop';
const PARTITION_KEY = '_IK_tenant-1_held_shop';

/** The arguments of each run. CREATED is replaced by the date of the key that the arguments name. */
const RUNS: readonly (readonly string[])[] = [
  ['--help'],
  ['keys', 'list'],
  ['keys', 'list', '--json'],
  ['keys', 'list', '--partition', 'tenant-1', '--json'],
  ['keys', 'list', '--all', '--json'],
  ['keys', 'show', SYSTEM_KEY, 'CREATED', '--json'],
  ['keys', 'show', PARTITION_KEY, 'CREATED', '--json'],
  ['keys', 'show', SYSTEM_KEY, '60', '--json'],
  ['keys', 'revoke', PARTITION_KEY, 'CREATED', '--json'],
  ['keys', 'revoke', PARTITION_KEY, 'CREATED', '--reason', 'held', '--yes', '--json'],
  ['keys', 'revoke', PARTITION_KEY, 'CREATED', '--reason', 'held', '--yes', '--json'],
  ['keys', 'list', '--table', 'NoSuchTable', '--json'],
  ['keys', 'list', '--no-such-option'],
  ['keys', 'destroy'],
];

/**
 * Runs the CLI on a key table.
 * @returns for each run its arguments, its exit code and the JSON that it prints, including audit lines. Dates, and
 * names that exist only on this machine, are replaced by placeholders. Output that is not JSON is left out, because a
 * refactoring may change it.
 */
export async function observeCli(endpoint: string): Promise<string[]> {
  const { stdout } = await keyfold(endpoint, ['keys', 'list', '--all', '--json']);
  const created = (id: string | undefined): string =>
    new RegExp(`"id":\\s*"${id}"[^}]*?"created":\\s*(\\d+)`).exec(stdout)?.[1] ?? '0';
  const lines: string[] = [];
  for (const args of RUNS) {
    const run = await keyfold(
      endpoint,
      args.map((arg) => (arg === 'CREATED' ? created(args[2]) : arg)),
    );
    lines.push(`$ keyfold ${args.join(' ')}`, `exit code ${run.code}`, ...jsonOf(run.stdout), ...jsonOf(run.stderr));
  }
  return lines;
}

async function keyfold(
  endpoint: string,
  args: readonly string[],
): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = {
    ...process.env,
    AWS_REGION: 'us-west-2',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    KEYFOLD_SERVICE: 'held',
    KEYFOLD_PRODUCT: 'shop',
    KEYFOLD_DYNAMODB_ENDPOINT: endpoint,
  };
  const child = spawn(process.execPath, ['src/cli/main.ts', ...args], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? -1)));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { code, stdout, stderr };
}

/** The JSON lines of an output. They begin with the first line that starts with a bracket. */
function jsonOf(printed: string): string[] {
  const steady = printed
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'DATE')
    .replace(/\b\d{10,13}\b/g, 'SECONDS')
    .replace(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'UUID')
    .replaceAll(hostname(), 'MACHINE')
    .replaceAll(`"${userInfo().username}"`, '"USER"');
  const lines = steady.split('\n').filter((line) => line !== '');
  const first = lines.findIndex((line) => /^[[{]/.test(line));
  return first < 0 ? [] : lines.slice(first);
}
