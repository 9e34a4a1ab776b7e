import { describe, expect, it } from 'vitest';
import type { Environment } from '../../../src/config/app-config.ts';
import { readConfig } from '../../../src/config/read-config.ts';
import { REMOVED_SETTINGS, settingsSchema } from '../../../src/config/settings.ts';
import { STATIC_KMS_OVERRIDE } from '../../../src/kms/static-kms.ts';

const ARN = 'arn:aws:kms:us-west-2:111122223333:alias/keyfold';
const minimal: Environment = {
  KEYFOLD_SERVICE: 'svc',
  KEYFOLD_PRODUCT: 'prod',
  KEYFOLD_KMS_KEYS: JSON.stringify({ 'us-west-2': ARN, 'us-east-1': ARN.replace('us-west-2', 'us-east-1') }),
  AWS_REGION: 'us-west-2',
};

/** Returns the errors in a configuration, one per entry, or an empty array if it is valid. */
function faultsOf(environment: Environment): string[] {
  try {
    readConfig(environment);
  } catch (error) {
    return (error as Error).message.split('\n- ').slice(1);
  }
  return [];
}

describe('readConfig', () => {
  it('needs only a few settings, and by default prefers the region in which the process runs', () => {
    const config = readConfig(minimal);
    expect(config).toStrictEqual({
      names: { service: 'svc', product: 'prod', regionSuffix: undefined, allowAmbiguousNames: undefined },
      kms: {
        kind: 'aws',
        keys: JSON.parse(minimal['KEYFOLD_KMS_KEYS'] ?? '') as unknown,
        preferredRegion: 'us-west-2',
        failover: {},
      },
      policy: {},
      proofs: {},
      metastore: {},
      preloadSystemKey: false,
      auth: { kind: 'iam' },
      door: {
        serves: { operations: undefined, partitions: undefined },
        plaintextLimitBytes: 1_048_576,
        maxItems: 1000,
        deadlineMarginMs: 500,
      },
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('if AUTH is authorizer, reads whether a token may list partitions and use wildcards', () => {
    const settings = {
      KEYFOLD_AUTH: 'authorizer',
      KEYFOLD_JWT_PARTITION_LISTS: 'true',
      KEYFOLD_JWT_PARTITION_WILDCARDS: 'false',
    };
    expect(readConfig({ ...minimal, ...settings }).auth).toStrictEqual({
      kind: 'authorizer',
      partitionLists: true,
      partitionWildcards: false,
    });
    expect(readConfig({ ...minimal, KEYFOLD_AUTH: 'authorizer', AWS_LAMBDA_FUNCTION_NAME: 'api' }).auth.kind).toBe(
      'authorizer',
    );
  });

  it('returns JWT settings only if AUTH is jwt', () => {
    expect(readConfig({ ...minimal, KEYFOLD_AUTH: 'none' }).auth).toStrictEqual({ kind: 'none' });
  });

  it.for(Object.keys(settingsSchema.entries))('reports one error if %s is empty', (name) => {
    const faults = faultsOf({ ...minimal, [`KEYFOLD_${name}`]: '' });
    expect(faults).toEqual([expect.stringMatching(new RegExp(`^KEYFOLD_${name} is `))]);
  });

  it('reports one error if a required setting is empty', () => {
    expect(() => readConfig({ ...minimal, KEYFOLD_OPERATIONS: '' }, ['OPERATIONS'])).toThrow(
      /:\n- KEYFOLD_OPERATIONS is empty$/,
    );
  });

  it.for([...REMOVED_SETTINGS])('refuses the removed setting %s, and says to delete it', (name) => {
    const setting = `KEYFOLD_${name}`;
    for (const value of ['', '1', 'CANARY']) {
      expect(faultsOf({ ...minimal, [setting]: value })).toEqual([
        `${setting} is no longer a setting, because its value is now a constant: delete it`,
      ]);
    }
    expect(Object.keys(settingsSchema.entries)).not.toContain(name);
  });

  it.for([
    'MINIMUM_WRAPPED_REGIONS',
    'EXPIRE_AFTER_MS',
    'REVOKE_CHECK_INTERVAL_MS',
    'SYSTEM_KEY_MAX_AGE_MS',
    'INTERMEDIATE_KEY_MAX_AGE_MS',
    'MAX_INTERMEDIATE_KEYS',
    'DATA_ROW_KEY_MAX_MESSAGES',
    'DATA_ROW_KEY_MAX_AGE_MS',
    'PLAINTEXT_LIMIT_BYTES',
    'MAX_ITEMS',
    'DEADLINE_MARGIN_MS',
  ])('accepts only positive whole numbers for %s', (name) => {
    const setting = `KEYFOLD_${name}`;
    const least = name === 'EXPIRE_AFTER_MS' ? '60000' : '1';
    expect(faultsOf({ ...minimal, [setting]: least })).toEqual([]);
    for (const value of ['0', '01', '-1', '1.5', '1e3', '1 ', '1x', `1${'0'.repeat(15)}`]) {
      expect(faultsOf({ ...minimal, [setting]: value })).toEqual([`${setting} is not a positive whole number`]);
    }
  });

  it('accepts a positive whole number of 15 digits', () => {
    const { policy } = readConfig({ ...minimal, KEYFOLD_REVOKE_CHECK_INTERVAL_MS: '999999999999999' });
    expect(policy).toEqual({ revokeCheckIntervalMs: 999_999_999_999_999 });
  });

  it('accepts zero for STALE_GRACE_MS', () => {
    for (const value of ['0', '1', '999999999999999']) {
      expect(faultsOf({ ...minimal, KEYFOLD_STALE_GRACE_MS: value })).toEqual([]);
    }
    for (const value of ['00', '0x', '-1', '1x', `1${'0'.repeat(15)}`]) {
      const faults = faultsOf({ ...minimal, KEYFOLD_STALE_GRACE_MS: value });
      expect(faults).toEqual(['KEYFOLD_STALE_GRACE_MS is not a whole number']);
    }
  });

  it('reports a missing setting that only some functions need together with all other errors', () => {
    const { KEYFOLD_PRODUCT: _, ...lacking } = minimal;
    expect(() => readConfig(lacking, ['OPERATIONS'])).toThrow(
      /:\n- KEYFOLD_PRODUCT is not set\n- KEYFOLD_OPERATIONS is not set$/,
    );
    const config = readConfig({ ...minimal, KEYFOLD_OPERATIONS: 'encrypt' }, ['OPERATIONS']);
    expect(config.door.serves.operations).toEqual(['encrypt']);
  });

  it('reads every setting', () => {
    const config = readConfig({
      ...minimal,
      KEYFOLD_PREFERRED_REGION: 'us-east-1',
      KEYFOLD_REGION_SUFFIX: 'eu-west-1',
      KEYFOLD_ON_KEY_REFUSED: 'fail',
      KEYFOLD_MINIMUM_WRAPPED_REGIONS: '2',
      KEYFOLD_STALE_GRACE_MS: '0',
      KEYFOLD_TABLE: 'Keys',
      KEYFOLD_DYNAMODB_REGION: 'eu-west-1',
      KEYFOLD_DYNAMODB_ENDPOINT: 'http://127.0.0.1:1',
      KEYFOLD_EXPIRE_AFTER_MS: '60001',
      KEYFOLD_REVOKE_CHECK_INTERVAL_MS: '3',
      KEYFOLD_ALLOW_AMBIGUOUS_NAMES: 'false',
      KEYFOLD_MIN_SEALING_CREATED: '1700000000',
      KEYFOLD_MIN_OPENING_CREATED: '1600000000',
      KEYFOLD_REQUIRE_CONTEXT: 'always',
      KEYFOLD_UNBOUND_BEFORE: '1500000000',
      KEYFOLD_KEY_ROW_PROOFS: 'verify',
      KEYFOLD_SYSTEM_KEY_MAX_AGE_MS: '4',
      KEYFOLD_INTERMEDIATE_KEY_MAX_AGE_MS: '5',
      KEYFOLD_MAX_INTERMEDIATE_KEYS: '7',
      KEYFOLD_DATA_ROW_KEY_MAX_MESSAGES: '31',
      KEYFOLD_DATA_ROW_KEY_MAX_AGE_MS: '33',
      KEYFOLD_PRELOAD_SYSTEM_KEY: 'true',
      KEYFOLD_AUTH: 'jwt',
      KEYFOLD_JWT_PARTITIONS_CLAIM: 'tenants',
      KEYFOLD_JWT_PARTITION_LISTS: 'true',
      KEYFOLD_JWT_PARTITION_WILDCARDS: 'false',
      KEYFOLD_JWT_SCOPE_CLAIM: 'scp',
      KEYFOLD_PLAINTEXT_LIMIT_BYTES: '8',
      KEYFOLD_DEADLINE_MARGIN_MS: '9',
      KEYFOLD_MAX_ITEMS: '10',
      KEYFOLD_OPERATIONS: 'encrypt, rewrap-batch',
      KEYFOLD_PARTITIONS: 'tenant-1,b*',
    });
    expect(config).toStrictEqual({
      names: { service: 'svc', product: 'prod', regionSuffix: 'eu-west-1', allowAmbiguousNames: false },
      kms: {
        kind: 'aws',
        keys: JSON.parse(minimal['KEYFOLD_KMS_KEYS'] ?? '') as unknown,
        preferredRegion: 'us-east-1',
        failover: { onKeyRefused: 'fail', minimumWrappedRegions: 2 },
      },
      metastore: {
        tableName: 'Keys',
        region: 'eu-west-1',
        endpoint: 'http://127.0.0.1:1',
      },
      policy: {
        expireAfterMs: 60_001,
        revokeCheckIntervalMs: 3,
        minSealingCreated: 1_700_000_000,
        minOpeningCreated: 1_600_000_000,
        staleGraceMs: 0,
        systemKeyMaxAgeMs: 4,
        intermediateKeyMaxAgeMs: 5,
        maxIntermediateKeys: 7,
        dataRowKeyMaxMessages: 31,
        dataRowKeyMaxAgeMs: 33,
      },
      proofs: { requireContext: 'always', unboundBefore: 1_500_000_000, keyRowProofs: 'verify' },
      preloadSystemKey: true,
      auth: {
        kind: 'jwt',
        partitionsClaim: 'tenants',
        partitionLists: true,
        partitionWildcards: false,
        scopeClaim: 'scp',
      },
      door: {
        serves: { operations: ['encrypt', 'rewrap-batch'], partitions: ['tenant-1', 'b*'] },
        plaintextLimitBytes: 8,
        maxItems: 10,
        deadlineMarginMs: 9,
      },
    });
  });

  it('lists all errors at once, without the values of the settings', () => {
    const faults = faultsOf({
      KEYFOLD_SERVICE: 'a_CANARY',
      KEYFOLD_PRODUCT: 'us-east-1',
      KEYFOLD_KMS_KEYS: '{"us-west-2":"CANARY"}',
      KEYFOLD_EXPIRE_AFTER_MS: 'CANARY',
      KEYFOLD_AUTH: 'CANARY',
      KEYFOLD_PLAINTEXT_LIMIT_BYTES: '99999999',
      KEYFOLD_EXPIRE_AFTER: '1',
      KEYFOLD_TABEL: 'CANARY',
      KEYFOLD_MAX_ROUNDS: 'CANARY',
      AWS_REGION: 'eu-west-1',
    });
    expect(faults).toEqual([
      'KEYFOLD_EXPIRE_AFTER is not a setting',
      'KEYFOLD_TABEL is not a setting',
      'KEYFOLD_MAX_ROUNDS is no longer a setting, because its value is now a constant: delete it',
      'KEYFOLD_EXPIRE_AFTER_MS is not a positive whole number',
      'KEYFOLD_AUTH is none of iam, jwt, authorizer, none',
      'KEYFOLD_PLAINTEXT_LIMIT_BYTES is more than 4194304',
      'the service holds an underscore, which makes key ids ambiguous; allow it only for an existing table',
      'the product is shaped like a region, which makes key ids ambiguous; allow it only for an existing table',
      'the KMS key of us-west-2 is neither a key ARN nor an alias ARN',
      'this process runs in a region without a KMS key: set KEYFOLD_PREFERRED_REGION to one of KEYFOLD_KMS_KEYS',
    ]);
    expect(faults.join()).not.toContain('CANARY');
  });

  it.for([
    ['KEYFOLD_SERVICE is not set', { KEYFOLD_SERVICE: undefined }],
    [
      'one of KEYFOLD_KMS_KEYS and KEYFOLD_STATIC_MASTER_KEY_HEX must be set, and not both',
      { KEYFOLD_KMS_KEYS: undefined },
    ],
    [
      'one of KEYFOLD_KMS_KEYS and KEYFOLD_STATIC_MASTER_KEY_HEX must be set, and not both',
      { KEYFOLD_STATIC_MASTER_KEY_HEX: '00'.repeat(32) },
    ],
    [
      'KEYFOLD_STATIC_MASTER_KEY_HEX has no meaning with KEYFOLD_KMS=aws',
      { KEYFOLD_KMS: 'aws', KEYFOLD_KMS_KEYS: undefined, KEYFOLD_STATIC_MASTER_KEY_HEX: '00'.repeat(32) },
    ],
    ['KEYFOLD_STATIC_MASTER_KEY_HEX is not 64 hexadecimal digits', { KEYFOLD_STATIC_MASTER_KEY_HEX: 'xyz' }],
    ['KEYFOLD_KMS_KEYS is not a JSON object of region to ARN', { KEYFOLD_KMS_KEYS: '[]' }],
    ['KEYFOLD_KMS_KEYS is not a JSON object of region to ARN', { KEYFOLD_KMS_KEYS: '{"us-west-2":1}' }],
    [
      'this process runs in a region without a KMS key: set KEYFOLD_PREFERRED_REGION to one of KEYFOLD_KMS_KEYS',
      { AWS_REGION: 'eu-west-1' },
    ],
    [
      'this process runs in a region without a KMS key: set KEYFOLD_PREFERRED_REGION to one of KEYFOLD_KMS_KEYS',
      { AWS_REGION: undefined },
    ],
    ['the preferred region eu-west-1 has no KMS key', { KEYFOLD_PREFERRED_REGION: 'eu-west-1' }],
    [
      "the region suffix is not the name of an AWS region; KEYFOLD_REGION_SUFFIX is another region than the table's: keys of a region are written in its own replica",
      { KEYFOLD_REGION_SUFFIX: 'west' },
    ],
    ['KEYFOLD_JWT_PARTITIONS_CLAIM must be set with KEYFOLD_AUTH=jwt', { KEYFOLD_AUTH: 'jwt' }],
    ['KEYFOLD_JWT_PARTITIONS_CLAIM is set without KEYFOLD_AUTH=jwt', { KEYFOLD_JWT_PARTITIONS_CLAIM: 'x' }],
    [
      'KEYFOLD_JWT_PARTITION_LISTS is set without KEYFOLD_AUTH=jwt or authorizer',
      { KEYFOLD_JWT_PARTITION_LISTS: 'true' },
    ],
    [
      'KEYFOLD_JWT_PARTITION_WILDCARDS is set without KEYFOLD_AUTH=jwt or authorizer',
      { KEYFOLD_JWT_PARTITION_WILDCARDS: 'false' },
    ],
    ['KEYFOLD_JWT_SCOPE_CLAIM is set without KEYFOLD_AUTH=jwt', { KEYFOLD_JWT_SCOPE_CLAIM: 'scp' }],
    [
      'KEYFOLD_JWT_PARTITIONS_CLAIM is set without KEYFOLD_AUTH=jwt',
      { KEYFOLD_AUTH: 'authorizer', KEYFOLD_JWT_PARTITIONS_CLAIM: 'x' },
    ],
    [
      'KEYFOLD_JWT_SCOPE_CLAIM is set without KEYFOLD_AUTH=jwt',
      { KEYFOLD_AUTH: 'authorizer', KEYFOLD_JWT_SCOPE_CLAIM: 'x' },
    ],
    [
      'KEYFOLD_JWT_PARTITIONS_CLAIM holds a quote, a backslash, a control character or a space at an end',
      { KEYFOLD_AUTH: 'jwt', KEYFOLD_JWT_PARTITIONS_CLAIM: 'a\\b' },
    ],
    ['KEYFOLD_JWT_SCOPE_CLAIM is empty', { KEYFOLD_AUTH: 'jwt', KEYFOLD_JWT_SCOPE_CLAIM: '' }],
    [
      'KEYFOLD_JWT_PARTITIONS_CLAIM is the claim of the scopes, and no claim can grant both',
      { KEYFOLD_AUTH: 'jwt', KEYFOLD_JWT_PARTITIONS_CLAIM: 'scope' },
    ],
    [
      'KEYFOLD_JWT_PARTITIONS_CLAIM is the claim of the scopes, and no claim can grant both',
      { KEYFOLD_AUTH: 'jwt', KEYFOLD_JWT_PARTITIONS_CLAIM: 'grants', KEYFOLD_JWT_SCOPE_CLAIM: 'grants' },
    ],
    [
      'the KMS key of us-west-2 is of the AWS partition aws-cn, and us-west-2 of aws',
      { KEYFOLD_KMS_KEYS: `{"us-west-2":"${ARN.replace('aws', 'aws-cn')}"}` },
    ],
    [
      'the KMS key of us-west-2 is neither a key ARN nor an alias ARN',
      { KEYFOLD_KMS_KEYS: `{"us-west-2":"${ARN.replace('alias/keyfold', 'key/a/b')}"}` },
    ],
    [
      'KEYFOLD_TABLE is of the AWS partition aws-cn, and us-west-2 of aws',
      { KEYFOLD_TABLE: 'arn:aws-cn:dynamodb:us-west-2:111122223333:table/Keys' },
    ],
    [
      'KEYFOLD_JWT_PARTITION_LISTS is neither true nor false',
      { KEYFOLD_AUTH: 'jwt', KEYFOLD_JWT_PARTITION_LISTS: '1' },
    ],
    [
      'KEYFOLD_AUTH=none would let anyone call, so it is not allowed in Lambda',
      { KEYFOLD_AUTH: 'none', AWS_LAMBDA_FUNCTION_NAME: 'api' },
    ],
    ['KEYFOLD_ALLOW_AMBIGUOUS_NAMES is neither true nor false', { KEYFOLD_ALLOW_AMBIGUOUS_NAMES: 'yes' }],
    ['KEYFOLD_DYNAMODB_ENDPOINT is not a URL', { KEYFOLD_DYNAMODB_ENDPOINT: 'localhost' }],
    ['KEYFOLD_DYNAMODB_ENDPOINT is not a URL', { KEYFOLD_DYNAMODB_ENDPOINT: 'ftp://127.0.0.1' }],
    [
      'KEYFOLD_DYNAMODB_ENDPOINT has a query, a fragment or credentials',
      { KEYFOLD_DYNAMODB_ENDPOINT: 'http://127.0.0.1/?x' },
    ],
    [
      'KEYFOLD_DYNAMODB_ENDPOINT has a query, a fragment or credentials',
      { KEYFOLD_DYNAMODB_ENDPOINT: 'http://a:b@127.0.0.1' },
    ],
    ['KEYFOLD_TABLE is neither the name nor the ARN of a DynamoDB table', { KEYFOLD_TABLE: 'Keys\n' }],
    ['KEYFOLD_TABLE is neither the name nor the ARN of a DynamoDB table', { KEYFOLD_TABLE: 'ab' }],
    ['KEYFOLD_TABLE is neither the name nor the ARN of a DynamoDB table', { KEYFOLD_TABLE: 'a'.repeat(256) }],
    [
      'KEYFOLD_TABLE is neither the name nor the ARN of a DynamoDB table',
      { KEYFOLD_TABLE: 'arn:aws:s3:us-west-2:111122223333:table/Keys' },
    ],
    ['KEYFOLD_DYNAMODB_REGION is not the name of an AWS region', { KEYFOLD_DYNAMODB_REGION: 'us-west-2 ' }],
    ['KEYFOLD_PREFERRED_REGION is not the name of an AWS region', { KEYFOLD_PREFERRED_REGION: 'us-west-2\n' }],
    ['KEYFOLD_KMS_KEYS names a region twice', { KEYFOLD_KMS_KEYS: `{"us-west-2":"${ARN}","us-west-2":"${ARN}"}` }],
    [
      'KEYFOLD_KMS_KEYS names a region twice',
      { KEYFOLD_KMS_KEYS: `{"us-west-2":"${ARN}","us\\u002dwest-2":"${ARN}"}` },
    ],
    [
      'the KMS key of us-west-2 is neither a key ARN nor an alias ARN',
      { KEYFOLD_KMS_KEYS: `{"us-west-2":"${ARN}\\n"}` },
    ],
    [
      'the ARN of the KMS key of us-west-2 has more than 320 characters',
      { KEYFOLD_KMS_KEYS: `{"us-west-2":"${ARN}${'x'.repeat(300)}"}` },
    ],
    [
      'the KMS keys name the region "west", which is not an AWS region; this process runs in a region without a KMS key: set KEYFOLD_PREFERRED_REGION to one of KEYFOLD_KMS_KEYS',
      { KEYFOLD_KMS_KEYS: `{"west":"${ARN.replace('us-west-2', 'west')}"}` },
    ],
    [
      'the KMS key of us-west-2 is an AWS managed key (alias/aws/…), which only AWS services can use',
      { KEYFOLD_KMS_KEYS: `{"us-west-2":"${ARN.replace('keyfold', 'aws/dynamodb')}"}` },
    ],
    ['minimumWrappedRegions is 3 and there are 2 regions with a KMS key', { KEYFOLD_MINIMUM_WRAPPED_REGIONS: '3' }],
    [
      'this process runs in a region without a KMS key: set KEYFOLD_PREFERRED_REGION to one of KEYFOLD_KMS_KEYS; minimumWrappedRegions is 3 and there are 2 regions with a KMS key',
      { KEYFOLD_MINIMUM_WRAPPED_REGIONS: '3', AWS_REGION: 'eu-west-1' },
    ],
    ['KEYFOLD_REQUIRE_CONTEXT is none of off, seal, always', { KEYFOLD_REQUIRE_CONTEXT: 'open' }],
    ['KEYFOLD_KEY_ROW_PROOFS is neither verify nor require', { KEYFOLD_KEY_ROW_PROOFS: 'off' }],
    ['KEYFOLD_EXPIRE_AFTER_MS is less than 60000', { KEYFOLD_EXPIRE_AFTER_MS: '59999' }],
    ['KEYFOLD_DEADLINE_MARGIN_MS is more than 27000', { KEYFOLD_DEADLINE_MARGIN_MS: '27001' }],
    [
      'KEYFOLD_JWT_PARTITIONS_CLAIM holds a quote, a backslash, a control character or a space at an end',
      { KEYFOLD_AUTH: 'jwt', KEYFOLD_JWT_PARTITIONS_CLAIM: 'tenants\n' },
    ],
    [
      'KEYFOLD_JWT_PARTITIONS_CLAIM holds a quote, a backslash, a control character or a space at an end',
      { KEYFOLD_AUTH: 'jwt', KEYFOLD_JWT_PARTITIONS_CLAIM: ' tenants' },
    ],
    [
      'KEYFOLD_JWT_PARTITIONS_CLAIM holds a quote, a backslash, a control character or a space at an end',
      { KEYFOLD_AUTH: 'jwt', KEYFOLD_JWT_PARTITIONS_CLAIM: 'tenants ' },
    ],
    [
      'KEYFOLD_JWT_PARTITIONS_CLAIM holds a quote, a backslash, a control character or a space at an end',
      { KEYFOLD_AUTH: 'jwt', KEYFOLD_JWT_PARTITIONS_CLAIM: 'a"b' },
    ],
    [
      'KEYFOLD_JWT_PARTITIONS_CLAIM holds a quote, a backslash, a control character or a space at an end',
      { KEYFOLD_AUTH: 'jwt', KEYFOLD_JWT_PARTITIONS_CLAIM: 'a\u0007b' },
    ],
    [
      'KEYFOLD_JWT_SCOPE_CLAIM holds a quote, a backslash, a control character or a space at an end',
      { KEYFOLD_AUTH: 'jwt', KEYFOLD_JWT_SCOPE_CLAIM: 'a\\b' },
    ],
    ['KEYFOLD_toString is not a setting', { KEYFOLD_toString: '1' }],
    [
      "KEYFOLD_REGION_SUFFIX is another region than the table's: keys of a region are written in its own replica",
      { KEYFOLD_REGION_SUFFIX: 'us-east-1' },
    ],
    [
      "KEYFOLD_REGION_SUFFIX is another region than the table's: keys of a region are written in its own replica",
      { KEYFOLD_REGION_SUFFIX: 'us-west-2', KEYFOLD_DYNAMODB_REGION: 'us-east-1' },
    ],
    [
      'KEYFOLD_DYNAMODB_ENDPOINT has a query, a fragment or credentials',
      { KEYFOLD_DYNAMODB_ENDPOINT: 'http://a@127.0.0.1' },
    ],
    [
      'KEYFOLD_DYNAMODB_ENDPOINT has a query, a fragment or credentials',
      { KEYFOLD_DYNAMODB_ENDPOINT: 'http://:b@127.0.0.1' },
    ],
    [
      'KEYFOLD_DYNAMODB_ENDPOINT has a query, a fragment or credentials',
      { KEYFOLD_DYNAMODB_ENDPOINT: 'http://127.0.0.1/#x' },
    ],
    ['KEYFOLD_DYNAMODB_ENDPOINT is not a URL', { KEYFOLD_DYNAMODB_ENDPOINT: 'http://' }],
    ['KEYFOLD_MAX_ITEMS is more than 1000', { KEYFOLD_MAX_ITEMS: '1001' }],
    ['KEYFOLD_PLAINTEXT_LIMIT_BYTES is more than 4194304', { KEYFOLD_PLAINTEXT_LIMIT_BYTES: '4194305' }],
    ['KEYFOLD_DATA_ROW_KEY_MAX_MESSAGES is more than 4294967296', { KEYFOLD_DATA_ROW_KEY_MAX_MESSAGES: '4294967297' }],
    ['KEYFOLD_STATIC_MASTER_KEY_HEX is not 64 hexadecimal digits', { KEYFOLD_STATIC_MASTER_KEY_HEX: '0'.repeat(62) }],
    ['KEYFOLD_STATIC_MASTER_KEY_HEX is not 64 hexadecimal digits', { KEYFOLD_STATIC_MASTER_KEY_HEX: '0'.repeat(66) }],
    ['KEYFOLD_ON_KEY_REFUSED is neither failover nor fail', { KEYFOLD_ON_KEY_REFUSED: 'retry' }],
    [
      'KEYFOLD_DYNAMODB_REGION is not the name of an AWS region',
      {
        KEYFOLD_DYNAMODB_REGION: 'west',
        KEYFOLD_REGION_SUFFIX: 'us-west-2',
        KEYFOLD_TABLE: 'arn:aws:dynamodb:us-west-2:111122223333:table/Keys',
        KEYFOLD_DYNAMODB_ENDPOINT: 'https://dynamodb.us-west-2.amazonaws.com',
      },
    ],
    [
      'KEYFOLD_ALLOW_AMBIGUOUS_NAMES is neither true nor false',
      { KEYFOLD_ALLOW_AMBIGUOUS_NAMES: 'yes', KEYFOLD_PRODUCT: 'a_b' },
    ],
    [
      'KEYFOLD_AUTH is none of iam, jwt, authorizer, none',
      { KEYFOLD_AUTH: 'JWT', KEYFOLD_JWT_PARTITIONS_CLAIM: 'tenants' },
    ],
    [
      'the KMS keys and the key table are in different AWS partitions: credentials work in only one',
      { AWS_REGION: 'cn-north-1', KEYFOLD_PREFERRED_REGION: 'us-west-2' },
    ],
    ...['a'.repeat(2036), `${'a'.repeat(2036)}*`, `tenant-1,${'a'.repeat(2040)},tenant-2`].map(
      (KEYFOLD_PARTITIONS) =>
        ['KEYFOLD_PARTITIONS lists a partition whose key id is too long for DynamoDB', { KEYFOLD_PARTITIONS }] as const,
    ),
    [
      'KEYFOLD_TABLE is in another region than the DynamoDB client',
      { KEYFOLD_TABLE: 'arn:aws:dynamodb:eu-west-1:111122223333:table/EncryptionKey' },
    ],
    ...[
      'dynamodb.eu-west-1.amazonaws.com',
      'dynamodb-fips.us-east-1.amazonaws.com',
      'dynamodb.eu-west-1.api.aws',
      '111122223333.ddb.eu-west-1.amazonaws.com',
      'vpce-0a1b-c2d3.dynamodb.eu-west-1.vpce.amazonaws.com',
    ].map(
      (host) =>
        [
          'KEYFOLD_DYNAMODB_ENDPOINT is in another region than the DynamoDB client',
          { KEYFOLD_DYNAMODB_ENDPOINT: `https://${host}` },
        ] as const,
    ),
    [
      'the KMS keys and the key table are in different AWS partitions: credentials work in only one',
      { KEYFOLD_DYNAMODB_REGION: 'cn-north-1' },
    ],
    ...['vpce-1.dynamodb.cn-north-1.vpce.amazonaws.com.cn', 'dynamodb.cn-north-1.api.amazonwebservices.com.cn'].map(
      (host) =>
        [
          'the KMS keys and the key table are in different AWS partitions: credentials work in only one',
          { KEYFOLD_DYNAMODB_REGION: 'cn-north-1', KEYFOLD_DYNAMODB_ENDPOINT: `https://${host}` },
        ] as const,
    ),
    [
      'KEYFOLD_DYNAMODB_ENDPOINT is not a URL',
      { KEYFOLD_DYNAMODB_REGION: 'cn-north-1', KEYFOLD_DYNAMODB_ENDPOINT: 'local' },
    ],
    [
      'the KMS keys are in several AWS partitions (aws, aws-cn): credentials work in only one',
      {
        KEYFOLD_KMS_KEYS:
          '{"us-west-2":"arn:aws:kms:us-west-2:111122223333:alias/x","cn-north-1":"arn:aws-cn:kms:cn-north-1:111122223333:alias/x"}',
      },
    ],
    [
      'KEYFOLD_PARTITIONS lists an entry that is neither a partition nor a prefix followed by *',
      { KEYFOLD_PARTITIONS: '["a\\ud800"]' },
    ],
    [
      'KEYFOLD_PARTITIONS lists an entry that is neither a partition nor a prefix followed by *',
      { KEYFOLD_PARTITIONS: 'a'.repeat(2049) },
    ],
    [
      'KEYFOLD_PARTITIONS lists an entry that is neither a partition nor a prefix followed by *',
      { KEYFOLD_PARTITIONS: 'a,,b' },
    ],
    ['KEYFOLD_OPERATIONS lists an unknown operation', { KEYFOLD_OPERATIONS: 'encrypt,' }],
    [
      "the service and the product are too long: key ids would not fit DynamoDB's 2048 bytes",
      { KEYFOLD_SERVICE: 's'.repeat(2000) },
    ],
    [
      'the product must be text of one or more characters, none of them a control character',
      { KEYFOLD_PRODUCT: 'a\nb' },
    ],
    ['KEYFOLD_PARTITIONS is not a JSON array of strings', { KEYFOLD_PARTITIONS: '["a"' }],
    ['KEYFOLD_PARTITIONS is not a JSON array of strings', { KEYFOLD_PARTITIONS: '[]' }],
    ['KEYFOLD_PARTITIONS is not a JSON array of strings', { KEYFOLD_PARTITIONS: '["a",1]' }],
    [
      'KEYFOLD_PARTITIONS lists an entry that is neither a partition nor a prefix followed by *',
      { KEYFOLD_PARTITIONS: '["a",""]' },
    ],
    [
      'KEYFOLD_PARTITIONS lists an entry that is neither a partition nor a prefix followed by *',
      { KEYFOLD_PARTITIONS: 'a*b' },
    ],
  ] as const)('reports "%s"', ([fault, change]) => {
    expect(faultsOf({ ...minimal, ...change }).join('; ')).toBe(fault);
  });

  it.for([
    ['separated by commas', 'tenant-1, b*', ['tenant-1', 'b*']],
    ['as a JSON array', '["a,b"," user:42 ","line\\nfeed","b*"]', ['a,b', ' user:42 ', 'line\nfeed', 'b*']],
  ] as const)('reads a list of partitions %s', ([, setting, partitions]) => {
    expect(readConfig({ ...minimal, KEYFOLD_PARTITIONS: setting }).door.serves.partitions).toEqual(partitions);
  });

  it.for([
    ["a table's ARN", { KEYFOLD_TABLE: 'arn:aws:dynamodb:us-west-2:111122223333:table/Keys' }],
    ['the endpoint of a VPC', { KEYFOLD_DYNAMODB_ENDPOINT: 'https://vpce-1.dynamodb.us-west-2.vpce.amazonaws.com' }],
    [
      'an emulator of a table in another AWS partition',
      { KEYFOLD_DYNAMODB_REGION: 'cn-north-1', KEYFOLD_DYNAMODB_ENDPOINT: 'http://127.0.0.1:8000' },
    ],
    ['prefixes of partitions', { KEYFOLD_PARTITIONS: 'tenant-*, *' }],
    [
      'a URL as the name of a claim',
      { KEYFOLD_AUTH: 'jwt', KEYFOLD_JWT_PARTITIONS_CLAIM: 'https://example.com/tenants' },
    ],
    ['as many wrapped regions as there are KMS keys', { KEYFOLD_MINIMUM_WRAPPED_REGIONS: '2' }],
    [
      'a table in AWS GovCloud',
      {
        KEYFOLD_TABLE: 'arn:aws-us-gov:dynamodb:us-gov-west-1:111122223333:table/Keys',
        KEYFOLD_DYNAMODB_REGION: 'us-gov-west-1',
        KEYFOLD_KMS_KEYS: '{"us-gov-west-1":"arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/x"}',
        AWS_REGION: 'us-gov-west-1',
      },
    ],
    ['a table name of three characters', { KEYFOLD_TABLE: 'a.b' }],
    ['a table name of 255 characters', { KEYFOLD_TABLE: 'a'.repeat(255) }],
    ["the suffix of the table's region", { KEYFOLD_REGION_SUFFIX: 'us-west-2' }],
    [
      'the suffix of another region that has the table',
      { KEYFOLD_REGION_SUFFIX: 'us-east-1', KEYFOLD_DYNAMODB_REGION: 'us-east-1' },
    ],
    [
      'a region suffix without a region of the process',
      { KEYFOLD_REGION_SUFFIX: 'us-east-1', KEYFOLD_PREFERRED_REGION: 'us-west-2', AWS_REGION: undefined },
    ],
    ['no authorization outside Lambda', { KEYFOLD_AUTH: 'none' }],
    ['authorization in Lambda', { AWS_LAMBDA_FUNCTION_NAME: 'api' }],
    ['ambiguous names if the setting allows them', { KEYFOLD_PRODUCT: 'a_b', KEYFOLD_ALLOW_AMBIGUOUS_NAMES: 'true' }],
    ['failover after a KMS key was refused', { KEYFOLD_ON_KEY_REFUSED: 'failover' }],
    ['AWS KMS by its name', { KEYFOLD_KMS: 'aws' }],
    [
      "a table's ARN and endpoint without a region of the process",
      {
        KEYFOLD_TABLE: 'arn:aws:dynamodb:us-east-1:111122223333:table/Keys',
        KEYFOLD_DYNAMODB_ENDPOINT: 'https://dynamodb.us-east-1.amazonaws.com',
        KEYFOLD_PREFERRED_REGION: 'us-west-2',
        AWS_REGION: undefined,
      },
    ],
    ['KMS keys without a region of the process', { KEYFOLD_PREFERRED_REGION: 'us-west-2', AWS_REGION: undefined }],
    ['partitions of 2035 characters', { KEYFOLD_PARTITIONS: `${'a'.repeat(2035)},${'b'.repeat(2035)}*` }],
    ['a partition with brackets and a comma', { KEYFOLD_PARTITIONS: 'a[b,c]' }],
    [
      'the highest limits of a request',
      { KEYFOLD_MAX_ITEMS: '1000', KEYFOLD_PLAINTEXT_LIMIT_BYTES: '4194304', KEYFOLD_DEADLINE_MARGIN_MS: '27000' },
    ],
    ['the highest number of messages of a Data Row Key', { KEYFOLD_DATA_ROW_KEY_MAX_MESSAGES: '4294967296' }],
  ] as const)('accepts %s', ([, change]) => {
    expect(faultsOf({ ...minimal, ...change })).toEqual([]);
  });

  it('does not check the length of partitions if the service name is invalid', () => {
    const change = { KEYFOLD_SERVICE: 'my_orders', KEYFOLD_PARTITIONS: 'a'.repeat(2040), KEYFOLD_AUTH: 'jwt' };
    expect(faultsOf({ ...minimal, ...change })).toEqual([
      'the service holds an underscore, which makes key ids ambiguous; allow it only for an existing table',
      'KEYFOLD_JWT_PARTITIONS_CLAIM must be set with KEYFOLD_AUTH=jwt',
    ]);
  });

  it('accepts a static master key outside Lambda, and in Lambda only with KEYFOLD_STATIC_KMS_OVERRIDE', () => {
    const masterKey = { ...minimal, KEYFOLD_KMS_KEYS: undefined, KEYFOLD_STATIC_MASTER_KEY_HEX: '07'.repeat(32) };
    const settings = Object.fromEntries(Object.entries(masterKey).filter(([, value]) => value !== undefined));
    expect(readConfig(settings).kms).toStrictEqual({
      kind: 'static',
      masterKey: Buffer.alloc(32, 7),
      override: undefined,
    });
    const digits = '0123456789abcdef0123456789ABCDEF'.repeat(2);
    expect(readConfig({ ...settings, KEYFOLD_STATIC_MASTER_KEY_HEX: digits }).kms).toMatchObject({
      masterKey: Buffer.from(digits, 'hex'),
    });
    const inLambda = { ...settings, AWS_LAMBDA_FUNCTION_NAME: 'api' };
    const refused = [
      'a static master key protects nothing in Lambda, because it is in the configuration of the function: ' +
        `use KMS, or set the override to "${STATIC_KMS_OVERRIDE}"`,
    ];
    expect(faultsOf(inLambda)).toEqual(refused);
    expect(faultsOf({ ...inLambda, KEYFOLD_STATIC_KMS_OVERRIDE: 'yes' })).toEqual(refused);
    const overridden = readConfig({ ...inLambda, KEYFOLD_STATIC_KMS_OVERRIDE: STATIC_KMS_OVERRIDE });
    expect(overridden.kms).toMatchObject({ kind: 'static', override: STATIC_KMS_OVERRIDE });
  });
});

describe('readConfig with minimum dates and proofs', () => {
  const READ = [
    ['MIN_SEALING_CREATED', '2026-11-28T00:00:00Z', { policy: { minSealingCreated: 1_795_824_000 } }],
    ['MIN_OPENING_CREATED', '1795824000', { policy: { minOpeningCreated: 1_795_824_000 } }],
    ['MIN_OPENING_CREATED', '2026-11-28T00:00:00.5Z', { policy: { minOpeningCreated: 1_795_824_001 } }],
    ['UNBOUND_BEFORE', '2026-11-28T00:00Z', { proofs: { unboundBefore: 1_795_824_000 } }],
    ['UNBOUND_BEFORE', '100000000', { proofs: { unboundBefore: 100_000_000 } }],
    ['UNBOUND_BEFORE', '99999999999', { proofs: { unboundBefore: 99_999_999_999 } }],
    ['REQUIRE_CONTEXT', 'seal', { proofs: { requireContext: 'seal' } }],
    ['KEY_ROW_PROOFS', 'require', { proofs: { keyRowProofs: 'require' } }],
  ] as const;

  it.for(READ)('accepts KEYFOLD_%s=%s', ([name, value, expected]) => {
    expect(readConfig({ ...minimal, [`KEYFOLD_${name}`]: value })).toMatchObject(expected);
  });

  it.for([
    ['UNBOUND_BEFORE', '2026'],
    ['UNBOUND_BEFORE', '2026-11-28'],
    ['UNBOUND_BEFORE', '2026-13-01T00:00:00Z'],
    ['UNBOUND_BEFORE', '2026-11-28T00:00:00'],
    ['UNBOUND_BEFORE', '2026-11-28T00:00:00+01:00'],
    ['UNBOUND_BEFORE', '2026-02-30T00:00:00Z'],
    ['MIN_SEALING_CREATED', '2027-02-29T00:00:00Z'],
    ['MIN_OPENING_CREATED', '2026-11-28T24:00:00Z'],
    ['MIN_SEALING_CREATED', 'yesterday'],
    ['MIN_OPENING_CREATED', '-1'],
    ['MIN_OPENING_CREATED', '99999999'],
    ['MIN_OPENING_CREATED', '0179582400'],
    ['MIN_OPENING_CREATED', '100000000000'],
  ])('refuses KEYFOLD_%s=%s', ([name, value]) => {
    expect(faultsOf({ ...minimal, [`KEYFOLD_${name}`]: value })).toEqual([
      `KEYFOLD_${name} is neither a date such as 2026-11-28T00:00:00Z nor whole seconds since 1970`,
    ]);
  });
});
