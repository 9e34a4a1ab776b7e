/**
 * Tests which actions the policies of the deployment roles forbid. test/peers/deployers.test.ts tests that they allow
 * the actions that CloudFormation needs.
 */
import { rm } from 'node:fs/promises';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { alarmResources } from '../../../deploy/alarms.ts';
import { deploymentSchema } from '../../../deploy/deployment.ts';
import { packageFolder } from '../../../deploy/package.ts';
import { readDeployment } from '../../../deploy/read-deployment.ts';
import { isAllowed, KEYS, OUTSIDERS, REST, type Target, WEST } from './account.ts';
import { EXAMPLE, invoked, startCli, type Answers, type Cli, type Outcome } from './aws-cli.ts';
import { DEPLOYERS, deployersOf, type Deployers } from './deployers.ts';
import { ACCOUNT, templateOf } from './template.ts';

vi.mock('node:child_process', async (original) => {
  const { withFakes } = await import('./fake-processes.ts');
  return withFakes(await original());
});

function at(arn: string, context: Target['context'] = {}): Target {
  return { arn, context };
}

const iam = (name: string): Target => at(`arn:aws:iam::${ACCOUNT}:${name}`);
const ofLambda = (name: string): Target => at(`arn:aws:lambda:${WEST}:${ACCOUNT}:function:${name}`);
const queue = at(`arn:aws:sqs:${WEST}:${ACCOUNT}:keyfold-input`);
const audit = at(`arn:aws:logs:${WEST}:${ACCOUNT}:log-group:/aws/lambda/keyfold-api`);
const changeSet = (name: string): Target => at(`arn:aws:cloudformation:${WEST}:${ACCOUNT}:changeSet/${name}/1`);
const stack = (name: string): Target => at(arnOfStack(WEST, name));

/** A function's role, with or without a permissions boundary. */
function role(bound?: string): Target {
  const context = bound === undefined ? {} : { 'iam:PermissionsBoundary': bound };
  return at(`arn:aws:iam::${ACCOUNT}:role/keyfold-roles-ApiRole-1`, context);
}

