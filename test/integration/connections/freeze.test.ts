/** Freezes a process, as Lambda does, while proxies drop all its connections, as networks do. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allWell, FreezeFixture, idleAfter, ROLES } from './freeze-fixture.ts';
import type { FrozenProcess } from './frozen-process.ts';

let world: FreezeFixture;
let frozen: FrozenProcess;

beforeAll(async () => {
  world = await FreezeFixture.start();
});
afterAll(() => world.stop());

describe.for(ROLES)('a process with the role %s', (role) => {
  beforeAll(async () => {
    frozen = await world.process(role, {});
  });
  afterAll(() => frozen.end());

  it('does not reuse connections that it opened before a freeze, and loses no request', async () => {
    const lateBefore = world.count('late');
    // test/system/kill/freezes.test.ts has more numbers of requests and durations, and freezes during a request.
    for (const [requests, forgetting] of [
      [1, 'reset'],
      [60, 'silence'],
    ] as const) {
      // Repeat the requests until enough connections stay open. On an overloaded machine, the freeze guard may take a
      // delay for a freeze, and close all connections.
      do expect(await frozen.serve(requests)).toEqual(allWell(requests));
      while (world.mostOpen < idleAfter(role, requests));
      expect(await world.freezeAndServe(frozen, { ms: 200, forgetting, requests })).toEqual(allWell(requests));
    }
    expect(world.count('late')).toBe(lateBefore);
  });

  it('keeps its connections between requests', async () => {
    await frozen.serve(1);
    const openedBefore = world.count('opened');
    const requests = 20;
    for (let i = 0; i < requests; i += 1) expect(await frozen.serve(1)).toEqual(['ok']);
    // Allow some new connections. On an overloaded machine, the freeze guard may take a delay for a freeze, and replace
    // a connection.
    expect(world.count('opened') - openedBefore).toBeLessThan(requests / 3);
  });

  it('loses at most one request per connection pool if connections are reset without a freeze', async () => {
    await frozen.serve(8);
    for (const proxy of world.proxies) proxy.forget('reset');
    const lateBefore = world.count('late');
    for (let i = 0; i < 8; i += 1) expect(await frozen.serve(1)).toEqual(['ok']);
    // Allow two late requests, because the queue role may lose one request that it sent to DynamoDB, and one that it
    // sent to SQS.
    expect(world.count('late') - lateBefore).toBeLessThanOrEqual(2);
  });
});
