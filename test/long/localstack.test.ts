/**
 * Deploys the stacks to LocalStack with the deployment program and the AWS CLI, uses the app and changes it. Lambda's
 * runtime emulator runs the functions, because LocalStack itself can run them only in Docker. LocalStack checks no
 * permissions, and enforces neither stack policies nor the protection of stacks from deletion.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { aws } from '../../deploy/aws.ts';
import { deploy } from '../../deploy/deploy.ts';
import { readDeployment } from '../../deploy/read-deployment.ts';
import { keyStacks, roleStacks, tableStacks, type Stack } from '../../deploy/stacks.ts';
import { KeyfoldClient } from '../../src/client/index.ts';
import { LambdaTransport } from '../../src/client/lambda.ts';
import { ACCOUNT, render } from '../integration/infra/template.ts';
import { installLocalStack, startLocalStack, type LocalStack } from '../peers/localstack.ts';
import { startStub } from '../support/stub-server.ts';

const root = join(import.meta.dirname, '..', '..');
const INFRA = join(root, 'infra');
const run = promisify(execFile);
const [WEST, EAST] = ['us-west-2', 'us-east-1'];
const REGIONS = [WEST, EAST];
const ADMINISTRATOR = `arn:aws:iam::${ACCOUNT}:role/key-administrator`;
const BOUNDARY = `arn:aws:iam::${ACCOUNT}:policy/boundary`;
const KMS_KEYS = JSON.stringify(
  Object.fromEntries(REGIONS.map((region) => [region, `arn:aws:kms:${region}:${ACCOUNT}:alias/keyfold`])),
);
const NO_ROLES = { encrypt: [], decrypt: [] };

const DEPLOYMENT = {
  account: ACCOUNT,
  regions: REGIONS,
  service: 'orders',
  product: 'shop',
  classification: 'confidential',
  administrators: [ADMINISTRATOR],
  alarmEmail: 'security@example.com',
  queue: { kind: 'standard', fields: ['$.card'] },
  // Without a licence, LocalStack has no HTTP APIs.
  api: { type: 'rest' },
  permissionsBoundary: BOUNDARY,
};

let localStack: LocalStack;
let folder: string;

beforeAll(async () => {
  await installLocalStack();
  await run(process.execPath, ['scripts/build.ts'], { cwd: root });
  folder = await mkdtemp(join(tmpdir(), 'keyfold-deployed-'));
  localStack = await startLocalStack();
  // If an access key ID consists of twelve digits, LocalStack uses them as the account.
  const variables = {
    ...localStack.environment,
    AWS_ACCESS_KEY_ID: ACCOUNT,
    KEYFOLD_DEPLOY_FILE: join(folder, 'deploy.yml'),
  };
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
  const trust = statements({ Effect: 'Allow', Principal: { AWS: '*' }, Action: 'sts:AssumeRole' });
  await aws(WEST, 'iam', 'create-role', ['--role-name', 'key-administrator', '--assume-role-policy-document', trust]);
  const everything = statements({ Effect: 'Allow', Action: '*', Resource: '*' });
  await aws(WEST, 'iam', 'create-policy', ['--policy-name', 'boundary', '--policy-document', everything]);
  const session = ['--role-arn', ADMINISTRATOR, '--role-session-name', 'test'];
  const { Credentials } = await aws<{ Credentials: Record<string, string> }>(WEST, 'sts', 'assume-role', session);
  vi.stubEnv('AWS_ACCESS_KEY_ID', Credentials['AccessKeyId']);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', Credentials['SecretAccessKey']);
  vi.stubEnv('AWS_SESSION_TOKEN', Credentials['SessionToken']);
}, 1_200_000);

afterAll(async () => {
  vi.unstubAllEnvs();
  await (localStack as LocalStack | undefined)?.stop();
  await rm(folder, { recursive: true });
}, 60_000);

function statements(...Statement: object[]): string {
  return JSON.stringify({ Version: '2012-10-17', Statement });
}

/** Runs a command of the deployment program, with changes to the deployment, and returns the lines that it prints. */
async function program(args: readonly string[], changed: object = {}): Promise<string[]> {
  await writeFile(join(folder, 'deploy.yml'), JSON.stringify({ ...DEPLOYMENT, ...changed }));
  const lines: string[] = [];
  await deploy(args, (line) => lines.push(line));
  return lines;
}

