import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Runs a program, and shows its output. @throws Error if the program does not exit with 0 */
export async function run(
  program: string,
  args: readonly string[],
  cwd: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<void> {
  const child = spawn(program, args, { cwd, env: { ...process.env, ...settings }, stdio: 'inherit' });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${args.slice(0, 2).join(' ')} exited with ${code}`);
}
