/** Tests the constructs of the app with a stand-in for the package. test/peers/cdk.test.ts uses real packages. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { App } from 'aws-cdk-lib';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KeyfoldApi, KeyfoldQueue, KeyTable, SymmetricKey } from '../../../src/cdk/index.ts';
import { ENV, normalized, removeOutputs, stackOf, synthesize } from '../../support/cdk.ts';
import { templateOf } from './template.ts';

const KEY = { classification: 'confidential', administrators: ['arn:aws:iam::111122223333:role/key-administrator'] };
const TABLE = { classification: 'confidential' };
const FUNCTIONS = ['Api', 'Seal', 'Open', 'Maintenance'] as const;
const ROLES = { KeyName: 'keyfold', TableName: 'EncryptionKey', FunctionPrefix: 'keyfold', KeyRegions: 'us-west-2' };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'keyfold-cdk-package-'));
});
afterAll(() => {
  removeOutputs();
  rmSync(folder, { recursive: true });
});

function functionIn(name: string): object {
  const file = `${name.toLowerCase()}.zip`;
  return {
    Type: 'AWS::Lambda::Function',
    Properties: {
      FunctionName: `keyfold-${name.toLowerCase()}`,
      Code: { S3Bucket: { Ref: 'ServerlessDeploymentBucket' }, S3Key: `serverless/keyfold/2026/${file}` },
      Role: { 'Fn::ImportValue': `keyfold-roles-${name}RoleArn` },
      Handler: 'index.handler',
      Runtime: 'nodejs24.x',
    },
  };
}

interface PackageOptions {
  readonly queue?: 'standard' | 'fifo' | 'none';
  readonly hasTopic?: boolean;
  /** The function that has provisioned concurrency, and therefore an alias. */
  readonly warm?: string;
}

/** Writes a package as `npm run package` does, but with few resources. Returns its folder. */
function packageWith({ queue = 'standard', hasTopic = true, warm }: PackageOptions = {}): string {
  const names = queue === 'none' ? FUNCTIONS : [...FUNCTIONS, 'Queue'];
  const topic = hasTopic ? { Ref: 'AlarmTopic' } : 'arn:aws:sns:us-west-2:111122223333:oncall';
  const alarm = { Type: 'AWS::CloudWatch::Alarm', Properties: { AlarmActions: [topic] } };
  const sqs = { Type: 'AWS::SQS::Queue', Properties: queue === 'fifo' ? { FifoQueue: true } : {} };
  const Resources = {
    ServerlessDeploymentBucket: { Type: 'AWS::S3::Bucket' },
    ServerlessDeploymentBucketPolicy: { Type: 'AWS::S3::BucketPolicy' },
    ...Object.fromEntries(names.map((name) => [`${name}LambdaFunction`, functionIn(name)])),
    ...(warm !== undefined && {
      [`${warm}ProvConcLambdaAlias`]: {
        Type: 'AWS::Lambda::Alias',
        Properties: { FunctionName: { Ref: `${warm}LambdaFunction` }, FunctionVersion: '1', Name: 'provisioned' },
      },
    }),
    ApiErrorsAlarm: alarm,
    ...(hasTopic && { AlarmTopic: { Type: 'AWS::SNS::Topic' } }),
    ...(queue !== 'none' && { InputQueue: sqs, OutputQueue: sqs, DeadLetterQueue: sqs, MessagesAgingAlarm: alarm }),
  };
  const Outputs = {
    ServerlessDeploymentBucketName: { Value: { Ref: 'ServerlessDeploymentBucket' } },
    ApiUrl: { Value: 'https://api.example.com' },
    ...(queue !== 'none' && { QueueUrl: { Value: { Ref: 'InputQueue' } } }),
  };
  const made = mkdtempSync(join(folder, 'package-'));
  for (const name of names) writeFileSync(join(made, `${name.toLowerCase()}.zip`), name);
  const stacks = { account: ENV.account, region: ENV.region, roles: ROLES };
  writeFileSync(join(made, 'stacks.json'), JSON.stringify(stacks));
  const template = JSON.stringify({ Resources, Outputs });
  writeFileSync(join(made, 'cloudformation-template-update-stack.json'), template);
  return made;
}

/** A stack with the key, the table, the API and, if the package has one, the queue. */
function appOf(options: PackageOptions = {}) {
  const stack = stackOf();
  const key = new SymmetricKey(stack, 'Key', KEY);
  const table = new KeyTable(stack, 'Table', TABLE);
  const api = new KeyfoldApi(stack, 'Api', { packageFolder: packageWith(options), key, table });
  const queue = options.queue === 'none' ? undefined : new KeyfoldQueue(stack, 'Queue', { api });
  return { stack, api, queue };
}

