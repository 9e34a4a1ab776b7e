import * as v from 'valibot';
import type { CryptoPolicy } from '../envelope/crypto-policy.ts';
import { invalidConfiguration } from '../envelope/errors.ts';
import { nameFaults, type ServiceNames } from '../envelope/ids.ts';
import { failoverFaults, type FailoverPolicy } from '../kms/failover-policy.ts';
import { keyFaults } from '../kms/key-arn.ts';
import type { KmsTimeouts } from '../kms/regional-kms.ts';
import { staticKmsFaults } from '../kms/static-kms.ts';
import type { DynamoDbMetastoreOptions } from '../metastore/dynamodb-client.ts';
import type { OperationName } from '../operations/operation-name.ts';
import type { OperationLimits } from '../operations/operation.ts';
import { settingsSchema, type Settings } from './settings.ts';

/** Environment variables, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** How System Keys are protected. */
type KmsConfig =
  | {
      readonly kind: 'aws';
      readonly keys: Readonly<Record<string, string>>;
      readonly preferredRegion: string;
      readonly timeouts: Partial<KmsTimeouts>;
      readonly failover: Partial<FailoverPolicy>;
    }
  | { readonly kind: 'static'; readonly masterKey: Buffer; readonly override: string | undefined };

/** Who may call over HTTP: signed requests, bearers of a token with a claim that lists partitions, or, locally, anyone. */
export type AuthConfig =
  { readonly kind: 'iam' } | { readonly kind: 'jwt'; readonly partitionsClaim: string } | { readonly kind: 'none' };

/** What a function serves, whoever asks: undefined for everything. */
interface Scope {
  readonly operations?: readonly OperationName[] | undefined;
  /** Each a partition, or the beginning of some followed by `*`. */
  readonly partitions?: readonly string[] | undefined;
}

/** What the doors allow. */
export interface DoorConfig extends OperationLimits {
  readonly serves: Scope;
  /** How long before the invocation ends the answer must be there. */
  readonly deadlineMarginMs: number;
}

/** Everything that can be configured, checked. */
export interface AppConfig {
  readonly names: ServiceNames;
  readonly policy: Partial<CryptoPolicy>;
  readonly kms: KmsConfig;
  readonly metastore: DynamoDbMetastoreOptions;
  readonly auth: AuthConfig;
  readonly door: DoorConfig;
}

/** What the names of all settings begin with. */
export const PREFIX = 'KEYFOLD_';

/**
 * Reads the configuration from environment variables (docs/configuration.md).
 * @param required settings that this function cannot do without, though others can
 * @throws KeyfoldError `InvalidConfiguration`, listing every fault at once: values that do not fit, names it does not know
 */
export function readConfig(environment: Environment, required: readonly (keyof Settings)[] = []): AppConfig {
  return configOf(checkedSettings(environment, required), environment);
}

/**
 * Reads the settings and checks them, each and together.
 * @param required as {@link readConfig} has it
 * @param faultsOf what else is wrong with settings of which each is sound by itself
 * @throws KeyfoldError `InvalidConfiguration`, listing every fault at once
 */
export function checkedSettings(
  environment: Environment,
  required: readonly (keyof Settings)[],
  faultsOf: (settings: Settings, sound: (names: readonly (keyof Settings)[]) => boolean) => string[] = () => [],
): Settings {
  const own = settingsOf(environment);
  const parsed = v.safeParse(settingsSchema, own);
  const broken = new Set<string>(parsed.issues?.map((issue) => v.getDotPath(issue) ?? ''));
  // What depends on several settings is checked where all of them are sound, so that one fault is told once.
  const sound = (names: readonly (keyof Settings)[]): boolean => !names.some((name) => broken.has(name));
  const settings = parsed.output as Settings;
  const faults = [
    ...settingFaults(own, parsed.issues),
    ...required.filter((name) => own[name] === undefined).map((name) => `${PREFIX}${name} is not set`),
    ...(sound(['SERVICE', 'PRODUCT', 'REGION_SUFFIX', 'ALLOW_AMBIGUOUS_NAMES']) ? nameFaults(namesOf(settings)) : []),
    ...(sound(['KMS_KEYS', 'PREFERRED_REGION', 'STATIC_MASTER_KEY_HEX', 'MINIMUM_WRAPPED_REGIONS'])
      ? kmsFaults(settings, environment)
      : []),
    ...(sound(['REGION_SUFFIX', 'DYNAMODB_REGION']) ? replicaFaults(settings, environment) : []),
    ...(sound(['AUTH', 'JWT_PARTITIONS_CLAIM']) ? authFaults(settings, environment) : []),
    ...faultsOf(settings, sound),
  ];
  if (faults.length > 0) throw invalidConfiguration(faults);
  return settings;
}

