import * as v from 'valibot';
import { cryptoPolicy, type CryptoPolicy } from '../envelope/crypto-policy.ts';
import { invalidConfiguration } from '../errors.ts';
import type { ServiceNames } from '../records/ids.ts';
import type { DynamoDbMetastoreOptions } from '../metastore/dynamodb-client.ts';
import { metastoreOf, policyOf, type Environment } from './app-config.ts';
import { settingFaults, settingsOf } from './read-config.ts';
import { settingsSchema, type Settings } from './settings.ts';

/** What an operator's command needs of the service's settings. It calls no KMS, so none of that must be set. */
export interface OperatorConfig {
  /** Whose keys; absent where the service or the product is not set. */
  readonly names: ServiceNames | undefined;
  readonly policy: CryptoPolicy;
  readonly metastore: DynamoDbMetastoreOptions;
}

/** Settings that the command line gives in the place of the environment's, by their names without `KEYFOLD_`. */
export type Overrides = Partial<Record<keyof Settings, string>>;

/** As the service's, except that no setting is required. */
const operatorSchema = v.object({
  ...settingsSchema.entries,
  SERVICE: v.optional(settingsSchema.entries.SERVICE),
  PRODUCT: v.optional(settingsSchema.entries.PRODUCT),
});

/**
 * Reads the settings that the service runs with (docs/configuration.md), so that what is said of it is true of it.
 * @throws KeyfoldError `InvalidConfiguration`, listing every fault: values that do not fit, names it does not know
 */
export function readOperatorConfig(environment: Environment, overrides: Overrides): OperatorConfig {
  const own = { ...settingsOf(environment), ...overrides };
  const { issues, output, success } = v.safeParse(operatorSchema, own);
  const faults = settingFaults(own, issues);
  if (!success || faults.length > 0) throw invalidConfiguration(faults);
  const { SERVICE: service, PRODUCT: product } = output;
  const names = service !== undefined && product !== undefined && { service, product };
  return {
    names: names
      ? { ...names, regionSuffix: output.REGION_SUFFIX, allowAmbiguousNames: output.ALLOW_AMBIGUOUS_NAMES }
      : undefined,
    policy: cryptoPolicy(policyOf(output)),
    metastore: metastoreOf(output),
  };
}
