import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { readOperatorConfig, type OperatorConfig, type Overrides } from '../config/operator-config.ts';
import { KeyfoldError } from '../errors.ts';
import { listKeys } from './list-keys.ts';
import type { KeyRequest } from './one-key.ts';
import { revokeKey } from './revoke-key.ts';
import { showKey } from './show-key.ts';
import { printable, printableLines } from './text.ts';
import { EXIT, type CliDependencies, type Terminal } from './dependencies.ts';

/** The options that every command has. */
interface CommonOptions {
  readonly table?: string;
  readonly region?: string;
  readonly endpoint?: string;
  readonly service?: string;
  readonly product?: string;
  readonly regionSuffix?: string;
  readonly json?: boolean;
}

/** The setting that each option stands in for. */
const SETTING_OF = {
  table: 'TABLE',
  region: 'DYNAMODB_REGION',
  endpoint: 'DYNAMODB_ENDPOINT',
  service: 'SERVICE',
  product: 'PRODUCT',
  regionSuffix: 'REGION_SUFFIX',
} as const satisfies Partial<Record<keyof CommonOptions, keyof Overrides>>;

/**
 * Runs one command of `keyfold`. Nothing is thrown: a failure is said on the terminal.
 * @param argv what follows the program's name
 * @returns the process's exit code
 */
export async function runCli(argv: readonly string[], given: CliDependencies): Promise<number> {
  let exitCode: number = EXIT.ok;
  const terminal = printing(given.terminal);
  const world = { ...given, terminal };
  const configOf = (options: CommonOptions): OperatorConfig =>
    readOperatorConfig(world.environment, overridesOf(options));

  const program = new Command('keyfold').description('Operates the keys of a Keyfold or Asherah service.');
  // Set before the commands are made, which inherit it.
  program.exitOverride().configureOutput({
    writeOut: (text) => terminal.out(text.trimEnd()),
    writeErr: (text) => terminal.err(text.trimEnd()),
  });
  const keys = program.command('keys').description('System Keys and Intermediate Keys in the key table');

  withCommonOptions(keys.command('list'))
    .description("lists the service's System Keys")
    .option('--partition <partition>', "a partition's Intermediate Keys instead")
    .addOption(new Option('--all', 'every row of the table instead').conflicts('partition'))
    .action(async (options: CommonOptions & { partition?: string; all?: true }) => {
      const { partition, all = false, json = false } = options;
      await listKeys({ partition, all, json }, configOf(options), world);
    });

  withCommonOptions(withKey(keys.command('show')))
    .description('shows one key and what wraps it')
    .action(async (id: string, created: KeyRequest['created'], options: CommonOptions) => {
      const { region, json = false } = options;
      exitCode = await showKey({ id, created, region, json }, configOf(options), world);
    });

  withCommonOptions(withKey(keys.command('revoke')))
    .description('revokes a key for good: it opens what it sealed, and seals nothing new')
    .option('--dry-run', 'says what it would do, and does not')
    .option('--yes', 'does not ask')
    .option('--reason <text>', 'goes into the audit')
    .option('--audit-file <file>', 'is appended the audit line, which else goes to standard error')
    .action(async (id: string, created: KeyRequest['created'], options: CommonOptions & RevokeOptions) => {
      const { region, json = false, dryRun = false, yes = false, reason, auditFile } = options;
      const request = { id, created, region, json, dryRun, yes, reason, auditFile };
      exitCode = await revokeKey(request, configOf(options), world);
    });

  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    return report(error, world);
  }
}

interface RevokeOptions {
  readonly dryRun?: true;
  readonly yes?: true;
  readonly reason?: string;
  readonly auditFile?: string;
}

function withKey(command: Command): Command {
  return command
    .argument('<id>', 'as the table has it: _SK_… or _IK_…')
    .argument('<created>', 'in epoch seconds, or latest', parseCreated);
}

function withCommonOptions(command: Command): Command {
  return command
    .option('--table <name>', 'the key table (KEYFOLD_TABLE)')
    .option('--region <region>', "the table's region (KEYFOLD_DYNAMODB_REGION)")
    .option('--endpoint <url>', "instead of AWS's (KEYFOLD_DYNAMODB_ENDPOINT)")
    .option('--service <name>', 'whose keys (KEYFOLD_SERVICE)')
    .option('--product <name>', 'whose keys (KEYFOLD_PRODUCT)')
    .option('--region-suffix <region>', 'the region at the end of ids (KEYFOLD_REGION_SUFFIX)')
    .option('--json', 'answers in JSON');
}

function overridesOf(options: CommonOptions): Overrides {
  const names = Object.keys(SETTING_OF) as (keyof typeof SETTING_OF)[];
  return Object.fromEntries(
    names.flatMap((name) => (options[name] === undefined ? [] : [[SETTING_OF[name], options[name]]])),
  );
}

function parseCreated(text: string): number | 'latest' {
  if (text === 'latest') return text;
  if (/^\d{1,12}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It is neither epoch seconds nor latest.');
}

/** The terminal, to which nothing goes that it would not show as itself. */
function printing(terminal: Terminal): Terminal {
  const { ask } = terminal;
  return {
    out: (text) => terminal.out(printableLines(text)),
    err: (text) => terminal.err(printableLines(text)),
    ask: ask && ((question) => ask(printable(question))),
  };
}

function report(error: unknown, { terminal }: CliDependencies): number {
  // Commander has said it.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const message = error instanceof Error ? error.message : String(error);
  const isList = error instanceof KeyfoldError && error.code === 'InvalidConfiguration';
  // Of others a line's end may be part of a row's id, and what follows would pass for a line of ours.
  terminal.err(`keyfold: ${isList ? message : printable(message)}`);
  if (!(error instanceof KeyfoldError)) return EXIT.failed;
  if (error.cause instanceof Error) terminal.err(printable(error.cause.message));
  return error.code === 'InvalidConfiguration' || error.code === 'InvalidRequest' ? EXIT.usage : EXIT.failed;
}
