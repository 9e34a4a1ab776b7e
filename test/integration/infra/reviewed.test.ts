/**
 * Compares the stacks in infra/ with their reviewed form. After an intended change, rewrite the files with `npm test --
 * test/integration/infra/reviewed.test.ts -u` and review their diff.
 */
import { expect, it } from 'vitest';
import { ACCOUNT, render, templateOf } from './template.ts';

const REGION = 'us-west-2';
const ROLE = `arn:aws:iam::${ACCOUNT}:role`;

/**
 * Each stack with as few resources as possible, with all of them, and with some. The stack with some resources shows
 * which condition controls which resource.
 */
const STACKS: readonly (readonly [stack: string, how: string, parameters: Readonly<Record<string, string>>])[] = [
  ['keys', 'least', { Classification: 'confidential', AdministratorArns: `${ROLE}/key-administrator` }],
  [
    'keys',
    'most',
    {
      Name: 'orders',
      Classification: 'confidential',
      AdministratorArns: `${ROLE}/key-administrator`,
      ViaServices: 'dynamodb.us-west-2.amazonaws.com',
      EncryptingPrincipalArns: 'arn:aws:iam::444455556666:role/writer',
      DecryptingPrincipalArns: 'arn:aws:iam::444455556666:role/reader',
      GrantingPrincipalArns: `${ROLE}/granter`,
      TopicKeyArn: `arn:aws:kms:us-west-2:${ACCOUNT}:key/3`,
      KeyRegions: 'us-west-2,us-east-1',
      KeyStanding: 'retired',
      AliasTargetArn: `arn:aws:kms:us-west-2:${ACCOUNT}:key/2`,
      AlarmEmail: 'security@example.com',
    },
  ],
  [
    'keys',
    'next',
    {
      Classification: 'confidential',
      AdministratorArns: `${ROLE}/key-administrator`,
      KeyNumber: '2',
      KeyStanding: 'next',
      AlarmTopicArn: `arn:aws:sns:us-west-2:${ACCOUNT}:oncall`,
    },
  ],
  [
    'keys',
    'some',
    {
      Classification: 'confidential',
      AdministratorArns: `${ROLE}/key-administrator`,
      EncryptingPrincipalArns: 'arn:aws:iam::444455556666:root',
      AlarmTopicArn: `arn:aws:sns:us-west-2:${ACCOUNT}:oncall`,
    },
  ],
  [
    'keys',
    'strict',
    {
      Classification: 'confidential',
      AdministratorArns: `${ROLE}/key-administrator,${ROLE}/second-administrator`,
      IamDecides: 'false',
      EncryptingPrincipalArns: `${ROLE}/keyfold-roles-ApiRole-1`,
      DecryptingPrincipalArns: `${ROLE}/keyfold-roles-ApiRole-1,${ROLE}/keyfold-roles-OpenRole-1`,
      GrantingPrincipalArns: `${ROLE}/granter`,
    },
  ],
  ['table', 'least', { Classification: 'confidential' }],
  [
    'table',
    'most',
    {
      TableName: 'Keys',
      Classification: 'confidential',
      ReplicaRegion1: 'us-east-1',
      ReplicaRegion2: 'eu-west-1',
      ReplicaRegion3: 'eu-north-1',
      EncryptionKeyName: 'table',
      RolesStackName: 'orders-roles',
      WriterArns: `${ROLE}/key-revoker,${ROLE}/billing-roles-*`,
    },
  ],
  [
    'table',
    'some',
    { Classification: 'confidential', ReplicaRegion3: 'eu-north-1', WriterArns: `${ROLE}/key-revoker` },
  ],
  [
    'table',
    'other',
    { Classification: 'confidential', ReplicaRegion2: 'eu-west-1', WriterArns: `${ROLE}/key-revoker` },
  ],
  ['roles', 'least', { KeyRegions: REGION, Service: 'orders', Product: 'shop' }],
  [
    'roles',
    'most',
    {
      FunctionPrefix: 'orders',
      KeyName: 'orders',
      KeyRegions: 'us-west-2,us-east-1',
      TableName: 'Keys',
      Service: 'orders',
      Product: 'shop',
      TableKeyName: 'table',
      InputQueueName: 'in',
      OutputQueueName: 'out',
      DeadLetterQueueName: 'dead',
      Tracing: 'true',
      InVpc: 'true',
      PermissionsBoundaryArn: `arn:aws:iam::${ACCOUNT}:policy/bounds`,
    },
  ],
  ['roles', 'some', { KeyRegions: REGION, Service: 'orders', Product: 'shop', Tracing: 'true', InputQueueName: 'in' }],
  [
    'reencrypt',
    'least',
    {
      RowsTableName: 'Customers',
      Fields: '["card"]',
      Verb: 'rewrap',
      Service: 'orders',
      Product: 'shop',
      KmsKeys: '{"us-west-2":"alias"}',
      KeyRegions: REGION,
    },
  ],
  [
    'reencrypt',
    'most',
    {
      Name: 'again',
      RowsTableName: 'Customers',
      Fields: '["card","phone"]',
      Verb: 'seal',
      MoreOptions: ',"partitionField":"tenant"',
      Workers: '16',
      Service: 'orders',
      Product: 'shop',
      RegionSuffix: REGION,
      KmsKeys: '{"us-west-2":"alias"}',
      KeyName: 'orders',
      KeyRegions: 'us-west-2,us-east-1',
      TableName: 'Keys',
      MinSealingCreated: '2026-11-28T12:00:00Z',
      MinOpeningCreated: '1795867200',
      UnboundBefore: '2026-11-30T00:00:00Z',
      KeyRowProofs: 'require',
      ExpireAfterMs: '86400000',
      MinimumWrappedRegions: '2',
      TableKeyName: 'table',
      PermissionsBoundaryArn: `arn:aws:iam::${ACCOUNT}:policy/bounds`,
    },
  ],
  [
    'endpoints',
    'least',
    {
      VpcId: 'vpc-0123456789abcdef0',
      SubnetIds: 'subnet-0123456789abcdef0',
      RouteTableIds: 'rtb-0123456789abcdef0',
      DynamoDbPrefixListId: 'pl-01234567',
    },
  ],
  [
    'endpoints',
    'most',
    {
      VpcId: 'vpc-0123456789abcdef0',
      SubnetIds: 'subnet-0123456789abcdef0,subnet-0123456789abcdef1',
      RouteTableIds: 'rtb-0123456789abcdef0,rtb-0123456789abcdef1',
      DynamoDbPrefixListId: 'pl-01234567',
      OtherKmsRegion1: 'us-east-1',
      OtherKmsRegion2: 'eu-west-1',
      OtherKmsRegion3: 'eu-north-1',
      HasQueue: 'true',
      TableName: 'Keys',
      RolesStackName: 'orders-roles',
    },
  ],
  ['deployers', 'least', {}],
  [
    'deployers',
    'most',
    {
      Prefix: 'orders',
      KeyName: 'orders-key',
      TableName: 'Keys',
      RolesBoundaryArn: `arn:aws:iam::${ACCOUNT}:policy/bounds`,
    },
  ],
];

/**
 * Formats a part of a stack as text: indented, with plain lists on one line, and without descriptions, except those
 * that alarms and errors show. This form makes a diff show what changed.
 */
function textOf(part: object): string {
  const text = JSON.stringify(part, (name, value: unknown) => (name === 'Description' ? undefined : value), 1);
  const lists = /\[\s*((?:"[^"]*",?\s*)+)\]/g;
  return `${text.replaceAll(lists, (_, items: string) => `[${items.trim().replaceAll(/\s*\n\s*/g, ' ')}]`)}\n`;
}

it.for(STACKS)(
  'the resources of the %s stack equal their reviewed file (parameters: %s)',
  async ([stack, how, parameters]) => {
    await expect(textOf(render(stack, REGION, parameters))).toMatchFileSnapshot(`reviewed/${stack}-${how}.txt`);
  },
);

it.for(['keys', 'table', 'roles', 'reencrypt', 'endpoints', 'deployers'])(
  'the parameters of the %s stack equal their reviewed file',
  async (stack) => {
    await expect(textOf(templateOf(stack).Parameters)).toMatchFileSnapshot(`reviewed/${stack}-parameters.txt`);
  },
);
