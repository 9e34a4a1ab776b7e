import * as v from 'valibot';
import { cryptoPolicy, type CryptoPolicy } from '../envelope/crypto-policy.ts';
import { invalidConfiguration } from '../errors.ts';
import type { ServiceNames } from '../records/ids.ts';
import type { DynamoDbMetastoreOptions } from '../metastore/dynamodb-options.ts';
import { kmsOf, metastoreOf, policyOf, type Environment, type KmsConfig } from './app-config.ts';
import { endpointRegionFaults, PREFIX, settingFaults, settingsOf, tableFaults } from './read-config.ts';
import { settingsSchema, type Settings } from './settings.ts';
import { pkcs11Reader } from './pkcs11-config.ts';
import { vaultReader } from './vault-config.ts';

/** The settings for an operator's command. Most commands do not call KMS, so they require no KMS settings. */
export interface OperatorConfig {
  /** The names that identify the keys. Undefined if the service or the product is not set. */
  readonly names: ServiceNames | undefined;
  readonly policy: CryptoPolicy;
  readonly metastore: DynamoDbMetastoreOptions;
  /** The KMS that wraps the System Keys. Only commands that open keys use it. */
  readonly kms: KmsConfig;
}

/** Command-line values that replace environment settings, keyed by the setting's name without `KEYFOLD_`. */
export type Overrides = Partial<Record<keyof Settings, string>>;

/** The schema of the service's settings, none of which is required. */
const OPTIONAL_ENTRIES = {
  ...settingsSchema.entries,
  SERVICE: v.optional(settingsSchema.entries.SERVICE),
  PRODUCT: v.optional(settingsSchema.entries.PRODUCT),
};

/** Reads the settings of an HSM if `KEYFOLD_KMS=pkcs11`. The functions do not use an HSM. */
export function hsmReaderOf(environment: Environment): typeof pkcs11Reader | undefined {
  return environment[`${PREFIX}KMS`] === pkcs11Reader.kind ? pkcs11Reader : undefined;
}

/**
 * Reads the settings of the service (docs/reference/configuration.md) for an operator's command. If the command has the
 * same settings as the service, its output shows what the service would do.
 * @throws KeyfoldError `InvalidConfiguration`, listing every invalid value and unknown name
 */
export function readOperatorConfig(environment: Environment, overrides: Overrides): OperatorConfig {
  const own = { ...settingsOf(environment), ...overrides };
  const reader = hsmReaderOf(environment) ?? vaultReader;
  const operatorSchema = v.object({ ...OPTIONAL_ENTRIES, ...reader.entries });
  const { issues, output, success } = v.safeParse(operatorSchema, own);
  const faults = [
    ...settingFaults(own, operatorSchema.entries, issues),
    ...(success ? [...tableFaults(output, environment), ...endpointRegionFaults(output, environment)] : []),
  ];
  if (!success || faults.length > 0) throw invalidConfiguration(faults);
  const { SERVICE: service, PRODUCT: product } = output;
  const names = service !== undefined && product !== undefined && { service, product };
  return {
    names: names
      ? { ...names, regionSuffix: output.REGION_SUFFIX, allowAmbiguousNames: output.ALLOW_AMBIGUOUS_NAMES }
      : undefined,
    policy: cryptoPolicy(policyOf(output)),
    metastore: metastoreOf(output),
    kms: kmsOf<KmsConfig>(output, environment, reader),
  };
}
