import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openDirectDoor } from '../../support/direct-door.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { captureOutput } from '../../support/http-door.ts';
import { DEAD_LETTERS, FakeQueues, openQueueDoor, OUTPUT, queueRecord } from '../../support/queue-door.ts';

beforeEach(() => void captureOutput());
afterEach(() => vi.restoreAllMocks());

describe('a function for direct invocation', () => {
  it.for([
    ['a context', { operation: 'encrypt', plaintext: '', context: { 'a\nb': '1' } }],
    ['the middle of a context', { operation: 'encrypt', plaintext: '', context: { id: '1', 'a\nb': '1', z: '1' } }],
    ['the context of an item', { operation: 'encrypt-batch', items: [{ plaintext: '', context: { 'a"b': '1' } }] }],
    [
      'contextFrom',
      { operation: 'encrypt-fields', documentText: '{"a":1}', fields: ['$.a'], contextFrom: { '\\': '$.a' } },
    ],
  ] as const)('refuses a name in %s if JSON must escape the name', async ([, event]) => {
    const world = new FakeDependencies();
    const { error } = await openDirectDoor({ world })({ partition: 'p', ...event });
    expect(error).toMatchObject({
      errorType: 'InvalidRequest',
      errorMessage: expect.stringContaining('a name that Lambda may not have passed on exactly') as string,
    });
    expect(world.log.take()).toEqual([]);
  });

  it.for([
    ['null', null],
    ['a list', ['a']],
    ['a string', 'users'],
  ] as const)('refuses %s as a context', async ([, context]) => {
    const event = { operation: 'encrypt', partition: 'p', plaintext: '', context };
    expect((await openDirectDoor()(event)).error).toMatchObject({
      errorType: 'InvalidRequest',
      errorMessage: 'context must be an object whose values are strings.',
    });
  });

  it('accepts names in a context that need no escape in JSON, and any values', async () => {
    const world = new FakeDependencies();
    const invoke = openDirectDoor({ world });
    const context = { 'é 𝄞': 'a\n"\\', __proto: '' };
    const sealed = await invoke({ operation: 'encrypt', partition: 'p', plaintext: 'aGk=', context });
    const { record } = JSON.parse(sealed.payload ?? '{}') as { record: unknown };
    const opened = await invoke({ operation: 'decrypt', partition: 'p', record, context });
    expect(opened.payload).toBe('{"plaintext":"aGk="}');
  });
});

describe('a function for a queue', () => {
  const MESSAGE = { partition: 'p', fields: ['$.card'], document: { id: 7, card: '4111' } };

  it("binds a message's fields to the context in the message", async () => {
    const world = new FakeDependencies();
    const queues = new FakeQueues();
    const binding = { context: { table: 'orders' }, contextFrom: { id: '$.id' } };
    const body = JSON.stringify({ ...MESSAGE, ...binding });
    expect(await openQueueDoor({ world, queues })([queueRecord('m', body)])).toEqual([]);
    const { document } = JSON.parse(queues.in(OUTPUT)[0]?.body ?? '{}') as { document: { card: string } };
    expect(document.card).toMatch(/^kf2j\./);
    const invoke = openDirectDoor({ world });
    const opening = { operation: 'decrypt-fields', partition: 'p', document, all: true };
    expect((await invoke({ ...opening, ...binding })).payload).toBe('{"document":{"id":7,"card":"4111"}}');
    expect((await invoke(opening)).error?.errorType).toBe('ContextRequired');
  });

  it('sends a message without a context to the dead-letter queue if the settings require a context', async () => {
    const world = new FakeDependencies();
    const queues = new FakeQueues();
    const keyfold = world.process({ requireContext: 'seal' });
    vi.spyOn(world, 'process').mockReturnValue(keyfold);
    const body = JSON.stringify(MESSAGE);
    expect(await openQueueDoor({ world, queues })([queueRecord('m', body)])).toEqual([]);
    const [letter] = queues.in(DEAD_LETTERS);
    expect(letter).toMatchObject({
      body,
      attributes: { 'keyfold-error-code': { StringValue: 'ContextRequired' } },
    });
    expect(queues.in(OUTPUT)).toEqual([]);
    expect(world.log.take()).toEqual([]);
  });
});
