import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DataRowRecord, EnvelopeKeyRecord, SessionFactory } from '../../../src/index.ts';
import { DAY_MS, FakeDependencies, memoryService, MINUTE_MS } from '../../support/fakes.ts';

/** One step of a random history. A number selects a process, a partition or a record. */
const step = fc.oneof(
  fc.record({ do: fc.constant('encrypt' as const), partition: fc.constantFrom('a', 'b', 'a_svc_prod_b') }),
  fc.record({ do: fc.constant('rewrap' as const), pick: fc.nat() }),
  fc.record({
    do: fc.constant('advance' as const),
    ms: fc.constantFrom(1000, MINUTE_MS, 59 * MINUTE_MS, 30 * DAY_MS, 91 * DAY_MS),
  }),
  fc.record({
    do: fc.constant('step' as const),
    ms: fc.constantFrom(1000, 2 * MINUTE_MS, 61 * MINUTE_MS, 40 * DAY_MS).chain((ms) => fc.constantFrom(ms, -ms)),
  }),
  fc.record({
    do: fc.constant('foreign row' as const),
    pick: fc.nat(),
    aheadSeconds: fc.constantFrom(5, 300, 601, 86_400, 2 ** 53, 1e300),
    revoked: fc.boolean(),
  }),
  fc.record({ do: fc.constant('revoke' as const), pick: fc.nat() }),
  fc.record({ do: fc.constant('new process' as const) }),
  fc.record({ do: fc.constant('wear out' as const) }),
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const CHECK_INTERVAL_MS = 60 * MINUTE_MS;
const EXPIRE_AFTER_MS = 90 * DAY_MS;
const MAX_AHEAD_MS = 10 * MINUTE_MS;
const MAX_CORRECTION_MS = 1000;

class Run {
  readonly world = new FakeDependencies();
  readonly records: { partition: string; payload: Buffer; record: DataRowRecord }[] = [];
  /** How far the clock is ahead of the true time. A clock step changes this value. The true time only advances. */
  clockAheadMs = 0;
  /** The sum of the backward steps that are too small for Keyfold to notice. */
  correctedMs = 0;
  readonly revokedAtMs = new Map<string, number>();
  wearsOut = false;
  service: SessionFactory = this.start();

  start(): SessionFactory {
    return this.world.process({ policy: { wearsOut: () => this.wearsOut } });
  }

  async encrypt(partition: string): Promise<void> {
    const payload = Buffer.from(`payload ${this.records.length}`);
    const record = await this.service.session(partition).encrypt(payload);
    this.sealsUnderUsableKeys(record);
    this.records.push({ partition, payload, record });
  }

  async rewrap(pick: number): Promise<void> {
    const entry = this.records[pick % Math.max(1, this.records.length)];
    if (entry === undefined) return;
    const { record } = await this.service.session(entry.partition).rewrap(entry.record);
    this.sealsUnderUsableKeys(record);
    this.records.push({ ...entry, record });
  }

  revoke(pick: number): void {
    const rows = [...this.world.metastore.rows.values()];
    const row = rows[pick % Math.max(1, rows.length)];
    if (row === undefined || row.revoked) return;
    this.world.metastore.change(row, { revoked: true });
    this.revokedAtMs.set(nameOf(row), this.trueMs);
  }

  get trueMs(): number {
    return this.world.clock.nowMs - this.clockAheadMs;
  }

  /**
   * Steps the clock, and lets the process read it before and after the step. The process has no other way to notice the
   * step, because an injected clock comes without a monotonic clock.
   */
  async step(ms: number): Promise<void> {
    await this.encrypt('a');
    this.world.clock.advance(ms);
    this.clockAheadMs += ms;
    if (ms < 0 && ms >= -MAX_CORRECTION_MS) this.correctedMs -= ms;
    await this.encrypt('a');
  }

  /**
   * Stores a copy of a key row with another date, as a process with a wrong clock would have stored it. The copied key
   * still opens records.
   */
  addForeignRow(pick: number, aheadSeconds: number, revoked: boolean): void {
    const rows = [...this.world.metastore.rows.values()];
    const row = rows[pick % Math.max(1, rows.length)];
    if (row === undefined) return;
    const created = Math.floor(this.world.clock.nowMs / 1000) + aheadSeconds;
    const copy = { ...row, proof: undefined, created: created as EnvelopeKeyRecord['created'], revoked };
    if (this.world.metastore.rows.has(nameOf(copy))) return;
    this.world.metastore.change(copy, {});
    if (revoked) this.revokedAtMs.set(nameOf(copy), -Infinity);
  }

  /** Expects every record of the history to decrypt, in this process and in a new one. */
  async opensEverything(): Promise<void> {
    for (const service of [this.service, this.start()]) {
      for (const { partition, payload, record } of this.records) {
        expect(await service.session(partition).decrypt(record)).toEqual(payload);
      }
    }
  }

  sealsUnderUsableKeys({ key: { parent } }: DataRowRecord): void {
    const { nowMs } = this.world.clock;
    const ik = this.world.metastore.rows.get(`${parent.id} ${parent.created}`);
    for (const key of [ik, ik?.parent]) {
      if (key === undefined) throw new Error('sealed under a key that is not stored');
      expect(nowMs).toBeLessThanOrEqual(key.created * 1000 + EXPIRE_AFTER_MS);
      expect(key.created * 1000).toBeLessThanOrEqual(nowMs + MAX_AHEAD_MS);
      const revokedAtMs = this.revokedAtMs.get(nameOf(key)) ?? Infinity;
      expect(this.trueMs - revokedAtMs).toBeLessThan(CHECK_INTERVAL_MS + this.correctedMs);
    }
  }
}

/**
 * Checks why an encrypt failed. The successor of a key that reaches its usage limit gets a later date, which is at most
 * a minute ahead of the clock. So if many keys in a row reach the limit, no free date is left, and the encrypt may
 * fail.
 */
function mustBeFullMinute(error: unknown, everWorn: boolean): void {
  if (!everWorn) throw error;
  expect(error).toMatchObject({ code: 'MetastoreUnavailable', message: expect.stringContaining('No usable key') });
}

/** Performs a step. Returns the record that the step makes, if any. */
async function seal(run: Run, next: Step): Promise<void> {
  if (next.do === 'encrypt') await run.encrypt(next.partition);
  if (next.do === 'wear out') await run.encrypt('a');
  if (next.do === 'rewrap') await run.rewrap(next.pick);
  if (next.do === 'step') await run.step(next.ms);
}

function nameOf(key: Pick<EnvelopeKeyRecord, 'id' | 'created'>): string {
  return `${key.id} ${key.created}`;
}

describe('after any sequence of key changes and clock steps,', () => {
  it('every record opens, and no record was sealed under a key that had expired or had long been revoked', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const run = new Run();
        let everWorn = false;
        for (const next of steps) {
          run.wearsOut = next.do === 'wear out';
          everWorn ||= run.wearsOut;
          await seal(run, next).catch((error: unknown) => mustBeFullMinute(error, everWorn));
          if (next.do === 'advance') run.world.clock.advance(next.ms);
          if (next.do === 'foreign row') run.addForeignRow(next.pick, next.aheadSeconds, next.revoked);
          if (next.do === 'revoke') run.revoke(next.pick);
          if (next.do === 'new process') run.service = run.start();
        }
        await run.opensEverything();
      }),
      { numRuns: 300 },
    );
  });
});

