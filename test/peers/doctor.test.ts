/** Tests `keyfold doctor` on moto, which has settings of tables and keys that our emulators lack. */
import { CloudWatchClient, PutMetricDataCommand, type MetricDatum } from '@aws-sdk/client-cloudwatch';
import {
  CreateTableCommand,
  DynamoDBClient,
  UpdateContinuousBackupsCommand,
  UpdateTableCommand,
} from '@aws-sdk/client-dynamodb';
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DisableKeyCommand,
  DisableKeyRotationCommand,
  EnableKeyCommand,
  EnableKeyRotationCommand,
  KMSClient,
} from '@aws-sdk/client-kms';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { KEY_TABLE } from '../../local/dynamodb.ts';
import type { HealthCheck } from '../../src/cli/health/check.ts';
import { AwsKms, DynamoDbMetastore, SessionFactory } from '../../src/index.ts';
import { OperatorFixture } from '../support/operator.ts';
import { StubQuotas } from '../support/stub-quotas.ts';
import { AWS_ENVIRONMENT, startMoto, type PeerServer } from './processes.ts';

Object.assign(process.env, AWS_ENVIRONMENT);

const REGIONS = ['us-west-2', 'us-east-1'] as const;
const [WEST, EAST] = REGIONS;
const TableName = 'EncryptionKey';
const ALIAS = 'alias/keyfold';

let moto: PeerServer;
let operator: OperatorFixture;
let dynamoDb: DynamoDBClient;
let quotas: StubQuotas;
const arns: Record<string, string> = {};
const keyIds: Record<string, string> = {};

function kmsIn(region: string): KMSClient {
  return new KMSClient({ region, endpoint: moto.endpoint });
}

beforeAll(async () => {
  moto = await startMoto();
  process.env['AWS_ENDPOINT_URL_KMS'] = moto.endpoint;
  // Use a stub for the quotas of KMS and DynamoDB, which moto lacks. The metrics come from moto.
  quotas = await StubQuotas.start();
  process.env['AWS_ENDPOINT_URL_CLOUDWATCH'] = moto.endpoint;
  operator = OperatorFixture.at(moto.endpoint);
  for (const region of REGIONS) {
    const kms = kmsIn(region);
    const { KeyMetadata: { KeyId = '', Arn = '' } = {} } = await kms.send(
      new CreateKeyCommand({ KeyUsage: 'ENCRYPT_DECRYPT' }),
    );
    await kms.send(new CreateAliasCommand({ AliasName: ALIAS, TargetKeyId: KeyId }));
    await kms.send(new EnableKeyRotationCommand({ KeyId }));
    keyIds[region] = KeyId;
    arns[region] = Arn.replace(/key\/.*/, ALIAS);
  }
  dynamoDb = new DynamoDBClient({ region: WEST, endpoint: moto.endpoint });
  await dynamoDb.send(new CreateTableCommand({ TableName, ...KEY_TABLE, DeletionProtectionEnabled: true }));
  await setRecovery(true);
  const kms = new AwsKms({ keys: arns, preferredRegion: WEST, endpoint: moto.endpoint });
  const metastore = new DynamoDbMetastore({ endpoint: moto.endpoint, region: WEST });
  const keyfold = new SessionFactory({ service: 'orders', product: 'shop', kms, metastore });
  await keyfold.session('tenant-1').encrypt(Buffer.from('x'));
});
afterAll(() => Promise.all([moto.stop(), quotas.stop()]));

async function setRecovery(PointInTimeRecoveryEnabled: boolean): Promise<void> {
  const PointInTimeRecoverySpecification = { PointInTimeRecoveryEnabled };
  await dynamoDb.send(new UpdateContinuousBackupsCommand({ TableName, PointInTimeRecoverySpecification }));
}

async function setProtection(DeletionProtectionEnabled: boolean): Promise<void> {
  await dynamoDb.send(new UpdateTableCommand({ TableName, DeletionProtectionEnabled }));
}

async function findings(environment: Record<string, string> = {}): Promise<{ code: number; found: string[] }> {
  const settings = { KEYFOLD_KMS_KEYS: JSON.stringify(arns), ...environment };
  const { code, stdout } = await operator.keyfold(['doctor', '--json'], settings);
  const checks = JSON.parse(stdout) as HealthCheck[];
  return { code, found: checks.filter(({ state }) => state !== 'ok').map(({ check, state }) => `${state} ${check}`) };
}

it('keyfold doctor finds no fault in a healthy service', async () => {
  expect(await findings()).toEqual({ code: 0, found: [] });
});

it.for([
  ['point-in-time recovery', 'recovery', () => setRecovery(false), () => setRecovery(true)],
  ['deletion protection', 'deletion', () => setProtection(false), () => setProtection(true)],
] as const)('keyfold doctor reports a table without %s', async ([, setting, plant, heal]) => {
  await plant();
  expect(await findings()).toEqual({ code: 3, found: [`warn table ${setting}`] });
  await heal();
  expect(await findings()).toEqual({ code: 0, found: [] });
});

it('keyfold doctor reports a KMS key that is not rotated or is disabled', async () => {
  const kms = kmsIn(EAST);
  const KeyId = keyIds[EAST];
  await kms.send(new DisableKeyRotationCommand({ KeyId }));
  expect(await findings()).toEqual({ code: 3, found: [`warn kms ${EAST} rotation`] });
  await kms.send(new DisableKeyCommand({ KeyId }));
  expect((await findings()).found).toContain(`fault kms ${EAST} key`);
  await kms.send(new EnableKeyCommand({ KeyId }));
  await kms.send(new EnableKeyRotationCommand({ KeyId }));
});

it("keyfold doctor finds the busiest minute in CloudWatch's metrics", async () => {
  const metrics = new CloudWatchClient({ region: EAST, endpoint: moto.endpoint });
  const Dimensions = Object.entries({
    Class: 'None',
    Resource: 'CryptographicOperationsSymmetric',
    Service: 'KMS',
    Type: 'API',
  }).map(([Name, Value]) => ({ Name, Value }));
  const point = (minutesAgo: number, Value: number): MetricDatum => {
    return { MetricName: 'CallCount', Dimensions, Timestamp: new Date(Date.now() - 60_000 * minutesAgo), Value };
  };
  // The last data point is more than a day old, so the command must ignore it.
  const MetricData = [point(90, 300_000), point(90, 300_000), point(60, 540_000), point(1500, 900_000)];
  await metrics.send(new PutMetricDataCommand({ Namespace: 'AWS/Usage', MetricData }));
  expect(await findings()).toEqual({ code: 3, found: [`warn kms ${EAST} quota`] });
});
