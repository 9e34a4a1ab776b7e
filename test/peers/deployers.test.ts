/**
 * Compares the policies of the deployment roles with the schemas of CloudFormation, which list the permissions that
 * each type of resource needs.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { expanded, isAllowed, KEYS, type Principal, REST, type Target, WEST } from '../integration/infra/account.ts';
import { DEPLOYERS, type Deployers } from '../integration/infra/deployers.ts';
import { ENTRIES, FLIPPED, packageExample } from '../integration/infra/package.ts';
import { ACCOUNT, templateOf } from '../integration/infra/template.ts';
import { pythonOf } from './install.ts';

const DELETES_LOGS_AND_QUEUES = /^(?:logs:DeleteLogGroup|sqs:DeleteQueue)$/;
const DELETES_TABLES = /^dynamodb:(?:DeleteTable|DeleteTableReplica|DisassociateTableReplica)$/;
/** Permissions for properties that our templates do not set. */
const FOR_OTHER_PROPERTIES = [
  /^(?:application-autoscaling|codedeploy|ec2|elasticfilesystem|firehose|kinesis|s3files|s3tables):/,
  /^dynamodb:(?:(?!Describe).)*(?:Kinesis|AutoScaling)/,
  // Permissions to import a table from a source that we do not use.
  /^dynamodb:Describe(?:Backup|Endpoints|Export|GlobalTable|GlobalTableSettings|Import|ReservedCapacity.*|Stream)$/,
  /^cloudwatch:PutMetricData$/,
  /^iam:(?:Attach|Detach)/,
  /^iam:(?:Delete|Get|Put)(?:Group|User)Policy$/,
  /^lambda:(?:AssociateRuntimeAlias|PassCapacityProvider|PublishVersion|.*(?:CodeSigning|Recursion|Scaling|RuntimeManagement).*)$/,
  /^logs:(?:AssociateKmsKey|DisassociateKmsKey|DeleteRetentionPolicy|PutBearerTokenAuthentication|PutLogGroupDeletionProtection)$/,
  /^logs:(?:Put|Delete)(?:DataProtection|Index|Resource)Policy$/,
  /^s3:(?:Put|Delete|Create|Update)Bucket(?:ACL|Abac|Acl|CORS|Cors|Logging|Metadata|Metrics|Notification|ObjectLock|Ownership|Replication|Website|Analytics|Encryption|Lifecycle)/,
  /^s3:(?:Put|Delete)(?:Accelerate|Analytics|IntelligentTiering|Inventory|Lifecycle|Metrics|ObjectAcl|ObjectLock|Replication)/,
  /^s3:UpdateBucketMetadata/,
  /^sns:PutDataProtectionPolicy$/,
  // Permissions for mutual TLS, which Keyfold's domains do not use.
  /^apigateway:(?:AddCertificateTo|RemoveCertificateFrom)Domain$/,
  /^lambda:GetLayerVersion$/,
  // Keyfold never disables a key's rotation.
  /^kms:DisableKeyRotation$/,
  // IAM has no action with this name.
  /^(?:s3:REST\.PUT\.OBJECT|apigateway:TagResource|apigateway:UntagResource)$/,
];
/** The permission for the delivery logs of an SNS topic, which Keyfold does not use. */
const FOR_A_LOG_OF_DELIVERIES = /^iam:GetRole$/;
/**
 * Permissions for a KMS key that encrypts the functions' environment or the table. docs/reference/iam-and-stacks.md and
 * docs/how-to/replace-a-kms-key.md say which role needs these permissions.
 */
const FOR_OTHER_KEYS = /^kms:/;
const PASSED = { 'iam:PassedToService': 'lambda.amazonaws.com' };

function arn(service: string, name: string, context: Target['context'] = {}): Target {
  return { arn: `arn:aws:${service}:${WEST}:${ACCOUNT}:${name}`, context };
}

