/** Tests how long Keyfold tries a region last after it failed, and which states and events it reports. */
import { describe, expect, it } from 'vitest';
import type { FailoverPolicy } from '../../../src/kms/failover-policy.ts';
import { ScriptedRegions } from '../../support/scripted-regions.ts';
import { errorOf } from '../../support/fakes.ts';

const COOL_DOWN_MS = 5000;
/** The cool-down for the random value 0.5: three quarters of its full length. */
const DRAWN_MS = 3750;
const JUST_UNDER_ONE = 1 - 2 ** -53;
/** Faults that start no cool-down, because the region responded. */
const ANSWERED = ['throttled', 'misconfigured', 'corrupt'] as const;

function scripted(changes: Partial<FailoverPolicy> = {}): ScriptedRegions {
  return new ScriptedRegions(['west', 'east'], { firstCoolDownMs: COOL_DOWN_MS, ...changes });
}

/** Makes a request, and returns the regions that it has tried. */
async function askedBy(regions: ScriptedRegions): Promise<string> {
  regions.takeRequested();
  await regions.request();
  return regions.takeRequested();
}

describe('a region that failed', () => {
  it('is tried last until its cool-down ends', async () => {
    const regions = scripted();
    const failedAtMs = regions.clock.nowMs;
    regions.answers = { west: ['unavailable'] };
    await regions.request();
    regions.answers = {};
    expect(await askedBy(regions)).toBe('east');
    regions.clock.nowMs = failedAtMs + DRAWN_MS - 1;
    expect(await askedBy(regions)).toBe('east');
    regions.clock.advance(1);
    expect(await askedBy(regions)).toBe('west');
  });

  it.for(ANSWERED)('keeps its place in the order of attempts after the fault "%s"', async (faultClass) => {
    const regions = scripted();
    regions.answers = { west: [faultClass] };
    expect(await askedBy(regions)).toBe('west east');
    expect(await askedBy(regions)).toBe('west east');
    expect(regions.coolDowns).toEqual([]);
    const state = faultClass === 'corrupt' ? 'ok' : faultClass;
    expect(regions.states()[0]).toMatchObject({ region: 'west', state, lastFault: { faultClass } });
    expect(regions.states()[0]).not.toHaveProperty('avoidedUntilMs');
  });

  it('is tried last only for the duration of its cool-down, even if the clock steps back', async () => {
    const regions = scripted();
    regions.answers = { west: ['unavailable'] };
    await regions.request();
    regions.answers = {};
    regions.clock.advance(-3_600_000);
    expect(regions.states()[0]).not.toHaveProperty('avoidedUntilMs');
    expect(await askedBy(regions)).toBe('west');
    expect(regions.attempts.every(({ latencyMs }) => latencyMs >= 0)).toBe(true);
  });

  it('gets a new cool-down if it fails after the clock has stepped back', async () => {
    const regions = scripted();
    regions.answers = { west: ['unavailable'] };
    await regions.request();
    regions.clock.advance(-3_600_000);
    await regions.request();
    expect(regions.coolDowns).toHaveLength(2);
    expect(regions.states()[0]?.avoidedUntilMs).toBeLessThanOrEqual(regions.clock.nowMs + 10_000);
  });

  it('is still tried during its cool-down if the other regions fail', async () => {
    const regions = scripted();
    regions.answers = { west: ['unavailable', 'ok'], east: ['ok', 'misconfigured'] };
    expect(await askedBy(regions)).toBe('west east');
    expect(await askedBy(regions)).toBe('east west');
  });

  it('is tried before a region whose cool-down ends later', async () => {
    const regions = scripted({ maxRounds: 1 });
    regions.answers = { west: ['misconfigured', 'unavailable', 'ok'], east: ['unavailable', 'unavailable', 'ok'] };
    expect(await askedBy(regions)).toBe('west east');
    regions.clock.advance(1);
    expect(await askedBy(regions)).toBe('west east');
    expect(await askedBy(regions)).toBe('east');
    regions.clock.advance(DRAWN_MS);
    expect(await askedBy(regions)).toBe('west');
  });
});

