import { expect, it } from 'vitest';
import { LocalFunction } from '../../../local/local-function.ts';

/** A handler that returns its event, but hangs if the event is `never`, and ends its process if it is `exit`. */
const HANDLER = `export const handler = async (event) =>
  event === 'never' ? new Promise(() => {}) : event === 'exit' ? process.exit() : event;`;
const ECHO = `data:text/javascript,${encodeURIComponent(HANDLER)}`;

it('a handler receives its event and the context of its function', async () => {
  const code = 'export const handler = async (event, context) => [event, context, context.getRemainingTimeInMillis()]';
  const shown = new LocalFunction(`data:text/javascript,${encodeURIComponent(code)}`, { IT: 'x' }, 'mine');
  const [event, context, leftMs] = (await shown.invoke('it', 5000)) as [string, object, number];
  expect(event).toBe('it');
  expect(context).toEqual({
    awsRequestId: expect.stringMatching(/^[\da-f-]{36}$/) as string,
    functionName: 'mine',
    functionVersion: '$LATEST',
    invokedFunctionArn: 'arn:aws:lambda:us-west-2:111122223333:function:mine',
    memoryLimitInMB: '1024',
    logGroupName: '/aws/lambda/mine',
    logStreamName: 'local',
    callbackWaitsForEmptyEventLoop: false,
  });
  expect(leftMs).toBeGreaterThan(0);
  expect(leftMs).toBeLessThanOrEqual(5000);
  expect(JSON.parse(await shown.run('1', 1000, 'the-id'))).toMatchObject([
    1,
    { awsRequestId: 'the-id' },
    expect.any(Number),
  ]);
  await shown.recycle();
});

it("a function has only its own environment variables, returns null if it has no result, and returns errors in the runtime's format", async () => {
  const code = `export const handler = async (event) => {
    if (event === 'throw') throw Object.assign(new RangeError('out'), { stack: 'one\\ntwo' });
    if (event === 'text') throw 'text';
    return event === 'environment' ? Object.keys(process.env) : undefined;
  }`;
  const plain = new LocalFunction(`data:text/javascript,${encodeURIComponent(code)}`, { IT: 'x' });
  const names = (await plain.invoke('environment', 1000)) as string[];
  expect(names.filter((name) => name !== 'NODE_COMPILE_CACHE')).toEqual(['IT']);
  expect(await plain.run('1', 1000)).toBe('null');
  await expect(plain.invoke('throw', 1000)).rejects.toMatchObject({
    name: 'FunctionFailure',
    message: 'RangeError: out',
    details: {
      errorType: 'RangeError',
      errorMessage: 'out',
      trace: ['one', 'two'],
    },
  });
  await expect(plain.invoke('text', 1000)).rejects.toMatchObject({
    message: 'string: text',
    details: { errorType: 'string', errorMessage: 'text', trace: [] },
  });
  await plain.recycle();
});

it('recycle makes events in the old environment fail, but not events in the new environment', async () => {
  const echo = new LocalFunction(ECHO, {});
  expect(await echo.invoke('warm', 1000)).toBe('warm');
  const recycled = echo.recycle();
  const cold = echo.invoke('cold', 1000);
  await recycled;
  expect(await cold).toBe('cold');
  const [outcome] = await Promise.all([echo.invoke('never', 1000).catch(String), echo.recycle()]);
  expect(outcome).toBe('Error: The execution environment has ended.');
});

it('an environment that ends by itself fails its events, and the next event starts a new environment', async () => {
  const echo = new LocalFunction(ECHO, {});
  const outcomes = ['never', 'exit'].map((event) => echo.invoke(event, 1000).catch(String));
  expect(await Promise.all(outcomes)).toEqual(Array(2).fill('Error: The execution environment has ended.'));
  expect(await echo.invoke('cold', 1000)).toBe('cold');
  await echo.recycle();
});
