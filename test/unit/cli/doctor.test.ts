import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { DeleteItemCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DisableKeyCommand,
  DisableKeyRotationCommand,
  KMSClient,
  ScheduleKeyDeletionCommand,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import manifest from '../../../package.json' with { type: 'json' };
import type { HealthCheck } from '../../../src/cli/health/check.ts';
import { runCli } from '../../../src/cli/program.ts';
import {
  decodeKekEnvelope,
  encodeKekEnvelope,
  type KekEnvelope,
  type RegionalKek,
} from '../../../src/kms/kek-envelope.ts';
import { operatorAdapters } from '../../../src/container.ts';
import type { EnvelopeKeyRecord, RegisteredErasure } from '../../../src/index.ts';
import type { DynamoDbFault } from '../../support/dynamodb-proxy.ts';
import { DAY_MS, noDeadline } from '../../support/fakes.ts';
import { EAST, HealthyService, WEST } from '../../support/healthy-service.ts';
import { FAKE_DRIVER_PATH, FakeToken } from '../../support/fake-hsm/fake-token.ts';
import { StubVault } from '../../support/stub-vault.ts';

let world: HealthyService;

beforeEach(async () => {
  world = await HealthyService.start();
});
afterEach(() => {
  vi.unstubAllEnvs();
  return world.stop();
});

async function examine(
  environment: Record<string, string | undefined> = {},
  ...args: string[]
): Promise<{ code: number; bad: HealthCheck[]; all: HealthCheck[] }> {
  const settings = { ...world.settings, ...environment };
  const { code, stdout } = await world.operator.keyfold(['doctor', '--json', ...args], settings);
  const all = JSON.parse(stdout) as HealthCheck[];
  return { code, all, bad: all.filter(({ state }) => state !== 'ok') };
}

async function systemKey(): Promise<EnvelopeKeyRecord> {
  const row = await world.operator.metastore.loadLatest('_SK_orders_shop' as never, noDeadline());
  return row as EnvelopeKeyRecord;
}

async function inKms(region: string, use: (client: KMSClient, keyId: string) => Promise<unknown>): Promise<void> {
  const client = new KMSClient({ region, endpoint: world.kms.endpoint });
  await use(client, (await world.kms.ensureKey(region, 'alias/keyfold')).keyArn);
  client.destroy();
}

/** A copy of a row with another date. Its key still opens, but its proof does not match. */
async function dated(secondsLater: number): Promise<EnvelopeKeyRecord> {
  const row = await systemKey();
  return { ...row, created: (row.created + secondsLater) as never };
}

/** Changes the wraps of the System Key. */
async function putKeks(change: (keks: readonly RegionalKek[]) => readonly RegionalKek[]): Promise<void> {
  const row = await systemKey();
  const { encryptedKey, kmsKeks } = decodeKekEnvelope(row.encryptedKey) as KekEnvelope;
  await world.operator.put({ ...row, encryptedKey: encodeKekEnvelope({ encryptedKey, kmsKeks: change(kmsKeks) }) });
}

/** Makes the dates of the table's responses differ from this machine's clock by `offsetMs`. */
function dateAnswers(offsetMs: number): void {
  const date = new Date(Date.now() + offsetMs).toUTCString();
  world.proxy.faultOf = (call) => {
    const answer = world.answerOf(call);
    return answer && ({ ...answer, headers: { date } } as DynamoDbFault);
  };
}

/** The lines of checks, without the addresses, IDs, times and latencies that differ between runs. */
function told(checks: readonly HealthCheck[]): string[] {
  const lines = checks.map(({ state, check, says, fix = '' }) => `${state} | ${check} | ${says} | ${fix}`);
  return lines.map((line) =>
    line
      .replaceAll(/127\.0\.0\.1:\d{2,5}/g, 'HOST')
      .replaceAll(/[\da-f]{8}-[\da-f-]{27}/g, 'ID')
      .replaceAll(/20\d\d-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
      .replaceAll(/\b\d{10}(?:\d{3})?\b/g, 'SECONDS')
      .replaceAll(/\b\d+(?:\.\d)? (ms|s)\b/g, 'N $1')
      .replace(/^ok \| clock \| .*/, 'ok | clock'),
  );
}

/** Makes the credentials of this machine expire after this time. */
function expireIn(ms: number): void {
  vi.stubEnv('AWS_CREDENTIAL_EXPIRATION', new Date(world.operator.clock.nowMs + ms).toISOString());
}

/** Makes DynamoDB refuse the calls whose names begin with a prefix. */
function failing(prefix: string, name: string, status = 400): void {
  world.proxy.faultOf = (call) => (call.startsWith(prefix) ? { kind: 'error', name, status } : world.answerOf(call));
}

describe('keyfold doctor', () => {
  it('finds no fault in a healthy service, and prints one line for each check', async () => {
    const { code, all } = await examine();
    expect({ code, states: new Set(all.map(({ state }) => state)) }).toEqual({ code: 0, states: new Set(['ok']) });
    expect(told(all)).toMatchSnapshot();
    const { stdout } = await world.operator.keyfold(['doctor'], world.settings);
    expect(stdout.trimEnd().split('\n')).toHaveLength(all.length + 1);
    expect(stdout).toMatch(/^STATE +CHECK +RESULT\nok +settings +valid\n/);
  });

  it('shows the minimum dates that are set', async () => {
    const { code, all } = await examine({ KEYFOLD_MIN_OPENING_CREATED: '2020-01-01T00:00:00Z' });
    expect(code).toBe(0);
    expect(all.filter(({ check }) => check === 'minimum dates')).toEqual([
      {
        check: 'minimum dates',
        state: 'ok',
        says: 'Keys created before 2020-01-01T00:00:00.000Z open nothing (KEYFOLD_MIN_OPENING_CREATED).',
      },
    ]);
  });

  it("finds no fault before a service's first encrypt", async () => {
    expect(await examine({ KEYFOLD_SERVICE: 'unborn' })).toMatchObject({ code: 0, bad: [] });
  });

  it('writes nothing to the table', async () => {
    world.proxy.calls = [];
    await examine();
    expect(world.proxy.calls.filter((call) => /Put|Update|Delete/.test(call))).toEqual([]);
  });

  interface Fault {
    readonly plant: () => unknown;
    /** The checks that are not ok, each with part of its message. */
    readonly found: readonly (readonly [check: string, state: string, says: string])[];
    readonly fix: string;
    readonly code: number;
    readonly environment?: () => Record<string, string | undefined>;
  }

  const faults: Record<string, Fault> = {
    'a setting with a typing mistake': {
      plant: () => undefined,
      environment: () => ({ KEYFOLD_REVOKE_CHECK: '5', KEYFOLD_EXPIRE_AFTER_MS: 'never' }),
      found: [
        ['settings', 'fault', 'KEYFOLD_REVOKE_CHECK is not a setting'],
        ['settings', 'fault', 'KEYFOLD_EXPIRE_AFTER_MS is not a positive whole number'],
      ],
      fix: 'docs/reference/configuration.md',
      code: 2,
    },
    'that no KMS key is set': {
      plant: () => undefined,
      environment: () => ({ KEYFOLD_KMS_KEYS: undefined }),
      found: [['settings', 'fault', 'one of KEYFOLD_KMS_KEYS and KEYFOLD_STATIC_MASTER_KEY_HEX must be set']],
      fix: 'docs/reference/configuration.md',
      code: 2,
    },
    'a minimum date that lies in the future': {
      plant: () => undefined,
      environment: () => ({ KEYFOLD_MIN_SEALING_CREATED: '2099-01-01T00:00:00Z' }),
      found: [['settings', 'fault', 'minSealingCreated is more than ten minutes ahead of the clock']],
      fix: 'docs/reference/configuration.md',
      code: 2,
    },
    'a clock that is two minutes behind': {
      plant: () => dateAnswers(120_000),
      found: [['clock', 'fault', "s behind AWS's"]],
      fix: 'NTP',
      code: 1,
    },
    'a clock that is two minutes ahead': {
      plant: () => dateAnswers(-120_000),
      found: [['clock', 'fault', "s ahead of AWS's"]],
      fix: 'NTP',
      code: 1,
    },
    'a KMS region that does not answer': {
      plant: () => world.kms.setFault(EAST, { kind: 'down' }),
      found: [
        [`kms ${EAST} calls`, 'fault', 'kms:GenerateDataKey failed: ECONNRESET'],
        [`kms ${EAST} key`, 'fault', 'kms:DescribeKey failed: ECONNRESET'],
        [`kms ${EAST} rotation`, 'skip', 'the key is unknown'],
        [`system keys wraps ${EAST}`, 'skip', 'calls has failed'],
      ],
      fix: `check the route to KMS in ${EAST}`,
      code: 1,
    },
    'a slow KMS region': {
      plant: () => world.kms.setFault(EAST, { kind: 'latency', ms: 1100, actions: ['Encrypt'] }),
      found: [[`kms ${EAST} calls`, 'warn', 'Encrypt 11']],
      fix: `check the route to KMS in ${EAST}`,
      code: 3,
    },
    'a KMS region that answers later than Keyfold waits': {
      plant: () => world.kms.setFault(EAST, { kind: 'latency', ms: 2100, actions: ['Encrypt'] }),
      found: [[`kms ${EAST} calls`, 'fault', 'Encrypt 21']],
      fix: 'Keyfold gives up on a call after 2000 ms',
      code: 1,
    },
    'a role that may not call Encrypt': {
      plant: () => world.kms.setFault(WEST, { kind: 'error', name: 'AccessDeniedException', actions: ['Encrypt'] }),
      found: [
        [`kms ${WEST} calls`, 'fault', 'kms:Encrypt failed: AccessDeniedException'],
        [`system keys wraps ${WEST}`, 'skip', `the check kms ${WEST} calls has failed`],
      ],
      fix: 'allow kms:Encrypt',
      code: 1,
    },
    'an endpoint of KMS that is not a URL': {
      plant: () => (process.env['AWS_ENDPOINT_URL_KMS'] = 'nowhere'),
      environment: () => ({ KEYFOLD_KMS_KEYS: JSON.stringify({ [WEST]: world.keys[WEST] }) }),
      found: [
        [`kms ${WEST} calls`, 'fault', 'kms:GenerateDataKey failed: ERR_INVALID_URL'],
        [`kms ${WEST} key`, 'fault', 'kms:DescribeKey failed: ERR_INVALID_URL'],
        [`kms ${WEST} rotation`, 'skip', 'the key is unknown'],
        [`system keys wraps ${WEST}`, 'skip', 'has failed'],
        ['system keys proofs', 'skip', 'No KMS region answered'],
      ],
      fix: 'the endpoint in the settings',
      code: 1,
    },
    'a role that may not call GenerateDataKey': {
      plant: () =>
        world.kms.setFault(WEST, { kind: 'error', name: 'AccessDeniedException', actions: ['GenerateDataKey'] }),
      found: [[`kms ${WEST} calls`, 'fault', 'kms:GenerateDataKey failed: AccessDeniedException']],
      fix: 'allow kms:GenerateDataKey',
      code: 1,
    },
    'a role that may not see the rotation': {
      plant: () =>
        world.kms.setFault(WEST, { kind: 'error', name: 'AccessDeniedException', actions: ['GetKeyRotationStatus'] }),
      found: [[`kms ${WEST} rotation`, 'warn', 'kms:GetKeyRotationStatus failed']],
      fix: 'allow kms:GetKeyRotationStatus',
      code: 3,
    },
    'credentials that expire within five minutes': {
      plant: () => expireIn(299_000),
      found: [['credentials', 'warn', 'end at 20']],
      fix: 'log in again, or set AWS_PROFILE: aws sts get-caller-identity',
      code: 3,
    },
    'credentials that have expired': {
      plant: () => expireIn(-1000),
      found: [['credentials', 'fault', 'end at 20']],
      fix: 'log in again, or set AWS_PROFILE: aws sts get-caller-identity',
      code: 1,
    },
    'that no service of AWS responds': {
      plant: () => undefined,
      environment: () => ({
        KEYFOLD_KMS_KEYS: undefined,
        KEYFOLD_STATIC_MASTER_KEY_HEX: '07'.repeat(32),
        KEYFOLD_DYNAMODB_ENDPOINT: 'http://127.0.0.1:9',
      }),
      found: [
        ['clock', 'skip', 'no service of AWS has answered'],
        ['kms', 'warn', 'a static master key'],
        ['table', 'fault', 'ECONNREFUSED'],
        ['system keys', 'skip', 'the table does not answer'],
        ['erasures', 'skip', 'the table does not answer'],
      ],
      fix: 'the endpoint in the settings',
      code: 1,
    },
    'expired credentials': {
      plant: () => failing('DescribeTable', 'UnrecognizedClientException'),
      found: [
        ['table', 'fault', 'dynamodb:DescribeTable failed: UnrecognizedClientException'],
        ['system keys', 'skip', 'the table does not answer'],
        ['erasures', 'skip', 'the table does not answer'],
      ],
      fix: 'renew the credentials',
      code: 1,
    },
    'a wrong secret access key': {
      plant: () => failing('DescribeTable', 'InvalidSignatureException'),
      found: [
        ['table', 'fault', 'dynamodb:DescribeTable failed: InvalidSignatureException'],
        ['system keys', 'skip', 'the table does not answer'],
        ['erasures', 'skip', 'the table does not answer'],
      ],
      fix: 'correct the secret access key',
      code: 1,
    },
    'KMS that throttles': {
      plant: () => world.kms.setFault(EAST, { kind: 'throttle', perSecond: 0, actions: ['Decrypt'] }),
      found: [
        [`kms ${EAST} calls`, 'fault', 'kms:Decrypt failed: ThrottlingException'],
        [`system keys wraps ${EAST}`, 'skip', 'calls has failed'],
      ],
      fix: 'docs/runbooks/kms-throttles.md',
      code: 1,
    },
    'an alias that does not exist': {
      plant: () => undefined,
      environment: () => ({
        KEYFOLD_KMS_KEYS: JSON.stringify({ ...world.keys, [EAST]: world.keys[EAST]?.replace('keyfold', 'absent') }),
      }),
      found: [
        [`kms ${EAST} calls`, 'fault', 'NotFoundException'],
        [`kms ${EAST} key`, 'fault', 'NotFoundException'],
        [`kms ${EAST} rotation`, 'skip', 'unknown'],
        [`system keys wraps ${EAST}`, 'skip', 'calls has failed'],
      ],
      fix: `correct ${EAST} in KEYFOLD_KMS_KEYS`,
      code: 1,
    },
    'a disabled KMS key': {
      plant: () => inKms(EAST, (client, KeyId) => client.send(new DisableKeyCommand({ KeyId }))),
      found: [
        [`kms ${EAST} calls`, 'fault', 'DisabledException'],
        [`kms ${EAST} key`, 'fault', ': disabled'],
        [`kms ${EAST} rotation`, 'skip', 'Disabled'],
        [`system keys wraps ${EAST}`, 'skip', 'calls has failed'],
      ],
      fix: `aws kms enable-key --region ${EAST} --key-id arn:aws:kms:`,
      code: 1,
    },
    'a KMS key whose deletion is scheduled': {
      plant: () => inKms(EAST, (client, KeyId) => client.send(new ScheduleKeyDeletionCommand({ KeyId }))),
      found: [
        [`kms ${EAST} calls`, 'fault', 'KMSInvalidStateException'],
        [`kms ${EAST} key`, 'fault', 'KMS deletes it on 20'],
        [`kms ${EAST} rotation`, 'skip', 'PendingDeletion'],
        [`system keys wraps ${EAST}`, 'skip', 'calls has failed'],
      ],
      fix: `aws kms cancel-key-deletion --region ${EAST} --key-id arn:aws:kms:`,
      code: 1,
    },
    'a KMS key that is not rotated': {
      plant: () => inKms(WEST, (client, KeyId) => client.send(new DisableKeyRotationCommand({ KeyId }))),
      found: [[`kms ${WEST} rotation`, 'warn', 'KMS does not rotate the key']],
      fix: `aws kms enable-key-rotation --region ${WEST} --key-id arn:aws:kms:`,
      code: 3,
    },
    'a table that does not exist': {
      plant: () => undefined,
      environment: () => ({ KEYFOLD_TABLE: 'NoSuchTable' }),
      found: [
        ['table', 'fault', `there is no table NoSuchTable in ${WEST}`],
        ['system keys', 'skip', 'the table does not answer'],
        ['erasures', 'skip', 'the table does not answer'],
      ],
      fix: 'correct KEYFOLD_TABLE',
      code: 1,
    },
    'an endpoint where nothing listens': {
      plant: () => undefined,
      environment: () => ({ KEYFOLD_DYNAMODB_ENDPOINT: 'http://127.0.0.1:9' }),
      found: [
        ['table', 'fault', 'dynamodb:DescribeTable failed: ECONNREFUSED 127.0.0.1:9'],
        ['system keys', 'skip', 'the table does not answer'],
        ['erasures', 'skip', 'the table does not answer'],
      ],
      fix: 'the endpoint in the settings',
      code: 1,
    },
    'an endpoint of another service': {
      plant: () => failing('', 'UnknownOperationException'),
      found: [
        ['table', 'fault', 'the endpoint does not have dynamodb:DescribeTable'],
        ['system keys', 'skip', 'the table does not answer'],
        ['erasures', 'skip', 'the table does not answer'],
      ],
      fix: 'the endpoint in the settings',
      code: 1,
    },
    'an endpoint that redirects': {
      plant: () => failing('', 'Unknown', 302),
      found: [
        ['table', 'fault', 'dynamodb:DescribeTable failed: Unknown'],
        ['system keys', 'skip', 'the table does not answer'],
        ['erasures', 'skip', 'the table does not answer'],
      ],
      fix: 'the endpoint in the settings',
      code: 1,
    },
    'rows that the table is too busy to return': {
      plant: () => failing('Query', 'ProvisionedThroughputExceededException'),
      found: [
        ['system keys', 'fault', 'ProvisionedThroughputExceededException'],
        ['erasures', 'warn', 'ProvisionedThroughputExceededException'],
      ],
      fix: 'find the process that uses up the capacity of the table',
      code: 1,
    },
    'rows that the role may not read': {
      plant: () => failing('Query', 'AccessDeniedException'),
      found: [
        ['system keys', 'fault', 'AccessDeniedException'],
        ['erasures', 'skip', 'AccessDeniedException'],
      ],
      fix: "allow dynamodb:Query on the service's rows",
      code: 1,
    },
    'a table from which DynamoDB deletes rows by their date': {
      plant: () => (world.table.expiry = { TimeToLiveStatus: 'ENABLED', AttributeName: 'Created' }),
      found: [['table expiry', 'fault', 'DynamoDB deletes rows when the time in their attribute Created has passed']],
      fix: `aws dynamodb update-time-to-live --region ${WEST} --table-name EncryptionKey`,
      code: 1,
    },
    'an erasure that is due': {
      plant: async () => {
        const names = { service: 'orders', product: 'shop' };
        const table = { endpoint: world.proxy.endpoint, region: WEST };
        const { register } = operatorAdapters.openErasureTables(table, names);
        const now = Math.floor(world.operator.clock.nowMs / 1000);
        const entries = [
          { partition: 'deleted', at: 60, due: 120, deletedAt: 180 },
          { partition: 'waiting', at: 120, due: now + 60 },
          { partition: 'tenant-1', at: 180, due: 86_400 },
        ];
        for (const entry of entries) await register.add({ ...entry, erase: 'id' } as RegisteredErasure);
      },
      found: [['erasures', 'warn', 'keys are due for deletion: tenant-1 since 1970-01-02T00:00:00.000Z']],
      fix: 'keyfold partitions erase PARTITION --finish',
      code: 3,
    },
    'a register of erasures that the role may not read': {
      plant: () => {
        let queries = 0;
        world.proxy.faultOf = (call) => {
          const isSecond = call.startsWith('Query ') && (queries += 1) > 1;
          return isSecond ? { kind: 'error', name: 'AccessDeniedException', status: 400 } : world.answerOf(call);
        };
      },
      found: [['erasures', 'skip', 'could not look: DynamoDB table EncryptionKey in us-west-2: AccessDeniedException']],
      fix: '',
      code: 0,
    },
    'a service name with a typing mistake': {
      plant: () => (world.table.ItemCount = 2),
      environment: () => ({ KEYFOLD_SERVICE: 'ordres' }),
      found: [['system keys', 'warn', '0 of _SK_ordres_shop, but the table has other rows']],
      fix: 'KEYFOLD_SERVICE',
      code: 3,
    },
    'a table with another primary key': {
      plant: () => Object.assign(world.table, { KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }] }),
      found: [['table', 'fault', 'has the primary key pk ? HASH, not Id S HASH, Created N RANGE']],
      fix: 'name the key table in KEYFOLD_TABLE',
      code: 1,
    },
    'a table without point-in-time recovery': {
      plant: () => (world.table.recovery = { PointInTimeRecoveryStatus: 'DISABLED' }),
      found: [['table recovery', 'warn', 'point-in-time recovery is off']],
      fix: `aws dynamodb update-continuous-backups --region ${WEST} --table-name EncryptionKey`,
      code: 3,
    },
    'a table without deletion protection': {
      plant: () => (world.table.DeletionProtectionEnabled = false),
      found: [['table deletion', 'warn', 'not protected from deletion']],
      fix: 'update-table --region us-west-2 --table-name EncryptionKey --deletion-protection-enabled',
      code: 3,
    },
    'a table whose KMS key DynamoDB cannot use': {
      plant: () => {
        const KMSMasterKeyArn = 'arn:aws:kms:us-west-2:111122223333:key/table';
        world.table.SSEDescription = { KMSMasterKeyArn, InaccessibleEncryptionDateTime: 1_790_000_000 };
      },
      found: [['table encryption', 'fault', 'DynamoDB cannot use arn:aws:kms:us-west-2:111122223333:key/table']],
      fix: 'aws kms enable-key',
      code: 1,
    },
    'a Global Table without a region suffix': {
      plant: () => (world.table.Replicas = [{ RegionName: EAST, ReplicaStatus: 'ACTIVE' }]),
      found: [['table replicas', 'fault', 'keys have no region suffix']],
      fix: 'KEYFOLD_REGION_SUFFIX',
      code: 1,
    },
    'a replica that has stopped': {
      plant: () =>
        (world.table.Replicas = [{ RegionName: EAST, ReplicaStatus: 'INACCESSIBLE_ENCRYPTION_CREDENTIALS' }]),
      environment: () => ({ KEYFOLD_REGION_SUFFIX: WEST, KEYFOLD_SERVICE: 'unborn' }),
      found: [[`replica ${EAST}`, 'fault', 'INACCESSIBLE_ENCRYPTION_CREDENTIALS']],
      fix: 'docs/runbooks/replication-stopped.md',
      code: 1,
    },
    'a replica without the table': {
      plant: () => {
        world.table.Replicas = [{ RegionName: EAST, ReplicaStatus: 'ACTIVE' }];
        let descriptions = 0;
        world.proxy.faultOf = (call) => {
          const isSecond = call.startsWith('DescribeTable ') && (descriptions += 1) > 1;
          return isSecond ? { kind: 'error', name: 'ResourceNotFoundException', status: 400 } : world.answerOf(call);
        };
      },
      environment: () => ({ KEYFOLD_REGION_SUFFIX: WEST, KEYFOLD_SERVICE: 'unborn' }),
      found: [[`replica ${EAST}`, 'fault', `there is no table EncryptionKey in ${EAST}`]],
      fix: 'npm run deploy:table',
      code: 1,
    },
    'a corrupted row': {
      plant: async () => {
        const { id } = await systemKey();
        await world.operator.put({ Id: { S: id }, Created: { N: '60' }, KeyRecord: { S: 'x' } });
      },
      found: [['system keys', 'fault', 'unreadable rows: 60']],
      fix: 'docs/runbooks/rows-corrupted.md',
      code: 1,
    },
    'a maintenance that does not run': {
      plant: () => world.operator.clock.advance(84 * DAY_MS),
      found: [['system keys age', 'warn', 'the maintenance has not made the next one']],
      fix: 'keyfold maintain',
      code: 3,
    },
    'only System Keys that have expired': {
      plant: () => world.operator.clock.advance(91 * DAY_MS),
      found: [['system keys age', 'warn', 'no System Key may seal']],
      fix: 'keyfold maintain',
      code: 3,
    },
    'a System Key that is dated in the future': {
      plant: async () => world.operator.put(await dated(3600)),
      found: [['system keys dates', 'fault', 'dated in the future']],
      fix: 'docs/runbooks/row-dated-ahead.md',
      code: 1,
    },
    "a System Key that lacks one region's wrap": {
      plant: async () => {
        await putKeks((keks) => keks.filter(({ region }) => region === WEST));
      },
      found: [[`system keys wraps ${EAST}`, 'fault', `no wrap by ${EAST}`]],
      fix: 'keyfold maintain',
      code: 1,
    },
    'a wrap that does not open': {
      plant: async () => {
        const broken = { encryptedKek: Buffer.alloc(99) };
        await putKeks((keks) => keks.map((kek) => (kek.region === EAST ? { ...kek, ...broken } : kek)));
      },
      found: [[`system keys wraps ${EAST}`, 'fault', 'does not open: InvalidCiphertextException']],
      fix: 'keyfold maintain',
      code: 1,
    },
    'a wrap by the KMS key that the alias pointed to before': {
      plant: () =>
        inKms(EAST, async (client, KeyId) => {
          await client.send(new CreateAliasCommand({ AliasName: 'alias/keyfold-retired-1', TargetKeyId: KeyId }));
          const { KeyMetadata } = await client.send(new CreateKeyCommand({}));
          await client.send(new UpdateAliasCommand({ AliasName: 'alias/keyfold', TargetKeyId: KeyMetadata?.KeyId }));
        }),
      found: [
        [`kms ${EAST} rotation`, 'warn', 'KMS does not rotate the key'],
        [`system keys wraps ${EAST}`, 'warn', 'by another KMS key than the configured one'],
      ],
      fix: 'keyfold maintain, before you disable the other key',
      code: 3,
    },
    'a System Key without a proof': {
      plant: async () => world.operator.put({ ...(await systemKey()), proof: undefined }),
      found: [['system keys proofs', 'warn', 'rows without a proof']],
      fix: 'keyfold keys prove',
      code: 3,
    },
    'a System Key without a proof if proofs are required': {
      plant: async () => world.operator.put({ ...(await systemKey()), proof: undefined }),
      environment: () => ({ KEYFOLD_KEY_ROW_PROOFS: 'require' }),
      found: [['system keys proofs', 'fault', 'rows without a proof']],
      fix: 'keyfold keys prove',
      code: 1,
    },
    'a System Key whose proof was forged': {
      plant: async () => world.operator.put({ ...(await systemKey()), proof: Buffer.alloc(32) }),
      found: [['system keys proofs', 'fault', 'its proof does not hold']],
      fix: 'docs/runbooks/rows-corrupted.md',
      code: 1,
    },
    "callers who use most of a region's KMS quota": {
      plant: () => (world.quotas.sums[EAST] = { 'CryptographicOperationsSymmetric CallCount': [60, 60 * 8123] }),
      found: [[`kms ${EAST} quota`, 'warn', 'at most 8123 of 10000 calls a second in the last 24 h']],
      fix: 'docs/runbooks/kms-throttles.md',
      code: 3,
    },
    'a table that is read almost as often as the account may read it': {
      plant: () => (world.quotas.sums[WEST] = { 'EncryptionKey ConsumedReadCapacityUnits': [60 * 32_000] }),
      found: [['table reads', 'warn', 'at most 32000 of 40000 units a second in the last 24 h']],
      fix: `aws service-quotas request-service-quota-increase --service-code dynamodb --region ${WEST} --quota-code L-CF0CBE56`,
      code: 3,
    },
    'a table with a provisioned capacity that its writers use up': {
      plant: () => {
        world.table.ProvisionedThroughput = { ReadCapacityUnits: 100, WriteCapacityUnits: 10 };
        world.quotas.sums[WEST] = { 'EncryptionKey ConsumedWriteCapacityUnits': [537] };
      },
      found: [['table writes', 'warn', 'at most 8.95 of 10 units a second in the last 24 h']],
      fix: `aws dynamodb update-table --region ${WEST} --table-name EncryptionKey`,
      code: 3,
    },
    'an on-demand table with a maximum that its readers reach': {
      plant: () => {
        world.table.ProvisionedThroughput = { ReadCapacityUnits: 0, WriteCapacityUnits: 0 };
        world.table.OnDemandThroughput = { MaxReadRequestUnits: 5, MaxWriteRequestUnits: -1 };
        world.quotas.sums[WEST] = { 'EncryptionKey ConsumedReadCapacityUnits': [300] };
      },
      found: [['table reads', 'warn', 'at most 5 of 5 units a second in the last 24 h']],
      fix: "raise the table's own limit",
      code: 3,
    },
    'a role that may not see the quotas': {
      plant: () => {
        world.quotas.refused.add('servicequotas:GetServiceQuota');
        world.table.OnDemandThroughput = { MaxReadRequestUnits: 5 };
        world.quotas.refused.add('cloudwatch:GetMetricStatistics');
      },
      found: [
        [`kms ${WEST} quota`, 'skip', 'could not look: servicequotas:GetServiceQuota failed: AccessDeniedException'],
        [`kms ${EAST} quota`, 'skip', 'could not look: servicequotas:GetServiceQuota failed: AccessDeniedException'],
        ['table reads', 'skip', 'could not look: cloudwatch:GetMetricStatistics failed: AccessDeniedException'],
        ['table writes', 'skip', 'could not look: servicequotas:GetServiceQuota failed: AccessDeniedException'],
      ],
      fix: '',
      code: 0,
    },
    'processes of two regions that use one region suffix': {
      plant: () => (world.table.Replicas = [{ RegionName: EAST, ReplicaStatus: 'ACTIVE' }]),
      environment: () => ({ KEYFOLD_REGION_SUFFIX: EAST, KEYFOLD_SERVICE: 'unborn' }),
      found: [['settings', 'fault', 'KEYFOLD_REGION_SUFFIX']],
      fix: 'docs/reference/configuration.md',
      code: 2,
    },
    'a minimum date after which no System Key was created': {
      plant: () => world.operator.clock.advance(3_600_000),
      environment: () => ({ KEYFOLD_MIN_OPENING_CREATED: new Date(Date.now() + 1_800_000).toISOString() }),
      found: [
        ['system keys age', 'warn', 'no System Key may seal'],
        ['system keys dates', 'fault', 'all System Keys were created before KEYFOLD_MIN_OPENING_CREATED'],
      ],
      fix: 'correct KEYFOLD_MIN_OPENING_CREATED',
      code: 1,
    },
    'the only System Key, which was revoked': {
      plant: async () => world.operator.put({ ...(await systemKey()), revoked: true }),
      found: [['system keys age', 'warn', 'no System Key may seal']],
      fix: 'keyfold maintain',
      code: 3,
    },
    'the only System Key, which was deleted': {
      plant: async () => {
        const { id, created } = await systemKey();
        const client = new DynamoDBClient({ endpoint: world.operator.endpoint, region: WEST });
        const Key = { Id: { S: id }, Created: { N: String(created) } };
        await client.send(new DeleteItemCommand({ TableName: 'EncryptionKey', Key }));
        world.table.ItemCount = 1;
      },
      found: [['system keys', 'warn', '0 of _SK_orders_shop, but the table has other rows']],
      fix: 'if rows were deleted, docs/runbooks/table-lost.md',
      code: 3,
    },
    'a System Key that is dated in milliseconds': {
      plant: async () => {
        const row = await systemKey();
        await world.operator.put({ ...row, created: (row.created * 1000) as never });
      },
      found: [['system keys dates', 'fault', 'dated in the future']],
      fix: 'docs/runbooks/row-dated-ahead.md',
      code: 1,
    },
    'a replica without point-in-time recovery': {
      plant: () => {
        world.table.Replicas = [{ RegionName: EAST, ReplicaStatus: 'ACTIVE' }];
        let descriptions = 0;
        world.proxy.faultOf = (call) => {
          if (call.startsWith('DescribeContinuousBackups ') && (descriptions += 1) > 1)
            world.table.recovery = { PointInTimeRecoveryStatus: 'DISABLED' };
          return world.answerOf(call);
        };
      },
      environment: () => ({ KEYFOLD_REGION_SUFFIX: WEST, KEYFOLD_SERVICE: 'unborn' }),
      found: [[`replica ${EAST} recovery`, 'warn', 'point-in-time recovery is off']],
      fix: `aws dynamodb update-continuous-backups --region ${EAST} --table-name EncryptionKey`,
      code: 3,
    },
    'an environment in which TLS checks no certificate': {
      plant: () => undefined,
      environment: () => ({ NODE_TLS_REJECT_UNAUTHORIZED: '0' }),
      found: [['tls', 'fault', 'NODE_TLS_REJECT_UNAUTHORIZED=0']],
      fix: 'NODE_EXTRA_CA_CERTS',
      code: 1,
    },
    'an endpoint of KMS without TLS on another machine': {
      plant: () => (process.env['AWS_ENDPOINT_URL_KMS'] = world.kms.endpoint.replace('127.0.0.1', '0.0.0.0')),
      found: [['tls', 'fault', 'AWS_ENDPOINT_URL_KMS begins with http:']],
      fix: 'https:',
      code: 1,
    },
    'a static master key': {
      plant: () => undefined,
      environment: () => ({
        KEYFOLD_KMS_KEYS: undefined,
        KEYFOLD_STATIC_MASTER_KEY_HEX: '07'.repeat(32),
        KEYFOLD_SERVICE: 'unborn',
      }),
      found: [['kms', 'warn', 'a static master key wraps the System Keys']],
      fix: 'KEYFOLD_KMS_KEYS',
      code: 3,
    },
  };

  it.for(Object.entries(faults))('reports %s, and says how to correct the problem', async ([, fault]) => {
    await fault.plant();
    const { code, bad } = await examine(fault.environment?.());
    expect(bad.map(({ check, state }) => [check, state])).toEqual(fault.found.map(([check, state]) => [check, state]));
    for (const [i, [, , says]] of fault.found.entries()) expect(bad[i]?.says).toContain(says);
    expect(bad.map(({ fix }) => fix ?? '').join('\n')).toContain(fault.fix);
    for (const { state, fix } of bad) expect(fix === undefined).toBe(state === 'skip');
    expect(code).toBe(fault.code);
    expect(told(bad)).toMatchSnapshot();
  });

  it('finds no fault in credentials that stay valid for more than five minutes, and shows when the credentials expire', async () => {
    expireIn(301_000);
    const { code, all } = await examine();
    expect([code, all[1]]).toEqual([
      0,
      { check: 'credentials', state: 'ok', says: `end at ${process.env['AWS_CREDENTIAL_EXPIRATION']}` },
    ]);
  });

  it('prints each line in the colour of its state', async () => {
    world.quotas.refused.add('servicequotas:GetServiceQuota');
    world.table.DeletionProtectionEnabled = false;
    await world.operator.put({ ...(await systemKey()), proof: Buffer.alloc(32) });
    const printed: (readonly [text: string, colour: string | undefined])[] = [];
    await runCli(['doctor'], {
      ...operatorAdapters,
      environment: { ...process.env, ...world.operator.settings(), ...world.settings },
      stdin: Readable.from([]),
      terminal: { out: (text, colour) => void printed.push([text, colour]), err: () => {} },
      caller: { user: 'u', host: 'h' },
      now: world.operator.clock.now,
      version: '0.0.0',
    });
    const [[header, none] = [], ...lines] = printed;
    expect([header?.split(/ +/), none]).toEqual([['STATE', 'CHECK', 'RESULT'], undefined]);
    const colours = new Set(lines.map(([text, colour]) => `${text.split(' ')[0]} ${colour}`));
    expect(colours).toEqual(new Set(['ok green', 'warn yellow', 'fault red', 'skip dim']));
  });

  it('checks that Vault wraps and unwraps a key at each address', async () => {
    const [vault, another] = await Promise.all([StubVault.start(), StubVault.start()]);
    const folder = await mkdtemp(join(tmpdir(), 'keyfold-token-'));
    await writeFile(join(folder, 'token'), 'fixed');
    const settings = {
      KEYFOLD_KMS_KEYS: undefined,
      KEYFOLD_SERVICE: 'vaulted',
      KEYFOLD_KMS: 'vault',
      KEYFOLD_VAULT_ADDRESSES: `${vault.url},${another.url}`,
      KEYFOLD_VAULT_TRANSIT_KEY: 'keyfold',
      KEYFOLD_VAULT_AUTH: 'token',
      KEYFOLD_VAULT_SECRET_FILE: join(folder, 'token'),
    };
    const { code, all } = await examine(settings);
    expect({ code, states: new Set(all.map(({ state }) => state)) }).toEqual({ code: 0, states: new Set(['ok']) });
    expect(all.map(({ check }) => check)).toEqual(
      expect.arrayContaining([`vault ${vault.url} calls`, `vault ${another.url} calls`]),
    );
    await another.stop();
    const { bad, ...run } = await examine(settings);
    expect(bad).toMatchObject([{ check: `vault ${another.url} calls`, state: 'fault' }]);
    expect(bad[0]?.fix).toContain('docs/how-to/use-vault.md');
    expect(run.code).toBe(1);
    await Promise.all([vault.stop(), rm(folder, { recursive: true })]);
  });

  it('checks that an HSM wraps and unwraps a key, or says which settings are missing', async () => {
    process.env['NODE_PATH'] = FAKE_DRIVER_PATH;
    const token = new FakeToken();
    const pinFile = `${token.library}.pin`;
    await writeFile(pinFile, '1234\n');
    const settings = {
      KEYFOLD_KMS_KEYS: undefined,
      KEYFOLD_SERVICE: 'in-hsm',
      KEYFOLD_KMS: 'pkcs11',
      KEYFOLD_PKCS11_LIBRARY: token.library,
      KEYFOLD_PKCS11_TOKEN_LABEL: 'production',
      KEYFOLD_PKCS11_KEY_LABELS: 'keyfold',
      KEYFOLD_PKCS11_PIN_FILE: pinFile,
    };
    const { code, all } = await examine(settings);
    expect({ code, states: new Set(all.map(({ state }) => state)) }).toEqual({ code: 0, states: new Set(['ok']) });
    expect(all.map(({ check }) => check)).toContain('hsm production calls');
    token.set({ keys: [] });
    token.loseSessions();
    const { bad, ...run } = await examine(settings);
    expect(bad).toMatchObject([
      { check: 'hsm production calls', state: 'fault', says: expect.stringContaining('KeyNotFound') },
    ]);
    expect(bad[0]?.fix).toContain('docs/how-to/use-an-hsm.md');
    expect(run.code).toBe(1);
    const { stdout } = await world.operator.keyfold(['doctor'], { ...world.settings, ...settings });
    expect(stdout).toContain('(KeyNotFound). Fix: docs/how-to/use-an-hsm.md');
    const incomplete = await examine({ ...settings, KEYFOLD_PKCS11_PIN_FILE: undefined });
    expect(incomplete.code).toBe(2);
    expect(incomplete.bad).toMatchObject([{ says: 'KEYFOLD_PKCS11_PIN_FILE must be set with KEYFOLD_KMS=pkcs11' }]);
    token.remove();
  });

  it('stops after the credentials check if this machine has no credentials', async () => {
    const none = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_CONFIG_FILE: '/dev/null' };
    const files = { AWS_SHARED_CREDENTIALS_FILE: '/dev/null', AWS_ENDPOINT_URL_KMS: world.kms.endpoint };
    const run = await world.operator.keyfoldProcess(['doctor', '--json'], { ...world.settings, ...none, ...files });
    expect(run.code).toBe(1);
    expect(JSON.parse(run.stdout)).toMatchObject([
      { check: 'settings', state: 'ok' },
      { check: 'credentials', state: 'fault', says: expect.stringContaining('none found: CredentialsProviderError') },
    ]);
  });

  it('shows how much of each quota is used, even if AWS reports only the default value', async () => {
    world.quotas.knowsOnlyDefaults = true;
    world.quotas.sums[WEST] = { 'CryptographicOperationsSymmetric CallCount': [30, 75, 3] };
    const { all, code } = await examine();
    expect(code).toBe(0);
    expect(all.filter(({ check }) => /quota$|reads$|writes$/.test(check))).toEqual([
      { check: `kms ${WEST} quota`, state: 'ok', says: 'at most 1.25 of 10000 calls a second in the last 24 h' },
      { check: `kms ${EAST} quota`, state: 'ok', says: 'at most 0 of 10000 calls a second in the last 24 h' },
      { check: 'table reads', state: 'ok', says: 'at most 0 of 40000 units a second in the last 24 h' },
      { check: 'table writes', state: 'ok', says: 'at most 0 of 40000 units a second in the last 24 h' },
    ]);
  });

  it('names the KMS key that encrypts the table', async () => {
    const KMSMasterKeyArn = 'arn:aws:kms:us-west-2:111122223333:key/table';
    world.table.SSEDescription = { KMSMasterKeyArn };
    const { all, code } = await examine();
    expect(code).toBe(0);
    expect(all).toContainEqual({ check: 'table encryption', state: 'ok', says: KMSMasterKeyArn });
  });

  it('describes each replica in its own region', async () => {
    world.table.Replicas = [{ RegionName: EAST, ReplicaStatus: 'ACTIVE' }];
    const { all, code } = await examine({ KEYFOLD_REGION_SUFFIX: WEST, KEYFOLD_SERVICE: 'unborn' });
    expect(code).toBe(0);
    expect(all.filter(({ check }) => check.startsWith(`replica ${EAST}`))).toHaveLength(6);
    expect(all).toContainEqual({ check: 'table replicas', state: 'ok', says: `${WEST}, ${EAST}` });
  });

  it('describes each replica, and reads the used capacity, even if an ARN names the table', async () => {
    // Respond in place of the emulator, which finds tables only by name and not by ARN.
    const Table = { TableStatus: 'ACTIVE', Replicas: [{ RegionName: EAST, ReplicaStatus: 'ACTIVE' }] };
    world.proxy.faultOf = (call) =>
      call.startsWith('DescribeTable ') ? { kind: 'answered', answer: { Table } } : world.answerOf(call);
    world.quotas.sums[WEST] = { 'EncryptionKey ConsumedReadCapacityUnits': [60 * 32_000] };
    const { all } = await examine({
      KEYFOLD_REGION_SUFFIX: WEST,
      KEYFOLD_TABLE: `arn:aws:dynamodb:${WEST}:111122223333:table/EncryptionKey`,
    });
    expect(all).toContainEqual({ check: `replica ${EAST}`, state: 'ok', says: 'ACTIVE' });
    expect(all.find(({ check }) => check === 'table reads')?.state).toBe('warn');
  });
});

it("keyfold --version prints the package's version", async () => {
  const { code, stdout } = await world.operator.keyfoldProcess(['--version']);
  expect({ code, stdout }).toEqual({ code: 0, stdout: `${manifest.version}\n` });
});
