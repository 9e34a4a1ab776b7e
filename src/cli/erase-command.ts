import { InvalidArgumentError, Option, type Command } from 'commander';
import type { OperatorConfig } from '../config/operator-config.ts';
import { KeyfoldError } from '../errors.ts';
import type { CliDependencies } from './dependencies.ts';
import { erasePartition } from './erase-partition.ts';
import type { EraseStep } from './erasure-view.ts';
import { parseDuration, withCommonOptions, type CommonOptions, type WriteOptions } from './options.ts';

const DAY = 86_400;
const STEPS = ['cancel', 'finish', 'status'] as const satisfies EraseStep[];

type EraseOptions = Omit<WriteOptions, 'yes'> & {
  readonly wait: number;
  readonly confirm?: string;
  readonly deleteUnmarked?: true;
} & { readonly [step in (typeof STEPS)[number]]?: true };

/**
 * Adds the command `partitions erase` to the program.
 * @param ran called with the exit code when a command ends
 */
export function addEraseCommand(
  program: Command,
  configOf: (options: CommonOptions) => OperatorConfig,
  dependencies: CliDependencies,
  ran: (exitCode: number) => void,
): void {
  const partitions = program.command('partitions').description('partitions of the service');

  withCommonOptions(partitions.command('erase'))
    .argument('<partition>', 'the partition whose keys to erase')
    .description('marks the keys of a partition, so that nothing opens or seals, and deletes them after a waiting time')
    .option('--reason <text>', 'a reason for the audit; required to begin')
    .addOption(
      new Option('--wait <duration>', 'the time before the keys may be deleted, such as 36h or 7d: at least 24h')
        .argParser(parseWait)
        .default(7 * DAY)
        .conflicts([...STEPS]),
    )
    .addOption(stepOption('--cancel', 'lifts the marks instead'))
    .addOption(stepOption('--finish', 'deletes the keys for good instead, after the waiting time'))
    .addOption(stepOption('--status', 'shows the state instead, and which copies still hold the keys'))
    .option('--delete-unmarked', 'with --finish, also deletes the rows that have no mark, without asking')
    .option('--dry-run', 'shows what the command would do, and changes nothing')
    .option('--confirm <partition>', 'the name of the partition again, instead of typing it')
    .option('--audit-file <file>', 'appends the audit to a file instead of writing it to standard error')
    .action(async (partition: string, options: CommonOptions & EraseOptions) => {
      const { json = false, dryRun = false, deleteUnmarked = false, wait: waitSeconds } = options;
      const { confirm, reason, auditFile } = options;
      const step: EraseStep = STEPS.find((name) => options[name] === true) ?? 'begin';
      if (deleteUnmarked && step !== 'finish')
        throw new KeyfoldError('InvalidRequest', 'The option --delete-unmarked goes with --finish.');
      const flags = { json, dryRun, deleteUnmarked };
      const request = { partition, step, waitSeconds, ...flags, confirm, reason, auditFile };
      ran(await erasePartition(request, configOf(options), dependencies));
    });
}

function stepOption(flag: string, description: string): Option {
  const others = STEPS.filter((step) => flag !== `--${step}`);
  return new Option(flag, description).conflicts(others);
}

/** Parses a waiting time into seconds. */
function parseWait(text: string): number {
  const seconds = parseDuration(text) / 1000;
  if (seconds >= DAY) return seconds;
  throw new InvalidArgumentError('It must be at least 24h.');
}
