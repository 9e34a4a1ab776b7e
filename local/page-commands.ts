import * as v from 'valibot';
import type { CommandEvent, CommandResult } from './keyfold-command.ts';

/** Runs one `keyfold` command. */
export type RunCommand = (event: CommandEvent) => Promise<CommandResult>;

/** The parts of a command that the page shows. */
interface CommandView extends CommandResult {
  /** The command as an operator would type it. */
  readonly command: string;
}

/** A name that the CLI cannot mistake for an option. */
const name = v.pipe(v.string(), v.regex(/^(?!-)/));
const revocation = v.strictObject({ id: name, created: v.pipe(v.number(), v.safeInteger(), v.minValue(0)) });
const rotation = v.strictObject({ partition: v.optional(name) });
const STEPS = ['begin', 'cancel', 'finish'] as const;
const erasure = v.strictObject({
  partition: name,
  step: v.picklist(STEPS),
  reason: v.optional(v.string(), ''),
  wait: v.optional(v.string(), '7d'),
});

/** Runs `keyfold keys revoke`. @throws RangeError if the body is invalid */
export function revoke(run: RunCommand, body: unknown): Promise<CommandView> {
  const { id, created } = parsed(revocation, body, 'the id and created of a key');
  return show(run, ['keys', 'revoke', id, String(created), '--yes']);
}

/** Runs `keyfold keys rotate`. @throws RangeError if the body is invalid */
export function rotate(run: RunCommand, body: unknown): Promise<CommandView> {
  const { partition } = parsed(rotation, body, 'an optional partition, without a hyphen at its start');
  return show(run, ['keys', 'rotate', ...(partition === undefined ? [] : ['--partition', partition])]);
}

/**
 * Runs a step of `keyfold partitions erase`. For `finish`, the command's clock shows the end of the waiting time, so
 * that users of the page do not have to wait.
 * @throws RangeError if the body is invalid
 */
export async function erase(run: RunCommand, body: unknown): Promise<CommandView> {
  const { partition, step, reason, wait } = parsed(
    erasure,
    body,
    `a partition, without a hyphen at its start, and a step: ${STEPS.join(', ')}`,
  );
  const options = step === 'begin' ? ['--reason', reason, '--wait', wait] : [`--${step}`];
  const args = ['partitions', 'erase', partition, '--confirm', partition, ...options];
  return show(run, args, step === 'finish' ? await endOfWait(run, partition) : undefined);
}

/**
 * The time from which a partition's keys may be deleted, in milliseconds since 1970. Zero if no erasure is under way.
 */
async function endOfWait(run: RunCommand, partition: string): Promise<number> {
  const { exitCode, stdout } = await run({ args: ['partitions', 'erase', partition, '--status', '--json'] });
  const { due = 0 } = exitCode === 0 ? (JSON.parse(stdout) as { due?: number }) : {};
  return due * 1000;
}

async function show(run: RunCommand, args: readonly string[], notBeforeMs = 0): Promise<CommandView> {
  const command = ['keyfold', ...args].map(quoted).join(' ');
  return { command, ...(await run({ args: [...args, '--json'], notBeforeMs })) };
}

/** Quotes an argument for a shell, if it needs quotes. */
function quoted(argument: string): string {
  return /^[\w=.-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", String.raw`'\''`)}'`;
}

function parsed<T>(schema: v.GenericSchema<unknown, T>, body: unknown, content: string): T {
  const result = v.safeParse(schema, body);
  if (!result.success) throw new RangeError(`The body must be a JSON object with ${content}.`);
  return result.output;
}
