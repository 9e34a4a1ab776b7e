import { describe, expect, it } from 'vitest';
import { allowedOn, isAllowed, KEYS, OUTSIDERS, type Principal, REST, type Target, USERS } from './account.ts';

/** Of every action that there is, those that are allowed, by what they are asked of. Where nothing is said nothing is allowed. */
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

/** What may be done with the keys that the alias points to, is about to and did, in the regions that are named; with no other. */
function ofKeys(current: readonly string[], retired: readonly string[]): Allowed {
  return {
    'the key': current,
    "the other region's key": current,
    'a key that the alias has just moved to': current,
    'a key of which KMS has not noticed yet that the alias has moved to it': current,
    'a retired key': retired,
  };
}

/** The same for every key that there is. */
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
    ...ofEachKey(USE),
    "the table's key, asked for by DynamoDB": ['kms:CreateGrant', ...USE],
    "the table's key": [],
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

/** In order, and without what says that nothing is allowed. */
function inOrder(expected: Allowed): Allowed {
  const entries = Object.entries(expected).map(([name, actions]) => [name, actions.toSorted()] as const);
  return Object.fromEntries(entries.filter(([, actions]) => actions.length > 0));
}

describe('of all actions of KMS, DynamoDB, SQS and Lambda, on whatever there is, IAM allows', () => {
  it.for(Object.entries(USERS))('%s what is its job alone', async ([name, principal]) => {
    const expected = FOR_USERS[name as keyof typeof USERS];
    expect(await allowed(principal, { ...KEYS, ...REST })).toEqual(inOrder(expected));
  });
});

describe('of all actions of KMS on a key, the key policy and IAM together allow', () => {
  it.for(Object.entries(OUTSIDERS))('%s what the key policy says it is for', async ([name, principal]) => {
    expect(await allowed(principal, KEYS)).toEqual(inOrder(FOR_OUTSIDERS[name as keyof typeof OUTSIDERS]));
  });
});

it.for(['7', '29', '30'])('an administrator may schedule a deletion in thirty days or more: %s', async (days) => {
  const key = KEYS['the key'];
  const asked = { ...key, context: { ...key.context, 'kms:ScheduleKeyDeletionPendingWindowInDays': days } };
  const administrator = OUTSIDERS['a key administrator whom IAM allows everything'];
  expect(await isAllowed(administrator, 'kms:ScheduleKeyDeletion', asked)).toBe(days === '30');
});
