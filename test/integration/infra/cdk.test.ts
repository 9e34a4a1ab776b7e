/** Compares the keys and tables that `keyfold/cdk` synthesizes with the templates that `npm run deploy` deploys. */
import { CfnParameter, Fn, Tags } from 'aws-cdk-lib';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { afterAll, describe, expect, it } from 'vitest';
import { KeyTable, SymmetricKey } from '../../../src/cdk/index.ts';
import { normalized, removeOutputs, stackOf, synthesize, type SynthesizedApp } from '../../support/cdk.ts';
import { templateOf } from './template.ts';

const ADMINISTRATOR = 'arn:aws:iam::111122223333:role/key-administrator';
const KEY = { classification: 'confidential', administrators: [ADMINISTRATOR] };
const TABLE = { classification: 'confidential' };
/** The pattern of a role or user in the templates. */
const USER_ARN = String.raw`arn:aws[a-z-]*:iam::\d{12}:(?:role|user)/[\w+=,.@/-]+`;
const NOT_DISTINCT = 'props.replicaRegions must be distinct regions other than that of the stack.';
/** With {@link ADMINISTRATOR} and the commas, these ARNs have 4096 characters. */
const LONG_LIST = [...Array<string>(78).fill(`${ADMINISTRATOR}-1`), `${ADMINISTRATOR}-${'x'.repeat(20)}`];

/** The parameters that a nested stack gets. */
function parametersOf({ stack }: SynthesizedApp): unknown {
  const found = Object.values(stack.Resources).find(({ Type }) => Type === 'AWS::CloudFormation::Stack');
  return found?.Properties?.['Parameters'];
}

