import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import type { AppConfig, KmsConfig } from '../config/app-config.ts';
import { choiceFaults } from '../config/kms-reader.ts';
import { hsmReaderOf, readOperatorConfig, type OperatorConfig, type Overrides } from '../config/operator-config.ts';
import { PREFIX, readConfig, settingsOf, vaultReaderOf } from '../config/read-config.ts';
import { checkMinimums, cryptoPolicy } from '../envelope/crypto-policy.ts';
import { invalidConfiguration, KeyfoldError } from '../errors.ts';
import { doctor } from './doctor.ts';
import { addEraseCommand } from './erase-command.ts';
import { inspectRecord } from './inspect-record.ts';
import { listKeys } from './list-keys.ts';
import type { KeyRequest } from './one-key.ts';
import {
  overridesOf,
  parseDuration,
  withCommonOptions,
  withConfirmation,
  withWriteOptions,
  writeRequestOf,
  type CommonOptions,
  type WriteOptions,
} from './options.ts';
import { commandTerminal } from './command-terminal.ts';
import { maintain } from './maintain.ts';
import { STATES, type KeyView } from './key-view.ts';
import { proveKeys } from './prove-keys.ts';
import { reencrypt } from './reencrypt.ts';
import {
  reencryptRequestOf,
  tableOf,
  withReencryptOptions,
  withTableOptions,
  type ReencryptOptions,
  type TableOptions,
} from './reencrypt-options.ts';
import { revokeKey } from './revoke-key.ts';
import { retireCheck } from './retire-check.ts';
import { rotateKeys } from './rotate-keys.ts';
import { showKey } from './show-key.ts';
import { addTableCommands } from './table-commands.ts';
import { verifyRecords } from './verify-records.ts';
import { EXIT, type CliDependencies, type Terminal } from './dependencies.ts';

/** The variable with the URL of an SQL database that holds the key table. Only an operator's commands read it. */
const METASTORE_URL = `${PREFIX}METASTORE_URL`;
/** The settings of a key table in DynamoDB. */
const OF_DYNAMODB = ['TABLE', 'DYNAMODB_REGION', 'DYNAMODB_ENDPOINT'] as const;

/**
 * Runs one `keyfold` command. It never throws: it prints failures to standard error.
 * @param argv the arguments after the program's name
 * @returns the process's exit code
 */
