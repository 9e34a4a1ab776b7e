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
  readonly #partition: string | undefined;
  #next = 0;

  constructor(texts: readonly string[], whenRead: () => void = () => {}, partition?: string) {
    this.#texts = texts;
    this.#whenRead = whenRead;
    this.#partition = partition;
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
      yield [{ id: String(i), cells, partition: this.#partition, context: undefined }];
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

it('a re-encryption worker continues where the previous worker ran out of time', async () => {
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
] as const)('a re-encryption worker stops in time even if the clock jumps %s by an hour', async ([, stepMs]) => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'] });
  const pages = Array.from({ length: 20 }, () => '');
  const source = new PagedRows(pages, () => {
    if (source.read === 3) vi.setSystemTime(Date.now() + stepMs);
    vi.advanceTimersByTime(1000);
  });
  const { done } = await workerOn(source)(event, lambdaContext(10_000));
  expect([done, source.read]).toEqual([false, 5]);
});

it('a re-encryption worker begins pages of rows until two minutes before the end of its invocation', async () => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'] });
  const pages = Array.from({ length: 20 }, () => '');
  const source = new PagedRows(pages, () => void vi.advanceTimersByTime(100_000));
  await workerOn(source)(event, lambdaContext(900_000));
  expect(source.read).toBe(8);
});

it('a re-encryption worker can process a whole table as one segment', async () => {
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

const EVENT_WRONG = 'The event of a re-encryption is wrong:';
const BAD_NAME = 'The context holds a name that Lambda may not have passed on exactly: use names without escapes.';

it.for([
  ['an unknown verb', { verb: 'erase' }, `${EVENT_WRONG} verb.`],
  ['an unknown member', { CANARY: 1 }, `${EVENT_WRONG} CANARY.`],
  ['a segment number that is too high', { segment: 8 }, `${EVENT_WRONG} segment must be less than segments.`],
  ['the verb seal and no partition', { verb: 'seal' }, `${EVENT_WRONG} seal needs a partition.`],
  ['a negative segment number', { segment: -1 }, `${EVENT_WRONG} segment.`],
  ['no segments', { segments: 0 }, `${EVENT_WRONG} segments.`],
  ['too many segments', { segments: 1_000_001 }, `${EVENT_WRONG} segments.`],
  ['a rate at which one page may outlast the function', { rate: 49 }, `${EVENT_WRONG} rate.`],
  ['no fields', { fields: [] }, `${EVENT_WRONG} fields.`],
  ['an unnamed field', { fields: [''] }, `${EVENT_WRONG} fields.0.`],
  ['an unnamed run', { run: '' }, `${EVENT_WRONG} run.`],
  ['an unknown form of records', { form: 'xml' }, `${EVENT_WRONG} form.`],
  ['an unknown form of plaintexts', { plaintext: 'xml' }, `${EVENT_WRONG} plaintext.`],
  ['a run that has ended', { done: true }, `${EVENT_WRONG} done.`],
  [
    'a context and several fields',
    { verb: 'open', fields: ['a', 'b'], context: { a: 'b' } },
    `${EVENT_WRONG} a context goes with one field.`,
  ],
  [
    'contextFrom and several fields',
    { verb: 'open', fields: ['a', 'b'], contextFrom: { a: 'b' } },
    `${EVENT_WRONG} a context goes with one field.`,
  ],
  ['an invalid table name', { table: '!' }, `${EVENT_WRONG} table.`],
  ['an invalid name of the quarantine table', { quarantineTable: '!' }, `${EVENT_WRONG} quarantineTable.`],
  [
    'a JSONPath with a filter',
    { verb: 'seal', partition: 'p', paths: ['$[?@.a]'] },
    'The list of JSONPaths is wrong: fields[0] has a filter at character 3: filters are not supported.',
  ],
  ['an empty list of JSONPaths', { verb: 'seal', partition: 'p', paths: [] }, `${EVENT_WRONG} paths.`],
  ['an empty name of a field in contextFrom', { verb: 'open', contextFrom: { a: '' } }, `${EVENT_WRONG} contextFrom.`],
  ['a list as the context', { verb: 'open', context: ['a'] }, `${EVENT_WRONG} context.`],
  ['a context value that is a list', { verb: 'open', context: { a: [] } }, `${EVENT_WRONG} context.`],
  ['a list of fields in contextFrom', { verb: 'open', contextFrom: { a: ['b'] } }, `${EVENT_WRONG} contextFrom.`],
  ['a context value that is a number', { verb: 'open', context: { a: 'b', c: 5 } }, `${EVENT_WRONG} context.`],
  ['a context name with an escape', { verb: 'open', context: { a: 'b', 'a\n': 'b' } }, BAD_NAME],
  ['a name with an escape in contextFrom', { verb: 'open', contextFrom: { 'a\\': 'b' } }, BAD_NAME],
  ['an empty context', { verb: 'open', context: {} }, 'context must have 1 to 16 entries.'],
  ['the verb open and paths', { verb: 'open', paths: ['$.card'] }, `${EVENT_WRONG} paths go with seal.`],
  ['the verb rewrap and a context', { context: { table: 'users' } }, `${EVENT_WRONG} rewrap needs no context.`],
  ['the verb rewrap and contextFrom', { contextFrom: { id: 'a' } }, `${EVENT_WRONG} rewrap needs no context.`],
  [
    'both a partition and a partition field',
    { partition: 'p', partitionField: 'tenant' },
    `${EVENT_WRONG} partition and partitionField exclude each other.`,
  ],
  [
    'one name in both context and contextFrom',
    { verb: 'open', context: { a: 'b', c: 'd' }, contextFrom: { a: 'c' } },
    `${EVENT_WRONG} a name is in both context and contextFrom.`,
  ],
  ['a start time that Node cannot read', { startedAt: '2026-11-29T12:00:00+05' }, `${EVENT_WRONG} startedAt.`],
  [
    'several faults',
    { verb: 'open', paths: ['$.a'], segment: 8 },
    `${EVENT_WRONG} paths go with seal, segment must be less than segments.`,
  ],
] as const)('a re-encryption worker refuses an event with %s', async ([, members, message]) => {
  captureOutput();
  const error = await errorOf(workerOn(new PagedRows([]))({ ...event, ...members }, lambdaContext(10_000)));
  expect(error).toMatchObject({ name: 'InvalidRequest', message });
});

it('a re-encryption worker refuses an event with a partition that no record can have', async () => {
  captureOutput();
  const error = await errorOf(
    workerOn(new PagedRows([]))({ ...event, partition: 'x'.repeat(2100) }, lambdaContext(10_000)),
  );
  expect(error).toMatchObject({
    name: 'InvalidRequest',
    message: expect.stringMatching(/^The partition is too long/) as string,
  });
});

it('a re-encryption worker refuses an event that is not an object', async () => {
  captureOutput();
  const error = await errorOf(workerOn(new PagedRows([]))('x', lambdaContext(10_000)));
  expect(error).toMatchObject({ name: 'InvalidRequest', message: `${EVENT_WRONG} the event.` });
});

it.for(['__proto__', 'constructor', 'prototype'])(
  'a re-encryption worker binds records to the entry %s of a context, as to any other entry',
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

it.for([
  ['the greatest segment number and the lowest rate', { segment: 999_999, segments: 1_000_000, rate: 50 }],
  ['a partition field', { partitionField: 'tenant' }],
  ['the verb seal with a partition', { verb: 'seal', partition: 'p' }],
  ['the verb seal with a partition field', { verb: 'seal', partitionField: 'tenant', paths: ['$.a'] }],
  ['several fields without a context', { fields: ['card', 'iban'] }],
] as const)('a re-encryption worker accepts %s', async ([, members]) => {
  const answer = await workerOn(new PagedRows([]))({ ...event, ...members }, lambdaContext(10_000));
  expect(answer).toMatchObject({ ...members, done: true });
});

it('a re-encryption worker seals with the JSONPaths and the forms that its event names', async () => {
  const keyfold = memoryService(NAMES);
  const source = new PagedRows(['{"a":"x","b":1}', 'aGk='], undefined, 'tenant-1');
  const handler = reencryptDoor({
    keyfold,
    naming: new KeyNaming(NAMES),
    telemetry: createTelemetry('svc'),
    openRows: () => source,
    openQuarantine: () => async () => {},
    now: Date.now,
  });
  const sealing = { ...event, verb: 'seal', partition: 'tenant-1' };
  const textOf = (row: string): string => {
    const cell = source.written.get(row)?.get('card');
    return cell?.kind === 'text' ? cell.text : '';
  };
  await handler({ ...sealing, paths: ['$.a'] }, lambdaContext(10_000));
  expect(textOf('0')).toMatch(/^\{"a":"kf1j\.[\w-]+","b":1\}$/);
  await handler({ ...sealing, form: 'json', plaintext: 'base64' }, lambdaContext(10_000));
  expect(await keyfold.session('tenant-1').decryptJson(textOf('1'))).toEqual(Buffer.from('hi'));
});

it('a re-encryption worker with the verb reseal changes records dated before the run or a day ahead of the clock, but not records dated since the run began or a minute ahead', async () => {
  const keyfold = memoryService(NAMES);
  const record = await keyfold.session('tenant-1').encrypt(Buffer.from('x'));
  const dated = (created: number): string =>
    encodeCompactRecord({ ...record, key: { ...record.key, created } }, 'bytes') ?? '';
  const seconds = Math.floor(Date.now() / 1000);
  const source = new PagedRows([-121, -120, 60, 86_400].map((ahead) => dated(seconds + ahead)));
  const handler = reencryptDoor({
    keyfold,
    naming: new KeyNaming(NAMES),
    telemetry: createTelemetry('svc'),
    openRows: () => source,
    openQuarantine: () => async () => {},
    now: Date.now,
  });
  const startedAt = new Date((seconds - 120) * 1000).toISOString();
  await handler({ ...event, verb: 'reseal', startedAt }, lambdaContext(10_000));
  expect([...source.written.keys()]).toEqual(['0', '3']);
});

it('a re-encryption worker processes no more rows per second than the rate in its event', async () => {
  const worker = workerOn(new PagedRows(['', '', '', '', '']));
  const startMs = performance.now();
  await worker({ ...event, rate: 50 }, lambdaContext(10_000));
  expect(performance.now() - startMs).toBeGreaterThan(75);
});
