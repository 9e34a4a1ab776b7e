/**
 * Tests which characters an option of deploy.yml may contain at which position. Tries all of ASCII, and a few others.
 */
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { deploymentSchema } from '../../../deploy/deployment.ts';
import { acceptedIn, DIGITS, HEX, LOWER, sorted, UPPER, VISIBLE, WORD } from '../../support/characters.ts';
import { OPTIONS } from './changed-example.ts';

/** The characters that the name of a service or a product may contain. */
const NAME = Array.from(VISIBLE)
  .filter((character) => !'\'"\\*?$'.includes(character))
  .join('');
const UUID = '01234567-89ab-cdef-0123-456789abcdef';

/** Sets an option to a value. */
const SET = {
  account: (account: string) => ({ account }),
  classification: (classification: string) => ({ classification }),
  prefix: (prefix: string) => ({ prefix }),
  service: (service: string) => ({ service }),
  product: (product: string) => ({ product }),
  regions: (region: string) => ({ regions: [region] }),
  keyName: (keyName: string) => ({ keyName }),
  tableName: (tableName: string) => ({ tableName }),
  administrators: (role: string) => ({ administrators: [role] }),
  'strictKeys.decrypt': (user: string) => ({ strictKeys: { decrypt: [user] } }),
  tableWriters: (role: string) => ({ tableWriters: [role] }),
  permissionsBoundary: (permissionsBoundary: string) => ({ permissionsBoundary }),
  alarmTopics: (topic: string) => ({ alarmTopics: { 'us-west-2': topic } }),
  environmentKeys: (key: string) => ({ environmentKeys: { 'us-west-2': key } }),
  settings: (name: string) => ({ settings: { [name]: '1' } }),
  'vpc.subnets': (id: string) => ({ vpc: { 'us-west-2': { subnets: [id], securityGroups: ['sg-01234567'] } } }),
  'vpc.securityGroups': (id: string) => ({
    vpc: { 'us-west-2': { subnets: ['subnet-01234567'], securityGroups: [id] } },
  }),
  'http.issuer': (issuer: string) => ({ http: { auth: 'jwt', issuer } }),
  'http.authorizers': (arn: string) => ({ http: { authorizers: { 'us-west-2': arn } } }),
  'api.domain.name': (name: string) => ({ api: { domain: { name, certificates: {} } } }),
  'api.domain.certificates': (arn: string) => ({
    api: { domain: { name: 'keys.example.com', certificates: { 'us-west-2': arn } } },
  }),
  'api.cors.origins': (origin: string) => ({ api: { cors: { origins: [origin] } } }),
  'api.vpcEndpoints': (id: string) => ({ api: { vpcEndpoints: { 'us-west-2': [id] } } }),
  'api.callers.principal': (principal: string) => ({ api: { callers: [{ principal, partitions: ['a'] }] } }),
  'api.callers.partitions': (partition: string) => ({
    api: { callers: [{ principal: 'arn:aws:iam::111122223333:root', partitions: [partition] }] },
  }),
  'api.usagePlans': (name: string) => ({ api: { usagePlans: { [name]: { requestsPerSecond: 1, burst: 1 } } } }),
} as const satisfies Record<string, (value: string) => object>;
type Option = keyof typeof SET;

/** Whether the schema of deploy.yml accepts the example with one option changed to this value. */
function accepts(option: Option, value: string): boolean {
  return v.is(deploymentSchema, { ...OPTIONS, ...SET[option](value) });
}

/** Pairs an option with values. */
function each(option: Option, ...values: string[]): [Option, string][] {
  return values.map((value) => [option, value]);
}

