/**
 * Tests DynamoDB outages that are not in the fault matrix: a closed port, a deadline, and the rows that the table
 * contains after a response was lost.
 */
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../../local/dynamodb.ts';
import { close, listen } from '../../../emulators/listen.ts';
import { DynamoDbProxy } from '../../support/dynamodb-proxy.ts';
import type { SessionFactory } from '../../../src/index.ts';
import { mustOpen, outcomeOf, REQUESTS, type Request } from '../../support/requests.ts';
import { WEST, WireFixture } from '../../support/wire-fixture.ts';

const SLACK_MS = 5000;
/** This timeout is longer than any request in this file may take, so a test fails if a request waits for it. */
const LONG_MS = 20_000;
/** A little longer than the SDK's longest delay before a second attempt. */
const AFTERMATH_MS = 1300;
const THROTTLING = { kind: 'error', name: 'ThrottlingException', status: 400 } as const;

let dynamoDb: LocalDynamoDb;
let proxy: DynamoDbProxy;
let world: WireFixture;

beforeEach(async () => {
  dynamoDb = await startDynamoDb('EncryptionKey', 0);
  proxy = await DynamoDbProxy.start(dynamoDb.endpoint);
  world = await WireFixture.start({ dynamoDb: proxy.endpoint, dynamoDbTimeoutMs: LONG_MS, service: 'outage' });
});
afterEach(async () => {
  await world.stop();
  await proxy.stop();
  await dynamoDb.close();
});

function encryptWithin(process: SessionFactory, ms: number): Request {
  return () => process.session('p').encrypt(Buffer.from('payload'), { deadlineAtMs: Date.now() + ms });
}

/** The kinds of the rows in the table: `SK` and `IK`. */
async function rows(): Promise<string[]> {
  const client = new DynamoDBClient({ endpoint: dynamoDb.endpoint, region: WEST });
  const { Items = [] } = await client.send(new ScanCommand({ TableName: 'EncryptionKey' }));
  client.destroy();
  return Items.map(({ Id }) => Id?.S?.slice(1, 3) ?? '').toSorted();
}

it("a request ends with MetastoreUnavailable at once if DynamoDB's port is closed", async () => {
  const server = createServer();
  const endpoint = `http://127.0.0.1:${await listen(server, 0)}`;
  await close(server);
  const request = await REQUESTS['encrypt new SK'](() => world.process({}, endpoint));
  expect((await outcomeOf(request, SLACK_MS)).code).toBe('MetastoreUnavailable');
  expect(world.kmsCalls()).toBe('-/-');
});

describe('a request with a deadline', () => {
  it.for([
    ['hangs', { kind: 'hang' }],
    ['stalls in the middle of a response', { kind: 'stall' }],
    ['throttles', THROTTLING],
  ] as const)('fails with DeadlineExceeded if DynamoDB %s, and makes no call afterwards', async ([, fault]) => {
    const cold = world.process();
    proxy.faultOf = () => fault;
    // The SDK waits for up to 500 ms, and then for up to 1 s, before it repeats a throttled call. Both random delays
    // must not end within the deadline, so it is short.
    expect((await outcomeOf(encryptWithin(cold, 20), 20 + SLACK_MS)).code).toBe('DeadlineExceeded');
    // Allow at least one call, because on a busy machine the proxy may receive the first call only after the request
    // has failed.
    const calls = Math.max(1, proxy.calls.length);
    await sleep(AFTERMATH_MS);
    expect(proxy.calls.length).toBeLessThanOrEqual(calls);
  });
});

describe('a put whose response is lost', () => {
  it('leaves one System Key and one Intermediate Key', async () => {
    const seen = new Set<string>();
    proxy.faultOf = (call) => {
      if (!call.startsWith('Put') || seen.has(call)) return undefined;
      seen.add(call);
      return { kind: 'answer lost' };
    };
    const { code, record } = await outcomeOf(await REQUESTS['encrypt new SK'](() => world.process()), SLACK_MS);
    expect(code).toBe('ok');
    expect(await rows()).toEqual(['IK', 'SK']);
    expect(world.kmsCalls()).toBe('GD/E');
    if (record !== undefined) await mustOpen(world.process(), record);
  });

  it('leaves a row for the next request if the deadline allows no retry', async () => {
    const cold = world.process();
    proxy.faultOf = (call) => (call === 'Put SK' ? { kind: 'answer held back' } : undefined);
    expect((await outcomeOf(encryptWithin(cold, 400), 400 + SLACK_MS)).code).toBe('DeadlineExceeded');
    proxy.faultOf = () => undefined;
    await mustOpen(world.process(), await cold.session('p').encrypt(Buffer.from('payload')));
    expect(await rows()).toEqual(['IK', 'SK']);
  });
});
