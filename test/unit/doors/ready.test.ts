import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { KeyfoldError } from '../../../src/index.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { captureOutput, lambdaContext, openDoor, request, sampleEvent } from '../../support/http-door.ts';

const READY = ['Query SK', 'Unwrap'];

let world: FakeDependencies;
let output: ReturnType<typeof captureOutput>;

beforeEach(async () => {
  output = captureOutput();
  world = new FakeDependencies();
  await openDoor({ world })(request('encrypt', { plaintext: 'aGVsbG8=' }));
  world.log.take();
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe('GET /v1/ready', () => {
  it.for(['api-ready-iam', 'rest-ready-iam'])('returns 200 after unwrapping the System Key (%s)', async (sample) => {
    const { status, body } = await openDoor({ world })(sampleEvent(sample));
    expect([status, body]).toEqual([200, { ready: true }]);
    expect(world.log.take()).toEqual(READY);
    expect(world.kms.plaintexts).not.toEqual([]);
    for (const bytes of world.kms.plaintexts) expect(Buffer.from(bytes)).toEqual(Buffer.alloc(bytes.length));
  });

  it('unwraps the System Key even if it is cached', async () => {
    const send = openDoor({ world });
    await send(request('encrypt', { plaintext: 'aGVsbG8=' }));
    world.log.take();
    expect((await send(sampleEvent('api-ready-iam'))).status).toBe(200);
    expect(world.log.take()).toEqual(READY);
  });

  it('checks at most once in five seconds, even for concurrent requests', async () => {
    const send = openDoor({ world });
    const event = sampleEvent('api-ready-iam');
    const statuses = await Promise.all(Array.from({ length: 20 }, async () => (await send(event)).status));
    expect(new Set(statuses)).toEqual(new Set([200]));
    world.clock.advance(4999);
    expect((await send(event)).status).toBe(200);
    expect(world.log.take()).toEqual(READY);
    world.clock.advance(1);
    expect((await send(event)).status).toBe(200);
    expect(world.log.take()).toEqual(READY);
    world.clock.advance(-60_000);
    expect((await send(event)).status).toBe(200);
    expect(world.log.take()).toEqual(READY);
  });

  it('returns a failure for five seconds before it checks again', async () => {
    const send = openDoor({ world });
    const event = sampleEvent('api-ready-iam');
    world.kms.interfere = () => {
      throw new KeyfoldError('KmsUnavailable', 'No region answered.');
    };
    for (const _ of [1, 2]) expect((await send(event)).status).toBe(503);
    expect(world.log.take()).toEqual(READY);
    world.kms.interfere = () => {};
    world.clock.advance(5000);
    expect((await send(event)).status).toBe(200);
  });

  it.for([
    ['KmsUnavailable', 'Unwrap'],
    ['KmsThrottled', 'Unwrap'],
    ['KmsMisconfigured', 'Unwrap'],
    ['MetastoreUnavailable', 'Query SK'],
    ['KeyRowUnreadable', 'Query SK'],
  ] as const)('returns 503 and NotReady for the error %s of the call %s, and logs the reason', async ([code, at]) => {
    const fail = (call: string): void => {
      // If the latest row cannot be read, Keyfold reads the rows that are not dated ahead. That read must fail, too.
      const isAt = call === at || (code === 'KeyRowUnreadable' && call === 'Recent SK');
      if (isAt) throw new KeyfoldError(code, 'Why it failed.');
    };
    world.kms.interfere = fail;
    world.metastore.interfere = fail;
    const { status, headers, body } = await openDoor({ world })(sampleEvent('api-ready-iam'));
    expect([status, body['code'], headers['content-type']]).toEqual([503, 'NotReady', 'application/problem+json']);
    expect(body['detail']).toBe(`Keyfold cannot serve requests now: ${code}. Why it failed.`);
    expect(headers['retry-after']).toBe(String(body['retryAfterSeconds']));
    expect(output.lines()).toContainEqual(
      expect.objectContaining({ message: 'request failed', code: 'NotReady', reasons: ['Why it failed.'] }),
    );
  });

  it('returns 503 and no internal text if the check fails unexpectedly', async () => {
    world.kms.interfere = () => {
      throw new TypeError('CANARY');
    };
    const { status, body } = await openDoor({ world })(sampleEvent('api-ready-iam'));
    expect([status, body['code']]).toEqual([503, 'NotReady']);
    expect(JSON.stringify(body) + output.text()).not.toContain('CANARY');
  });

  it("returns 503 if the System Key's row was changed, or if there is no System Key", async () => {
    const [row] = world.metastore.ofKind('SK');
    if (row === undefined) throw new Error('the service has no System Key');
    world.metastore.change(row, { encryptedKey: Buffer.alloc(60) });
    expect((await openDoor({ world })(sampleEvent('api-ready-iam'))).body['detail']).toContain('KeyRowUnreadable');
    world.metastore.remove(row);
    expect((await openDoor({ world })(sampleEvent('api-ready-iam'))).body['detail']).toContain('no System Key yet');
    expect(world.log.take()).not.toContain('Put SK');
  });

  it('ends its calls after five seconds, or earlier if the invocation has less time left', async () => {
    const lefts: number[] = [];
    world.metastore.interfere = (_call, { atMs }) => void lefts.push(atMs - world.clock.now());
    for (const remainingMs of [30_000, 3000]) {
      await openDoor({ world })(sampleEvent('api-ready-iam'), lambdaContext(remainingMs));
    }
    expect(lefts).toEqual([5000, 2500]);
  });

  it('returns 503 if the table does not respond before the invocation ends', async () => {
    world.metastore.interfere = () => new Promise(() => {});
    const { status, body } = await openDoor({ world })(sampleEvent('api-ready-iam'), lambdaContext(530));
    expect([status, body['code']]).toEqual([503, 'NotReady']);
    expect(body['detail']).toContain('DeadlineExceeded');
  });

  it('requires authorization, like GET /v1/health', async () => {
    const event = sampleEvent('api-ready-iam');
    delete event.requestContext.authorizer;
    expect((await openDoor({ world })(event)).status).toBe(401);
    expect(world.log.take()).toEqual([]);
  });

  it('responds to HEAD too, but to no other method', async () => {
    const event = sampleEvent('api-ready-iam');
    event.requestContext.http.method = 'HEAD';
    const head = await openDoor({ world })(event);
    expect([head.status, head.body]).toEqual([200, undefined]);
    event.routeKey = '$default';
    event.requestContext.http.method = 'POST';
    const post = await openDoor({ world })(event);
    expect([post.status, post.headers['allow']]).toEqual([405, 'GET, HEAD']);
  });
});
