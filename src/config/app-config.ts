import type { CryptoPolicy } from '../envelope/crypto-policy.ts';
import type { ServiceNames } from '../records/ids.ts';
import type { FailoverPolicy } from '../kms/failover-policy.ts';
import type { KmsTimeouts } from '../kms/regional-kms.ts';
import type { DynamoDbMetastoreOptions } from '../metastore/dynamodb-client.ts';
import type { OperationName } from '../operations/operation-name.ts';
import type { OperationLimits } from '../operations/operation.ts';
import type { Settings } from './settings.ts';

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
export type AuthConfig = { readonly kind: 'iam' } | JwtConfig | { readonly kind: 'none' };

/** How a token's claims are read. */
export interface JwtConfig {
  readonly kind: 'jwt';
  /** The claim that grants partitions. */
  readonly partitionsClaim: string;
  /** Whether that claim may list several. If not, it grants one: its whole text. */
  readonly partitionLists?: boolean | undefined;
  /** Whether `team-*` grants every partition that begins with `team-`. */
  readonly partitionWildcards?: boolean | undefined;
  /** The claim that holds the scopes, text or array; `scope` unless it is set. */
  readonly scopeClaim?: string | undefined;
}

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
  /** Whether a starting process has the System Key before its first request. */
  readonly preloadSystemKey: boolean;
  readonly auth: AuthConfig;
  readonly door: DoorConfig;
}

/** What settings that were checked come to. */
export function configOf(settings: Settings, environment: Environment): AppConfig {
  return Object.freeze({
    names: namesOf(settings),
    policy: policyOf(settings),
    kms: kmsOf(settings, environment),
    metastore: metastoreOf(settings),
    preloadSystemKey: settings.PRELOAD_SYSTEM_KEY,
    auth: authOf(settings),
    door: doorOf(settings),
  });
}

/** Whose keys the settings say are used. */
export function namesOf(settings: Settings): ServiceNames {
  return {
    service: settings.SERVICE,
    product: settings.PRODUCT,
    regionSuffix: settings.REGION_SUFFIX,
    allowAmbiguousNames: settings.ALLOW_AMBIGUOUS_NAMES,
  };
}

/** How the settings say that System Keys are protected. */
export function kmsOf(settings: Settings, environment: Environment): KmsConfig {
  const { KMS_KEYS: keys = {}, STATIC_MASTER_KEY_HEX: masterKey } = settings;
  if (masterKey !== undefined) {
    return { kind: 'static', masterKey: Buffer.from(masterKey, 'hex'), override: settings.STATIC_KMS_OVERRIDE };
  }
  const preferredRegion = settings.PREFERRED_REGION ?? environment['AWS_REGION'] ?? '';
  return { kind: 'aws', keys, preferredRegion, timeouts: kmsTimeoutsOf(settings), failover: failoverOf(settings) };
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
    dataRowKeyMaxMessages: settings.DATA_ROW_KEY_MAX_MESSAGES,
    dataRowKeyMaxBytes: settings.DATA_ROW_KEY_MAX_BYTES,
    dataRowKeyMaxAgeMs: settings.DATA_ROW_KEY_MAX_AGE_MS,
  });
}

function authOf(settings: Settings): AuthConfig {
  const { AUTH: kind } = settings;
  if (kind !== 'jwt') return { kind };
  return {
    kind,
    partitionsClaim: settings.JWT_PARTITIONS_CLAIM ?? '',
    partitionLists: settings.JWT_PARTITION_LISTS,
    partitionWildcards: settings.JWT_PARTITION_WILDCARDS,
    scopeClaim: settings.JWT_SCOPE_CLAIM,
  };
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
