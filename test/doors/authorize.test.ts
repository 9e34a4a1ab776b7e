import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AuthConfig, DoorConfig } from '../../src/config/app-config.ts';
import { OPERATION_NAMES } from '../../src/operations/operation-name.ts';
import { FakeWorld } from '../support/fakes.ts';
import { captureOutput, openDoor, request, sampleEvent } from '../support/http-door.ts';

beforeEach(() => {
  captureOutput();
});
afterEach(() => {
  vi.restoreAllMocks();
});

const IAM: AuthConfig = { kind: 'iam' };
const JWT: AuthConfig = { kind: 'jwt', partitionsClaim: 'tenants' };
const NONE: AuthConfig = { kind: 'none' };

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
  const world = new FakeWorld();
  const event = request(operation, { plaintext: 'aGVsbG8=' }, partition);
  if (authorizer === undefined) delete event.requestContext.authorizer;
  else event.requestContext.authorizer = authorizer;
  const { status } = await openDoor({ world, auth, config })(event);
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
  ] as const)('%s', async ([, auth, authorizer, outcome]) => {
    expect(await attempt(auth, authorizer)).toBe(outcome);
  });

  it('health too', async () => {
    const event = sampleEvent('api-health-iam');
    event.requestContext.authorizer = jwt;
    expect((await openDoor({ auth: IAM })(event)).status).toBe(401);
  });
});

describe('a token grants', () => {
  it.for([
    ['a partition of its list', {}, 'tenant-1', 'encrypt', '200, keys touched'],
    ['a partition by its prefix', {}, 'team-7', 'encrypt', '200, keys touched'],
    ['the bare prefix', {}, 'team-', 'encrypt', '200, keys touched'],
    ['no other partition', {}, 'tenant-2', 'encrypt', '403'],
    ['no partition that begins like one of its list', {}, 'tenant-11', 'encrypt', '403'],
    ['no partition that one of its list begins like', {}, 'tenant', 'encrypt', '403'],
    ['no partition that differs by case', {}, 'Tenant-1', 'encrypt', '403'],
    ['partitions listed with spaces', { tenants: 'x tenant-1' }, 'tenant-1', 'encrypt', '200, keys touched'],
    [
      'the one partition of a claim without a list',
      { tenants: 'tenant-1' },
      'tenant-1',
      'encrypt',
      '200, keys touched',
    ],
    ['everything by a star', { tenants: '*' }, 'tenant-1', 'encrypt', '200, keys touched'],
    ['nothing by an empty claim', { tenants: '' }, 'tenant-1', 'encrypt', '403'],
    ['nothing by an empty list', { tenants: '[]' }, 'tenant-1', 'encrypt', '403'],
    ['nothing by a claim that is not there', { tenants: undefined }, 'tenant-1', 'encrypt', '403'],
    ['nothing by a claim that is no text', { tenants: ['tenant-1'] }, 'tenant-1', 'encrypt', '403'],
    ['nothing by a list within a list', { tenants: '[[tenant-1]]' }, 'tenant-1', 'encrypt', '403'],
    ['nothing by half a list', { tenants: '[tenant-1' }, 'tenant-1', 'encrypt', '403'],
    ['no operation beyond its scopes', { scope: 'keyfold/decrypt' }, 'tenant-1', 'encrypt', '403'],
    ['no operation by a scope that begins like it', { scope: 'keyfold/encrypt-batch' }, 'tenant-1', 'encrypt', '403'],
    ['no operation without scopes', { scope: undefined }, 'tenant-1', 'encrypt', '403'],
    ['no operation that it lacks', {}, 'tenant-1', 'rewrap', '403'],
  ] as const)('%s', async ([, change, partition, operation, outcome]) => {
    expect(await attempt(JWT, claims(change), partition, operation)).toBe(outcome);
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
      [JWT, claims({ tenants: '*', scope: 'keyfold/encrypt keyfold/decrypt' })],
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
      [JWT, claims({ tenants: '*' })],
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

  it('is what API Gateway matched, whatever the path says', async () => {
    const event = request('encrypt', { plaintext: '' }, 'tenant-1');
    event.rawPath = '/v1/partitions/tenant-2/encrypt';
    const { body } = await openDoor()(event);
    expect(JSON.stringify(body)).toContain('_IK_tenant-1_svc_prod');
  });
});
