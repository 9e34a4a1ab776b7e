import { KMSClient } from '@aws-sdk/client-kms';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { expect } from 'vitest';
import { createPool } from 'mysql2/promise';
import { Pool } from 'pg';
import * as library from '../../src/index.ts';
import { MySqlMetastore } from '../../src/metastore/sql/mysql-metastore.ts';
import { PostgresMetastore } from '../../src/metastore/sql/postgres-metastore.ts';
import { keyOf, wrappedBy } from './kms.ts';
import type { KmsRegion } from '../../src/kms/kms-region.ts';
import { realBytesOf } from './hostile.ts';
import { isTold, type PublicFunctions } from './public-function.ts';

const { AwsKms, DynamoDbMetastore, KeyfoldError, MemoryMetastore, StaticKms, SystemKeyMaintenance } = library;

const ARN = 'arn:aws:kms:us-west-2:111122223333:alias/keyfold';
const ID = '_SK_svc_prod_us-west-2';
const noop = (): void => {};

const limits = (): object => ({ deadlineAtMs: Date.now() + 60_000, signal: new AbortController().signal });
const deadline = (): library.Deadline => ({ atMs: Date.now() + 60_000, signal: new AbortController().signal });
const overDeadline = (): library.Deadline => ({
  atMs: Date.now(),
  signal: AbortSignal.abort(new KeyfoldError('DeadlineExceeded', 'Over.')),
});
const row = (): object => ({
  id: ID,
  created: 60,
  encryptedKey: Buffer.from('key'),
  parent: { id: ID, created: 1 },
  revoked: false,
});

async function wraps(kms: library.KeyManagementService, key = Buffer.alloc(32, 5)): Promise<void> {
  expect(await keyOf(kms.unwrap(await wrappedBy(kms, key, deadline()), deadline()))).toEqual(key);
}

const REGION: KmsRegion = {
  region: 'us-west-2',
  keyArn: ARN,
  generateDataKey: async () => ({ plaintext: Buffer.alloc(32, 1), wrapped: Buffer.from('w'), arn: ARN }),
  encrypt: async () => ({ wrapped: Buffer.from('w'), arn: ARN }),
  decrypt: async () => Buffer.alloc(32, 1),
};
const awsOptions = (): library.AwsKmsOptions => ({
  keys: { 'us-west-2': ARN },
  preferredRegion: 'us-west-2',
  timeouts: { connectionTimeoutMs: 100, requestTimeoutMs: 100 },
  failover: { maxRounds: 1, onKeyRefused: 'fail' },
  endpoint: 'http://127.0.0.1:9',
  credentials: { accessKeyId: 'a', secretAccessKey: 's' },
  events: { attempted: noop, coolingDown: noop, failedOver: noop, wrapMissing: noop },
});
const aws = new AwsKms(awsOptions(), {
  now: Date.now,
  random: Math.random,
  sleep: async () => {},
  connect: () => REGION,
});
const maintained = (): library.MaintenanceOptions => ({
  service: 'svc',
  product: 'prod',
  regionSuffix: 'us-west-2',
  allowAmbiguousNames: false,
  metastore: new MemoryMetastore(),
  kms: aws,
  policy: { expireAfterMs: 1e9 },
  now: Date.now,
  events: { keyCreated: noop, keyRetired: noop, cacheUsed: noop, servedStale: noop, openedUnbound: noop },
});
const dynamoOptions = { region: 'us-west-2', endpoint: 'http://127.0.0.1:9' };
const dynamo = new DynamoDbMetastore(dynamoOptions);
const memory = new MemoryMetastore();
const local: library.KeyManagementService = new StaticKms(Buffer.alloc(32, 7), {});

