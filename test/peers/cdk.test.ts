/** Compares what the constructs of `keyfold/cdk` synthesize with the templates that `npm run deploy` deploys. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { AwsSolutionsChecks } from 'cdk-nag';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KeyfoldApi, KeyfoldQueue, KeyTable, SymmetricKey } from '../../src/cdk/index.ts';
import { ENV, normalized, removeOutputs, stackOf, synthesize, type SynthesizedApp } from './cdk.ts';
import { ENTRIES, FLIPPED, packageExample, type AppPackage } from '../integration/infra/package.ts';
import { templateOf } from '../integration/infra/template.ts';
import { hostile, withValueAt } from '../support/hostile.ts';
import { isNamed } from '../support/public-function.ts';

const ADMINISTRATOR = 'arn:aws:iam::111122223333:role/key-administrator';
const KEY = { classification: 'confidential', administrators: [ADMINISTRATOR] };
const TABLE = { classification: 'confidential' };

/** The parameters that a nested stack gets. */
function parametersOf({ stack }: SynthesizedApp): unknown {
  const found = Object.values(stack.Resources).find(({ Type }) => Type === 'AWS::CloudFormation::Stack');
  return found?.Properties?.['Parameters'];
}

/** The ARNs of a role's managed policies. The role has all three policies of a key. */
function policiesOf(policyRegions?: string[]): string {
  const stack = stackOf();
  const key = new SymmetricKey(stack, 'Key', { ...KEY, policyRegions });
  const role = new Role(stack, 'Reader', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
  for (const policy of [key.encryptPolicy, key.decryptPolicy, key.cryptoPolicy]) role.addManagedPolicy(policy);
  const made = Object.values(synthesize(stack).stack.Resources).find(({ Type }) => Type === 'AWS::IAM::Role');
  return JSON.stringify(made?.Properties?.['ManagedPolicyArns']);
}

/**
 * The parts of resources that must be the same in both templates. The bucket of osls, the code and references to other
 * parts of the deployment may differ.
 */
function comparable(resources: object): object {
  const kept = Object.entries(resources).filter(([name]) => !name.startsWith('ServerlessDeploymentBucket'));
  return normalized(
    JSON.parse(JSON.stringify(Object.fromEntries(kept)), (name, value: unknown) => {
      if (name === 'Code') return 'the code';
      const isElsewhere = /^\{"Ref":"(?:referenceto\w+|AlarmTopic)"\}$/.test(JSON.stringify(value) ?? '');
      return name === 'Role' || isElsewhere ? 'of another part' : value;
    }),
  ) as object;
}

afterAll(removeOutputs);

describe('SymmetricKey', () => {
  it('equals the template keys.yml, with each option as a parameter', () => {
    const stack = stackOf();
    const key = new SymmetricKey(stack, 'Key', {
      ...KEY,
      administrators: [ADMINISTRATOR, 'arn:aws:iam::111122223333:role/deployer'],
      name: 'private',
      policyRegions: ['us-west-2', 'us-east-1'],
      viaServices: ['dynamodb.us-west-2.amazonaws.com'],
      encryptingPrincipals: ['arn:aws:iam::444455556666:role/writer'],
      decryptingPrincipals: ['arn:aws:iam::444455556666:root'],
      iamDecides: false,
      grantingPrincipals: ['arn:aws:iam::111122223333:role/granter'],
      topicKeyArn: 'arn:aws:kms:us-west-2:111122223333:key/00000000-0000-0000-0000-000000000003',
      alarmTopicArn: 'arn:aws:sns:us-west-2:111122223333:security',
      alarmEmail: 'security@example.com',
      keyNumber: 1,
      standing: 'retired',
      aliasTargetArn: 'arn:aws:kms:us-west-2:111122223333:key/00000000-0000-0000-0000-000000000002',
    });
    const made = synthesize(stack);
    expect(made.nested).toEqual({ 'keyfold/Key/Stack': normalized(templateOf('keys')) });
    const given = {
      Name: 'private',
      Classification: 'confidential',
      AdministratorArns: `${ADMINISTRATOR},arn:aws:iam::111122223333:role/deployer`,
      KeyRegions: 'us-west-2,us-east-1',
      ViaServices: 'dynamodb.us-west-2.amazonaws.com',
      EncryptingPrincipalArns: 'arn:aws:iam::444455556666:role/writer',
      DecryptingPrincipalArns: 'arn:aws:iam::444455556666:root',
      IamDecides: 'false',
      GrantingPrincipalArns: 'arn:aws:iam::111122223333:role/granter',
      TopicKeyArn: 'arn:aws:kms:us-west-2:111122223333:key/00000000-0000-0000-0000-000000000003',
      AlarmTopicArn: 'arn:aws:sns:us-west-2:111122223333:security',
      AlarmEmail: 'security@example.com',
      KeyNumber: '1',
      KeyStanding: 'retired',
      AliasTargetArn: 'arn:aws:kms:us-west-2:111122223333:key/00000000-0000-0000-0000-000000000002',
    };
    expect(parametersOf(made)).toEqual(given);
    // An option for every parameter of the template.
    expect(Object.keys(given).toSorted()).toEqual(Object.keys(templateOf('keys').Parameters).toSorted());
    expect(stack.resolve(key.aliasArn)).toEqual({
      'Fn::Join': ['', ['arn:', { Ref: 'AWS::Partition' }, ':kms:us-west-2:111122223333:alias/private']],
    });
  });

  it('can be made once for each classification in one stack', () => {
    const stack = stackOf();
    for (const level of ['private', 'logging']) {
      new SymmetricKey(stack, level, { ...KEY, classification: level, name: level });
    }
    expect(Object.keys(synthesize(stack).nested)).toEqual(['keyfold/private/Stack', 'keyfold/logging/Stack']);
  });

  it('attaches the policies to a role after it has created them, or by name if another region creates them', () => {
    const outputs = ['Encrypt', 'Decrypt', 'Crypto'].map((kind) => `Outputs.${kind}PolicyArn`);
    expect(policiesOf(['us-west-2']).match(/Outputs\.\w+/g)).toEqual(outputs);
    const names = ['encrypt', 'decrypt', 'crypto'].map((kind) => `:iam::111122223333:policy/allow-${kind}-keyfold`);
    expect(policiesOf().match(/:iam::[^"]*/g)).toEqual(names);
  });

  it.for([
    ['props.classification must match up to forty small letters', { ...KEY, classification: 'Top Secret' }],
    ['props.administrators must match arn:aws', { ...KEY, administrators: ['admin'] }],
    ['props.administrators must match arn:aws', { ...KEY, administrators: [] }],
    ['props.administrators must be an array', { ...KEY, administrators: ADMINISTRATOR }],
    ['props.administrators[0] must be a string', { ...KEY, administrators: [7] }],
    ['props.name must match one to sixty letters', { ...KEY, name: 'aws-secret' }],
    ['props.policyRegions must match', { ...KEY, policyRegions: ['Oregon'] }],
    ["props.standing must be 'next' or 'current' or 'retired' or 'none'", { ...KEY, standing: 'former' }],
    ['props has no option alias', { ...KEY, alias: 'secret' }],
    ['props.keyNumber must be a whole number of at least 1', { ...KEY, keyNumber: 0 }],
    ['props.keyNumber must be a whole number of at least 1', { ...KEY, keyNumber: 1.5 }],
    ['props.keyNumber must be a whole number of at least 1', { ...KEY, keyNumber: Number.NaN }],
    [
      'props.alarmTopicArn must be in the region of the stack',
      { ...KEY, alarmTopicArn: 'arn:aws:sns:us-east-1:111122223333:security' },
    ],
    [
      'props.aliasTargetArn must be in the region of the stack',
      { ...KEY, aliasTargetArn: 'arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000002' },
    ],
    [
      'props.topicKeyArn must be in the region of the stack',
      { ...KEY, topicKeyArn: 'arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000003' },
    ],
    [
      'props.administrators must have at most 4096 characters together, including commas.',
      { ...KEY, administrators: Array<string>(81).fill(`${ADMINISTRATOR}-1`) },
    ],
    ['props.classification must be a string', { administrators: [ADMINISTRATOR] }],
  ] as const)('throws the error "%s…", which shows no value', ([message, props]) => {
    const error = (() => {
      try {
        return new SymmetricKey(stackOf(), 'Key', props as never);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toContain(message);
    expect((error as Error).message).not.toMatch(/Secret|secret|Oregon|former|'admin'/);
  });

  it('accepts an ARN that is known only during the deployment', () => {
    const stack = stackOf();
    const role = new Role(stack, 'Admin', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    new SymmetricKey(stack, 'Key', { ...KEY, administrators: [role.roleArn] });
    expect(JSON.stringify(parametersOf(synthesize(stack)))).toContain('"AdministratorArns":{"Fn::GetAtt":["Admin');
  });
});

describe('KeyTable', () => {
  it('equals the template table.yml, and lets roles in the same stack write to the table', () => {
    const stack = stackOf();
    const table = new KeyTable(stack, 'Table', {
      ...TABLE,
      tableName: 'Keys',
      replicaRegions: ['us-east-1', 'eu-west-1'],
      newReplicas: ['eu-west-1'],
      encryptionKeyName: 'table',
      writers: ['arn:aws:iam::111122223333:role/operator'],
    });
    const made = synthesize(stack);
    expect(made.nested).toEqual({ 'keyfold/Table/Stack': normalized(templateOf('table')) });
    const roles = ['arn:', { Ref: 'AWS::Partition' }, ':iam::', { Ref: 'AWS::AccountId' }, ':role/keyfold-Roles-*'];
    expect(parametersOf(made)).toEqual({
      Classification: 'confidential',
      TableName: 'Keys',
      ReplicaRegion1: 'us-east-1',
      ReplicaRegion2: 'eu-west-1',
      ReplicaPolicy2: 'false',
      EncryptionKeyName: 'table',
      WriterArns: {
        'Fn::Join': ['', [...roles.slice(0, 4), ':role/keyfold-Roles-*,arn:aws:iam::111122223333:role/operator']],
      },
    });
    expect(table.tableName).toBe('Keys');
    expect(JSON.stringify(stack.resolve(table.tableArn))).toContain('Outputs.TableArn');
  });

  it.for([
    ['props.tableName must match', { ...TABLE, tableName: 'a b' }],
    ['props.newReplicas must be regions of props.replicaRegions.', { ...TABLE, newReplicas: ['us-east-1'] }],
    ['props.replicaRegions must have at most three regions', { ...TABLE, replicaRegions: ['a', 'b', 'c', 'd'] }],
    ['props.writers must match', { ...TABLE, writers: ['somebody'] }],
    ['props must be an object', undefined],
    ['props.replicaRegions must be distinct regions', { ...TABLE, replicaRegions: ['us-east-1', 'us-east-1'] }],
    ['props.replicaRegions must be distinct regions', { ...TABLE, replicaRegions: ['us-west-2'] }],
    ['props.replicaRegions must be distinct regions', { ...TABLE, replicaRegions: [''] }],
  ] as const)('throws the error "%s…"', ([message, props]) => {
    expect(() => new KeyTable(stackOf(), 'Table', props as never)).toThrow(message);
  });
});

describe('KeyfoldApi and KeyfoldQueue', () => {
  const packages: Record<string, AppPackage> = {};
  const folderOf = (name: string): string => dirname(packages[name]?.template ?? '');

  beforeAll(async () => {
    packages['the example'] = await packageExample({});
    packages['every option reversed'] = await packageExample(FLIPPED);
    const { functions } = ENTRIES.restWithCallers;
    packages['a REST API'] = await packageExample({ ...ENTRIES.rest, functions });
    packages['a function URL'] = await packageExample(ENTRIES.functionUrl);
    packages['no queue'] = await packageExample({ queue: { kind: 'none' } });
  }, 120_000);
  afterAll(() => Promise.all(Object.values(packages).map((one) => one.remove())));

  /** A stack with both constructs, and with the key and the table. */
  function appOf(name: string): { readonly stack: ReturnType<typeof stackOf>; readonly api: KeyfoldApi } {
    const stack = stackOf();
    const key = new SymmetricKey(stack, 'Key', KEY);
    const table = new KeyTable(stack, 'Table', {
      ...TABLE,
      ...(name === 'every option reversed' && { tableName: 'Keys' }),
    });
    const api = new KeyfoldApi(stack, 'Api', { packageFolder: folderOf(name), key, table });
    if (name !== 'no queue') new KeyfoldQueue(stack, 'Queue', { api });
    return { stack, api };
  }

  it.for(['the example', 'every option reversed', 'a REST API', 'no queue'])(
    'together have the same resources as the package with %s',
    (name) => {
      const { nested } = synthesize(appOf(name).stack);
      const [api, queue] = [nested['keyfold/Api/Stack'], nested['keyfold/Queue/Stack']];
      expect(comparable({ ...api?.Resources, ...queue?.Resources })).toEqual(
        comparable(packages[name]?.resources ?? {}),
      );
      expect(nested['keyfold/Api/Roles']).toEqual(normalized(templateOf('roles')));
    },
  );

  it('give every function its own role, and the code from its zip', () => {
    const { nested, stack } = synthesize(appOf('the example').stack);
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
    const codes = functions.map(({ Properties = {} }) => Properties['Code'] as { S3Bucket: unknown; S3Key: string });
    expect(codes.every(({ S3Key }) => /^[0-9a-f]{64}\.zip$/.test(S3Key))).toBe(true);
    // seal and open have the same code.
    expect(new Set(codes.map(({ S3Key }) => S3Key)).size).toBe(4);
    expect(Object.keys(stack.Resources)).toContain('Roles');
  });

  it("place the queue's resources only in the queue's stack", () => {
    const { nested } = synthesize(appOf('the example').stack);
    const without = Object.keys(comparable(packages['no queue']?.resources ?? {})).toSorted();
    expect(Object.keys(nested['keyfold/Api/Stack']?.Resources ?? {}).toSorted()).toEqual(without);
  });

  it('let a role invoke the alias of a function that has provisioned concurrency', () => {
    const { stack, api } = appOf('a REST API');
    const writer = new Role(stack, 'Writer', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    api.sealFunction.grantInvoke(writer);
    api.openFunction.grantInvoke(writer);
    const { Resources } = synthesize(stack).stack;
    const policies = JSON.stringify(Object.values(Resources).filter(({ Type }) => Type === 'AWS::IAM::Policy'));
    expect(policies).toContain('SealProvConcLambdaAlias');
    expect(policies).not.toContain('SealLambdaFunction');
    expect(policies).toContain('OpenLambdaFunction');
  });

  it('can let a role encrypt but not decrypt', () => {
    const { stack, api } = appOf('no queue');
    const writer = new Role(stack, 'Writer', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    api.sealFunction.grantInvoke(writer);
    const { Resources } = synthesize(stack).stack;
    const policies = JSON.stringify(Object.values(Resources).filter(({ Type }) => Type === 'AWS::IAM::Policy'));
    expect(policies).toContain('SealLambdaFunction');
    expect(policies).not.toContain('OpenLambdaFunction');
  });

  it('refuse a package that does not fit the stack', () => {
    const packageFolder = folderOf('no queue');
    const apiIn = (stack: ReturnType<typeof stackOf>, more: object = {}): KeyfoldApi =>
      new KeyfoldApi(stack, 'Api', { packageFolder, ...more });
    expect(() => apiIn(stackOf('keyfold', { ...ENV, region: 'eu-west-1' }))).toThrow('is for another region');
    expect(() => apiIn(stackOf('keyfold', { ...ENV, account: '444455556666' }))).toThrow('is for another account');
    expect(() => apiIn(stackOf('keyfold-in-production'))).toThrow("The stack's name must have at most 20 characters");
    const stack = stackOf();
    const key = new SymmetricKey(stack, 'Key', { ...KEY, name: 'private' });
    expect(() => apiIn(stack, { key })).toThrow('is for another key than the stack');
    const table = new KeyTable(stack, 'Table', { ...TABLE, tableName: 'Keys' });
    expect(() => new KeyfoldApi(stack, 'Api2', { packageFolder, table })).toThrow('is for another table');
    expect(() => apiIn(stackOf(), { packageFolder: import.meta.dirname })).toThrow(
      "props.packageFolder must be a region's folder that npm run package has written.",
    );
    expect(() => apiIn(stackOf(), { key: 'keyfold' })).toThrow('props.key must be a SymmetricKey');
    expect(() => apiIn(undefined as never)).toThrow('scope must be a construct');
    const full = stackOf();
    apiIn(full);
    expect(() => new KeyfoldApi(full, 'Api2', { packageFolder })).toThrow('A stack can contain only one KeyfoldApi');
    const api = apiIn(stackOf());
    expect(() => new KeyfoldQueue(api, 'Queue', { api })).toThrow('props.api has no queue: set queue.kind');
    expect(() => new KeyfoldQueue(api, 'Queue2', { api: 'api' as never })).toThrow('props.api must be a KeyfoldApi');
  });

  it.for(['SymmetricKey', 'KeyTable', 'KeyfoldApi', 'KeyfoldQueue'] as const)(
    '%s either works or throws an error that names the option, whatever one option is',
    (name) => {
      const packageFolder = folderOf('the example');
      const valid = {
        SymmetricKey: { ...KEY, policyRegions: ['us-west-2'], viaServices: [], keyNumber: 1, standing: 'current' },
        KeyTable: { ...TABLE, tableName: 'Keys', replicaRegions: ['us-east-1'], writers: [ADMINISTRATOR] },
        KeyfoldApi: { packageFolder, key: undefined, table: undefined },
        KeyfoldQueue: { api: undefined },
      }[name];
      const construct = { SymmetricKey, KeyTable, KeyfoldApi, KeyfoldQueue }[name];
      const property = fc.property(fc.nat(), hostile, (at, make) => {
        const [props] = withValueAt([valid], at, make()) as [never];
        try {
          return new construct(stackOf(), 'Made', props).node.id === 'Made';
        } catch (error) {
          isNamed(error);
          return error instanceof TypeError;
        }
      });
      fc.assert(property, { numRuns: 60 });
    },
  );

  it('work in a stack without an account or a region', () => {
    const stack = stackOf('keyfold', {});
    const api = new KeyfoldApi(stack, 'Api', { packageFolder: folderOf('the example') });
    expect(JSON.stringify(stack.resolve(api.url))).toContain('Outputs.ApiUrl');
  });

  it.for([
    ['the example', '"HttpApi","ApiEndpoint"'],
    ['a REST API', 'https://${RestApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/live'],
    ['a function URL', '"FunctionUrl","FunctionUrl"'],
  ] as const)('know the URL of the entry of %s', ([name, url]) => {
    const { stack, api } = appOf(name);
    expect(JSON.stringify(stack.resolve(api.url))).toContain('Outputs.ApiUrl');
    const { Outputs } = synthesize(stack).nested['keyfold/Api/Stack'] ?? {};
    expect(JSON.stringify(Outputs?.['ApiUrl'])).toContain(url);
  });

  it('cause only the AwsSolutions findings that the page explains', () => {
    const { stack } = appOf('the example');
    const { violations } = new AwsSolutionsChecks().validateScope(stack.node.root);
    const found = violations.map(({ ruleName }) => ruleName.replace(/\[.*/, ''));
    const page = readFileSync(join(import.meta.dirname, '../../docs/how-to/deploy-with-the-cdk.md'), 'utf8');
    const explained = [...page.matchAll(/^\| `(AwsSolutions-\w+)` /gm)].map(([, rule = '']) => rule);
    expect([...new Set(found)].toSorted()).toEqual(explained.toSorted());
  });
});