/** The properties that the resources of a stack must have, according to its template and its parameters. */
function expected({ template, region, parameters }: Stack): Readonly<Record<string, Properties>> {
  const { resources } = render(template.replace('.yml', ''), region, parameters);
  return Object.fromEntries(Object.entries(resources).map(([name, { Properties }]) => [name, Properties]));
}

type Properties = Readonly<Record<string, unknown>>;

interface StackResource {
  readonly LogicalResourceId: string;
  readonly PhysicalResourceId: string;
  readonly ResourceStatus: string;
}

/** The physical ids of a stack's resources, by their logical ids. */
async function physicalIds(name: string, region: string): Promise<Record<string, string>> {
  const { StackResources } = await aws<{ StackResources: StackResource[] }>(
    region,
    'cloudformation',
    'describe-stack-resources',
    ['--stack-name', name],
  );
  return Object.fromEntries(
    StackResources.map(({ LogicalResourceId, PhysicalResourceId }) => [LogicalResourceId, PhysicalResourceId]),
  );
}

async function keyPolicy(region: string): Promise<unknown> {
  const { KeyMetadata } = await aws<{ KeyMetadata: { KeyId: string } }>(region, 'kms', 'describe-key', [
    '--key-id',
    'alias/keyfold',
  ]);
  const { Policy } = await aws<{ Policy: string }>(region, 'kms', 'get-key-policy', [
    '--key-id',
    KeyMetadata.KeyId,
    '--policy-name',
    'default',
  ]);
  return JSON.parse(Policy);
}

async function managedPolicy(name: string): Promise<unknown> {
  const version = ['--policy-arn', `arn:aws:iam::${ACCOUNT}:policy/${name}`, '--version-id', 'v1'];
  const { PolicyVersion } = await aws<{ PolicyVersion: { Document: unknown } }>(
    WEST,
    'iam',
    'get-policy-version',
    version,
  );
  return PolicyVersion.Document;
}

/** Whether a stack is protected from deletion, and its stack policy. */
async function protectionOf(name: string): Promise<object> {
  const named = ['--stack-name', name];
  const { Stacks } = await aws<{ Stacks: object[] }>(WEST, 'cloudformation', 'describe-stacks', named);
  const { StackPolicyBody } = await aws<{ StackPolicyBody: string }>(WEST, 'cloudformation', 'get-stack-policy', named);
  return { ...Stacks[0], policy: JSON.parse(StackPolicyBody) as unknown };
}

function protectedFrom(...kept: string[]): object {
  const Resource = kept.map((name) => `LogicalResourceId/${name}`);
  return {
    EnableTerminationProtection: true,
    policy: {
      Statement: [
        { Effect: 'Allow', Action: 'Update:*', Principal: '*', Resource: '*' },
        { Effect: 'Deny', Action: ['Update:Replace', 'Update:Delete'], Principal: '*', Resource },
      ],
    },
  };
}

/** Creates a stack from a template, and waits for it. */
async function createStack(
  name: string,
  template: string,
  parameters: Readonly<Record<string, string>>,
): Promise<void> {
  const given = Object.entries(parameters).map(([ParameterKey, ParameterValue]) => ({ ParameterKey, ParameterValue }));
  await aws(WEST, 'cloudformation', 'create-stack', [
    '--stack-name',
    name,
    '--template-body',
    `file://${resolve(INFRA, template)}`,
    '--parameters',
    JSON.stringify(given),
    '--capabilities',
    'CAPABILITY_NAMED_IAM',
  ]);
  await aws(WEST, 'cloudformation', 'wait', ['stack-create-complete', '--stack-name', name]);
}

/** Deletes a stack, and waits until it is gone. */
async function deleteStack(name: string): Promise<void> {
  await aws(WEST, 'cloudformation', 'delete-stack', ['--stack-name', name]);
  await aws(WEST, 'cloudformation', 'wait', ['stack-delete-complete', '--stack-name', name]);
}

/** A client that invokes the functions `seal` and `open` of a region. */
function clientIn(region: string): KeyfoldClient {
  vi.stubEnv('AWS_REGION', region);
  return new KeyfoldClient({
    lambda: new LambdaTransport({ functions: { seal: 'keyfold-seal', open: 'keyfold-open' } }),
  });
}

