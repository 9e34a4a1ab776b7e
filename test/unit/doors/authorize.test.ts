import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AuthConfig, DoorConfig } from '../../../src/config/app-config.ts';
import { OPERATION_NAMES } from '../../../src/operations/operation-name.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { captureOutput, openDoor, request, sampleEvent } from '../../support/http-door.ts';

beforeEach(() => {
  captureOutput();
});
afterEach(() => {
  vi.restoreAllMocks();
});

const IAM: AuthConfig = { kind: 'iam' };
const JWT: AuthConfig = { kind: 'jwt', partitionsClaim: 'tenants' };
/** Settings that allow both lists and wildcards in claims. */
const LISTING: AuthConfig = { ...JWT, partitionLists: true, partitionWildcards: true };
const NONE: AuthConfig = { kind: 'none' };
const SERVED = '200, keys touched';

const iam = sampleEvent('api-encrypt-iam').requestContext.authorizer as { iam: object };
const jwt = sampleEvent('api-encrypt-jwt').requestContext.authorizer as { jwt: { claims: object } };

const EVERY_SCOPE = 'keyfold/encrypt keyfold/decrypt keyfold/rewrap';
/** Texts that do not name the partition tenant-1, although careless code would treat some of them as tenant-1. */
const HOSTILE = [
  'tenant%2D1',
  'tenant-1%00',
  'tenant-1\u0000',
  'tenant-1/',
  '/tenant-1',
  'tenant-1/../tenant-2',
  'tenant-1%2f..%2ftenant-2',
  '..%252ftenant-1',
  'tenant-1;tenant-2',
  'tenant-1?',
  'tenant-1#',
  'tenant-1 ',
  ' tenant-1',
  'tenant-1\t',
  'tenant\u20101',
  'tenant-\u0661',
  'tenant-1\u200b',
  'TENANT-1',
  'tenant-1,tenant-2',
  'tenant-1*',
  '*',
  '[tenant-1]',
  'tenant-1_svc_prod',
  '__proto__',
  '',
];

/** Every character that a partition may have over HTTP. */
const CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~@-';

/** Sends an encrypt request. Returns its status, and whether it touched any key. */
async function attempt(
  auth: AuthConfig,
  authorizer: unknown,
  partition = 'tenant-1',
  operation = 'encrypt',
  config: Partial<DoorConfig> = {},
): Promise<string> {
  const world = new FakeDependencies();
  const event = request(operation, { plaintext: 'aGVsbG8=' }, partition);
  if (authorizer === undefined) delete event.requestContext.authorizer;
  else event.requestContext.authorizer = authorizer;
  const { status } = await openDoor({ world, auth, config })(event);
  return `${status}${world.log.take().length === 0 ? '' : ', keys touched'}`;
}

/** Sends an encrypt request for the partition a@b.c with this spelling of the path, and returns the response. */
async function attemptAt(rawPath: string, domainName?: string): Promise<string> {
  const world = new FakeDependencies();
  const event = request('encrypt', { plaintext: 'aGVsbG8=' }, 'a@b.c');
  event.rawPath = rawPath;
  event.requestContext.stage = 'live';
  event.requestContext.domainName = domainName ?? event.requestContext.domainName;
  const { status } = await openDoor({ world })(event);
  return `${status}${world.log.take().length === 0 ? '' : ', keys touched'}`;
}

function claims(changes: object): unknown {
  return { jwt: { ...jwt.jwt, claims: { ...jwt.jwt.claims, ...changes } } };
}

