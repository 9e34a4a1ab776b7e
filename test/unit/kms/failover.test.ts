/** Tests Failover with a clock that the tests control. region-health.test.ts tests the health of regions. */
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { failoverPolicy } from '../../../src/kms/failover-policy.ts';
import { FreezeDetector } from '../../../src/connections/freeze-detector.ts';
import { Failover } from '../../../src/kms/failover.ts';
import type { KmsRegion } from '../../../src/kms/kms-region.ts';
import { RegionFault, type FaultClass } from '../../../src/kms/region-fault.ts';
import { codeOf, errorOf, noDeadline } from '../../support/fakes.ts';
import { ScriptedRegions } from '../../support/scripted-regions.ts';

const PASSING = ['throttled', 'unavailable'] as const;
const LASTING = ['misconfigured', 'corrupt'] as const;
const NAMES = ['west', 'east', 'south', 'north'];
const JUST_UNDER_ONE = 1 - 2 ** -53;
const DRAWS = [0, 0.25, 0.5, JUST_UNDER_ONE];

/** Matches a number of milliseconds, and allows for floating-point error. */
const about = (ms: number): number => expect.closeTo(ms, 2) as number;

describe('a request to KMS regions', () => {
  it('tries only the preferred region while that region responds', async () => {
    const regions = new ScriptedRegions(['west', 'east']);
    expect(await regions.request()).toBe('west');
    expect(regions.takeRequested()).toBe('west');
    expect(regions.slept).toEqual([]);
  });

  it.for([1, 2, 3, 5].flatMap((maxRounds) => [1, 2, 3].map((count) => [maxRounds, count] as const)))(
    'tries each failing region once per round, or one region per later round if all regions throttle (rounds: %i, regions: %i)',
    async ([maxRounds, count]) => {
      for (const [faultClass, draw, most] of [
        ['unavailable', 0, maxRounds * count],
        ['unavailable', 0.5, maxRounds * count],
        ['throttled', 0, count + maxRounds - 1],
        ['throttled', 0.5, count + maxRounds - 1],
      ] as const) {
        const names = NAMES.slice(0, count);
        const regions = new ScriptedRegions(names, { maxRounds });
        regions.draw = draw;
        regions.answers = Object.fromEntries(names.map((name) => [name, [faultClass]]));
        expect(await regions.request()).toBe(names.map((name) => `${name} ${faultClass}`).join(', '));
        expect(regions.attempts).toHaveLength(most);
      }
    },
  );

  it.for(LASTING)('makes only one round if every region has the fault "%s"', async (faultClass) => {
    const regions = new ScriptedRegions(['west', 'east']);
    regions.answers = { west: [faultClass], east: [faultClass] };
    expect(await regions.request()).toBe(`west ${faultClass}, east ${faultClass}`);
    expect(regions.takeRequested()).toBe('west east');
    expect(regions.slept).toEqual([]);
  });

  it('does not try a region with a permanent fault again in later rounds', async () => {
    const regions = new ScriptedRegions(['west', 'east', 'south'], { maxRounds: 3 });
    regions.answers = { west: ['misconfigured'], east: ['unavailable'], south: ['unavailable', 'corrupt'] };
    expect(await regions.request()).toBe('west misconfigured, east unavailable, south corrupt');
    expect(regions.takeRequested()).toBe('west east south east south east');
  });

  it('makes eight rounds by default', async () => {
    const regions = new ScriptedRegions(['west']);
    regions.answers = { west: ['unavailable'] };
    await regions.request();
    expect(regions.attempts).toHaveLength(8);
  });

  it('tries the preferred region first in later rounds, even during its cool-down', async () => {
    const regions = new ScriptedRegions(['west', 'east']);
    regions.answers = { west: ['unavailable'], east: ['ok', 'throttled', 'ok'] };
    await regions.request();
    regions.takeRequested();
    expect(await regions.request()).toBe('east');
    expect(regions.states()[0]?.avoidedUntilMs).toBeGreaterThan(regions.clock.nowMs);
    expect(regions.takeRequested()).toBe('east west west east');
  });

  it('succeeds if a region responds in a later round', async () => {
    const regions = new ScriptedRegions(['west', 'east']);
    regions.answers = { west: ['unavailable'], east: ['unavailable', 'unavailable', 'ok'] };
    expect(await regions.request()).toBe('east');
  });

  it('needs at most one extra attempt if one region fails', async () => {
    for (const count of [2, 3, 4]) {
      for (const down of NAMES.slice(0, count)) {
        for (const faultClass of [...PASSING, ...LASTING]) {
          const regions = new ScriptedRegions(NAMES.slice(0, count));
          regions.answers = { [down]: [faultClass] };
          expect(await regions.request()).toBe(down === 'west' ? 'east' : 'west');
          expect(regions.attempts).toHaveLength(down === 'west' ? 2 : 1);
        }
      }
    }
  });

  it('makes at most one attempt per region and round, and no delay above 4.5 seconds, for every sequence of faults', async () => {
    const answer = fc.constantFrom<'ok' | FaultClass>('ok', ...PASSING, ...LASTING);
    const script = fc.array(fc.array(answer, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 4 });
    const draws = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    await fc.assert(
      fc.asyncProperty(script, fc.integer({ min: 1, max: 8 }), draws, async (answers, maxRounds, draw) => {
        const names = NAMES.slice(0, answers.length);
        const regions = new ScriptedRegions(names, { maxRounds });
        regions.draw = draw;
        regions.answers = Object.fromEntries(names.map((name, i) => [name, answers[i] ?? []]));
        for (let request = 0; request < 3; request += 1) {
          const before = regions.attempts.length;
          await regions.request();
          expect(regions.attempts.length - before).toBeLessThanOrEqual(maxRounds * names.length);
        }
        const longestMs = answers.flat().includes('throttled') ? 4500 : 2000;
        expect(Math.max(0, ...regions.slept)).toBeLessThanOrEqual(longestMs);
      }),
    );
  });
});

