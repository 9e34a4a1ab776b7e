import { describe, expect, it } from 'vitest';
import { keyFaults, parseKmsArn } from '../../../src/kms/key-arn.ts';

const KEY = 'arn:aws:kms:us-west-2:111122223333:key/mrk-1';

describe('parseKmsArn', () => {
  it.for([
    ['the ARN of a key', KEY, { region: 'us-west-2', account: '111122223333', kind: 'key' }],
    [
      'the ARN of an alias',
      KEY.replace('key/', 'alias/'),
      { region: 'us-west-2', account: '111122223333', kind: 'alias' },
    ],
    ['the ARN of a key with capital letters', KEY.replace('mrk-1', 'MRK-1'), { kind: 'key' }],
    ['the ARN of an alias with capital letters', KEY.replace('key/mrk-1', 'alias/A/b_C-1'), { kind: 'alias' }],
    [
      'an ARN in AWS GovCloud',
      KEY.replace('aws:kms:us', 'aws-us-gov:kms:us-gov'),
      { region: 'us-gov-west-2', kind: 'key' },
    ],
  ] as const)('parses %s', ([, arn, parts]) => {
    expect(parseKmsArn(arn)).toMatchObject(parts);
  });

  it.for([
    ['a key ID', '11111111-2222-3333-4444-555555555555'],
    ['the name of an alias', 'alias/keyfold'],
    ['the ARN of another service', KEY.replace('kms', 's3')],
    ['an account of 11 digits', KEY.replace('111122223333', '11112222333')],
    ['an account of 13 digits', KEY.replace('111122223333', '1111222233334')],
    ['a region with another character', KEY.replace('us-west-2', 'us-west~2')],
    ['a region with capital letters', KEY.replace('us-west-2', 'US-WEST-2')],
    ['a key ID with another character', KEY.replace('mrk-1', 'mrk~1')],
    ['an alias with another character', KEY.replace('key/mrk-1', 'alias/a~1')],
    ['the ARN of a grant', KEY.replace('key/', 'grant/')],
    ['an ARN with a line feed at the end', `${KEY}\n`],
    ['an ARN with more text after a space', `${KEY} x`],
    ['an ARN with a space at the start', ` ${KEY}`],
    ['an ARN with more text after a colon', `${KEY}:x`],
  ] as const)('refuses %s', ([, text]) => {
    expect(parseKmsArn(text)).toBeUndefined();
  });
});

describe('keyFaults', () => {
  const long = (length: number): string => KEY.replace('key/mrk-1', 'alias/').padEnd(length, 'x');

  it('accepts an alias ARN of the maximum length', () => {
    expect(keyFaults({ 'us-west-2': long(320) }, 'us-west-2')).toEqual([]);
  });

  it.for<[string, Record<string, string>, string]>([
    ['the ARN of the KMS key of us-west-2 has more than 320 characters', { 'us-west-2': long(321) }, 'us-west-2'],
    ['the ARN of the KMS key of us-east-1 is in the region us-west-2', { 'us-east-1': KEY }, 'us-east-1'],
    [
      'the KMS key of us-west-2 is an AWS managed key (alias/aws/…), which only AWS services can use',
      { 'us-west-2': KEY.replace('key/mrk-1', 'alias/aws/s3') },
      'us-west-2',
    ],
    [
      'the KMS keys name the region "west", which is not an AWS region',
      { west: KEY.replace('us-west-2', 'west') },
      'west',
    ],
    [
      'the KMS keys name the region "us-west-2\\u202e", which is not an AWS region',
      { 'us-west-2\u202e': KEY },
      'us-west-2\u202e',
    ],
    ['the KMS key of us-west-2\\u000a is neither a key ARN nor an alias ARN', { 'us-west-2\n': 'x' }, 'us-west-2\n'],
    [
      'the KMS key of cn-north-1 is neither a key ARN nor an alias ARN',
      { 'us-west-2': KEY, 'cn-north-1': 'x' },
      'us-west-2',
    ],
    [
      'the KMS key of cn-north-1 is of the AWS partition aws, and cn-north-1 of aws-cn',
      { 'cn-north-1': KEY.replace('us-west-2', 'cn-north-1') },
      'cn-north-1',
    ],
    ['the preferred region us-east\\u000a has no KMS key', { 'us-west-2': KEY }, 'us-east\n'],
    ['the preferred region us-east-1 has no KMS key', { 'us-west-2': KEY }, 'us-east-1'],
    ['the preferred region constructor has no KMS key', { 'us-west-2': KEY }, 'constructor'],
    [
      'the KMS keys are in several AWS partitions (aws, aws-cn): credentials work in only one',
      { 'us-west-2': KEY, 'cn-north-1': KEY.replace('aws:kms:us-west-2', 'aws-cn:kms:cn-north-1') },
      'us-west-2',
    ],
  ])('reports that %s', ([fault, keys, preferred]) => {
    expect(keyFaults(keys, preferred)).toEqual([fault]);
  });

  it('reports that no key is configured', () => {
    expect(keyFaults({}, 'us-west-2')).toEqual(['no KMS key is configured: name one for at least one region']);
  });
});