/** The change sets of a stack that were not executed. */
async function changeSets(name: string): Promise<unknown> {
  const { Summaries } = await aws<{ Summaries: { ExecutionStatus: string }[] }>(
    WEST,
    'cloudformation',
    'list-change-sets',
    ['--stack-name', name],
  );
  return Summaries.filter(({ ExecutionStatus }) => ExecutionStatus === 'AVAILABLE');
}

describe('deploy:keys', () => {
  let stacks: Stack[];

  beforeAll(async () => {
    await program(['keys', '--yes']);
    stacks = keyStacks(await readDeployment(join(folder, 'deploy.yml')), NO_ROLES);
  }, 300_000);

  it.for([0, 1])(
    'makes a key in region number %i, with the alias, the policy and the yearly rotation of the template',
    async (i) => {
      const { region } = stacks[i] as Stack;
      const ids = await physicalIds('keyfold-keys', region);
      expect(Object.keys(ids).toSorted()).toEqual(Object.keys(expected(stacks[i] as Stack)).toSorted());
      const { Aliases } = await aws<{ Aliases: object[] }>(region, 'kms', 'list-aliases', [
        '--key-id',
        ids['Key'] ?? '',
      ]);
      expect(Aliases).toMatchObject([{ AliasName: 'alias/keyfold' }]);
      const rotation = await aws(region, 'kms', 'get-key-rotation-status', ['--key-id', ids['Key'] ?? '']);
      expect(rotation).toMatchObject({ KeyRotationEnabled: true, RotationPeriodInDays: 365 });
      expect(await keyPolicy(region)).toEqual(expected(stacks[i] as Stack)['Key']?.['KeyPolicy']);
    },
  );

  it.for([
    ['EncryptPolicy', 'allow-encrypt-keyfold'],
    ['DecryptPolicy', 'allow-decrypt-keyfold'],
    ['CryptoPolicy', 'allow-crypto-keyfold'],
  ])(
    'creates the managed policy that the template calls %s, in the first region',
    async ([logicalId = '', name = '']) => {
      expect(await managedPolicy(name)).toEqual(expected(stacks[0] as Stack)[logicalId]?.['PolicyDocument']);
    },
  );

  it('makes a rule that sends the events of the KMS key to the alarm topic', async () => {
    const ids = await physicalIds('keyfold-keys', WEST);
    const Name = ids['KeyTouched'] ?? '';
    const rule = await aws<{ EventPattern: string }>(WEST, 'events', 'describe-rule', ['--name', Name]);
    const key = `arn:aws:kms:${WEST}:${ACCOUNT}:key/${ids['Key']}`;
    const pattern = JSON.stringify(expected(stacks[0] as Stack)['KeyTouched']?.['EventPattern']);
    expect(JSON.parse(rule.EventPattern)).toEqual(JSON.parse(pattern.replaceAll('Key.Arn', key)));
    const { Targets } = await aws<{ Targets: object[] }>(WEST, 'events', 'list-targets-by-rule', ['--rule', Name]);
    expect(Targets).toEqual([{ Id: 'alarm', Arn: ids['AlarmTopic'] }]);
  });

  it('protects the stack, the key and the alias against deletion', async () => {
    expect(await protectionOf('keyfold-keys')).toMatchObject(protectedFrom('Key', 'Alias'));
  });

  it('finds nothing to change if the deployment is the same as before', async () => {
    expect(await program(['keys'])).toEqual([
      `keyfold-keys in ${WEST}: nothing to change`,
      `keyfold-keys in ${EAST}: nothing to change`,
      'Nothing was changed. The same with -- --yes does it.',
    ]);
  });
});

describe('deploy:table', () => {
  it('makes the table, with a replica in the second region', async () => {
    await program(['table', '--yes']);
    const [stack] = tableStacks(await readDeployment(join(folder, 'deploy.yml')), [EAST]);
    const { KeySchema, AttributeDefinitions, StreamSpecification } = expected(stack as Stack)['Table'] as Properties;
    const table = {
      TableName: 'EncryptionKey',
      TableStatus: 'ACTIVE',
      KeySchema,
      AttributeDefinitions,
      BillingModeSummary: { BillingMode: 'PAY_PER_REQUEST' },
      StreamSpecification: { StreamEnabled: true, ...(StreamSpecification as object) },
    };
    for (const [region, other] of [
      [WEST, EAST],
      [EAST, WEST],
    ] as const) {
      const found = await aws(region, 'dynamodb', 'describe-table', ['--table-name', 'EncryptionKey']);
      expect(found).toMatchObject({ Table: { ...table, Replicas: [{ RegionName: other, ReplicaStatus: 'ACTIVE' }] } });
    }
  });

  it('protects the stack and the table against deletion', async () => {
    expect(await protectionOf('keyfold-table')).toMatchObject(protectedFrom('Table'));
  });
});

