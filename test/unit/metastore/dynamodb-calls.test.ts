import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterEach, expect, it, vi } from 'vitest';
import { DynamoDbMetastore } from '../../../src/index.ts';
import { DynamoDbKeyTable } from '../../../src/metastore/dynamodb-key-table.ts';
import type { MetastoreEvents } from '../../../src/metastore/dynamodb-metastore.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { errorOf, noDeadline } from '../../support/fakes.ts';

const { id, created } = keyRecord('_SK_x', 60);

afterEach(() => vi.restoreAllMocks());

it('the DynamoDB client makes at most 50 calls at a time, because the SDK has 50 connections', async () => {
  let running = 0;
  let mostRunning = 0;
  const send = vi.spyOn(DynamoDBClient.prototype, 'send').mockImplementation((async () => {
    running += 1;
    mostRunning = Math.max(mostRunning, running);
    await new Promise(setImmediate);
    running -= 1;
    return {};
  }) as never);
  const metastore = new DynamoDbMetastore({ region: 'us-west-2' });
  await Promise.all(Array.from({ length: 500 }, () => metastore.load(id, created, noDeadline())));
  expect(send).toHaveBeenCalledTimes(500);
  expect(mostRunning).toBe(50);
});

/**
 * Starts 50 calls, the most that may run at a time, and withholds their responses until `release` is called. Until
 * then, every other call must wait.
 */
function busyMetastore(events?: MetastoreEvents): {
  metastore: DynamoDbMetastore;
  release: () => void;
  calls: Promise<unknown>[];
} {
  const answer = Promise.withResolvers<object>();
  vi.spyOn(DynamoDBClient.prototype, 'send').mockReturnValue(answer.promise as never);
  const metastore = new DynamoDbMetastore({ region: 'us-west-2', ...(events && { events }) });
  const calls = Array.from({ length: 50 }, () => metastore.load(id, created, noDeadline()));
  return { metastore, release: () => answer.resolve({}), calls };
}

it('the DynamoDB client ends a waiting call as soon as its signal aborts', async () => {
  const { metastore, release, calls } = busyMetastore();
  const controller = new AbortController();
  const waiting = errorOf(metastore.load(id, created, { atMs: 0, signal: controller.signal }));
  const reason = new Error('time is up');
  controller.abort(reason);
  expect(await waiting).toBe(reason);
  release();
  await Promise.all(calls);
});

it("the DynamoDB client measures a call's latency from the time at which it sends the call", async () => {
  let nowMs = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
  const latenciesMs: number[] = [];
  const { metastore, release, calls } = busyMetastore({
    metastoreCalled: (_, latencyMs) => latenciesMs.push(latencyMs),
  });
  calls.push(metastore.load(id, created, noDeadline()));
  nowMs += 70;
  release();
  await Promise.all(calls);
  expect(latenciesMs).toEqual([...Array<number>(50).fill(70), 0]);
});

it('DynamoDbKeyTable makes no call for an ID that no row can have', async () => {
  const send = vi.spyOn(DynamoDBClient.prototype, 'send').mockRejectedValue(new Error('sent'));
  const table = new DynamoDbKeyTable({ region: 'us-west-2' });
  for (const impossible of ['', 'a'.repeat(2049), 'a\ud800']) {
    expect(await table.list(impossible)).toEqual([]);
    expect(await table.find(impossible, 60)).toBeUndefined();
    expect(await table.find(impossible, 'latest')).toBeUndefined();
  }
  expect(send).not.toHaveBeenCalled();
});
