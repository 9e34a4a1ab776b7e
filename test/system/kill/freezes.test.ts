/**
 * Freezes processes that use TLS, for many durations and also in the middle of work. These tests are slower than those
 * in test/integration/connections. OpenSSL makes the certificate.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Role } from '../../integration/connections/freeze-worker.ts';
import { allWell, FreezeFixture, idleAfter, ROLES } from '../../integration/connections/freeze-fixture.ts';
import type { FrozenProcess } from '../../integration/connections/frozen-process.ts';
import { Seeded } from '../../support/seeded.ts';

const FORGETTING = ['reset', 'silence'] as const;
const OPENSSL =
  'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1';

describe('freezing a process with TLS connections', () => {
  let folder: string;
  let world: FreezeFixture;
  let frozen: FrozenProcess | undefined;

  const start = async (role: Role): Promise<FrozenProcess> => {
    frozen = await world.process(role, { NODE_EXTRA_CA_CERTS: join(folder, 'cert.pem') });
    return frozen;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keyfold-tls-'));
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    execFileSync('openssl', [...OPENSSL.split(' '), '-keyout', key, '-out', cert], { stdio: 'ignore' });
    world = await FreezeFixture.start({ key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') });
  });
  afterEach(async () => {
    await frozen?.end();
    frozen = undefined;
  });
  afterAll(async () => {
    await world.stop();
    await rm(folder, { recursive: true });
  });

  it.for(ROLES)('never makes the process use an old connection or lose a request (role: %s)', async (role) => {
    const process = await start(role);
    const lateBefore = world.count('late');
    for (const forgetting of FORGETTING) {
      for (const requests of [1, 8, 60]) {
        do expect(await process.serve(requests)).toEqual(allWell(requests));
        while (world.mostOpen < idleAfter(role, requests));
        expect(await world.freezeAndServe(process, { ms: 300, forgetting, requests })).toEqual(allWell(requests));
      }
    }
    expect(world.count('late')).toBe(lateBefore);
    const openedBefore = world.count('opened');
    for (let i = 0; i < 20; i += 1) expect(await process.serve(1)).toEqual(['ok']);
    expect(world.count('opened') - openedBefore).toBeLessThan(7);
  });

  // The test omits roles that use the caller's own client, because that client waits on a dead connection until the
  // attempt times out.
  describe.for(ROLES.filter((role) => !role.includes('caller')))(
    'during a TLS handshake of the process (role: %s)',
    (role) => {
      it.for(['nothing', 'all but the last byte'] as const)(
        'makes the process open a new connection if %s of the response has arrived',
        async (released) => {
          const process = await start(role);
          for (const proxy of world.proxies) proxy.hold = /./s;
          const underWay = process.serve(8);
          while (world.count('held') === 0) await sleep(5);
          const thawed = process.freeze(300);
          for (const proxy of world.proxies) proxy.forget('silence', released);
          await thawed;
          expect(await underWay).toEqual(allWell(8));
        },
      );
    },
  );
});

// These tests mostly wait, so they run at the same time. Each test has its own servers.
describe.concurrent('freezing a process with plain HTTP connections', () => {
  it.for(ROLES)('for 0.1 to 11 seconds loses no request of the process (role: %s)', (role) =>
    withProcess(role, {}, async (process, world) => {
      for (const [ms, forgetting] of [
        [120, 'silence'],
        [150, 'reset'],
        [500, 'silence'],
        [1100, 'reset'],
        [2500, 'silence'],
        // This freeze is longer than the time for which a process keeps an idle connection open.
        [11_000, 'silence'],
      ] as const) {
        do expect(await process.serve(8)).toEqual(allWell(8));
        while (world.mostOpen < idleAfter(role, 8));
        expect(await world.freezeAndServe(process, { ms, forgetting, requests: 8 })).toEqual(allWell(8));
      }
      expect(world.count('late')).toBe(0);
    }),
  );

  // The test omits roles that use the caller's own client, because that client waits on a dead connection until the
  // attempt times out.
  it.for(ROLES.filter((role) => !role.includes('caller')))(
    'loses no request of the process, whenever the freeze begins (role: %s)',
    (role) =>
      withProcess(role, { RESETS_NEW_CONNECTIONS: 'true' }, async (process, world) => {
        const random = new Seeded(role.length);
        for (let i = 0; i < 20; i += 1) {
          const underWay = process.serve(60);
          await sleep(random.below(120));
          const thawed = process.freeze(150 + random.below(600));
          for (const proxy of world.proxies) proxy.forget(random.of(FORGETTING));
          await thawed;
          expect(await underWay).toEqual(allWell(60));
        }
      }),
  );
});

describe.for([
  ['api', 'a DynamoDB query', /Query/],
  ['api', 'a DynamoDB write', /PutItem/],
  ['queue', 'a DynamoDB read', /GetItem|Query/],
  ['queue', 'the sending of a batch to SQS', /SendMessageBatch/],
  ['direct', 'a Lambda invocation', /./],
  ['HTTP', 'an HTTP request', /./],
] as const)('a freeze of the %s process during %s', ([role, , hold]) => {
  it.for(['nothing', 'all but the last byte'] as const)(
    'makes the process repeat the request on a new connection if %s of the response has arrived',
    (released) =>
      // The result must come before SQS's request timeout of 5 s. Otherwise this timeout would end the dead attempt,
      // even without the freeze guard.
      withProcess(role, role === 'queue' ? { INVOCATION_MS: '5000' } : {}, async (process, world) => {
        await process.serve(1);
        for (const proxy of world.proxies) proxy.hold = hold;
        const underWay = process.serve(8);
        while (world.count('held') === 0) await sleep(5);
        const thawed = process.freeze(200);
        for (const proxy of world.proxies) proxy.forget('silence', released);
        await thawed;
        expect(await underWay).toEqual(allWell(8));
      }),
  );
});

// These freezes are longer than the request timeout of a call to KMS, which is 2 seconds.
it.concurrent.for([2500, 6000])(
  'a freeze of %i ms during a call to KMS does not count as a failure of the region',
  (ms) =>
    withProcess('KMS', {}, async (process, world) => {
      expect(await process.serve(1)).toEqual(['ok']);
      for (const proxy of world.proxies) proxy.hold = /./;
      const underWay = process.serve(1);
      while (world.count('held') === 0) await sleep(5);
      const thawed = process.freeze(ms);
      for (const proxy of world.proxies) proxy.forget('silence');
      await thawed;
      expect(await underWay).toEqual(['ok']);
    }),
);

/** Starts a process and its servers, and stops them after the test. */
async function withProcess(
  role: Role,
  settings: Readonly<Record<string, string>>,
  test: (process: FrozenProcess, world: FreezeFixture) => Promise<void>,
): Promise<void> {
  const world = await FreezeFixture.start();
  try {
    const process = await world.process(role, settings);
    try {
      await test(process, world);
    } finally {
      await process.end();
    }
  } finally {
    await world.stop();
  }
}