/** The actions and resources that the policies of the stack allow a role. */
function allowed(stack: ReturnType<typeof stackOf>): string {
  const { Resources } = synthesize(stack).stack;
  return JSON.stringify(Object.values(Resources).filter(({ Type }) => Type === 'AWS::IAM::Policy'));
}

function writerIn(stack: ReturnType<typeof stackOf>): Role {
  return new Role(stack, 'Writer', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
}

// The first test loads the parts of the CDK, which is slow on a busy machine.
describe('KeyfoldApi and KeyfoldQueue', { timeout: 60_000 }, () => {
  it("divide a package's resources and outputs between two stacks, and omit the deployment bucket", () => {
    const { nested } = synthesize(appOf().stack);
    const api = nested['keyfold/Api/Stack'];
    const queue = nested['keyfold/Queue/Stack'];
    const functions = FUNCTIONS.map((name) => `${name}LambdaFunction`);
    expect(Object.keys(api?.Resources ?? {})).toEqual([...functions, 'AlarmTopic', 'ApiErrorsAlarm']);
    const queues = ['InputQueue', 'OutputQueue', 'DeadLetterQueue'];
    expect(Object.keys(queue?.Resources ?? {})).toEqual(['QueueLambdaFunction', ...queues, 'MessagesAgingAlarm']);
    expect(Object.keys(api?.Outputs ?? {})).toContain('ApiUrl');
    expect(Object.keys(queue?.Outputs ?? {})).toContain('QueueUrl');
    const outputs = JSON.stringify([api?.Outputs, queue?.Outputs]);
    expect(outputs).not.toContain('ServerlessDeploymentBucket');
    expect(JSON.stringify(api?.Outputs)).not.toContain('QueueUrl');
    expect(nested['keyfold/Api/Roles']).toEqual(normalized(templateOf('roles')));
  });

  it('give every function its own role and the code from its own zip', () => {
    const { stack } = appOf();
    const { nested } = synthesize(stack);
    const functions = Object.values(nested).flatMap(({ Resources }) =>
      Object.values(Resources).filter(({ Type }) => Type === 'AWS::Lambda::Function'),
    );
    const roles = functions.map(({ Properties = {} }) => {
      const { Ref = '' } = Properties['Role'] as { Ref?: string };
      return `${Properties['FunctionName'] as string} ${/Outputs(\w+)$/.exec(Ref)?.[1]}`;
    });
    expect(roles.toSorted()).toEqual([
      'keyfold-api ApiRoleArn',
      'keyfold-maintenance MaintenanceRoleArn',
      'keyfold-open OpenRoleArn',
      'keyfold-queue QueueRoleArn',
      'keyfold-seal SealRoleArn',
    ]);
    const { outdir } = stack.node.root as App;
    for (const { Properties = {} } of functions) {
      const { S3Key } = Properties['Code'] as { S3Key: string };
      // Each zip of the package contains only the name of its function.
      const code = readFileSync(join(outdir, `asset.${S3Key}`), 'utf8');
      expect(Properties['FunctionName']).toBe(`keyfold-${code.toLowerCase()}`);
    }
  });

  it("pass the package's parameters to the stack Roles, whose name the table's policy expects", () => {
    const { Resources } = synthesize(appOf().stack).stack;
    expect(Resources['Roles']?.Properties?.['Parameters']).toEqual(ROLES);
  });

  it('are created after the key and the table', () => {
    const { Resources } = synthesize(appOf().stack).stack;
    const names = Object.keys(Resources).filter((name) => /^(?:Key|Table)Stack/.test(name));
    expect(names).toHaveLength(2);
    const api = Object.entries(Resources).find(([name]) => name.startsWith('ApiStack'))?.[1];
    expect((api as { DependsOn?: string[] }).DependsOn?.toSorted()).toEqual(expect.arrayContaining(names.toSorted()));
  });

  it.for([
    ['apiFunction', 'Api'],
    ['sealFunction', 'Seal'],
    ['openFunction', 'Open'],
    ['maintenanceFunction', 'Maintenance'],
  ] as const)('let a role invoke %s, and no other function', ([property, name]) => {
    const { stack, api } = appOf();
    api[property].grantInvoke(writerIn(stack));
    const policies = allowed(stack);
    expect(FUNCTIONS.filter((each) => policies.includes(`${each}LambdaFunction`))).toEqual([name]);
  });

  it('let a role invoke the alias of a function that has provisioned concurrency', () => {
    const { stack, api } = appOf({ warm: 'Seal' });
    const writer = writerIn(stack);
    api.sealFunction.grantInvoke(writer);
    api.openFunction.grantInvoke(writer);
    const policies = allowed(stack);
    expect(policies).toContain('SealProvConcLambdaAlias');
    expect(policies).not.toContain('SealLambdaFunction');
    expect(policies).toContain('OpenLambdaFunction');
  });

  it.for([
    ['inputQueue', 'InputQueue'],
    ['outputQueue', 'OutputQueue'],
    ['deadLetterQueue', 'DeadLetterQueue'],
  ] as const)('let a role send to %s, and to no other queue', ([property, name]) => {
    const { stack, queue } = appOf();
    queue?.[property].grantSendMessages(writerIn(stack));
    const policies = allowed(stack);
    const found = ['InputQueue', 'OutputQueue', 'DeadLetterQueue'].filter((each) => policies.includes(each));
    expect(found).toEqual([name]);
  });

  it('let a role invoke the queue function', () => {
    const { stack, queue } = appOf();
    queue?.queueFunction.grantInvoke(writerIn(stack));
    expect(allowed(stack)).toContain('QueueLambdaFunction');
  });

  it('expose whether the queues are FIFO queues', () => {
    const kinds = (['fifo', 'standard'] as const).map((queue) => appOf({ queue }).queue?.inputQueue.fifo);
    expect(kinds).toEqual([true, false]);
  });

  it("expose the API's URL and the alarm topic, which the queue's alarms also notify", () => {
    const { stack, api } = appOf();
    expect(JSON.stringify(stack.resolve(api.url))).toContain('Outputs.ApiUrl');
    expect(JSON.stringify(stack.resolve(api.alarmTopicArn))).toContain('AlarmTopic');
    const alarm = synthesize(stack).nested['keyfold/Queue/Stack']?.Resources['MessagesAgingAlarm'];
    expect(JSON.stringify(alarm?.Properties?.['AlarmActions'])).toMatch(/"Ref":"referenceto\w*AlarmTopic/);
    expect(appOf({ hasTopic: false }).api.alarmTopicArn).toBeUndefined();
  });

  it('work in a stack without an account or a region', () => {
    const stack = stackOf('keyfold', {});
    const api = new KeyfoldApi(stack, 'Api', { packageFolder: packageWith() });
    expect(JSON.stringify(stack.resolve(api.url))).toContain('Outputs.ApiUrl');
  });

  it('refuse a package that was made for another region, account, key or table', () => {
    const packageFolder = packageWith({ queue: 'none' });
    const apiIn = (stack: ReturnType<typeof stackOf>, more: object = {}): KeyfoldApi =>
      new KeyfoldApi(stack, 'Api', { packageFolder, ...more });
    expect(() => apiIn(stackOf('keyfold', { ...ENV, region: 'eu-west-1' }))).toThrow('is for another region');
    expect(() => apiIn(stackOf('keyfold', { ...ENV, account: '444455556666' }))).toThrow('is for another account');
    expect(() => apiIn(stackOf('keyfold-in-production'))).toThrow("The stack's name must have at most 20 characters");
    expect(apiIn(stackOf('keyfold-in-productio')).node.id).toBe('Api');
    const stack = stackOf();
    const key = new SymmetricKey(stack, 'Key', { ...KEY, name: 'private' });
    expect(() => apiIn(stack, { key })).toThrow('is for another key than the stack');
    const table = new KeyTable(stack, 'Table', { ...TABLE, tableName: 'Keys' });
    expect(() => new KeyfoldApi(stack, 'Api2', { packageFolder, table })).toThrow('is for another table');
    const absent: unknown = expect.objectContaining({
      message: "props.packageFolder must be a region's folder that npm run package has written.",
      cause: expect.objectContaining({ code: 'ENOENT' }) as Error,
    });
    expect(() => apiIn(stackOf(), { packageFolder: import.meta.dirname })).toThrow(absent);
    expect(() => apiIn(stackOf(), { key: 'keyfold' })).toThrow('props.key must be a SymmetricKey');
    expect(() => apiIn(stackOf(), { table: 'Keys' })).toThrow('props.table must be a KeyTable');
    expect(() => apiIn(undefined as never)).toThrow('scope must be a construct');
    expect(() => new KeyfoldApi(stackOf(), 5 as never, { packageFolder })).toThrow('id must be a string');
    const full = stackOf();
    apiIn(full);
    expect(() => new KeyfoldApi(full, 'Api2', { packageFolder })).toThrow('A stack can contain only one KeyfoldApi');
    const api = apiIn(stackOf());
    expect(() => new KeyfoldQueue(api, 'Queue', { api })).toThrow('props.api has no queue: set queue.kind');
    expect(() => new KeyfoldQueue(api, 'Queue2', { api: 'api' as never })).toThrow('props.api must be a KeyfoldApi');
  });
});
