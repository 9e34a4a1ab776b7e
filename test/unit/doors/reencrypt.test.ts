import { readFileSync } from 'node:fs';
import { afterEach, expect, it, vi } from 'vitest';
import type { ReencryptEvent } from '../../../src/config/reencrypt-event.ts';
import { reencryptDoor, type ReencryptAnswer } from '../../../src/doors/reencrypt.ts';
import { createTelemetry } from '../../../src/doors/telemetry.ts';
import { encodeCompactRecord } from '../../../src/index.ts';
import type { Cells, Position, Row, RowSource } from '../../../src/maintenance/reencryption/rows.ts';
import { KeyNaming } from '../../../src/records/ids.ts';
import { errorOf, memoryService } from '../../support/fakes.ts';
import { captureOutput, lambdaContext } from '../../support/http-door.ts';

const event = JSON.parse(
  readFileSync(new URL('../../../events/reencrypt-segment.json', import.meta.url), 'utf8'),
) as object;
const NAMES = { service: 'svc', product: 'prod' };

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Pages of one row each. The position is the number of the next page. */
class PagedRows implements RowSource {
  readonly written = new Map<string, Cells>();
  readonly #texts: readonly string[];
  readonly #whenRead: () => void;
  #next = 0;

  constructor(texts: readonly string[], whenRead: () => void = () => {}) {
    this.#texts = texts;
    this.#whenRead = whenRead;
  }

  /** The number of pages that were read. */
  get read(): number {
    return this.#next;
  }

  async *pages(from: Position | undefined): AsyncGenerator<Row[]> {
    const first = (from?.['next'] as number | undefined) ?? 0;
    for (const [i, text] of this.#texts.entries()) {
      if (i < first) continue;
      this.#next = i + 1;
      this.#whenRead();
      const cells = new Map([['card', { kind: 'text', text } as const]]);
      yield [{ id: String(i), cells, partition: undefined, context: undefined }];
    }
  }

  async replace(row: Row, cells: Cells): Promise<'written'> {
    this.written.set(row.id, cells);
    return 'written';
  }

  async reread(row: Row): Promise<Row> {
    return row;
  }

  async position(): Promise<Position> {
    return { next: this.#next };
  }
}

it('a worker continues where the previous worker ran out of time', async () => {
  const keyfold = memoryService(NAMES);
  const record = await keyfold.session('tenant-1').encrypt(Buffer.from('x'));
  const source = new PagedRows([encodeCompactRecord(record, 'bytes') ?? '', 'no record', '']);
  const quarantined: object[] = [];
  let nowMs = 0;
  const handler = reencryptDoor({
    keyfold,
    naming: new KeyNaming(NAMES),
    telemetry: createTelemetry('svc'),
    openRows: () => source,
    openQuarantine:
      ({ run }) =>
      async (row) =>
        void quarantined.push({ run, ...row }),
    // Each time a worker reads the clock, the clock advances by more than an invocation's time limit. So each worker
    // processes only one page.
    now: () => (nowMs += 20_000),
  });
  const answers: ReencryptAnswer[] = [];
  let next: object = event;
  do {
    const answer = await handler(next, lambdaContext(10_000));
    answers.push(answer);
    next = answer;
  } while (answers.at(-1)?.done === false);
  expect(answers.map(({ done, position }) => [done, position])).toEqual([
    [false, { next: 1 }],
    [false, { next: 2 }],
    [false, { next: 3 }],
    [true, undefined],
  ]);
  const counts = { written: 0, unchanged: 1, quarantined: 2, skipped: 0, malformed: 2 };
  expect(answers.at(-1)).toEqual({ ...event, form: 'compact', plaintext: 'text', counts, done: true });
  const { run } = event as { run: string };
  expect(quarantined).toEqual([
    { run, row: '1', code: 'InvalidRequest' },
    { run, row: '2', code: 'InvalidRequest' },
  ]);
});

function workerOn(source: RowSource): ReturnType<typeof reencryptDoor> {
  return reencryptDoor({
    keyfold: memoryService(NAMES),
    naming: new KeyNaming(NAMES),
    telemetry: createTelemetry('svc'),
    openRows: () => source,
    openQuarantine: () => async () => {},
    now: Date.now,
  });
}

it.for([
  ['forward', 3_600_000],
  ['back', -3_600_000],
] as const)('a worker stops in time even if the clock jumps %s by an hour', async ([, stepMs]) => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'] });
  const pages = Array.from({ length: 20 }, () => '');
  const source = new PagedRows(pages, () => {
    if (source.read === 3) vi.setSystemTime(Date.now() + stepMs);
    vi.advanceTimersByTime(1000);
  });
  const { done } = await workerOn(source)(event, lambdaContext(10_000));
  expect([done, source.read]).toEqual([false, 5]);
});

it('a worker works until two minutes before the end of its invocation', async () => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'] });
  const pages = Array.from({ length: 20 }, () => '');
  const source = new PagedRows(pages, () => void vi.advanceTimersByTime(100_000));
  await workerOn(source)(event, lambdaContext(900_000));
  expect(source.read).toBe(8);
});

it('a worker can process a whole table as its only segment', async () => {
  const opened: unknown[] = [];
  const handler = reencryptDoor({
    keyfold: memoryService(NAMES),
    naming: new KeyNaming(NAMES),
    telemetry: createTelemetry('svc'),
    openRows: ({ segment, segments }) => {
      opened.push([segment, segments]);
      return new PagedRows([]);
    },
    openQuarantine: () => async () => {},
    now: Date.now,
  });
  const answer = await handler({ ...event, segment: 0, segments: 1 }, lambdaContext(10_000));
  expect(answer.done).toBe(true);
  expect(opened).toEqual([[0, 1]]);
});

