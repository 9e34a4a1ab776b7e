import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeDependencies } from '../../support/fakes.ts';
import { captureOutput, openDoor, request, type Answer, type Event } from '../../support/http-door.ts';

beforeEach(() => {
  captureOutput();
});
afterEach(() => vi.restoreAllMocks());

const BODY = '{"plaintext":"aGVsbG8="}';

/** Sends an encrypt request and returns the response. `touched` says whether it touched any key. */
async function send(change: (event: Event) => unknown, operation = 'encrypt'): Promise<Answer & { touched: boolean }> {
  const world = new FakeDependencies();
  const event = request(operation, BODY);
  change(event);
  const answer = await openDoor({ world })(event);
  return { ...answer, touched: world.log.take().length > 0 };
}

function withBytes(bytes: Uint8Array): (event: Event) => unknown {
  return (event) => Object.assign(event, { body: Buffer.from(bytes).toString('base64'), isBase64Encoded: true });
}

function withBody(body: unknown): (event: Event) => unknown {
  return (event) => Object.assign(event, { body });
}

describe('the Content-Type header', () => {
  it.for([
    ['application/json', 200],
    ['application/json;', 200],
    ['application/json ;', 200],
    ['application/json;;', 200],
    ['APPLICATION/JSON', 200],
    ['application/json; charset=utf-8', 200],
    ['application/json;charset=UTF-8', 200],
    ['application/json; charset="UTF-8"', 200],
    ['application/json; charset="utf-\\8"', 200],
    ['application/json; charset=utf8', 200],
    ['application/json; profile="https://example.com/a;b"; charset=utf-8', 200],
    ['application/json; odata.metadata=minimal', 200],
    ['application/json; charset=iso-8859-1', 415],
    ['application/json; charset=utf-80', 415],
    ['application/json; charset=x-utf-8', 415],
    ['application/json; charset="utf-16"', 415],
    ['application/json; version=1; charset=latin1', 415],
    ['application/json; charset=""', 415],
    ['application/json; charset=utf-8; charset=utf-16', 415],
    ['application/json; charset=utf-8; charset=utf-8', 415],
    ['application/json; charset=utf-8; CHARSET="utf-16"', 415],
    ['application/json;charset=utf-8;\tcharset=utf-16', 415],
    ['application/json; charset="utf-8"; charset=latin1', 415],
    ['application/json; charset=utf-8; version=1; charset=latin1', 415],
    ['application/json; a=b"; charset=utf-8; charset=utf-16', 415],
    ['application/json; charset =utf-16', 415],
    ['application/json; charset=', 415],
    ['application/json; charset', 415],
    ['application/json; charset=utf-8; charset=', 415],
    ['application/json; profile="a; charset=utf-16"', 200],
    ['application/json; profile="a\\"; charset=utf-16"; charset=utf-8', 200],
    ['application/json; x-charset=utf-16', 200],
    ['application/json; charsets=utf-16', 200],
    ['application/jsonp', 415],
    ['application/vnd.api+json', 415],
    ['application/json, text/plain', 415],
    ['application/json charset=utf-8', 415],
    ['text/json', 415],
    ['multipart/form-data; boundary=x', 415],
    ['json', 415],
    ['', 415],
    // Node's parser takes quadratic time for white space, so a long header is refused before it is parsed.
    [`application/json;${' '.repeat(1000)}charset=utf-8`, 415],
    [`application/json; profile="${'a'.repeat(900)}"`, 200],
    [undefined, 415],
  ] as const)('with the value %s leads to status %i', async ([type, status]) => {
    const answer = await send((event) => {
      delete event.headers['content-type'];
      if (type !== undefined) event.headers['content-type'] = type;
    });
    expect([answer.status, answer.touched]).toEqual([status, status === 200]);
    const isRefused = status === 415;
    expect([answer.headers['accept'], answer.headers['accept-encoding']]).toEqual(
      isRefused ? ['application/json', 'identity'] : [undefined, undefined],
    );
    expect(/application\/json|UTF-8/.test(String(answer.body['detail']))).toBe(isRefused);
  });
});

