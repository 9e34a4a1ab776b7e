/** Every kind of event over HTTP: what it is answered, which paths it may have, and whom its authorizer names. */
import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AuthConfig } from '../../../src/config/app-config.ts';
import { httpDoor } from '../../../src/doors/http.ts';
import { createTelemetry } from '../../../src/doors/telemetry.ts';
import { FakeWorld } from '../../support/fakes.ts';
import {
  captureOutput,
  DOOR_CONFIG,
  lambdaContext,
  openDoor,
  sampleEvent,
  type Event,
} from '../../support/http-door.ts';

const IAM: AuthConfig = { kind: 'iam' };
const JWT: AuthConfig = { kind: 'jwt', partitionsClaim: 'tenants' };
const AUTHORIZER: AuthConfig = { kind: 'authorizer' };
const NONE: AuthConfig = { kind: 'none' };
const KINDS = [IAM, JWT, AUTHORIZER, NONE];

const ARN = 'arn:aws:sts::111122223333:assumed-role/client/session';
const COGNITO = 'https://cognito-idp.us-west-2.amazonaws.com/us-west-2_example#client-1';

/** Each sample that encrypts: the authorizer that it has passed, and its principal in the audit. */
const SAMPLES = [
  ['api-encrypt-iam', IAM, ARN],
  ['api-encrypt-jwt', JWT, 'https://issuer.example#client-1'],
  ['api-encrypt-authorizer', AUTHORIZER, 'client-1'],
  ['api-encrypt-proxy', IAM, ARN],
  ['api-encrypt-default', IAM, ARN],
  ['http1-encrypt-iam', IAM, ARN],
  ['http1-encrypt-jwt', JWT, 'https://issuer.example#client-1'],
  ['http1-encrypt-authorizer', AUTHORIZER, 'client-1'],
  ['http1-encrypt-default', IAM, ARN],
  ['rest-encrypt-iam', IAM, ARN],
  ['rest-encrypt-cognito', JWT, COGNITO],
  ['rest-encrypt-authorizer', AUTHORIZER, 'client-1'],
  ['rest-encrypt-proxy', IAM, ARN],
  ['url-encrypt-iam', IAM, ARN],
] as const;

type SampleName = (typeof SAMPLES)[number][0];

let output: ReturnType<typeof captureOutput>;