/** The delay after a first round in which regions throttled. Short delays are more likely than long ones. */
function firstDelayMs(draw: number): number {
  return 4500 * (0.16 + 0.84 * draw ** 1.45);
}

describe('the random delay before a round', () => {
  it.for(DRAWS)('has a limit that doubles each round if no region throttles (random value %d)', async (draw) => {
    const regions = new ScriptedRegions(['west'], { maxRounds: 7, baseDelayMs: 50, longestDelayMs: 600 });
    regions.draw = draw;
    regions.answers = { west: ['unavailable'] };
    await regions.request();
    expect(regions.slept).toEqual([50, 100, 200, 400, 600, 600].map((limit) => draw * limit));
  });

  it.for(DRAWS)(
    'has a limit that shrinks to a third over the rounds if the preferred region throttles (random value %d)',
    async (draw) => {
      for (const elsewhere of [...PASSING, ...LASTING]) {
        const regions = new ScriptedRegions(['west', 'east'], { maxRounds: 10 });
        regions.draw = draw;
        regions.answers = { west: ['throttled'], east: [elsewhere] };
        await regions.request();
        const limits = [3780, 3175.2, 2667.168, 2240.421, 1881.954, 1580.841, 1500, 1500];
        const later = limits.map((limit) => about(limit / 8 + (draw * 7 * limit) / 8));
        expect(regions.slept).toEqual([about(firstDelayMs(draw)), ...later]);
      }
    },
  );

  it.for(DRAWS)(
    'is between 1500 and 4500 ms if only a less preferred region throttles (random value %d)',
    async (draw) => {
      for (const atHome of ['unavailable', ...LASTING] as const) {
        const regions = new ScriptedRegions(['west', 'east'], { maxRounds: 5 });
        regions.draw = draw;
        regions.answers = { west: [atHome], east: ['throttled'] };
        await regions.request();
        expect(regions.slept).toEqual(Array.from({ length: 4 }, () => about(1500 + draw * 3000)));
      }
    },
  );

  it('has a limit that doubles from 50 ms to 2 s by default', async () => {
    const regions = new ScriptedRegions(['west']);
    regions.draw = JUST_UNDER_ONE;
    regions.answers = { west: ['unavailable'] };
    await regions.request();
    expect(regions.slept).toEqual([50, 100, 200, 400, 800, 1600, 2000].map(about));
  });

  it('is at most throttledDelayMs if a region throttles', async () => {
    for (const [west, east] of [
      ['throttled', 'unavailable'],
      ['unavailable', 'throttled'],
    ] as const) {
      const regions = new ScriptedRegions(['west', 'east'], { maxRounds: 2, throttledDelayMs: 40 });
      regions.draw = JUST_UNDER_ONE;
      regions.answers = { west: [west], east: [east] };
      await regions.request();
      expect(regions.slept).toEqual([about(40)]);
    }
  });

  it("depends on each region's last fault and on the round", async () => {
    const regions = new ScriptedRegions(['west', 'east'], { maxRounds: 4 });
    regions.answers = { west: ['throttled', 'unavailable', 'throttled'], east: ['unavailable'] };
    await regions.request();
    expect(regions.slept).toEqual([about(firstDelayMs(0.5)), about(50), about(3175.2 * 0.5625)]);
  });

  it('depends most on the first region that the request names', async () => {
    const regions = new ScriptedRegions(['west', 'east', 'south'], { maxRounds: 3 });
    regions.draw = 0;
    regions.answers = { east: ['throttled'], south: ['unavailable'] };
    expect(await regions.request(noDeadline(), ['east', 'south'])).toBe('east throttled, south unavailable');
    expect(regions.slept).toEqual([about(720), about(3780 / 8)]);
  });

  it('depends on how the preferred region failed, even if another region was tried first', async () => {
    const regions = new ScriptedRegions(['west', 'east'], { maxRounds: 2 });
    regions.draw = 0;
    regions.answers = { west: ['unavailable', 'throttled'], east: ['ok', 'unavailable'] };
    await regions.request();
    regions.takeRequested();
    await regions.request();
    expect(regions.takeRequested()).toBe('east west east west');
    expect(regions.slept).toEqual([about(720)]);
  });

  it("ends with the deadline's abort reason when the deadline passes", async () => {
    const regions = new ScriptedRegions(['west']);
    const controller = new AbortController();
    const reason = new Error('time is up');
    regions.answers = { west: [() => (controller.abort(reason), 'unavailable')] };
    expect(await errorOf(regions.request({ ...noDeadline(), signal: controller.signal }))).toBe(reason);
    expect(regions.takeRequested()).toBe('west');
  });
});

