/** Tests which characters names, IDs and ARNs may contain, and at which positions. */
import { LambdaClient } from '@aws-sdk/client-lambda';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { readCompactRecord } from '../../src/client/answers.ts';
import { dateOf, secondsOf } from '../../src/client/errors.ts';
import { LambdaTransport } from '../../src/client/lambda.ts';
import { pathOf } from '../../src/doors/http-path.ts';
import type { HttpRequest } from '../../src/doors/http-event.ts';
import { parseKmsArn } from '../../src/kms/key-arn.ts';
import { isTableName } from '../../src/metastore/table-name.ts';
import { HTTP_PARTITION } from '../../src/operations/http-partition.ts';
import { compactRecordSchema } from '../../src/operations/record.ts';
import { readRecordBody } from '../../src/records/fast-paths.ts';
import { isRegionName } from '../../src/records/ids.ts';
import { isQueueUrl } from '../../src/sqs/message.ts';
import { acceptedIn, CHARACTERS, DIGITS, LOWER, sorted, UPPER, WORD } from '../support/characters.ts';

const client = new LambdaClient({ region: 'us-west-2', maxAttempts: 1 });
const A = (length: number): string => 'A'.repeat(length);

function isSound(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

/** For each kind of string, a function that tests whether a text is a valid string of that kind. */
const IS = {
  'a KMS ARN': (text: string) => parseKmsArn(text) !== undefined,
  'a table': isTableName,
  "a queue's path": (path: string) =>
    !/[\t\n\r]/.test(path) && isQueueUrl(`https://sqs.us-west-2.amazonaws.com${path}`),
  'a region': isRegionName,
  'a partition over HTTP': (text: string) => HTTP_PARTITION.test(text),
  'a Lambda function': (functions: string) => isSound(() => new LambdaTransport({ functions, client })),
  'a compact record of a request': (text: string) => v.is(compactRecordSchema, text),
  'a compact record of an answer': (record: string) =>
    isSound(() => readCompactRecord({ value: { record }, status: 200 } as never)),
  'a path on a custom domain': (path: string) =>
    pathOf({ path, base: { stage: '$default', isCustomDomain: true } } as HttpRequest) !== undefined,
  'an HTTP date': (text: string) => dateOf(text) !== undefined,
  'a number of seconds': (text: string) => secondsOf(text, undefined) !== undefined,
} as const;
type Thing = keyof typeof IS;

const FORMS: readonly (readonly [thing: Thing, form: string, allowed: string])[] = [
  ['a KMS ARN', 'arn:aws?:kms:us-west-2:111122223333:key/a', `${LOWER}-`],
  ['a KMS ARN', 'arn:aws:kms:us-west-?:111122223333:key/a', `${LOWER}${DIGITS}-`],
  ['a KMS ARN', 'arn:aws:kms:us-west-2:11112222333?:key/a', DIGITS],
  ['a KMS ARN', 'arn:aws:kms:us-west-2:111122223333:key/?', `${LOWER}${UPPER}${DIGITS}-`],
  ['a KMS ARN', 'arn:aws:kms:us-west-2:111122223333:alias/?', `${WORD}/-`],
  ['a table', 'arn:aws?:dynamodb:us-west-2:111122223333:table/abc', `${LOWER}-`],
  ['a table', 'arn:aws:dynamodb:us-west-?:111122223333:table/abc', `${LOWER}${DIGITS}-`],
  ['a table', 'arn:aws:dynamodb:us-west-2:11112222333?:table/abc', DIGITS],
  ['a table', 'arn:aws:dynamodb:us-west-2:111122223333:table/ab?', `${WORD}.-`],
  ['a table', '?bc', `${WORD}.-`],
  ["a queue's path", '/11112222333?/in', DIGITS],
  ["a queue's path", '/111122223333/a?b', `${WORD}-`],
  ["a queue's path", '/111122223333/a?b.fifo', `${WORD}-`],
  ['a region', 'u?-west-2', LOWER],
  ['a region', 'us-w?-2', LOWER],
  ['a region', 'us-gov-wes?-2', LOWER],
  ['a region', 'us-west-?', DIGITS],
  ['a partition over HTTP', '?', `${WORD}~@-`],
  ['a partition over HTTP', 'a?a', `${WORD}.~@-`],
  ['a Lambda function', '?', `${WORD}.-`],
  ['a Lambda function', 'a?a', `${WORD}.-:`],
  ['a Lambda function', 'f:?', `${WORD}$.-`],
  ['a Lambda function', 'arn:aws?:lambda:us-west-2:111122223333:function:f', `${LOWER}-`],
  ['a Lambda function', 'arn:aws:lambda:u?-west-2:111122223333:function:f', LOWER],
  ['a Lambda function', 'arn:aws:lambda:us-w?t-2:111122223333:function:f', `${LOWER}-`],
  ['a Lambda function', 'arn:aws:lambda:us-west-?:111122223333:function:f', DIGITS],
  ['a Lambda function', 'arn:aws:lambda:us-west-2:?11122223333:function:f', DIGITS],
  ['a compact record of a request', `kf1.${A(137)}?`, `${WORD}-`],
  ['a compact record of a request', `kf2j.?${A(179)}`, `${WORD}-`],
  ['a compact record of a request', `kf?.${A(180)}`, '12'],
  ['a compact record of a request', `kf1?${A(180)}`, '.'],
  ['a compact record of an answer', 'kf1.?', `${WORD}-`],
  ['a compact record of an answer', 'kf?.AAAA', '12'],
  ['a compact record of an answer', 'kf1?AAAA', '.'],
  ['a path on a custom domain', '/a?/v1/health', `${WORD}$.+!*'()-`],
  ['a path on a custom domain', '/a/v1/partitions/a?a/encrypt', CHARACTERS.join('').replace('/', '')],
  ['a path on a custom domain', '/a/v1/partitions/a/a?a', CHARACTERS.join('').replace('/', '')],
  ['a number of seconds', '1?', DIGITS],
  ['a number of seconds', '?', DIGITS],
];

describe('the characters of a text', () => {
  it.for(FORMS)(
    'for %s in the form "%s", the question mark can stand for these characters: %s',
    ([thing, form, allowed]) => {
      expect(acceptedIn(form, IS[thing])).toBe(sorted(allowed));
    },
  );

  it.for<[Thing, accepted: readonly string[], refused: readonly string[]]>([
    [
      'a KMS ARN',
      ['arn:aws-iso-b:kms:us-isob-east-1:111122223333:key/a'],
      [
        'arn:aws:kms::111122223333:key/a',
        'arn:aws:kms:us-west-2:111122223333:key/',
        'arn:aws:kms:us-west-2:111122223333:alias/',
        'xarn:aws:kms:us-west-2:111122223333:key/a',
      ],
    ],
    [
      'a table',
      ['abc', A(255), `arn:aws:dynamodb:us-west-2:111122223333:table/${A(255)}`],
      [
        'ab',
        A(256),
        ' abc',
        'abc ',
        'arn:aws:dynamodb::111122223333:table/abc',
        'arn:aws:dynamodb:us-west-2:11112222333:table/abc',
        'arn:aws:dynamodb:us-west-2:1111222233334:table/abc',
        'xarn:aws:dynamodb:us-west-2:111122223333:table/abc',
      ],
    ],
    ["a queue's path", ['/111122223333/a', '/111122223333/a.fifo'], ['/111122223333/.fifo', '/111122223333/a!fifo']],
    [
      'a region',
      ['us-a-1', 'eusc-de-east-1', 'us-a-99', `us-${LOWER.slice(0, 20)}-1`],
      ['u-west-1', 'eusca-de-1', 'us-1', 'us-a-b-c-1', 'us--1', 'us-a--1', 'us-a-100', 'us-a-', ' us-a-1', 'us-a-1 '],
    ],
    ['a partition over HTTP', ['...', '.a', A(128)], ['', '.', '..', A(129), ' a', 'a ']],
    [
      'a Lambda function',
      [
        A(140),
        `f:${A(128)}`,
        'function:f',
        '111122223333:f',
        'us-west-2:f',
        'us-west-22:f',
        'us-gov-west-1:111122223333:function:f:1',
        'arn:aws:lambda:us-west-2:111122223333:function:f:$LATEST',
      ],
      [
        '',
        A(141),
        'f:',
        `f:${A(129)}`,
        ' f',
        'f ',
        'us-west-222:111122223333:function:f',
        'us-west-:111122223333:function:f',
        '-west-2:111122223333:function:f',
        'us--2:111122223333:function:f',
        'us-2:111122223333:function:f',
        '11112222333:function:f',
        '1111222233334:function:f',
      ],
    ],
    [
      'a compact record of a request',
      [`kf1.${A(138)}`, `kf1j.${A(138)}`, `kf2.${A(180)}`, `kf2j.${A(180)}`],
      [`kf1.${A(137)}`, `kf1j.${A(137)}`, `kf2.${A(179)}`, `kf2j.${A(179)}`, ` kf1.${A(180)}`, `kf1jj.${A(180)}`],
    ],
    ['a compact record of an answer', ['kf1.A', 'kf1j.A', 'kf2.A', 'kf2j.A'], ['kf1.', ' kf1.A', 'kf1.A ', 'kf1jj.A']],
    [
      'a path on a custom domain',
      ['/v1/health', '/a/b/v1/ready', '/.../v1/health', '/a/v1/openapi.json', '/v1/partitions/a/b'],
      [
        '/./v1/health',
        '/../v1/health',
        '//v1/health',
        '/v1/openapi-json',
        '/v1/partitions//b',
        '/v1/partitions/a/',
        '/v1/partitions/a/b/c',
        '/a/v1/partitions/b/v1/health',
        'a/v1/health',
        '/v1/health/',
      ],
    ],
    [
      'an HTTP date',
      [
        'Mon, 23 Nov 2026 10:00:00 GMT',
        'Tue, 24 Nov 2026 10:00:00 GMT',
        'Wed, 25 Nov 2026 10:00:00 GMT',
        'Thu, 26 Nov 2026 10:00:00 GMT',
        'Fri, 27 Nov 2026 10:00:00 GMT',
        'Sat, 28 Nov 2026 10:00:00 GMT',
        'Sun, 29 Nov 2026 10:00:00 GMT',
        'Wednesday, 25-Nov-26 10:00:00 GMT',
        'Fri Nov 27 10:00:30 2026',
      ],
      [
        '',
        'Fri',
        'Fri,',
        '2026-11-27',
        '27 Nov 2026 10:00:00 GMT',
        ' Fri, 27 Nov 2026 10:00:00 GMT',
        'on Fri, 27 Nov 2026 10:00:00 GMT',
        'Fri, 27/Nov/2026 10:00:00 GMT',
        'Fri, 27 Nov 2026 10:00:00 GMT (late)',
        'Fri. 27 Nov 2026 10:00:00 GMT',
        'Fri (a), 27 Nov 2026 10:00:00 GMT',
      ],
    ],
  ])('form %s if the text is one of %j, but not if it is one of %j', ([thing, accepted, refused]) => {
    expect(accepted.filter((text) => !IS[thing](text))).toEqual([]);
    expect(refused.filter((text) => IS[thing](text))).toEqual([]);
  });
});

/** Returns the key that the fast path reads from a body in which the key and its parent have these creation dates. */
const keyReadFrom = (created: string, parent: string): unknown => {
  const meta = `"ParentKeyMeta":{"KeyId":"k","Created":${parent}}`;
  return readRecordBody(`{"record":{"Key":{"Created":${created},"Key":"AAAA",${meta}},"Data":"AAAA"}}`)?.record.key;
};

it('the fast path for a record reads a date only if the date is a JSON number below 10^15', () => {
  for (const text of ['0', '1', '9', '10', '999999999999999']) {
    const created = Number(text);
    expect(keyReadFrom(text, text)).toMatchObject({ created, parent: { created } });
  }
  const refused = ['', '01', '1000000000000000', ...CHARACTERS.flatMap((c) => [`${c}5`, `5${c}`])].filter(
    (text) => !/^[1-9]\d*$/.test(text) || text.length > 15,
  );
  expect(
    refused.filter((text) => keyReadFrom(text, '1') !== undefined || keyReadFrom('1', text) !== undefined),
  ).toEqual([]);
});
