import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect, it, vi } from 'vitest';
import { copyPlainLines, logRequest } from '../../../local/request-log.ts';

it('the log line of a request shows the time and the rounded duration, and escapes control characters', () => {
  const printed = vi.spyOn(console, 'log').mockImplementation(() => {});
  logRequest({ what: 'INVOKE a\u001b[31m', outcome: '404 It', ms: 12.6 });
  expect(printed.mock.calls).toEqual([
    [expect.stringMatching(/^\d\d:\d\d:\d\d {2}INVOKE a\\u001b\[31m {2}404 It {2}13 ms$/)],
  ]);
  printed.mockRestore();
});

it("the copy of a function's output omits the lines that are JSON", async () => {
  const from = Readable.from(['{"level":"INFO"}\n(node:1) Warning\n', '{"_aws":1}\nlast']);
  const to = new PassThrough();
  copyPlainLines(from, to);
  await once(from, 'end');
  setImmediate(() => to.end());
  expect(await text(to)).toBe('(node:1) Warning\nlast\n');
});