describe('a request to a region that throttles', () => {
  it.for(DRAWS)('goes on to the next region at once in the first round (random value %d)', async (draw) => {
    const regions = new ScriptedRegions(['west', 'east', 'south']);
    regions.draw = draw;
    regions.answers = { west: ['throttled'], east: ['throttled'] };
    expect(await regions.request()).toBe('south');
    expect(regions.takeRequested()).toBe('west east south');
    expect(regions.slept).toEqual([]);
  });

  it.for([
    ['another region first', 0, 'west east south east'],
    ['another region first', 0.06 - 2 ** -53, 'west east south east'],
    ['only the preferred region', 0.06, 'west east south west'],
    ['only the preferred region', JUST_UNDER_ONE, 'west east south west'],
  ] as const)(
    'tries %s in a later round if the preferred region throttles (random value %d)',
    async ([, draw, asked]) => {
      const regions = new ScriptedRegions(['west', 'east', 'south'], { maxRounds: 2 });
      regions.draw = draw;
      regions.answers = { west: ['throttled'], east: ['throttled'], south: ['throttled'] };
      expect(await regions.request()).toBe('west throttled, east throttled, south throttled');
      expect(regions.takeRequested()).toBe(asked);
    },
  );

  it.for(DRAWS)('does not go on to less preferred regions in a later round (random value %d)', async (draw) => {
    const regions = new ScriptedRegions(['west', 'east', 'south'], { maxRounds: 2 });
    regions.draw = draw;
    regions.answers = { west: ['unavailable'], east: ['throttled'], south: ['throttled'] };
    expect(await regions.request()).toBe('west unavailable, east throttled, south throttled');
    expect(regions.takeRequested()).toBe('west east south west east');
  });

  it('tries each region only once in a later round that begins with another region', async () => {
    const regions = new ScriptedRegions(['west', 'east', 'south'], { maxRounds: 2 });
    regions.draw = 0;
    regions.answers = { west: ['throttled', 'unavailable'], east: ['unavailable'], south: ['unavailable'] };
    await regions.request();
    expect(regions.takeRequested()).toBe('west east south east south west');
  });

  it('tries a less preferred region again if the preferred region becomes unavailable in a later round', async () => {
    const regions = new ScriptedRegions(['west', 'east']);
    regions.answers = { west: ['throttled', 'throttled', 'unavailable'], east: ['throttled', 'ok'] };
    expect(await regions.request()).toBe('east');
    expect(regions.takeRequested()).toBe('west east west west east');
  });
});

