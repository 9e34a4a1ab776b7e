/** Tests the paths that each kind of HTTP event may have, behind exact routes and behind catch-all routes. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { httpDoor } from '../../../src/doors/http.ts';
import { createTelemetry } from '../../../src/doors/telemetry.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import {
  captureOutput,
  DOOR_CONFIG,
  lambdaContext,
  openDoor,
  sampleEvent,
  type Event,
} from '../../support/http-door.ts';
import { format1, outcomeOf, SERVED, type Format1 } from '../../support/http-entries.ts';

const IAM = { kind: 'iam' } as const;
const AUTHORIZER = { kind: 'authorizer' } as const;
const ARN = 'arn:aws:sts::111122223333:assumed-role/client/session';

let output: ReturnType<typeof captureOutput>;

beforeEach(() => {
  output = captureOutput();
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** For each kind of event, a function that makes an event with the path that a client sent. */
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

  it('serves a path without escapes', async () => {
    expect(await outcomeOf(at('/v1/partitions/tenant-1/encrypt'))).toBe(SERVED);
  });

  it.for(HOSTILE)('refuses the path %j, and touches no key', async (path) => {
    expect(await outcomeOf(at(path))).toMatch(/^4(?:00|04)$/);
  });

  it('accepts %40 instead of @', async () => {
    const event = at('/v1/partitions/a%40b.c/encrypt');
    if (event.pathParameters?.['partition'] !== undefined) event.pathParameters['partition'] = 'a@b.c';
    expect(await outcomeOf(event)).toBe(SERVED);
  });
});

describe('an event that spells @ differently in its path and in the path of its context', () => {
  it.for([
    ['encodes @ only in its path', '/v1/partitions/a%40b%40c/encrypt', '/live/v1/partitions/a@b@c/encrypt', 'live'],
    ['encodes @ only in the context', '/v1/partitions/a@b@c/encrypt', '/live/v1/partitions/a%40b%40c/encrypt', 'live'],
    [
      'has a path that is longer than the path of its context',
      '/v1/partitions/a%40b%40c/encrypt',
      '/v/v1/partitions/a@b@c/encrypt',
      'v',
    ],
    ['has the stage only in its path', '/live/v1/partitions/a%40b@c/encrypt', '/v1/partitions/a@b@c/encrypt', 'live'],
  ] as const)('is served if it %s', async ([, path, pathInContext, stage]) => {
    const event = format1('rest-encrypt-iam');
    event.path = path;
    event.pathParameters = { partition: 'a@b@c', operation: 'encrypt' };
    Object.assign(event.requestContext, { path: pathInContext, stage });
    expect(await outcomeOf(event)).toBe(SERVED);
  });
});

