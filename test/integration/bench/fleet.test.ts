/**
 * Tests the fleet simulation itself. Its results mean nothing if its model of a KMS region admits too many calls, or if
 * every retry policy succeeds.
 */
import { describe, expect, it } from 'vitest';
import { Seeded } from '../../support/seeded.ts';
import { sendFleet } from '../../../bench/fleet/fleet.ts';
import { measure } from '../../../bench/fleet/measure.ts';
import { RegionModel } from '../../../bench/fleet/region-model.ts';
import { score } from '../../../bench/fleet/report.ts';
import { coldStart } from '../../../bench/fleet/scenarios.ts';
import { VirtualClock } from '../../../bench/fleet/virtual-clock.ts';
import { noDeadline } from '../../support/fakes.ts';

const storm = coldStart('storm', 200, 40, 1);

describe('the model of a KMS region', () => {
  it('admits as many calls per second as its quota allows, and throttles the rest', async () => {
    const clock = new VirtualClock(new Seeded(1).draw);
    const model = new RegionModel('us-west-2', 100, 8, clock, new Seeded(2).draw);
    let admitted = 0;
    const call = (): void =>
      void model.call('Decrypt', 2000, noDeadline()).then(
        () => (admitted += 1),
        () => {},
      );
    for (let ms = 0; ms < 5000; ms += 2) clock.at(ms, call);
    await clock.run(0, 6000);
    expect(model.calls).toBe(2500);
    expect(admitted).toBeGreaterThanOrEqual(495);
    expect(admitted).toBeLessThanOrEqual(511);
  });

  it("does not respond before the caller's timeout if the region hangs", async () => {
    const clock = new VirtualClock(new Seeded(1).draw);
    const model = new RegionModel('us-west-2', 100, 8, clock, new Seeded(2).draw);
    model.condition = { kind: 'hangs' };
    let failedAtMs = 0;
    clock.at(10, () => void model.call('Decrypt', 2000, noDeadline()).catch(() => (failedAtMs = clock.now())));
    await clock.run(0, 5000);
    expect(failedAtMs).toBe(2010);
  });
});

describe('a simulated fleet', () => {
  it('gives the same result each time for the same seed', async () => {
    const [once, again] = [await sendFleet(storm, 'keyfold', 3), await sendFleet(storm, 'keyfold', 3)];
    expect(again.wishes).toEqual(once.wishes);
    expect(again.calls).toEqual(once.calls);
  });

  it('makes no more attempts per request than its retry policy allows', async () => {
    const passage = await sendFleet(storm, 'keyfold', 3, { maxRounds: 2 });
    const { wishes } = passage;
    const requests = wishes.reduce((sum, wish) => sum + wish.requests, 0);
    const attempts = measure(passage).calls;
    expect(attempts).toBeLessThanOrEqual(requests * 2 * 2);
    expect(attempts).toBeGreaterThan(wishes.length);
  });

  it('gets a worse score than Asherah and the AWS SDK if the retry policy of Keyfold sends too many attempts', async () => {
    const worse = await sendFleet(storm, 'keyfold', 3, { maxRounds: 50, longestDelayMs: 1, baseDelayMs: 1 });
    const asherah = measure(await sendFleet(storm, 'asherah', 3));
    const sdk = measure(await sendFleet(storm, 'sdk', 3));
    const { best, of } = score([{ scenario: storm, measures: { keyfold: measure(worse), asherah, sdk } }]);
    expect(best).toBeLessThan(of);
    expect(measure(worse).calls).toBeGreaterThan(asherah.calls);
  });
});
