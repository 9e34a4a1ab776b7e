/**
 * Tests the roles' policies on moto, which enforces them only by action. `test/system/infra/permissions.test.ts`
 * simulates resources and conditions. This file also deploys the app's queues to moto.
 */
import { CreateTableCommand, DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import {
  CreateKeyCommand,
  DecryptCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  KMSClient,
} from '@aws-sdk/client-kms';
import { GetQueueAttributesCommand, GetQueueUrlCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KEY_TABLE } from '../../local/dynamodb.ts';
import { packageExample } from '../integration/infra/package.ts';
import { render } from '../integration/infra/template.ts';
import { AWS_ENVIRONMENT, startMoto, type PeerServer } from './processes.ts';

Object.assign(process.env, AWS_ENVIRONMENT);

const REGION = 'us-west-2';
const ROLES = ['Api', 'Seal', 'Open', 'Maintenance'] as const;
const MOTOS_ACCOUNT = '123456789012';
const row = { Id: { S: '_SK_orders_shop' }, Created: { N: '60' } };

let moto: PeerServer;
const clients = new Map<string, { kms: KMSClient; dynamoDb: DynamoDBClient }>();
let keyId: string;
let sealed: Uint8Array;

/** Calls an AWS service that uses XML. A client library would be a needless dependency. */
async function call(service: string, parameters: Record<string, string>): Promise<string> {
  const authorization = `AWS4-HMAC-SHA256 Credential=local/20260101/${REGION}/${service}/aws4_request`;
  const answer = await fetch(moto.endpoint, {
    method: 'POST',
    headers: { authorization },
    body: new URLSearchParams(parameters),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return text;
}

interface RoleProperties {
  readonly AssumeRolePolicyDocument: unknown;
  readonly Policies: readonly { readonly PolicyName: string; readonly PolicyDocument: RolePolicy }[];
}

interface RolePolicy {
  readonly Statement: readonly object[];
}

/**
 * Replaces the resources of the policy with `*`. moto checks every call of KMS and DynamoDB against `*`, which our
 * policies do not allow.
 */
function anywhere({ Statement, ...policy }: RolePolicy): RolePolicy {
  return { ...policy, Statement: Statement.map((statement) => ({ ...statement, Resource: '*' })) };
}

const iam = (parameters: Record<string, string>): Promise<string> =>
  call('iam', { Version: '2010-05-08', ...parameters });

function valueOf(xml: string, element: string): string {
  const [, value = ''] = new RegExp(`<${element}>([^<]*)<`).exec(xml) ?? [];
  return value;
}

async function createStack(name: string, template: object): Promise<void> {
  const TemplateBody = JSON.stringify(template);
  await call('cloudformation', { Action: 'CreateStack', Version: '2010-05-15', StackName: name, TemplateBody });
}

/** Lets this many calls pass before moto enforces policies. */
async function enforceAfter(calls: string): Promise<void> {
  await fetch(`${moto.endpoint}/moto-api/reset-auth`, { method: 'POST', body: calls });
}

beforeAll(async () => {
  moto = await startMoto();
  const given = { endpoint: moto.endpoint, region: REGION };
  const [kms, dynamoDb] = [new KMSClient(given), new DynamoDBClient(given)];
  keyId = (await kms.send(new CreateKeyCommand({}))).KeyMetadata?.KeyId as string;
  sealed = (await kms.send(new EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from('hello') })))
    .CiphertextBlob as Uint8Array;
  await dynamoDb.send(new CreateTableCommand({ TableName: 'EncryptionKey', ...KEY_TABLE }));
  // Creates the role without a stack, because moto cannot read the policies of a role that was created by a stack.
  const { resources } = render('roles', REGION, { KeyRegions: REGION, Service: 'orders', Product: 'shop' });
  for (const role of ROLES) {
    const properties: unknown = resources[`${role}Role`]?.Properties;
    const { AssumeRolePolicyDocument, Policies } = properties as RoleProperties;
    const RoleName = role;
    const AssumeRolePolicy = JSON.stringify(AssumeRolePolicyDocument);
    await iam({ Action: 'CreateRole', RoleName, AssumeRolePolicyDocument: AssumeRolePolicy });
    for (const { PolicyName, PolicyDocument } of Policies) {
      const text = JSON.stringify(anywhere(PolicyDocument));
      await iam({ Action: 'PutRolePolicy', RoleName, PolicyName, PolicyDocument: text });
    }
    const RoleArn = `arn:aws:iam::${MOTOS_ACCOUNT}:role/${role}`;
    const session = await call('sts', {
      Action: 'AssumeRole',
      Version: '2011-06-15',
      RoleArn,
      RoleSessionName: 'test',
    });
    const credentials = {
      accessKeyId: valueOf(session, 'AccessKeyId'),
      secretAccessKey: valueOf(session, 'SecretAccessKey'),
      sessionToken: valueOf(session, 'SessionToken'),
    };
    const own = { ...given, credentials };
    clients.set(role, { kms: new KMSClient(own), dynamoDb: new DynamoDBClient(own) });
  }
});
afterAll(() => moto.stop());

/** Whether IAM refused a call. moto reports this in XML, which clients of JSON services cannot parse. */
function isRefusal({ $metadata }: Error & { $metadata?: { httpStatusCode?: number } }): boolean {
  return $metadata?.httpStatusCode === 403;
}

/** Returns the calls that a role may not make. */
async function refusedOf(role: string): Promise<string[]> {
  const { kms, dynamoDb } = clients.get(role) ?? {};
  const TableName = 'EncryptionKey';
  const calls: Record<string, () => Promise<unknown> | undefined> = {
    GenerateDataKey: () => kms?.send(new GenerateDataKeyCommand({ KeyId: keyId, KeySpec: 'AES_256' })),
    Encrypt: () => kms?.send(new EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from('hello') })),
    Decrypt: () => kms?.send(new DecryptCommand({ CiphertextBlob: sealed })),
    PutItem: () => dynamoDb?.send(new PutItemCommand({ TableName, Item: row })),
    GetItem: () => dynamoDb?.send(new GetItemCommand({ TableName, Key: row })),
  };
  const refused: string[] = [];
  for (const [name, attempt] of Object.entries(calls)) {
    await attempt()?.catch((error: Error) => {
      if (!isRefusal(error)) throw error;
      refused.push(name);
    });
  }
  return refused;
}