/** For each option, forms of its value, and the characters that the option allows in place of the `?` in the form. */
const FORMS: readonly (readonly [option: Option, form: string, allowed: string])[] = [
  ['account', '?11122223333', DIGITS],
  ['account', '11112222333?', DIGITS],
  ['classification', '?', LOWER],
  ['classification', 'c?', `${LOWER}${DIGITS}-`],
  ['prefix', '?', LOWER],
  ['prefix', 'c?', `${LOWER}${DIGITS}-`],
  ['service', 'a?', NAME],
  ['service', '?a', NAME.replace(':', '')],
  ['product', 'a?', NAME],
  ['product', '?a', NAME.replace(':', '')],
  ['keyName', '?', LOWER + UPPER],
  ['keyName', 'k?', `${WORD}-`],
  ['tableName', '?ab', `${WORD}.-`],
  ['tableName', 'ab?', `${WORD}.-`],
  ['administrators', 'arn:aws?:iam::111122223333:role/a', `${LOWER}-`],
  ['administrators', 'arn:aws:iam::?11122223333:role/a', DIGITS],
  ['administrators', 'arn:aws:iam::111122223333:role/?', `${WORD}+=.@-`],
  ['administrators', 'arn:aws:iam::111122223333:user/path?a', `${WORD}+=.@-/`],
  ['strictKeys.decrypt', 'arn:aws?:iam::111122223333:root', `${LOWER}-`],
  ['strictKeys.decrypt', 'arn:aws:iam::11112222333?:root', DIGITS],
  ['strictKeys.decrypt', 'arn:aws:iam::111122223333:role/?', `${WORD}+=.@-`],
  ['strictKeys.decrypt', 'arn:aws:iam::111122223333:user/path?a', `${WORD}+=.@-/`],
  ['tableWriters', 'arn:aws?:iam::111122223333:role/a', `${LOWER}-`],
  ['tableWriters', 'arn:aws:iam::?11122223333:role/a', DIGITS],
  ['tableWriters', 'arn:aws:iam::111122223333:user/?', `${WORD}+=.@/-`],
  ['tableWriters', 'arn:aws:iam::111122223333:role/a?', `${WORD}+=.@/-*`],
  ['permissionsBoundary', 'arn:aws?:iam::aws:policy/a', `${LOWER}-`],
  ['permissionsBoundary', 'arn:aws:iam::11112222333?:policy/a', DIGITS],
  ['permissionsBoundary', 'arn:aws:iam::aws:policy/?', `${WORD}+=,.@/-`],
  ['alarmTopics', 'arn:aws?:sns:us-west-2:111122223333:a', `${LOWER}-`],
  ['alarmTopics', 'arn:aws:sns:us-west-?:111122223333:a', `${LOWER}${DIGITS}-`],
  ['alarmTopics', 'arn:aws:sns:us-west-2:11112222333?:a', DIGITS],
  ['alarmTopics', 'arn:aws:sns:us-west-2:111122223333:?', `${WORD}-`],
  ['environmentKeys', 'arn:aws?:kms:us-west-2:111122223333:key/a', `${LOWER}-`],
  ['environmentKeys', 'arn:aws:kms:us-west-?:111122223333:key/a', `${LOWER}${DIGITS}-`],
  ['environmentKeys', 'arn:aws:kms:us-west-2:11112222333?:key/a', DIGITS],
  ['environmentKeys', 'arn:aws:kms:us-west-2:111122223333:key/?', `${LOWER}${UPPER}${DIGITS}-`],
  ['settings', 'KEYFOLD_?', `${UPPER}${DIGITS}_`],
  ['settings', 'POWERTOOLS_?', `${UPPER}${DIGITS}_`],
  ['vpc.subnets', 'subnet-?1234567', HEX],
  ['vpc.securityGroups', 'sg-?1234567', HEX],
  ['http.authorizers', 'arn:aws?:lambda:us-west-2:111122223333:function:a', `${LOWER}-`],
  ['http.authorizers', 'arn:aws:lambda:us-west-?:111122223333:function:a', `${LOWER}${DIGITS}-`],
  ['http.authorizers', 'arn:aws:lambda:us-west-2:11112222333?:function:a', DIGITS],
  ['http.authorizers', 'arn:aws:lambda:us-west-2:111122223333:function:?', `${WORD}-`],
  ['http.authorizers', 'arn:aws:lambda:us-west-2:111122223333:function:a:?', `${WORD}-`],
  ['api.domain.name', '?.example.com', LOWER + DIGITS],
  ['api.domain.name', 'a?a.example.com', `${LOWER}${DIGITS}-.`],
  ['api.domain.name', 'a?.example.com', LOWER + DIGITS],
  ['api.domain.name', 'a.example.c?', LOWER],
  ['api.domain.certificates', `arn:aws?:acm:us-west-2:111122223333:certificate/${UUID}`, `${LOWER}-`],
  ['api.domain.certificates', `arn:aws:acm:us-west-?:111122223333:certificate/${UUID}`, `${LOWER}${DIGITS}-`],
  ['api.domain.certificates', `arn:aws:acm:us-west-2:11112222333?:certificate/${UUID}`, DIGITS],
  ['api.domain.certificates', `arn:aws:acm:us-west-2:111122223333:certificate/?${UUID.slice(1)}`, `${HEX}-`],
  ['api.cors.origins', 'https://?.example.com', `${LOWER}${DIGITS}-`],
  ['api.cors.origins', 'https://a.example.?', `${LOWER}${DIGITS}-`],
  ['api.cors.origins', 'https://a?a', `${LOWER}${DIGITS}-.`],
  ['api.cors.origins', 'https://a:?', DIGITS],
  ['api.vpcEndpoints', 'vpce-?1234567', HEX],
  ['api.callers.principal', 'arn:aws?:iam::111122223333:root', `${LOWER}-`],
  ['api.callers.principal', 'arn:aws:iam::11112222333?:root', DIGITS],
  ['api.callers.principal', 'arn:aws:iam::111122223333:user/?', `${WORD}+=,.@-`],
  ['api.callers.principal', 'arn:aws:iam::111122223333:role/path?a', `${WORD}+=,.@-/`],
  ['api.callers.partitions', '?', `${WORD}~-*`],
  ['api.callers.partitions', '?*', `${WORD}.~-`],
  ['api.callers.partitions', 'a?a', `${WORD}.~-`],
  ['api.usagePlans', '?', LOWER + UPPER],
  ['api.usagePlans', 'a?', LOWER + UPPER + DIGITS],
];

