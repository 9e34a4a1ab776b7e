/** Freezes a process, as Lambda does, while a proxy drops all its connections to a database, as networks do. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { allWell } from '../integration/connections/freeze-fixture.ts';
import { FrozenProcess } from '../integration/connections/frozen-process.ts';
import { ForgetfulProxy } from '../support/forgetful-proxy.ts';
import { KINDS } from '../support/sql-database.ts';
import { startDatabase } from './sql-database.ts';

const WORKER = join(import.meta.dirname, 'sql-freeze-worker.ts');

it.for(KINDS)('a metastore on %s does not wait for a connection that was opened before a freeze', async (kind) => {
  const database = await startDatabase(kind);
  await database.createTable();
  const proxy = await ForgetfulProxy.start(database.port);
  const frozen = await FrozenProcess.start(WORKER, kind, { PORT: String(proxy.port) });
  for (const forgetting of ['reset', 'silence'] as const) {
    for (const requests of [1, 8, 60]) {
      expect(await frozen.serve(requests)).toEqual(allWell(requests));
      const thawed = frozen.freeze(200);
      proxy.forget(forgetting);
      const [outcomes] = await Promise.all([frozen.serve(requests), thawed]);
      expect(outcomes).toEqual(allWell(requests));
    }
  }
  // A freeze in the middle of 60 queries. When it ends, the responses to the first ten are already there. The other
  // queries wait for a connection.
  proxy.hold = /_SK_service_product/;
  const underWay = frozen.serve(60);
  while (proxy.held < 10) await sleep(5);
  const thawed = frozen.freeze(200);
  proxy.forget('silence', 'all');
  await thawed;
  expect(await underWay).toEqual(allWell(60));
  const openedBefore = proxy.opened;
  for (let i = 0; i < 20; i += 1) expect(await frozen.serve(1)).toEqual(['ok']);
  // Allow a few new connections: on an overloaded machine, the metastore may take a pause of the process for a freeze.
  expect(proxy.opened - openedBefore).toBeLessThan(7);
  await frozen.end();
  await proxy.stop();
  await database.stop();
});