describe('the HTTP API', () => {
  it.for([
    ['accepts an IAM caller if AUTH is iam', IAM, iam, '200, keys touched'],
    ['accepts a JWT if AUTH is jwt', JWT, jwt, '200, keys touched'],
    ['accepts a request without an authorizer if AUTH is none', NONE, undefined, '200, keys touched'],
    ['refuses a request without an authorizer if AUTH is iam', IAM, undefined, '401'],
    ['refuses a request without an authorizer if AUTH is jwt', JWT, undefined, '401'],
    ['refuses a JWT if AUTH is iam', IAM, jwt, '401'],
    ['refuses an IAM caller if AUTH is jwt', JWT, iam, '401'],
    ['refuses an IAM caller if AUTH is none', NONE, iam, '401'],
    ['refuses an IAM caller with a JWT if AUTH is iam', IAM, { ...iam, ...jwt }, '401'],
    ['refuses an IAM caller with a JWT if AUTH is jwt', JWT, { ...iam, ...jwt }, '401'],
    ['refuses a Lambda authorizer if AUTH is iam', IAM, { lambda: { iam: {} } }, '401'],
    ['refuses a Lambda authorizer if AUTH is jwt', JWT, { lambda: jwt.jwt }, '401'],
    ['refuses an empty authorizer if AUTH is iam', IAM, {}, '401'],
    ['refuses null as the IAM caller if AUTH is iam', IAM, { iam: null }, '401'],
    ['refuses a string as the IAM caller if AUTH is iam', IAM, { iam: 'yes' }, '401'],
    ['refuses a JWT in a list if AUTH is jwt', JWT, [jwt.jwt], '401'],
    ['refuses a list as the IAM caller if AUTH is iam', IAM, { iam: ['yes'] }, '401'],
  ] as const)('%s', async ([, auth, authorizer, outcome]) => {
    expect(await attempt(auth, authorizer)).toBe(outcome);
  });

  it('refuses a request to /v1/health with the wrong authorizer', async () => {
    const event = sampleEvent('api-health-iam');
    event.requestContext.authorizer = jwt;
    expect((await openDoor({ auth: IAM })(event)).status).toBe(401);
  });
});

describe('a claim, by default,', () => {
  it.for([
    ['the partition that it names', 'tenant-1', 'tenant-1', SERVED],
    ['a partition whose name is a number', '42', '42', SERVED],
    ['a partition that has every allowed character', CHARACTERS, CHARACTERS, SERVED],
    ['a partition named by an e-mail address', 'ann@example.com', 'ann@example.com', SERVED],
    ['no other partition', 'tenant-1', 'tenant-2', '403'],
    ['no partition with a longer name', 'tenant-1', 'tenant-11', '403'],
    ['no partition with a shorter name', 'tenant-1', 'tenant', '403'],
    ['no partition that differs in the case of a letter', 'tenant-1', 'Tenant-1', '403'],
    ['nothing if it is a string with spaces', 'acme tenant-1', 'tenant-1', '403'],
    ['nothing if it is an array', '[tenant-1]', 'tenant-1', '403'],
    ['nothing if it is an array with several partitions', '[acme tenant-1]', 'tenant-1', '403'],
    ['nothing if it is a nested array', '[[x tenant-1 y]]', 'tenant-1', '403'],
    ['nothing if it is *', '*', 'tenant-1', '403'],
    ['nothing if it is a prefix', 'tenant-*', 'tenant-1', '403'],
    ['nothing if it is an array with *', '[acme *]', 'tenant-1', '403'],
    ['nothing if it is JSON text', '["tenant-1"]', 'tenant-1', '403'],
    ['nothing if it is a quoted string', '"tenant-1"', 'tenant-1', '403'],
    ['nothing if it is a string with commas', 'acme,tenant-1', 'tenant-1', '403'],
    ['nothing if it is a string with white space around it', ' tenant-1', 'tenant-1', '403'],
    ['nothing if it is an empty string', '', 'tenant-1', '403'],
    ['nothing if it is a JSON array, as in a test event', ['tenant-1'], 'tenant-1', '403'],
    ['nothing if it is a JSON number, as in a test event', 42, '42', '403'],
    ['nothing if it is null', null, 'null', '403'],
    ['nothing if it is an object', { tenant: 'tenant-1' }, 'tenant-1', '403'],
    ['nothing if it is absent', undefined, 'tenant-1', '403'],
    ['no partition whose name is not allowed over HTTP', 'a b', 'a b', '403'],
  ] as const)('grants %s', async ([, tenants, partition, outcome]) => {
    expect(await attempt(JWT, claims({ tenants }), partition)).toBe(outcome);
  });
});

