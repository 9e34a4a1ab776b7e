/** What the policies of the roles that deploy do not allow. That they allow what CloudFormation asks for: test/peers/deployers.test.ts. */
import { describe, expect, it } from 'vitest';
import { isAllowed, KEYS, OUTSIDERS, REST, type Target, WEST } from './account.ts';
import { DEPLOYERS } from './deployers.ts';
import { ACCOUNT } from './template.ts';

function at(arn: string, context: Target['context'] = {}): Target {
  return { arn, context };
}

const iam = (name: string): Target => at(`arn:aws:iam::${ACCOUNT}:${name}`);
const ofLambda = (name: string): Target => at(`arn:aws:lambda:${WEST}:${ACCOUNT}:function:${name}`);
const queue = at(`arn:aws:sqs:${WEST}:${ACCOUNT}:keyfold-input`);
const stack = (name: string): Target => at(`arn:aws:cloudformation:${WEST}:${ACCOUNT}:stack/${name}/1`);

describe('who deploys', () => {
  it.for(Object.entries(DEPLOYERS))('%s fits into a managed policy', ([, { policies }]) => {
    expect(JSON.stringify(policies[0]).length).toBeLessThan(6144);
  });

  it.for(Object.entries(DEPLOYERS))('%s uses no key, and gives nobody its use', async ([, deployer]) => {
    for (const action of [
      'kms:Decrypt',
      'kms:Encrypt',
      'kms:GenerateDataKey',
      'kms:CreateGrant',
      'kms:ReEncryptFrom',
    ]) {
      expect([action, await isAllowed(deployer, action, KEYS['the key'])]).toEqual([action, false]);
    }
  });

  it.for([
    ['keys', 'iam:CreatePolicyVersion', iam('policy/allow-decrypt-orders')],
    ['keys', 'iam:CreateRole', iam('role/keyfold-roles-ApiRole-1')],
    ['keys', 'kms:CreateAlias', at(`arn:aws:kms:${WEST}:${ACCOUNT}:alias/orders`)],
    ['keys', 'cloudformation:DeleteStack', stack('keyfold-app')],
    ['tableAndRoles', 'dynamodb:DeleteTable', REST['the table']],
    ['tableAndRoles', 'dynamodb:DeleteTableReplica', REST['the table']],
    ['tableAndRoles', 'dynamodb:GetItem', REST['another table']],
    ['tableAndRoles', 'iam:PutRolePolicy', iam('role/keyfold')],
    ['tableAndRoles', 'iam:PassRole', iam('role/keyfold-roles-ApiRole-1')],
    ['app', 'iam:PutRolePolicy', iam('role/keyfold-roles-ApiRole-1')],
    [
      'app',
      'iam:PassRole',
      at(`arn:aws:iam::${ACCOUNT}:role/admin`, { 'iam:PassedToService': 'lambda.amazonaws.com' }),
    ],
    ['app', 'lambda:InvokeFunction', ofLambda('keyfold-open')],
    ['app', 'lambda:UpdateFunctionCode', ofLambda('orders-open')],
    ['app', 'sqs:ReceiveMessage', queue],
    ['app', 'sqs:DeleteQueue', queue],
    ['app', 'logs:DeleteLogGroup', at(`arn:aws:logs:${WEST}:${ACCOUNT}:log-group:/aws/lambda/keyfold-api`)],
    ['app', 'cloudformation:DeleteStack', stack('keyfold-keys')],
  ] as const)('the policy of %s does not allow %s', async ([name, action, target]) => {
    expect(await isAllowed(DEPLOYERS[name], action, target)).toBe(false);
  });

  it('may have the maintenance run', async () => {
    expect(await isAllowed(DEPLOYERS.app, 'lambda:InvokeFunction', ofLambda('keyfold-maintenance'))).toBe(true);
  });

  it("is, of the keys, one of the key's administrators", () => {
    expect(DEPLOYERS.keys.arn).toBe(OUTSIDERS['a key administrator without IAM'].arn);
  });
});
