import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { bodyLimitBytes } from '../../../src/doors/http-request.ts';
import { problemResponse } from '../../../src/doors/problem.ts';
import { KeyfoldError, type ErrorCode } from '../../../src/index.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { captureOutput, lambdaContext, openDoor, request, sampleEvent } from '../../support/http-door.ts';

beforeEach(() => {
  captureOutput();
});
afterEach(() => {
  vi.restoreAllMocks();
});

const HELLO = Buffer.from('hello').toString('base64');

/** Decrypts in a cold process whose metastore fails, and returns the response. */
async function failingWith(error: Error): ReturnType<ReturnType<typeof openDoor>> {
  const world = new FakeDependencies();
  const { body } = await openDoor({ world })(request('encrypt', { plaintext: HELLO }));
  world.metastore.interfere = () => {
    throw error;
  };
  return openDoor({ world })(request('decrypt', body));
}

describe('the HTTP API', () => {
  it('decrypts what it encrypted', async () => {
    const send = openDoor();
    const sealed = await send(sampleEvent('api-encrypt-iam'));
    expect(sealed).toMatchObject({
      status: 200,
      headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    });
    expect(Object.keys(sealed.body)).toEqual(['record']);
    expect((await send(request('decrypt', sealed.body))).body).toEqual({ plaintext: HELLO });
  });

  it('decrypts a payload only with the context with which it was encrypted', async () => {
    const send = openDoor();
    const event = sampleEvent('api-encrypt-context-iam');
    const { body } = await send(event);
    const { context } = JSON.parse(event.body ?? '') as { context: object };
    expect((await send(request('decrypt', { ...body, context }))).body).toEqual({ plaintext: HELLO });
    const other = { ...context, version: '6' };
    expect((await send(request('decrypt', { ...body, context: other }))).body['code']).toBe('RecordUnreadable');
    expect((await send(request('decrypt', body))).body['code']).toBe('ContextRequired');
  });

  it('encrypts and decrypts an empty plaintext', async () => {
    const send = openDoor();
    const sealed = await send(request('encrypt', { plaintext: '' }));
    expect((await send(request('decrypt', sealed.body))).body).toEqual({ plaintext: '' });
  });

  it('refuses to rewrap a record if the request has a context', async () => {
    const send = openDoor();
    const { body } = await send(request('encrypt', { plaintext: 'aGVsbG8=' }));
    const answer = await send(request('rewrap', { ...body, context: { table: 'users' } }));
    expect(answer).toMatchObject({
      status: 400,
      body: { detail: 'The request holds an unknown member. This operation accepts record, format.' },
    });
  });

  it('rewraps a record if a later key exists, and otherwise returns it unchanged', async () => {
    const world = new FakeDependencies();
    const send = openDoor({ world });
    const { body } = await send(sampleEvent('api-encrypt-iam'));
    expect((await send(request('rewrap', body))).body).toEqual({ ...body, rewrapped: false });
    world.clock.advance(91 * 86_400_000);
    const moved = await send(request('rewrap', body));
    expect(moved.body['rewrapped']).toBe(true);
    expect((await send(request('decrypt', { record: moved.body['record'] }))).body).toEqual({ plaintext: HELLO });
  });

  it('accepts escapes and white space in the JSON of a body', async () => {
    const send = openDoor();
    for (const body of [`{ "plaintext" : "${HELLO}" }`, `{"plaintext":"${HELLO.replace('=', '\\u003d')}"}`]) {
      const sealed = await send(request('encrypt', body));
      expect((await send(request('decrypt', sealed.body))).body).toEqual({ plaintext: HELLO });
    }
  });

  it('accepts a body in base64', async () => {
    const event = request('encrypt', Buffer.from(`{"plaintext":"${HELLO}"}`).toString('base64'));
    event.isBase64Encoded = true;
    expect((await openDoor()(event)).status).toBe(200);
  });

  it('decrypts a record whose strings contain JSON escapes', async () => {
    const send = openDoor();
    const { body } = await send(request('encrypt', { plaintext: HELLO }));
    const text = JSON.stringify(body);
    const { Data: data } = body['record'] as { Data: string };
    const last = `\\u00${data.slice(-1).charCodeAt(0).toString(16)}`;
    for (const written of [text.replace('"_IK_', '"\\u005fIK_'), text.replace(data, data.slice(0, -1) + last)]) {
      expect(written).not.toBe(text);
      expect((await send(request('decrypt', written))).body).toEqual({ plaintext: HELLO });
    }
  });

  it('accepts a batch of the allowed size, and logs its failed items', async () => {
    vi.restoreAllMocks();
    const output = captureOutput();
    const send = openDoor({ config: { maxItems: 2 } });
    const items = [{ plaintext: HELLO }, {}, {}];
    expect((await send(request('encrypt-batch', { items }))).status).toBe(400);
    expect((await send(request('encrypt-batch', { items: items.slice(1) }))).status).toBe(200);
    expect(output.lines()).toContainEqual(
      expect.objectContaining({ message: 'items of a batch failed', codes: { InvalidRequest: 2 } }),
    );
  });

  it('reports the last known health without a call to KMS or DynamoDB', async () => {
    const world = new FakeDependencies();
    const state = { kms: [{ region: 'us-west-2', state: 'ok' }], metastore: { state: 'ok' } };
    const answer = await openDoor({ world, health: () => state })(sampleEvent('api-health-iam'));
    expect(answer).toMatchObject({ status: 200, body: state });
    expect(world.log.take()).toEqual([]);
  });
});

