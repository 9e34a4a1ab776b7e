/** The engine that tries regions, on a clock turned by hand. What it remembers of them is in region-health.test.ts. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FaultClass } from '../../src/kms/faults.ts';
import { codeOf, errorOf, noDeadline } from '../support/fakes.ts';
import { ScriptedRegions } from '../support/failover-world.ts';

const PASSING = ['throttled', 'unavailable'] as const;
const LASTING = ['misconfigured', 'corrupt'] as const;
const NAMES = ['west', 'east', 'south', 'north'];

describe('the rounds', () => {
  it('the preferred region is asked alone while it answers', async () => {
    const regions = new ScriptedRegions(['west', 'east']);
    expect(await regions.request()).toBe('west');
    expect(regions.takeAsked()).toBe('west');
    expect(regions.slept).toEqual([]);
  });

  it.for([1, 2, 3, 5].flatMap((maxRounds) => [1, 2, 3].map((count) => [maxRounds, count] as const)))(
    'at most %i are made of %i regions that are down, and one attempt more where they throttle',
    async ([maxRounds, count]) => {
      for (const [faultClass, most] of [
        ['unavailable', maxRounds * count],
        ['throttled', 1 + maxRounds * count],
      ] as const) {
        const names = NAMES.slice(0, count);
        const regions = new ScriptedRegions(names, { maxRounds });
        regions.answers = Object.fromEntries(names.map((name) => [name, [faultClass]]));
        expect(await regions.request()).toBe(names.map((name) => `${name} ${faultClass}`).join(', '));
        expect(regions.attempts).toHaveLength(most);
      }
    },
  );

  it.for(LASTING)('a second is not begun where every region is %s', async (faultClass) => {
    const regions = new ScriptedRegions(['west', 'east']);
    regions.answers = { west: [faultClass], east: [faultClass] };
    expect(await regions.request()).toBe(`west ${faultClass}, east ${faultClass}`);
    expect(regions.takeAsked()).toBe('west east');
    expect(regions.slept).toEqual([]);
  });

  it('later ones leave out a region whose fault no waiting mends', async () => {
    const regions = new ScriptedRegions(['west', 'east', 'south']);
    regions.answers = { west: ['misconfigured'], east: ['unavailable'], south: ['unavailable', 'corrupt'] };
    expect(await regions.request()).toBe('west misconfigured, east unavailable, south corrupt');
    expect(regions.takeAsked()).toBe('west east south east south east');
  });

  it('an answer of a later one is an answer', async () => {
    const regions = new ScriptedRegions(['west', 'east']);
    regions.answers = { west: ['unavailable'], east: ['unavailable', 'unavailable', 'ok'] };
    expect(await regions.request()).toBe('east');
  });

  it('with one region down, whichever and however, at most one attempt more than there are regions is made', async () => {
    for (const count of [2, 3, 4]) {
      for (const down of NAMES.slice(0, count)) {
        for (const faultClass of [...PASSING, ...LASTING]) {
          const regions = new ScriptedRegions(NAMES.slice(0, count));
          regions.answers = { [down]: [faultClass] };
          expect(await regions.request()).toBe(down === 'west' ? 'east' : 'west');
          expect(regions.attempts.length).toBeLessThanOrEqual(1 + count);
        }
      }
    }
  });

  it('whatever befalls, attempts are bounded, and so is each delay', async () => {
    const answer = fc.constantFrom<'ok' | FaultClass>('ok', ...PASSING, ...LASTING);
    const script = fc.array(fc.array(answer, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(script, fc.integer({ min: 1, max: 5 }), async (answers, maxRounds) => {
        const names = NAMES.slice(0, answers.length);
        const regions = new ScriptedRegions(names, { maxRounds });
        regions.answers = Object.fromEntries(names.map((name, i) => [name, answers[i] ?? []]));
        for (let request = 0; request < 3; request += 1) {
          const before = regions.attempts.length;
          await regions.request();
          expect(regions.attempts.length - before).toBeLessThanOrEqual(1 + maxRounds * names.length);
        }
        expect(Math.max(0, ...regions.slept)).toBeLessThanOrEqual(2000);
      }),
    );
  });
});

describe('the delay before a round', () => {
  it.for([0, 0.25, 0.5, 1 - 2 ** -53])(
    'is drawn (%d) from zero to a limit that doubles and is capped',
    async (draw) => {
      const regions = new ScriptedRegions(['west'], { maxRounds: 7, baseDelayMs: 50, longestDelayMs: 600 });
      regions.draw = draw;
      regions.answers = { west: ['unavailable'] };
      await regions.request();
      expect(regions.slept).toEqual([50, 100, 200, 400, 600, 600].map((limit) => draw * limit));
    },
  );

  it('ends with the reason of a deadline that comes meanwhile', async () => {
    const regions = new ScriptedRegions(['west']);
    const controller = new AbortController();
    const reason = new Error('time is up');
    regions.answers = { west: [() => (controller.abort(reason), 'unavailable')] };
    expect(await errorOf(regions.request({ ...noDeadline(), signal: controller.signal }))).toBe(reason);
    expect(regions.takeAsked()).toBe('west');
  });
});

describe('a region that throttles', () => {
  it('is asked once more after a delay, since another may have a tenth of its quota', async () => {
    const regions = new ScriptedRegions(['west', 'east'], { baseDelayMs: 50 });
    regions.answers = { west: ['throttled', 'ok'] };
    expect(await regions.request()).toBe('west');
    expect(regions.takeAsked()).toBe('west west');
    expect(regions.slept).toEqual([25]);
  });

  it('is asked but once more before the next region is, whatever it says then', async () => {
    for (const second of [...PASSING, ...LASTING]) {
      const regions = new ScriptedRegions(['west', 'east']);
      regions.answers = { west: ['throttled', second] };
      expect(await regions.request()).toBe('east');
      expect(regions.takeAsked()).toBe('west west east');
    }
  });

  it('is the only one in a request to be asked once more', async () => {
    const regions = new ScriptedRegions(['west', 'east'], { maxRounds: 2 });
    regions.answers = { west: ['throttled'], east: ['throttled'] };
    expect(await regions.request()).toBe('west throttled, east throttled');
    expect(regions.takeAsked()).toBe('west west east west east');
  });

  it('may be another than the first that fails', async () => {
    const regions = new ScriptedRegions(['west', 'east']);
    regions.answers = { west: ['unavailable'], east: ['throttled', 'ok'] };
    expect(await regions.request()).toBe('east');
    expect(regions.takeAsked()).toBe('west east east');
  });
});

describe('at the deadline', () => {
  it('no attempt is begun with less than 50 ms left', async () => {
    const regions = new ScriptedRegions(['west']);
    expect(await codeOf(regions.request(regions.deadlineIn(49)))).toBe('DeadlineExceeded');
    expect(regions.takeAsked()).toBe('');
    expect(await regions.request(regions.deadlineIn(50))).toBe('west');
  });

  it('what was learnt before is told instead of asking another region in vain', async () => {
    const regions = new ScriptedRegions(['west', 'east']);
    regions.answers = { west: [() => (regions.clock.advance(951), 'unavailable')] };
    expect(await regions.request(regions.deadlineIn(1000))).toBe('west unavailable');
    expect(regions.takeAsked()).toBe('west');
  });

  it('no delay is begun after which there is no time to ask', async () => {
    const regions = new ScriptedRegions(['west', 'east'], { baseDelayMs: 100 });
    regions.answers = { west: ['throttled'], east: ['unavailable'] };
    // Drawn is 50 ms, for the repeat and for the second round: with 50 ms for an attempt that makes 100.
    expect(await regions.request(regions.deadlineIn(99))).toBe('west throttled, east unavailable');
    expect(regions.takeAsked()).toBe('west east');
    expect(regions.slept).toEqual([]);
    expect(await regions.request(regions.deadlineIn(100))).toBe('west throttled, east unavailable');
    expect(regions.slept).toEqual([50]);
  });

  it("its reason ends the request, and isn't held against the region that was being asked", async () => {
    const regions = new ScriptedRegions(['west', 'east']);
    const reason = new Error('time is up');
    regions.answers = { west: [() => Promise.reject(reason)] };
    expect(await errorOf(regions.request())).toBe(reason);
    expect(regions.takeAsked()).toBe('west');
    expect(regions.attempts).toEqual([]);
    expect(regions.states()).toEqual([
      { region: 'west', state: 'unknown' },
      { region: 'east', state: 'unknown' },
    ]);
  });
});

describe('onKeyRefused', () => {
  it('`failover` passes over a region that refuses its key', async () => {
    const regions = new ScriptedRegions(['west', 'east'], { onKeyRefused: 'failover' });
    regions.answers = { west: ['misconfigured'] };
    expect(await regions.request()).toBe('east');
  });

  it('`fail` stops at a region that refuses its key, in whichever place, and not at another fault', async () => {
    for (const [west, east, asked] of [
      ['misconfigured', 'ok', 'west'],
      ['unavailable', 'misconfigured', 'west east'],
      ['throttled', 'misconfigured', 'west west east'],
      ['corrupt', 'ok', 'west east'],
      ['unavailable', 'ok', 'west east'],
    ] as const) {
      const regions = new ScriptedRegions(['west', 'east'], { onKeyRefused: 'fail' });
      regions.answers = { west: [west], east: [east] };
      await regions.request();
      expect(regions.takeAsked()).toBe(asked);
    }
  });
});