export async function runCli(argv: readonly string[], given: CliDependencies<Terminal>): Promise<number> {
  let exitCode: number = EXIT.ok;
  const terminal = commandTerminal(given.terminal);
  const { [METASTORE_URL]: url, ...others } = given.environment;
  const dependencies = { ...given, terminal, environment: others };
  let close: (() => Promise<void>) | undefined;
  const openDatabase = async (): Promise<void> => {
    if (url === undefined) return;
    const { close: closeDatabase, ...adapters } = await given.openDatabase(url, METASTORE_URL);
    close = closeDatabase;
    Object.assign(dependencies, adapters);
  };
  const settingsFrom = (options: CommonOptions): Overrides => {
    const overrides = overridesOf(options);
    const own = { ...settingsOf(dependencies.environment), ...overrides };
    const faults =
      dependencies.inspectDatabase === undefined ? [] : choiceFaults('METASTORE_URL', own, [], OF_DYNAMODB);
    if (faults.length > 0) throw invalidConfiguration(faults);
    return overrides;
  };
  const configOf = (options: CommonOptions): OperatorConfig =>
    readOperatorConfig(dependencies.environment, settingsFrom(options));

  /** Reads the settings as a function of the service does. */
  const serviceConfigOf = async (options: CommonOptions): Promise<AppConfig> => {
    const overrides = Object.entries(settingsFrom(options)).map(([name, value]) => [`${PREFIX}${name}`, value]);
    const environment = { ...dependencies.environment, ...Object.fromEntries(overrides) };
    const reader = hsmReaderOf(environment) ?? (await vaultReaderOf(environment));
    const config = readConfig<KmsConfig>(environment, [], reader);
    checkMinimums(cryptoPolicy(config.policy), dependencies.now());
    return config;
  };

  const program = new Command('keyfold').description('Operates the keys of a Keyfold or Asherah service.');
  // Configure the program first, because subcommands copy its settings when they are created.
  program.exitOverride().configureOutput({
    writeOut: (text) => terminal.out(text.trimEnd().split('\n')),
    writeErr: (text) => terminal.err(text.trimEnd().split('\n')),
  });
  program.version(dependencies.version);

  // Read the URL here and not earlier, so that `--help` works even if the URL is wrong. `doctor` reports a wrong URL as
  // a finding.
  program.hook('preAction', (_, command) => (command.name() === 'doctor' ? undefined : openDatabase()));

  withCommonOptions(program.command('doctor'))
    .description('checks the settings, KMS, the key table and the System Keys, and says how to correct each fault')
    .action(async (options: CommonOptions) => {
      const { json = false } = options;
      const read = (): Promise<AppConfig> => openDatabase().then(() => serviceConfigOf(options));
      exitCode = await doctor(read, { json }, dependencies);
    });

  withCommonOptions(withWriteOptions(program.command('maintain')))
    .description('runs the scheduled maintenance now: renews wraps, and makes the next System Key if it is due')
    .action(async (options: CommonOptions & WriteOptions) => {
      exitCode = await maintain(writeRequestOf(options), await serviceConfigOf(options), dependencies);
    });

  withCommonOptions(program.command('inspect'))
    .description('explains a record: its keys, dates and sizes, but never its data')
    .argument('<record>', 'a record, a file with one, or - for standard input')
    .option('--chain', 'looks up the key rows that the record needs')
    .action(async (source: string, options: CommonOptions & { chain?: true }) => {
      const { chain = false, json = false } = options;
      exitCode = await inspectRecord({ source, chain, json }, configOf(options), dependencies);
    });

  withTableOptions(withCommonOptions(program.command('verify')))
    .description('opens every record of a source, and counts those that do not open')
    .argument('<source>', 'dynamodb:TABLE, postgres:TABLE, a file of JSON Lines, or - for standard input')
    .option('--field <name>', 'the field that holds the record; default for a file: the line is the record')
    .option('--id <name>', 'in a file, the member that names the row; default: the number of the line')
    .option('--report <file>', 'writes the counts to a file, for keys retire-check')
    .action(async (source: string, options: CommonOptions & VerifyOptions) => {
      const { field, id: idField, report: reportFile, json = false } = options;
      const config = await serviceConfigOf(options);
      const ofTable = { ...options, field: field === undefined ? undefined : [field] } as TableOptions;
      const table = tableOf(source, ofTable, config, dependencies.environment);
      exitCode = await verifyRecords({ source, table, field, idField, reportFile, json }, config, dependencies);
    });

  withReencryptOptions(program.command('reencrypt'))
    .description(
      'moves the records of a source to the latest keys, seals them anew, seals plaintexts, or opens records',
    )
    .action(async (source: string, options: ReencryptOptions) => {
      const config = await serviceConfigOf(options);
      exitCode = await reencrypt(reencryptRequestOf(source, options, config, dependencies), config, dependencies);
    });

  const keys = program.command('keys').description('System Keys and Intermediate Keys in the key table');

  withCommonOptions(keys.command('list'))
    .description("lists the service's System Keys")
    .option('--partition <partition>', "lists a partition's Intermediate Keys instead")
    .addOption(
      new Option(
        '--partition-prefix <text>',
        'lists the Intermediate Keys of partitions that begin with a text',
      ).conflicts('partition'),
    )
    .addOption(new Option('--all', 'lists every row of the table instead').conflicts(['partition', 'partitionPrefix']))
    .addOption(new Option('--state <states...>', 'lists only keys in these states').choices(STATES))
    .option('--older-than <duration>', 'lists only keys that are older, such as 90d or 12h', parseDuration)
    .action(async (options: CommonOptions & ListOptions) => {
      const { partition, partitionPrefix, all = false, state: states, olderThan: olderThanMs, json = false } = options;
      const request = { partition, partitionPrefix, all, states, olderThanMs, json };
      await listKeys(request, configOf(options), dependencies);
    });

  withCommonOptions(withKey(keys.command('show')))
    .description('shows one key and what wraps it')
    .action(async (id: string, created: KeyRequest['created'], options: CommonOptions) => {
      const { region, json = false } = options;
      exitCode = await showKey({ id, created, region, json }, configOf(options), dependencies);
    });

  withCommonOptions(withConfirmation(withKey(keys.command('revoke'))))
    .description('revokes a key for good: it seals nothing new, but old records still decrypt')
    .action(async (id: string, created: KeyRequest['created'], options: CommonOptions & WriteOptions) => {
      const request = { ...writeRequestOf(options), id, created, region: options.region };
      exitCode = await revokeKey(request, configOf(options), dependencies);
    });

  withCommonOptions(withKey(keys.command('retire-check')))
    .description('says whether any known record is still under a key')
    .requiredOption('--report <files...>', 'the reports of keyfold verify or reencrypt on every place with records')
    .action(async (id: string, created: KeyRequest['created'], options: CommonOptions & { report: string[] }) => {
      const { region, report: reports, json = false } = options;
      exitCode = await retireCheck({ id, created, region, reports, json }, configOf(options), dependencies);
    });

  withCommonOptions(withWriteOptions(keys.command('rotate')))
    .description('makes the next System Key now, and revokes nothing')
    .option('--partition <partition>', "makes a partition's next Intermediate Key instead")
    .addOption(
      new Option('--all-partitions', "makes every partition's next Intermediate Key instead").conflicts('partition'),
    )
    .option(
      '--older-than <duration>',
      'with --all-partitions, leaves out partitions whose latest key is younger, such as 1h',
      parseDuration,
    )
    .action(async (options: CommonOptions & WriteOptions & RotateOptions) => {
      const { partition, allPartitions = false, olderThan: olderThanMs } = options;
      if (olderThanMs !== undefined && !allPartitions)
        throw new KeyfoldError('InvalidRequest', 'The option --older-than goes with --all-partitions.');
      const request = { ...writeRequestOf(options), partition, allPartitions, olderThanMs };
      exitCode = await rotateKeys(request, await serviceConfigOf(options), dependencies);
    });

  withCommonOptions(withConfirmation(keys.command('prove')))
    .description('adds proofs to the key rows that have none, after it has opened and checked every key')
    .option('--against <table>', 'a table restored from a backup, with which rows without a proof must agree')
    .action(async (options: CommonOptions & WriteOptions & { against?: string }) => {
      const { region, against } = options;
      const request = { ...writeRequestOf(options), against, region };
      exitCode = await proveKeys(request, configOf(options), dependencies);
    });

  addEraseCommand(program, configOf, dependencies, (code) => (exitCode = code));
  addTableCommands(program, configOf, dependencies, (code) => (exitCode = code));

  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    return report(error, dependencies);
  } finally {
    await close?.();
  }
}

