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
/** As before lists and wildcards had to be allowed. */
const LISTING: AuthConfig = { ...JWT, partitionLists: true, partitionWildcards: true };
const NONE: AuthConfig = { kind: 'none' };
const SERVED = '200, keys touched';

const iam = sampleEvent('api-encrypt-iam').requestContext.authorizer as { iam: object };
const jwt = sampleEvent('api-encrypt-jwt').requestContext.authorizer as { jwt: { claims: object } };

const EVERY_SCOPE = 'keyfold/encrypt keyfold/decrypt keyfold/rewrap';
/** Other ways to write partitions, some of which a careless reader takes for tenant-1. */
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

/** The status of an encrypt, and whether any key was touched. */
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

/** What an encrypt for a@b.c is answered if the path is written so. */
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

describe('exactly the configured authorizer is accepted:', () => {
  it.for([
    ['iam by iam', IAM, iam, '200, keys touched'],
    ['jwt by jwt', JWT, jwt, '200, keys touched'],
    ['none by none', NONE, undefined, '200, keys touched'],
    ['none by iam', IAM, undefined, '401'],
    ['none by jwt', JWT, undefined, '401'],
    ['jwt by iam', IAM, jwt, '401'],
    ['iam by jwt', JWT, iam, '401'],
    ['iam by none', NONE, iam, '401'],
    ['both by iam', IAM, { ...iam, ...jwt }, '401'],
    ['both by jwt', JWT, { ...iam, ...jwt }, '401'],
    ['a Lambda authorizer by iam', IAM, { lambda: { iam: {} } }, '401'],
    ['a Lambda authorizer by jwt', JWT, { lambda: jwt.jwt }, '401'],
    ['an empty one by iam', IAM, {}, '401'],
    ['a null one by iam', IAM, { iam: null }, '401'],
    ['a text by iam', IAM, { iam: 'yes' }, '401'],
    ['a list by jwt', JWT, [jwt.jwt], '401'],
    ['a list of IAM by iam', IAM, { iam: ['yes'] }, '401'],
  ] as const)('%s', async ([, auth, authorizer, outcome]) => {
    expect(await attempt(auth, authorizer)).toBe(outcome);
  });

  it('health too', async () => {
    const event = sampleEvent('api-health-iam');
    event.requestContext.authorizer = jwt;
    expect((await openDoor({ auth: IAM })(event)).status).toBe(401);
  });
});

describe('by default a claim grants one partition, its whole text:', () => {
  it.for([
    ['that partition', 'tenant-1', 'tenant-1', SERVED],
    ['a number, which API Gateway hands over as text', '42', '42', SERVED],
    ['an address', 'ann@example.com', 'ann@example.com', SERVED],
    ['no other partition', 'tenant-1', 'tenant-2', '403'],
    ['none that begins like it', 'tenant-1', 'tenant-11', '403'],
    ['none that it begins like', 'tenant-1', 'tenant', '403'],
    ['none that differs by case', 'tenant-1', 'Tenant-1', '403'],
    ['none of a text with spaces', 'acme tenant-1', 'tenant-1', '403'],
    ['none of an array', '[tenant-1]', 'tenant-1', '403'],
    ['none of an array of several', '[acme tenant-1]', 'tenant-1', '403'],
    ['none of an array in an array', '[[x tenant-1 y]]', 'tenant-1', '403'],
    ['none by a star', '*', 'tenant-1', '403'],
    ['none by a prefix', 'tenant-*', 'tenant-1', '403'],
    ['none by a star in an array', '[acme *]', 'tenant-1', '403'],
    ['none by JSON text', '["tenant-1"]', 'tenant-1', '403'],
    ['none by a quoted text', '"tenant-1"', 'tenant-1', '403'],
    ['none of a text with commas', 'acme,tenant-1', 'tenant-1', '403'],
    ['none of a text with white space around it', ' tenant-1', 'tenant-1', '403'],
    ['none by an empty text', '', 'tenant-1', '403'],
    ['none by an array of a test event', ['tenant-1'], 'tenant-1', '403'],
    ['none by a number of a test event', 42, '42', '403'],
    ['none by null', null, 'null', '403'],
    ['none by an object', { tenant: 'tenant-1' }, 'tenant-1', '403'],
    ['none without the claim', undefined, 'tenant-1', '403'],
    ['none that cannot be named over HTTP', 'a b', 'a b', '403'],
  ] as const)('%s', async ([, tenants, partition, outcome]) => {
    expect(await attempt(JWT, claims({ tenants }), partition)).toBe(outcome);
  });
});

