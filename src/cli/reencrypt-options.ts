import { InvalidArgumentError, Option, type Command } from 'commander';
import type { AppConfig, Environment } from '../config/app-config.ts';
import { invalidConfiguration, KeyfoldError } from '../errors.ts';
import { RECORD_FORMS, type RecordForm } from '../maintenance/reencryption/content.ts';
import type { FieldNames } from '../maintenance/reencryption/rows.ts';
import { PLAINTEXT_FORMS, VERBS, type PlaintextForm, type Verb } from '../maintenance/reencryption/verbs.ts';
import { replicaIn } from '../metastore/dynamodb-options.ts';
import { isRegionName } from '../records/ids.ts';
import { sqlTableName } from '../rows/postgres-table-name.ts';
import type { RowsOptions } from '../rows/rows-options.ts';
import type { CliDependencies } from './dependencies.ts';
import {
  withCommonOptions,
  withWriteOptions,
  writeRequestOf,
  type CommonOptions,
  type WriteOptions,
} from './options.ts';
import type { ReencryptRequest } from './reencrypt.ts';

/** The options of `keyfold reencrypt`. */
export interface ReencryptOptions extends CommonOptions, Omit<WriteOptions, 'yes'> {
  readonly verb: Verb;
  readonly quarantine: string;
  readonly field?: string[];
  readonly id?: string;
  readonly partition?: string;
  readonly partitionField?: string;
  readonly context?: Readonly<Record<string, string>>;
  readonly contextFrom?: Readonly<Record<string, string>>;
  readonly fields?: string[];
  readonly form?: RecordForm;
  readonly plaintext?: PlaintextForm;
  readonly from?: 'kms';
  readonly kmsRegion?: string;
  readonly kmsContext?: Readonly<Record<string, string>>;
  readonly output?: string;
  readonly checkpoint?: string;
  readonly report?: string;
  readonly rate?: number;
  readonly readUnits?: number;
  readonly writeUnits?: number;
  readonly sourceRegion?: string;
  readonly sourceEndpoint?: string;
}

/** Adds the options of `keyfold reencrypt` to its command. */
export function withReencryptOptions(command: Command): Command {
  return withTableOptions(withCommonOptions(withWriteOptions(command)))
    .argument('<source>', 'dynamodb:TABLE, postgres:TABLE, or a file of JSON Lines')
    .addOption(new Option('--verb <verb>', 'what to do with each record').choices(VERBS).makeOptionMandatory())
    .requiredOption('--quarantine <file>', 'appends the rows that cannot be done to a file')
    .option('--field <names...>', 'the fields that hold records; default for a file: the line is the record')
    .option('--id <name>', 'in a file, the member that names the row; default: the number of the line')
    .option('--partition <partition>', 'the partition of every row; required to seal')
    .addOption(new Option('--partition-field <name>', 'the field that names the partition').conflicts('partition'))
    .option('--context <name=value...>', 'entries of the context that are the same in every row', collectPairs)
    .option('--context-from <name=field...>', 'entries of the context, and the fields that hold them', collectPairs)
    .option('--fields <paths...>', 'with --verb seal, the JSONPaths of the values to seal in a document')
    .addOption(
      new Option('--form <form>', 'with --verb seal, the form of new records; default: compact').choices(RECORD_FORMS),
    )
    .addOption(
      new Option(
        '--plaintext <form>',
        'with --verb seal or open, the form of plaintexts in text fields; default: text',
      ).choices(PLAINTEXT_FORMS),
    )
    .addOption(new Option('--from <origin>', 'with --verb seal, opens ciphertexts of KMS first').choices(['kms']))
    .option('--kms-region <region>', 'with --from kms, the region of the ciphertexts')
    .option('--kms-context <name=value...>', 'with --from kms, the encryption context of the ciphertexts', collectPairs)
    .option('--output <file>', 'the file that is written in place of a source that is a file')
    .option('--checkpoint <file>', 'keeps the progress in a file, from which a run that was killed goes on')
    .option('--report <file>', 'writes the counts to a file, for keys retire-check')
    .option('--rate <rows>', 'the highest number of rows per second', positive)
    .option('--write-units <units>', 'the most write capacity units of DynamoDB per second', positive);
}

/** Adds the options of a command that reads a table in DynamoDB. */
export function withTableOptions(command: Command): Command {
  return command
    .option('--read-units <units>', 'the most read capacity units of DynamoDB per second', positive)
    .option('--source-region <region>', "the region of a source in DynamoDB; default: the key table's")
    .option(
      '--source-endpoint <url>',
      "the endpoint of a source in DynamoDB; default: the key table's, in the source's region",
    );
}

/**
 * Builds the request of `keyfold reencrypt`.
 * @throws KeyfoldError `InvalidRequest` if options are missing, or cannot be combined
 */