describe('the deployment role', () => {
  const longest = { Prefix: 'k'.repeat(16), KeyName: 'k'.repeat(60), TableName: 'k'.repeat(255) };
  it.for(Object.entries(deployersOf(longest)))(
    "for %s has policies within IAM's size limits, even with the longest names",
    ([, { policies }]) => {
      expect(policies).not.toEqual([]);
      for (const policy of policies) {
        const there = JSON.stringify(policy).replaceAll('arn:aws:', 'arn:aws-us-gov:');
        expect(there.length).toBeLessThanOrEqual(6144);
      }
    },
  );

  it.for(Object.entries(DEPLOYERS))(
    'for %s can neither use the KMS key nor let others use the KMS key',
    async ([, deployer]) => {
      for (const action of [
        'kms:Decrypt',
        'kms:Encrypt',
        'kms:GenerateDataKey',
        'kms:CreateGrant',
        'kms:ReEncryptFrom',
      ]) {
        expect([action, await isAllowed(deployer, action, KEYS['the key'])]).toEqual([action, false]);
      }
    },
  );

  it.for([
    ['keys', 'iam:CreatePolicyVersion', iam('policy/allow-decrypt-orders')],
    ['keys', 'iam:CreateRole', iam('role/keyfold-roles-ApiRole-1')],
    ['keys', 'kms:CreateAlias', at(`arn:aws:kms:${WEST}:${ACCOUNT}:alias/orders`)],
    ['keys', 'cloudformation:DeleteStack', stack('keyfold-app')],
    ['tableAndRoles', 'dynamodb:DeleteTable', REST['the table']],
    ['tableAndRoles', 'dynamodb:DeleteTableReplica', REST['the table']],
    ['tableAndRoles', 'iam:AttachRolePolicy', iam('role/keyfold-roles-ApiRole-1')],
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
    ['app', 'sqs:PurgeQueue', queue],
    // These actions delete data that must be kept.
    ['app', 'sqs:SetQueueAttributes', queue],
    ['app', 'logs:PutRetentionPolicy', audit],
    ['app', 'logs:DeleteLogStream', at(`${audit.arn}:log-stream:1`)],
    ['appWithRetention', 'sqs:DeleteQueue', queue],
    ['appWithRetention', 'logs:DeleteLogGroup', audit],
    ['app', 'logs:DisassociateKmsKey', audit],
    ['app', 'logs:DeleteLogGroup', audit],
    ['app', 'cloudformation:DeleteStack', stack('keyfold-keys')],
  ] as const)('for %s cannot perform %s', async ([name, action, target]) => {
    expect(await isAllowed(DEPLOYERS[name], action, target)).toBe(false);
  });

  // These resources belong to a deployment whose prefix begins with our prefix.
  it.for([
    ['lambda:UpdateFunctionCode', ofLambda('keyfold-eu-open')],
    ['sqs:SetQueueAttributes', at(`arn:aws:sqs:${WEST}:${ACCOUNT}:keyfold-eu-input`)],
    ['logs:PutRetentionPolicy', at(`arn:aws:logs:${WEST}:${ACCOUNT}:log-group:/aws/lambda/keyfold-eu-open:*`)],
    [
      'logs:PutRetentionPolicy',
      at(`arn:aws:logs:${WEST}:${ACCOUNT}:log-group:/aws/vendedlogs/http-api/keyfold-apps-app:*`),
    ],
    ['cloudwatch:DeleteAlarms', at(`arn:aws:cloudwatch:${WEST}:${ACCOUNT}:alarm:keyfold-eu-OpenErrors`)],
    ['cloudwatch:DeleteAlarms', at(`arn:aws:cloudwatch:${WEST}:${ACCOUNT}:alarm:keyfold-keys-KeyTouchedUntold-1`)],
    ['s3:PutObject', at('arn:aws:s3:::keyfold-eu-app-serverlessdeploymentbucket-1/serverless/code.zip')],
    ['s3:PutObject', at('arn:aws:s3:::orders-serverlessdeploymentbucket-1/serverless/code.zip')],
  ] as const)(
    'for the app cannot perform %s on the resources of another deployment or service',
    async ([action, target]) => {
      expect(await isAllowed(DEPLOYERS.appWithRetention, action, target)).toBe(false);
    },
  );

  it.for([
    ['apigateway:POST', at(`arn:aws:apigateway:${WEST}::/restapis`)],
    ['apigateway:PATCH', at(`arn:aws:apigateway:${WEST}::/restapis/abc123/stages/live`)],
    ['apigateway:UpdateRestApiPolicy', at(`arn:aws:apigateway:${WEST}::/restapis/abc123`)],
    ['apigateway:POST', at(`arn:aws:apigateway:${WEST}::/domainnames`)],
    ['lambda:CreateFunctionUrlConfig', at(ofLambda('keyfold-api').arn, { 'lambda:FunctionUrlAuthType': 'AWS_IAM' })],
    ['lambda:DeleteFunctionUrlConfig', ofLambda('keyfold-api')],
    ['logs:CreateLogGroup', at(`arn:aws:logs:${WEST}:${ACCOUNT}:log-group:/aws/vendedlogs/rest-api/keyfold-app:*`)],
    ['apigateway:POST', at(`arn:aws:apigateway:${WEST}::/usageplans`)],
    ['apigateway:POST', at(`arn:aws:apigateway:${WEST}::/apikeys`)],
    ['lambda:PublishVersion', ofLambda('keyfold-seal')],
    ['lambda:CreateAlias', ofLambda('keyfold-open')],
    ['lambda:PutProvisionedConcurrencyConfig', ofLambda('keyfold-api:provisioned')],
    ['lambda:DeleteFunction', ofLambda('keyfold-api:7')],
    [
      'lambda:AddPermission',
      at(ofLambda('keyfold-api:provisioned').arn, { 'lambda:Principal': 'apigateway.amazonaws.com' }),
    ],
    ['ec2:DescribeSubnets', at('*')],
    ['ec2:DescribeNetworkInterfaces', at('*')],
  ] as const)(
    'for the app can perform %s only with the policy for entry points other than an HTTP API',
    async ([action, target]) => {
      expect(await isAllowed(DEPLOYERS.appWithEntries, action, target)).toBe(true);
      expect(await isAllowed(DEPLOYERS.app, action, target)).toBe(false);
    },
  );

  it.for([
    [
      'create a function URL without authorization',
      'lambda:CreateFunctionUrlConfig',
      at(ofLambda('keyfold-api').arn, { 'lambda:FunctionUrlAuthType': 'NONE' }),
    ],
    [
      'create a function URL for the function open',
      'lambda:CreateFunctionUrlConfig',
      at(ofLambda('keyfold-open').arn, { 'lambda:FunctionUrlAuthType': 'AWS_IAM' }),
    ],
    [
      'let every caller invoke the function api',
      'lambda:AddPermission',
      at(ofLambda('keyfold-api').arn, { 'lambda:Principal': '*' }),
    ],
    [
      'let another account invoke the function api',
      'lambda:AddPermission',
      at(ofLambda('keyfold-api:provisioned').arn, { 'lambda:Principal': '444455556666' }),
    ],
    ['create an alias of the maintenance function', 'lambda:CreateAlias', ofLambda('keyfold-maintenance')],
    ["publish a version of another deployment's function", 'lambda:PublishVersion', ofLambda('keyfold-eu-seal')],
    [
      'create a network interface',
      'ec2:CreateNetworkInterface',
      at(`arn:aws:ec2:${WEST}:${ACCOUNT}:network-interface/*`),
    ],
  ] as const)('for entry points other than an HTTP API cannot %s', async ([, action, target]) => {
    expect(await isAllowed(DEPLOYERS.appWithEntries, action, target)).toBe(false);
  });

  it('for the app may manage the functions, queues, logs and alarms that are named after the app', async () => {
    const deployment = await readDeployment(EXAMPLE);
    const alarms = Object.values(alarmResources(deployment, WEST)).flatMap(({ Properties }) => Properties['AlarmName']);
    const names = alarms.filter((name) => name !== undefined);
    expect(names.length).toBeGreaterThan(20);
    const functions = ['api', 'seal', 'open', 'queue', 'maintenance'];
    const queues = ['input', 'output', 'dead-letters'].flatMap((name) => [name, `${name}.fifo`]);
    const logs = [
      ...functions.map((name) => `/aws/lambda/keyfold-${name}`),
      ...['http-api', 'rest-api'].map((kind) => `/aws/vendedlogs/${kind}/keyfold-app`),
    ];
    const asked: (readonly [action: string, target: Target])[] = [
      ...names.map(
        (name) =>
          ['cloudwatch:PutMetricAlarm', at(`arn:aws:cloudwatch:${WEST}:${ACCOUNT}:alarm:${name as string}`)] as const,
      ),
      ...functions.map((name) => ['lambda:UpdateFunctionCode', ofLambda(`keyfold-${name}`)] as const),
      ...queues.map(
        (name) => ['sqs:SetQueueAttributes', at(`arn:aws:sqs:${WEST}:${ACCOUNT}:keyfold-${name}`)] as const,
      ),
      // Depending on the action, IAM checks a log group's ARN with or without the suffix `:*`.
      ...logs.flatMap((name) =>
        ['', ':*'].map(
          (end) => ['logs:PutRetentionPolicy', at(`arn:aws:logs:${WEST}:${ACCOUNT}:log-group:${name}${end}`)] as const,
        ),
      ),
    ];
    const answers = await Promise.all(
      asked.map(([action, target]) => isAllowed(DEPLOYERS.appWithRetention, action, target)),
    );
    expect(asked.filter((_, i) => !answers[i])).toEqual([]);
  });

  it.for([
    ['may', 'apigateway.amazonaws.com', 'api'],
    ['may', 'events.amazonaws.com', 'maintenance'],
    ['cannot', '444455556666', 'api'],
    ['cannot', '*', 'api'],
    ['cannot', 's3.amazonaws.com', 'maintenance'],
    ['cannot', 'apigateway.amazonaws.com', 'open'],
    ['cannot', '444455556666', 'open'],
    ['cannot', 'events.amazonaws.com', 'seal'],
  ] as const)('for the app %s let the principal %s invoke the function %s', async ([may, by, name]) => {
    const target = { ...ofLambda(`keyfold-${name}`), context: { 'lambda:Principal': by } };
    expect(await isAllowed(DEPLOYERS.app, 'lambda:AddPermission', target)).toBe(may === 'may');
  });

  it.for([
    ['keys', 'keyfold-keys'],
    ['keys', 'keyfold-keys-2'],
    ['tableAndRoles', 'keyfold-table'],
    ['tableAndRoles', 'keyfold-roles'],
    ['app', 'keyfold-app'],
  ] as const)('for %s may resume a failed rollback of the stack %s', async ([name, of]) => {
    expect(await isAllowed(DEPLOYERS[name], 'cloudformation:ContinueUpdateRollback', stack(of))).toBe(true);
  });

  it.for([
    ['tableAndRoles', 'may', 'replication.dynamodb.amazonaws.com', 'replication.dynamodb.amazonaws.com'],
    ['app', 'may', 'ops.apigateway.amazonaws.com', 'ops.apigateway.amazonaws.com'],
    ['app', 'cannot', 'replication.dynamodb.amazonaws.com', 'ops.apigateway.amazonaws.com'],
    ['app', 'cannot', 'replication.dynamodb.amazonaws.com', 'replication.dynamodb.amazonaws.com'],
  ] as const)(
    'for %s %s create a service-linked role: service %s, path aws-service-role/%s',
    async ([name, may, service, folder]) => {
      const { arn } = iam(`role/aws-service-role/${folder}/AWSServiceRoleForIt`);
      const target = at(arn, { 'iam:AWSServiceName': service });
      expect(await isAllowed(DEPLOYERS[name], 'iam:CreateServiceLinkedRole', target)).toBe(may === 'may');
    },
  );

  describe('for the keys', () => {
    const everybodyWhomIamAllows = {
      Version: '2012-10-17',
      Statement: [
        { Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` }, Action: 'kms:*', Resource: '*' },
      ],
    };
    const key = (context: Target['context'] = {}): Target => ({
      ...at(`arn:aws:kms:${WEST}:${ACCOUNT}:key/1`, context),
      policy: everybodyWhomIamAllows,
    });

    it('may create symmetric KMS keys, even if the call is not marked as coming from CloudFormation', async () => {
      for (const via of [{}, { 'aws:CalledVia': ['cloudformation.amazonaws.com'] }]) {
        const asked = at('*', {
          ...via,
          'kms:KeySpec': 'SYMMETRIC_DEFAULT',
          'aws:RequestTag/Classification': 'private',
        });
        expect(await isAllowed(DEPLOYERS.keys, 'kms:CreateKey', asked)).toBe(true);
      }
      expect(await isAllowed(DEPLOYERS.keys, 'kms:CreateKey', at('*', { 'kms:KeySpec': 'RSA_4096' }))).toBe(false);
    });

    it.for([
      ['may', 'with Classification, while the role creates the keys', { 'aws:TagKeys': ['Classification'] }],
      [
        'may',
        'with Classification and the tags of CloudFormation',
        { 'aws:TagKeys': ['Classification', 'aws:cloudformation:stack-name'] },
      ],
      ['cannot', 'with any other tag, such as Team', { 'aws:TagKeys': ['Team'] }],
      [
        'cannot',
        'that belong to another service',
        { 'aws:TagKeys': ['Classification'], 'kms:ResourceAliases': ['alias/orders'] },
      ],
    ] as const)('%s tag KMS keys %s', async ([may, , context]) => {
      const copied = Object.fromEntries(Object.entries(context).map(([name, values]) => [name, [...values]]));
      expect(await isAllowed(DEPLOYERS.keys, 'kms:TagResource', key(copied))).toBe(may === 'may');
    });
  });

  it("for tableAndRoles may read the account's limits, because adding a replica requires this", async () => {
    expect(await isAllowed(DEPLOYERS.tableAndRoles, 'dynamodb:DescribeLimits', at('*'))).toBe(true);
  });

  it("for the app may tag only the app's stack, through a change set of that stack", async () => {
    for (const [name, may] of [
      ['keyfold-app-change-set', true],
      ['keyfold-keys-change-set', false],
      ['keyfold-eu-app-change-set', false],
    ] as const) {
      expect([name, await isAllowed(DEPLOYERS.app, 'cloudformation:TagResource', changeSet(name))]).toEqual([
        name,
        may,
      ]);
    }
  });

  describe('through the policy for HTTP APIs', () => {
    const api = (path: string, stackName?: string): Target =>
      at(
        `arn:aws:apigateway:${WEST}::/apis${path}`,
        stackName === undefined ? {} : { 'aws:ResourceTag/aws:cloudformation:stack-name': stackName },
      );

    it.for([
      ['create', 'an API', 'POST', api('')],
      ['change', "the app's API", 'PATCH', api('/1', 'keyfold-app')],
      ['delete', "the app's API", 'DELETE', api('/1', 'keyfold-app')],
      ['create', 'a stage', 'POST', api('/1/stages')],
      ['change', "a stage of the app's API", 'PATCH', api('/1/stages/$default', 'keyfold-app')],
      ['create', 'a route', 'POST', api('/1/routes')],
      ['change', 'a route', 'PATCH', api('/1/routes/2')],
      ['delete', 'an integration', 'DELETE', api('/1/integrations/2')],
      ['create', 'an authorizer', 'POST', api('/1/authorizers')],
      ['read', 'a route', 'GET', api('/1/routes/2')],
    ] as const)('may %s %s', async ([, , verb, target]) => {
      expect(await isAllowed(DEPLOYERS.app, `apigateway:${verb}`, target)).toBe(true);
    });

    it.for([
      ['change', 'an API that has no tags', 'PATCH', api('/1')],
      ['change', "another service's API", 'PATCH', api('/1', 'orders-app')],
      ['delete', "another deployment's API", 'DELETE', api('/1', 'keyfold-app-2')],
      ['delete', "another service's stage", 'DELETE', api('/1/stages/$default', 'orders-app')],
      ['change', 'a stage that has no tags', 'PATCH', api('/1/stages/prod')],
      ['delete', 'the route settings of a stage', 'DELETE', api('/1/stages/prod/routesettings/1')],
      ['create', 'a deployment of an API', 'POST', api('/1/deployments')],
      ['change', 'a model', 'PATCH', api('/1/models/2')],
      ['delete', 'a domain name', 'DELETE', at(`arn:aws:apigateway:${WEST}::/domainnames/1`)],
      ['delete', 'a REST API', 'DELETE', at(`arn:aws:apigateway:${WEST}::/restapis/1`)],
    ] as const)('cannot %s %s', async ([, , verb, target]) => {
      expect(await isAllowed(DEPLOYERS.app, `apigateway:${verb}`, target)).toBe(false);
    });
  });

  it.for([
    ['iam:CreateRole', 'only on a role with the required permissions boundary'],
    ['iam:PutRolePolicy', 'only on a role with the required permissions boundary'],
    ['iam:PutRolePermissionsBoundary', 'only on a role with the required permissions boundary'],
    ['iam:DeleteRolePermissionsBoundary', 'on a role only if no permissions boundary is required'],
  ] as const)('may perform %s %s', async ([action, where]) => {
    const boundary = `arn:aws:iam::${ACCOUNT}:policy/bounds`;
    const { tableAndRoles } = deployersOf({ RolesBoundaryArn: boundary });
    expect(await isAllowed(tableAndRoles, action, role(boundary))).toBe(where.startsWith('only'));
    expect(await isAllowed(tableAndRoles, action, role())).toBe(false);
    expect(await isAllowed(tableAndRoles, action, role(`arn:aws:iam::${ACCOUNT}:policy/others`))).toBe(false);
    expect(await isAllowed(DEPLOYERS.tableAndRoles, action, role())).toBe(true);
  });

  // If a policy's description changes, CloudFormation replaces the policy. If the policy has an explicit name, the
  // replacement fails, because the old policy still has this name.
  it('has policies with fixed descriptions, because CloudFormation would replace a policy if the description changed', () => {
    const described = ['deployers', 'keys'].flatMap((template) =>
      Object.entries(templateOf(template).Resources)
        .filter(([, { Type }]) => Type === 'AWS::IAM::ManagedPolicy')
        .map(([id, { Properties }]) => [
          id,
          (Properties as { Description: { 'Fn::Sub': string } }).Description['Fn::Sub'],
        ]),
    );
    expect(Object.fromEntries(described)).toEqual({
      KeysPolicy: 'Deploys ${Prefix}-keys, and the stacks of keys that follow',
      TableAndRolesPolicy: 'Deploys ${Prefix}-table and ${Prefix}-roles; deletes no table',
      AppPolicy: 'Deploys ${Prefix}-app with the roles that there are, and has its maintenance run',
      AppQueuesAndLogsPolicy:
        'Deploys the queues, logs, alarms and schedule of ${Prefix}-app; deletes no queue and no log',
      AppEntriesPolicy: 'Deploys the REST API, the function URL and the domain of ${Prefix}-app',
      AppRetentionPolicy: 'Sets how long the logs and queues of ${Prefix}-app keep what is in them',
      EncryptPolicy: 'Encrypts under alias/${Name}',
      DecryptPolicy: 'Decrypts under alias/${Name} and the keys that it pointed to',
      CryptoPolicy:
        'Encrypts under alias/${Name}, decrypts under it and the keys that it pointed to, and moves from those to it',
    });
  });

  it.for(['keys', 'app'] as const)(
    "for %s may read all alarms, but cannot change other services' alarms",
    async (name) => {
      const alarm = at(`arn:aws:cloudwatch:${WEST}:${ACCOUNT}:alarm:orders-ApiErrors`);
      expect(await isAllowed(DEPLOYERS[name], 'cloudwatch:DescribeAlarms', alarm)).toBe(true);
      expect(await isAllowed(DEPLOYERS[name], 'cloudwatch:PutMetricAlarm', alarm)).toBe(false);
    },
  );

  it('for the app may invoke the maintenance function', async () => {
    expect(await isAllowed(DEPLOYERS.app, 'lambda:InvokeFunction', ofLambda('keyfold-maintenance'))).toBe(true);
  });

  it('for keys is one of the administrators that the policy of the KMS key names', () => {
    expect(DEPLOYERS.keys.arn).toBe(OUTSIDERS['a key administrator without IAM'].arn);
  });
});

describe('a deployment prefix', () => {
  it.for([
    ['Keyfold', 'the name of an S3 bucket must be in lower case'],
    ['k'.repeat(17), 'CloudFormation would truncate the names that begin with it'],
    ['keyfold-keys', 'the deployment "keyfold" creates resources with names that begin with it'],
    ['keyfold-app-eu', 'the deployment "keyfold" creates resources with names that begin with it'],
    ['keyfold*', 'it would match the names of other deployments'],
  ] as const)('cannot be %s, because %s', ([prefix]) => {
    expect(() => deployersOf({ Prefix: prefix })).toThrow('Prefix does not match its pattern');
    expect(v.is(deploymentSchema.entries.prefix, prefix)).toBe(false);
  });

  it.for(['keyfold', 'k', 'orders-eu-2', 'k'.repeat(16), 'keys'])('can be %s', (prefix) => {
    expect(deployersOf({ Prefix: prefix }).app.policies).toHaveLength(2);
    expect(v.is(deploymentSchema.entries.prefix, prefix)).toBe(true);
  });
});

describe('the AWS calls of the deploy scripts', { timeout: 60_000 }, () => {
  const prefix = 'held';
  const held = deployersOf({ Prefix: prefix });
  let cli: Cli;
  beforeAll(async () => {
    cli = await startCli();
  });
  afterAll(() => Promise.all([cli.remove(), rm(packageFolder({ prefix }, '.'), { recursive: true, force: true })]));

  const absent = {
    'cloudformation describe-stacks': 'Stack does not exist',
    'cloudformation get-template': 'Stack does not exist',
    'cloudformation describe-change-set': { Status: 'CREATE_COMPLETE', Changes: [] },
  };
  const rolledBack = (what: string): Answers => ({
    'cloudformation describe-stacks': {
      Stacks: [{ StackId: arnOfStack('us-west-2', `${prefix}-${what}`), StackStatus: 'ROLLBACK_COMPLETE' }],
    },
    'cloudformation list-stack-resources': { StackResourceSummaries: [] },
  });
  const failing = {
    ...absent,
    'stack-create-complete': 'Waiter failed',
    'cloudformation describe-stack-events': { StackEvents: [] },
  };
  const toStacks = (what: string): Answers[] => [absent, { ...absent, ...rolledBack(what) }, failing];
  const app = {
    ...rolledBack('app'),
    'cloudformation get-template': { TemplateBody: { Resources: {} } },
    'osls package': { Resources: {} },
    'osls deploy': {},
    'lambda invoke': invoked({ systemKeys: [] }),
  };
  const stacks = [
    'cloudformation create-change-set',
    'cloudformation delete-change-set',
    'cloudformation delete-stack',
    'cloudformation describe-change-set',
    'cloudformation describe-stack-events',
    'cloudformation describe-stacks',
    'cloudformation execute-change-set',
    'cloudformation list-stack-resources',
    'cloudformation wait',
    'sts get-caller-identity',
  ];

  const protection = ['cloudformation set-stack-policy', 'cloudformation update-termination-protection'];

  it.for([
    ['keys', 'keys', toStacks('keys'), [...stacks, ...protection]],
    ['table', 'tableAndRoles', toStacks('table'), [...stacks, ...protection]],
    ['roles', 'tableAndRoles', toStacks('roles'), [...stacks, 'cloudformation get-template']],
    [
      'app',
      'app',
      [app],
      [
        'cloudformation delete-stack',
        'cloudformation describe-stacks',
        'cloudformation get-template',
        'cloudformation list-stack-resources',
        'cloudformation wait',
        'configure export-credentials',
        'lambda invoke',
        'osls deploy',
        'osls package',
        'sts get-caller-identity',
      ],
    ],
  ] as const satisfies readonly [string, keyof Deployers, readonly Answers[], readonly string[]][])(
    'that deploy "%s" are all allowed by the deployers\' policy "%s"',
    async ([what, name, situations, commands]) => {
      const calls: Outcome['calls'][number][] = [];
      for (const answers of situations) {
        for (const args of [[what], [what, '--yes']])
          calls.push(...(await cli.deploy(args, answers, { prefix })).calls);
      }
      expect([...new Set(calls.map((call) => call.name))].toSorted()).toEqual(commands.toSorted());
      const asked = calls.flatMap(askedOf);
      const answers = await Promise.all(asked.map(([action, target]) => isAllowed(held[name], action, target)));
      expect(asked.filter((_, i) => !answers[i])).toEqual([]);
    },
  );
});

/** The IAM actions that a call of the AWS CLI needs, if any. */
function askedOf({ name, args }: Outcome['calls'][number]): [action: string, target: Target][] {
  // These calls need no action: every caller may get its own identity, the CLI itself exports credentials, and the
  // actions for osls follow from the changes to its stack.
  if (/^(?:sts get-caller-identity|configure export-credentials|osls \w+)$/.test(name)) return [];
  const [service = '', command = ''] = name.split(' ');
  const option = (of: string): string => args[args.indexOf(of) + 1] as string;
  if (name === 'lambda invoke') {
    const called = `arn:aws:lambda:${option('--region')}:${ACCOUNT}:function:${option('--function-name')}`;
    return [['lambda:InvokeFunction', at(called)]];
  }
  const looked = args.includes('change-set-create-complete') ? 'describe-change-set' : 'describe-stacks';
  const words = (command === 'wait' ? looked : command).split('-');
  const action = words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('');
  const named = option('--stack-name');
  return [[`${service}:${action}`, at(named.startsWith('arn:') ? named : arnOfStack(option('--region'), named))]];
}

function arnOfStack(region: string, name: string): string {
  return `arn:aws:cloudformation:${region}:${ACCOUNT}:stack/${name}/1`;
}
