/**
 * Tests every kind of event over HTTP: its response, the paths that it may have, and the caller that its authorizer
 * names.
 */
import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AuthConfig } from '../../../src/config/app-config.ts';
import { httpDoor } from '../../../src/doors/http.ts';
import { createTelemetry } from '../../../src/doors/telemetry.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { captureOutput, DOOR_CONFIG, lambdaContext, sampleEvent } from '../../support/http-door.ts';
import { format1, outcomeOf, SERVED } from '../../support/http-entries.ts';

const IAM: AuthConfig = { kind: 'iam' };
const JWT: AuthConfig = { kind: 'jwt', partitionsClaim: 'tenants' };
const AUTHORIZER: AuthConfig = { kind: 'authorizer' };
const NONE: AuthConfig = { kind: 'none' };
const KINDS = [IAM, JWT, AUTHORIZER, NONE];

const ARN = 'arn:aws:sts::111122223333:assumed-role/client/session';
const COGNITO = 'https://cognito-idp.us-west-2.amazonaws.com/us-west-2_example#client-1';

/** The sample events that encrypt, each with its authorizer and with the principal that the audit log must name. */
const SAMPLES = [
  ['api-encrypt-iam', IAM, ARN],
  ['api-encrypt-context-iam', IAM, ARN],
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

let output: ReturnType<typeof captureOutput>;

beforeEach(() => {
  output = captureOutput();
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe('the samples in events/', () => {
  it.for(SAMPLES)("%s is served, and the audit line names the caller's principal", async ([name, auth, principal]) => {
    expect(await outcomeOf(sampleEvent(name), auth)).toBe(SERVED);
    const audits = output.lines().filter(({ message }) => message === 'audit');
    expect(audits).toMatchObject([{ result: 'ok', principal, partition: 'tenant-1', operation: 'encrypt' }]);
  });

  it.for(SAMPLES)(
    '%s is refused with 401 if the authorizer is missing or is not the configured one',
    async ([name, auth]) => {
      for (const other of KINDS.filter(({ kind }) => kind !== auth.kind)) {
        expect(await outcomeOf(sampleEvent(name), other)).toBe('401');
      }
      const event = sampleEvent(name);
      delete event.requestContext.authorizer;
      delete (event.requestContext as { identity?: unknown }).identity;
      for (const any of [IAM, JWT, AUTHORIZER]) expect(await outcomeOf(event, any)).toBe('401');
    },
  );

  it('for encrypt are all tested in this file', () => {
    const names = readdirSync(new URL('../../../events', import.meta.url)).map((file) => file.replace('.json', ''));
    const encrypting = names.filter((name) => /^(?:api|http1|rest|url)-encrypt-/.test(name));
    expect(encrypting.toSorted()).toEqual(SAMPLES.map(([name]) => name).toSorted());
  });
});

describe('an authorizer', () => {
  it('must be IAM for a function URL, even if the settings require no authorization', async () => {
    const event = sampleEvent('url-encrypt-iam');
    delete event.requestContext.authorizer;
    for (const auth of KINDS) expect(await outcomeOf(event, auth)).toBe('401');
  });

  it('is required even for a test in the REST API console', async () => {
    const event = format1('rest-encrypt-iam');
    event.requestContext['stage'] = 'test-invoke-stage';
    event.requestContext['path'] = event.path;
    expect(await outcomeOf(event)).toBe('401');
  });

  it.for([
    [
      'if it has claims in addition to an IAM caller and AUTH is iam',
      'rest-encrypt-iam',
      IAM,
      { claims: { sub: 'a' } },
    ],
    [
      'if it has claims in addition to an IAM caller and AUTH is jwt',
      'rest-encrypt-iam',
      JWT,
      { claims: { sub: 'a' } },
    ],
    [
      'if it has a context in addition to an IAM caller and AUTH is authorizer',
      'rest-encrypt-iam',
      AUTHORIZER,
      { partitions: 'tenant-1' },
    ],
    ['if a Lambda authorizer returned the claims', 'rest-encrypt-cognito', JWT, 'add principalId'],
    ['if the claims are text', 'rest-encrypt-cognito', JWT, { claims: '{"sub":"a"}' }],
    ['if it is a list', 'rest-encrypt-cognito', JWT, [{ claims: {} }]],
    ['if all its members are null', 'http1-encrypt-jwt', JWT, { claims: null, scopes: null }],
    [
      'if all its members are null and AUTH is authorizer',
      'http1-encrypt-jwt',
      AUTHORIZER,
      { claims: null, scopes: null },
    ],
  ] as const)('is refused in payload format 1.0 %s', async ([, name, auth, given]) => {
    const event = format1(name);
    const { authorizer } = event.requestContext;
    event.requestContext.authorizer =
      given === 'add principalId' ? { ...(authorizer as object), principalId: 'a' } : given;
    expect(await outcomeOf(event, auth)).toBe('401');
  });

  it("is accepted if it has an HTTP API route's scopes in addition to the claims", async () => {
    const event = format1('http1-encrypt-jwt');
    (event.requestContext.authorizer as Record<string, unknown>)['scopes'] = ['keyfold/encrypt'];
    expect(await outcomeOf(event, JWT)).toBe(SERVED);
  });
});

describe("a Lambda authorizer's context", () => {
  const LISTS: AuthConfig = { ...AUTHORIZER, partitionLists: true };
  const WILDCARDS: AuthConfig = { ...AUTHORIZER, partitionWildcards: true };
  const scope = 'keyfold/encrypt';
  it.for([
    ['the one partition that it names', AUTHORIZER, { partitions: 'tenant-1', scope }, SERVED],
    ['no other partition', AUTHORIZER, { partitions: 'tenant-2', scope }, '403'],
    ['nothing without partitions', AUTHORIZER, { scope }, '403'],
    ['nothing without a scope', AUTHORIZER, { partitions: 'tenant-1' }, '403'],
    [
      'nothing if it names the scope of another operation',
      AUTHORIZER,
      { partitions: 'tenant-1', scope: 'keyfold/decrypt' },
      '403',
    ],
    ['nothing if partitions is a boolean', AUTHORIZER, { partitions: true, scope }, '403'],
    ['nothing if scope is a boolean', AUTHORIZER, { partitions: 'tenant-1', scope: true }, '403'],
    [
      'nothing if partitions is a list, which the settings do not allow',
      AUTHORIZER,
      { partitions: 'a tenant-1', scope },
      '403',
    ],
    ['nothing if partitions is *, which the settings do not allow', AUTHORIZER, { partitions: '*', scope }, '403'],
    ['the partitions in a list, if the settings allow lists', LISTS, { partitions: 'a tenant-1', scope }, SERVED],
    [
      'the partitions with a prefix, if the settings allow wildcards',
      WILDCARDS,
      { partitions: 'tenant-*', scope },
      SERVED,
    ],
    [
      'nothing if its members are named like the claims of a token',
      AUTHORIZER,
      { tenants: 'tenant-1', scp: scope, claims: scope },
      '403',
    ],
  ] as const)('grants %s', async ([, auth, context, outcome]) => {
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
    ['grants the partition 42 for the number 42', 42, '42', SERVED],
    ['does not grant the partition 43 for the number 42', 42, '43', '403'],
    ['grants nothing for an unsafe integer', 2 ** 53, '9007199254740992', '403'],
    ['grants nothing for a number with a fraction', 1.5, '1.5', '403'],
  ] as const)('%s', async ([, partitions, partition, outcome]) => {
    const event = sampleEvent('api-encrypt-authorizer');
    event.requestContext.authorizer = { lambda: { partitions, scope } };
    event.rawPath = `/v1/partitions/${partition}/encrypt`;
    event.pathParameters = { partition, operation: 'encrypt' };
    expect(await outcomeOf(event, AUTHORIZER)).toBe(outcome);
  });
});

it('a request in payload format 2.0 gets a response without the member isBase64Encoded', async () => {
  const world = new FakeDependencies();
  const options = { keyfold: world.process(), now: world.clock.now, config: DOOR_CONFIG, health: () => ({}) };
  const handler = httpDoor({ ...options, telemetry: createTelemetry('svc'), auth: IAM });
  const answer = await handler(sampleEvent('api-encrypt-iam'), lambdaContext());
  expect(Object.keys(answer)).toEqual(['statusCode', 'headers', 'body']);
});

describe('a request in payload format 1.0', () => {
  it.for(['rest-encrypt-iam', 'http1-encrypt-iam'] as const)(
    'gets a response that is not encoded in base64 (%s)',
    async (name) => {
      const world = new FakeDependencies();
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

  it('can have a body in base64, which the function decodes', async () => {
    const event = format1('rest-encrypt-iam');
    event.body = Buffer.from(event.body ?? '').toString('base64');
    event.isBase64Encoded = true;
    expect(await outcomeOf(event)).toBe(SERVED);
    event.body = '{}';
    expect(await outcomeOf(event)).toBe('400');
  });

  it.for([
    ['is accepted with a header name in upper and lower case', { 'CONTENT-type': ['application/json'] }, SERVED],
    [
      'is refused with two content types, of which only the last is allowed',
      { 'Content-Type': ['text/plain', 'application/json'] },
      '415',
    ],
    [
      'is refused with two spellings of a header name',
      { 'Content-Type': ['text/plain'], 'content-type': ['application/json'] },
      '415',
    ],
    [
      'is refused with a content encoding',
      { 'Content-Type': ['application/json'], 'Content-Encoding': ['gzip'] },
      '415',
    ],
    ['is refused with a content type in two values', { 'Content-Type': ['application/json', ';charset=utf-8'] }, '415'],
    ['is refused without a content type', {}, '415'],
  ] as const)('%s', async ([, multiValueHeaders, outcome]) => {
    const event = format1('rest-encrypt-iam');
    // In an event of API Gateway, `headers` has the last value of each header.
    const headers = Object.entries<readonly string[]>(multiValueHeaders).map(([name, values]) => [name, values.at(-1)]);
    Object.assign(event, { headers: Object.fromEntries(headers) as object, multiValueHeaders });
    expect(await outcomeOf(event)).toBe(outcome);
  });

  it('is accepted without multiValueHeaders', async () => {
    const event = format1('rest-encrypt-iam');
    event.multiValueHeaders = null;
    expect(await outcomeOf(event)).toBe(SERVED);
  });
});
