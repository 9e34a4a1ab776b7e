import { InvalidArgumentError, type Command } from 'commander';
import type { Overrides } from '../config/operator-config.ts';

/** Options of every command. */
export interface CommonOptions {
  readonly table?: string;
  readonly region?: string;
  readonly endpoint?: string;
  readonly service?: string;
  readonly product?: string;
  readonly regionSuffix?: string;
  readonly json?: boolean;
}

/** Options of every command that writes. */
export interface WriteOptions {
  readonly dryRun?: true;
  readonly yes?: true;
  readonly reason?: string;
  readonly auditFile?: string;
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

export function withCommonOptions(command: Command): Command {
  return command
    .option('--table <name>', 'the key table (KEYFOLD_TABLE)')
    .option('--region <region>', "the table's region (KEYFOLD_DYNAMODB_REGION)")
    .option('--endpoint <url>', 'the DynamoDB endpoint, if not AWS (KEYFOLD_DYNAMODB_ENDPOINT)')
    .option('--service <name>', 'the service that owns the keys (KEYFOLD_SERVICE)')
    .option('--product <name>', 'the product that owns the keys (KEYFOLD_PRODUCT)')
    .option('--region-suffix <region>', 'the region at the end of key IDs (KEYFOLD_REGION_SUFFIX)')
    .option('--json', 'prints JSON');
}

export function withConfirmation(command: Command): Command {
  return withWriteOptions(command).option('--yes', 'writes without asking for confirmation');
}

export function withWriteOptions(command: Command): Command {
  return command
    .option('--dry-run', 'shows what the command would do, and changes nothing')
    .option('--reason <text>', 'a reason for the audit')
    .option('--audit-file <file>', 'appends the audit to a file instead of writing it to standard error');
}

/** The settings that the command-line options override, keyed by the settings' names without `KEYFOLD_`. */
export function overridesOf(options: CommonOptions): Overrides {
  const names = Object.keys(SETTING_OF) as (keyof typeof SETTING_OF)[];
  return Object.fromEntries(
    names.flatMap((name) => (options[name] === undefined ? [] : [[SETTING_OF[name], options[name]]])),
  );
}

/** Converts the options of a writing command to members of its request. */
export function writeRequestOf(options: CommonOptions & WriteOptions) {
  const { json = false, dryRun = false, yes = false, reason, auditFile } = options;
  return { json, dryRun, yes, reason, auditFile };
}

const UNIT_MS: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 };

/** Reads a duration such as `90d`. Returns milliseconds. */
export function parseDuration(text: string): number {
  const [, count = '', unit = ''] = /^(\d{1,6})([dhms])$/.exec(text) ?? [];
  const unitMs = UNIT_MS[unit];
  if (unitMs === undefined) throw new InvalidArgumentError('It must be a number with d, h, m or s, such as 90d.');
  return Number(count) * unitMs;
}
