import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AuditEntry } from '../../src/doors/audit.ts';
import type { MessageOutcome } from '../../src/doors/queue-batch.ts';
import { createTelemetry, type Telemetry } from '../../src/doors/telemetry.ts';
import { keyRowUnreadable } from '../../src/envelope/errors.ts';
import { metaOf } from '../../src/envelope/ids.ts';
import { KeyfoldError, type ErrorCode } from '../../src/index.ts';
import { RegionFault } from '../../src/kms/faults.ts';
import { keyRecord } from '../contract/metastore-contract.ts';
import { captureOutput } from '../support/http-door.ts';

const KEY = { id: '_IK_p_svc_prod', created: 60 } as never;
const AUDITED: AuditEntry = {
  door: 'direct',
  requestId: 'aws-request',
  principal: null,
  operation: 'encrypt',
  partition: null,
  result: 'ok',
  keys: [],
};
let output: ReturnType<typeof captureOutput>;
let telemetry: Telemetry;

beforeEach(() => {
  output = captureOutput();
  telemetry = createTelemetry('svc');
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** The metric lines written so far: each metric's value or values, with its dimensions. */
function metrics(): Record<string, unknown>[] {
  return output
    .lines()
    .filter((line) => '_aws' in line)
    .map(({ _aws, ...rest }) => rest);
}

/** Has everything happen that is counted. */
function everything(): void {
  const { events } = telemetry;
  const fault = new RegionFault('us-west-2', 'Decrypt', 'throttled', 'ThrottlingException');
  events.keyCreated('system', KEY);
  events.keyRetired('intermediate', KEY, 'expired');
  for (const kind of ['system', 'intermediate'] as const) {
    for (const outcome of ['hit', 'miss', 'eviction'] as const) events.cacheUsed(kind, outcome);
  }
  events.servedStale(KEY);
  events.attempted({ region: 'us-west-2', action: 'Decrypt', latencyMs: 7, fault });
  events.attempted({ region: 'us-west-2', action: 'Decrypt', latencyMs: 9 });
  events.coolingDown('us-west-2', 5000);
  events.failedOver('us-east-1');
  events.wrapMissing('us-west-2');
  events.metastoreCalled('GetItem', 3, 'TimeoutError');
  telemetry.maintained({
    systemKeys: [
      {
        id: 'k',
        created: 60,
        state: 'valid',
        fault: 'why',
        regions: [{ region: 'us-west-2', opens: false, renewed: true }],
      },
      { id: 'k', created: 9e9, state: 'dated-ahead', regions: [] },
    ],
    createFault: 'why',
  });
  telemetry.requestFailed(new KeyfoldError('KmsThrottled', 'why'), 503);
  telemetry.messagesHandled(OUTCOMES, ['MessageNotInflight']);
}

function failed(...codes: ErrorCode[]): KeyfoldError[] {
  return codes.map((code) => new KeyfoldError(code, 'why', { cause: new Error(`reason of ${code}`) }));
}

const THROTTLED = new KeyfoldError('KmsThrottled', 'KMS throttles.', { cause: new Error('us-west-2: throttled') });
const OUTCOMES: readonly MessageOutcome[] = [
  { messageId: 'a', kind: 'done' },
  { messageId: 'b', kind: 'done' },
  { messageId: 'c', kind: 'retried', code: 'KmsThrottled', error: THROTTLED },
  { messageId: 'd', kind: 'retried', code: 'KmsThrottled', error: THROTTLED },
  { messageId: 'e', kind: 'retried', code: 'Behind' },
  { messageId: 'f', kind: 'dead-lettered', code: 'Internal', error: new KeyfoldError('Internal', 'why') },
];

describe('the metrics', () => {
  it('are those that docs/metrics.md names', () => {
    everything();
    telemetry.flush();
    const written = new Set(metrics().flatMap((line) => Object.keys(line).filter((name) => /^[A-Z]/.test(name))));
    const docs = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const table = docs.slice(docs.indexOf('| metric'), docs.indexOf('## What'));
    const named = [...table.matchAll(/`([A-Z][A-Za-z]+)`/g)].map(([, name = '']) => name);
    for (const kind of ['SystemKeyCache', 'IntermediateKeyCache']) {
      for (const what of ['Hits', 'Misses', 'Evictions']) named.push(`${kind}${what}`);
    }
    expect([...written].toSorted()).toEqual([...new Set(named)].toSorted());
  });

  it('are gathered over an invocation, one line for each set of dimensions', () => {
    everything();
    expect(metrics()).toEqual([]);
    telemetry.flush();
    expect(metrics()).toContainEqual({ service: 'svc', region: 'us-west-2', action: 'Decrypt', KmsCalls: 2 });
    expect(metrics()).toContainEqual(expect.objectContaining({ region: 'us-west-2', KmsLatency: [7, 9] }));
    const before = metrics().length;
    telemetry.flush();
    expect(metrics()).toHaveLength(before);
  });

  it('keep their dimensions however many values there are', () => {
    for (let i = 0; i < 250; i += 1) {
      telemetry.events.attempted({ region: 'us-west-2', action: 'Decrypt', latencyMs: i });
    }
    telemetry.flush();
    const latencies = metrics().flatMap((line) => {
      const values = line['KmsLatency'];
      return values === undefined || line['region'] !== 'us-west-2' ? [] : values;
    });
    expect(latencies).toHaveLength(250);
    expect(metrics()).toContainEqual({ service: 'svc', region: 'us-west-2', action: 'Decrypt', KmsCalls: 250 });
  });

  it("of a queue's messages are counted by what became of them, and those that failed alike logged in one line", () => {
    telemetry.messagesHandled(OUTCOMES, []);
    telemetry.flush();
    expect(metrics()).toEqual([
      { service: 'svc', MessagesDone: 2 },
      { service: 'svc', code: 'KmsThrottled', MessagesRetried: 2 },
      { service: 'svc', code: 'Behind', MessagesRetried: 1 },
      { service: 'svc', code: 'Internal', MessagesDeadLettered: 1 },
    ]);
    const logged = output.lines().filter((line) => 'level' in line);
    expect(logged).toMatchObject([
      {
        level: 'WARN',
        message: 'messages retried',
        code: 'KmsThrottled',
        count: 2,
        details: ['KMS throttles.'],
        reasons: ['us-west-2: throttled'],
        messageIds: ['c', 'd'],
      },
      { level: 'WARN', message: 'messages retried', code: 'Behind' },
      { level: 'ERROR', message: 'messages dead-lettered', code: 'Internal', messageIds: ['f'] },
    ]);
  });

  it('of the cache alone are written once a minute', () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    telemetry = createTelemetry('svc');
    for (let i = 0; i < 3; i += 1) {
      telemetry.events.cacheUsed('intermediate', 'hit');
      telemetry.flush();
    }
    expect(metrics()).toEqual([]);
    vi.setSystemTime(Date.now() + 60_000);
    telemetry.flush();
    expect(metrics()).toEqual([{ service: 'svc', IntermediateKeyCacheHits: 3 }]);
  });
});

describe('the age of the latest System Key', () => {
  const key = { id: 'k', created: 60, state: 'valid', regions: [] } as const;

  it.for([
    [
      'the first of those that there are',
      { systemKeys: [{ ...key, created: undefined }, key, { ...key, created: 0 }] },
      40,
    ],
    ['none that is dated too far ahead', { systemKeys: [{ ...key, created: 9e9, state: 'dated-ahead' }, key] }, 40],
    ['the one that was just made', { systemKeys: [key], created: metaOf(keyRecord('k', 90)) }, 10],
    ['none where there is no key', { systemKeys: [], createFault: 'why' }, undefined],
  ] as const)('is told after a maintenance: of %s', ([, report, age]) => {
    vi.useFakeTimers({ toFake: ['Date'], now: 100_000 });
    telemetry.maintained(report);
    telemetry.flush();
    expect(metrics().find((line) => 'SystemKeyAge' in line)?.['SystemKeyAge']).toBe(age);
  });
});

describe('the items of a batch that failed', () => {
  it('are one line, with how many there are of each code, and count one by one', () => {
    telemetry.itemsFailed(failed('RecordUnreadable', 'InvalidRequest', 'RecordUnreadable'));
    telemetry.flush();
    expect(output.lines().filter((line) => 'codes' in line)).toMatchObject([
      {
        level: 'WARN',
        codes: { RecordUnreadable: 2, InvalidRequest: 1 },
        reasons: ['reason of RecordUnreadable', 'reason of InvalidRequest'],
      },
    ]);
    expect(metrics()).toContainEqual({ service: 'svc', code: 'RecordUnreadable', RequestErrors: 2 });
  });

  it('are an error like a request by itself where it was us that failed', () => {
    telemetry.itemsFailed(failed('RecordUnreadable', 'KmsMisconfigured'));
    expect(output.lines()).toMatchObject([{ level: 'ERROR' }]);
  });
});

it('a System Key that could not be preloaded is a warning, with why, and no failed request', () => {
  telemetry.preloadFailed(THROTTLED);
  telemetry.flush();
  const reasons = ['us-west-2: throttled'];
  expect(output.lines()).toMatchObject([{ level: 'WARN', code: 'KmsThrottled', detail: 'KMS throttles.', reasons }]);
  expect(metrics()).toEqual([]);
});

describe('characters that a terminal would act upon or not show are escaped, and the values stay the same,', () => {
  const CONTROLS = ['\0', '\n', '\u001b', '\u007f', '\u0085', '\u009b', '\u2028', '\u2029'];
  const FORMATS = ['\u00ad', '\u061c', '\u200b', '\u202e', '\u2066', '\ufeff', '\u{110bd}', '\u{e0001}'];
  const HIDDEN = [...CONTROLS, ...FORMATS];
  const partition = `a${HIDDEN.join('b')}日本 é`;
  const key = { id: `_IK_${partition}_svc_prod`, created: 60 } as never;

  it.for([
    [
      'in the audit',
      () => telemetry.audited({ ...AUDITED, partition, principal: partition }),
      { partition, principal: partition },
    ],
    ['in a line of the log', () => telemetry.events.servedStale(key), { keyId: `_IK_${partition}_svc_prod` }],
    ['in a list', () => telemetry.requestFailed(...failedFor(partition)), { reasons: [partition] }],
  ] as const)('%s', ([, write, values]) => {
    write();
    expect(output.lines()).toMatchObject([values]);
    const text = output.text();
    for (const character of HIDDEN) expect(text.trimEnd()).not.toContain(character);
    expect(text).toContain('日本 é');
  });

  it('in the message of an error that names a key row', () => {
    const { message } = keyRowUnreadable(key, 'KeyRecord is missing');
    for (const character of HIDDEN) expect(message).not.toContain(character);
    expect(message).toContain(String.raw`\u001bb\u007fb`);
    expect(message).toContain(String.raw`\udb40\udc01日本 é`);
  });
});

function failedFor(reason: string): [KeyfoldError, number] {
  return [new KeyfoldError('RecordUnreadable', 'why', { cause: new Error(reason) }), 422];
}