describe('a request near its deadline', () => {
  it('blames no region if the clock steps ahead', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
    const { events, attempts, coolDowns, random, sleep } = new ScriptedRegions([]);
    const west = { region: 'west' } as KmsRegion;
    const failover = new Failover([west], failoverPolicy({}, 1), { now: Date.now, random, sleep }, events);
    const ask = (send: () => Promise<string>) =>
      failover.firstAnswer([west], { action: 'Decrypt', deadline: noDeadline(), send });
    const late = new Error('the deadline has passed');
    const failed = ask(() => {
      vi.setSystemTime(Date.now() + 3_600_000);
      vi.advanceTimersByTime(400);
      return Promise.reject(late);
    });
    expect(await errorOf(failed)).toBe(late);
    expect([attempts, coolDowns]).toEqual([[], []]);
    await ask(async () => {
      vi.setSystemTime(Date.now() - 3_600_000);
      vi.advanceTimersByTime(7);
      return 'west';
    });
    expect(attempts).toEqual([{ region: 'west', action: 'Decrypt', latencyMs: 7 }]);
    vi.useRealTimers();
  });

  it('reports 0 ms for an attempt during which the clock of the caller steps back', async () => {
    const { clock, now, events, attempts, random, sleep } = new ScriptedRegions([]);
    const west = { region: 'west' } as KmsRegion;
    const failover = new Failover([west], failoverPolicy({}, 1), { now, random, sleep }, events);
    for (const fault of [undefined, new RegionFault('west', 'Decrypt', 'misconfigured', 'Test')]) {
      const send = async (): Promise<string> => {
        clock.advance(-1000);
        if (fault !== undefined) throw fault;
        return 'west';
      };
      await failover.firstAnswer([west], { action: 'Decrypt', deadline: noDeadline(), send });
    }
    expect(attempts.map(({ latencyMs, fault }) => [latencyMs, fault?.faultClass])).toEqual([
      [0, undefined],
      [0, 'misconfigured'],
    ]);
  });

  it('begins no attempt if less than 50 ms are left', async () => {
    const regions = new ScriptedRegions(['west']);
    expect(await codeOf(regions.request(regions.deadlineIn(49)))).toBe('DeadlineExceeded');
    expect(regions.takeRequested()).toBe('');
    expect(await regions.request(regions.deadlineIn(50))).toBe('west');
  });

  it('returns the faults of the regions it has tried if no time is left for another region', async () => {
    const regions = new ScriptedRegions(['west', 'east']);
    regions.answers = { west: [() => (regions.clock.advance(951), 'unavailable')] };
    expect(await regions.request(regions.deadlineIn(1000))).toBe('west unavailable');
    expect(regions.takeRequested()).toBe('west');
  });

  it.for(LASTING)(
    'fails with DeadlineExceeded if the first region has the fault "%s" and no time is left for the second region',
    async (faultClass) => {
      const regions = new ScriptedRegions(['west', 'east']);
      regions.answers = { west: [() => (regions.clock.advance(951), faultClass)] };
      expect(await codeOf(regions.request(regions.deadlineIn(1000)))).toBe('DeadlineExceeded');
      expect(regions.takeRequested()).toBe('west');
    },
  );

  it.for([
    ['unavailable', 50, 0.5],
    ['throttled', 128, 0],
  ] as const)(
    'begins no delay that would leave too little time for an attempt (west %s, delay %i ms)',
    async ([faultClass, drawnMs, draw]) => {
      const regions = new ScriptedRegions(['west', 'east'], { baseDelayMs: 100, throttledDelayMs: 800 });
      regions.draw = draw;
      regions.answers = { west: [faultClass], east: ['unavailable'] };
      // An attempt needs 50 ms after the delay, but this deadline leaves only 49 ms.
      expect(await regions.request(regions.deadlineIn(drawnMs + 49))).toBe(`west ${faultClass}, east unavailable`);
      expect(regions.takeRequested()).toBe('west east');
      expect(regions.slept).toEqual([]);
      await regions.request(regions.deadlineIn(drawnMs + 50));
      expect(regions.slept).toEqual([drawnMs]);
    },
  );

  it("rejects with the deadline's abort reason, and does not count the abort as a failure of the region", async () => {
    const regions = new ScriptedRegions(['west', 'east']);
    const reason = new Error('time is up');
    regions.answers = { west: [() => Promise.reject(reason)] };
    expect(await errorOf(regions.request())).toBe(reason);
    expect(regions.takeRequested()).toBe('west');
    expect(regions.attempts).toEqual([]);
    expect(regions.states()).toEqual([
      { region: 'west', state: 'unknown' },
      { region: 'east', state: 'unknown' },
    ]);
  });
});

describe('an attempt that the deadline aborts', () => {
  it.for([
    ['starts no cool-down of its region if the abort comes after 499 ms', 499, []],
    ['starts a cool-down of its region if the abort comes after 500 ms', 500, ['west 3750']],
  ] as const)('%s', async ([, tookMs, coolDowns]) => {
    const regions = new ScriptedRegions(['west', 'east']);
    const reason = new Error('time is up');
    regions.answers = { west: [() => (regions.clock.advance(tookMs), Promise.reject(reason))] };
    expect(await errorOf(regions.request())).toBe(reason);
    expect(regions.coolDowns).toEqual(coolDowns);
    expect(regions.attempts.map(({ fault }) => fault?.errorName)).toEqual(coolDowns.map(() => 'NoAnswerInTime'));
    expect(regions.takeRequested()).toBe('west');
  });
});