it.for([
  ['an unknown verb', { verb: 'erase' }, 'verb'],
  ['an unknown member', { CANARY: 1 }, 'CANARY'],
  ['a segment number that is too high', { segment: 8 }, 'segment must be less than segments'],
  ['the verb seal and no partition', { verb: 'seal' }, 'seal needs a partition'],
  ['a negative segment number', { segment: -1 }, 'segment'],
  ['too many segments', { segments: 1_000_001 }, 'segments'],
  ['a rate at which one page may outlast the function', { rate: 49 }, 'rate'],
  ['no fields', { fields: [] }, 'fields'],
  ['an unnamed run', { run: '' }, 'run'],
  ['an unknown form of records', { form: 'xml' }, 'form'],
  ['an unknown form of plaintexts', { plaintext: 'xml' }, 'plaintext'],
  ['a run that has ended', { done: true }, 'done'],
  ['a context and several fields', { verb: 'open', fields: ['a', 'b'], context: { a: 'b' } }, 'goes with one field'],
  ['contextFrom and several fields', { verb: 'open', fields: ['a', 'b'], contextFrom: { a: 'b' } }, 'with one field'],
  ['an invalid table name', { table: '!' }, 'table'],
  ['an invalid name of the quarantine table', { quarantineTable: '!' }, 'quarantineTable'],
  ['a JSONPath with a filter', { verb: 'seal', partition: 'p', paths: ['$[?@.a]'] }, 'fields[0] has a filter'],
  ['a partition that no record can have', { partition: 'x'.repeat(2100) }, 'The partition is too long'],
  ['an empty name of a field in contextFrom', { verb: 'open', contextFrom: { a: '' } }, 'contextFrom'],
  ['a context value that is a number', { verb: 'open', context: { a: 5 } }, 'context'],
  ['a context name with an escape', { verb: 'open', context: { 'a\n': 'b' } }, 'use names without escapes'],
  ['a name with an escape in contextFrom', { verb: 'open', contextFrom: { 'a\\': 'b' } }, 'use names without escapes'],
  ['an empty context', { verb: 'open', context: {} }, 'context must have 1 to 16 entries'],
  ['the verb open and paths', { verb: 'open', paths: ['$.card'] }, 'paths go with seal'],
  ['the verb rewrap and a context', { context: { table: 'users' } }, 'rewrap needs no context'],
  ['both a partition and a partition field', { partition: 'p', partitionField: 'tenant' }, 'exclude each other'],
  [
    'one name in both context and contextFrom',
    { verb: 'open', context: { a: 'b' }, contextFrom: { a: 'c' } },
    'a name is in both',
  ],
  ['a start time that Node cannot read', { startedAt: '2026-11-29T12:00:00+05' }, 'startedAt'],
] as const)('a worker refuses an event with %s', async ([, members, says]) => {
  captureOutput();
  const handler = reencryptDoor({
    keyfold: memoryService(NAMES),
    naming: new KeyNaming(NAMES),
    telemetry: createTelemetry('svc'),
    openRows: () => new PagedRows([]),
    openQuarantine: () => async () => {},
    now: Date.now,
  });
  const error = await errorOf(handler({ ...event, ...members }, lambdaContext(10_000)));
  expect(error).toMatchObject({ name: 'InvalidRequest', message: expect.stringContaining(says) as string });
});

it.for(['__proto__', 'constructor', 'prototype'])(
  'a worker binds records to the entry %s of a context, as to any other entry',
  async (entry) => {
    const entries = JSON.parse(`{"${entry}":"a","table":"users"}`) as Readonly<Record<string, string>>;
    const opened: ReencryptEvent[] = [];
    const handler = reencryptDoor({
      keyfold: memoryService(NAMES),
      naming: new KeyNaming(NAMES),
      telemetry: createTelemetry('svc'),
      openRows: (given) => {
        opened.push(given);
        return new PagedRows([]);
      },
      openQuarantine: () => async () => {},
      now: Date.now,
    });
    for (const member of ['context', 'contextFrom'] as const) {
      const answer = await handler({ ...event, verb: 'reseal', [member]: entries }, lambdaContext(10_000));
      expect([opened.pop()?.[member], answer[member]].map((given) => Object.entries(given ?? {}))).toEqual([
        Object.entries(entries),
        Object.entries(entries),
      ]);
    }
  },
);

it('a worker accepts the greatest segment number and the lowest rate', async () => {
  const limits = { segment: 999_999, segments: 1_000_000, rate: 50 };
  expect(await workerOn(new PagedRows([]))({ ...event, ...limits }, lambdaContext(10_000))).toMatchObject({
    done: true,
  });
});

it('a worker reseals a record with a date far in the future', async () => {
  const keyfold = memoryService(NAMES);
  const record = await keyfold.session('tenant-1').encrypt(Buffer.from('x'));
  const dated = (created: number): string =>
    encodeCompactRecord({ ...record, key: { ...record.key, created } }, 'bytes') ?? '';
  const seconds = Math.floor(Date.now() / 1000);
  const source = new PagedRows([dated(seconds + 60), dated(seconds + 86_400)]);
  const handler = reencryptDoor({
    keyfold,
    naming: new KeyNaming(NAMES),
    telemetry: createTelemetry('svc'),
    openRows: () => source,
    openQuarantine: () => async () => {},
    now: Date.now,
  });
  const startedAt = new Date(seconds * 1000).toISOString();
  await handler({ ...event, verb: 'reseal', startedAt }, lambdaContext(10_000));
  expect([...source.written.keys()]).toEqual(['1']);
});