describe('the Content-Encoding header', () => {
  it.for([
    ['identity', 200],
    ['Identity', 200],
    ['', 200],
    ['gzip', 415],
    ['x-gzip', 415],
    ['br', 415],
    ['deflate', 415],
    ['identity, gzip', 415],
    [' identity , identity', 200],
  ] as const)('with the value %j leads to status %i', async ([encoding, status]) => {
    const answer = await send((event) => {
      event.headers['content-encoding'] = encoding;
      if (status === 415) withBytes(gzipSync(BODY))(event);
    });
    expect([answer.status, answer.touched]).toEqual([status, status === 200]);
    const told: unknown = expect.stringContaining('Content-Encoding');
    expect(answer.body['detail']).toEqual(status === 415 ? told : undefined);
  });
});

describe('a body', () => {
  it.for([
    ['in base64', withBytes(Buffer.from(BODY))],
    ['with white space around it', withBody(` \r\n\t${BODY}\n`)],
  ] as const)('is accepted %s', async ([, change]) => {
    expect((await send(change)).status).toBe(200);
  });

  it.for([
    ['that is absent', withBody(undefined), /no body/],
    ['that is null', withBody(null), /no body/],
    ['that is empty', withBody(''), /no body/],
    ['that is empty in base64', withBytes(Buffer.alloc(0)), /no body/],
    ['that is not text', withBody({ plaintext: '' }), /must be text/],
    ['with a byte order mark', withBody(`\ufeff${BODY}`), /byte order mark/],
    ['with a byte order mark in base64', withBytes(Buffer.from(`\ufeff${BODY}`)), /byte order mark/],
    ['in UTF-16', withBytes(Buffer.from(`\ufeff${BODY}`, 'utf16le')), /not UTF-8/],
    ['with a byte that is not UTF-8', withBytes(Buffer.from('{"plaintext":"\xff"}', 'latin1')), /not UTF-8/],
    ['with half a character', withBytes(Buffer.from([...Buffer.from('{"a":"'), 0xe2, 0x82, 0x22, 0x7d])), /not UTF-8/],
    ['with a surrogate in UTF-8', withBytes(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])), /not UTF-8/],
    [
      'that is not the base64 it should be',
      (event: Event) => Object.assign(event, { isBase64Encoded: true }),
      /not base64/,
    ],
    ['that is only white space', withBody(' \n'), /not JSON/],
    ['that is cut off', withBody(BODY.slice(0, -1)), /not JSON/],
    ['with additional text after it', withBody(`${BODY}x`), /not JSON/],
    ['that is an array', withBody(`[${BODY}]`), /\{"plaintext": …\}/],
    ['that is a string', withBody('"aGVsbG8="'), /\{"plaintext": …\}/],
    ['that is null in JSON', withBody('null'), /\{"plaintext": …\}/],
  ] as const)('%s is refused, and the response says why', async ([, change, detail]) => {
    const answer = await send(change);
    expect(answer).toMatchObject({ status: 400, touched: false, body: { code: 'InvalidRequest' } });
    expect(answer.body['detail']).toMatch(detail);
  });

  it('with invalid UTF-8 in a document is refused instead of being encrypted in altered form', async () => {
    const bytes = Buffer.from('{"document":{"a":"\xe9"},"fields":["$.a"]}', 'latin1');
    const answer = await send(withBytes(bytes), 'encrypt-fields');
    expect(answer).toMatchObject({ status: 400, body: { detail: 'The body is not UTF-8.' } });
  });
});

