/** Generates clients from the OpenAPI document, and tests them against the local API. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startLocalProcess, stopLocalProcess, type LocalProcess } from '../support/local-process.ts';
import { clientFolder, GENERATED_CLIENTS } from './generated-clients.ts';

let world: LocalProcess;

beforeAll(async () => {
  world = await startLocalProcess();
});
afterAll(() => stopLocalProcess(world));

it.for(GENERATED_CLIENTS)(
  '$generator makes a client that compiles, calls the API and has typed errors',
  async (client) => {
    const folder = await clientFolder(client);
    await client.generate(folder);
    await client.compile(folder);
    expect(await client.report(folder, world.url)).toEqual({
      decrypted: 'aGVsbG8=',
      compact: true,
      rewrapped: false,
      batch: ['record', 'InvalidRequest'],
      opened: ['aGVsbG8='],
      rewrappedBatch: [false],
      clear: { id: 7, card: '4111' },
      clearText: '{"id":7,"card":"4111"}',
      failures: [
        [400, 'InvalidRequest'],
        [422, 'RecordUnreadable'],
        [422, 'FieldNotFound'],
        [400, 'InvalidRequest'],
      ],
      metastore: 'ok',
    });
  },
);
