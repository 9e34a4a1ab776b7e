/**
 * Tests, over HTTP, KMS outages that are not in the fault matrix: endpoints that fail, and requests with a deadline.
 */
import { createServer, type Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../../local/dynamodb.ts';
import { close, listen } from '../../../emulators/listen.ts';
import type { Attempt, AwsKmsOptions } from '../../../src/index.ts';
import { NO_EVENTS } from '../../../src/kms/failover.ts';
import { outcomeOf, REQUESTS, type Request, type RequestName } from '../../support/requests.ts';
import { EAST, WEST, WireFixture } from '../../support/wire-fixture.ts';

const SLACK_MS = 5000;
const AFTERMATH_MS = 300;
/** This timeout is longer than any request in this file may take, so a test fails if a request waits for it. */
const LONG_MS = 20_000;
const FAILOVER = { maxRounds: 3, baseDelayMs: 5, longestDelayMs: 20 };
const COLD_REQUESTS = ['encrypt new SK', 'encrypt known SK', 'decrypt cold'] as const;

let dynamoDb: LocalDynamoDb;
let world: WireFixture;
let attempts: Attempt[];
let worlds = 0;

beforeAll(async () => {
  dynamoDb = await startDynamoDb('EncryptionKey', 0);
});
afterAll(() => dynamoDb.close());
beforeEach(async () => {
  worlds += 1;
  attempts = [];
  world = await WireFixture.start({ dynamoDb: dynamoDb.endpoint, service: `outage-${worlds}` });
});
afterEach(() => world.stop());

/** Prepares a request. Only the process that sends the request uses these AwsKms options. */
function prepare(name: RequestName, kms: Partial<AwsKmsOptions>): Promise<Request> {
  const events = { ...NO_EVENTS, attempted: (attempt: Attempt): unknown => attempts.push(attempt) };
  const timeouts = { connectionTimeoutMs: LONG_MS, requestTimeoutMs: LONG_MS };
  let processes = 0;
  return REQUESTS[name](() => {
    processes += 1;
    const isLast = processes === 2 || name === 'encrypt new SK';
    return world.process(isLast ? { failover: FAILOVER, timeouts, events, ...kms } : {});
  });
}

/** The region and the error name of each attempt, in order. */
const said = (): string[] => attempts.map(({ region, fault }) => `${region} ${fault?.errorName}`);

/** The attempts of three rounds that fail in both regions, in the order of preference. */
const inThreeRounds = (errorName: string): string[] =>
  Array.from({ length: 3 }, () => [`${WEST} ${errorName}`, `${EAST} ${errorName}`]).flat();

describe('a KMS endpoint that fails', () => {
  let server: Server;
  let endpoint: string;

  beforeEach(async () => {
    // Sends only the beginning of each response.
    server = createServer((request, response) => {
      request.resume();
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1', 'content-length': '1000' });
      response.write('{"KeyId":');
    });
    endpoint = `http://127.0.0.1:${await listen(server, 0)}`;
  });
  afterEach(() => close(server));

  it.for(COLD_REQUESTS)('causes KmsUnavailable at once if it refuses connections (%s)', async (name) => {
    await close(server);
    const request = await prepare(name, { endpoint });
    expect((await outcomeOf(request, SLACK_MS)).code).toBe('KmsUnavailable');
    expect(said()).toEqual(inThreeRounds('ECONNREFUSED'));
  });

  it.for(COLD_REQUESTS)(
    'causes KmsUnavailable after the request timeout if its responses stop in the middle (%s)',
    async (name) => {
      const timeouts = { connectionTimeoutMs: LONG_MS, requestTimeoutMs: 100 };
      const request = await prepare(name, { endpoint, timeouts });
      expect((await outcomeOf(request, 6 * timeouts.requestTimeoutMs + SLACK_MS)).code).toBe('KmsUnavailable');
      expect(said()).toEqual(inThreeRounds('TimeoutError'));
    },
  );
});

/** This deadline leaves enough time for all calls before the hanging one, even on a busy machine. */
const DEADLINE_MS = 1500;
const within = (ms: number): { deadlineAtMs: number } => ({ deadlineAtMs: Date.now() + ms });

describe('a request with a deadline', () => {
  it.for([
    ['the preferred region hangs', [WEST]],
    ['every region hangs', [WEST, EAST]],
  ] as const)('fails with DeadlineExceeded if %s, and makes no call afterwards', async ([, regions]) => {
    const timeouts = { connectionTimeoutMs: LONG_MS, requestTimeoutMs: LONG_MS };
    const record = await world.process().session('p').encrypt(Buffer.from('x'));
    for (const region of regions) world.setFault(region, { kind: 'hang' });
    const cold = world.process({ timeouts });
    world.kms.resetCalls();
    const requests = [
      () => cold.session('q').encrypt(Buffer.from('x'), within(DEADLINE_MS)),
      () =>
        cold
          .session('p')
          .decrypt(record, within(DEADLINE_MS))
          .then(() => record),
    ];
    for (const { code } of await Promise.all(requests.map((request) => outcomeOf(request, DEADLINE_MS + SLACK_MS)))) {
      expect(code).toBe('DeadlineExceeded');
    }
    // Both requests need the same System Key, so they share a call.
    expect(world.kmsCalls()).toBe('D/-');
    await sleep(AFTERMATH_MS);
    expect(world.kmsCalls()).toBe('D/-');
    world.kms.clearFaults();
    expect(await cold.session('p').decrypt(record)).toEqual(Buffer.from('x'));
  });

  it("fails at once with the regions' faults if the deadline is before the end of the next delay", async () => {
    // With these options, every random delay exceeds the remaining time.
    const failover = { ...FAILOVER, baseDelayMs: 2 ** 31 - 1, longestDelayMs: 2 ** 31 - 1 };
    for (const region of [WEST, EAST]) world.setFault(region, { kind: 'down' });
    const cold = world.process({ failover });
    const { code } = await outcomeOf(() => cold.session('p').encrypt(Buffer.from('x'), within(LONG_MS)), SLACK_MS);
    expect(code).toBe('KmsUnavailable');
    expect(world.kmsCalls()).toBe('G/G');
  });
});
