import type { CryptoPolicy } from '../envelope/crypto-policy.ts';
import type { ContextRules } from '../envelope/context-rules.ts';
import type { SessionFactoryOptions } from '../envelope/session-factory.ts';
import type { ServiceNames } from '../records/ids.ts';
import type { FailoverPolicy } from '../kms/failover-policy.ts';
import type { DynamoDbMetastoreOptions } from '../metastore/dynamodb-options.ts';
import type { OperationName } from '../operations/operation-name.ts';
import type { OperationLimits } from '../operations/operation.ts';
import type { KmsReader } from './kms-reader.ts';
import type { Pkcs11Config, Pkcs11Settings } from './pkcs11-config.ts';
import type { Settings } from './settings.ts';
import type { VaultConfig, VaultSettings } from './vault-config.ts';

/** Environment variables, such as `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The KMS of a function: AWS KMS keys by region, Vault, or a static master key for local use. */
export type FunctionKms =
  | {
      readonly kind: 'aws';
      readonly keys: Readonly<Record<string, string>>;
      readonly preferredRegion: string;
      readonly failover: Partial<Pick<FailoverPolicy, 'onKeyRefused' | 'minimumWrappedRegions'>>;
    }
  | VaultConfig
  | { readonly kind: 'static'; readonly masterKey: Buffer; readonly override: string | undefined };

/** The KMS that wraps System Keys. Only an operator's commands use an HSM. */
export type KmsConfig = FunctionKms | Pkcs11Config;

/**
 * How HTTP callers are authorized: by IAM signatures, by a JWT whose claim lists partitions, by a Lambda authorizer
 * whose context lists them, or not at all. The setting `none` is refused in Lambda.
 */
export type AuthConfig = { readonly kind: 'iam' } | JwtConfig | AuthorizerConfig | { readonly kind: 'none' };

/** Says how to read the text that grants partitions. */
export interface GrantRules {
  /** Whether the text may list several partitions. If not, the whole text is one partition. */
  readonly partitionLists?: boolean | undefined;
  /** Whether `team-*` grants every partition that begins with `team-`. */
  readonly partitionWildcards?: boolean | undefined;
}

export interface JwtConfig extends GrantRules {
  readonly kind: 'jwt';
  /** The name of the claim that grants partitions. */
  readonly partitionsClaim: string;
  /** The name of the claim that holds the scopes, as text or an array. The default is `scope`. */
  readonly scopeClaim?: string | undefined;
}

/**
 * How Keyfold reads the context of a Lambda authorizer. The members `partitions` and `scope` of the context have the
 * same meaning as the claims of a token.
 */
export interface AuthorizerConfig extends GrantRules {
  readonly kind: 'authorizer';
}

/**
 * The operations and partitions that a function serves, for all callers. If a member is undefined, it restricts
 * nothing.
 */
interface Scope {
  readonly operations?: readonly OperationName[] | undefined;
  /** Each entry is an exact partition, or a prefix followed by `*`. */
  readonly partitions?: readonly string[] | undefined;
}

export interface DoorConfig extends OperationLimits {
  readonly serves: Scope;
  /** The response must be ready this many milliseconds before the end of the invocation. */
  readonly deadlineMarginMs: number;
}

/** The rules for proofs of records and of key rows. */
type ProofRules = Pick<SessionFactoryOptions, keyof ContextRules | 'keyRowProofs'>;

/** The checked configuration of a service. */
export interface AppConfig<Kms = KmsConfig> {
  readonly names: ServiceNames;
  readonly policy: Partial<CryptoPolicy>;
  readonly proofs: ProofRules;
  readonly kms: Kms;
  readonly metastore: DynamoDbMetastoreOptions;
  /** Whether a process loads the System Key before its first request. */
  readonly preloadSystemKey: boolean;
  readonly auth: AuthConfig;
  readonly door: DoorConfig;
}

/** All settings: those for any KMS, and those that only one kind of KMS has. */
export type AllSettings = Settings & Partial<VaultSettings & Pkcs11Settings>;

/** A reader for the settings of one kind of KMS. */
export type AnyKmsReader<Kms extends KmsConfig> = KmsReader<Kms, VaultSettings & Pkcs11Settings>;

/** Builds the configuration from checked settings. */
export function configOf<Kms extends KmsConfig>(
  settings: AllSettings,
  environment: Environment,
  reader?: AnyKmsReader<Kms>,
): AppConfig<FunctionKms | Kms> {
  return Object.freeze({
    names: namesOf(settings),
    policy: policyOf(settings),
    proofs: proofsOf(settings),
    kms: kmsOf(settings, environment, reader),
    metastore: metastoreOf(settings),
    preloadSystemKey: settings.PRELOAD_SYSTEM_KEY,
    auth: authOf(settings),
    door: doorOf(settings),
  });
}