describe('with enforced policies', () => {
  beforeAll(() => enforceAfter('0'));
  afterAll(() => enforceAfter('inf'));

  it('the role of the open function can neither wrap a key nor write to the table', async () => {
    expect(await refusedOf('Open')).toEqual(['GenerateDataKey', 'Encrypt', 'PutItem']);
  });

  it.for(['Api', 'Seal', 'Maintenance'])(
    'the role of the function %s may make every call that is needed to create a key',
    async (role) => {
      expect(await refusedOf(role)).toEqual([]);
    },
  );

  it('the role of the seal function cannot create a KMS key', async () => {
    const { kms } = clients.get('Seal') ?? {};
    const refused = await kms?.send(new CreateKeyCommand({})).then(() => false, isRefusal);
    expect(refused).toBe(true);
  });
});

it('CloudFormation can deploy the queues of the packaged app with their unchanged properties', async () => {
  const app = await packageExample({});
  await app.remove();
  const queues = Object.entries(app.resources).filter(([, { Type }]) => Type === 'AWS::SQS::Queue');
  // Omit the attribute DeletionPolicy, because moto does not support its value here.
  const Resources = Object.fromEntries(queues.map(([id, { Type, Properties }]) => [id, { Type, Properties }]));
  await createStack('queues', { Resources });
  const sqs = new SQSClient({ endpoint: moto.endpoint, region: REGION });
  const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: 'keyfold-input' }));
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }));
  expect(Attributes).toMatchObject({ VisibilityTimeout: '720' });
  expect(JSON.parse(Attributes?.['RedrivePolicy'] ?? '{}')).toMatchObject({
    maxReceiveCount: 100,
    deadLetterTargetArn: expect.stringMatching(/:keyfold-dead-letters$/),
  });
});
