/** Outages that the matrix cannot tell by region, and what an invocation's own deadline makes of one: over the wire. */
import { createServer, type Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../../local/dynamodb.ts';
import { close, listen } from '../../../emulators/listen.ts';
import type { Attempt, AwsKmsOptions } from '../../../src/index.ts';
import { NO_EVENTS } from '../../../src/kms/failover.ts';
import { outcomeOf, REQUESTS, type Request, type RequestName } from '../../support/requests.ts';
import { EAST, WEST, WireWorld } from '../../support/wire-world.ts';

const SLACK_MS = 5000;
const AFTERMATH_MS = 300;
/** Longer than any bound here: none is waited for. */
const LONG_MS = 20_000;
const FAILOVER = { maxRounds: 3, baseDelayMs: 5, longestDelayMs: 20 };
const COLD_REQUESTS = ['encrypt new SK', 'encrypt known SK', 'decrypt cold'] as const;

let dynamoDb: LocalDynamoDb;
let world: WireWorld;
let attempts: Attempt[];
let worlds = 0;

beforeAll(async () => {
  dynamoDb = await startDynamoDb('EncryptionKey', 0);
});
afterAll(() => dynamoDb.close());
beforeEach(async () => {
  worlds += 1;
  attempts = [];
  world = await WireWorld.start({ dynamoDb: dynamoDb.endpoint, service: `outage-${worlds}` });
});
afterEach(() => world.stop());

/** A request of a process whose KMS, and only its, is this. */
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

/** Each attempt's region and what was wrong with it, in order. */
const said = (): string[] => attempts.map(({ region, fault }) => `${region} ${fault?.errorName}`);

/** Three rounds in the order of preference, whatever is cooling down. */
const inThreeRounds = (errorName: string): string[] =>
  Array.from({ length: 3 }, () => [`${WEST} ${errorName}`, `${EAST} ${errorName}`]).flat();

describe('an endpoint', () => {
  let server: Server;
  let endpoint: string;

  beforeEach(async () => {
    // Answers the beginning of an answer, and no more.
    server = createServer((request, response) => {
      request.resume();
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1', 'content-length': '1000' });
      response.write('{"KeyId":');
    });
    endpoint = `http://127.0.0.1:${await listen(server, 0)}`;
  });
  afterEach(() => close(server));

  it.for(COLD_REQUESTS)(
    'that refuses the connection is an outage, to %s, and no time-out is waited for',
    async (name) => {
      await close(server);
      const request = await prepare(name, { endpoint });
      expect((await outcomeOf(request, SLACK_MS)).code).toBe('KmsUnavailable');
      expect(said()).toEqual(inThreeRounds('ECONNREFUSED'));
    },
  );

  it.for(COLD_REQUESTS)('that stalls in mid-answer is an outage, to %s, at the request time-out', async (name) => {
    const timeouts = { connectionTimeoutMs: LONG_MS, requestTimeoutMs: 100 };
    const request = await prepare(name, { endpoint, timeouts });
    expect((await outcomeOf(request, 6 * timeouts.requestTimeoutMs + SLACK_MS)).code).toBe('KmsUnavailable');
    expect(said()).toEqual(inThreeRounds('TimeoutError'));
  });
});

/** Long enough for the calls before the one that hangs, on a loaded machine too. */
const DEADLINE_MS = 1500;
const within = (ms: number): { deadlineAtMs: number } => ({ deadlineAtMs: Date.now() + ms });

describe("at the invocation's deadline", () => {
  it.for([
    ['the preferred region', [WEST]],
    ['every region', [WEST, EAST]],
  ] as const)('%s hanging means a clean error in time, and nothing runs on', async ([, regions]) => {
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
    // Both wait for one System Key, so one flight asks.
    expect(world.kmsCalls()).toBe('D/-');
    await sleep(AFTERMATH_MS);
    expect(world.kmsCalls()).toBe('D/-');
    world.kms.clearFaults();
    expect(await cold.session('p').decrypt(record)).toEqual(Buffer.from('x'));
  });

  it('no delay is begun that would outlast it: what the regions said is told at once', async () => {
    // However it is drawn, a delay of these is longer than there is time.
    const failover = { ...FAILOVER, baseDelayMs: 1e15, longestDelayMs: 1e15 };
    for (const region of [WEST, EAST]) world.setFault(region, { kind: 'down' });
    const cold = world.process({ failover });
    const { code } = await outcomeOf(() => cold.session('p').encrypt(Buffer.from('x'), within(LONG_MS)), SLACK_MS);
    expect(code).toBe('KmsUnavailable');
    expect(world.kmsCalls()).toBe('G/G');
  });
});