/** Returns the service, product and region suffix, which name the keys. */
export function namesOf(settings: Settings): ServiceNames {
  return {
    service: settings.SERVICE,
    product: settings.PRODUCT,
    regionSuffix: settings.REGION_SUFFIX,
    allowAmbiguousNames: settings.ALLOW_AMBIGUOUS_NAMES,
  };
}

/** Returns the KMS configuration. */
export function kmsOf<Kms extends KmsConfig>(
  settings: Omit<AllSettings, 'SERVICE' | 'PRODUCT'>,
  environment: Environment,
  reader?: AnyKmsReader<Kms>,
): FunctionKms | Kms {
  if (reader !== undefined && settings.KMS === reader.kind) return reader.configOf(settings);
  return awsOrStaticKmsOf(settings, environment);
}

/** Returns the configuration of AWS KMS, or of a static master key. */
export function awsOrStaticKmsOf(
  settings: Omit<AllSettings, 'SERVICE' | 'PRODUCT'>,
  environment: Environment,
): Extract<FunctionKms, { readonly kind: 'aws' | 'static' }> {
  const { KMS_KEYS: keys = {}, STATIC_MASTER_KEY_HEX: masterKey } = settings;
  if (masterKey !== undefined) {
    return { kind: 'static', masterKey: Buffer.from(masterKey, 'hex'), override: settings.STATIC_KMS_OVERRIDE };
  }
  const preferredRegion = settings.PREFERRED_REGION ?? environment['AWS_REGION'] ?? '';
  const failover = present({
    onKeyRefused: settings.ON_KEY_REFUSED,
    minimumWrappedRegions: settings.MINIMUM_WRAPPED_REGIONS,
  });
  return { kind: 'aws', keys, preferredRegion, failover };
}

/** Returns the location of the key table. */
export function metastoreOf(settings: Omit<Settings, 'SERVICE' | 'PRODUCT'>): DynamoDbMetastoreOptions {
  return present({
    tableName: settings.TABLE,
    region: settings.DYNAMODB_REGION,
    endpoint: settings.DYNAMODB_ENDPOINT,
  });
}

/** Returns the members of the crypto policy that the settings change. */
export function policyOf(settings: Omit<Settings, 'SERVICE' | 'PRODUCT'>): Partial<CryptoPolicy> {
  return present({
    expireAfterMs: settings.EXPIRE_AFTER_MS,
    revokeCheckIntervalMs: settings.REVOKE_CHECK_INTERVAL_MS,
    minSealingCreated: settings.MIN_SEALING_CREATED,
    minOpeningCreated: settings.MIN_OPENING_CREATED,
    staleGraceMs: settings.STALE_GRACE_MS,
    systemKeyMaxAgeMs: settings.SYSTEM_KEY_MAX_AGE_MS,
    intermediateKeyMaxAgeMs: settings.INTERMEDIATE_KEY_MAX_AGE_MS,
    maxIntermediateKeys: settings.MAX_INTERMEDIATE_KEYS,
    dataRowKeyMaxMessages: settings.DATA_ROW_KEY_MAX_MESSAGES,
    dataRowKeyMaxAgeMs: settings.DATA_ROW_KEY_MAX_AGE_MS,
  });
}

/** Returns the rules for proofs. They say which calls need a context, and whether key rows must have a proof. */
function proofsOf(settings: Settings): ProofRules {
  return present({
    requireContext: settings.REQUIRE_CONTEXT,
    unboundBefore: settings.UNBOUND_BEFORE,
    keyRowProofs: settings.KEY_ROW_PROOFS,
  });
}

function authOf(settings: Settings): AuthConfig {
  const { AUTH: kind } = settings;
  const rules = {
    partitionLists: settings.JWT_PARTITION_LISTS,
    partitionWildcards: settings.JWT_PARTITION_WILDCARDS,
  };
  if (kind === 'authorizer') return { kind, ...rules };
  if (kind !== 'jwt') return { kind };
  return { kind, ...rules, partitionsClaim: settings.JWT_PARTITIONS_CLAIM ?? '', scopeClaim: settings.JWT_SCOPE_CLAIM };
}

function doorOf(settings: Settings): DoorConfig {
  return {
    serves: { operations: settings.OPERATIONS, partitions: settings.PARTITIONS },
    plaintextLimitBytes: settings.PLAINTEXT_LIMIT_BYTES,
    maxItems: settings.MAX_ITEMS,
    deadlineMarginMs: settings.DEADLINE_MARGIN_MS,
  };
}

/** Drops undefined members, so that they do not replace a default. */
function present<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