/** What settings that were checked come to. */
export function configOf(settings: Settings, environment: Environment): AppConfig {
  return Object.freeze({
    names: namesOf(settings),
    policy: policyOf(settings),
    kms: kmsOf(settings, environment),
    metastore: metastoreOf(settings),
    auth: authOf(settings),
    door: doorOf(settings),
  });
}

/** The variables that are ours, without their prefix. */
export function settingsOf(environment: Environment): Record<string, string | undefined> {
  const own = Object.entries(environment).filter(([name, value]) => name.startsWith(PREFIX) && value !== undefined);
  return Object.fromEntries(own.map(([name, value]) => [name.slice(PREFIX.length), value]));
}

/** Every setting that is unknown or wrong, and why; never its value, which may be a key. */
export function settingFaults(own: object, issues: readonly v.BaseIssue<unknown>[] = []): string[] {
  const unknown = Object.keys(own).filter((name) => !Object.hasOwn(settingsSchema.entries, name));
  return [...unknown.map((name) => `${PREFIX}${name} is not a setting`), ...issues.map(describe)];
}

function describe(issue: v.BaseIssue<unknown>): string {
  const name = `${PREFIX}${v.getDotPath(issue) ?? ''}`;
  if (issue.type === 'object') return `${name} is not set`;
  return `${name} ${issue.message}`;
}

function namesOf(settings: Settings): ServiceNames {
  return {
    service: settings.SERVICE,
    product: settings.PRODUCT,
    regionSuffix: settings.REGION_SUFFIX,
    allowAmbiguousNames: settings.ALLOW_AMBIGUOUS_NAMES,
  };
}

function kmsOf(settings: Settings, environment: Environment): KmsConfig {
  const { KMS_KEYS: keys = {}, STATIC_MASTER_KEY_HEX: masterKey } = settings;
  if (masterKey !== undefined) {
    return { kind: 'static', masterKey: Buffer.from(masterKey, 'hex'), override: settings.STATIC_KMS_OVERRIDE };
  }
  const preferredRegion = settings.PREFERRED_REGION ?? environment['AWS_REGION'] ?? '';
  return { kind: 'aws', keys, preferredRegion, timeouts: kmsTimeoutsOf(settings), failover: failoverOf(settings) };
}

function kmsFaults(settings: Settings, environment: Environment): string[] {
  const kms = kmsOf(settings, environment);
  if ((settings.KMS_KEYS === undefined) === (settings.STATIC_MASTER_KEY_HEX === undefined)) {
    return [`one of ${PREFIX}KMS_KEYS and ${PREFIX}STATIC_MASTER_KEY_HEX must be set, and not both`];
  }
  if (kms.kind === 'static') return staticKmsFaults(kms.masterKey, environment, kms.override);
  if (settings.PREFERRED_REGION === undefined && !Object.hasOwn(kms.keys, kms.preferredRegion)) {
    return [
      ...keyFaults(kms.keys, Object.keys(kms.keys)[0] ?? ''),
      `this process runs in a region without a KMS key: set ${PREFIX}PREFERRED_REGION to one of ${PREFIX}KMS_KEYS`,
    ];
  }
  const regions = Object.keys(kms.keys).length;
  return [...keyFaults(kms.keys, kms.preferredRegion), ...failoverFaults(kms.failover, regions)];
}

