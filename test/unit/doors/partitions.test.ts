import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openDirectDoor } from '../../support/direct-door.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { captureOutput } from '../../support/http-door.ts';
import { oddPartitions } from '../../support/odd-partitions.ts';
import { FakeQueues, openQueueDoor, OUTPUT, queueRecord } from '../../support/queue-door.ts';

const HELLO = 'aGVsbG8=';
/** The number of bytes that a partition may have: DynamoDB's limit of 2,048, minus `_IK_` and `_svc_prod`. */
const MAX_BYTES = 2048 - '_IK__svc_prod'.length;

const PARTITIONS = oddPartitions({ service: 'svc', product: 'prod' });

let output: ReturnType<typeof captureOutput>;
let world: FakeDependencies;

beforeEach(() => {
  output = captureOutput();
  world = new FakeDependencies();
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** The partitions in the audit lines so far. */
function audited(): unknown[] {
  return output
    .lines()
    .filter(({ message }) => message === 'audit')
    .map(({ partition, result }) => [partition, result]);
}

describe.for(PARTITIONS.map((partition) => [encodeURIComponent(partition).slice(0, 40), partition] as const))(
  'the partition %s',
  ([, partition]) => {
    it.for(['json', 'compact'] as const)(
      'works by direct invocation, with records in the format "%s"',
      async (format) => {
        const invoke = openDirectDoor({ world });
        const ask = async (event: object): Promise<Record<string, unknown>> => {
          const { payload, error } = await invoke({ partition, ...event });
          expect(error).toBeUndefined();
          return JSON.parse(payload ?? '') as Record<string, unknown>;
        };
        const { record } = await ask({
          operation: 'encrypt',
          plaintext: HELLO,
          ...(format === 'compact' && { format }),
        });
        expect(typeof record).toBe(format === 'compact' ? 'string' : 'object');
        expect(await ask({ operation: 'decrypt', record })).toEqual({ plaintext: HELLO });
        expect(await ask({ operation: 'rewrap', record })).toEqual({ record, rewrapped: false });
        const other = await invoke({ operation: 'decrypt', partition: 'tenant-1', record });
        expect(other.error).toMatchObject({ errorType: 'RecordUnreadable' });
        const ok = [partition, 'ok'];
        expect(audited().slice(0, 3)).toEqual([ok, ok, ok]);
      },
    );

    it('works in a queue, with results that SQS accepts', async () => {
      const queues = new FakeQueues();
      const operations = ['encrypt-fields', 'encrypt'] as const;
      const take = openQueueDoor({ world, queues, config: { serves: { operations } } });
      const fields = { partition, document: { a: 'secret' }, fields: ['$.a'] };
      const bytes = { partition, operation: 'encrypt', plaintext: HELLO };
      expect(await take([queueRecord('m1', fields), queueRecord('m2', bytes)])).toEqual([]);
      const bodies = queues.in(OUTPUT).map(({ body }) => body);
      for (const body of bodies)
        expect(body).toMatch(/^[\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]+$/u);
      const results = bodies.map((body) => JSON.parse(body) as Record<string, unknown>);
      const { document, record } = Object.assign({}, ...results) as Record<string, unknown>;
      const invoke = openDirectDoor({ world });
      const opened = await invoke({ operation: 'decrypt-fields', partition, document, all: true });
      expect(opened.payload).toBe('{"document":{"a":"secret"}}');
      expect((await invoke({ operation: 'decrypt', partition, record })).payload).toBe(`{"plaintext":"${HELLO}"}`);
    });
  },
);

describe('a partition name that Asherah cannot have written', () => {
  it.for([
    ['an empty name', '', 'The partition is empty.'],
    ['a lone surrogate', 'a\ud800', 'The partition is not well-formed Unicode.'],
    ['a name that is one byte too long', 'x'.repeat(MAX_BYTES + 1), 'The partition is too long'],
    ['a name that is one byte too long in UTF-8', 'é'.repeat((MAX_BYTES + 1) / 2), 'The partition is too long'],
  ] as const)('is refused before any key is read: %s', async ([, partition, why]) => {
    const { error } = await openDirectDoor({ world })({ operation: 'encrypt', partition, plaintext: HELLO });
    expect(error?.errorType).toBe('InvalidRequest');
    expect(error?.errorMessage).toContain(why);
    expect(world.log.take()).toEqual([]);
  });
});
