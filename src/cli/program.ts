import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { readOperatorConfig, type OperatorConfig, type Overrides } from '../config/operator-config.ts';
import { KeyfoldError } from '../errors.ts';
import { listKeys } from './list-keys.ts';
import type { KeyRequest } from './one-key.ts';
import { proveKeys } from './prove-keys.ts';
import { revokeKey } from './revoke-key.ts';
import { showKey } from './show-key.ts';
import { printable, printableLines } from './text.ts';
import { EXIT, type CliDependencies, type Terminal } from './dependencies.ts';

/** Options of every command. */
interface CommonOptions {
  readonly table?: string;
  readonly region?: string;
  readonly endpoint?: string;
  readonly service?: string;
  readonly product?: string;
  readonly regionSuffix?: string;
  readonly json?: boolean;
}

/** The setting that each option overrides, without the prefix `KEYFOLD_`. */
const SETTING_OF = {
  table: 'TABLE',
  region: 'DYNAMODB_REGION',
  endpoint: 'DYNAMODB_ENDPOINT',
  service: 'SERVICE',
  product: 'PRODUCT',
  regionSuffix: 'REGION_SUFFIX',
} as const satisfies Partial<Record<keyof CommonOptions, keyof Overrides>>;

/**
 * Runs one `keyfold` command. It never throws: it prints failures to standard error.
 * @param argv the arguments after the program's name
 * @returns the process's exit code
 */
export async function runCli(argv: readonly string[], given: CliDependencies): Promise<number> {
  let exitCode: number = EXIT.ok;
  const terminal = escapingTerminal(given.terminal);
  const dependencies = { ...given, terminal };
  const configOf = (options: CommonOptions): OperatorConfig =>
    readOperatorConfig(dependencies.environment, overridesOf(options));

  const program = new Command('keyfold').description('Operates the keys of a Keyfold or Asherah service.');
  // Configure the program first, because subcommands copy its settings when they are made.
  program.exitOverride().configureOutput({
    writeOut: (text) => terminal.out(text.trimEnd()),
    writeErr: (text) => terminal.err(text.trimEnd()),
  });
  const keys = program.command('keys').description('System Keys and Intermediate Keys in the key table');

  withCommonOptions(keys.command('list'))
    .description("lists the service's System Keys")
    .option('--partition <partition>', "lists a partition's Intermediate Keys instead")
    .addOption(new Option('--all', 'lists every row of the table instead').conflicts('partition'))
    .action(async (options: CommonOptions & { partition?: string; all?: true }) => {
      const { partition, all = false, json = false } = options;
      await listKeys({ partition, all, json }, configOf(options), dependencies);
    });

  withCommonOptions(withKey(keys.command('show')))
    .description('shows one key and what wraps it')
    .action(async (id: string, created: KeyRequest['created'], options: CommonOptions) => {
      const { region, json = false } = options;
      exitCode = await showKey({ id, created, region, json }, configOf(options), dependencies);
    });

  withCommonOptions(withKey(keys.command('revoke')))
    .description('revokes a key for good: it seals nothing new, but old records still decrypt')
    .option('--dry-run', 'shows what the command would do, and changes nothing')
    .option('--yes', 'revokes without asking for confirmation')
    .option('--reason <text>', 'a reason for the audit')
    .option('--audit-file <file>', 'appends the audit to a file instead of writing it to standard error')
    .action(async (id: string, created: KeyRequest['created'], options: CommonOptions & WriteOptions) => {
      const { region, json = false, dryRun = false, yes = false, reason, auditFile } = options;
      const request = { id, created, region, json, dryRun, yes, reason, auditFile };
      exitCode = await revokeKey(request, configOf(options), dependencies);
    });

  withCommonOptions(keys.command('prove'))
    .description('adds proofs to the key rows that have none, after it has opened and checked every key')
    .option('--against <table>', 'a table restored from a backup, with which rows without a proof must agree')
    .option('--dry-run', 'shows what the command would do, and changes nothing')
    .option('--yes', 'writes without asking for confirmation')
    .option('--reason <text>', 'a reason for the audit')
    .option('--audit-file <file>', 'appends the audit to a file instead of writing it to standard error')
    .action(async (options: CommonOptions & WriteOptions & { against?: string }) => {
      const { region, json = false, dryRun = false, yes = false, reason, auditFile, against } = options;
      const request = { against, region, json, dryRun, yes, reason, auditFile };
      exitCode = await proveKeys(request, configOf(options), dependencies);
    });

  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    return report(error, dependencies);
  }
}

interface WriteOptions {
  readonly dryRun?: true;
  readonly yes?: true;
  readonly reason?: string;
  readonly auditFile?: string;
}

function withKey(command: Command): Command {
  return command
    .argument('<id>', 'the ID in the key table: _SK_… or _IK_…')
    .argument('<created>', 'the creation time in epoch seconds, or latest', parseCreated);
}

function withCommonOptions(command: Command): Command {
  return command
    .option('--table <name>', 'the key table (KEYFOLD_TABLE)')
    .option('--region <region>', "the table's region (KEYFOLD_DYNAMODB_REGION)")
    .option('--endpoint <url>', 'the DynamoDB endpoint, if not AWS (KEYFOLD_DYNAMODB_ENDPOINT)')
    .option('--service <name>', 'the service that owns the keys (KEYFOLD_SERVICE)')
    .option('--product <name>', 'the product that owns the keys (KEYFOLD_PRODUCT)')
    .option('--region-suffix <region>', 'the region at the end of key IDs (KEYFOLD_REGION_SUFFIX)')
    .option('--json', 'prints JSON');
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
  throw new InvalidArgumentError('It must be epoch seconds or latest.');
}

/** Wraps a terminal. The wrapper escapes the hidden and control characters of every text. */
function escapingTerminal(terminal: Terminal): Terminal {
  const { ask } = terminal;
  return {
    out: (text) => terminal.out(printableLines(text)),
    err: (text) => terminal.err(printableLines(text)),
    ask: ask && ((question) => ask(printable(question))),
  };
}

function report(error: unknown, { terminal }: CliDependencies): number {
  // Commander has already printed this error.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const message = error instanceof Error ? error.message : String(error);
  const isMultiline = error instanceof KeyfoldError && error.code === 'InvalidConfiguration';
  // Only configuration errors have several lines. In other errors a line feed may come from a row's ID and could fake a
  // line.
  terminal.err(`keyfold: ${isMultiline ? message : printable(message)}`);
  if (!(error instanceof KeyfoldError)) return EXIT.failed;
  if (error.cause instanceof Error) terminal.err(printable(error.cause.message));
  return error.code === 'InvalidConfiguration' || error.code === 'InvalidRequest' ? EXIT.usage : EXIT.failed;
}