describe('an HTTP request', () => {
  it.for([
    ['a body that is not JSON', 'encrypt', '{"plaintext":', 400, 'InvalidRequest'],
    ['an empty body', 'encrypt', '', 400, 'InvalidRequest'],
    ['a body that ends too early', 'encrypt', '{"plaintext":"}', 400, 'InvalidRequest'],
    ['a plaintext that ends too early', 'encrypt', '{"plaintext":"aGk=","}', 400, 'InvalidRequest'],
    ['a plaintext with a backslash', 'encrypt', '{"plaintext":"aGk\\"}', 400, 'InvalidRequest'],
    ['a plaintext with a line break', 'encrypt', '{"plaintext":"aGk=\n"}', 400, 'InvalidRequest'],
    ['an array as the body', 'encrypt', '[]', 400, 'InvalidRequest'],
    ['null as the body', 'encrypt', 'null', 400, 'InvalidRequest'],
    ['no plaintext', 'encrypt', {}, 400, 'InvalidRequest'],
    ['a plaintext of another type', 'encrypt', { plaintext: 1 }, 400, 'InvalidRequest'],
    ['a plaintext that is not base64', 'encrypt', { plaintext: 'a' }, 400, 'InvalidRequest'],
    ['an unknown member', 'encrypt', { plaintext: '', colour: 'red' }, 400, 'InvalidRequest'],
    ['no record', 'decrypt', {}, 400, 'InvalidRequest'],
    ['a record of another shape', 'decrypt', { record: 'x' }, 400, 'InvalidRequest'],
    ['a record of another shape', 'rewrap', { record: { Key: {} } }, 400, 'InvalidRequest'],
    ['a misspelled name of a member', 'encrypt', '{"plaintexx":"aGk="}', 400, 'InvalidRequest'],
    [
      'a record that ends too early',
      'decrypt',
      '{"record":{"Key":{"Created":1,"Key":"AA==","ParentKeyMeta":{"KeyId":"a","Created":1}},"Data":"AAAA',
      400,
      'InvalidRequest',
    ],
    [
      'a leading zero in the date of a key',
      'decrypt',
      '{"record":{"Key":{"Created":01,"Key":"AA==","ParentKeyMeta":{"KeyId":"a","Created":1}},"Data":"AAAA"}}',
      400,
      'InvalidRequest',
    ],
    [
      'a leading zero in the date of a parent key',
      'decrypt',
      '{"record":{"Key":{"Created":1,"Key":"AA==","ParentKeyMeta":{"KeyId":"a","Created":01}},"Data":"AAAA"}}',
      400,
      'InvalidRequest',
    ],
    [
      'an unescaped line feed in a key ID',
      'decrypt',
      '{"record":{"Key":{"Created":1,"Key":"AA==","ParentKeyMeta":{"KeyId":"a\n","Created":1}},"Data":"AAAA"}}',
      400,
      'InvalidRequest',
    ],
    ['an unknown operation', 'toString', {}, 404, 'NotFound'],
    [
      'a plaintext that is too large',
      'encrypt',
      { plaintext: Buffer.alloc(1001).toString('base64') },
      413,
      'PayloadTooLarge',
    ],
    ['a body that is too large', 'encrypt', `{"plaintext":"${' '.repeat(80_000)}"}`, 413, 'PayloadTooLarge'],
  ] as const)('with %s gets the documented error (%s)', async ([, operation, body, status, code]) => {
    const world = new FakeDependencies();
    const answer = await openDoor({ world, config: { plaintextLimitBytes: 1000 } })(request(operation, body));
    expect(answer).toMatchObject({
      status,
      headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store' },
      body: { type: `urn:keyfold:error:${code}`, status, code, requestId: 'JKJaXmPLvHcESHA=' },
    });
    expect(answer.body['title']).toEqual(expect.any(String));
    expect(answer.body).not.toHaveProperty('retryAfterSeconds');
    expect(world.log.take()).toEqual([]);
  });

  it.for([
    ['escaped quotation marks', String.raw`\"`, 4],
    ['three-byte characters', '€', 3],
    ['escaped line breaks', '\n', 2],
  ] as const)('fails if %s make the response too large for Lambda', async ([, character, bytes]) => {
    const send = openDoor();
    const ask = (count: number): ReturnType<typeof send> => {
      const value = character === '\n' ? `[${character.repeat(count)}]` : `"${character.repeat(count)}"`;
      return send(request('encrypt-fields', `{"document":{"a":1,"b":${value}},"fields":["$.a"]}`));
    };
    const most = Math.floor(6_000_000 / bytes);
    expect((await ask(most - 500)).status).toBe(200);
    expect(await ask(most)).toMatchObject({ status: 413, body: { code: 'PayloadTooLarge' } });
  });

  it('may have a body as large as the plaintext limit requires, up to the size of a Lambda event', () => {
    expect(bodyLimitBytes('decrypt', 1_000_000)).toBe(1_333_336 + 65_536);
    expect(bodyLimitBytes('encrypt-batch', 1000)).toBe(6_291_456);
    expect(bodyLimitBytes('decrypt-fields', 1000)).toBe(6_291_456);
  });

  it('fails if its body is too large, as text or as base64', async () => {
    const limit = bodyLimitBytes('encrypt', 3);
    const send = openDoor({ config: { plaintextLimitBytes: 3 } });
    const ask = async (size: number, isBase64Encoded: boolean): Promise<unknown> => {
      const body = '{"plaintext":""}'.padEnd(size);
      const event = request('encrypt', isBase64Encoded ? Buffer.from(body).toString('base64') : body);
      const answer = await send({ ...event, isBase64Encoded });
      return answer.body['detail'] ?? answer.status;
    };
    const tooLarge = `The body is larger than ${limit} bytes.`;
    expect([await ask(limit, false), await ask(limit + 1, false)]).toEqual([200, tooLarge]);
    // The handler computes the size from the length of the base64 text. So it knows the size only to the next multiple
    // of three bytes.
    expect([await ask(limit, true), await ask(limit + 3, true)]).toEqual([200, tooLarge]);
  });

  it('succeeds with a plaintext of the maximum size', async () => {
    const body = { plaintext: Buffer.alloc(1000).toString('base64') };
    expect((await openDoor({ config: { plaintextLimitBytes: 1000 } })(request('encrypt', body))).status).toBe(200);
  });

  it('with an unreadable record gets no reason in the response, but the log has the reason', async () => {
    vi.restoreAllMocks();
    const output = captureOutput();
    const send = openDoor();
    const { body } = await send(request('encrypt', { plaintext: HELLO }));
    const answer = await send(request('decrypt', body, 'tenant-2'));
    expect(answer).toMatchObject({ status: 422, body: { code: 'RecordUnreadable' } });
    expect(JSON.stringify(answer.body)).not.toContain('not of this partition');
    expect(output.lines()).toContainEqual(
      expect.objectContaining({ code: 'RecordUnreadable', reasons: ['it names a key that is not of this partition'] }),
    );
  });

  it.for([
    ['/v1/nothing', 404, undefined],
    ['/v1/health', 405, 'GET, HEAD'],
    ['/v1/openapi.json', 405, 'GET, HEAD'],
    ['/v1/partitions/a/encrypt', 405, 'POST'],
    ['/v1/partitions/a/b/encrypt', 404, undefined],
    ['/v1/partitions/a/nothing', 404, undefined],
    ['/v1/partitions/a/constructor', 404, undefined],
    ['/v1/partitions/encrypt', 404, undefined],
    ['/live/v1/health', 405, 'GET, HEAD'],
    ['/live/v1/partitions/a/encrypt', 405, 'POST'],
    ['/other/v1/health', 404, undefined],
    ['/other/v1/partitions/a/encrypt', 404, undefined],
    ['/v1/health/', 404, undefined],
    ['//v1/health', 404, undefined],
    ['/V1/health', 404, undefined],
    ['/v1/openapi-json', 404, undefined],
  ] as const)('with the method PUT to %s gets status %i', async ([path, status, allow]) => {
    const event = request('encrypt', { plaintext: HELLO });
    event.routeKey = '$default';
    event.requestContext.stage = 'live';
    event.requestContext.http.method = 'PUT';
    event.rawPath = path;
    const answer = await openDoor()(event);
    expect(answer.status).toBe(status);
    expect(answer.headers['allow']).toBe(allow);
  });

  it.for(['OPTIONS', 'PUT', 'DELETE', 'PATCH', 'GET'])(
    'with the method %s to a custom domain with a base path gets status 405',
    async (method) => {
      const event = request('encrypt', '');
      event.routeKey = '$default';
      event.rawPath = '/keys/v2/v1/partitions/tenant-1/encrypt';
      event.requestContext.domainName = 'keyfold.example.com';
      event.requestContext.http.method = method;
      const answer = await openDoor()(event);
      expect([answer.status, answer.headers['allow']]).toEqual([405, 'POST']);
    },
  );

  it.for([
    ['KmsThrottled', 503],
    ['KmsUnavailable', 503],
    ['KmsMisconfigured', 500],
    ['KeyRowUnreadable', 500],
    ['MetastoreUnavailable', 503],
    ['KeyNotYetVisible', 503],
    ['DeadlineExceeded', 504],
  ] as const)('that fails with %s gets status %i, and Retry-After if a retry may help', async ([code, status]) => {
    const answer = await failingWith(new KeyfoldError(code, 'why'));
    expect(answer).toMatchObject({ status, body: { code, detail: 'why' } });
    const retryAfter = answer.body['retryAfterSeconds'];
    expect(answer.headers['retry-after']).toBe(retryAfter === undefined ? undefined : JSON.stringify(retryAfter));
    expect(retryAfter !== undefined).toBe(new KeyfoldError(code satisfies ErrorCode, '').retryable);
  });

  it.for([
    ['one second at least', 0, 1],
    ['three seconds on average', 0.5, 3],
    ['five seconds at most', 0.999, 5],
  ] as const)('that fails gets a random Retry-After of %s', ([, drawn, seconds]) => {
    vi.spyOn(Math, 'random').mockReturnValue(drawn);
    expect(problemResponse(new KeyfoldError('KmsThrottled', 'why'), 'r').headers?.['retry-after']).toBe(`${seconds}`);
  });

  it('for an invalid partition gets an error with the rule for partition names', async () => {
    const { body } = await openDoor()(request('encrypt', { plaintext: HELLO }, '..'));
    expect(body['detail']).toBe('Over HTTP a partition is 1 to 128 of A-Z a-z 0-9 . _ ~ @ -, and not . or .. itself.');
  });

  it('gets NotFound if its route has no parameters', async () => {
    const event = request('encrypt', { plaintext: HELLO });
    delete event.pathParameters;
    // API Gateway never sends this event, so the OpenAPI document does not describe it.
    event.rawPath = '/v1/health';
    expect(await openDoor()(event)).toMatchObject({ status: 404, body: { code: 'NotFound' } });
  });

  it.for([
    ['InvalidConfiguration', 500, 'Invalid configuration'],
    ['InvalidRequest', 400, 'Invalid request'],
    ['Unauthenticated', 401, 'Not authenticated'],
    ['Forbidden', 403, 'Forbidden'],
    ['NotFound', 404, 'Not found'],
    ['MethodNotAllowed', 405, 'Method not allowed'],
    ['UnsupportedMediaType', 415, 'Unsupported media type'],
    ['PayloadTooLarge', 413, 'Payload too large'],
    ['FieldNotFound', 422, 'Field not found'],
    ['ContextRequired', 422, 'Context required'],
    ['RecordUnreadable', 422, 'Record unreadable'],
    ['PartitionErased', 410, 'Partition erased'],
    ['KeyNotYetVisible', 503, 'Key not yet visible'],
    ['KmsThrottled', 503, 'KMS throttled'],
    ['KmsUnavailable', 503, 'KMS unavailable'],
    ['KmsMisconfigured', 500, 'KMS misconfigured'],
    ['KeyRowUnreadable', 500, 'Key row unreadable'],
    ['MetastoreUnavailable', 503, 'Metastore unavailable'],
    ['NotReady', 503, 'Not ready'],
    ['DeadlineExceeded', 504, 'Deadline exceeded'],
    ['Internal', 500, 'Internal error'],
  ] as const)('that fails with %s gets status %i and the title "%s"', ([code, status, title]) => {
    const { statusCode, headers, body } = problemResponse(new KeyfoldError(code, 'why'), 'r');
    expect(statusCode).toBe(status);
    expect(headers).toMatchObject({ 'content-type': 'application/problem+json', 'cache-control': 'no-store' });
    const type = `urn:keyfold:error:${code}`;
    expect(JSON.parse(body)).toMatchObject({ type, title, status, code, detail: 'why', requestId: 'r' });
  });

  it('that fails unexpectedly gets the code Internal, without the error text', async () => {
    vi.restoreAllMocks();
    const output = captureOutput();
    const answer = await failingWith(new TypeError('CANARY is not a function'));
    const detail = 'An internal error occurred. The log has its cause.';
    expect(answer).toMatchObject({ status: 500, body: { code: 'Internal', detail } });
    expect(JSON.stringify(answer)).not.toContain('CANARY');
    expect(output.text()).not.toContain('CANARY');
    expect(output.text()).toContain('TypeError at ');
  });

  it.for([
    [500, 530],
    [1, 31],
  ] as const)('fails with DeadlineExceeded %i ms before the end of the invocation', async ([margin, remainingMs]) => {
    const world = new FakeDependencies();
    world.metastore.interfere = () => new Promise(() => {});
    const send = openDoor({ world, config: { deadlineMarginMs: margin } });
    const answer = await send(request('encrypt', { plaintext: HELLO }), lambdaContext(remainingMs));
    expect(answer).toMatchObject({ status: 504, body: { code: 'DeadlineExceeded' } });
  });

  it("fails at API Gateway's time limit, even if the function has more time", async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const world = new FakeDependencies();
    world.metastore.interfere = () => new Promise(() => {});
    let answered = false;
    const answer = openDoor({ world })(request('encrypt', { plaintext: HELLO }), lambdaContext(900_000));
    void answer.then(() => (answered = true));
    await vi.advanceTimersByTimeAsync(27_499);
    expect(answered).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await answer).toMatchObject({ status: 504, body: { code: 'DeadlineExceeded' } });
    vi.useRealTimers();
  });
});
