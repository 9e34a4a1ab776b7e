import { describe, expect, it } from 'vitest';
import { readOperatorConfig } from '../../../src/config/operator-config.ts';
import { cryptoPolicy } from '../../../src/index.ts';

describe('readOperatorConfig', () => {
  it('requires no settings, and none for KMS', () => {
    const config = readOperatorConfig({}, {});
    expect(config).toMatchObject({ names: undefined });
    expect(config.metastore).toStrictEqual({});
    expect(Object.keys(config.policy)).toEqual(Object.keys(cryptoPolicy()));
  });

  it('reads the settings of the service, with overrides from the command line', () => {
    const environment = {
      KEYFOLD_SERVICE: 'svc',
      KEYFOLD_PRODUCT: 'prod',
      KEYFOLD_KMS_KEYS: '{}',
      KEYFOLD_TABLE: 'Keys',
      KEYFOLD_REVOKE_CHECK_INTERVAL_MS: '1',
      KEYFOLD_EXPIRE_AFTER_MS: '100000',
      OTHER: 'x',
    };
    expect(readOperatorConfig(environment, { TABLE: 'Others', REGION_SUFFIX: 'us-east-1' })).toMatchObject({
      names: { service: 'svc', product: 'prod', regionSuffix: 'us-east-1' },
      policy: { revokeCheckIntervalMs: 1, expireAfterMs: 100_000 },
      metastore: { tableName: 'Others' },
    });
  });

  it('returns names only if both the service and the product are set', () => {
    const names = { KEYFOLD_SERVICE: 'svc', KEYFOLD_PRODUCT: 'prod' };
    expect(readOperatorConfig({ KEYFOLD_SERVICE: 'svc' }, {}).names).toBeUndefined();
    expect(readOperatorConfig({ KEYFOLD_PRODUCT: 'prod' }, {}).names).toBeUndefined();
    expect(readOperatorConfig({ ...names, KEYFOLD_ALLOW_AMBIGUOUS_NAMES: 'true' }, {}).names).toStrictEqual({
      service: 'svc',
      product: 'prod',
      regionSuffix: undefined,
      allowAmbiguousNames: true,
    });
  });

  it('refuses an unknown or a removed setting even if all others are valid', () => {
    expect(() => readOperatorConfig({ KEYFOLD_TABEL: 'x' }, {})).toThrow(/\n- KEYFOLD_TABEL is not a setting$/);
    expect(() => readOperatorConfig({ KEYFOLD_MAX_SYSTEM_KEYS: '9' }, {})).toThrow(
      /\n- KEYFOLD_MAX_SYSTEM_KEYS is no longer a setting, .*: delete it$/,
    );
  });

  it('lists every fault at once without quoting values', () => {
    const environment = { KEYFOLD_REVOKE_CHECK_INTERVAL_MS: 'CANARY', KEYFOLD_REVOKE_CHECK_INTERVAL: 'CANARY' };
    expect(() => readOperatorConfig(environment, { DYNAMODB_ENDPOINT: 'CANARY' })).toThrow(
      /^[^]*\n- KEYFOLD_REVOKE_CHECK_INTERVAL is not a setting\n- KEYFOLD_DYNAMODB_ENDPOINT is not a URL\n- KEYFOLD_REVOKE_CHECK_INTERVAL_MS is not a positive whole number$/,
    );
  });
});
