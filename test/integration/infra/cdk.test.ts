/** Compares the keys and tables that `keyfold/cdk` synthesizes with the templates that `npm run deploy` deploys. */
import { Tags } from 'aws-cdk-lib';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { afterAll, describe, expect, it } from 'vitest';
import { KeyTable, SymmetricKey } from '../../../src/cdk/index.ts';
import { normalized, removeOutputs, stackOf, synthesize, type SynthesizedApp } from '../../support/cdk.ts';
import { templateOf } from './template.ts';

const ADMINISTRATOR = 'arn:aws:iam::111122223333:role/key-administrator';
const KEY = { classification: 'confidential', administrators: [ADMINISTRATOR] };
const TABLE = { classification: 'confidential' };

/** The parameters that a nested stack gets. */
function parametersOf({ stack }: SynthesizedApp): unknown {
  const found = Object.values(stack.Resources).find(({ Type }) => Type === 'AWS::CloudFormation::Stack');
  return found?.Properties?.['Parameters'];
}

/** Attaches all three policies of a key to a role, and returns the ARNs of the role's managed policies. */
function policiesOf(policyRegions?: string[]): string {
  const stack = stackOf();
  const key = new SymmetricKey(stack, 'Key', { ...KEY, policyRegions });
  const role = new Role(stack, 'Reader', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
  for (const policy of [key.encryptPolicy, key.decryptPolicy, key.cryptoPolicy]) role.addManagedPolicy(policy);
  const made = Object.values(synthesize(stack).stack.Resources).find(({ Type }) => Type === 'AWS::IAM::Role');
  return JSON.stringify(made?.Properties?.['ManagedPolicyArns']);
}

afterAll(removeOutputs);

describe('SymmetricKey', () => {
  it('deploys the template keys.yml, with each option as a parameter', () => {
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

  it('can be made several times in one stack, once for each classification', () => {
    const stack = stackOf();
    for (const level of ['private', 'logging']) {
      new SymmetricKey(stack, level, { ...KEY, classification: level, name: level });
    }
    expect(Object.keys(synthesize(stack).nested)).toEqual(['keyfold/private/Stack', 'keyfold/logging/Stack']);
  });

  it('attaches the policies to a role by ARN, or by name if another region creates them', () => {
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
    ['props.keyNumber must match a whole number of at least 1', { ...KEY, keyNumber: 0 }],
    ['props.keyNumber must match a whole number of at least 1', { ...KEY, keyNumber: 1.5 }],
    ['props.keyNumber must match a whole number of at least 1', { ...KEY, keyNumber: Number.NaN }],
    ['props.alarmEmail must match', { ...KEY, alarmEmail: 'security' }],
    ['props.alarmTopicArn must match', { ...KEY, alarmTopicArn: 'arn:aws:sqs:us-west-2:111122223333:security' }],
    [
      'props.alarmTopicArn must be in the region of the stack',
      { ...KEY, alarmTopicArn: 'arn:aws:sns:us-east-1:111122223333:security' },
    ],
    [
      'props.alarmTopicArn must be in the account of the stack',
      { ...KEY, alarmTopicArn: 'arn:aws:sns:us-west-2:444455556666:security' },
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
  ] as const)('throws an error that shows no value: "%s…"', ([message, props]) => {
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
  it('deploys the template table.yml, and lets roles in the same stack write to the table', () => {
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

  it("gives each replica the CDK's tags in addition to the classification", () => {
    const stack = stackOf();
    const table = new KeyTable(stack, 'Table', TABLE);
    Tags.of(stack).add('CostCentre', '42');
    Tags.of(table).add('Owner', 'payments', { excludeResourceTypes: ['AWS::KMS::Key'] });
    Tags.of(stack).add('Elsewhere', 'yes', { excludeResourceTypes: ['AWS::DynamoDB::GlobalTable'] });
    const { Resources } = synthesize(stack).nested['keyfold/Table/Stack'] ?? { Resources: {} };
    const replicas = Resources['Table']?.Properties?.['Replicas'] as Record<string, unknown>[];
    expect(replicas).toHaveLength(4);
    for (const replica of replicas) {
      const made = (replica['Fn::If'] as unknown[] | undefined)?.[1] ?? replica;
      expect(made).toHaveProperty('Tags', [
        { Key: 'Classification', Value: { Ref: 'Classification' } },
        { Key: 'CostCentre', Value: '42' },
        { Key: 'Owner', Value: 'payments' },
      ]);
      expect(made).toMatchObject({ DeletionProtectionEnabled: true });
    }
  });

  it('lets a tag of the CDK replace the classification, as on other resources', () => {
    const stack = stackOf();
    Tags.of(new KeyTable(stack, 'Table', TABLE)).add('Classification', 'secret');
    const made = JSON.stringify(synthesize(stack).nested['keyfold/Table/Stack']?.Resources['Table']);
    expect(made.match(/\{"Key":"Classification","Value":"secret"\}/g)).toHaveLength(4);
    expect(made).not.toContain('{"Key":"Classification","Value":{');
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