describe('an attempt during which the process is frozen', () => {
  it('counts a missing response as a failure of the region only if the freeze was shorter than a second', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance', 'setInterval', 'clearInterval'] });
    const failing: Record<string, () => Promise<string>> = {
      'a fault': () => Promise.reject(new RegionFault('west', 'Decrypt', 'unavailable', 'TimeoutError')),
      'an abort': () => Promise.reject(new Error('time is up')),
    };
    for (const [what, fail] of Object.entries(failing)) {
      for (const frozenMs of [990, 1050]) {
        const { events, attempts, coolDowns, sleep } = new ScriptedRegions([]);
        const west = { region: 'west' } as KmsRegion;
        const dependencies = { now: Date.now, random: () => 0, sleep };
        const failover = new Failover([west], failoverPolicy({ maxRounds: 1 }, 1), dependencies, events);
        const send = (): Promise<string> => {
          // The attempt takes 600 ms without the freeze, and the timers run late after the freeze.
          for (let i = 0; i < 24; i += 1) vi.advanceTimersByTime(25);
          vi.setSystemTime(Date.now() + frozenMs - 25);
          vi.advanceTimersByTime(25);
          return fail();
        };
        await failover.firstAnswer([west], { action: 'Decrypt', deadline: noDeadline(), send }).catch(() => undefined);
        const isBlamed = frozenMs < 1000;
        expect({
          what,
          frozenMs,
          attempts: attempts.length,
          coolDowns: coolDowns.length,
          timers: vi.getTimerCount(),
        }).toEqual({ what, frozenMs, attempts: Number(isBlamed), coolDowns: Number(isBlamed), timers: 0 });
        expect(failover.states()[0]?.state).toBe(isBlamed ? 'unavailable' : 'unknown');
      }
    }
    vi.useRealTimers();
  });

  it('still counts a refusal of the KMS key', async () => {
    vi.spyOn(FreezeDetector.prototype, 'wasFrozen').mockReturnValue(true);
    const { events, attempts, random, sleep } = new ScriptedRegions([]);
    const west = { region: 'west' } as KmsRegion;
    const failover = new Failover([west], failoverPolicy({}, 1), { now: Date.now, random, sleep }, events);
    const refusal = new RegionFault('west', 'Decrypt', 'misconfigured', 'Test');
    const send = (): Promise<string> => Promise.reject(refusal);
    await failover.firstAnswer([west], { action: 'Decrypt', deadline: noDeadline(), send });
    expect(attempts.map(({ fault }) => fault)).toEqual([refusal]);
    expect(failover.states()[0]).toMatchObject({ state: 'misconfigured' });
    vi.restoreAllMocks();
  });

  it('counts a missing response if the clock is not the one of the machine, as in a simulation', async () => {
    vi.spyOn(FreezeDetector.prototype, 'wasFrozen').mockReturnValue(true);
    const regions = new ScriptedRegions(['west', 'east']);
    regions.answers = { west: ['unavailable'] };
    expect(await regions.request()).toBe('east');
    expect(regions.states()[0]).toMatchObject({ state: 'unavailable' });
    vi.restoreAllMocks();
  });
});

describe('onKeyRefused', () => {
  it('is "failover" by default: a request goes on to the next region if a region refuses the KMS key', async () => {
    const regions = new ScriptedRegions(['west', 'east']);
    regions.answers = { west: ['misconfigured'] };
    expect(await regions.request()).toBe('east');
  });

  it('"failover" lets a request go on to the next region if a region refuses the KMS key', async () => {
    const regions = new ScriptedRegions(['west', 'east'], { onKeyRefused: 'failover' });
    regions.answers = { west: ['misconfigured'] };
    expect(await regions.request()).toBe('east');
  });

  it('"fail" ends a request at any region that refuses the KMS key', async () => {
    for (const [west, east, asked] of [
      ['misconfigured', 'ok', 'west'],
      ['unavailable', 'misconfigured', 'west east'],
      ['throttled', 'misconfigured', 'west east'],
      ['corrupt', 'ok', 'west east'],
      ['unavailable', 'ok', 'west east'],
    ] as const) {
      const regions = new ScriptedRegions(['west', 'east'], { onKeyRefused: 'fail' });
      regions.answers = { west: [west], east: [east] };
      await regions.request();
      expect(regions.takeRequested()).toBe(asked);
    }
  });
});