/** Attaches all three policies of a key to a role, and returns the ARNs of the role's managed policies. */
function policiesOf(policyRegions?: string[], keyNumber?: number): string {
  const stack = stackOf();
  const key = new SymmetricKey(stack, 'Key', { ...KEY, policyRegions, keyNumber });
  const role = new Role(stack, 'Reader', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
  for (const policy of [key.encryptPolicy, key.decryptPolicy, key.cryptoPolicy]) role.addManagedPolicy(policy);
  const made = Object.values(synthesize(stack).stack.Resources).find(({ Type }) => Type === 'AWS::IAM::Role');
  return JSON.stringify(made?.Properties?.['ManagedPolicyArns']);
}

afterAll(removeOutputs);

it('accepts lists that are known only when the stack is deployed, except for replicas', () => {
  const stack = stackOf();
  const list = new CfnParameter(stack, 'List', { type: 'CommaDelimitedList' }).valueAsList;
  new SymmetricKey(stack, 'Key', { ...KEY, administrators: list, viaServices: Fn.split(',', Fn.importValue('x')) });
  const joined = { 'Fn::Join': [',', { Ref: 'List' }] };
  expect(() => new KeyTable(stack, 'Bad', { ...TABLE, replicaRegions: list })).toThrow(
    new TypeError('props.replicaRegions must be known when the app is synthesized.'),
  );
  expect(parametersOf(synthesize(stack))).toEqual({
    Classification: 'confidential',
    AdministratorArns: joined,
    ViaServices: { 'Fn::Join': [',', { 'Fn::Split': [',', { 'Fn::ImportValue': 'x' }] }] },
  });
  const writers = stackOf();
  const own = new CfnParameter(writers, 'List', { type: 'CommaDelimitedList' }).valueAsList;
  new KeyTable(writers, 'Table', { ...TABLE, writers: own });
  expect(JSON.stringify(parametersOf(synthesize(writers)))).toContain(JSON.stringify(joined));
});

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

  it('attaches the policies to a role by ARN, or by name if another region creates the policies', () => {
    const outputs = ['Encrypt', 'Decrypt', 'Crypto'].map((kind) => `Outputs.${kind}PolicyArn`);
    expect(policiesOf(['us-west-2']).match(/Outputs\.\w+/g)).toEqual(outputs);
    const names = ['encrypt', 'decrypt', 'crypto'].map((kind) => `:iam::111122223333:policy/allow-${kind}-keyfold`);
    expect(policiesOf().match(/:iam::[^"]*/g)).toEqual(names);
  });

  it.for([
    [
      'props.classification must match up to forty small letters, digits and hyphens.',
      { classification: 'Top Secret' },
    ],
    [String.raw`props.administrators must match ${USER_ARN}.`, { administrators: ['admin'] }],
    [String.raw`props.administrators must match ${USER_ARN}.`, { administrators: [ADMINISTRATOR, 'admin'] }],
    [String.raw`props.administrators must match ${USER_ARN}.`, { administrators: [] }],
    ['props.administrators must be an array, not a string.', { administrators: ADMINISTRATOR }],
    ['props.administrators[0] must be a string, not a number.', { administrators: [7] }],
    ['props.viaServices[0] must be a string, not a number.', { viaServices: [7] }],
    [`props.grantingPrincipals must match (?:${USER_ARN})?.`, { grantingPrincipals: ['granter'] }],
    [
      'props.name must match one to sixty letters, digits, hyphens and underscores, not beginning with aws, ' +
        'without -retired or -next at the end or before a hyphen.',
      { name: 'aws-secret' },
    ],
    [String.raw`props.policyRegions must match (?:[a-z]{2,}(?:-[a-z]+)+-\d)?.`, { policyRegions: ['Oregon'] }],
    ["props.standing must be 'next' or 'current' or 'retired' or 'none', not a string.", { standing: 'former' }],
    ['props.keyNumber must match a whole number of at least 1.', { keyNumber: 0 }],
    ['props.keyNumber must match a whole number of at least 1.', { keyNumber: 1.5 }],
    ['props.keyNumber must match a whole number of at least 1.', { keyNumber: Number.NaN }],
    [String.raw`props.alarmEmail must match (?:[^@\s]+@[^@\s]+\.[^@\s]+)?.`, { alarmEmail: 'security' }],
    [
      String.raw`props.alarmTopicArn must match (?:arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256})?.`,
      { alarmTopicArn: 'arn:aws:sqs:us-west-2:111122223333:security' },
    ],
    [
      'props.alarmTopicArn must be in the region of the stack.',
      { alarmTopicArn: 'arn:aws:sns:us-east-1:111122223333:security' },
    ],
    [
      'props.alarmTopicArn must be in the account of the stack.',
      { alarmTopicArn: 'arn:aws:sns:us-west-2:444455556666:security' },
    ],
    [
      'props.aliasTargetArn must be in the region of the stack.',
      { aliasTargetArn: 'arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000002' },
    ],
    [
      'props.topicKeyArn must be in the region of the stack.',
      { topicKeyArn: 'arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000003' },
    ],
    [
      'props.administrators must have at most 4096 characters together, including commas.',
      { administrators: [...LONG_LIST, `${ADMINISTRATOR}x`] },
    ],
    ['props.classification must be a string, not undefined.', { classification: undefined }],
  ] as const)('throws an error that does not show the wrong value: "%s"', ([message, options]) => {
    expect(() => new SymmetricKey(stackOf(), 'Key', { ...KEY, ...options } as never)).toThrow(new TypeError(message));
  });

  it('lists the valid options in the error for an unknown option', () => {
    const error = 'props has no option alias. Its options are classification, administrators, name, policyRegions, ';
    expect(() => new SymmetricKey(stackOf(), 'Key', { ...KEY, alias: 'secret' } as never)).toThrow(error);
  });

  it('accepts a list of exactly 4096 characters, including commas', () => {
    const stack = stackOf();
    new SymmetricKey(stack, 'Key', { ...KEY, administrators: [...LONG_LIST, ADMINISTRATOR] });
    const { AdministratorArns: arns } = parametersOf(synthesize(stack)) as Record<string, string>;
    expect(arns).toHaveLength(4096);
  });

  it('attaches the policies of a replacement key by name, because only the first key creates policies', () => {
    const policies = policiesOf(['us-west-2'], 2);
    expect(policies).toContain('policy/allow-encrypt-keyfold');
    expect(policies).not.toContain('PolicyArn');
    expect(policiesOf([])).toBe(policiesOf());
    expect(policiesOf(['us-west-2'], 1)).toBe(policiesOf(['us-west-2']));
  });

  it('accepts the ARN of an SNS topic in any region if the region of the stack is not known yet', () => {
    const stack = stackOf('keyfold', {});
    const alarmTopicArn = 'arn:aws:sns:us-east-1:444455556666:security';
    new SymmetricKey(stack, 'Key', { ...KEY, alarmTopicArn });
    expect(parametersOf(synthesize(stack))).toMatchObject({ AlarmTopicArn: alarmTopicArn });
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
    ['props.tableName must match [a-zA-Z0-9_.-]{3,255}.', { tableName: 'a b' }],
    ['props.newReplicas must be regions of props.replicaRegions.', { newReplicas: ['us-east-1'] }],
    ['props.replicaRegions must have at most three regions.', { replicaRegions: ['a', 'b', 'c', 'd'] }],
    [`props.writers must match (?:${USER_ARN}\\*?)?.`, { writers: ['somebody'] }],
    [
      'props.encryptionKeyName must match (?:(?!aws)(?!.*-(?:retired|next)(?:-|$))[A-Za-z][A-Za-z0-9_-]{0,59})?.',
      { encryptionKeyName: 'a b' },
    ],
    [NOT_DISTINCT, { replicaRegions: ['us-east-1', 'us-east-1'] }],
    [NOT_DISTINCT, { replicaRegions: ['us-west-2'] }],
    [NOT_DISTINCT, { replicaRegions: [''] }],
    ['props.replicaRegions[0] must be a string, not a number.', { replicaRegions: [1] }],
    ['props.newReplicas[0] must be a string, not a number.', { newReplicas: [1] }],
    ['props.writers[0] must be a string, not a number.', { writers: [1] }],
  ] as const)('throws the error "%s"', ([message, options]) => {
    expect(() => new KeyTable(stackOf(), 'Table', { ...TABLE, ...options } as never)).toThrow(new TypeError(message));
  });

  it('throws an error if it gets no options', () => {
    const error = new TypeError('props must be an object, not undefined.');
    expect(() => new KeyTable(stackOf(), 'Table', undefined as never)).toThrow(error);
  });

  it('may have three replicas, has the default name EncryptionKey, and lets only roles of the same stack write to the table', () => {
    const stack = stackOf();
    const table = new KeyTable(stack, 'Table', { ...TABLE, replicaRegions: ['us-east-1', 'eu-west-1', 'eu-west-2'] });
    const roles = ['arn:', { Ref: 'AWS::Partition' }, ':iam::', { Ref: 'AWS::AccountId' }, ':role/keyfold-Roles-*'];
    expect(parametersOf(synthesize(stack))).toEqual({
      Classification: 'confidential',
      ReplicaRegion1: 'us-east-1',
      ReplicaRegion2: 'eu-west-1',
      ReplicaRegion3: 'eu-west-2',
      WriterArns: { 'Fn::Join': ['', roles] },
    });
    expect(table.tableName).toBe('EncryptionKey');
  });
});
