/**
 * What was reviewed of the stacks in infra/ is what CloudFormation would deploy. After a change that is meant, rewrite
 * the files with `npm test -- test/integration/infra/reviewed.test.ts -u` and review their differences.
 */
import { expect, it } from 'vitest';
import { ACCOUNT, render, templateOf } from './template.ts';

const REGION = 'us-west-2';
const ROLE = `arn:aws:iam::${ACCOUNT}:role`;

/** Each stack with as little as it can have, with everything, and with some of it: which condition is of what. */
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
      PermissionsBoundaryArn: `arn:aws:iam::${ACCOUNT}:policy/bounds`,
    },
  ],
  ['roles', 'some', { KeyRegions: REGION, Service: 'orders', Product: 'shop', Tracing: 'true', InputQueueName: 'in' }],
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
 * Indented, with lists of plain values on one line, so that a difference shows what changed. Without texts for people.
 */
function textOf(part: object): string {
  const text = JSON.stringify(part, (name, value: unknown) => (name.endsWith('Description') ? undefined : value), 1);
  const lists = /\[\s*((?:"[^"]*",?\s*)+)\]/g;
  return `${text.replaceAll(lists, (_, items: string) => `[${items.trim().replaceAll(/\s*\n\s*/g, ' ')}]`)}\n`;
}

it.for(STACKS)('of the %s stack with the %s that it can have', async ([stack, how, parameters]) => {
  await expect(textOf(render(stack, REGION, parameters))).toMatchFileSnapshot(`reviewed/${stack}-${how}.txt`);
});

it.for(['keys', 'table', 'roles', 'deployers'])('of the parameters of the %s stack', async (stack) => {
  await expect(textOf(templateOf(stack).Parameters)).toMatchFileSnapshot(`reviewed/${stack}-parameters.txt`);
});
