import { expect, it } from 'vitest';
import { commandTerminal } from '../../../src/cli/command-terminal.ts';
import type { CliDependencies } from '../../../src/cli/dependencies.ts';
import { progressOf, type Total } from '../../../src/cli/progress.ts';
import { HandClock } from '../../../src/testing/hand-clock.ts';

/** The status lines of a command that runs for `ms` milliseconds, and finishes 10 items every 100 milliseconds. */
function shownFor(ms: number, ...[total, doneBefore]: readonly [Total?, number?]): string[] {
  const clock = new HandClock();
  const shown: string[] = [];
  const terminal = { out: () => {}, err: () => {}, status: (text: string) => void shown.push(text) };
  const progress = progressOf('rows', { terminal, now: clock.now } as unknown as CliDependencies, total, doneBefore);
  for (let passedMs = 0; passedMs < ms; passedMs += 100) {
    clock.advance(100);
    progress.advance(10);
  }
  progress.end();
  return shown;
}

it('the progress line appears after a second, changes about four times a second, and disappears at the end', () => {
  expect(shownFor(900)).toEqual(['']);
  expect(shownFor(1900)).toEqual(['100 rows, 100/s', '130 rows, 100/s', '160 rows, 100/s', '190 rows, 100/s', '']);
});

it('the progress line says how much is left if the total is known', () => {
  expect(shownFor(1000, 450)).toEqual(['100 rows of 450, 4 s left, 100/s', '']);
  expect(shownFor(1000, 100)).toEqual(['100 rows of 100, 0 s left, 100/s', '']);
});

it('the progress line says how much is left if the total is estimated, unless the estimate is too low', () => {
  expect(shownFor(1000, (done) => done * 3)).toEqual(['100 rows of about 300, 2 s left, 100/s', '']);
  expect(shownFor(1000, () => 99)).toEqual(['100 rows, 100/s', '']);
  expect(shownFor(1000, () => undefined)).toEqual(['100 rows, 100/s', '']);
});

it('the progress line includes the items of an earlier run in the count, but not in the rate', () => {
  expect(shownFor(1000, 1000, 500)).toEqual(['600 rows of 1000, 4 s left, 100/s', '']);
});

it('the progress line does not say how much is left until the run has done an item', () => {
  const clock = new HandClock();
  const shown: string[] = [];
  const dependencies = { terminal: { status: (text: string) => void shown.push(text) }, now: clock.now };
  const totals = [1000, NaN, () => 1000, () => NaN];
  for (const [i, total] of totals.entries()) {
    const progress = progressOf('rows', dependencies as unknown as CliDependencies, total, i);
    clock.advance(1000);
    progress.advance(0);
  }
  expect(shown).toEqual(totals.map((_, i) => `${i} rows, 0/s`));
});

it('the progress line is removed before the next line of output, and only once', () => {
  const written: string[] = [];
  const write = (text: string): void => void written.push(text);
  const audit = (line: string): Promise<void> => Promise.resolve(write(line));
  const terminal = commandTerminal({ out: write, err: write, audit, status: (text) => write(`[${text}]`) });
  const others = [
    (text: string): void => terminal.out(text),
    (text: string): void => terminal.err(text),
    (text: string): void => void terminal.audit?.(text),
  ];
  for (const other of others) {
    terminal.status?.('1 rows');
    other('first');
    other('second');
    terminal.status?.('');
  }
  expect(written).toEqual(others.flatMap(() => ['[1 rows]', '[]', 'first', 'second']));
});
