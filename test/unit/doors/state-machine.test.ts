import { readFileSync } from 'node:fs';
import validate from 'asl-validator';
import { expect, it } from 'vitest';
import { isErrorCode, isRetryable } from '../../../src/errors.ts';

interface Task {
  readonly Retry?: readonly { readonly ErrorEquals: readonly string[]; readonly JitterStrategy?: string }[];
  readonly Catch?: readonly { readonly ErrorEquals: readonly string[] }[];
}

const docs = readFileSync(new URL('../../../docs/direct.md', import.meta.url), 'utf8');
const [, text = ''] = /state-machine\.test\.ts.*?```json\n(.*?)```/s.exec(docs) ?? [];
const machine = JSON.parse(text) as { readonly States: Record<string, Task> };
const rules = Object.values(machine.States);
const retried = rules.flatMap(({ Retry = [] }) => Retry);
const caught = rules.flatMap(({ Catch = [] }) => Catch.flatMap(({ ErrorEquals }) => ErrorEquals));

it('the state machine in the documents is valid', () => {
  const { isValid, errorsText } = validate(machine);
  expect(isValid ? '' : errorsText()).toBe('');
  expect(validate({ ...machine, StartAt: 'Nowhere' }).isValid).toBe(false);
});

it('the state machine retries each retryable failure with jitter, and catches every other one', () => {
  const ours = retried.flatMap(({ ErrorEquals }) => ErrorEquals).filter((name) => !/^(?:Lambda|States)\./.test(name));
  expect(ours.filter(isErrorCode)).toEqual(ours);
  expect(ours.filter((code) => isErrorCode(code) && isRetryable(code))).toEqual(ours);
  // The retryable codes in the documented table.
  const http = readFileSync(new URL('../../../docs/http.md', import.meta.url), 'utf8');
  const lines = http.split('\n').filter((line) => /^\| `.*\| yes +\|/.test(line));
  const documented = lines.flatMap((line) => [...line.matchAll(/`(\w+)`/g)].map(([, code = '']) => code));
  expect(ours.toSorted()).toEqual(documented.toSorted());
  expect(retried.map(({ JitterStrategy }) => JitterStrategy)).toEqual(['FULL', 'FULL']);
  expect(caught.map((code) => isErrorCode(code) && !isRetryable(code))).toEqual([true]);
});