describe('a catch-all route', () => {
  const CATCH_ALL = Object.keys(SENT).filter((kind) => !kind.startsWith('an exact'));
  const PATH = '/v1/partitions/tenant-1/encrypt';

  it.for(CATCH_ALL)('writes the partition in the path to the audit log (%s)', async (kind) => {
    await openDoor()(SENT[kind]?.('/v1/partitions/tenant-7/encrypt') as Event);
    const audits = output.lines().filter(({ message }) => message === 'audit');
    expect(audits).toMatchObject([{ partition: 'tenant-7', principal: ARN, result: 'ok' }]);
  });

  it.for(CATCH_ALL)('authorizes the caller for the partition in the path (%s)', async (kind) => {
    const event = SENT[kind]?.('/v1/partitions/tenant-7/encrypt') as Event;
    const scope = 'keyfold/encrypt';
    const context = { partitions: 'tenant-1', scope };
    delete (event.requestContext as { identity?: unknown }).identity;
    event.requestContext.authorizer = 'resource' in event ? context : { lambda: context };
    expect(await outcomeOf(event, AUTHORIZER)).toBe(kind === 'a function URL' ? '401' : '403');
  });

  it.for(CATCH_ALL)('returns 404 for an unknown operation, and 405 for another method (%s)', async (kind) => {
    expect(await outcomeOf(SENT[kind]?.('/v1/partitions/tenant-1/toString') as Event)).toBe('404');
    const event = SENT[kind]?.(PATH) as Event & Partial<Format1>;
    if (event.httpMethod === undefined) event.requestContext.http.method = 'PUT';
    else event.httpMethod = 'PUT';
    const { status, headers } = await openDoor()(event);
    expect([status, headers['allow']]).toEqual([405, 'POST']);
  });

  it.for(CATCH_ALL)('returns 404 for a base path before /v1/health on a domain of AWS (%s)', async (kind) => {
    const event = SENT[kind]?.('/other/v1/health') as Event & Partial<Format1>;
    if (event.httpMethod === undefined) event.requestContext.http.method = 'GET';
    else event.httpMethod = 'GET';
    expect(await outcomeOf(event)).toBe('404');
  });

  it.for(CATCH_ALL)('serves routes without a partition, and responds to HEAD without a body (%s)', async (kind) => {
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
    ['serves', '/live/v1/partitions/tenant-1/encrypt', 'live'],
    ['refuses', '/v1/partitions/tenant-1/encrypt', 'live'],
    ['refuses', '/beta/v1/partitions/tenant-1/encrypt', 'live'],
    ['refuses', '/live/live/v1/partitions/tenant-1/encrypt', 'live'],
    // Here /v1 is the stage, so the path within the API is /partitions/tenant-1/encrypt. A policy on /v1/partitions
    // does not cover that path.
    ['refuses', '/v1/partitions/tenant-1/encrypt', 'v1'],
    ['serves', '/v1/v1/partitions/tenant-1/encrypt', 'v1'],
    ['serves', '/partitions/v1/partitions/tenant-1/encrypt', 'partitions'],
    ['refuses', '/v1/partitions/tenant-1/encrypt', 'partitions'],
  ] as const)('%s the path %s with the stage %s', async ([verdict, path, stage]) => {
    for (const kind of ['$default of an HTTP API', '$default of payload format 1.0']) {
      const event = SENT[kind]?.(path) as Event;
      event.requestContext.stage = stage;
      expect(await outcomeOf(event)).toBe(verdict === 'serves' ? SERVED : '404');
    }
  });

  it.for([
    ['refuses', '/v1/partitions/tenant-1/encrypt', 'v1', 'partitions/tenant-1/encrypt'],
    ['serves', '/v1/v1/partitions/tenant-1/encrypt', 'v1', 'v1/partitions/tenant-1/encrypt'],
    ['serves', '/live/v1/partitions/tenant-1/encrypt', 'live', 'v1/partitions/tenant-1/encrypt'],
    ['refuses', '/live/other/v1/partitions/tenant-1/encrypt', 'live', 'other/v1/partitions/tenant-1/encrypt'],
    ['refuses', '/live/v1/partitions/tenant-1/encrypt', 'live', 'v1/partitions/tenant-2/encrypt'],
  ] as const)('%s the path %s with the stage %s and the proxy parameter %s', async ([verdict, path, stage, proxy]) => {
    for (const kind of ['ANY /{proxy+} of an HTTP API', 'ANY /{proxy+} of a REST API']) {
      const event = SENT[kind]?.(path) as Event & Partial<Format1>;
      event.requestContext.stage = stage;
      event.pathParameters = { proxy };
      if (event.path !== undefined) (event.requestContext as Record<string, unknown>)['path'] = path;
      expect(await outcomeOf(event)).toBe(verdict === 'serves' ? SERVED : '404');
    }
  });

  it.for(['ANY /{proxy+} of an HTTP API', 'ANY /{proxy+} of a REST API'])(
    'refuses a request without the proxy parameter (%s)',
    async (kind) => {
      const event = SENT[kind]?.(PATH) as Event;
      event.pathParameters = {};
      expect(await outcomeOf(event)).toBe('404');
    },
  );

  it.for([
    ['serves', 'the base path /keys', `/keys${PATH}`, PATH.slice(1)],
    ['serves', 'the base path /keys/v2', `/keys/v2${PATH}`, PATH.slice(1)],
    ['serves', 'no base path', PATH, PATH.slice(1)],
    ['refuses', 'the base path /v1', PATH, 'partitions/tenant-1/encrypt'],
    ['refuses', 'another segment after the base path /keys', `/keys/more${PATH}`, `more${PATH}`],
    [
      'refuses',
      'the path of another tenant after the base path /keys',
      `/keys/v1/partitions/tenant-2/x${PATH}`,
      `v1/partitions/tenant-2/x${PATH}`,
    ],
    ['refuses', 'the path of another tenant as the base path', `/v1/partitions/tenant-2/encrypt${PATH}`, PATH.slice(1)],
    ['refuses', 'a dot segment in the base path', `/keys/..${PATH}`, PATH.slice(1)],
    ['refuses', 'an empty segment in the base path', `/keys/${PATH}`, PATH.slice(1)],
  ] as const)('%s a request to a custom domain with %s', async ([verdict, , path, proxy]) => {
    for (const kind of ['ANY /{proxy+} of an HTTP API', 'ANY /{proxy+} of a REST API']) {
      const event = SENT[kind]?.(path) as Event & Partial<Format1>;
      event.requestContext.domainName = 'keyfold.example.com';
      event.pathParameters = { proxy };
      if (event.path !== undefined) (event.requestContext as Record<string, unknown>)['path'] = path;
      expect(await outcomeOf(event)).toBe(verdict === 'serves' ? SERVED : '404');
    }
  });

  it.for([
    ['serves', '/live/v1/partitions/tenant-1/encrypt'],
    ['refuses', '/v1/partitions/tenant-1/encrypt'],
    ['refuses', '/other/v1/partitions/tenant-1/encrypt'],
  ] as const)("%s the path %s on the domain of API Gateway's FIPS endpoint", async ([verdict, path]) => {
    for (const kind of ['$default of an HTTP API', '$default of payload format 1.0']) {
      const event = SENT[kind]?.(path) as Event;
      const { requestContext } = event;
      requestContext.stage = 'live';
      requestContext.domainName = `${requestContext.apiId}.execute-api-fips.us-west-2.amazonaws.com`;
      expect(await outcomeOf(event)).toBe(verdict === 'serves' ? SERVED : '404');
    }
  });

  it('refuses a base path on a custom domain if the route is $default', async () => {
    for (const [path, outcome] of [
      [PATH, SERVED],
      [`/keys${PATH}`, '404'],
    ] as const) {
      for (const stage of ['$default', 'live']) {
        const event = SENT['$default of an HTTP API']?.(path) as Event;
        Object.assign(event.requestContext, { domainName: 'keyfold.example.com', stage });
        expect(await outcomeOf(event)).toBe(outcome);
      }
    }
  });

  it.for([
    ['/v1/{proxy+}', { proxy: 'partitions/tenant-1/encrypt' }],
    ['/v1/partitions/{partition}/{proxy+}', { partition: 'tenant-1', proxy: 'encrypt' }],
    ['/v1/partitions/tenant-1/{operation}', { operation: 'encrypt' }],
    ['/v1/partitions/tenant-1/encrypt', {}],
  ] as const)('can be replaced by the route %s', async ([route, parameters]) => {
    const event = sampleEvent('api-encrypt-iam');
    event.routeKey = `POST ${route}`;
    event.pathParameters = parameters;
    const world = new FakeDependencies();
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

it('a REST API whose events name no domain has its stage as the base path', async () => {
  const event = format1('rest-encrypt-iam');
  Object.assign(event.requestContext, { domainName: undefined });
  expect(await outcomeOf(event)).toBe(SERVED);
  event.requestContext['path'] = '/other/v1/partitions/tenant-1/encrypt';
  expect(await outcomeOf(event)).toBe('400');
});

it('an exact route of an HTTP API decides that a request is for /v1/health, whatever precedes it in the path', async () => {
  const event = sampleEvent('api-health-iam');
  event.rawPath = '/other/v1/health';
  expect((await openDoor()(event)).status).toBe(200);
});

describe('a private REST API', () => {
  it.for([
    'abc123-vpce-0123456789abcdef0.execute-api.us-west-2.amazonaws.com',
    'vpce-0123456789abcdef0-abcdefgh.execute-api.us-west-2.vpce.amazonaws.com',
  ])('on the domain %s has no base path', async (domain) => {
    const event = format1('rest-encrypt-iam');
    event.requestContext.domainName = domain;
    expect(await outcomeOf(event)).toBe(SERVED);
    event.requestContext['path'] = '/other/v1/partitions/tenant-1/encrypt';
    expect(await outcomeOf(event)).toBe('400');
  });
});