describe('a claim, if the settings allow lists,', () => {
  it.for([
    ['each partition in an array', '[acme tenant-1]', SERVED],
    ['each partition in a string that is separated by spaces', 'acme tenant-1', SERVED],
    ['each partition in a JSON array, as in a test event', ['acme', 'tenant-1'], SERVED],
    ['the only partition that it names', 'tenant-1', SERVED],
    ['nothing if it is a nested array', '[[x tenant-1 y]]', '403'],
    ['nothing if it has an array next to a partition', '[x [a] tenant-1]', '403'],
    ['nothing if it is a nested JSON array', [['tenant-1']], '403'],
    ['nothing if it is a JSON array with an object', ['tenant-1', {}], '403'],
    ['nothing if it is a JSON array that contains a string with spaces', ['acme tenant-1'], '403'],
    ['nothing if it is an array without its last bracket', '[tenant-1', '403'],
    ['nothing if it begins with a bracket and ends with a letter', '[tenant-1x', '403'],
    ['nothing if it begins with a letter and ends with a bracket', 'xtenant-1]', '403'],
    ['nothing if it has a bracket in the middle', 'x] tenant-1', '403'],
    ['the partitions in a string with additional spaces', ' acme  tenant-1 ', SERVED],
    ['nothing if it is two arrays', '[x] [tenant-1]', '403'],
    ['nothing if it is an empty array', '[]', '403'],
    ['nothing if it consists of spaces', '  ', '403'],
    ['nothing if it is JSON text', '["x", "tenant-1"]', '403'],
    ['nothing if it is a string with commas', 'x, tenant-1', '403'],
    ['nothing if it is a string with tabs', 'x\ttenant-1', '403'],
    ['nothing if it is a list with an invalid partition', 'a/b tenant-1', '403'],
    ['nothing if it has a wildcard, which the settings do not allow', '[tenant-* tenant-1]', '403'],
  ] as const)('grants %s', async ([, tenants, outcome]) => {
    expect(await attempt({ ...JWT, partitionLists: true }, claims({ tenants }))).toBe(outcome);
  });
});

describe('a claim, if the settings allow wildcards,', () => {
  it.for([
    ['partitions that begin with its prefix', 'team-*', 'team-7', SERVED],
    ['the partition equal to its prefix', 'team-*', 'team-', SERVED],
    ['partitions that begin with a prefix of every allowed character', `${CHARACTERS}*`, `${CHARACTERS}1`, SERVED],
    ['every partition if it is *', '*', 'tenant-1', SERVED],
    ['no partition that does not begin with its prefix', 'team-*', 'tenant-1', '403'],
    ['no partition that begins with all of its prefix but the last character', 'team-*', 'team7', '403'],
    ['no partition that merely contains its prefix', 'eam-*', 'team-7', '403'],
    [
      'a partition of the maximum length if its prefix is one character shorter',
      `${'x'.repeat(127)}*`,
      'x'.repeat(128),
      SERVED,
    ],
    ['no partition if its prefix is too long', `${'x'.repeat(128)}*`, 'x'.repeat(128), '403'],
    ['no partition if it has * in the middle', 'ten*-1', 'tenant-1', '403'],
    ['no partition if it is **', '**', 'tenant-1', '403'],
    ['no partition if it is a list, which the settings do not allow', 'x *', 'tenant-1', '403'],
    ['no partition if it is an array, which the settings do not allow', '[*]', 'tenant-1', '403'],
  ] as const)('grants %s', async ([, tenants, partition, outcome]) => {
    expect(await attempt({ ...JWT, partitionWildcards: true }, claims({ tenants }), partition)).toBe(outcome);
  });

  it('grants partitions by a prefix in a list if the settings also allow lists', async () => {
    const tenants = '[tenant-1 team-*]';
    expect(await attempt(LISTING, claims({ tenants }), 'team-7')).toBe(SERVED);
    expect(await attempt(LISTING, claims({ tenants }), 'tenant-2')).toBe('403');
    expect(await attempt(LISTING, claims({ tenants: 'a/b* tenant-1' }))).toBe('403');
  });
});

