import { readFileSync } from 'node:fs';
import validate from 'asl-validator';
import { expect, it } from 'vitest';
import { isErrorCode, isRetryable } from '../../../src/errors.ts';

interface Machine {
  readonly States: Readonly<Record<string, State>>;
}

interface State {
  readonly Retry?: readonly { readonly ErrorEquals: readonly string[]; readonly JitterStrategy?: string }[];
  readonly Catch?: readonly { readonly ErrorEquals: readonly string[] }[];
  readonly Parameters?: Readonly<Record<string, unknown>>;
  /** The inner state machine of a `Map` state. */
  readonly ItemProcessor?: Machine;
}

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const [, inDocs = ''] =
  /state-machine\.test\.ts.*?```json\n(.*?)```/s.exec(read('docs/reference/direct-invocation.md')) ?? [];
const MACHINES = [
  ['in the documentation', inDocs],
  ['in examples/step-functions', read('examples/step-functions/rewrap-table.asl.json')],
].map(([name, text = '']) => [name, JSON.parse(text) as Machine] as const);

/** All states of a machine, including states inside a Map. */
function statesOf({ States }: Machine): State[] {
  const states = Object.values(States);
  return states.concat(states.flatMap(({ ItemProcessor }) => (ItemProcessor ? statesOf(ItemProcessor) : [])));
}

it.for(MACHINES)('the state machine %s is valid', ([, machine]) => {
  const { isValid, errorsText } = validate(machine);
  expect(isValid ? '' : errorsText()).toBe('');
  expect(validate({ ...machine, StartAt: 'Nowhere' }).isValid).toBe(false);
});

it.for(MACHINES)(
  'the state machine %s retries each retryable failure with jitter, and catches only other failures',
  ([, machine]) => {
    const states = statesOf(machine);
    const retried = states.flatMap(({ Retry = [] }) => Retry);
    const caught = states.flatMap(({ Catch = [] }) => Catch.flatMap(({ ErrorEquals }) => ErrorEquals));
    const ours = retried.flatMap(({ ErrorEquals }) => ErrorEquals).filter((name) => !/^(?:Lambda|States)\./.test(name));
    expect(ours.filter(isErrorCode)).toEqual(ours);
    expect(ours.filter((code) => isErrorCode(code) && isRetryable(code))).toEqual(ours);
    // Read the codes that the documented table calls retryable. The state machine need not retry NotReady, which only
    // GET /v1/ready returns.
    const [, section = ''] = /^## Codes of the service\n(.*?)^## /ms.exec(read('docs/reference/errors.md')) ?? [];
    const lines = section.split('\n').filter((line) => /^\| `.*\| yes +\|/.test(line));
    const documented = lines.flatMap((line) => [...line.matchAll(/`(\w+)`/g)].map(([, code = '']) => code));
    expect([...ours, 'NotReady'].toSorted()).toEqual(documented.toSorted());
    expect(new Set(retried.map(({ JitterStrategy }) => JitterStrategy))).toEqual(new Set(['FULL']));
    expect(new Set(caught.filter(isErrorCode).map(isRetryable))).toEqual(new Set([false]));
  },
);

it.for(MACHINES)('the state machine %s replaces a card only if the card has not changed meanwhile', ([, machine]) => {
  const stores = statesOf(machine).filter(({ Parameters }) => Parameters?.['UpdateExpression'] !== undefined);
  expect(stores).toHaveLength(1);
  for (const { Parameters, Catch } of stores) {
    expect(Parameters).toMatchObject({ ConditionExpression: 'card = :old' });
    expect(Catch).toMatchObject([{ ErrorEquals: ['DynamoDB.ConditionalCheckFailedException'] }]);
  }
});

it('a card that cannot be reencrypted does not end the execution of the example state machine', () => {
  const [, [, machine] = []] = MACHINES;
  const states = machine === undefined ? [] : statesOf(machine);
  const caught = states.flatMap(({ Catch = [] }) => Catch.flatMap(({ ErrorEquals }) => ErrorEquals));
  // reencrypt quarantines a row for these codes. They stand for a lost key, an erased tenant, and text that is no
  // record.
  expect(caught).toEqual(expect.arrayContaining(['RecordUnreadable', 'PartitionErased', 'InvalidRequest']));
  // Without this filter, the path $.item.card.S would fail for a card that is no text, and no Catch would catch that.
  const scans = states.flatMap(({ Parameters }) => (Parameters?.['ProjectionExpression'] ? [Parameters] : []));
  expect(scans).toHaveLength(2);
  for (const scan of scans) expect(scan).toMatchObject({ FilterExpression: 'attribute_type(card, :string)' });
});