/** Rows with a region suffix are written in that region's replica alone: others would undo what is done to them there. */
function replicaFaults(settings: Settings, environment: Environment): string[] {
  const { REGION_SUFFIX: suffix } = settings;
  const region = settings.DYNAMODB_REGION ?? environment['AWS_REGION'];
  if (suffix === undefined || region === undefined || region === suffix) return [];
  return [`${PREFIX}REGION_SUFFIX is another region than the table's: keys of a region are written in its own replica`];
}

function authFaults(settings: Settings, environment: Environment): string[] {
  const { AUTH: auth, JWT_PARTITIONS_CLAIM: claim } = settings;
  if (auth === 'jwt' && claim === undefined)
    return [`${PREFIX}JWT_PARTITIONS_CLAIM must be set with ${PREFIX}AUTH=jwt`];
  if (auth !== 'jwt' && claim !== undefined) return [`${PREFIX}JWT_PARTITIONS_CLAIM is set without ${PREFIX}AUTH=jwt`];
  const inLambda = environment['AWS_LAMBDA_FUNCTION_NAME'] !== undefined;
  return auth === 'none' && inLambda ? [`${PREFIX}AUTH=none lets anyone in, which Lambda refuses`] : [];
}

function kmsTimeoutsOf(settings: Settings): Partial<KmsTimeouts> {
  return present({
    connectionTimeoutMs: settings.KMS_CONNECTION_TIMEOUT_MS,
    requestTimeoutMs: settings.KMS_REQUEST_TIMEOUT_MS,
  });
}

function failoverOf(settings: Settings): Partial<FailoverPolicy> {
  return present({
    maxRounds: settings.MAX_ROUNDS,
    baseDelayMs: settings.BASE_DELAY_MS,
    longestDelayMs: settings.LONGEST_DELAY_MS,
    throttledDelayMs: settings.THROTTLED_DELAY_MS,
    firstCoolDownMs: settings.FIRST_COOL_DOWN_MS,
    longestCoolDownMs: settings.LONGEST_COOL_DOWN_MS,
    onKeyRefused: settings.ON_KEY_REFUSED,
    minimumWrappedRegions: settings.MINIMUM_WRAPPED_REGIONS,
  });
}

/** Where the settings say that the key table is. */
export function metastoreOf(settings: Omit<Settings, 'SERVICE' | 'PRODUCT'>): DynamoDbMetastoreOptions {
  return present({
    tableName: settings.TABLE,
    region: settings.DYNAMODB_REGION,
    endpoint: settings.DYNAMODB_ENDPOINT,
    connectionTimeoutMs: settings.DYNAMODB_CONNECTION_TIMEOUT_MS,
    requestTimeoutMs: settings.DYNAMODB_REQUEST_TIMEOUT_MS,
  });
}

/** What the settings change of the default policy. */
export function policyOf(settings: Omit<Settings, 'SERVICE' | 'PRODUCT'>): Partial<CryptoPolicy> {
  return present({
    expireAfterMs: settings.EXPIRE_AFTER_MS,
    createDatePrecisionMs: settings.CREATE_DATE_PRECISION_MS,
    revokeCheckIntervalMs: settings.REVOKE_CHECK_INTERVAL_MS,
    staleGraceMs: settings.STALE_GRACE_MS,
    systemKeyMaxAgeMs: settings.SYSTEM_KEY_MAX_AGE_MS,
    intermediateKeyMaxAgeMs: settings.INTERMEDIATE_KEY_MAX_AGE_MS,
    maxSystemKeys: settings.MAX_SYSTEM_KEYS,
    maxIntermediateKeys: settings.MAX_INTERMEDIATE_KEYS,
  });
}

function authOf({ AUTH: kind, JWT_PARTITIONS_CLAIM: partitionsClaim = '' }: Settings): AuthConfig {
  return kind === 'jwt' ? { kind, partitionsClaim } : { kind };
}

function doorOf(settings: Settings): DoorConfig {
  return {
    serves: { operations: settings.OPERATIONS, partitions: settings.PARTITIONS },
    plaintextLimitBytes: settings.PLAINTEXT_LIMIT_BYTES,
    maxItems: settings.MAX_ITEMS,
    deadlineMarginMs: settings.DEADLINE_MARGIN_MS,
  };
}

/** Without the members that are undefined, so that they do not replace a default. */
function present<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
