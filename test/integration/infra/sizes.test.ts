/**
 * Compares the largest policies that the templates can make with AWS's limits. Uses the AWS partition with the longest
 * name, because all ARNs contain it.
 */
import { expect, it } from 'vitest';
import { render } from './template.ts';

const REGION = 'us-gov-west-1';
const [NAME, PART, QUEUE] = ['k'.repeat(60), 'p'.repeat(255), `${'q'.repeat(75)}.fifo`];

/** As many ARNs as fit into one parameter of a stack. */
const ARNS = Array.from({ length: 4096 / 44 }, (_, i) => `arn:aws-us-gov:iam::111122223333:role/r${i + 10}`).join(',');

interface Role {
  readonly Policies?: readonly { readonly PolicyDocument: object }[];
  readonly PolicyDocument?: object;
}

it('the policies of a role have at most 10,240 characters together', () => {
  const roles = render('roles', REGION, {
    KeyName: NAME,
    TableKeyName: NAME,
    KeyRegions: 'us-gov-west-1,us-gov-east-1,ap-southeast-1,ap-southeast-2',
    TableName: PART,
    Service: PART,
    Product: PART,
    InputQueueName: QUEUE,
    OutputQueueName: QUEUE,
    DeadLetterQueueName: QUEUE,
    Tracing: 'true',
    InVpc: 'true',
  }).resources;
  const { NetworkPolicy, ...others } = roles;
  const network = JSON.stringify((NetworkPolicy as { Properties: Role }).Properties.PolicyDocument).length;
  expect(Object.keys(others)).toHaveLength(5);
  for (const { Properties } of Object.values(others)) {
    const policies = (Properties as Role).Policies?.map(({ PolicyDocument }) => JSON.stringify(PolicyDocument)) ?? [];
    expect(policies.join('').length + network).toBeLessThanOrEqual(10_240);
  }
});

it.for([
  ['that IAM policies can give access to', {}],
  [
    'that only named users can access',
    { IamDecides: 'false', EncryptingPrincipalArns: ARNS, DecryptingPrincipalArns: ARNS, GrantingPrincipalArns: ARNS },
  ],
] as const)('the policy of a key %s is at most 32 KiB long', ([, parameters]) => {
  expect(ARNS.length).toBeGreaterThan(3500);
  const { Key } = render('keys', REGION, {
    Classification: 'secret',
    AdministratorArns: ARNS,
    ...parameters,
  }).resources;
  expect(JSON.stringify(Key?.Properties['KeyPolicy']).length).toBeLessThanOrEqual(32_768);
});

it('the policy of the table is at most 20 KiB long', () => {
  const { Table } = render('table', REGION, { Classification: 'secret', TableName: PART, WriterArns: ARNS }).resources;
  const [replica] = (Table?.Properties['Replicas'] ?? []) as { ResourcePolicy: { PolicyDocument: object } }[];
  expect(JSON.stringify(replica?.ResourcePolicy.PolicyDocument).length).toBeLessThanOrEqual(20_480);
});
