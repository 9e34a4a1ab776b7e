import * as v from 'valibot';
import { invalidConfiguration } from '../errors.ts';
import { isPartition, isPossibleKeyId, KeyNaming, nameFaults } from '../records/ids.ts';
import { failoverFaults } from '../kms/failover-policy.ts';
import { awsPartitionFaults, keyFaults, parseKmsArn } from '../kms/key-arn.ts';
import { staticKmsFaults } from '../kms/static-kms.ts';
import { awsRegionOf, isOfOtherRegion } from '../input/endpoint.ts';
import { regionOfTable } from '../metastore/table-name.ts';
import {
  configOf,
  awsOrStaticKmsOf,
  namesOf,
  type AllSettings,
  type AppConfig,
  type Environment,
  type FunctionKms,
  type KmsConfig,
  type AnyKmsReader,
} from './app-config.ts';
import { REMOVED_SETTINGS, settingsSchema, type Settings } from './settings.ts';
import type { VaultConfig } from './vault-config.ts';

/** The prefix of all setting names. */
export const PREFIX = 'KEYFOLD_';

/** Claim settings apply only to tokens. Grant settings also apply to the context of a Lambda authorizer. */
const CLAIM_SETTINGS = ['JWT_PARTITIONS_CLAIM', 'JWT_SCOPE_CLAIM'] as const;
const GRANT_SETTINGS = ['JWT_PARTITION_LISTS', 'JWT_PARTITION_WILDCARDS'] as const;

const KMS_SETTINGS = [
  'KMS',
  'KMS_KEYS',
  'PREFERRED_REGION',
  'STATIC_MASTER_KEY_HEX',
  'ON_KEY_REFUSED',
  'MINIMUM_WRAPPED_REGIONS',
] as const;

/**
 * Loads the reader of Vault's settings if `KEYFOLD_KMS=vault`. Functions that do not use Vault do not load this code.
 */
export async function vaultReaderOf(environment: Environment): Promise<AnyKmsReader<VaultConfig> | undefined> {
  return environment[`${PREFIX}KMS`] === 'vault' ? (await import('./vault-config.ts')).vaultReader : undefined;
}

/**
 * Reads the configuration from environment variables (docs/reference/configuration.md).
 * @param required settings that are optional in general but required for this function
 * @param reader reads the settings of a KMS other than AWS KMS. Without a reader, every Vault setting is refused.
 * @throws KeyfoldError `InvalidConfiguration`, listing every invalid value and unknown name
 */
export function readConfig<Kms extends KmsConfig = FunctionKms>(
  environment: Environment,
  required: readonly (keyof Settings)[] = [],
  reader?: AnyKmsReader<Kms>,
): AppConfig<FunctionKms | Kms> {
  return configOf(checkedSettings(environment, required, reader), environment, reader);
}

/**
 * Reads the settings. Checks each setting on its own, and then the settings that depend on each other.
 * @param required see {@link readConfig}
 * @param reader see {@link readConfig}
 * @param faultsOf checks the settings that only some functions have, and returns the faults. Its argument `areValid`
 * tests whether each of the named settings is valid on its own.
 * @throws KeyfoldError `InvalidConfiguration`, listing everything that is wrong
 */
export function checkedSettings(
  environment: Environment,
  required: readonly (keyof Settings)[],
  reader: AnyKmsReader<KmsConfig> | undefined,
  faultsOf: (settings: Settings, areValid: (names: readonly (keyof Settings)[]) => boolean) => string[] = () => [],
): AllSettings {
  const own = settingsOf(environment);
  const entries: v.ObjectEntries = { ...settingsSchema.entries, ...reader?.entries };
  const parsed = v.safeParse(v.object(entries), own);
  const broken = new Set<string>(parsed.issues?.map((issue) => v.getDotPath(issue) ?? ''));
  // A check of several settings runs only if each of them is valid, so that no mistake is reported twice.
  const areValid = (names: readonly string[]): boolean => !names.some((name) => broken.has(name));
  const settings = parsed.output as AllSettings;
  const faults = [
    ...settingFaults(own, entries, parsed.issues),
    ...required.filter((name) => own[name] === undefined).map((name) => `${PREFIX}${name} is not set`),
    ...(areValid(['SERVICE', 'PRODUCT', 'REGION_SUFFIX', 'ALLOW_AMBIGUOUS_NAMES'])
      ? nameFaults(namesOf(settings))
      : []),
    ...(areValid([...KMS_SETTINGS, ...Object.keys(reader?.entries ?? {})])
      ? kmsFaults(settings, environment, reader)
      : []),
    ...(areValid(['REGION_SUFFIX', 'DYNAMODB_REGION']) ? replicaFaults(settings, environment) : []),
    ...(areValid(['TABLE', 'DYNAMODB_REGION']) ? tableFaults(settings, environment) : []),
    ...(areValid(['DYNAMODB_REGION', 'DYNAMODB_ENDPOINT']) ? endpointRegionFaults(settings, environment) : []),
    ...(areValid(['KMS_KEYS', 'DYNAMODB_REGION', 'DYNAMODB_ENDPOINT'])
      ? awsPartitionsFaults(settings, environment)
      : []),
    ...(areValid(['SERVICE', 'PRODUCT', 'REGION_SUFFIX', 'PARTITIONS']) ? partitionFaults(settings) : []),
    ...(areValid(['AUTH', ...CLAIM_SETTINGS, ...GRANT_SETTINGS]) ? authFaults(settings, environment) : []),
    ...faultsOf(settings, areValid),
  ];
  if (faults.length > 0) throw invalidConfiguration(faults);
  return settings;
}