interface VerifyOptions extends Omit<TableOptions, 'field'> {
  readonly field?: string;
}

interface RotateOptions {
  readonly partition?: string;
  readonly allPartitions?: true;
  readonly olderThan?: number;
}

interface ListOptions {
  readonly partition?: string;
  readonly partitionPrefix?: string;
  readonly all?: true;
  readonly state?: readonly KeyView['state'][];
  readonly olderThan?: number;
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

function report(error: unknown, dependencies: CliDependencies): number {
  const { terminal } = dependencies;
  // Commander has already printed this error.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  // A step failed, and then its audit line.
  if (error instanceof AggregateError) return Math.max(...error.errors.map((each) => report(each, dependencies)));
  const message = error instanceof Error ? error.message : String(error);
  const isMultiline = error instanceof KeyfoldError && error.code === 'InvalidConfiguration';
  // Print only configuration errors on several lines. In other errors, a line feed may come from a row's ID. If it were
  // printed, the ID could imitate a line of this program.
  terminal.err(isMultiline ? `keyfold: ${message}`.split('\n') : `keyfold: ${message}`);
  if (!(error instanceof KeyfoldError)) return EXIT.failed;
  if (error.cause instanceof Error) terminal.err(error.cause.message);
  return error.code === 'InvalidConfiguration' || error.code === 'InvalidRequest' ? EXIT.usage : EXIT.failed;
}