beforeEach(() => {
  output = captureOutput();
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** A sample of payload format 1.0, as a test changes it. */
interface Format1 {
  resource: string;
  path: string;
  httpMethod: string;
  multiValueHeaders: Record<string, string[]> | null;
  isBase64Encoded: boolean;
  pathParameters: Record<string, string> | null;
  requestContext: Record<string, unknown>;
}

function format1(name: SampleName): Event & Format1 {
  return sampleEvent(name) as Event & Format1;
}

/** The status of a request, and whether any key was touched. */
async function outcomeOf(event: Event, auth: AuthConfig = IAM): Promise<string> {
  const world = new FakeWorld();
  const { status } = await openDoor({ world, auth })(event);
  return `${status}${world.log.take().length === 0 ? '' : ', keys touched'}`;
}

const SERVED = '200, keys touched';

describe('the samples in events/', () => {
  it.for(SAMPLES)('%s is served, and its audit line names its principal', async ([name, auth, principal]) => {
    expect(await outcomeOf(sampleEvent(name), auth)).toBe(SERVED);
    const audits = output.lines().filter(({ message }) => message === 'audit');
    expect(audits).toMatchObject([{ result: 'ok', principal, partition: 'tenant-1', operation: 'encrypt' }]);
  });

  it.for(SAMPLES)('%s is 401 if another authorizer is configured, or if it has passed none', async ([name, auth]) => {
    for (const other of KINDS) {
      if (other.kind !== auth.kind) expect(await outcomeOf(sampleEvent(name), other)).toBe('401');
    }
    const event = sampleEvent(name);
    delete event.requestContext.authorizer;
    delete (event.requestContext as { identity?: unknown }).identity;
    for (const any of [IAM, JWT, AUTHORIZER]) expect(await outcomeOf(event, any)).toBe('401');
  });

  it('that encrypt are all in this list', () => {
    const names = readdirSync(new URL('../../../events', import.meta.url)).map((file) => file.replace('.json', ''));
    const encrypting = names.filter((name) => /^(?:api|http1|rest|url)-encrypt-/.test(name));
    expect(encrypting.toSorted()).toEqual(SAMPLES.map(([name]) => name).toSorted());
  });
});

describe('an authorizer', () => {
  it('of a function URL must be IAM: without authorization it is refused even if the settings ask for none', async () => {
    const event = sampleEvent('url-encrypt-iam');
    delete event.requestContext.authorizer;
    for (const auth of KINDS) expect(await outcomeOf(event, auth)).toBe('401');
  });

  it('of a REST API has not been passed by a test in the console', async () => {
    const event = format1('rest-encrypt-iam');
    event.requestContext['stage'] = 'test-invoke-stage';
    event.requestContext['path'] = event.path;
    expect(await outcomeOf(event)).toBe('401');
  });

  it.for([
    ['claims beside an IAM caller, by iam', 'rest-encrypt-iam', IAM, { claims: { sub: 'a' } }],
    ['claims beside an IAM caller, by jwt', 'rest-encrypt-iam', JWT, { claims: { sub: 'a' } }],
    ['a context beside an IAM caller, by authorizer', 'rest-encrypt-iam', AUTHORIZER, { partitions: 'tenant-1' }],
    ['claims that a Lambda authorizer returned', 'rest-encrypt-cognito', JWT, 'add principalId'],
    ['claims as text', 'rest-encrypt-cognito', JWT, { claims: '{"sub":"a"}' }],
    ['a list', 'rest-encrypt-cognito', JWT, [{ claims: {} }]],
    ['nothing but null', 'http1-encrypt-jwt', JWT, { claims: null, scopes: null }],
    ['nothing but null, by authorizer', 'http1-encrypt-jwt', AUTHORIZER, { claims: null, scopes: null }],
  ] as const)('of payload format 1.0 is not %s', async ([, name, auth, given]) => {
    const event = format1(name);
    const { authorizer } = event.requestContext;
    event.requestContext.authorizer =
      given === 'add principalId' ? { ...(authorizer as object), principalId: 'a' } : given;
    expect(await outcomeOf(event, auth)).toBe('401');
  });

  it('of an HTTP API may pass on the scopes of its route beside the claims', async () => {
    const event = format1('http1-encrypt-jwt');
    (event.requestContext.authorizer as Record<string, unknown>)['scopes'] = ['keyfold/encrypt'];
    expect(await outcomeOf(event, JWT)).toBe(SERVED);
  });
});

describe('the context of a Lambda authorizer grants', () => {
  const LISTS: AuthConfig = { ...AUTHORIZER, partitionLists: true };
  const WILDCARDS: AuthConfig = { ...AUTHORIZER, partitionWildcards: true };
  const scope = 'keyfold/encrypt';
  it.for([
    ['its one partition', AUTHORIZER, { partitions: 'tenant-1', scope }, SERVED],
    ['no other partition', AUTHORIZER, { partitions: 'tenant-2', scope }, '403'],
    ['nothing without partitions', AUTHORIZER, { scope }, '403'],
    ['nothing without a scope', AUTHORIZER, { partitions: 'tenant-1' }, '403'],
    [
      'nothing by the scope of another operation',
      AUTHORIZER,
      { partitions: 'tenant-1', scope: 'keyfold/decrypt' },
      '403',
    ],
    ['nothing by a boolean', AUTHORIZER, { partitions: true, scope }, '403'],
    ['nothing by a scope that is a boolean', AUTHORIZER, { partitions: 'tenant-1', scope: true }, '403'],
    ['nothing by a list, which the settings do not allow', AUTHORIZER, { partitions: 'a tenant-1', scope }, '403'],
    ['nothing by a star, which the settings do not allow', AUTHORIZER, { partitions: '*', scope }, '403'],
    ['the partitions of a list, if the settings allow lists', LISTS, { partitions: 'a tenant-1', scope }, SERVED],
    ['the partitions of a prefix, if the settings allow it', WILDCARDS, { partitions: 'tenant-*', scope }, SERVED],
    ['nothing by the names of a token', AUTHORIZER, { tenants: 'tenant-1', scp: scope, claims: scope }, '403'],
  ] as const)('%s', async ([, auth, context, outcome]) => {
    const event = sampleEvent('api-encrypt-authorizer');
    event.requestContext.authorizer = { lambda: context };
    expect(await outcomeOf(event, auth)).toBe(outcome);
    for (const name of ['rest-encrypt-authorizer', 'http1-encrypt-authorizer'] as const) {
      const flat = format1(name);
      flat.requestContext.authorizer = { ...context, principalId: 'client-1', integrationLatency: 12 };
      expect(await outcomeOf(flat, auth)).toBe(outcome);
    }
  });

  it.for([
    [42, '42', SERVED],
    [42, '43', '403'],
    [2 ** 53, '9007199254740992', '403'],
    [1.5, '1.5', '403'],
  ] as const)('by the number %d the partition %s: %s', async ([partitions, partition, outcome]) => {
    const event = sampleEvent('api-encrypt-authorizer');
    event.requestContext.authorizer = { lambda: { partitions, scope } };
    event.rawPath = `/v1/partitions/${partition}/encrypt`;
    event.pathParameters = { partition, operation: 'encrypt' };
    expect(await outcomeOf(event, AUTHORIZER)).toBe(outcome);
  });
});

/** Sets the path that a client sent, as each kind of event has it. */
const SENT: Readonly<Record<string, (path: string) => Event>> = {
  'an exact route of an HTTP API': (path) => {
    const event = sampleEvent('api-encrypt-iam');
    event.rawPath = event.requestContext.http.path = path;
    return event;
  },
  'ANY /{proxy+} of an HTTP API': (path) => {
    const event = sampleEvent('api-encrypt-proxy');
    event.rawPath = event.requestContext.http.path = path;
    event.pathParameters = { proxy: path.slice(1) };
    return event;
  },
  '$default of an HTTP API': (path) => {
    const event = sampleEvent('api-encrypt-default');
    event.rawPath = event.requestContext.http.path = path;
    return event;
  },
  '$default of payload format 1.0': (path) => {
    const event = format1('http1-encrypt-default');
    event.path = path;
    event.requestContext['path'] = path;
    return event;
  },
  'an exact route of a REST API': (path) => {
    const event = format1('rest-encrypt-iam');
    event.path = path;
    event.requestContext['path'] = `/live${path}`;
    return event;
  },
  'ANY /{proxy+} of a REST API': (path) => {
    const event = format1('rest-encrypt-proxy');
    event.path = path;
    event.requestContext['path'] = `/live${path}`;
    event.pathParameters = { proxy: path.slice(1) };
    return event;
  },
  'a function URL': (path) => {
    const event = sampleEvent('url-encrypt-iam');
    event.rawPath = event.requestContext.http.path = path;
    return event;
  },
};

const HOSTILE = [
  '/v1/partitions/tenant%2D1/encrypt',
  '/v1/partitions/tenant-1%2Fencrypt',
  '/v1%2Fpartitions%2Ftenant-1%2Fencrypt',
  '/v1/partitions/tenant-1/%65ncrypt',
  '/%761/partitions/tenant-1/encrypt',
  '/v1/partitions/tenant-1%2540/encrypt',
  '/v1//partitions/tenant-1/encrypt',
  '//v1/partitions/tenant-1/encrypt',
  '/v1/partitions//tenant-1/encrypt',
  '/v1/partitions/tenant-1//encrypt',
  '/v1/partitions/tenant-1/encrypt/',
  '/v1/partitions/./tenant-1/encrypt',
  '/v1/partitions/tenant-2/../tenant-1/encrypt',
  '/v1/partitions/tenant-2/%2e%2e/tenant-1/encrypt',
  '/./v1/partitions/tenant-1/encrypt',
  '/../v1/partitions/tenant-1/encrypt',
  '/v1/partitions/tenant-1/encrypt;x',
  '/v1/partitions/tenant-1/encrypt?x',
  '/v1/partitions/tenant-1/encrypt\n',
  '/v1/partitions/tenant-1\\encrypt',
  '/V1/partitions/tenant-1/encrypt',
  '/other/v1/partitions/tenant-1/encrypt',
  '/v1/partitions/tenant-2/encrypt/v1/partitions/tenant-1/encrypt',
  '/v1/partitions/tenant-2/v1/partitions/tenant-1/encrypt',
  'v1/partitions/tenant-1/encrypt',
  '',
];

describe.each(Object.keys(SENT))('%s', (kind) => {
  const at = (path: string): Event => SENT[kind]?.(path) as Event;

  it('serves the literal path', async () => {
    expect(await outcomeOf(at('/v1/partitions/tenant-1/encrypt'))).toBe(SERVED);
  });

  it.for(HOSTILE)('refuses the path %j, and touches no key', async (path) => {
    expect(await outcomeOf(at(path))).toMatch(/^4(?:00|04)$/);
  });

  it('takes %40 for @', async () => {
    const event = at('/v1/partitions/a%40b.c/encrypt');
    if (event.pathParameters?.['partition'] !== undefined) event.pathParameters['partition'] = 'a@b.c';
    expect(await outcomeOf(event)).toBe(SERVED);
  });
});

describe('a catch-all route', () => {
  const CATCH_ALL = Object.keys(SENT).filter((kind) => !kind.startsWith('an exact'));
  const PATH = '/v1/partitions/tenant-1/encrypt';

  it.for(CATCH_ALL)('has the partition of the path in the audit: %s', async (kind) => {
    await openDoor()(SENT[kind]?.('/v1/partitions/tenant-7/encrypt') as Event);
    const audits = output.lines().filter(({ message }) => message === 'audit');
    expect(audits).toMatchObject([{ partition: 'tenant-7', principal: ARN, result: 'ok' }]);
  });

  it.for(CATCH_ALL)('authorizes the partition of the path: %s', async (kind) => {
    const event = SENT[kind]?.('/v1/partitions/tenant-7/encrypt') as Event;
    const scope = 'keyfold/encrypt';
    const context = { partitions: 'tenant-1', scope };
    delete (event.requestContext as { identity?: unknown }).identity;
    event.requestContext.authorizer = 'resource' in event ? context : { lambda: context };
    expect(await outcomeOf(event, AUTHORIZER)).toBe(kind === 'a function URL' ? '401' : '403');
  });

  it.for(CATCH_ALL)(
    'answers 404 for an operation that does not exist, and 405 for another method: %s',
    async (kind) => {
      expect(await outcomeOf(SENT[kind]?.('/v1/partitions/tenant-1/toString') as Event)).toBe('404');
      const event = SENT[kind]?.(PATH) as Event & Partial<Format1>;
      if (event.httpMethod === undefined) event.requestContext.http.method = 'PUT';
      else event.httpMethod = 'PUT';
      const { status, headers } = await openDoor()(event);
      expect([status, headers['allow']]).toEqual([405, 'POST']);
    },
  );

  it.for(CATCH_ALL)('serves what needs no partition, and HEAD of it without a body: %s', async (kind) => {
    for (const path of ['/v1/health', '/v1/openapi.json']) {
      for (const method of ['GET', 'HEAD']) {
        const event = SENT[kind]?.(path) as Event & Partial<Format1>;
        if (event.httpMethod === undefined) event.requestContext.http.method = method;
        else event.httpMethod = method;
        const { status, body } = await openDoor()(event);
        expect([status, body === undefined]).toEqual([200, method === 'HEAD']);
      }
    }
  });

  it.for([
    ['live', `/live${PATH}`, SERVED],
    ['live', PATH, '404'],
    ['live', `/live/live${PATH}`, '404'],
    // The path within the API is /partitions/tenant-1/encrypt, and a policy on /v1/partitions does not cover it.
    ['v1', PATH, '404'],
    ['v1', `/v1${PATH}`, SERVED],
    ['partitions', `/partitions${PATH}`, SERVED],
    ['partitions', PATH, '404'],
  ] as const)('with the stage %s takes the path %s: %s', async ([stage, path, outcome]) => {
    for (const kind of ['$default of an HTTP API', '$default of payload format 1.0']) {
      const event = SENT[kind]?.(path) as Event;
      event.requestContext.stage = stage;
      expect(await outcomeOf(event)).toBe(outcome);
    }
  });

  it.for([
    ['v1', PATH, 'partitions/tenant-1/encrypt', '404'],
    ['v1', `/v1${PATH}`, PATH.slice(1), SERVED],
    ['live', `/live${PATH}`, PATH.slice(1), SERVED],
    ['live', `/live/other${PATH}`, `other${PATH}`, '404'],
    ['live', `/live${PATH}`, 'v1/partitions/tenant-2/encrypt', '404'],
  ] as const)('{proxy+} with the stage %s, at %s with %s: %s', async ([stage, path, proxy, outcome]) => {
    for (const kind of ['ANY /{proxy+} of an HTTP API', 'ANY /{proxy+} of a REST API']) {
      const event = SENT[kind]?.(path) as Event & Partial<Format1>;
      event.requestContext.stage = stage;
      event.pathParameters = { proxy };
      if (event.path !== undefined) (event.requestContext as Record<string, unknown>)['path'] = path;
      expect(await outcomeOf(event)).toBe(outcome);
    }
  });

  it.for([
    ['/keys', `/keys${PATH}`, PATH.slice(1), SERVED],
    ['/keys/v2', `/keys/v2${PATH}`, PATH.slice(1), SERVED],
    ['none', PATH, PATH.slice(1), SERVED],
    ['/v1', PATH, 'partitions/tenant-1/encrypt', '404'],
    ['/keys, and more of the path before it', `/keys/more${PATH}`, `more${PATH}`, '404'],
    [
      '/keys, and another tenant before it',
      `/keys/v1/partitions/tenant-2/x${PATH}`,
      `v1/partitions/tenant-2/x${PATH}`,
      '404',
    ],
    ['of another tenant', `/v1/partitions/tenant-2/encrypt${PATH}`, PATH.slice(1), '404'],
    ['with a dot segment', `/keys/..${PATH}`, PATH.slice(1), '404'],
    ['with an empty segment', `/keys/${PATH}`, PATH.slice(1), '404'],
  ] as const)(
    '{proxy+} on a custom domain with the base path %s, at %s with %s: %s',
    async ([, path, proxy, outcome]) => {
      for (const kind of ['ANY /{proxy+} of an HTTP API', 'ANY /{proxy+} of a REST API']) {
        const event = SENT[kind]?.(path) as Event & Partial<Format1>;
        event.requestContext.domainName = 'keyfold.example.com';
        event.pathParameters = { proxy };
        if (event.path !== undefined) (event.requestContext as Record<string, unknown>)['path'] = path;
        expect(await outcomeOf(event)).toBe(outcome);
      }
    },
  );

  it('$default on a custom domain takes no base path, because the event does not say where it ends', async () => {
    for (const [path, outcome] of [
      [PATH, SERVED],
      [`/keys${PATH}`, '404'],
    ] as const) {
      const event = SENT['$default of an HTTP API']?.(path) as Event;
      event.requestContext.domainName = 'keyfold.example.com';
      expect(await outcomeOf(event)).toBe(outcome);
    }
  });

  it.for([
    ['/v1/{proxy+}', { proxy: 'partitions/tenant-1/encrypt' }],
    ['/v1/partitions/{partition}/{proxy+}', { partition: 'tenant-1', proxy: 'encrypt' }],
    ['/v1/partitions/tenant-1/{operation}', { operation: 'encrypt' }],
    ['/v1/partitions/tenant-1/encrypt', {}],
  ] as const)('may be the route %s', async ([route, parameters]) => {
    const event = sampleEvent('api-encrypt-iam');
    event.routeKey = `POST ${route}`;
    event.pathParameters = parameters;
    const world = new FakeWorld();
    const telemetry = createTelemetry('svc');
    const options = {
      keyfold: world.process(),
      now: world.clock.now,
      telemetry,
      config: DOOR_CONFIG,
      health: () => ({}),
    };
    const handler = httpDoor({ ...options, auth: IAM });
    expect((await handler(event, lambdaContext())).statusCode).toBe(200);
    event.pathParameters = { ...parameters, proxy: 'x', partition: 'tenant-2', operation: 'decrypt' };
    const isLiteral = route.endsWith('/encrypt');
    expect((await handler(event, lambdaContext())).statusCode).toBe(isLiteral ? 200 : 404);
  });
});

describe('a private REST API', () => {
  it.for([
    'abc123-vpce-0123456789abcdef0.execute-api.us-west-2.amazonaws.com',
    'vpce-0123456789abcdef0-abcdefgh.execute-api.us-west-2.vpce.amazonaws.com',
  ])('is served at %s, where only its stage may precede the path', async (domain) => {
    const event = format1('rest-encrypt-iam');
    event.requestContext.domainName = domain;
    expect(await outcomeOf(event)).toBe(SERVED);
    event.requestContext['path'] = '/other/v1/partitions/tenant-1/encrypt';
    expect(await outcomeOf(event)).toBe('400');
  });
});

describe('payload format 1.0', () => {
  it.for(['rest-encrypt-iam', 'http1-encrypt-iam'] as const)(
    'has an answer that is not in base64: %s',
    async (name) => {
      const world = new FakeWorld();
      const options = { keyfold: world.process(), now: world.clock.now, config: DOOR_CONFIG, health: () => ({}) };
      const handler = httpDoor({ ...options, telemetry: createTelemetry('svc'), auth: IAM });
      const event = format1(name);
      expect(await handler(event, lambdaContext())).toEqual({
        statusCode: 200,
        headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
        body: expect.stringContaining('"record"') as string,
        isBase64Encoded: false,
      });
      Object.assign(event, { body: null });
      expect(await handler(event, lambdaContext())).toMatchObject({
        statusCode: 400,
        headers: { 'content-type': 'application/problem+json' },
        body: expect.stringContaining(event.requestContext.requestId) as string,
        isBase64Encoded: false,
      });
    },
  );

  it('has binary bodies in base64', async () => {
    const event = format1('rest-encrypt-iam');
    event.body = Buffer.from(event.body ?? '').toString('base64');
    event.isBase64Encoded = true;
    expect(await outcomeOf(event)).toBe(SERVED);
    event.body = '{}';
    expect(await outcomeOf(event)).toBe('400');
  });

  it.for([
    ['a name in any case', { 'CONTENT-type': ['application/json'] }, SERVED],
    ['two types, of which the last would do', { 'Content-Type': ['text/plain', 'application/json'] }, '415'],
    ['two spellings of a name', { 'Content-Type': ['text/plain'], 'content-type': ['application/json'] }, '415'],
    ['an encoding', { 'Content-Type': ['application/json'], 'Content-Encoding': ['gzip'] }, '415'],
    ['no type', {}, '415'],
  ] as const)('has headers with %s', async ([, headers, outcome]) => {
    const event = format1('rest-encrypt-iam');
    Object.assign(event, { headers: null, multiValueHeaders: headers });
    expect(await outcomeOf(event)).toBe(outcome);
  });

  it('has headers of one value each if it has no other', async () => {
    const event = format1('rest-encrypt-iam');
    event.multiValueHeaders = null;
    expect(await outcomeOf(event)).toBe(SERVED);
  });
});
