import { describe, expect, it } from 'vitest';
import { readOperatorConfig } from '../../../src/config/operator-config.ts';
import { cryptoPolicy } from '../../../src/index.ts';

describe('readOperatorConfig', () => {
  it('requires no settings, not even for KMS', () => {
    const config = readOperatorConfig({}, {});
    expect(config).toStrictEqual({
      names: undefined,
      policy: cryptoPolicy(),
      metastore: {},
      kms: { kind: 'aws', keys: {}, preferredRegion: '', failover: {} },
    });
  });

  it("reads the service's settings, which the command line can override", () => {
    const environment = {
      KEYFOLD_SERVICE: 'svc',
      KEYFOLD_PRODUCT: 'prod',
      KEYFOLD_KMS_KEYS: '{}',
      KEYFOLD_TABLE: 'Keys',
      KEYFOLD_REVOKE_CHECK_INTERVAL_MS: '1',
      KEYFOLD_EXPIRE_AFTER_MS: '100000',
      OTHER: 'x',
    };
    expect(readOperatorConfig(environment, { TABLE: 'Others', REGION_SUFFIX: 'us-east-1' })).toStrictEqual({
      names: { service: 'svc', product: 'prod', regionSuffix: 'us-east-1', allowAmbiguousNames: undefined },
      policy: { ...cryptoPolicy(), revokeCheckIntervalMs: 1, expireAfterMs: 100_000 },
      metastore: { tableName: 'Others' },
      kms: { kind: 'aws', keys: {}, preferredRegion: '', failover: {} },
    });
  });

  it('returns the names of the service and the product only if both are set', () => {
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

  it('refuses an unknown or removed setting even if all other settings are valid', () => {
    expect(() => readOperatorConfig({ KEYFOLD_TABEL: 'x' }, {})).toThrow(/\n- KEYFOLD_TABEL is not a setting$/);
    expect(() => readOperatorConfig({ KEYFOLD_MAX_SYSTEM_KEYS: '9' }, {})).toThrow(
      /\n- KEYFOLD_MAX_SYSTEM_KEYS is no longer a setting, .*: delete it$/,
    );
  });

  it("refuses a table in a region other than the command's", () => {
    const table = 'arn:aws:dynamodb:us-east-1:111122223333:table/Keys';
    const fault = 'KEYFOLD_TABLE is in another region than the DynamoDB client';
    expect(() => readOperatorConfig({ KEYFOLD_TABLE: table }, { DYNAMODB_REGION: 'us-west-2' })).toThrow(fault);
    expect(() => readOperatorConfig({ AWS_REGION: 'us-west-2' }, { TABLE: table })).toThrow(fault);
    expect(readOperatorConfig({ AWS_REGION: 'us-east-1' }, { TABLE: table }).metastore).toEqual({ tableName: table });
    expect(() => readOperatorConfig({ KEYFOLD_TABLE: table, KEYFOLD_DYNAMODB_REGION: 'west' }, {})).toThrow(
      /:\n- KEYFOLD_DYNAMODB_REGION is not the name of an AWS region$/,
    );
  });

  it("refuses an endpoint of DynamoDB in a region other than the command's", () => {
    const environment = { KEYFOLD_DYNAMODB_ENDPOINT: 'https://dynamodb.us-east-1.amazonaws.com' };
    const fault = 'KEYFOLD_DYNAMODB_ENDPOINT is in another region than the DynamoDB client';
    expect(() => readOperatorConfig(environment, { DYNAMODB_REGION: 'us-west-2' })).toThrow(fault);
    expect(() => readOperatorConfig({ ...environment, AWS_REGION: 'us-east-1' }, {})).not.toThrow();
  });

  it('lists all errors at once, without the values of the settings', () => {
    const environment = { KEYFOLD_REVOKE_CHECK_INTERVAL_MS: 'CANARY', KEYFOLD_REVOKE_CHECK_INTERVAL: 'CANARY' };
    expect(() => readOperatorConfig(environment, { DYNAMODB_ENDPOINT: 'CANARY' })).toThrow(
      /^[^]*\n- KEYFOLD_REVOKE_CHECK_INTERVAL is not a setting\n- KEYFOLD_DYNAMODB_ENDPOINT is not a URL\n- KEYFOLD_REVOKE_CHECK_INTERVAL_MS is not a positive whole number$/,
    );
  });
});