describe('if the settings allow lists, a claim grants', () => {
  it.for([
    ['each partition of an array', '[acme tenant-1]', SERVED],
    ['each partition of a text with spaces', 'acme tenant-1', SERVED],
    ['each partition of an array of a test event', ['acme', 'tenant-1'], SERVED],
    ['its only partition', 'tenant-1', SERVED],
    ['none by an array in an array', '[[x tenant-1 y]]', '403'],
    ['none by an array beside a partition', '[x [a] tenant-1]', '403'],
    ['none by an array in an array of a test event', [['tenant-1']], '403'],
    ['none by an array of a test event with an object in it', ['tenant-1', {}], '403'],
    ['none by text with spaces in an array of a test event', ['acme tenant-1'], '403'],
    ['none by half an array', '[tenant-1', '403'],
    ['none by what has a bracket before it', '[tenant-1x', '403'],
    ['none by what has a bracket behind it', 'xtenant-1]', '403'],
    ['none beside half of an array', 'x] tenant-1', '403'],
    ['its partitions, however many spaces are between them', ' acme  tenant-1 ', SERVED],
    ['none by two arrays', '[x] [tenant-1]', '403'],
    ['none by an empty array', '[]', '403'],
    ['none by a text of spaces', '  ', '403'],
    ['none by JSON text', '["x", "tenant-1"]', '403'],
    ['none of a text with commas', 'x, tenant-1', '403'],
    ['none of a text with tabs', 'x\ttenant-1', '403'],
    ['none beside what can be no partition', 'a/b tenant-1', '403'],
    ['none by a wildcard, which they do not allow', '[tenant-* tenant-1]', '403'],
  ] as const)('%s', async ([, tenants, outcome]) => {
    expect(await attempt({ ...JWT, partitionLists: true }, claims({ tenants }))).toBe(outcome);
  });
});

describe('if the settings allow wildcards, a claim grants', () => {
  it.for([
    ['what begins like it', 'team-*', 'team-7', SERVED],
    ['the bare prefix', 'team-*', 'team-', SERVED],
    ['everything by a star', '*', 'tenant-1', SERVED],
    ['nothing that begins otherwise', 'team-*', 'tenant-1', '403'],
    ['nothing that holds it further on', 'eam-*', 'team-7', '403'],
    ['what begins like all but the last character', `${'x'.repeat(127)}*`, 'x'.repeat(128), SERVED],
    ['nothing by what is longer than that', `${'x'.repeat(128)}*`, 'x'.repeat(128), '403'],
    ['nothing by a star in the middle', 'ten*-1', 'tenant-1', '403'],
    ['nothing by two stars', '**', 'tenant-1', '403'],
    ['nothing by a list, which they do not allow', 'x *', 'tenant-1', '403'],
    ['nothing by an array, which they do not allow', '[*]', 'tenant-1', '403'],
  ] as const)('%s', async ([, tenants, partition, outcome]) => {
    expect(await attempt({ ...JWT, partitionWildcards: true }, claims({ tenants }), partition)).toBe(outcome);
  });

  it('the partitions of a list, and those by a prefix in it, if they allow both', async () => {
    const tenants = '[tenant-1 team-*]';
    expect(await attempt(LISTING, claims({ tenants }), 'team-7')).toBe(SERVED);
    expect(await attempt(LISTING, claims({ tenants }), 'tenant-2')).toBe('403');
    expect(await attempt(LISTING, claims({ tenants: 'a/b* tenant-1' }))).toBe('403');
  });
});

describe('the scopes of a token', () => {
  it.for([
    ['are a text', 'openid keyfold/encrypt', SERVED],
    ['are an array', '[openid keyfold/encrypt]', SERVED],
    ['are an array of a test event', ['openid', 'keyfold/encrypt'], SERVED],
    ['are not in half of an array', '[openid keyfold/encrypt', '403'],
    ['are not in the other half of an array', 'openid] keyfold/encrypt', '403'],
    ['are not beside what is no text', ['keyfold/encrypt', {}], '403'],
    ['are not in an array in an array', '[[openid keyfold/encrypt x]]', '403'],
    ['are not in an array in an array of a test event', [['keyfold/encrypt']], '403'],
    ['are not separated by commas', 'openid,keyfold/encrypt', '403'],
    ['are not those of another operation', 'keyfold/decrypt', '403'],
    ['are not what begins like one', 'keyfold/encrypt-batch', '403'],
    ['are not what differs by case', 'Keyfold/Encrypt', '403'],
    ['are not a wildcard', 'keyfold/*', '403'],
    ['are not absent', undefined, '403'],
  ] as const)('%s', async ([, scope, outcome]) => {
    expect(await attempt(JWT, claims({ scope }))).toBe(outcome);
  });

  it('are in the claim that the settings name, and in no other', async () => {
    const auth = { ...JWT, scopeClaim: 'scp' };
    expect(await attempt(auth, claims({ scope: undefined, scp: '[keyfold/encrypt]' }))).toBe(SERVED);
    expect(await attempt(auth, claims({ scope: 'keyfold/encrypt' }))).toBe('403');
    expect(await attempt(JWT, claims({ scope: undefined, scp: 'keyfold/encrypt' }))).toBe('403');
  });
});

