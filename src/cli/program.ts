import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import type { AppConfig } from '../config/app-config.ts';
import { readOperatorConfig, type OperatorConfig } from '../config/operator-config.ts';
import { PREFIX, readConfig } from '../config/read-config.ts';
import { KeyfoldError } from '../errors.ts';
import { doctor } from './doctor.ts';
import { listKeys } from './list-keys.ts';
import type { KeyRequest } from './one-key.ts';
import { overridesOf, withCommonOptions, withWriteOptions, type CommonOptions, type WriteOptions } from './options.ts';
import { proveKeys } from './prove-keys.ts';
import { revokeKey } from './revoke-key.ts';
import { showKey } from './show-key.ts';
import { printable, printableLines } from './text.ts';
import { EXIT, type CliDependencies, type Terminal } from './dependencies.ts';

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

  /** The settings as a function of the service reads them. */
  const serviceConfigOf = (options: CommonOptions): AppConfig => {
    const overrides = Object.entries(overridesOf(options)).map(([name, value]) => [`${PREFIX}${name}`, value]);
    return readConfig({ ...dependencies.environment, ...Object.fromEntries(overrides) });
  };

  const program = new Command('keyfold').description('Operates the keys of a Keyfold or Asherah service.');
  // Configure the program first, because subcommands copy its settings when they are made.
  program.exitOverride().configureOutput({
    writeOut: (text) => terminal.out(text.trimEnd()),
    writeErr: (text) => terminal.err(text.trimEnd()),
  });
  program.version(dependencies.version);

  withCommonOptions(program.command('doctor'))
    .description('checks the settings, KMS, the key table and the System Keys, and says how to correct each fault')
    .action(async (options: CommonOptions) => {
      const { json = false } = options;
      exitCode = await doctor(() => serviceConfigOf(options), { json }, dependencies);
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

  withCommonOptions(withWriteOptions(withKey(keys.command('revoke'))))
    .description('revokes a key for good: it seals nothing new, but old records still decrypt')
    .action(async (id: string, created: KeyRequest['created'], options: CommonOptions & WriteOptions) => {
      const { region, json = false, dryRun = false, yes = false, reason, auditFile } = options;
      const request = { id, created, region, json, dryRun, yes, reason, auditFile };
      exitCode = await revokeKey(request, configOf(options), dependencies);
    });

  withCommonOptions(withWriteOptions(keys.command('prove')))
    .description('adds proofs to the key rows that have none, after it has opened and checked every key')
    .option('--against <table>', 'a table restored from a backup, with which every row must agree')
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

function withKey(command: Command): Command {
  return command
    .argument('<id>', 'the ID in the key table: _SK_… or _IK_…')
    .argument('<created>', 'the creation time in epoch seconds, or latest', parseCreated);
}

function parseCreated(text: string): number | 'latest' {
  if (text === 'latest') return text;
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw new InvalidArgumentError('It must be epoch seconds or latest.');
}

/** Wraps a terminal, so that hidden and control characters are escaped in every text. */
function escapingTerminal(terminal: Terminal): Terminal {
  const { ask } = terminal;
  return {
    out: (text, colour) => terminal.out(printableLines(text), colour),
    err: (text) => terminal.err(printableLines(text)),
    ask: ask && ((question) => ask(printable(question))),
  };
}

function report(error: unknown, { terminal }: CliDependencies): number {
  // Commander has already printed this error.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const message = error instanceof Error ? error.message : String(error);
  const isMultiline = error instanceof KeyfoldError && error.code === 'InvalidConfiguration';
  // Only configuration errors have several lines. In other errors, a line feed may come from the ID of a row, and could
  // imitate a line of output.
  terminal.err(`keyfold: ${isMultiline ? message : printable(message)}`);
  if (!(error instanceof KeyfoldError)) return EXIT.failed;
  if (error.cause instanceof Error) terminal.err(printable(error.cause.message));
  return error.code === 'InvalidConfiguration' || error.code === 'InvalidRequest' ? EXIT.usage : EXIT.failed;
}
