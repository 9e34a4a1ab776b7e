/** Freezes a process, as Lambda does, while proxies drop all its connections, as networks do. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Role } from './freeze-worker.ts';
import { allWell, FreezeFixture, idleAfter, ROLES } from './freeze-fixture.ts';
import type { FrozenProcess } from './frozen-process.ts';

let world: FreezeFixture;
let frozen: FrozenProcess | undefined;

beforeAll(async () => {
  world = await FreezeFixture.start();
});
afterEach(async () => {
  await frozen?.end();
  frozen = undefined;
});
afterAll(() => world.stop());

async function start(role: Role, settings: Readonly<Record<string, string>> = {}): Promise<FrozenProcess> {
  frozen = await world.process(role, settings);
  return frozen;
}

/** Waits until the proxies together hold back this number of responses. */
async function held(answers: number): Promise<void> {
  while (world.count('held') < answers) await sleep(5);
}

describe.for(ROLES)('a process with the role %s', (role) => {
  it('uses no connection from before a freeze, and loses no request', async () => {
    const process = await start(role);
    const lateBefore = world.count('late');
    for (const requests of [1, 8, 60]) {
      for (const forgetting of ['reset', 'silence'] as const) {
        // Repeat the requests until enough connections stay open. On an overloaded machine, the freeze guard may take a
        // delay for a freeze, and close all connections.
        do expect(await process.serve(requests)).toEqual(allWell(requests));
        while (world.mostOpen < idleAfter(role, requests));
        expect(await world.freezeAndServe(process, { ms: 200, forgetting, requests })).toEqual(allWell(requests));
      }
    }
    expect(world.count('late')).toBe(lateBefore);
  });

  it('keeps its connections between requests', async () => {
    const process = await start(role);
    await process.serve(1);
    const openedBefore = world.count('opened');
    const requests = 20;
    for (let i = 0; i < requests; i += 1) expect(await process.serve(1)).toEqual(['ok']);
    // Allow some new connections. On an overloaded machine, the freeze guard may take a delay for a freeze, and replace
    // a connection.
    expect(world.count('opened') - openedBefore).toBeLessThan(requests / 3);
  });

  it('loses at most one request per connection pool if connections are reset without a freeze', async () => {
    const process = await start(role);
    await process.serve(8);
    for (const proxy of world.proxies) proxy.forget('reset');
    const lateBefore = world.count('late');
    for (let i = 0; i < 8; i += 1) expect(await process.serve(1)).toEqual(['ok']);
    // Allow two late requests, because the queue role may lose one request that it sent to DynamoDB, and one that it
    // sent to SQS.
    expect(world.count('late') - lateBefore).toBeLessThanOrEqual(2);
  });
});

describe.for([
  ['api', 'a DynamoDB query', /Query/],
  ['api', 'a DynamoDB write', /PutItem/],
  ['queue', 'a DynamoDB read', /GetItem|Query/],
  ['queue', 'the sending of a batch to SQS', /SendMessageBatch/],
  ['direct', 'a Lambda invocation', /./],
  ['HTTP', 'an HTTP request', /./],
] as const)('a freeze of the %s process during %s', ([role, , hold]) => {
  it.for([
    ['no part', false],
    ['all but the last byte', true],
  ] as const)(
    'makes the process repeat the request on a new connection if %s of the response has arrived',
    async ([, isTruncating]) => {
      // The result must come before SQS's request timeout of 5 s. Otherwise this timeout would end the dead attempt,
      // even without the freeze guard.
      const process = await start(role, role === 'queue' ? { INVOCATION_MS: '5000' } : {});
      await process.serve(1);
      for (const proxy of world.proxies) proxy.hold = hold;
      const underWay = process.serve(8);
      await held(1);
      const thawed = process.freeze(200);
      for (const proxy of world.proxies) proxy.forget('silence', isTruncating);
      await thawed;
      expect(await underWay).toEqual(allWell(8));
    },
  );
});