describe('an object with two members of the same name', () => {
  const record = '{"Key":{"Created":1,"Key":"AA==","ParentKeyMeta":{"KeyId":"a","Created":1}},"Data":"AA=="}';
  it.for([
    ['encrypt', '{"plaintext":"aGVsbG8=","plaintext":"aGVsbG8="}'],
    ['encrypt', '{"plaintext":"aGVsbG8=","pl\\u0061intext":"aGVsbG8="}'],
    ['encrypt', '{"plaintext":"aGVsbG8=","format":"compact","format":"compact"}'],
    ['encrypt-batch', '{"items":[{"plaintext":""},{"plaintext":"","plaintext":""}]}'],
    ['encrypt-batch', '{"items":[],"items":[]}'],
    ['decrypt', `{"record":${record},"record":${record}}`],
    ['decrypt', `{"record":${record.replace('"Data"', '"Data":"BA==","Data"')}}`],
    ['decrypt', `{"record":${record.replace('{"Key"', '{"Data":"BA==","Key"')}}`],
    ['decrypt', `{"record":${record.replace('"Created":1,"Key"', '"Created":1,"Created":2,"Key"')}}`],
    ['decrypt', `{"record":${record.replace('"KeyId":"a"', '"KeyId":"b","KeyId":"a"')}}`],
    ['decrypt', `{"record":${record.replace('"Data"', '"other":{"x":1,"x":2},"Data"')}}`],
    ['rewrap', `{"record":${record.replace('{"Key"', '{"Data":"BA==","Key"')}}`],
    ['decrypt-batch', `{"items":[{"record":${record.replace('{"Key"', '{"Data":"BA==","Key"')}}]}`],
    ['rewrap-batch', `{"items":[{"record":${record},"record":${record}}]}`],
    ['encrypt-fields', '{"document":{"a":{"b":1,"b":2}},"fields":["$.a"]}'],
    ['encrypt-fields', '{"document":1,"document":2,"fields":["$"]}'],
    ['encrypt-fields', '{"documentText":"1","documentText":"2","fields":["$"]}'],
    ['encrypt-fields', '{"documentText":"{\\"a\\":1,\\"a\\":2}","fields":["$.a"]}'],
    ['encrypt-fields', '{"document":{"a":1},"fields":["$.b"],"fields":["$.a"]}'],
    ['encrypt-fields', '{"documentText":"{}","fields":["$"],"skipSealed":true,"skipSealed":false}'],
    ['decrypt-fields', '{"document":{},"all":true,"all":true}'],
    ['decrypt', '{"__proto__":1,"__proto__":2}'],
    ['decrypt', '{"record":[{"":1,"":1}]}'],
    ['decrypt', '{"record":{"0":1,"1":{},"0":2}}'],
    ['decrypt', '{"record":{"a:b":":","a:b" : ":"}}'],
  ] as const)('is refused by %s in the body %s', async ([operation, body]) => {
    const answer = await send(withBody(body), operation);
    expect(answer).toMatchObject({ status: 400, touched: false, body: { code: 'InvalidRequest' } });
    expect(answer.body['detail']).toBe('The request holds an object with two members of one name.');
  });
});

it.for([
  '{"record":{"KEYS","a:b":":","":"{:}","__proto__":{"a":1},"0":{"a":1}}}',
  ' { "record" : {\n"KEYS" , "a" : [ { "a" : 1 } , { "a" : {} } ] } } ',
])('the HTTP door accepts the same name in different objects: %s', async (body) => {
  const door = openDoor();
  const sealed = (await door(request('encrypt', BODY))).body['record'];
  const text = body.replace('"KEYS"', () => JSON.stringify(sealed).slice(1, -1));
  expect((await door(request('decrypt', text))).body).toEqual({ plaintext: 'aGVsbG8=' });
});

it('the HTTP door accepts the members of a record in any order', async () => {
  const world = new FakeDependencies();
  const door = openDoor({ world });
  const sealed = (await door(request('encrypt', BODY))).body['record'] as { Key: object; Data: string };
  for (const record of [sealed, { Data: sealed.Data, Key: sealed.Key }, { ...sealed, Note: 'caf\u00e9', 'a\\b': 1 }]) {
    const body = JSON.stringify({ record }).replace('caf\u00e9', 'caf\\u00e9');
    expect((await door(request('decrypt', body))).body).toEqual({ plaintext: 'aGVsbG8=' });
  }
});

describe('a HEAD request', () => {
  it.for(['/v1/health', '/v1/openapi.json', '/live/v1/health'])(
    'to %s gets the same response as GET, but without a body',
    async (path) => {
      const event = request('encrypt', '');
      delete event.body;
      Object.assign(event, { routeKey: '$default', rawPath: path });
      Object.assign(event.requestContext, { stage: 'live' });
      event.requestContext.http.method = 'HEAD';
      const answer = await openDoor()(event);
      expect(answer).toEqual({
        status: 200,
        headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
        body: undefined,
      });
    },
  );

  it('to an operation is not allowed', async () => {
    const event = request('encrypt', BODY);
    event.routeKey = '$default';
    event.requestContext.http.method = 'HEAD';
    expect(await openDoor()(event)).toMatchObject({ status: 405, headers: { allow: 'POST' } });
  });

  it('requires authorization, like GET', async () => {
    const event = request('encrypt', '');
    Object.assign(event, { routeKey: '$default', rawPath: '/v1/health' });
    event.requestContext.http.method = 'HEAD';
    delete event.requestContext.authorizer;
    expect((await openDoor()(event)).status).toBe(401);
  });
});