it('deploy:roles makes the roles of the template, with the permissions boundary', async () => {
  await program(['roles', '--yes']);
  for (const stack of roleStacks(await readDeployment(join(folder, 'deploy.yml')))) {
    const ids = await physicalIds('keyfold-roles', stack.region);
    const roles = expected(stack);
    expect(Object.keys(ids).toSorted()).toEqual(Object.keys(roles).toSorted());
    for (const [name, { AssumeRolePolicyDocument, Policies }] of Object.entries(roles)) {
      const named = ['--role-name', ids[name] ?? ''];
      expect(await aws(stack.region, 'iam', 'get-role', named)).toMatchObject({
        Role: { AssumeRolePolicyDocument, PermissionsBoundary: { PermissionsBoundaryArn: BOUNDARY } },
      });
      const policy = await aws(stack.region, 'iam', 'get-role-policy', [...named, '--policy-name', 'calls']);
      expect([policy]).toMatchObject(Policies as object[]);
    }
  }
});

describe('deploy', () => {
  it('makes the functions and the first System Keys, which KMS in every region can unwrap', async () => {
    const lines = await program(['app', '--yes']);
    for (const region of REGIONS) {
      expect(lines).toContain(`keyfold-app in ${region}: done, and every region opens every System Key`);
    }
    const { Items } = await aws<{ Items: { KeyRecord: unknown; Id: { S: string } }[] }>(WEST, 'dynamodb', 'scan', [
      '--table-name',
      'EncryptionKey',
    ]);
    expect(Items.map(({ Id }) => Id.S).toSorted()).toEqual(
      REGIONS.map((region) => `_SK_orders_shop_${region}`).toSorted(),
    );
  });

  it('makes functions that open a record from the other region', async () => {
    const record = await clientIn(WEST).partition('tenant-1').encrypt(Buffer.from('4111'));
    const opened = await clientIn(EAST).partition('tenant-1').decrypt(record);
    expect(Buffer.from(opened).toString()).toBe('4111');
  });

  it('gives a function the role and the environment variables of the deployment', async () => {
    const { Configuration } = await aws<{ Configuration: Properties }>(WEST, 'lambda', 'get-function', [
      '--function-name',
      'keyfold-seal',
    ]);
    const ids = await physicalIds('keyfold-roles', WEST);
    expect(Configuration).toMatchObject({
      Role: `arn:aws:iam::${ACCOUNT}:role/${ids['SealRole']}`,
      Runtime: 'nodejs24.x',
      MemorySize: 1024,
      Environment: {
        Variables: {
          KEYFOLD_TABLE: 'EncryptionKey',
          KEYFOLD_KMS_KEYS: KMS_KEYS,
        },
      },
    });
  });

  it('makes a REST API that passes requests to the function, which refuses them because LocalStack names no caller', async () => {
    const { RestApi } = await physicalIds('keyfold-app', WEST);
    const keyfold = new KeyfoldClient({
      http: {
        endpoint: `${localStack.endpoint}/_aws/execute-api/${RestApi}/live`,
        region: WEST,
        credentials: () => Promise.resolve({ accessKeyId: ACCOUNT, secretAccessKey: 'local' }),
      },
    });
    await expect(keyfold.partition('tenant-1').encrypt(Buffer.from('by HTTP'))).rejects.toThrow(
      'The request has not passed the authorizer that this API is configured with.',
    );
  });

  it('makes a queue function that sends the result of a message to the output queue', async () => {
    const ids = await physicalIds('keyfold-app', WEST);
    const message = { partition: 'tenant-1', document: { name: 'Ada', card: '4111' } };
    await aws(WEST, 'sqs', 'send-message', [
      '--queue-url',
      ids['InputQueue'] ?? '',
      '--message-body',
      JSON.stringify(message),
    ]);
    const receive = ['--queue-url', ids['OutputQueue'] ?? '', '--wait-time-seconds', '10'];
    const received = await vi.waitUntil(
      () => aws<{ Messages: { Body: string }[] } | undefined>(WEST, 'sqs', 'receive-message', receive),
      { timeout: 120_000 },
    );
    const result = JSON.parse(received.Messages[0]?.Body ?? '{}') as { document?: { name: string; card: unknown } };
    expect(result.document?.name).toBe('Ada');
    expect(JSON.stringify(result)).not.toContain('4111');
    const opened = await clientIn(WEST)
      .partition('tenant-1')
      .decryptFields({ document: result.document ?? {}, fields: ['$.card'] });
    expect(opened).toMatchObject({ name: 'Ada', card: '4111' });
  });

  it('makes every alarm of the app', async () => {
    const alarms = await aws<{ MetricAlarms: { AlarmName: string; AlarmActions: string[] }[] }>(
      WEST,
      'cloudwatch',
      'describe-alarms',
      ['--alarm-name-prefix', 'keyfold-'],
    );
    const ids = await physicalIds('keyfold-app', WEST);
    const names = Object.entries(ids).filter(([name]) => name.endsWith('Alarm'));
    const found = alarms.MetricAlarms.filter(({ AlarmActions }) => AlarmActions.includes(ids['AlarmTopic'] ?? ''));
    expect(names.length).toBeGreaterThan(20);
    expect(found).toHaveLength(names.length);
  });
});

