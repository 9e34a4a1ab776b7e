/** Tests over HTTP how each kind of request ends under each lasting or momentary DynamoDB fault. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../../local/dynamodb.ts';
import type { DataRowRecord } from '../../../src/index.ts';
import { DynamoDbProxy, type FaultOf, type DynamoDbFault } from '../../support/dynamodb-proxy.ts';
import { mustOpen, outcomeOf, REQUEST_NAMES, REQUESTS, type RequestName } from '../../support/requests.ts';
import { WireFixture } from '../../support/wire-fixture.ts';

/** The timeout for faults that prevent a response. */
const SILENT_TIMEOUT_MS = 2000;
/**
 * The timeout for all other faults. It is longer than any request may take, so a cell of the matrix fails if its
 * request waits for this timeout.
 */
const LONG_TIMEOUT_MS = 60_000;
const SLACK_MS = 5000;
/** The SDK's longest delays between three attempts: after throttling, and after any other fault. */
const THROTTLED_DELAY_MS = 2000;
const OTHER_DELAY_MS = 200;
/** How long a process remembers that a row was unreadable. */
const UNREADABLE_MS = 5000;
/** How long a cell waits after a request has ended, to see whether the process makes further calls. */
const AFTERMATH_MS = 300;

const FAULTS = {
  refuse: { kind: 'refuse' },
  hang: { kind: 'hang' },
  stall: { kind: 'stall' },
  '5xx': { kind: 'error', name: 'InternalServerError', status: 500 },
  throttle: { kind: 'error', name: 'ThrottlingException', status: 400 },
  'over capacity': { kind: 'error', name: 'ProvisionedThroughputExceededException', status: 400 },
  denied: { kind: 'error', name: 'AccessDeniedException', status: 400 },
  garbage: { kind: 'garbage' },
  'answer lost': { kind: 'answer lost' },
  malformed: { kind: 'edited', edit: (answer) => answer.replaceAll(/"Key":\{"S":"[^"]*"/g, '"Key":{"S":"!"') },
} as const satisfies Record<string, DynamoDbFault>;
type Fault = keyof typeof FAULTS | 'overtaken';

/** Which calls have the fault, and whether every attempt of a call has it, or only the first. */
const WHEN = {
  always: { calls: /./, first: false },
  once: { calls: /./, first: true },
  'at puts': { calls: /Put/, first: false },
  'once at puts': { calls: /Put/, first: true },
  'once at Put SK': { calls: /Put SK/, first: true },
  'once at Put IK': { calls: /Put IK/, first: true },
  'at rows of SKs': { calls: /SK/, first: false },
  'at rows of IKs': { calls: /IK/, first: false },
} as const;
type When = keyof typeof WHEN;

/**
 * For each fault, how the four requests must end and which calls they must make. A call is written as Q (Query), G
 * (GetItem) or P (PutItem), followed by s (System Key) or i (Intermediate Key).
 * - The SDK makes three attempts at a call if the fault is retryable.
 * - If the response to a put is lost, the SDK repeats the put, and then finds its own row in the table. The process
 *   loads that row, as it does after losing a creation race.
 * - `overtaken`: another process encrypts for the same partition just before the put.
 */
const MATRIX: readonly (readonly [Fault, When, ...string[]])[] = [
  // Columns: fault, when, encrypt with a new SK, encrypt with a known SK, decrypt cold, decrypt warm.
  ['refuse', 'always', 'MetastoreUnavailable Qi×3', 'MetastoreUnavailable Qi×3', 'MetastoreUnavailable Gi×3', 'ok -'],
  ['hang', 'always', 'MetastoreUnavailable Qi×3', 'MetastoreUnavailable Qi×3', 'MetastoreUnavailable Gi×3', 'ok -'],
  ['stall', 'always', 'MetastoreUnavailable Qi×3', 'MetastoreUnavailable Qi×3', 'MetastoreUnavailable Gi×3', 'ok -'],
  ['5xx', 'always', 'MetastoreUnavailable Qi×3', 'MetastoreUnavailable Qi×3', 'MetastoreUnavailable Gi×3', 'ok -'],
  ['throttle', 'always', 'MetastoreUnavailable Qi×3', 'MetastoreUnavailable Qi×3', 'MetastoreUnavailable Gi×3', 'ok -'],
  [
    'over capacity',
    'always',
    'MetastoreUnavailable Qi×3',
    'MetastoreUnavailable Qi×3',
    'MetastoreUnavailable Gi×3',
    'ok -',
  ],
  ['denied', 'always', 'MetastoreUnavailable Qi', 'MetastoreUnavailable Qi', 'MetastoreUnavailable Gi', 'ok -'],
  ['garbage', 'always', 'MetastoreUnavailable Qi', 'MetastoreUnavailable Qi', 'MetastoreUnavailable Gi', 'ok -'],

  ['refuse', 'once', 'ok Qi×2 Qs×2 Ps×2 Pi×2', 'ok Qi×2 Qs×2 Pi×2', 'ok Gi×2 Gs×2', 'ok -'],
  ['hang', 'once', 'ok Qi×2 Qs×2 Ps×2 Pi×2', 'ok Qi×2 Qs×2 Pi×2', 'ok Gi×2 Gs×2', 'ok -'],
  ['stall', 'once', 'ok Qi×2 Qs×2 Ps×2 Pi×2', 'ok Qi×2 Qs×2 Pi×2', 'ok Gi×2 Gs×2', 'ok -'],
  ['5xx', 'once', 'ok Qi×2 Qs×2 Ps×2 Pi×2', 'ok Qi×2 Qs×2 Pi×2', 'ok Gi×2 Gs×2', 'ok -'],
  ['throttle', 'once', 'ok Qi×2 Qs×2 Ps×2 Pi×2', 'ok Qi×2 Qs×2 Pi×2', 'ok Gi×2 Gs×2', 'ok -'],
  ['over capacity', 'once', 'ok Qi×2 Qs×2 Ps×2 Pi×2', 'ok Qi×2 Qs×2 Pi×2', 'ok Gi×2 Gs×2', 'ok -'],

  ['refuse', 'at puts', 'MetastoreUnavailable Qi Qs Ps×3', 'MetastoreUnavailable Qi Qs Pi×3', 'ok Gi Gs', 'ok -'],
  ['hang', 'at puts', 'MetastoreUnavailable Qi Qs Ps×3', 'MetastoreUnavailable Qi Qs Pi×3', 'ok Gi Gs', 'ok -'],
  ['answer lost', 'at puts', 'MetastoreUnavailable Qi Qs Ps×3', 'MetastoreUnavailable Qi Qs Pi×3', 'ok Gi Gs', 'ok -'],
  ['answer lost', 'once', 'ok Qi×2 Qs×2 Ps×2 Gs×2 Pi×2 Gi×2', 'ok Qi×2 Qs×2 Pi×2 Gi×2', 'ok Gi×2 Gs×2', 'ok -'],
  ['answer lost', 'once at puts', 'ok Qi Qs Ps×2 Gs Pi×2 Gi', 'ok Qi Qs Pi×2 Gi', 'ok Gi Gs', 'ok -'],
  ['answer lost', 'once at Put SK', 'ok Qi Qs Ps×2 Gs Pi', 'ok Qi Qs Pi', 'ok Gi Gs', 'ok -'],
  ['answer lost', 'once at Put IK', 'ok Qi Qs Ps Pi×2 Gi', 'ok Qi Qs Pi×2 Gi', 'ok Gi Gs', 'ok -'],

  ['overtaken', 'once at Put SK', 'ok Qi Qs Ps Gs Pi Gi', 'ok Qi Qs Pi', 'ok Gi Gs', 'ok -'],
  ['overtaken', 'once at Put IK', 'ok Qi Qs Ps Pi Gi', 'ok Qi Qs Pi Gi', 'ok Gi Gs', 'ok -'],

  // If the latest row is unreadable, a second query looks for the latest row up to now, because the unreadable row's
  // date may be in the future.
  ['malformed', 'at rows of SKs', 'ok Qi Qs Ps Pi', 'KeyRowUnreadable Qi Qs×2', 'KeyRowUnreadable Gi Gs', 'ok -'],
  ['malformed', 'at rows of IKs', 'ok Qi Qs Ps Pi', 'ok Qi Qs Pi', 'KeyRowUnreadable Gi', 'ok -'],
];

let dynamoDb: LocalDynamoDb;
let cells = 0;

beforeAll(async () => {
  dynamoDb = await startDynamoDb('EncryptionKey', 0);
});
afterAll(() => dynamoDb.close());

/** Adds the fault to the calls that `when` selects. */
function faultOf(fault: DynamoDbFault, when: When): FaultOf {
  const { calls, first } = WHEN[when];
  const seen = new Set<string>();
  return (call) => {
    if (!calls.test(call) || (first && seen.has(call))) return undefined;
    seen.add(call);
    return fault;
  };
}

/** Shortens a list of calls: `Query IK, Query IK, Put SK` becomes `Qi×2 Ps`. */
function shortOf(calls: readonly string[]): string {
  const runs: { call: string; count: number }[] = [];
  for (const call of calls) {
    const last = runs.at(-1);
    if (last?.call === call) last.count += 1;
    else runs.push({ call, count: 1 });
  }
  const short = ({ call, count }: (typeof runs)[number]): string =>
    `${call.charAt(0)}${call.endsWith('SK') ? 's' : 'i'}${count > 1 ? `×${count}` : ''}`;
  return runs.map(short).join(' ') || '-';
}

/** The longest time that a cell may take, in the form that outcomeOf expects. */
function boundMsOf(fault: Fault, expected: string): number {
  const attempts = [...expected.matchAll(/[QGP][is](?:×(\d))?/g)].reduce((sum, [, n = '1']) => sum + Number(n), 0);
  const silenceMs = fault === 'hang' || fault === 'stall' ? SILENT_TIMEOUT_MS : 0;
  const delayMs = fault === 'throttle' || fault === 'over capacity' ? THROTTLED_DELAY_MS : OTHER_DELAY_MS;
  return attempts * (silenceMs + delayMs) + SLACK_MS;
}

/** Runs one cell of the matrix. Returns the outcome of the request, and the calls that it made. */
async function cell(name: RequestName, fault: Fault, when: When, expected: string): Promise<string> {
  cells += 1;
  const service = `cell-${cells}`;
  const proxy = await DynamoDbProxy.start(dynamoDb.endpoint);
  const dynamoDbTimeoutMs = fault === 'hang' || fault === 'stall' ? SILENT_TIMEOUT_MS : LONG_TIMEOUT_MS;
  const world = await WireFixture.start({ dynamoDb: proxy.endpoint, dynamoDbTimeoutMs, service });
  const records: DataRowRecord[] = [];
  const overtake = async (): Promise<void> => {
    const rival = world.process({}, dynamoDb.endpoint);
    records.push(await REQUESTS['encrypt new SK'](() => rival).then((request) => request()));
  };
  try {
    const request = await REQUESTS[name](() => world.process());
    proxy.calls = [];
    proxy.faultOf = faultOf(fault === 'overtaken' ? { kind: 'overtaken', by: overtake } : FAULTS[fault], when);
    const { code, record } = await outcomeOf(request, boundMsOf(fault, expected));
    const calls = shortOf(proxy.calls);
    await sleep(AFTERMATH_MS);
    expect(shortOf(proxy.calls), `${name}: no call may follow the answer`).toBe(calls);
    proxy.faultOf = () => undefined;
    if (code === 'KeyRowUnreadable') await sleep(UNREADABLE_MS);
    // Once the fault has ended, the same process succeeds, and a cold process opens every record.
    const later = await outcomeOf(request, SLACK_MS);
    expect(later.code, `${name}: the code after the fault has ended`).toBe('ok');
    records.push(...[record, later.record].filter((one) => one !== undefined));
    for (const one of records) await mustOpen(world.process(), one);
    return `${code} ${calls}`;
  } finally {
    await world.stop();
    await proxy.stop();
  }
}

describe.concurrent(
  'encrypt with a new or a known System Key, and decrypt in a cold or a warm process,',
  { timeout: 40_000 },
  () => {
    it.for(MATRIX)(
      'end with the expected codes and calls under the DynamoDB fault "%s" (%s)',
      async ([fault, when, ...expected]) => {
        const cellOf = (name: RequestName, i: number): Promise<string> => cell(name, fault, when, expected[i] ?? '');
        expect(await Promise.all(REQUEST_NAMES.map(cellOf))).toEqual(expected);
      },
    );
  },
);
