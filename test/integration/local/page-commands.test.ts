import { expect, it } from 'vitest';
import type { CommandEvent, CommandResult } from '../../../local/keyfold-command.ts';
import { erase, revoke, rotate } from '../../../local/page-commands.ts';

/** Runs no command. It records each event, and returns what `keyfold` would print. */
function recorder(result: Partial<CommandResult> = {}): {
  readonly events: CommandEvent[];
  readonly run: (event: CommandEvent) => Promise<CommandResult>;
} {
  const events: CommandEvent[] = [];
  return {
    events,
    run: async (event) => {
      events.push(event);
      return { exitCode: 0, stdout: '{"due":1800000000}', stderr: 'told', ...result };
    },
  };
}

const BEGIN = ['--reason', '', '--wait', '7d'];
const ERASE_TENANT = ['partitions', 'erase', 'tenant-1', '--confirm', 'tenant-1'];

it.for([
  ['revoke', revoke, { id: '_SK_a_b', created: 0 }, ['keys', 'revoke', '_SK_a_b', '0', '--yes']],
  ['rotate', rotate, {}, ['keys', 'rotate']],
  ['rotate', rotate, { partition: 'tenant-1' }, ['keys', 'rotate', '--partition', 'tenant-1']],
  ['erase', erase, { partition: 'tenant-1', step: 'begin' }, [...ERASE_TENANT, ...BEGIN]],
  [
    'erase',
    erase,
    { partition: 'tenant-1', step: 'begin', reason: 'over', wait: '24h' },
    [...ERASE_TENANT, '--reason', 'over', '--wait', '24h'],
  ],
  ['erase', erase, { partition: 'tenant-1', step: 'cancel' }, [...ERASE_TENANT, '--cancel']],
] as const)(
  '%s runs one command for the page, and returns the output and the exit code of that command',
  async ([, perform, body, args]) => {
    const { events, run } = recorder({ exitCode: 3 });
    const command = `keyfold ${args.map((word) => (word === '' ? "''" : word)).join(' ')}`;
    expect(await perform(run, body)).toEqual({ command, exitCode: 3, stdout: '{"due":1800000000}', stderr: 'told' });
    expect(events).toEqual([{ args: [...args, '--json'], notBeforeMs: 0 }]);
  },
);

it.for([
  ['only after the end of the waiting time', {}, 1_800_000_000_000],
  ['at any time if the status of the erasure names no end of the waiting time', { stdout: '{}' }, 0],
  ['at any time if the command that reads the status fails', { exitCode: 1, stdout: '' }, 0],
] as const)('the last step of an erasure may run %s', async ([, status, notBeforeMs]) => {
  const { events, run } = recorder(status);
  const { command } = await erase(run, { partition: 'tenant-1', step: 'finish' });
  expect(command).toBe('keyfold partitions erase tenant-1 --confirm tenant-1 --finish');
  expect(events).toEqual([
    { args: ['partitions', 'erase', 'tenant-1', '--status', '--json'] },
    { args: [...ERASE_TENANT, '--finish', '--json'], notBeforeMs },
  ]);
});

it('the page shows a command with the quotes that a shell needs', async () => {
  const { run } = recorder();
  expect(await rotate(run, { partition: "it's a" })).toMatchObject({
    command: String.raw`keyfold keys rotate --partition 'it'\''s a'`,
  });
  expect(await rotate(run, { partition: 'a.b=c_d-1' })).toMatchObject({
    command: 'keyfold keys rotate --partition a.b=c_d-1',
  });
});

const KEY = 'The body must be a JSON object with the id and created of a key.';
const ROTATION = 'The body must be a JSON object with an optional partition, without a hyphen at its start.';
const ERASURE =
  'The body must be a JSON object with a partition, without a hyphen at its start, and a step: begin, cancel, finish.';

it.for([
  [revoke, { id: 'x' }, KEY],
  [revoke, { id: 'x', created: -1 }, KEY],
  [revoke, { id: 'x', created: 1.5 }, KEY],
  [revoke, { id: 'x', created: 2 ** 53 }, KEY],
  [revoke, { id: '-x', created: 1 }, KEY],
  [revoke, { id: 'x', created: 1, more: 1 }, KEY],
  [rotate, { partition: '-x' }, ROTATION],
  [rotate, { more: 1 }, ROTATION],
  [rotate, null, ROTATION],
  [erase, { partition: 'x' }, ERASURE],
  [erase, { partition: '-x', step: 'begin' }, ERASURE],
  [erase, { partition: 'x', step: 'none' }, ERASURE],
  [erase, { partition: 'x', step: 'begin', more: 1 }, ERASURE],
] as const)('%o refuses the body %j, and runs no command', async ([perform, body, message]) => {
  const { events, run } = recorder();
  await expect((async () => perform(run, body))()).rejects.toThrow(new RangeError(message));
  expect(events).toEqual([]);
});
