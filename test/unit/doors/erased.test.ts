/** Tests that every door returns `PartitionErased` for a partition whose keys are marked. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { openDirectDoor } from '../../support/direct-door.ts';
import { erasureOf } from '../../support/erasure-tables.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { captureOutput, openDoor, request } from '../../support/http-door.ts';
import { DEAD_LETTERS, FakeQueues, openQueueDoor, OUTPUT, queueRecord } from '../../support/queue-door.ts';

const PLAINTEXT = { plaintext: 'aGVsbG8=' };

let world: FakeDependencies;
let record: unknown;
let document: unknown;
let output: ReturnType<typeof captureOutput>;

beforeEach(async () => {
  output = captureOutput();
  world = new FakeDependencies();
  const send = openDoor({ world });
  ({ record } = (await send(request('encrypt', PLAINTEXT))).body);
  ({ document } = (await send(request('encrypt-fields', { document: { card: 1 }, fields: ['$.card'] }))).body);
  const erasure = erasureOf(world.metastore.rows, world.clock.now, 'tenant-1');
  await erasure.begin(await erasure.read(), 86_400);
});
afterEach(() => vi.restoreAllMocks());

const bodies = (): Record<string, object> => ({
  encrypt: PLAINTEXT,
  decrypt: { record },
  rewrap: { record },
  'encrypt-fields': { document: { card: 1 }, fields: ['$.card'] },
  'decrypt-fields': { document, all: true },
});

it('an erased partition makes HTTP requests fail with status 410 and without Retry-After', async () => {
  for (const [operation, body] of Object.entries(bodies())) {
    const { status, headers, body: problem } = await openDoor({ world })(request(operation, body));
    expect([operation, status, problem['code']]).toEqual([operation, 410, 'PartitionErased']);
    expect(headers).not.toHaveProperty('retry-after');
  }
  expect(output.lines()).toContainEqual(expect.objectContaining({ code: 'PartitionErased', RequestErrors: 1 }));
  const audit = output.lines().filter(({ message }) => message === 'audit');
  expect(audit.at(-1)).toMatchObject({ result: 'PartitionErased', partition: 'tenant-1' });
});

it('an erased partition makes each item of a batch fail', async () => {
  const { status, body } = await openDoor({ world })(request('decrypt-batch', { items: [{ record }, { record }] }));
  const failed = { error: expect.objectContaining({ code: 'PartitionErased' }) as unknown };
  expect([status, body]).toEqual([200, { results: [failed, failed] }]);
});

it('an erased partition makes direct invocations fail with the error type PartitionErased', async () => {
  for (const [operation, body] of Object.entries(bodies())) {
    const { error } = await openDirectDoor({ world })({ operation, partition: 'tenant-1', ...body });
    expect([operation, error?.errorType]).toEqual([operation, 'PartitionErased']);
  }
});

it('an erased partition makes the queue function send the message to the dead-letter queue', async () => {
  const queues = new FakeQueues();
  const body = JSON.stringify({ partition: 'tenant-1', document: { card: 1 }, fields: ['$.card'] });
  expect(await openQueueDoor({ world, queues })([queueRecord('m', body)])).toEqual([]);
  expect(queues.in(OUTPUT)).toEqual([]);
  expect(queues.in(DEAD_LETTERS)).toMatchObject([
    { attributes: { 'keyfold-error-code': { StringValue: 'PartitionErased' } } },
  ]);
});