describe('a change', () => {
  it('of the memory size reaches the function, which still opens records from before the change', async () => {
    const record = await clientIn(WEST).partition('tenant-1').encrypt(Buffer.from('before'));
    const lines = await program(['app', '--yes'], { functions: { open: { memoryMb: 512 } } });
    expect(lines).toContain('  Modify OpenLambdaFunction (AWS::Lambda::Function): MemorySize');
    const found = await aws(WEST, 'lambda', 'get-function-configuration', ['--function-name', 'keyfold-open']);
    expect(found).toMatchObject({ MemorySize: 512 });
    const opened = await clientIn(WEST).partition('tenant-1').decrypt(record);
    expect(Buffer.from(opened).toString()).toBe('before');
  });

  it.for([
    ['replace the table', { tableName: 'Other' }, 'Modify Table (AWS::DynamoDB::GlobalTable), by a new one'],
    ['remove a replica', { regions: [WEST] }, `it would take away the table's replica in ${EAST}`],
  ] as const)('that would %s is refused', async ([, changed, reason]) => {
    const before = [await physicalIds('keyfold-table', WEST), await changeSets('keyfold-table')];
    await expect(program(['table', '--yes'], changed)).rejects.toThrow(reason);
    expect([await physicalIds('keyfold-table', WEST), await changeSets('keyfold-table')]).toEqual(before);
  });
});

