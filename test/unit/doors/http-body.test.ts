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

const WRONG_TYPE: ReadonlySet<unknown> = new Set([
  'The Content-Type must be application/json.',
  'The Content-Type may name one charset, once: UTF-8.',
]);

/** Returns the status of the response to a request with this Content-Type. */
async function statusFor(type: string | undefined): Promise<number> {
  const { status, touched, headers, body } = await send((event) => {
    delete event.headers['content-type'];
    if (type !== undefined) event.headers['content-type'] = type;
  });
  const isRefused = status === 415;
  expect(touched).toBe(!isRefused);
  expect([headers['accept'], headers['accept-encoding']]).toEqual(
    isRefused ? ['application/json', 'identity'] : [undefined, undefined],
  );
  expect(WRONG_TYPE.has(body['detail'])).toBe(isRefused);
  return status;
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
  ] as const)('with the value %s leads to status %i', async ([type, status]) => {
    expect(await statusFor(type)).toBe(status);
  });

  it.for([
    ['that is absent', undefined, 415],
    ['that is empty', '', 415],
    // Node's parser takes quadratic time for white space, so a long header is refused before it is parsed.
    ['with 1,000 spaces', `application/json;${' '.repeat(1000)}charset=utf-8`, 415],
    ['with 1,000 characters', `application/json; profile="${'a'.repeat(972)}"`, 200],
    ['with 1,001 characters', `application/json; profile="${'a'.repeat(973)}"`, 415],
  ] as const)('$0 leads to status $2', async ([, type, status]) => {
    expect(await statusFor(type)).toBe(status);
  });
});

describe('the Content-Encoding header', () => {
  it.for([
    ['with the value identity', 'identity', 200],
    ['with the value Identity', 'Identity', 200],
    ['that is empty', '', 200],
    ['with the value gzip', 'gzip', 415],
    ['with the value x-gzip', 'x-gzip', 415],
    ['with the value br', 'br', 415],
    ['with the value deflate', 'deflate', 415],
    ['with the value identity, gzip', 'identity, gzip', 415],
    ['that names identity twice', ' identity , identity', 200],
  ] as const)('$0 leads to status $2', async ([, encoding, status]) => {
    const answer = await send((event) => {
      event.headers['content-encoding'] = encoding;
      if (status === 415) withBytes(gzipSync(BODY))(event);
    });
    expect([answer.status, answer.touched]).toEqual([status, status === 200]);
    const told = 'The body has a Content-Encoding, and none is supported: send it uncompressed.';
    expect(answer.body['detail']).toBe(status === 415 ? told : undefined);
  });
});

const NO_BODY = 'The request has no body: send a JSON object.';
const BYTE_ORDER_MARK = 'The body begins with a byte order mark: send it without one.';
const NOT_UTF8 = 'The body is not UTF-8.';
const NOT_JSON = 'The body is not JSON.';