/** The resources of the stacks, by deployment role. Some types of resources have no name. */
const TARGETS: Record<Exclude<keyof Deployers, 'app' | 'appWithEntries'>, readonly Target[]> = {
  keys: [
    KEYS['the key'],
    arn('kms', 'alias/keyfold'),
    { arn: `arn:aws:iam::${ACCOUNT}:policy/allow-crypto-keyfold` },
    arn('sns', 'keyfold-keys-AlarmTopic-1'),
    arn('events', 'rule/keyfold-keys-KeyTouched-1'),
    arn('cloudwatch', 'alarm:keyfold-keys-KeyTouchedUntold-1'),
    { arn: '*', context: { 'kms:KeySpec': 'SYMMETRIC_DEFAULT' } },
  ],
  tableAndRoles: [
    // A new replica does not have a policy yet.
    { arn: REST['the table'].arn },
    { arn: `arn:aws:iam::${ACCOUNT}:role/keyfold-roles-ApiRole-1` },
    {
      arn: `arn:aws:iam::${ACCOUNT}:role/aws-service-role/replication.dynamodb.amazonaws.com/AWSServiceRoleForDynamoDBReplication`,
      context: { 'iam:AWSServiceName': 'replication.dynamodb.amazonaws.com' },
    },
    { arn: '*' },
  ],
  appWithRetention: [
    arn('lambda', 'function:keyfold-api'),
    arn('lambda', 'function:keyfold-api', { 'lambda:Principal': 'apigateway.amazonaws.com' }),
    arn('lambda', 'event-source-mapping:1'),
    { arn: '*', context: { 'lambda:FunctionArn': `arn:aws:lambda:${WEST}:${ACCOUNT}:function:keyfold-queue` } },
    arn('sqs', 'keyfold-input'),
    arn('sns', 'keyfold-app-AlarmTopic-1'),
    arn('events', 'rule/keyfold-app-MaintenanceEventsRuleSchedule1-1'),
    arn('cloudwatch', 'alarm:keyfold-ApiErrors'),
    { arn: `arn:aws:cloudwatch::${ACCOUNT}:dashboard/keyfold-us-west-2` },
    arn('logs', 'log-group:/aws/lambda/keyfold-api'),
    arn('logs', 'log-group:/aws/vendedlogs/http-api/keyfold-app'),
    { arn: `arn:aws:apigateway:${WEST}::/apis` },
    {
      arn: `arn:aws:apigateway:${WEST}::/apis/1`,
      context: { 'aws:ResourceTag/aws:cloudformation:stack-name': 'keyfold-app' },
    },
    { arn: 'arn:aws:s3:::keyfold-app-serverlessdeploymentbucket-1' },
    { arn: 'arn:aws:s3:::keyfold-app-serverlessdeploymentbucket-1/serverless/code.zip' },
    { arn: `arn:aws:iam::${ACCOUNT}:role/keyfold-roles-ApiRole-1`, context: PASSED },
  ],
};

/** The resources of every entry that is not an HTTP API. */
const ENTRY_TARGETS: readonly Target[] = [
  { arn: `arn:aws:apigateway:${WEST}::/restapis` },
  { arn: `arn:aws:apigateway:${WEST}::/restapis/1` },
  { arn: `arn:aws:apigateway:${WEST}::/domainnames` },
  arn('lambda', 'function:keyfold-api', { 'lambda:FunctionUrlAuthType': 'AWS_IAM' }),
  arn('lambda', 'function:keyfold-api:provisioned'),
  arn('logs', 'log-group:/aws/vendedlogs/rest-api/keyfold-app'),
];

const SCHEMAS = `
import json, sys
from pathlib import Path
import cfnlint
folder = Path(cfnlint.__file__).parent / 'data' / 'schemas'
names = json.loads((folder / 'providers' / 'us-east-1.json').read_text())
handlers = lambda kind: json.loads((folder / 'resources' / (names[kind] + '.json')).read_text())['handlers']
print(json.dumps({kind: sorted({one for name, handler in handlers(kind).items() if name != 'list' for one in handler['permissions']}) for kind in sys.argv[1:]}))
`;

/** The actions that CloudFormation needs to create, read, update and delete each type of resource. */
async function asked(types: readonly string[]): Promise<Record<string, string[]>> {
  const { stdout } = await promisify(execFile)(pythonOf('moto'), ['-c', SCHEMAS, ...new Set(types)]);
  return JSON.parse(stdout) as Record<string, string[]>;
}

