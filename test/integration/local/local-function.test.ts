import { expect, it } from 'vitest';
import { LocalFunction } from '../../../local/local-function.ts';

/** A handler that returns its event, but hangs if the event is `never`, and ends its process if it is `exit`. */
const HANDLER = `export const handler = async (event) =>
  event === 'never' ? new Promise(() => {}) : event === 'exit' ? process.exit() : event;`;
const ECHO = `data:text/javascript,${encodeURIComponent(HANDLER)}`;

it('recycle makes events in the old environment fail, but not events in the new one', async () => {
  const echo = new LocalFunction(ECHO, {});
  expect(await echo.invoke('warm', 1000)).toBe('warm');
  const recycled = echo.recycle();
  const cold = echo.invoke('cold', 1000);
  await recycled;
  expect(await cold).toBe('cold');
  const [outcome] = await Promise.all([echo.invoke('never', 1000).catch(String), echo.recycle()]);
  expect(outcome).toBe('Error: The execution environment has ended.');
});

it('an environment that ends by itself fails its events, and the next event starts a new one', async () => {
  const echo = new LocalFunction(ECHO, {});
  const outcomes = ['never', 'exit'].map((event) => echo.invoke(event, 1000).catch(String));
  expect(await Promise.all(outcomes)).toEqual(Array(2).fill('Error: The execution environment has ended.'));
  expect(await echo.invoke('cold', 1000)).toBe('cold');
  await echo.recycle();
});