describe('a scope is for an operation, however many at once:', () => {
  const scopes = ['keyfold/encrypt', 'keyfold/decrypt', 'keyfold/rewrap'];
  it.for(OPERATION_NAMES)('%s', async (operation) => {
    const passed: string[] = [];
    for (const scope of scopes) {
      if ((await attempt(JWT, claims({ scope }), 'tenant-1', operation)) !== '403') passed.push(scope);
    }
    expect(passed).toEqual([`keyfold/${operation.split('-')[0]}`]);
  });
});

describe('what a function serves is limited, whoever asks:', () => {
  const serves = { operations: ['encrypt', 'encrypt-fields'], partitions: ['tenant-1', 'team-*'] } as const;
  it.for([
    ['an operation and a partition that it serves', 'encrypt', 'tenant-1', '200, keys touched'],
    ['a partition by its prefix', 'encrypt', 'team-7', '200, keys touched'],
    ['another partition', 'encrypt', 'tenant-2', '403'],
    ['a longer partition', 'encrypt', 'tenant-11', '403'],
    ['another operation', 'decrypt', 'tenant-1', '403'],
    ['many of an operation', 'encrypt-batch', 'tenant-1', '403'],
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
  it.for(['a', 'A-Z.a_z~0@9', 'x'.repeat(128), '...', '.a'])('may be %j', async (partition) => {
    expect(await attempt(IAM, iam, partition)).toBe('200, keys touched');
  });

  it.for([
    '',
    '.',
    '..',
    'x'.repeat(129),
    'a/b',
    'a%2Fb',
    'a b',
    'a*',
    '[a]',
    'ü',
    'a\n',
    'a+b',
    'a:b',
    'a\u0000',
    '%61',
  ])('may not be %j: what can be written in two ways can slip past a policy', async (partition) => {
    for (const [auth, authorizer] of [
      [IAM, iam],
      [LISTING, claims({ tenants: '*' })],
    ] as const) {
      expect(await attempt(auth, authorizer, partition)).toBe('400');
    }
  });

  it.for(HOSTILE)('in its hostile form %j is nothing that a token for tenant-1 grants', async (partition) => {
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
    ['as it is', '/v1/partitions/a@b.c/encrypt'],
    ['with %40 for @', '/v1/partitions/a%40b.c/encrypt'],
    ['after the stage', '/live/v1/partitions/a@b.c/encrypt'],
    ['after the stage, with %40 for @', '/live/v1/partitions/a%40b.c/encrypt'],
  ] as const)('may stand in the path %s', async ([, rawPath]) => {
    expect(await attemptAt(rawPath)).toBe(SERVED);
  });

  it.for(['/keys', '/keys/v2', '/a.b$c'])('may stand in the path after the base path %s', async (base) => {
    const rawPath = `${base}/v1/partitions/a@b.c/encrypt`;
    expect(await attemptAt(rawPath, 'keyfold.example.com')).toBe(SERVED);
    expect(await attemptAt(rawPath)).toBe('400');
  });

  it.for(['.', '..', '%2e', 'a b', 'a/..', './a'])(
    'must not stand in the path after the base path %j',
    async (base) => {
      expect(await attemptAt(`/${base}/v1/partitions/a@b.c/encrypt`, 'keyfold.example.com')).toBe('400');
    },
  );

  it.for(['/v1/partitions/victim/encrypt', '/keys/v1/partitions/victim', '/v1/partitions'])(
    'must not stand behind the base path %s, which a policy may take for the operation',
    async (base) => {
      expect(await attemptAt(`${base}/v1/partitions/a@b.c/encrypt`, 'keyfold.example.com')).toBe('400');
    },
  );

  it('may have several @, each as it is or as %40', async () => {
    const event = request('encrypt', { plaintext: '' }, 'a@b@c');
    event.rawPath = '/v1/partitions/a%40b%40c/encrypt';
    expect((await openDoor()(event)).status).toBe(200);
  });

  it('may stand behind a base path on a domain that only looks like API Gateway', async () => {
    for (const domain of ['abc123.example.com', 'other.execute-api.example.com']) {
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
  ])('must not stand in the path %j in another spelling', async (rawPath) => {
    expect(await attemptAt(rawPath)).toBe('400');
  });
});