describe('an option of deploy.yml', () => {
  it.for(FORMS)(
    'named %s, in the form %s, can have these characters in place of the question mark: %s',
    ([option, form, allowed]) => {
      expect(acceptedIn(form, (value) => accepts(option, value))).toBe(sorted(allowed));
    },
  );

  it.for(FORMS)('named %s, in the form %s, cannot begin or end with a space', ([option, form, allowed]) => {
    const value = form.replace('?', allowed.charAt(0));
    expect([` ${value}`, value, `${value} `].map((given) => accepts(option, given))).toEqual([false, true, false]);
  });

  it.for(FORMS.filter(([, form]) => form.startsWith('arn:')))(
    'named %s, in the form %s, cannot be an ARN that lacks a part or has an account ID that is not twelve digits',
    ([option, form, allowed]) => {
      const value = form.replace('?', allowed.charAt(0));
      const wrong = [
        value.replace(/(\d{12}):/, '$11:'),
        value.replace(/\d(\d{11}):/, '$1:'),
        value.replace(/:[a-z0-9-]+:(?=\d{12}:)/, '::'),
        value.replace(/[^/:]+$/, ''),
        value.replace(/[/:][^/:]+$/, ''),
      ].filter((changed) => changed !== value && !form.includes(':function:a:'));
      expect(wrong.filter((changed) => accepts(option, changed))).toEqual([]);
    },
  );

  it.for<[Option, least: string, most: string]>([
    ['account', '1'.repeat(12), '1'.repeat(12)],
    ['classification', 'c', 'c'.repeat(40)],
    ['prefix', 'c', 'c'.repeat(16)],
    ['service', 's', 's'.repeat(255)],
    ['vpc.subnets', `subnet-${'0'.repeat(8)}`, `subnet-${'0'.repeat(17)}`],
    ['vpc.securityGroups', `sg-${'0'.repeat(8)}`, `sg-${'0'.repeat(17)}`],
    ['api.vpcEndpoints', `vpce-${'0'.repeat(8)}`, `vpce-${'0'.repeat(17)}`],
    ['api.usagePlans', 'p', 'p'.repeat(40)],
    ['api.callers.partitions', 'p', 'p'.repeat(128)],
    ['api.domain.name', 'a.bb', `a.${'b'.repeat(63)}`],
    ['api.cors.origins', 'https://a:1', `https://a:${'1'.repeat(5)}`],
    [
      'http.authorizers',
      'arn:aws:lambda:us-west-2:111122223333:function:f',
      `arn:aws:lambda:us-west-2:111122223333:function:${'f'.repeat(64)}`,
    ],
    [
      'http.authorizers',
      'arn:aws:lambda:us-west-2:111122223333:function:f:a',
      `arn:aws:lambda:us-west-2:111122223333:function:f:${'a'.repeat(128)}`,
    ],
  ])('named %s can be as short as %s, and no longer than %s', ([option, least, most]) => {
    const values = [least.slice(0, -1), least, most, `${most}${most.slice(-1)}`];
    expect(values.map((value) => accepts(option, value))).toEqual([false, true, true, false]);
  });

  it.for([
    ...each('keyName', 'aws', 'awskey', 'k-next', 'k-retired', 'k-next-1', 'k-retired-1', 'K_1-next-2'),
    ...each('prefix', 'a-keys', 'a-roles', 'a-app', 'a-keys-1', 'a1-app-b', 'xn--a', 'sthree-a', 'amzn-s3-demo-a'),
    ...each(
      'regions',
      'us!-west-2',
      'u-west-2',
      'US-west-2',
      'us-west-a',
      'us-west--',
      'us-west-2-1',
      'us-west-2a',
      'us-west-12',
      'us-middle-1',
    ),
    ...each('settings', 'KEYFOLD_', 'POWERTOOLS_', 'KEYFOLD', 'OTHER_KEYFOLD_A'),
    ...each('http.issuer', 'http://a.example.com', ' https://a.example.com', 'a.example.com', 'https://'),
    ...[' ', '\t', '\n', '\xa0', '?', '#', '?a', '#a'].map((end): [Option, string] => [
      'http.issuer',
      `https://a.example.com/a${end}`,
    ]),
    ...each('api.domain.name', `${'a'.repeat(64)}.example.com`, '.example.com', 'a..example.com', 'localhost'),
    ...each('api.domain.certificates', `arn:aws:acm:us-west-2:111122223333:certificate/${UUID}0`),
    ...each('api.domain.certificates', `arn:aws:acm:us-west-2:111122223333:certificate/${UUID.slice(1)}`),
    ...each('api.cors.origins', 'https://', 'https://.example.com', 'https://a..com', 'https://a:', 'https://*'),
    ...each('api.cors.origins', 'http://a', 'https://a/', 'https://*.example.com', 'null', '*'),
    ...each('api.callers.partitions', `${'p'.repeat(128)}*`, 'a*a', '**', '..'),
  ])('named %s cannot be %j', ([option, value]) => {
    expect(accepts(option, value)).toBe(false);
  });

  it.for([
    ...each('keyName', 'next-1', 'k-nextly', 'retired'),
    ...each('prefix', 'keys', 'a-keysmith', 'a-apples'),
    ...each('regions', 'us-west-0', 'ca-central-1', 'eu-north-1', 'ap-northeast-3', 'ap-southeast-2', 'ap-south-1'),
    ...each('http.issuer', 'https://login.example.com:8443/realms/a-b_c~1!+é'),
    ...each('api.domain.name', `${'a'.repeat(63)}.example.com`),
    ...each('api.callers.partitions', `${'p'.repeat(127)}*`, '*'),
  ])('named %s can be %j', ([option, value]) => {
    expect(accepts(option, value)).toBe(true);
  });
});
