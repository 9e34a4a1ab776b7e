/** Tests the whole text with which each door refuses a request, because callers and operators act on it. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AuthConfig } from '../../../src/config/app-config.ts';
import { openDirectDoor } from '../../support/direct-door.ts';
import { captureOutput, openDoor, request, sampleEvent, type Event } from '../../support/http-door.ts';

beforeEach(() => {
  captureOutput();
});
afterEach(() => vi.restoreAllMocks());

const BODY = { plaintext: 'aGVsbG8=' };

/** A request to encrypt, with changes to its event. */
function changed(change: (event: Event) => void, body: unknown = BODY): Event {
  const event = request('encrypt', body);
  change(event);
  return event;
}

/** A request to encrypt with this header. */
function withHeader(name: string, value: string): Event {
  return changed((event) => void (event.headers = { ...event.headers, [name]: value }));
}

/** A request with another path and method, which no route parameters describe. */
function at(path: string, method = 'GET'): Event {
  return changed((event) => {
    event.rawPath = event.requestContext.http.path = path;
    event.requestContext.http.method = method;
    event.routeKey = '$default';
    delete event.pathParameters;
  });
}

describe('the HTTP API', () => {
  it.for<[detail: string, event: Event]>([
    ["The event's body must be text: the JSON as a string.", changed((event) => void (event.body = 5 as never))],
    ['The request has no body: send a JSON object.', changed((event) => void (event.body = ''))],
    [
      "The event's body is not base64, though isBase64Encoded says so.",
      changed((event) => Object.assign(event, { body: '!', isBase64Encoded: true })),
    ],
    ['The body is not UTF-8.', changed((event) => Object.assign(event, { body: '/w==', isBase64Encoded: true }))],
    ['The body is not JSON.', request('encrypt', '{')],
    ['The body begins with a byte order mark: send it without one.', request('encrypt', '\ufeff{}')],
    ['The Content-Type must be application/json.', withHeader('content-type', 'text/plain')],
    [
      'The Content-Type may name one charset, once: UTF-8.',
      withHeader('content-type', 'application/json; charset=latin1'),
    ],
    [
      'The body has a Content-Encoding, and none is supported: send it uncompressed.',
      withHeader('content-encoding', 'gzip'),
    ],
    ['The path names an unknown operation.', request('erase', BODY)],
    ['The API has no such path.', at('/v1/nothing')],
    ['This path supports only GET, HEAD.', at('/v1/health', 'POST')],
    ['This path supports only POST.', at('/v1/partitions/tenant-1/encrypt')],
    [
      'The path must be /v1/partitions/PARTITION/OPERATION, spelled out without percent-encoding; %40 for @ is allowed.',
      changed((event) => void (event.rawPath = '/v1/partitions/tenant%2D1/encrypt')),
    ],
  ])('says "%s"', async ([detail, event]) => {
    const { body } = await openDoor()(event);
    expect(body).toMatchObject({ detail });
  });

  const jwt = sampleEvent('api-encrypt-jwt').requestContext.authorizer as { jwt: { claims: object } };
  const JWT: AuthConfig = { kind: 'jwt', partitionsClaim: 'tenants' };

  it.for<[detail: string, claims: object | undefined]>([
    ['The request has not passed the authorizer that this API is configured with.', undefined],
    ['The caller lacks the scope keyfold/encrypt.', { scope: 'keyfold/decrypt', tenants: 'tenant-1' }],
    ['The caller is not granted this partition.', { scope: 'keyfold/encrypt', tenants: 'tenant-2' }],
  ])('says "%s" to a caller with a token', async ([detail, claims]) => {
    const event = changed(({ requestContext }) => {
      if (claims !== undefined) Object.assign(requestContext, { authorizer: { jwt: { ...jwt.jwt, claims } } });
    });
    const { body } = await openDoor({ auth: JWT })(event);
    expect(body).toMatchObject({ detail });
  });

  it.for<[what: string, serves: object]>([
    ['operation', { operations: ['decrypt'] }],
    ['partition', { partitions: ['tenant-2'] }],
  ])('says that the function does not serve the %s', async ([what, serves]) => {
    const { body } = await openDoor({ config: { serves } })(request('encrypt', BODY));
    expect(body).toMatchObject({ detail: `This function does not serve that ${what}.` });
  });
});

it.for<[message: string, event: object]>([
  [
    'This function expects a direct invocation such as ' +
      '{"operation":"encrypt","partition":"tenant-1","plaintext":"aGVsbG8="}; this event is something else.',
    {},
  ],
  ['The event must have a partition.', { operation: 'encrypt' }],
  ['partition must be a string.', { operation: 'encrypt', partition: 5 }],
  [
    'The document holds a number that Lambda may not have passed on exactly: send it as documentText.',
    { operation: 'encrypt-fields', partition: 'p', fields: ['$.a'], document: { a: 2 ** 53 } },
  ],
  [
    'The document holds a name that Lambda may not have passed on exactly: send it as documentText.',
    { operation: 'encrypt-fields', partition: 'p', fields: ['$.a'], document: { a: 1, '\\': 1 } },
  ],
  [
    'The context holds a name that Lambda may not have passed on exactly: use names without escapes.',
    { ...BODY, operation: 'encrypt', partition: 'p', context: { '\\': 'x' } },
  ],
])('the function for direct invocation says "%s"', async ([errorMessage, event]) => {
  expect((await openDirectDoor()(event)).error).toMatchObject({ errorMessage });
});
