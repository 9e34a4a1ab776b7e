import { expect, it, vi } from 'vitest';
import { outcomeOf, watchClocks } from '../../../src/connections/inspected-calls.ts';

const AT_MS = Date.parse('2026-11-28T12:00:00Z');

it.for([
  // The date has whole seconds, so the server's clock was between 3.000 s and 3.999 s when this machine's clock was at
  // 5 s.
  ['as 1.5 seconds behind', { date: 'Sat, 28 Nov 2026 12:00:03 GMT' }, -1500],
  ['as unknown if the response has no date', {}, undefined],
  ['as unknown if the response has no headers', undefined, undefined],
  ['as unknown if the date is malformed', { date: 'never' }, undefined],
] as const)("watchClocks reports a server's clock %s", async ([, headers, offsetMs]) => {
  type Middleware = (next: () => Promise<object>) => (args: object) => Promise<object>;
  const added: Middleware[] = [];
  const steps: object[] = [];
  const times = [AT_MS + 4000, AT_MS + 6000];
  const offset = watchClocks(
    {
      middlewareStack: {
        add: (middleware, step) => {
          added.push(middleware);
          steps.push(step);
        },
      },
    },
    () => times.shift() ?? 0,
  );
  // The response is not parsed yet in the step that is closest to the network.
  expect(steps).toEqual([{ step: 'deserialize', priority: 'low' }]);
  expect(offset()).toBeUndefined();
  const result = { response: { headers } };
  expect(await added[0]?.(async () => result)({})).toBe(result);
  expect(offset()).toBe(offsetMs);
});

it('outcomeOf returns the response of a call with its latency, or the fault', async () => {
  const now = vi.spyOn(performance, 'now').mockReturnValueOnce(1000).mockReturnValueOnce(1025);
  expect(await outcomeOf(() => Promise.resolve('answer'))).toEqual({ answer: 'answer', latencyMs: 25 });
  now.mockRestore();
  const denied = Object.assign(new Error('key k'), { name: 'AccessDeniedException' });
  expect(await outcomeOf(() => Promise.reject(denied))).toEqual({
    fault: { name: 'AccessDeniedException', detail: 'key k' },
  });
});