function typesOf(resources: Readonly<Record<string, { readonly Type?: unknown }>>): string[] {
  return Object.values(resources).map(({ Type }) => String(Type));
}

async function isAllowedOnAny(
  name: keyof typeof TARGETS,
  action: string,
  deployer: Principal = DEPLOYERS[name],
  targets: readonly Target[] = TARGETS[name],
): Promise<boolean> {
  // The simulation throws if an action does not accept the target's type of resource. Such an action counts as not
  // allowed.
  const answers = targets.map((target) => isAllowed(deployer, action, target).catch(() => false));
  return (await Promise.all(answers)).includes(true);
}

/** The actions that these patterns match, without the actions for properties that our templates do not set. */
async function neededOf(patterns: readonly string[], left: readonly RegExp[]): Promise<string[]> {
  const actions = (
    await Promise.all(patterns.map(async (one) => (one.includes('*') ? await expanded(one) : [one])))
  ).flat();
  return [...new Set(actions)].filter(
    (action) => ![...FOR_OTHER_PROPERTIES, ...left].some((pattern) => pattern.test(action)),
  );
}

describe('the deployment policy', () => {
  const types: Partial<Record<keyof typeof TARGETS, string[]>> = {
    keys: typesOf(templateOf('keys').Resources),
    tableAndRoles: [...typesOf(templateOf('table').Resources), ...typesOf(templateOf('roles').Resources)],
  };
  beforeAll(async () => {
    const apps = [await packageExample({}), await packageExample(FLIPPED)];
    types.appWithRetention = apps.flatMap(({ resources }) => typesOf(resources));
    await Promise.all(apps.map((app) => app.remove()));
  });

  it.for([
    ['keys', [FOR_A_LOG_OF_DELIVERIES, /^iam:PassRole$/]],
    ['tableAndRoles', [FOR_OTHER_KEYS, DELETES_TABLES]],
    ['appWithRetention', [FOR_A_LOG_OF_DELIVERIES, FOR_OTHER_KEYS, DELETES_LOGS_AND_QUEUES]],
  ] as const)(
    'for %s allows every action that CloudFormation needs for each resource, except actions that delete data',
    async ([name, left]) => {
      const patterns = Object.values(await asked(types[name] ?? [])).flat();
      const needed = await neededOf(patterns, left);
      expect(needed.length).toBeGreaterThan(10);
      const allowed = await Promise.all(needed.map((action) => isAllowedOnAny(name, action)));
      expect(needed.filter((_, i) => !allowed[i])).toEqual([]);
      if (name !== 'appWithRetention') return;
      // The policy for everyday deployments allows all of these actions except two.
      const daily = await Promise.all(needed.map((action) => isAllowedOnAny(name, action, DEPLOYERS.app)));
      expect(needed.filter((_, i) => !daily[i]).toSorted()).toEqual([
        'logs:PutRetentionPolicy',
        'sqs:SetQueueAttributes',
      ]);
    },
  );

  it(
    'for entry points other than an HTTP API adds every action that CloudFormation needs for those entry points',
    {
      timeout: 300_000,
    },
    async () => {
      const found: string[] = [];
      for (const changed of Object.values(ENTRIES)) {
        const app = await packageExample(changed);
        found.push(...typesOf(app.resources));
        await app.remove();
      }
      const needed = await neededOf(Object.values(await asked(found)).flat(), [
        FOR_A_LOG_OF_DELIVERIES,
        FOR_OTHER_KEYS,
      ]);
      expect(needed).toContain('lambda:CreateFunctionUrlConfig');
      const targets = [...TARGETS.appWithRetention, ...ENTRY_TARGETS];
      const allowed = await Promise.all(
        needed.map((action) => isAllowedOnAny('appWithRetention', action, DEPLOYERS.appWithEntries, targets)),
      );
      expect(needed.filter((action, i) => !allowed[i] && !DELETES_LOGS_AND_QUEUES.test(action))).toEqual([]);
    },
  );
});