/** Returns the variables that begin with the prefix, keyed by their names without it. */
export function settingsOf(environment: Environment): Record<string, string | undefined> {
  const own = Object.entries(environment).filter(([name, value]) => name.startsWith(PREFIX) && value !== undefined);
  return Object.fromEntries(own.map(([name, value]) => [name.slice(PREFIX.length), value]));
}

/**
 * Describes every unknown, removed or invalid setting. The text never contains a value, because the value may be a key.
 */
export function settingFaults(own: object, entries: object, issues: readonly v.BaseIssue<unknown>[] = []): string[] {
  const unknown = Object.keys(own).filter((name) => !Object.hasOwn(entries, name));
  return [...unknown.map(describeUnknown), ...issues.map(describe)];
}

function describeUnknown(name: string): string {
  if (name.startsWith('VAULT_')) return `${PREFIX}${name} is set without ${PREFIX}KMS=vault`;
  return REMOVED_SETTINGS.has(name)
    ? `${PREFIX}${name} is no longer a setting, because its value is now a constant: delete it`
    : `${PREFIX}${name} is not a setting`;
}

function describe(issue: v.BaseIssue<unknown>): string {
  const name = `${PREFIX}${v.getDotPath(issue) ?? ''}`;
  if (issue.type === 'object') return `${name} is not set`;
  return `${name} ${issue.message}`;
}

function kmsFaults(
  settings: AllSettings,
  environment: Environment,
  reader: AnyKmsReader<KmsConfig> | undefined,
): string[] {
  if (reader !== undefined && settings.KMS === reader.kind) return reader.faultsOf(settings);
  if (settings.KMS === 'aws' && settings.STATIC_MASTER_KEY_HEX !== undefined) {
    return [`${PREFIX}STATIC_MASTER_KEY_HEX has no meaning with ${PREFIX}KMS=aws`];
  }
  const kms = awsOrStaticKmsOf(settings, environment);
  if ((settings.KMS_KEYS === undefined) === (settings.STATIC_MASTER_KEY_HEX === undefined)) {
    return [`one of ${PREFIX}KMS_KEYS and ${PREFIX}STATIC_MASTER_KEY_HEX must be set, and not both`];
  }
  if (kms.kind === 'static') return staticKmsFaults(kms.masterKey, environment, kms.override);
  const regions = Object.keys(kms.keys).length;
  if (settings.PREFERRED_REGION === undefined && !Object.hasOwn(kms.keys, kms.preferredRegion)) {
    return [
      ...keyFaults(kms.keys, Object.keys(kms.keys)[0] ?? ''),
      `this process runs in a region without a KMS key: set ${PREFIX}PREFERRED_REGION to one of ${PREFIX}KMS_KEYS`,
      ...failoverFaults(kms.failover, regions),
    ];
  }
  return [...keyFaults(kms.keys, kms.preferredRegion), ...failoverFaults(kms.failover, regions)];
}

/** The region of the DynamoDB client. Undefined if neither a setting nor the environment names one. */
function clientRegionOf(
  { DYNAMODB_REGION: region }: Pick<Settings, 'DYNAMODB_REGION'>,
  environment: Environment,
): string | undefined {
  return region ?? environment['AWS_REGION'];
}

/**
 * Checks that the region suffix of the keys is the table's own region. A write to another region's replica could
 * overwrite changes that were made in the suffix's region.
 */
