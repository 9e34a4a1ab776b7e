/**
 * Tests docs/explanation/costs.md: its arithmetic against calculations by hand, its calls against the code, and its
 * text against the current figures.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { billOf, naiveKmsOf, tiered, type Assumptions } from '../../../scripts/costs/bill.ts';
import { monthOf, pairsMetBy, processesFor } from '../../../scripts/costs/fleet.ts';
import { ASSUMED, PRICES } from '../../../scripts/costs/given.ts';
import { FakeDependencies, MINUTE_MS } from '../../support/fakes.ts';

/** Three processes that live for four hours. In each hour, each process serves each of four partitions. */
const SMALL: Assumptions = {
  ...ASSUMED,
  hoursInMonth: 4,
  processLifetimeHours: 4,
  peakFactor: 1,
  headroomDeviations: 0,
  durationMs: 3,
  partitions: 4,
  systemKeysInUse: 1,
  readsPerPair: 1,
  olderKeyReadsPerPair: 0,
};

describe('the processes of a fleet in the cost model', () => {
  it('are as many as the concurrent requests at the peak, plus a margin for random bursts', () => {
    expect(processesFor(1, ASSUMED)).toBe(1);
    // 100 requests per second on average, three times as many at the peak, 5 ms each: 1.5 concurrent requests, plus 4
    // √1.5 = 4.9.
    expect(processesFor(100, ASSUMED)).toBe(7);
    // 150 concurrent requests, plus 4 √150 = 48.99.
    expect(processesFor(10_000, ASSUMED)).toBe(199);
  });

  it('serve as many different partitions as random requests would select on average', () => {
    expect(pairsMetBy(2, 4)).toBeCloseTo(1.75);
    expect(pairsMetBy(0, 4)).toBe(0);
    expect(pairsMetBy(1, 1)).toBe(1);
    expect(pairsMetBy(1e6, 4)).toBeCloseTo(4);
  });

  it('make as many KMS and DynamoDB calls as the real code', async () => {
    const world = new FakeDependencies();
    const payload = Buffer.from('x');
    const partitions = ['a', 'b', 'c', 'd'];
    for (const partition of partitions) await world.process().session(partition).encrypt(payload);
    world.log.take();
    const processes = [world.process(), world.process(), world.process()];
    for (let minute = 0; minute < 240; minute += 10) {
      for (const process of processes) {
        for (const partition of partitions) await process.session(partition).encrypt(payload);
      }
      world.clock.advance(10 * MINUTE_MS);
    }
    const made = Map.groupBy(world.log.take(), (call) => call);
    const month = monthOf(1000, SMALL);
    expect(month.processes).toBe(3);
    expect(made.get('Unwrap')).toHaveLength(month.unwraps);
    expect(made.get('Get SK')).toHaveLength(month.systemKeyReads);
    expect(made.get('Query IK')).toHaveLength(Math.round(month.partitionReads));
    expect([...made.keys()].toSorted()).toEqual(['Get SK', 'Query IK', 'Unwrap']);
  });

  it.for([
    ['once', 'encrypts', 1],
    ['twice', 'decrypts', 2],
  ] as const)("read a partition's key %s if the first request for the partition %s", async ([, first, reads]) => {
    const world = new FakeDependencies();
    const record = await world.process().session('p').encrypt(Buffer.from('x'));
    const session = world.process().session('p');
    world.log.take();
    if (first === 'decrypts') await session.decrypt(record);
    await session.encrypt(Buffer.from('y'));
    await session.decrypt(record);
    expect(world.log.take().filter((call) => call.endsWith(' IK'))).toHaveLength(reads);
  });
});

describe('a bill in the cost model', () => {
  it('applies to each price tier only the usage in that tier', () => {
    const tiers = [{ upTo: 10, price: 1 }, { upTo: 30, price: 0.5 }, { price: 0.1 }];
    expect(tiered(0, tiers)).toBe(0);
    expect(tiered(4, tiers)).toBe(4);
    expect(tiered(20, tiers)).toBe(15);
    expect(tiered(130, tiers)).toBeCloseTo(30);
  });

  it('matches a calculation by hand', () => {
    const byHand: Assumptions = {
      ...SMALL,
      hoursInMonth: 1000,
      processLifetimeHours: 1000,
      memoryMb: 512,
      initMs: 1000,
      auditLineBytes: 474,
      accessLogBytes: 474,
      lambdaLines: 3,
      lambdaLinesBytes: 422,
      eventOverheadBytes: 26,
      regions: 2,
      keyVersions: 3,
      logRetentionMonths: 2,
      customMetrics: 10,
      alarms: 10,
      dashboards: 1,
    };
    const bill = billOf(1000, PRICES, byHand);
    // 3,600 million requests: the first 300 million cost one dollar per million, the rest 90 cents.
    expect(bill['API Gateway']).toBeCloseTo(300 + 3300 * 0.9);
    expect(bill['Lambda requests']).toBeCloseTo(3600 * 0.2);
    // Each request takes 3 ms at half a GB, and each of three cold starts takes a second.
    expect(bill['Lambda compute']).toBeCloseTo((3600e6 * 0.003 + 3) * 0.5 * 0.0000133334);
    expect(bill['KMS keys']).toBe(6);
    // One unwrap per process and hour, some new keys, and 8 keys that maintenance unwraps in two regions each day.
    expect(bill['KMS requests']).toBeCloseTo(((3000 + (1000 / 2160) * 2 + (1000 / 24) * 32) * 3) / 1e6);
    // In each hour, each of the three processes reads a System Key, and an Intermediate Key for each of the four
    // partitions. So there are 15 reads an hour.
    expect(bill['DynamoDB reads']).toBeCloseTo((15_000 * 0.125) / 1e6);
    expect(bill['Metrics, alarms, dashboard']).toBeCloseTo(3 + 1 + 3);
    // Each request writes 500 bytes of each kind.
    expect(bill['Logs: the audit line']).toBeCloseTo(bill["Logs: Lambda's own lines"] ?? 0);
    expect(bill['Logs: the audit line']).toBeCloseTo(bill["Logs: API Gateway's line"] ?? 0);
    expect(bill['Logs: the audit line']).toBeCloseTo(((3600e6 * 500) / 2 ** 30) * 0.5, 0);
    expect(naiveKmsOf(1000, PRICES, byHand)).toBeCloseTo(3600 * 3);
  });

  it('matches the tables in docs/explanation/costs.md', async () => {
    const root = join(import.meta.dirname, '..', '..', '..');
    const check = promisify(execFile)(process.execPath, ['scripts/costs.ts', '--check'], { cwd: root });
    await expect(check).resolves.toMatchObject({ stderr: '' });
  });
});