describe('a body', () => {
  it.for([
    ['in base64', withBytes(Buffer.from(BODY))],
    ['with white space around it', withBody(` \r\n\t${BODY}\n`)],
  ] as const)('is accepted %s', async ([, change]) => {
    expect((await send(change)).status).toBe(200);
  });

  it.for([
    ['that is absent', withBody(undefined), NO_BODY],
    ['that is null', withBody(null), NO_BODY],
    ['that is empty', withBody(''), NO_BODY],
    ['that is empty in base64', withBytes(Buffer.alloc(0)), NO_BODY],
    ['that is not text', withBody({ plaintext: '' }), "The event's body must be text: the JSON as a string."],
    ['with a byte order mark', withBody(`\ufeff${BODY}`), BYTE_ORDER_MARK],
    ['with a byte order mark in base64', withBytes(Buffer.from(`\ufeff${BODY}`)), BYTE_ORDER_MARK],
    ['in UTF-16', withBytes(Buffer.from(`\ufeff${BODY}`, 'utf16le')), NOT_UTF8],
    ['with a byte that is not UTF-8', withBytes(Buffer.from('{"plaintext":"\xff"}', 'latin1')), NOT_UTF8],
    ['with half a character', withBytes(Buffer.from([...Buffer.from('{"a":"'), 0xe2, 0x82, 0x22, 0x7d])), NOT_UTF8],
    ['with a surrogate in UTF-8', withBytes(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])), NOT_UTF8],
    [
      'that is invalid base64',
      (event: Event) => Object.assign(event, { isBase64Encoded: true }),
      "The event's body is not base64, though isBase64Encoded says so.",
    ],
    ['that is only white space', withBody(' \n'), NOT_JSON],
    ['that is cut off', withBody(BODY.slice(0, -1)), NOT_JSON],
    ['with additional text after it', withBody(`${BODY}x`), NOT_JSON],
    ['that is a JSON array', withBody(`[${BODY}]`), /\{"plaintext": …\}/],
    ['that is a JSON string', withBody('"aGVsbG8="'), /\{"plaintext": …\}/],
    ['that is the JSON text null', withBody('null'), /\{"plaintext": …\}/],
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
    ['encrypt', 'plaintext is repeated', '{"plaintext":"aGVsbG8=","plaintext":"aGVsbG8="}'],
    ['encrypt', 'plaintext is repeated with an escape', '{"plaintext":"aGVsbG8=","pl\\u0061intext":"aGVsbG8="}'],
    ['encrypt', 'format is repeated', '{"plaintext":"aGVsbG8=","format":"compact","format":"compact"}'],
    [
      'encrypt-batch',
      'plaintext is repeated in an item',
      '{"items":[{"plaintext":""},{"plaintext":"","plaintext":""}]}',
    ],
    ['encrypt-batch', 'items is repeated', '{"items":[],"items":[]}'],
    ['decrypt', 'record is repeated', `{"record":${record},"record":${record}}`],
    ['decrypt', 'Data is repeated in succession', `{"record":${record.replace('"Data"', '"Data":"BA==","Data"')}}`],
    ['decrypt', 'Data comes before and after Key', `{"record":${record.replace('{"Key"', '{"Data":"BA==","Key"')}}`],
    [
      'decrypt',
      'Created is repeated in Key',
      `{"record":${record.replace('"Created":1,"Key"', '"Created":1,"Created":2,"Key"')}}`,
    ],
    ['decrypt', 'KeyId is repeated', `{"record":${record.replace('"KeyId":"a"', '"KeyId":"b","KeyId":"a"')}}`],
    [
      'decrypt',
      'a name is repeated in an unknown member of the record',
      `{"record":${record.replace('"Data"', '"other":{"x":1,"x":2},"Data"')}}`,
    ],
    ['rewrap', 'Data comes before and after Key', `{"record":${record.replace('{"Key"', '{"Data":"BA==","Key"')}}`],
    [
      'decrypt-batch',
      'Data comes before and after Key in an item',
      `{"items":[{"record":${record.replace('{"Key"', '{"Data":"BA==","Key"')}}]}`,
    ],
    ['rewrap-batch', 'record is repeated in an item', `{"items":[{"record":${record},"record":${record}}]}`],
    ['encrypt-fields', 'a name is repeated inside the document', '{"document":{"a":{"b":1,"b":2}},"fields":["$.a"]}'],
    ['encrypt-fields', 'document is repeated', '{"document":1,"document":2,"fields":["$"]}'],
    ['encrypt-fields', 'documentText is repeated', '{"documentText":"1","documentText":"2","fields":["$"]}'],
    [
      'encrypt-fields',
      'a name is repeated inside documentText',
      '{"documentText":"{\\"a\\":1,\\"a\\":2}","fields":["$.a"]}',
    ],
    ['encrypt-fields', 'fields is repeated', '{"document":{"a":1},"fields":["$.b"],"fields":["$.a"]}'],
    [
      'encrypt-fields',
      'skipSealed is repeated',
      '{"documentText":"{}","fields":["$"],"skipSealed":true,"skipSealed":false}',
    ],
    ['decrypt-fields', 'all is repeated', '{"document":{},"all":true,"all":true}'],
    ['decrypt', '__proto__ is repeated', '{"__proto__":1,"__proto__":2}'],
    ['decrypt', 'an empty name is repeated in an array', '{"record":[{"":1,"":1}]}'],
    ['decrypt', 'the name 0 is repeated after another name', '{"record":{"0":1,"1":{},"0":2}}'],
    ['decrypt', 'a name that contains a colon is repeated', '{"record":{"a:b":":","a:b" : ":"}}'],
  ] as const)('is refused by %s if %s', async ([operation, , body]) => {
    const answer = await send(withBody(body), operation);
    expect(answer).toMatchObject({ status: 400, touched: false, body: { code: 'InvalidRequest' } });
    expect(answer.body['detail']).toBe('The request holds an object with two members of one name.');
  });
});

it.for([
  ['nested objects', '{"record":{"KEYS","a:b":":","":"{:}","__proto__":{"a":1},"0":{"a":1}}}'],
  ['objects of an array', ' { "record" : {\n"KEYS" , "a" : [ { "a" : 1 } , { "a" : {} } ] } } '],
] as const)('the HTTP API accepts the same name in %s', async ([, body]) => {
  const door = openDoor();
  const sealed = (await door(request('encrypt', BODY))).body['record'];
  const text = body.replace('"KEYS"', () => JSON.stringify(sealed).slice(1, -1));
  expect((await door(request('decrypt', text))).body).toEqual({ plaintext: 'aGVsbG8=' });
});

it('the HTTP API accepts the members of a record in any order', async () => {
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