function replicaFaults(settings: Settings, environment: Environment): string[] {
  const { REGION_SUFFIX: suffix } = settings;
  const region = clientRegionOf(settings, environment);
  if (suffix === undefined || region === undefined || region === suffix) return [];
  return [`${PREFIX}REGION_SUFFIX is another region than the table's: keys of a region are written in its own replica`];
}

/**
 * Checks that the ARN of a table belongs to the configured region and its AWS partition. DynamoDB refuses other ARNs.
 */
export function tableFaults(settings: Pick<Settings, 'TABLE' | 'DYNAMODB_REGION'>, environment: Environment): string[] {
  const { TABLE: table } = settings;
  const tableRegion = table && regionOfTable(table);
  const region = clientRegionOf(settings, environment);
  if (table === undefined || tableRegion === undefined) return [];
  if (region !== undefined && region !== tableRegion)
    return [`${PREFIX}TABLE is in another region than the DynamoDB client`];
  return awsPartitionFaults(table, tableRegion).map((fault) => `${PREFIX}TABLE ${fault}`);
}

/** Checks that the endpoint is in the table's region. */
export function endpointRegionFaults(
  settings: Pick<Settings, 'DYNAMODB_ENDPOINT' | 'DYNAMODB_REGION'>,
  environment: Environment,
): string[] {
  const { DYNAMODB_ENDPOINT: endpoint } = settings;
  const region = clientRegionOf(settings, environment);
  if (endpoint === undefined || region === undefined || !isOfOtherRegion(endpoint, region)) return [];
  return [`${PREFIX}DYNAMODB_ENDPOINT is in another region than the DynamoDB client`];
}

/** Checks that the KMS keys and the table are in one AWS partition. An emulator of DynamoDB may be in any region. */
function awsPartitionsFaults(settings: Settings, environment: Environment): string[] {
  const { DYNAMODB_ENDPOINT: endpoint } = settings;
  const isEmulator = endpoint !== undefined && awsRegionOf(endpoint) === undefined;
  const region = clientRegionOf(settings, environment);
  const [key] = Object.values(settings.KMS_KEYS ?? {});
  const arn = parseKmsArn(key ?? '');
  if (isEmulator || region === undefined || key === undefined || arn === undefined) return [];
  // A key whose ARN contradicts itself is another fault.
  if (awsPartitionFaults(key, arn.region).length > 0 || awsPartitionFaults(key, region).length === 0) return [];
  return ['the KMS keys and the key table are in different AWS partitions: credentials work in only one'];
}

/** Finds partitions in the settings for which no request could succeed, because their key ID would be too long. */
function partitionFaults(settings: Settings): string[] {
  // The shortest partition that a prefix covers is the prefix itself.
  const shortest = settings.PARTITIONS?.map((entry) => entry.replace(/\*$/, '')) ?? [];
  if (shortest.length === 0 || nameFaults(namesOf(settings)).length > 0) return [];
  const naming = new KeyNaming(namesOf(settings));
  const fits = (partition: string): boolean =>
    isPartition(partition) ? isPossibleKeyId(naming.intermediateKeyId(partition)) : partition === '';
  return shortest.every(fits) ? [] : [`${PREFIX}PARTITIONS lists a partition whose key id is too long for DynamoDB`];
}

function authFaults(settings: Settings, environment: Environment): string[] {
  const { AUTH: auth, JWT_PARTITIONS_CLAIM: claim } = settings;
  if (auth === 'jwt') {
    if (claim === undefined) return [`${PREFIX}JWT_PARTITIONS_CLAIM must be set with ${PREFIX}AUTH=jwt`];
    // One claim cannot grant both scopes and partitions: a scope contains a slash, but the name of a partition over
    // HTTP cannot.
    return claim === (settings.JWT_SCOPE_CLAIM ?? 'scope')
      ? [`${PREFIX}JWT_PARTITIONS_CLAIM is the claim of the scopes, and no claim can grant both`]
      : [];
  }
  const idle = [
    ...CLAIM_SETTINGS.filter((name) => settings[name] !== undefined).map((name) => [name, 'jwt']),
    ...(auth === 'authorizer' ? [] : GRANT_SETTINGS)
      .filter((name) => settings[name] !== undefined)
      .map((name) => [name, 'jwt or authorizer']),
  ];
  if (idle.length > 0) return idle.map(([name, kinds]) => `${PREFIX}${name} is set without ${PREFIX}AUTH=${kinds}`);
  const inLambda = environment['AWS_LAMBDA_FUNCTION_NAME'] !== undefined;
  return auth === 'none' && inLambda
    ? [`${PREFIX}AUTH=none would let anyone call, so it is not allowed in Lambda`]
    : [];
}