describe("a token's scopes", () => {
  it.for([
    ['may be a string', 'openid keyfold/encrypt', SERVED],
    ['may be an array', '[openid keyfold/encrypt]', SERVED],
    ['may be a JSON array, as in a test event', ['openid', 'keyfold/encrypt'], SERVED],
    ['are not read from an array without its last bracket', '[openid keyfold/encrypt', '403'],
    ['are not read from an array without its first bracket', 'openid] keyfold/encrypt', '403'],
    ['are not read from a JSON array with an object', ['keyfold/encrypt', {}], '403'],
    ['are not read from a nested array', '[[openid keyfold/encrypt x]]', '403'],
    ['are not read from a nested JSON array', [['keyfold/encrypt']], '403'],
    ['are not separated by commas', 'openid,keyfold/encrypt', '403'],
    ['must belong to the operation', 'keyfold/decrypt', '403'],
    ['must equal the required scope, not only begin with it', 'keyfold/encrypt-batch', '403'],
    ['must have the same upper and lower case as the required scope', 'Keyfold/Encrypt', '403'],
    ['must not be a wildcard', 'keyfold/*', '403'],
    ['must be present', undefined, '403'],
  ] as const)('%s', async ([, scope, outcome]) => {
    expect(await attempt(JWT, claims({ scope }))).toBe(outcome);
  });

  it('are read only from the claim that the settings name', async () => {
    const auth = { ...JWT, scopeClaim: 'scp' };
    expect(await attempt(auth, claims({ scope: undefined, scp: '[keyfold/encrypt]' }))).toBe(SERVED);
    expect(await attempt(auth, claims({ scope: 'keyfold/encrypt' }))).toBe('403');
    expect(await attempt(JWT, claims({ scope: undefined, scp: 'keyfold/encrypt' }))).toBe('403');
  });
});

describe('exactly one of the three scopes', () => {
  const scopes = ['keyfold/encrypt', 'keyfold/decrypt', 'keyfold/rewrap'];
  it.for(OPERATION_NAMES)('allows the operation %s', async (operation) => {
    const passed: string[] = [];
    for (const scope of scopes) {
      if ((await attempt(JWT, claims({ scope }), 'tenant-1', operation)) !== '403') passed.push(scope);
    }
    expect(passed).toEqual([`keyfold/${operation.split('-')[0]}`]);
  });
});

describe('a function that limits the operations and partitions of every caller', () => {
  const serves = { operations: ['encrypt', 'encrypt-fields'], partitions: ['tenant-1', 'team-*'] } as const;
  it.for([
    ['accepts an allowed operation and partition', 'encrypt', 'tenant-1', '200, keys touched'],
    ['accepts a partition with an allowed prefix', 'encrypt', 'team-7', '200, keys touched'],
    ['refuses another partition', 'encrypt', 'tenant-2', '403'],
    ['refuses a partition with a longer name', 'encrypt', 'tenant-11', '403'],
    ['refuses another operation', 'decrypt', 'tenant-1', '403'],
    ['refuses the batch form of an allowed operation', 'encrypt-batch', 'tenant-1', '403'],
  ] as const)('%s', async ([, operation, partition, outcome]) => {
    for (const [auth, authorizer] of [
      [IAM, iam],
      [LISTING, claims({ tenants: '*', scope: 'keyfold/encrypt keyfold/decrypt' })],
    ] as const) {
      expect(await attempt(auth, authorizer, partition, operation, { serves })).toBe(outcome);
    }
  });
});