export function reencryptRequestOf(
  source: string,
  options: ReencryptOptions,
  config: AppConfig,
  { environment }: CliDependencies,
): ReencryptRequest {
  const { verb, fields: paths, from, kmsRegion, kmsContext } = options;
  const { partition, partitionField, context, contextFrom, field } = options;
  const isBound = context !== undefined || contextFrom !== undefined;
  if (verb === 'seal' && partition === undefined && partitionField === undefined)
    throw invalid('--verb seal needs --partition or --partition-field');
  if (verb !== 'seal' && (paths !== undefined || from !== undefined))
    throw invalid('--fields and --from go with --verb seal');
  if (verb === 'rewrap' && isBound) throw invalid('--verb rewrap needs no context');
  if (isBound && field !== undefined && field.length > 1)
    throw invalid('a context goes with one --field, because a field needs a context of its own');
  if (from === 'kms' && kmsRegion === undefined) throw invalid('--from kms needs --kms-region');
  if (kmsRegion !== undefined && !isRegionName(kmsRegion))
    throw new KeyfoldError('InvalidRequest', '--kms-region is not the name of an AWS region.');
  if (Object.keys(context ?? {}).some((name) => Object.hasOwn(contextFrom ?? {}, name)))
    throw invalid('a name is in both --context and --context-from');
  // A program that reads the output from a pipe would get an incomplete file if the run stopped.
  if (options.output === '-') throw invalid('--output must be a file, which is renamed when it is complete');
  if (verb !== 'seal') refuse(options, ['form'], '--verb seal');
  if (paths !== undefined) refuse(options, ['form', 'plaintext', 'from'], 'whole fields, not with --fields');
  if (verb !== 'seal' && verb !== 'open') refuse(options, ['plaintext'], '--verb seal or open');
  if (from === undefined) refuse(options, ['kmsRegion', 'kmsContext'], '--from kms');
  const { json, dryRun, reason, auditFile } = writeRequestOf(options);
  return {
    source,
    verb,
    form: options.form ?? 'compact',
    plaintext: options.plaintext ?? 'text',
    paths,
    rows: rowsOf(source, options, config, environment),
    ciphertexts: kmsRegion === undefined ? undefined : { region: kmsRegion, encryptionContext: kmsContext },
    quarantineFile: options.quarantine,
    checkpointFile: options.checkpoint,
    reportFile: options.report,
    rate: options.rate,
    json,
    dryRun,
    reason,
    auditFile,
  };
}

function rowsOf(source: string, options: ReencryptOptions, config: AppConfig, environment: Environment): RowsOptions {
  const table = tableOf(source, options, config, environment);
  if (table !== undefined) return table;
  const { field, id: idField, output, dryRun = false } = options;
  if (output === undefined && !dryRun) throw invalid('a file needs --output');
  const names = namesOf(options);
  return { kind: 'file', file: source, output: dryRun ? undefined : output, fields: field, idField, ...names };
}

function namesOf({ partition, partitionField, context, contextFrom }: TableOptions): Omit<FieldNames, 'fields'> {
  return { partition, partitionField, context, contextFrom };
}

/** The options of a command that reads a table. */
export type TableOptions = Partial<ReencryptOptions>;

/**
 * Builds the options of a table, if the source is one.
 * @throws KeyfoldError `InvalidRequest` if options are missing, or cannot be combined
 * @throws KeyfoldError `InvalidConfiguration` if the source is a table in PostgreSQL, but no URL is set
 */
export function tableOf(
  source: string,
  options: TableOptions,
  { metastore }: Pick<AppConfig, 'metastore'>,
  { DATABASE_URL: url }: Environment,
): RowsOptions | undefined {
  const { field, partitionField, contextFrom = {} } = options;
  mustName('--field', field);
  mustName('--partition-field', partitionField === undefined ? [] : [partitionField]);
  mustName('--context-from', Object.values(contextFrom));
  const names = namesOf(options);
  const [kind, name] = /^(dynamodb|postgres):(.+)$/s.exec(source)?.slice(1) ?? [];
  // Refuse --output for a table. If the option were ignored, the run would change a table that the operator wants to
  // keep.
  if (name !== undefined) refuse(options, ['output', 'id'], 'a file');
  if (kind !== 'dynamodb') refuse(options, OF_DYNAMODB, 'a table in DynamoDB');
  if (name === undefined) return undefined;
  if (field === undefined) throw invalid('a table needs --field');
  if (kind === 'postgres') {
    if (url === undefined) throw invalidConfiguration(['set DATABASE_URL to the database with the rows']);
    // Refuse an invalid name here, before the run writes a file.
    sqlTableName(name);
    return { kind, url, table: name, fields: field, ...names };
  }
  const { sourceRegion: region = metastore.region } = options;
  const keyTable = region === undefined ? metastore : replicaIn(region, metastore);
  const { sourceEndpoint: endpoint = keyTable.endpoint } = options;
  // A region may be empty because a shell variable is not set. Pass it on, so that the run is refused. Without a
  // region, the run could change a table in another region.
  const table = {
    tableName: name,
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
  };
  const { readUnits, writeUnits } = options;
  return { kind: 'dynamodb', table, segment: { index: 0, of: 1 }, readUnits, writeUnits, fields: field, ...names };
}

/**
 * @throws KeyfoldError `InvalidRequest` if the name of a field is empty, for example because a variable is not set
 */
function mustName(option: string, fields: readonly string[] = []): void {
  if (fields.includes('')) throw new KeyfoldError('InvalidRequest', `${option} names no field.`);
}

/** The options that only a source in DynamoDB has. */
const OF_DYNAMODB = ['readUnits', 'writeUnits', 'sourceRegion', 'sourceEndpoint'] as const;

/** @throws KeyfoldError `InvalidRequest` for an option that would have no effect */
function refuse(options: TableOptions, names: readonly (keyof ReencryptOptions)[], needed: string): void {
  const idle = names.find((name) => options[name] !== undefined);
  if (idle === undefined) return;
  throw invalid(`--${idle.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} goes with ${needed}`);
}

/** Collects `NAME=VALUE` strings into an object. */
function collectPairs(text: string, known: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It must be NAME=VALUE.');
  if (Object.hasOwn(known, text.slice(0, at)))
    throw new InvalidArgumentError(`The name ${text.slice(0, at)} is given twice.`);
  // Object.fromEntries defines members, so `__proto__` is an ordinary name here.
  return Object.fromEntries([...Object.entries(known), [text.slice(0, at), text.slice(at + 1)]]);
}

function positive(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('It must be a positive number.');
}

function invalid(what: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `The options do not go together: ${what}.`);
}