describe('deployed by hand,', () => {
  it('deployers.yml makes its policies', async () => {
    const parameters = { RolesBoundaryArn: BOUNDARY };
    await createStack('keyfold-deployers', 'deployers.yml', parameters);
    const policies = Object.entries(render('deployers', WEST, parameters).resources);
    expect(policies.length).toBeGreaterThan(3);
    for (const [, { Properties }] of policies) {
      expect(await managedPolicy(Properties['ManagedPolicyName'] as string)).toEqual(Properties['PolicyDocument']);
    }
  });

  it('endpoints.yml makes its endpoints, with their policies and security group', async () => {
    const ec2 = <T>(command: string, ...args: string[]): Promise<T> => aws<T>(WEST, 'ec2', command, args);
    const { Vpc } = await ec2<{ Vpc: { VpcId: string } }>('create-vpc', '--cidr-block', '10.0.0.0/16');
    const of = ['--vpc-id', Vpc.VpcId];
    const { Subnet } = await ec2<{ Subnet: { SubnetId: string } }>(
      'create-subnet',
      ...of,
      '--cidr-block',
      '10.0.0.0/24',
    );
    const { RouteTable } = await ec2<{ RouteTable: { RouteTableId: string } }>('create-route-table', ...of);
    const { PrefixLists } = await ec2<{ PrefixLists: { PrefixListId: string; PrefixListName: string }[] }>(
      'describe-managed-prefix-lists',
    );
    const list = PrefixLists.find(({ PrefixListName }) => PrefixListName === `com.amazonaws.${WEST}.dynamodb`);
    const parameters = {
      VpcId: Vpc.VpcId,
      SubnetIds: Subnet.SubnetId,
      RouteTableIds: RouteTable.RouteTableId,
      DynamoDbPrefixListId: list?.PrefixListId ?? '',
      HasQueue: 'true',
      OtherKmsRegion1: EAST,
    };
    await createStack('keyfold-endpoints', 'endpoints.yml', parameters);
    const ids = await physicalIds('keyfold-endpoints', WEST);
    const { VpcEndpoints } = await ec2<{
      VpcEndpoints: { VpcEndpointId: string; PolicyDocument: string; Groups: { GroupId: string }[] }[];
    }>('describe-vpc-endpoints');
    const endpoints = Object.entries(render('endpoints', WEST, parameters).resources).filter(
      ([, { Type }]) => Type === 'AWS::EC2::VPCEndpoint',
    );
    expect(endpoints).toHaveLength(4);
    for (const [name, { Properties }] of endpoints) {
      const found = VpcEndpoints.find(({ VpcEndpointId }) => VpcEndpointId === ids[name]);
      expect(found).toMatchObject({ VpcId: Vpc.VpcId, ServiceName: Properties['ServiceName'] });
      // LocalStack returns these policies without their `Version`, so add it.
      const policy = { Version: '2012-10-17', ...(JSON.parse(found?.PolicyDocument ?? '{}') as object) };
      expect(policy).toEqual(Properties['PolicyDocument']);
      expect(found?.Groups.map(({ GroupId }) => GroupId)).toEqual(
        Properties['VpcEndpointType'] === 'Gateway' ? [] : [ids['EndpointGroup']],
      );
    }
  });

  it('reencrypt.yml makes a state machine that seals a table, and keeps the quarantine table if the stack is deleted', async () => {
    await aws(WEST, 's3api', 'create-bucket', [
      '--bucket',
      'keyfold-uploads',
      '--create-bucket-configuration',
      `LocationConstraint=${WEST}`,
    ]);
    const packaged = join(folder, 'reencrypt.yml');
    const template = ['--template-file', join(INFRA, 'reencrypt.yml'), '--output-template-file', packaged];
    await run('aws', ['cloudformation', 'package', '--region', WEST, '--s3-bucket', 'keyfold-uploads', ...template]);
    await aws(WEST, 'dynamodb', 'create-table', [
      '--table-name',
      'Customers',
      '--billing-mode',
      'PAY_PER_REQUEST',
      '--attribute-definitions',
      'AttributeName=id,AttributeType=S',
      '--key-schema',
      'AttributeName=id,KeyType=HASH',
    ]);
    const rows = Object.fromEntries(['1', '2', '3'].map((id) => [id, `411${id}`]));
    for (const [id, card] of Object.entries(rows)) {
      const item = JSON.stringify({ id: { S: id }, tenant: { S: 'tenant-1' }, card: { S: card } });
      await aws(WEST, 'dynamodb', 'put-item', ['--table-name', 'Customers', '--item', item]);
    }
    await createStack('keyfold-reencrypt', packaged, {
      RowsTableName: 'Customers',
      Fields: '["card"]',
      Verb: 'seal',
      MoreOptions: ',"partitionField":"tenant"',
      Workers: '2',
      Service: 'orders',
      Product: 'shop',
      RegionSuffix: WEST,
      KmsKeys: KMS_KEYS,
      KeyRegions: REGIONS.join(','),
    });

    const { StateMachine, Quarantine } = await physicalIds('keyfold-reencrypt', WEST);
    const started = ['--state-machine-arn', StateMachine ?? ''];
    const { executionArn } = await aws<{ executionArn: string }>(WEST, 'stepfunctions', 'start-execution', started);
    const { status, output } = await vi.waitUntil(
      async () => {
        const execution = ['--execution-arn', executionArn];
        const found = await aws<{ status: string; output: string }>(
          WEST,
          'stepfunctions',
          'describe-execution',
          execution,
        );
        return found.status !== 'RUNNING' && found;
      },
      { timeout: 120_000, interval: 1000 },
    );
    expect(status).toBe('SUCCEEDED');
    const counts = JSON.parse(output) as { written: number; quarantined: number }[];
    expect(counts.map(({ written }) => written).reduce((sum, one) => sum + one)).toBe(3);
    expect(counts.map(({ quarantined }) => quarantined)).toEqual([0, 0]);
    const { Items } = await aws<{ Items: { id: { S: string }; card: { S: string } }[] }>(WEST, 'dynamodb', 'scan', [
      '--table-name',
      'Customers',
    ]);
    const opened = Items.map(async ({ id, card }) => {
      const plaintext = await clientIn(WEST).partition('tenant-1').decrypt(card.S);
      return [id.S, Buffer.from(plaintext).toString()];
    });
    expect(Object.fromEntries(await Promise.all(opened))).toEqual(rows);

    await deleteStack('keyfold-reencrypt');
    expect(await aws(WEST, 'stepfunctions', 'list-state-machines', [])).toEqual({ stateMachines: [] });
    const { TableNames } = await aws<{ TableNames: string[] }>(WEST, 'dynamodb', 'list-tables', []);
    expect(TableNames).toContain(Quarantine);
  });
});