describe('a session with any payload and partition', () => {
  const partition = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter((p) => !/\p{Cc}/u.test(p));

  it('decrypts what it encrypted to JSON', async () => {
    const service = memoryService();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 5000 }), partition, async (payload, name) => {
        const text = await service.session(name).encryptToJson(payload);
        const opened = await service.session(name).decryptJson(text);
        expect(opened).toEqual(Buffer.from(payload));
      }),
    );
  });

  it("rejects another partition's record", async () => {
    const service = memoryService();
    await fc.assert(
      fc.asyncProperty(partition, partition, async (own, other) => {
        fc.pre(own !== other);
        const record = await service.session(own).encrypt(Buffer.from('x'));
        await expect(service.session(other).decrypt(record)).rejects.toMatchObject({ code: 'RecordUnreadable' });
      }),
    );
  });

  it('rejects a record if any byte was changed', async () => {
    const session = memoryService().session('p');
    const record = await session.encrypt(Buffer.from('a payload of some length'));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('key', 'data'),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (part, at, change) => {
          const bytes = Buffer.from(part === 'key' ? record.key.encryptedKey : record.data);
          bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ change;
          const tampered =
            part === 'key' ? { ...record, key: { ...record.key, encryptedKey: bytes } } : { ...record, data: bytes };
          await expect(session.decrypt(tampered)).rejects.toMatchObject({ code: 'RecordUnreadable' });
        },
      ),
    );
  });
});