describe('a partition over HTTP', () => {
  it.for([
    ...['a', 'A-Z.a_z~0@9', '...', '.a'].map((name) => [`the name ${name}`, name] as const),
    ['a name of 128 characters', 'x'.repeat(128)],
  ] as const)('may have %s', async ([, partition]) => {
    expect(await attempt(IAM, iam, partition)).toBe('200, keys touched');
  });

  it.for([
    ...['.', '..', 'a/b', 'a%2Fb', 'a b', 'a*', '[a]', 'ü', 'a+b', 'a:b', '%61'].map(
      (name) => [`the name ${name}`, name] as const,
    ),
    ['an empty name', ''],
    ['a name of 129 characters', 'x'.repeat(129)],
    ['a name that ends with a line feed', 'a\n'],
    ['a name that ends with a null character', 'a\u0000'],
  ] as const)('cannot have %s', async ([, partition]) => {
    for (const [auth, authorizer] of [
      [IAM, iam],
      [LISTING, claims({ tenants: '*' })],
    ] as const) {
      expect(await attempt(auth, authorizer, partition)).toBe('400');
    }
  });

  it.for(HOSTILE)('is refused if it is spelled %j and the token grants tenant-1', async (partition) => {
    for (const operation of OPERATION_NAMES) {
      expect(await attempt(JWT, claims({ scope: EVERY_SCOPE }), partition, operation)).toBe('403');
      for (const authorizer of [undefined, iam, { lambda: jwt.jwt }]) {
        expect(await attempt(JWT, authorizer, partition, operation)).toBe('401');
      }
      for (const authorizer of [undefined, jwt])
        expect(await attempt(IAM, authorizer, partition, operation)).toBe('401');
    }
  });

  it.for([
    ['without escapes', '/v1/partitions/a@b.c/encrypt'],
    ['with %40 for @', '/v1/partitions/a%40b.c/encrypt'],
    ['that begins with the stage', '/live/v1/partitions/a@b.c/encrypt'],
    ['that begins with the stage and has %40 for @', '/live/v1/partitions/a%40b.c/encrypt'],
  ] as const)('is accepted in a path %s', async ([, rawPath]) => {
    expect(await attemptAt(rawPath)).toBe(SERVED);
  });

  it.for(['/keys', '/keys/v2', '/a.b$c'])('is accepted in a path that begins with the base path %s', async (base) => {
    const rawPath = `${base}/v1/partitions/a@b.c/encrypt`;
    expect(await attemptAt(rawPath, 'keyfold.example.com')).toBe(SERVED);
    expect(await attemptAt(rawPath)).toBe('400');
  });

  it.for(['.', '..', '%2e', 'a b', 'a/..', './a'])('is refused if the base path is %j', async (base) => {
    expect(await attemptAt(`/${base}/v1/partitions/a@b.c/encrypt`, 'keyfold.example.com')).toBe('400');
  });

  it.for(['/v1/partitions/victim/encrypt', '/keys/v1/partitions/victim', '/v1/partitions'])(
    'is refused if the base path is %s, which looks like the path of an operation',
    async (base) => {
      expect(await attemptAt(`${base}/v1/partitions/a@b.c/encrypt`, 'keyfold.example.com')).toBe('400');
    },
  );

  it('may contain several @, each written as @ or as %40', async () => {
    const event = request('encrypt', { plaintext: '' }, 'a@b@c');
    event.rawPath = '/v1/partitions/a%40b%40c/encrypt';
    expect((await openDoor()(event)).status).toBe(200);
  });

  it('is accepted below a base path of a custom domain whose name resembles a domain of API Gateway', async () => {
    for (const domain of ['abc123.example.com', 'other.execute-api.example.com', 'abc123.my.execute-api.com']) {
      expect(await attemptAt('/keys/v1/partitions/a@b.c/encrypt', domain)).toBe(SERVED);
    }
  });

  it.for([
    '/v1/partitions/%61@b.c/encrypt',
    '/v1/partitions/a%2540b.c/encrypt',
    '/v1/partitions/a%40b%2ec/encrypt',
    '/v1/partitions/a@b.c/%65ncrypt',
    '/v1/%70artitions/a@b.c/encrypt',
    '/%761/partitions/a@b.c/encrypt',
    '/v1/partitions/victim/encrypt',
    '/v1/partitions/a@b.c/decrypt',
    '/v1/partitions/A@b.c/encrypt',
    '/v1/partitions/a@b.c/Encrypt',
    '/v1/partitions/a@b.c/encrypt/',
    '/v1/partitions/a@b.c//encrypt',
    '//v1/partitions/a@b.c/encrypt',
    '/v1//partitions/a@b.c/encrypt',
    '/v1/partitions//a@b.c/encrypt',
    '/v1/partitions/./a@b.c/encrypt',
    '/v1/partitions/victim/../a@b.c/encrypt',
    '/./v1/partitions/a@b.c/encrypt',
    '/../v1/partitions/a@b.c/encrypt',
    '/v1/partitions/victim%2f..%2fa@b.c/encrypt',
    '/v1/partitions/a@b.c%2fencrypt',
    '\\v1\\partitions\\a@b.c\\encrypt',
    '/v1/partitions\\a@b.c/encrypt',
    '/v1/partitions/a@b.c;x=1/encrypt',
    '/v1/partitions/a@b.c/encrypt;x=1',
    '/v1/partitions/a@b.c/encrypt?x',
    '/v1/partitions/a@b.c/encrypt#x',
    '/v1/partitions/a@b.c /encrypt',
    '/v1/partitions/a@b.c\u0000/encrypt',
    '/v1/partitions/\uff41@b.c/encrypt',
    '/v1/partitions/a@b.c/encrypt\n',
    'v1/partitions/a@b.c/encrypt',
    '/other/v1/partitions/a@b.c/encrypt',
    '/live/live/v1/partitions/a@b.c/encrypt',
    '/v1/health',
    '',
  ])('is refused if the path is %j, which does not spell the path parameters', async (rawPath) => {
    expect(await attemptAt(rawPath)).toBe('400');
  });
});
