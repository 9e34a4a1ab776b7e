/** Tests the process of the `keyfold` command: its exit code, and what happens to its output. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { noDeadline } from '../../support/fakes.ts';
import { OperatorFixture } from '../../support/operator.ts';

const root = join(import.meta.dirname, '..', '..', '..');

let world: OperatorFixture;
beforeAll(async () => {
  world = await OperatorFixture.start();
});
afterAll(() => world.stop());

/** Runs a command whose output goes to these streams. Returns how it ended, and what it wrote to standard error. */
async function run(
  args: readonly string[],
  stdout: number | 'ignore',
  stderr: number | 'pipe',
): Promise<{ ended: unknown; stderr: string }> {
  const child = spawn(process.execPath, ['src/cli/main.ts', ...args], {
    cwd: root,
    env: { ...process.env, ...world.settings() },
    stdio: ['ignore', stdout, stderr],
  });
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  return { stderr: child.stderr === null ? '' : await text(child.stderr), ended: await ended };
}

it('a keyfold command fails if its output goes to a full disk, and prints the error once', async () => {
  const full = openSync('/dev/full', 'w');
  expect(await run(['--version'], full, 'pipe')).toEqual({
    ended: 1,
    stderr: 'keyfold: standard output cannot be written: ENOSPC\n',
  });
  closeSync(full);
});

it('a keyfold command changes nothing and fails if its audit lines go to a full disk', async () => {
  const full = openSync('/dev/full', 'w');
  const { id, created } = keyRecord('_SK_orders_shop', 60);
  await world.put(keyRecord(id, created));
  const revoke = ['keys', 'revoke', id, '60', '--yes'];
  expect((await run(revoke, 'ignore', full)).ended).toBe(1);
  closeSync(full);
  expect(await world.metastore.load(id, created, noDeadline())).toMatchObject({ revoked: false });
  expect((await run(revoke, 'ignore', 'pipe')).ended).toBe(0);
  expect(await world.metastore.load(id, created, noDeadline())).toMatchObject({ revoked: true });
});

it('a keyfold command succeeds if the reader of its output has exited', async () => {
  const { code, stderr } = await world.keyfoldProcess(['--version'], {}, 'leaves');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});

it('a keyfold command exits with code 2 for a wrong argument, and names the argument on standard error', async () => {
  const { code, stdout, stderr } = await world.keyfoldProcess(['keys', 'lost']);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain("unknown command 'lost'");
});