describe('a cool-down', () => {
  it.for([
    [2500, 0],
    [3750, 0.5],
    [5000, JUST_UNDER_ONE],
  ] as const)('lasts from 2500 to 5000 ms: %i ms for the random value %d', async ([ms, draw]) => {
    const regions = scripted();
    regions.draw = draw;
    regions.answers = { west: ['unavailable'] };
    await regions.request();
    expect(regions.coolDowns).toEqual([`west ${ms}`]);
  });

  it.for([
    ['ten seconds', {}, [5000, 10_000, 10_000, 10_000, 10_000, 10_000, 5000]],
    ['longestCoolDownMs', { longestCoolDownMs: 60_000 }, [5000, 10_000, 20_000, 40_000, 60_000, 60_000, 5000]],
  ] as const)(
    'doubles with each failure up to %s, and has the initial length again after a success',
    async ([, changes, lengths]) => {
      const regions = new ScriptedRegions(['west', 'east'], changes);
      regions.draw = JUST_UNDER_ONE;
      for (let failure = 0; failure < 6; failure += 1) {
        regions.answers = { west: ['unavailable'] };
        await regions.request();
        regions.clock.advance(60_000);
      }
      regions.answers = {};
      expect(await askedBy(regions)).toBe('west');
      regions.answers = { west: ['unavailable'] };
      await regions.request();
      expect(regions.coolDowns).toEqual(lengths.map((ms) => `west ${ms}`));
    },
  );

  it('starts only once for simultaneous failures', async () => {
    const regions = scripted();
    const down = Promise.withResolvers<'unavailable'>();
    regions.answers = { west: [() => down.promise] };
    const requests = Array.from({ length: 10 }, () => regions.request());
    down.resolve('unavailable');
    expect(await Promise.all(requests)).toEqual(Array(10).fill('east'));
    expect(regions.coolDowns).toEqual([`west ${DRAWN_MS}`]);
  });

  it('does not last longer if the region is tried again meanwhile', async () => {
    const regions = scripted();
    const failedAtMs = regions.clock.nowMs;
    regions.draw = 0;
    regions.answers = { west: ['unavailable'], east: ['corrupt'] };
    await regions.request();
    expect(regions.attempts.filter(({ region }) => region === 'west').length).toBeGreaterThan(2);
    expect(regions.states()[0]?.avoidedUntilMs).toBe(failedAtMs + COOL_DOWN_MS / 2);
  });

  it('starts only once for the failures in several rounds', async () => {
    const regions = scripted();
    regions.answers = { west: ['unavailable'], east: ['unavailable'] };
    await regions.request();
    expect(regions.coolDowns).toEqual([`west ${DRAWN_MS}`, `east ${DRAWN_MS}`]);
  });

  it('ends early when the region responds', async () => {
    const regions = scripted();
    regions.answers = { west: ['unavailable', 'ok'], east: ['ok', 'unavailable'] };
    await regions.request();
    await regions.request();
    expect(regions.states()[0]).not.toHaveProperty('avoidedUntilMs');
    expect(await askedBy(regions)).toBe('west');
  });

  it.for(ANSWERED)(
    'ends early after the fault "%s", and the next cool-down has the initial length again',
    async (faultClass) => {
      const regions = scripted({ maxRounds: 1 });
      regions.answers = { west: ['unavailable', faultClass, 'unavailable'], east: ['ok', 'misconfigured', 'ok'] };
      expect(await askedBy(regions)).toBe('west east');
      expect(await askedBy(regions)).toBe('east west');
      expect(regions.states()[0]).not.toHaveProperty('avoidedUntilMs');
      expect(await askedBy(regions)).toBe('west east');
      expect(regions.coolDowns).toEqual([`west ${DRAWN_MS}`, `west ${DRAWN_MS}`]);
    },
  );
});

/** Two regions, after the western one's cool-down has ended. */
async function cooled(): Promise<ScriptedRegions> {
  const regions = scripted();
  regions.answers = { west: ['unavailable'] };
  await regions.request();
  regions.clock.advance(DRAWN_MS);
  regions.takeRequested();
  return regions;
}

describe("after a region's cool-down", () => {
  it('one request tries the region again, while others still try it last', async () => {
    const regions = await cooled();
    const back = Promise.withResolvers<'ok'>();
    regions.answers = { west: [() => back.promise, 'ok'] };
    const prober = regions.request();
    expect(await Promise.all([1, 2, 3].map(() => regions.request()))).toEqual(['east', 'east', 'east']);
    back.resolve('ok');
    expect(await prober).toBe('west');
    expect(regions.takeRequested()).toBe('west east east east');
    expect(await askedBy(regions)).toBe('west');
  });

  it('a new failure doubles the cool-down', async () => {
    const regions = await cooled();
    expect(await askedBy(regions)).toBe('west east');
    expect(regions.coolDowns).toEqual([`west ${DRAWN_MS}`, `west ${2 * DRAWN_MS}`]);
    expect(await askedBy(regions)).toBe('east');
  });

  it('a later request tries the region again if the first attempt was aborted', async () => {
    const regions = await cooled();
    const reason = new Error('its caller has left');
    regions.answers = { west: [() => Promise.reject(reason), 'ok'] };
    expect(await errorOf(regions.request())).toBe(reason);
    expect(await askedBy(regions)).toBe('east');
    regions.clock.advance(COOL_DOWN_MS);
    expect(await askedBy(regions)).toBe('west');
  });
});

describe('the reports about KMS regions', () => {
  it('show the last state of each region, the preferred region first', async () => {
    const regions = scripted();
    const unknown = ['west', 'east'].map((region) => ({ region, state: 'unknown' }));
    expect(regions.states()).toStrictEqual(unknown);
    const atMs = regions.clock.nowMs;
    regions.answers = { west: ['unavailable', 'ok'] };
    await regions.request();
    const lastFault = { faultClass: 'unavailable', errorName: 'Scripted', atMs };
    expect(regions.states()).toStrictEqual([
      { region: 'west', state: 'unavailable', atMs, lastFault, avoidedUntilMs: atMs + DRAWN_MS },
      { region: 'east', state: 'ok', atMs },
    ]);
    regions.clock.advance(DRAWN_MS);
    await regions.request();
    expect(regions.states()[0]).toEqual({ region: 'west', state: 'ok', atMs: atMs + DRAWN_MS, lastFault });
  });

  it('show the region, the action, the latency and the fault of each attempt', async () => {
    const regions = scripted();
    regions.answers = {
      west: [() => (regions.clock.advance(70), 'throttled'), 'unavailable'],
      east: [() => (regions.clock.advance(30), 'throttled'), 'ok'],
    };
    await regions.request();
    expect(regions.attempts).toMatchObject([
      { region: 'west', action: 'Decrypt', latencyMs: 70, fault: { faultClass: 'throttled' } },
      { region: 'east', action: 'Decrypt', latencyMs: 30, fault: { faultClass: 'throttled' } },
      { region: 'west', action: 'Decrypt', latencyMs: 0, fault: { faultClass: 'unavailable' } },
      { region: 'east', action: 'Decrypt', latencyMs: 0 },
    ]);
    expect(regions.attempts[3]).not.toHaveProperty('fault');
  });
});
