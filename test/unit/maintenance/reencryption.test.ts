import type * as timers from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { Reencryption } from '../../../src/maintenance/reencryption/reencryption.ts';
import { retried } from '../../../src/maintenance/reencryption/retries.ts';
import { SourceFault, type Row } from '../../../src/maintenance/reencryption/rows.ts';
import { KeyfoldError } from '../../../src/errors.ts';
import { HandClock } from '../../../src/testing/hand-clock.ts';
import { errorOf } from '../../support/fakes.ts';

const delays = vi.hoisted(() => ({ skipped: false, ms: [] as unknown[] }));
vi.mock('node:timers/promises', async (original) => {
  const real = await original<typeof timers>();
  const setTimeout = (...args: Parameters<typeof real.setTimeout>) =>
    delays.skipped ? (delays.ms.push(args[0]), Promise.resolve()) : real.setTimeout(...args);
  return { ...real, setTimeout };
});

/**
 * Runs a re-encryption with one empty page for each step. Before each page, the clock moves by that step. Returns how
 * often the run saved its position.
 */
async function savesOf(stepsMs: readonly number[]): Promise<number> {
  const clock = new HandClock();
  clock.advance(60_000);
  let saves = 0;
  const reencryption = new Reencryption({
    source: {
      pages: async function* () {
        for (const stepMs of stepsMs) {
          clock.advance(stepMs);
          yield [];
        }
      },
      replace: async () => 'written',
      reread: async (row) => row,
      position: async () => ({}),
    },
    verbs: { apply: async () => ({ cells: new Map(), keys: [] }) },
    quarantine: async () => {},
    save: async () => void (saves += 1),
    now: clock.now,
  });
  await reencryption.run();
  return saves;
}

it('a re-encryption run saves its position every two seconds, even if the clock is set back', async () => {
  expect(await savesOf([500, 500, 500, 499])).toBe(0);
  expect(await savesOf([1000, 1000, 1000])).toBe(1);
  expect(await savesOf([-30_000, 500, 1500])).toBe(2);
});

const CELL = { kind: 'text', text: 'x' } as const;

function rowOf(id: string): Row {
  return { id, cells: new Map([['r', CELL]]), partition: undefined, context: undefined };
}

/** Runs on one page of two rows, and aborts the run when its second row begins or its first write fails. */
async function aborted(options: { readonly rate?: number; readonly failing: boolean }): Promise<unknown> {
  const ending = new AbortController();
  let writes = 0;
  const reencryption = new Reencryption({
    source: {
      pages: async function* () {
        yield [rowOf('1'), rowOf('2')];
      },
      replace: async () => {
        writes += 1;
        setTimeout(() => ending.abort(new Error('SIGINT ended the run.')), 50);
        if (options.failing) throw new KeyfoldError('MetastoreUnavailable', 'down');
        return 'written';
      },
      reread: async (again) => again,
      position: async () => ({}),
    },
    verbs: { apply: async () => ({ cells: new Map([['r', CELL]]), keys: [] }) },
    quarantine: async () => {},
    save: undefined,
    rate: options.rate,
    now: Date.now,
    signal: ending.signal,
  });
  const { message } = (await errorOf(reencryption.run())) as Error;
  return { message, writes, ...reencryption.counts() };
}

it('a re-encryption run that a signal has ended does not wait until its rate limit allows the next row', async () => {
  const ended = { message: 'SIGINT ended the run.', writes: 1, written: 1, rows: 1 };
  expect(await aborted({ rate: 1e-9, failing: false })).toMatchObject(ended);
});

it('a re-encryption run that a signal has ended does not repeat a failed write', async () => {
  const ended = { message: 'SIGINT ended the run.', writes: 2, written: 0, rows: 0 };
  expect(await aborted({ failing: true })).toMatchObject(ended);
});

/** Runs on one row that other writers change before the first `changes` writes. */
async function contested(changes: number): Promise<unknown> {
  const quarantined: unknown[] = [];
  let [writes, reads] = [0, 0];
  const reencryption = new Reencryption({
    source: {
      pages: async function* () {
        yield [rowOf('1')];
      },
      replace: async () => {
        writes += 1;
        return writes > changes ? 'written' : 'changed';
      },
      reread: async (row) => {
        reads += 1;
        return row;
      },
      position: async () => ({}),
    },
    verbs: { apply: async () => ({ cells: new Map([['r', CELL]]), keys: [] }) },
    quarantine: async (row) => void quarantined.push(row),
    save: undefined,
    now: Date.now,
  });
  const { counts } = await reencryption.run();
  return { ...counts, writes, reads, quarantined };
}