/** The functions of `keyfold` that do not belong to sessions: KMS, metastores and maintenance. */
export const PLUGINS: PublicFunctions = {
  'new SystemKeyMaintenance': {
    args: () => [maintained()],
    call: (options: never) => new SystemKeyMaintenance(options),
    holds: (made: library.SystemKeyMaintenance) => made.run().then((report) => expect(report).toBeDefined(), isTold),
  },
  'SystemKeyMaintenance.run': {
    args: () => [limits()],
    call: (given: never) => new SystemKeyMaintenance(maintained()).run(given),
  },
  'new AwsKms': {
    args: () => [awsOptions()],
    call: (options: never) => new AwsKms(options),
    holds: (kms: library.AwsKms) => expect(kms.regionStates()).not.toEqual([]),
  },
  // Tests the constructor of AwsKms again, with its other options.
  'new AwsKms with clients': {
    args: () => {
      const { keys, preferredRegion } = awsOptions();
      return [{ keys, preferredRegion, clients: (region: string) => new KMSClient({ region, maxAttempts: 1 }) }];
    },
    call: (options: never) => new AwsKms(options),
  },
  'AwsKms.regionStates': { args: () => [], call: () => aws.regionStates() },
  'AwsKms.wrap': {
    args: () => [Buffer.alloc(32, 5), deadline()],
    call: (...args: [never, never]) => aws.wrap(...args),
    holds: async ({ wrapped }: library.Wrapped, [key]: [unknown]) =>
      expect(await keyOf(aws.unwrap(wrapped, deadline()))).toEqual(realBytesOf(key)),
  },
  'AwsKms.unwrap': {
    args: async () => [await wrappedBy(aws, Buffer.alloc(32, 5), deadline()), deadline()],
    call: (...args: [never, never]) => aws.unwrap(...args),
  },
  'AwsKms.renew': {
    args: async () => [await wrappedBy(aws, Buffer.alloc(32, 5), deadline()), deadline()],
    call: (...args: [never, never]) => aws.renew(...args),
  },
  'new StaticKms': {
    args: () => [Buffer.alloc(32, 7), { AWS_LAMBDA_FUNCTION_NAME: 'f' }, library.STATIC_KMS_OVERRIDE],
    call: (...args: [never, never]) => new StaticKms(...args),
    holds: (kms: library.StaticKms) => wraps(kms),
  },
  'StaticKms.wrap': {
    args: () => [Buffer.alloc(32, 5)],
    call: (key: never) => local.wrap(key, deadline()),
    holds: async (wrapped: Uint8Array, [key]: [unknown]) =>
      expect(await local.unwrap(wrapped, deadline())).toEqual({ key: realBytesOf(key) }),
  },
  'StaticKms.unwrap': {
    args: async () => [await wrappedBy(local, Buffer.alloc(32, 5), deadline())],
    call: (wrapped: never) => local.unwrap(wrapped, deadline()),
  },
  'new DynamoDbMetastore': {
    args: () => [
      {
        ...dynamoOptions,
        tableName: 'Keys',
        connectionTimeoutMs: 5,
        requestTimeoutMs: 5,
        credentials: async () => ({ accessKeyId: 'a', secretAccessKey: 's' }),
        events: { metastoreCalled: noop },
      },
    ],
    call: (options: never) => new DynamoDbMetastore(options),
  },
  'new DynamoDbMetastore with a client': {
    args: () => [{ tableName: 'Keys', client: new DynamoDBClient({}) }],
    call: (options: never) => new DynamoDbMetastore(options),
  },
  ...metastoreCases('DynamoDbMetastore', dynamo, overDeadline),
  'new PostgresMetastore': {
    args: () => [{ pool: new Pool(), queryTimeoutMs: 5 }],
    call: (options: never) => new PostgresMetastore(options),
  },
  ...metastoreCases('PostgresMetastore', new PostgresMetastore({ pool: new Pool() }), overDeadline),
  'new MySqlMetastore': {
    args: () => [{ pool: createPool({}), queryTimeoutMs: 5 }],
    call: (options: never) => new MySqlMetastore(options),
  },
  ...metastoreCases('MySqlMetastore', new MySqlMetastore({ pool: createPool({}) }), overDeadline),
  'new MemoryMetastore': { args: () => [], call: () => new MemoryMetastore() },
  ...metastoreCases('MemoryMetastore', memory, deadline),
};

function metastoreCases(
  name: string,
  metastore: Required<library.Metastore> & library.SystemKeyStore,
  by: () => library.Deadline,
): PublicFunctions {
  return {
    [`${name}.load`]: { args: () => [ID, 60, by()], call: (...args: [never, never, never]) => metastore.load(...args) },
    [`${name}.loadLatest`]: {
      args: () => [ID, by()],
      call: (...args: [never, never]) => metastore.loadLatest(...args),
    },
    [`${name}.loadRecent`]: {
      args: () => [ID, 60, by()],
      call: (...args: [never, never, never]) => metastore.loadRecent(...args),
    },
    [`${name}.rows`]: { args: () => [ID, by()], call: (...args: [never, never]) => metastore.rows(...args) },
    [`${name}.store`]: {
      args: () => [row(), by()],
      call: (...args: [never, never]) => metastore.store(...args),
      holds: async (_: unknown, [given]: [library.EnvelopeKeyRecord]) => {
        const fresh = new MemoryMetastore();
        await fresh.store(given);
        const { encryptedKey } = (await fresh.load(given.id, given.created)) as library.EnvelopeKeyRecord;
        expect(encryptedKey).toEqual(realBytesOf(given.encryptedKey));
      },
    },
    [`${name}.replaceKey`]: {
      args: () => [row(), Buffer.from('other'), by()],
      call: (...args: [never, never, never]) => metastore.replaceKey(...args),
    },
  };
}