describe('taking the app down', () => {
  it('removes the functions and their roles, and keeps the queues and logs, as the tutorial says', async () => {
    const app = await physicalIds('keyfold-app', WEST);
    const named = ['--stack-name', 'keyfold-app'];
    const unprotect = [...named, '--no-enable-termination-protection'];
    await aws(WEST, 'cloudformation', 'update-termination-protection', unprotect);
    // LocalStack without a licence has no ECR, which osls asks for a repository of images.
    const ecr = await startStub({ status: 400, body: JSON.stringify({ __type: 'RepositoryNotFoundException' }) });
    const osls = fileURLToPath(import.meta.resolve('osls/bin/serverless.js'));
    const env = { ...process.env, AWS_ENDPOINT_URL_ECR: ecr.url };
    await run(process.execPath, [osls, 'remove', '--region', WEST], { cwd: root, env });
    await ecr.stop();
    await deleteStack('keyfold-roles');

    await expect(aws(WEST, 'cloudformation', 'describe-stacks', named)).rejects.toThrow('does not exist');
    expect(await aws(WEST, 'lambda', 'list-functions', [])).toEqual({ Functions: [] });
    const { Roles } = await aws<{ Roles: { RoleName: string }[] }>(WEST, 'iam', 'list-roles', []);
    const ofEast = Object.values(await physicalIds('keyfold-roles', EAST));
    const left = Roles.map(({ RoleName }) => RoleName).filter((name) => name.startsWith('keyfold-roles-'));
    expect(left.toSorted()).toEqual(ofEast.toSorted());
    const { Buckets } = await aws<{ Buckets: { Name: string }[] }>(WEST, 's3api', 'list-buckets', []);
    expect(Buckets.map(({ Name }) => Name)).not.toContain(app['ServerlessDeploymentBucket']);

    const { QueueUrls } = await aws<{ QueueUrls: string[] }>(WEST, 'sqs', 'list-queues', []);
    expect(QueueUrls).toEqual(expect.arrayContaining([app['InputQueue'], app['OutputQueue'], app['DeadLetterQueue']]));
    const { logGroups } = await aws<{ logGroups: { logGroupName: string }[] }>(WEST, 'logs', 'describe-log-groups', []);
    const logs = logGroups.map(({ logGroupName }) => logGroupName);
    expect(logs).toEqual(expect.arrayContaining([app['SealLogGroup'], app['OpenLogGroup'], app['RestApiLogGroup']]));
  });

  it.for([
    [
      'the KMS key',
      'keyfold-keys',
      'kms',
      'describe-key',
      ['--key-id', 'alias/keyfold'],
      { KeyMetadata: { KeyState: 'Enabled' } },
    ],
    [
      'the key table',
      'keyfold-table',
      'dynamodb',
      'describe-table',
      ['--table-name', 'EncryptionKey'],
      { Table: { TableStatus: 'ACTIVE' } },
    ],
  ] as const)('keeps %s even if the stack %s is deleted', async ([, stack, service, command, args, kept]) => {
    await deleteStack(stack);
    expect(await aws(WEST, service, command, args)).toMatchObject(kept);
  });
});