it('a row that other writers change before each write is read again a hundred times, and then quarantined', async () => {
  expect(await contested(100)).toMatchObject({ writes: 101, reads: 100, quarantined: [], written: 1 });
  const quarantined = [{ row: '1', code: 'ChangedTooOften' }];
  expect(await contested(Infinity)).toMatchObject({ writes: 101, reads: 100, quarantined, written: 0 });
});

it('the error of a re-encryption run names the row that the KMS key cannot open, because all other rows may be readable', async () => {
  const refused = new KeyfoldError('KmsMisconfigured', 'The key is disabled.', {
    cause: new Error('DisabledException'),
  });
  const reencryption = new Reencryption({
    source: {
      pages: async function* () {
        yield [rowOf('1'), rowOf('2')];
      },
      replace: async () => 'written',
      reread: async (again) => again,
      position: async () => ({}),
    },
    verbs: {
      apply: async ({ id }) => {
        if (id === '2') throw refused;
        return { cells: new Map(), keys: [] };
      },
    },
    quarantine: async () => {},
    save: undefined,
    now: Date.now,
  });
  const { message, cause } = refused;
  expect(await errorOf(reencryption.run())).toMatchObject({
    code: 'KmsMisconfigured',
    message: `Row 2: ${message}`,
    cause,
  });
});

it('a row whose key is still not visible after nine attempts is quarantined, and later rows do not wait for a key', async () => {
  delays.skipped = true;
  const quarantined: unknown[] = [];
  const attempts: string[] = [];
  const reencryption = new Reencryption({
    source: {
      pages: async function* () {
        yield [rowOf('1'), rowOf('2')];
        yield [rowOf('3')];
      },
      replace: async () => 'written',
      reread: async (again) => again,
      position: async () => ({}),
    },
    verbs: {
      apply: async ({ id }) => {
        if (id === '2') return { cells: new Map([['r', CELL]]), keys: [] };
        attempts.push(id);
        throw new KeyfoldError('KeyNotYetVisible', 'Not replicated yet.');
      },
    },
    quarantine: async (row) => void quarantined.push(row),
    save: undefined,
    now: Date.now,
  });
  const { counts } = await reencryption.run().finally(() => (delays.skipped = false));
  expect(counts).toMatchObject({ rows: 3, written: 1, quarantined: 2 });
  expect(attempts.join('')).toBe('1111111113');
  expect(quarantined).toEqual(['1', '3'].map((row) => ({ row, code: 'KeyNotYetVisible' })));
});

it.for([
  [0, [100, 200, 400, 800, 1600, 3200, 5000, 5000]],
  [1, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]],
] as const)(
  'a re-encryption run repeats a failing call eight times, with growing random delays (random number: %i)',
  async ([random, waits]) => {
    delays.skipped = true;
    delays.ms = [];
    const chance = vi.spyOn(Math, 'random').mockReturnValue(random);
    const down = new SourceFault('down', true);
    let attempts = 0;
    const failing = (): Promise<never> => {
      attempts += 1;
      return Promise.reject(down);
    };
    expect(await errorOf(retried(failing))).toBe(down);
    delays.skipped = false;
    chance.mockRestore();
    expect([attempts, delays.ms]).toEqual([9, waits]);
  },
);

it.for([
  ['a temporary fault of the source', new SourceFault('down', true), 3],
  ['a permanent fault of the source', new SourceFault('refused', false), 1],
  ['a retryable KeyfoldError', new KeyfoldError('MetastoreUnavailable', 'down'), 3],
  ['another KeyfoldError', new KeyfoldError('RecordUnreadable', 'no'), 1],
  ['a bug', new TypeError('a bug'), 1],
] as const)(
  'a re-encryption run repeats a failed call only if another attempt may succeed: %s',
  async ([, fault, attempts]) => {
    delays.skipped = true;
    let made = 0;
    const work = async (): Promise<string> => {
      made += 1;
      if (made < 3) throw fault;
      return 'done';
    };
    const outcome = await retried(work).catch((error: unknown) => error);
    delays.skipped = false;
    expect([outcome, made]).toEqual([attempts === 3 ? 'done' : fault, attempts]);
  },
);

