import { expect, it } from 'vitest';
import { LocalFunction } from '../../../local/local-function.ts';

/** Answers with the event, but never to `never`. */
const HANDLER = "export const handler = async (event) => event === 'never' ? new Promise(() => {}) : event;";
const ECHO = `data:text/javascript,${encodeURIComponent(HANDLER)}`;

it('a cold start fails what ran before, and nothing of the new environment', async () => {
  const echo = new LocalFunction(ECHO, {});
  expect(await echo.invoke('warm', 1000)).toBe('warm');
  const recycled = echo.recycle();
  const cold = echo.invoke('cold', 1000);
  await recycled;
  expect(await cold).toBe('cold');
  const [outcome] = await Promise.all([echo.invoke('never', 1000).catch(String), echo.recycle()]);
  expect(outcome).toBe('Error: The execution environment has ended.');
});