it.for([
  ['repeats the write of a quarantined row while the quarantine throttles', true, 3],
  ['ends at once if the quarantine refuses a row for good', false, 1],
] as const)('a re-encryption run %s', async ([, mayPass, expected]) => {
  delays.skipped = true;
  let attempts = 0;
  const reencryption = new Reencryption({
    source: {
      pages: async function* () {
        yield [rowOf('1')];
      },
      replace: async () => 'written',
      reread: async (again) => again,
      position: async () => ({}),
    },
    verbs: { apply: async () => Promise.reject(new KeyfoldError('RecordUnreadable', 'no')) },
    quarantine: async () => {
      attempts += 1;
      if (attempts < 3) throw new SourceFault('The quarantine fails.', mayPass);
    },
    save: undefined,
    now: Date.now,
  });
  const outcome = await reencryption
    .run()
    .then(({ counts }) => counts.quarantined, String)
    .finally(() => (delays.skipped = false));
  expect([outcome, attempts]).toEqual([mayPass ? 1 : 'SourceFault: The quarantine fails.', expected]);
});

/** Runs without checkpoints, on one empty page for each step. Before each page, the clock moves by that step. */
async function unsaved(stepsMs: readonly number[], runMs?: number): Promise<unknown> {
  const clock = new HandClock();
  let positions = 0;
  let pages = 0;
  const reencryption = new Reencryption({
    source: {
      pages: async function* () {
        for (const stepMs of stepsMs) {
          clock.advance(stepMs);
          pages += 1;
          yield [];
        }
      },
      replace: async () => 'written',
      reread: async (row) => row,
      position: async () => ({ at: (positions += 1) }),
    },
    verbs: { apply: async () => ({ cells: new Map(), keys: [] }) },
    quarantine: async () => {},
    save: undefined,
    now: clock.now,
  });
  const { position } = await reencryption.run(undefined, runMs);
  return { position, positions, pages };
}

it('a re-encryption run without checkpoints asks the source for its position only when the time of the run is over', async () => {
  expect(await unsaved([3000, 3000, 3000])).toEqual({ position: undefined, positions: 0, pages: 3 });
  expect(await unsaved([3000, 3000, 3000], 6000)).toEqual({ position: { at: 1 }, positions: 1, pages: 2 });
  expect(await unsaved([3000, 3000, 3000], 6001)).toEqual({ position: { at: 1 }, positions: 1, pages: 3 });
});

/** Runs on one page of 200 rows, and counts the rows in work. The row `fails` throws the fault. */
async function crowded(fault?: Error, fails = '1'): Promise<unknown> {
  const ids = Array.from({ length: 200 }, (_, i) => String(i + 1));
  let [active, most, begun] = [0, 0, 0];
  const quarantined: unknown[] = [];
  const reencryption = new Reencryption({
    source: {
      pages: async function* () {
        yield ids.map(rowOf);
      },
      replace: async () => 'written',
      reread: async (again) => again,
      position: async () => ({}),
    },
    verbs: {
      apply: async ({ id }) => {
        begun += 1;
        active += 1;
        most = Math.max(most, active);
        await new Promise(setImmediate);
        active -= 1;
        if (id === fails && fault !== undefined) throw fault;
        return { cells: new Map(), keys: [] };
      },
    },
    quarantine: async (row) => void quarantined.push(row),
    save: undefined,
    now: Date.now,
  });
  const error = await reencryption.run().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return { error, active, most, begun, quarantined };
}

it('a re-encryption run works on 64 rows at a time, and begins no other row after a row has failed', async () => {
  expect(await crowded()).toEqual({ error: undefined, active: 0, most: 64, begun: 200, quarantined: [] });
  const error = new KeyfoldError('InvalidConfiguration', 'wrong');
  expect(await crowded(error)).toEqual({ error, active: 0, most: 64, begun: 64, quarantined: [] });
});

it.for(['MetastoreUnavailable', 'KmsThrottled', 'KmsUnavailable', 'InvalidConfiguration'] as const)(
  'a re-encryption run ends with the error %s, because this error also affects other rows',
  async (code) => {
    delays.skipped = true;
    const error = new KeyfoldError(code, 'It fails.');
    const ended = await crowded(error).finally(() => (delays.skipped = false));
    expect(ended).toMatchObject({ error, quarantined: [] });
  },
);

it.for(['RecordUnreadable', 'InvalidRequest', 'PartitionErased', 'KeyNotYetVisible'] as const)(
  'a re-encryption run quarantines a row that has the error %s, and goes on',
  async (code) => {
    delays.skipped = true;
    const ended = await crowded(new KeyfoldError(code, 'It fails.')).finally(() => (delays.skipped = false));
    expect(ended).toMatchObject({ error: undefined, quarantined: [{ row: '1', code }] });
  },
);
