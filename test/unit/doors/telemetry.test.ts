import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AuditEntry } from '../../../src/doors/audit.ts';
import type { MessageOutcome } from '../../../src/doors/message-outcome.ts';
import { createMaintenanceTelemetry, type MaintenanceTelemetry } from '../../../src/doors/telemetry.ts';
import { keyRowUnreadable } from '../../../src/errors.ts';
import { metaOf } from '../../../src/records/ids.ts';
import { KeyfoldError, type ErrorCode } from '../../../src/index.ts';
import { NotSent } from '../../../src/sqs/outbox.ts';
import { RegionFault } from '../../../src/kms/region-fault.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { captureOutput } from '../../support/http-door.ts';

const KEY = { id: '_IK_p_svc_prod', created: 60 } as never;
const AUDITED: AuditEntry = {
  door: 'direct',
  requestId: 'aws-request',
  principal: null,
  operation: 'encrypt',
  partition: null,
  result: 'ok',
  keys: [],
  context: false,
};
let output: ReturnType<typeof captureOutput>;
let telemetry: MaintenanceTelemetry;

beforeEach(() => {
  output = captureOutput();
  telemetry = createMaintenanceTelemetry('svc');
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** The metric lines so far. Each has its metrics' values and its dimensions. */
function metrics(): Record<string, unknown>[] {
  return output
    .lines()
    .filter((line) => '_aws' in line)
    .map(({ _aws, ...rest }) => rest);
}

/** Reports every event for which the telemetry has a metric. */
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
  events.openedUnbound(KEY);
  events.markIgnored(KEY);
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
    erasuresDue: [{ partition: 'tenant-7', erase: 'e', at: 60, due: 120 } as never],
  });
  telemetry.requestFailed(new KeyfoldError('KmsThrottled', 'why'));
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
  it('are the metrics that docs/reference/metrics.md names', () => {
    everything();
    telemetry.flush();
    const written = new Set(metrics().flatMap((line) => Object.keys(line).filter((name) => /^[A-Z]/.test(name))));
    const docs = readFileSync(new URL('../../../docs/reference/metrics.md', import.meta.url), 'utf8');
    const tables = docs.slice(0, docs.indexOf('## Alarms'));
    const named = [...tables.matchAll(/^\| `([A-Z][A-Za-z]+)`/gm)].map(([, name = '']) => name);
    for (const kind of ['SystemKeyCache', 'IntermediateKeyCache']) {
      for (const what of ['Hits', 'Misses', 'Evictions']) named.push(`${kind}${what}`);
    }
    expect([...written].toSorted()).toEqual([...new Set(named)].toSorted());
  });

  it('are in the namespace that docs/reference/metrics.md gives', () => {
    everything();
    telemetry.flush();
    const written = output.lines().flatMap((line) => ('_aws' in line ? JSON.stringify(line['_aws']) : []));
    expect(written.length).toBeGreaterThan(0);
    for (const metadata of written) expect(metadata).toContain('"Namespace":"Keyfold"');
  });

  it('are written once per invocation, in one line for each set of dimensions', () => {
    everything();
    expect(metrics()).toEqual([]);
    telemetry.flush();
    expect(metrics()).toContainEqual({ service: 'svc', region: 'us-west-2', action: 'Decrypt', KmsCalls: 2 });
    expect(metrics()).toContainEqual(expect.objectContaining({ region: 'us-west-2', KmsLatency: [7, 9] }));
    const before = metrics().length;
    telemetry.flush();
    expect(metrics()).toHaveLength(before);
  });

  it('are written in several lines if one metric has more than 99 values', () => {
    for (let i = 0; i < 250; i += 1) {
      telemetry.events.attempted({ region: 'us-west-2', action: 'Decrypt', latencyMs: i });
    }
    telemetry.flush();
    const latencies = metrics().flatMap((line) => {
      const values = line['KmsLatency'];
      return values === undefined || line['region'] !== 'us-west-2' ? [] : values;
    });
    expect(latencies).toEqual(Array.from({ length: 250 }, (_, i) => i));
    const perLine = metrics().flatMap(({ KmsLatency: values }) => (Array.isArray(values) ? values.length : []));
    expect(perLine).toEqual([99, 99, 52]);
    expect(metrics()).toContainEqual({ service: 'svc', region: 'us-west-2', action: 'Decrypt', KmsCalls: 250 });
  });

  it.for([99, 100])('keep their dimensions, and cause no warning, if another metric has %i values', (count) => {
    for (let i = 0; i < count; i += 1) {
      telemetry.events.attempted({ region: 'us-west-2', action: 'Decrypt', latencyMs: i });
    }
    telemetry.events.wrapMissing('us-west-2');
    telemetry.flush();
    expect(metrics()).toContainEqual(expect.objectContaining({ KmsWrapsMissing: 1, region: 'us-west-2' }));
    const others = output.text().split('\n');
    expect(others.filter((line) => !line.startsWith('{'))).toEqual(['']);
  });

  it('are all written, even if one of them has more than 99 values', () => {
    telemetry.events.servedStale(KEY);
    for (let i = 0; i < 150; i += 1) telemetry.maintained({ systemKeys: [WELL] });
    telemetry.flush();
    const ages = metrics().flatMap(({ SystemKeyAge: values }) => values ?? []);
    expect(ages).toHaveLength(150);
    expect(metrics().flatMap(({ StaleServes: count }) => count ?? [])).toEqual([1]);
  });

  it('count queue messages by outcome and error code', () => {
    telemetry.messagesHandled(OUTCOMES, []);
    telemetry.flush();
    expect(metrics()).toEqual([
      { service: 'svc', MessagesDone: 2 },
      { service: 'svc', code: 'KmsThrottled', MessagesRetried: 2 },
      { service: 'svc', code: 'Behind', MessagesRetried: 1 },
      { service: 'svc', code: 'Internal', MessagesDeadLettered: 1 },
    ]);
    expect(logged()).toMatchObject([
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

  it('for the cache are written once a minute, even without requests', () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    telemetry = createMaintenanceTelemetry('svc');
    for (let i = 0; i < 3; i += 1) {
      telemetry.events.cacheUsed('intermediate', 'hit');
      telemetry.flush();
    }
    vi.setSystemTime(Date.now() + 59_999);
    telemetry.flush();
    expect(metrics()).toEqual([]);
    vi.setSystemTime(Date.now() + 1);
    telemetry.flush();
    const first = { service: 'svc', IntermediateKeyCacheHits: 3 };
    expect(metrics()).toEqual([first]);
    telemetry.events.cacheUsed('intermediate', 'hit');
    vi.setSystemTime(Date.now() + 59_999);
    telemetry.flush();
    expect(metrics()).toEqual([first]);
    vi.setSystemTime(Date.now() + 1);
    telemetry.flush();
    expect(metrics()).toEqual([first, { service: 'svc', IntermediateKeyCacheHits: 1 }]);
  });

  it('for the cache are written at most once a minute, even after the clock was set back', () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    telemetry = createMaintenanceTelemetry('svc');
    telemetry.events.cacheUsed('intermediate', 'hit');
    vi.setSystemTime(Date.now() - 86_400_000);
    telemetry.flush();
    const first = { service: 'svc', IntermediateKeyCacheHits: 1 };
    expect(metrics()).toEqual([first]);
    telemetry.events.cacheUsed('intermediate', 'hit');
    vi.setSystemTime(Date.now() + 59_999);
    telemetry.flush();
    expect(metrics()).toEqual([first]);
    vi.setSystemTime(Date.now() + 1);
    telemetry.flush();
    expect(metrics()).toEqual([first, first]);
  });

  it('for the cache are counted by kind of key and outcome', () => {
    const outcomes = ['hit', 'miss', 'eviction'] as const;
    outcomes.forEach((outcome, i) => {
      for (let n = 0; n <= i; n += 1) telemetry.events.cacheUsed('system', outcome);
      for (let n = 0; n <= i + 3; n += 1) telemetry.events.cacheUsed('intermediate', outcome);
    });
    telemetry.events.servedStale(KEY);
    telemetry.flush();
    expect(metrics()).toEqual([
      {
        service: 'svc',
        StaleServes: 1,
        SystemKeyCacheHits: 1,
        SystemKeyCacheMisses: 2,
        SystemKeyCacheEvictions: 3,
        IntermediateKeyCacheHits: 4,
        IntermediateKeyCacheMisses: 5,
        IntermediateKeyCacheEvictions: 6,
      },
    ]);
  });
});

/** The log lines without the fields that every line has. */
function logged(): Record<string, unknown>[] {
  return output
    .lines()
    .filter((line) => 'level' in line)
    .map(({ timestamp: _timestamp, service: _service, sampling_rate: _rate, ...line }) => line);
}

const CALL = { region: 'us-west-2', action: 'Decrypt' } as const;
const REGIONS = { ['us-west-2']: { region: 'us-west-2', opens: true, renewed: false } } as const;
const WELL = { id: 'k', created: 60, state: 'valid', regions: [REGIONS['us-west-2']] } as const;

describe('telemetry', () => {
  it.for([
    [
      'a created key',
      ({ events }) => events.keyCreated('intermediate', KEY),
      { level: 'INFO', message: 'key created', kind: 'intermediate', keyId: '_IK_p_svc_prod', created: 60 },
      { kind: 'intermediate', KeysCreated: 1 },
    ],
    [
      'a retired key',
      ({ events }) => events.keyRetired('system', KEY, 'revoked'),
      { level: 'INFO', message: 'key retired', kind: 'system', keyId: '_IK_p_svc_prod', created: 60, why: 'revoked' },
      { kind: 'system', why: 'revoked', KeysRetired: 1 },
    ],
    [
      'a key that is used beyond its cache age',
      ({ events }) => events.servedStale(KEY),
      {
        level: 'WARN',
        message: 'a key goes on serving while the metastore is down',
        keyId: '_IK_p_svc_prod',
        created: 60,
      },
      { StaleServes: 1 },
    ],
    [
      'a cool-down',
      ({ events }) => events.coolingDown('us-west-2', 5000),
      { level: 'WARN', message: 'KMS region is asked last for a while', region: 'us-west-2', coolDownMs: 5000 },
      { region: 'us-west-2', KmsCoolDowns: 1 },
    ],
    ['a failover', ({ events }) => events.failedOver('us-east-1'), undefined, { region: 'us-east-1', KmsFailovers: 1 }],
    [
      'a missing wrap',
      ({ events }) => events.wrapMissing('us-west-2'),
      {
        level: 'ERROR',
        message: 'a System Key was wrapped without this region, which cannot open it',
        region: 'us-west-2',
      },
      { region: 'us-west-2', KmsWrapsMissing: 1 },
    ],
    [
      'an ignored mark of an erasure',
      ({ events }) => events.markIgnored(KEY),
      { level: 'ERROR', message: 'a mark of an erasure is ignored', keyId: '_IK_p_svc_prod', created: 60 },
      { ErasureMarksIgnored: 1 },
    ],
    [
      'messages that may return too early',
      (one) => one.messagesHandled([], ['A', 'B', 'A']),
      { level: 'WARN', message: 'messages may come back too early', count: 3, errorNames: ['A', 'B'] },
      undefined,
    ],
    [
      'a request that failed because of the caller',
      (one) => one.requestFailed(new KeyfoldError('RecordUnreadable', 'why', { cause: new Error('it was changed') })),
      {
        level: 'WARN',
        message: 'request failed',
        code: 'RecordUnreadable',
        status: 422,
        retryable: false,
        detail: 'why',
        reasons: ['it was changed'],
      },
      { code: 'RecordUnreadable', RequestErrors: 1 },
    ],
    [
      'a request that may succeed later',
      (one) => one.requestFailed(THROTTLED),
      {
        level: 'ERROR',
        message: 'request failed',
        code: 'KmsThrottled',
        status: 503,
        retryable: true,
        detail: 'KMS throttles.',
        reasons: ['us-west-2: throttled'],
      },
      { code: 'KmsThrottled', RequestErrors: 1 },
    ],
    [
      'a request that failed because of the service',
      (one) => one.requestFailed(new KeyfoldError('KeyRowUnreadable', 'why')),
      {
        level: 'ERROR',
        message: 'request failed',
        code: 'KeyRowUnreadable',
        status: 500,
        retryable: false,
        detail: 'why',
        reasons: [],
      },
      { code: 'KeyRowUnreadable', RequestErrors: 1 },
    ],
  ] as readonly (readonly [
    string,
    (telemetry: MaintenanceTelemetry) => void,
    object | undefined,
    object | undefined,
  ])[])('writes a log line or a metric for %s', ([, happen, line, metric]) => {
    happen(telemetry);
    expect(logged()).toEqual(line === undefined ? [] : [line]);
    telemetry.flush();
    expect(metrics()).toEqual(metric === undefined ? [] : [{ service: 'svc', ...metric }]);
  });

  it.for([
    ['misconfigured', 'ERROR'],
    ['corrupt', 'ERROR'],
    ['throttled', 'WARN'],
    ['unavailable', 'WARN'],
  ] as const)('writes a log line and metrics for a KMS call that failed with the class %s', ([faultClass, level]) => {
    const fault = new RegionFault('us-west-2', 'Decrypt', faultClass, 'SomeException');
    telemetry.events.attempted({ ...CALL, latencyMs: 7, fault });
    const { message: reason } = fault;
    expect(logged()).toEqual([
      { level, message: 'KMS region failed', ...CALL, faultClass, errorName: 'SomeException', reason },
    ]);
    telemetry.flush();
    expect(metrics()).toEqual([
      { service: 'svc', region: 'us-west-2', KmsLatency: 7 },
      { service: 'svc', ...CALL, KmsCalls: 1 },
      { service: 'svc', region: 'us-west-2', faultClass, KmsRegionFailures: 1 },
    ]);
  });

  it('writes metrics for KMS and metastore calls, and counts only failed calls as failures', () => {
    telemetry.events.attempted({ ...CALL, latencyMs: 7 });
    telemetry.events.metastoreCalled('GetItem', 3, undefined);
    telemetry.events.metastoreCalled('Query', 4, 'TimeoutError');
    telemetry.flush();
    expect(logged()).toEqual([]);
    expect(metrics()).toEqual([
      { service: 'svc', region: 'us-west-2', KmsLatency: 7 },
      { service: 'svc', ...CALL, KmsCalls: 1 },
      { service: 'svc', action: 'GetItem', MetastoreLatency: 3 },
      { service: 'svc', action: 'Query', MetastoreLatency: 4, MetastoreFailures: 1 },
    ]);
  });

  it('writes latencies and ages with their units', () => {
    telemetry.events.attempted({ ...CALL, latencyMs: 7 });
    telemetry.events.metastoreCalled('GetItem', 3, undefined);
    telemetry.maintained({ systemKeys: [WELL] });
    telemetry.flush();
    const units = new Map(
      output.lines().flatMap(({ _aws: aws }) => {
        const { CloudWatchMetrics: groups } = (aws ?? { CloudWatchMetrics: [] }) as {
          CloudWatchMetrics: { Metrics: { Name: string; Unit: string }[] }[];
        };
        return groups.flatMap((group) => group.Metrics.map(({ Name: name, Unit: unit }) => [name, unit] as const));
      }),
    );
    expect(Object.fromEntries(units)).toEqual({
      KmsLatency: 'Milliseconds',
      KmsCalls: 'Count',
      MetastoreLatency: 'Milliseconds',
      SystemKeyAge: 'Seconds',
    });
  });
});

describe('a System Key after maintenance', () => {
  const sound = REGIONS['us-west-2'];
  const shut = { region: 'us-east-1', opens: false, renewed: false };
  it.for([
    ['without a fault', WELL, 'INFO', {}],
    ['with a renewed wrap', { ...WELL, regions: [{ ...sound, renewed: true }] }, 'INFO', { WrapsRenewed: 1 }],
    ['with a failed maintenance', { ...WELL, fault: 'why' }, 'ERROR', { SystemKeysNotMaintained: 1 }],
    ['with a future date', { ...WELL, state: 'dated-ahead' }, 'ERROR', { SystemKeysDatedAhead: 1 }],
    ['that one region cannot open', { ...WELL, regions: [sound, shut] }, 'ERROR', { SystemKeysUnopenable: 1 }],
    ['with a fault in one region', { ...WELL, regions: [{ ...sound, fault: 'why' }] }, 'ERROR', {}],
  ] as const)('%s is logged, and the metrics have the matching counts', ([, key, level, counts]) => {
    telemetry.maintained({ systemKeys: [key] });
    expect(logged()).toEqual([{ level, message: 'System Key maintained', ...key }]);
    telemetry.flush();
    const found = metrics().flatMap((line) => Object.entries(line).filter(([name]) => /^(?:System|Wraps)/.test(name)));
    const { SystemKeyAge: _, ...rest } = Object.fromEntries(found);
    expect(rest).toEqual(counts);
  });

  it('is logged if maintenance made the key in advance, or failed to make the key', () => {
    telemetry.maintained({ systemKeys: [], created: metaOf(keyRecord('k', 90)) });
    telemetry.maintained({ systemKeys: [], createFault: 'why' });
    expect(logged()).toMatchObject([
      { level: 'INFO', message: 'the next System Key was made ahead', id: 'k', created: 90 },
      { level: 'ERROR', message: 'the next System Key could not be made ahead', createFault: 'why' },
    ]);
    telemetry.flush();
    expect(metrics()).toContainEqual(expect.objectContaining({ SystemKeysNotCreated: 1 }));
  });
});

function ten(word: string): string[] {
  return Array.from({ length: 10 }, (_, i) => `${word}${i}`);
}

describe('the log line of a failure', () => {
  it('has the messages of all causes, in order', () => {
    const cause = new Error('outer', { cause: new Error('inner', { cause: 'no error' }) });
    telemetry.requestFailed(new KeyfoldError('KmsUnavailable', 'why', { cause }));
    expect(logged()).toMatchObject([{ reasons: ['outer', 'inner'] }]);
  });

  it('logs ten reasons of an error that is its own cause', () => {
    const cause = new Error('again');
    cause.cause = cause;
    telemetry.requestFailed(new KeyfoldError('KmsUnavailable', 'No region answered.', { cause }));
    expect(logged()).toMatchObject([{ reasons: Array(10).fill('again') }]);
  });

  it('has at most ten different causes and ten different messages', () => {
    const errors = Array.from({ length: 12 }, (_, i) => {
      const cause = new Error(`reason ${i}`);
      return new KeyfoldError('RecordUnreadable', `detail ${i}`, { cause });
    });
    telemetry.itemsFailed([...errors, ...errors]);
    telemetry.messagesHandled(
      errors.map((error, i) => ({ messageId: `m${i}`, kind: 'dead-lettered', code: 'RecordUnreadable', error })),
      [],
    );
    expect(logged()).toEqual([
      expect.objectContaining({ codes: { RecordUnreadable: 24 }, reasons: ten('reason ') }),
      expect.objectContaining({
        level: 'WARN',
        count: 12,
        details: ten('detail '),
        reasons: ten('reason '),
        messageIds: ten('m'),
      }),
    ]);
  });

  it.for([
    ['ERROR', 'KmsMisconfigured'],
    ['ERROR', 'Internal'],
    ['WARN', 'KmsUnavailable'],
    ['WARN', 'DeadlineExceeded'],
  ] as const)('has the level %s if the error code is %s', ([level, code]) => {
    telemetry.messagesHandled([{ messageId: 'a', kind: 'retried', code, error: new KeyfoldError(code, 'why') }], []);
    expect(logged()).toMatchObject([{ level }]);
  });

  it('is a warning if a queue did not accept a result', () => {
    const error = new NotSent({ errorName: 'TimeoutError' });
    telemetry.messagesHandled([{ messageId: 'a', kind: 'retried', code: 'NotSent', error }], []);
    expect(logged()).toMatchObject([{ level: 'WARN', details: ['SQS: TimeoutError'], reasons: [] }]);
  });

  it.for([
    ['Internal', 'TypeError at f (file.ts:1:1)'],
    ['KmsUnavailable', 'CANARY'],
  ] as const)(
    "has the message of an error's cause, unless the code of the error is Internal (code: %s)",
    ([code, reason]) => {
      const inner = new TypeError('CANARY');
      inner.stack = 'TypeError: CANARY\n    at f (file.ts:1:1)';
      const cause = new KeyfoldError(code, 'outer', { cause: inner });
      telemetry.requestFailed(new KeyfoldError('NotReady', 'why', { cause }));
      expect(logged()).toMatchObject([{ reasons: ['outer', reason] }]);
    },
  );

  it('is separate for messages with different outcomes', () => {
    const error = new KeyfoldError('Internal', 'why');
    telemetry.messagesHandled(
      [
        { messageId: 'a', kind: 'retried', code: 'Internal', error },
        { messageId: 'b', kind: 'dead-lettered', code: 'Internal', error },
      ],
      [],
    );
    expect(logged()).toMatchObject([
      { message: 'messages retried', messageIds: ['a'] },
      { message: 'messages dead-lettered', messageIds: ['b'] },
    ]);
  });

  it('has the name of an unexpected error and up to eight stack frames, but not the error text', () => {
    const frames = Array.from({ length: 12 }, (_, i) => `    at f${i} (file.ts:${i}:1)`);
    const cause = new TypeError('CANARY\n    at CANARY');
    cause.stack = [`TypeError: ${cause.message}`, ...frames, 'CANARY'].join('\n');
    telemetry.requestFailed(new KeyfoldError('Internal', 'why', { cause }));
    const told = frames.slice(0, 8).map((frame) => ` ${frame.trim()}`);
    expect(logged()).toMatchObject([{ reasons: [`TypeError${told.join('')}`] }]);
  });
});

describe('the metric SystemKeyAge', () => {
  const since = 1_800_000_000;
  const key = { id: 'k', created: since + 60, state: 'valid', regions: [] } as const;

  it.for([
    [
      'the age of the latest key that has a row',
      { systemKeys: [{ ...key, created: undefined }, key, { ...key, created: since }] },
      41,
    ],
    [
      'the age of the latest key that is not dated too far ahead',
      { systemKeys: [{ ...key, created: 9e9, state: 'dated-ahead' }, key] },
      41,
    ],
    ['the age of the key that was just made', { systemKeys: [key], created: metaOf(keyRecord('k', since + 90)) }, 11],
    ['zero if the latest key has a future date', { systemKeys: [{ ...key, created: since + 130 }] }, 0],
    ['absent if there is no key', { systemKeys: [], createFault: 'why' }, undefined],
  ] as const)('after a maintenance run is %s', ([, report, age]) => {
    vi.useFakeTimers({ toFake: ['Date'], now: since * 1000 + 100_600 });
    telemetry.maintained(report);
    telemetry.flush();
    expect(metrics().find((line) => 'SystemKeyAge' in line)?.['SystemKeyAge']).toBe(age);
  });
});

describe('failed items of a batch', () => {
  it('share one log line, which has a count for each error code', () => {
    telemetry.itemsFailed(failed('RecordUnreadable', 'InvalidRequest', 'RecordUnreadable'));
    telemetry.flush();
    expect(output.lines().filter((line) => 'codes' in line)).toMatchObject([
      {
        level: 'WARN',
        message: 'items of a batch failed',
        service: 'svc',
        codes: { RecordUnreadable: 2, InvalidRequest: 1 },
        reasons: ['reason of RecordUnreadable', 'reason of InvalidRequest'],
      },
    ]);
    expect(metrics()).toContainEqual({ service: 'svc', code: 'RecordUnreadable', RequestErrors: 2 });
  });

  it('are logged as errors if the service caused one of the failures', () => {
    telemetry.itemsFailed(failed('RecordUnreadable', 'KmsMisconfigured'));
    expect(output.lines()).toMatchObject([{ level: 'ERROR' }]);
  });
});

it('a System Key that cannot be preloaded is logged as a warning, and is not counted as a failed request', () => {
  telemetry.preloadFailed(THROTTLED);
  telemetry.flush();
  const reasons = ['us-west-2: throttled'];
  expect(logged()).toEqual([
    {
      level: 'WARN',
      message: 'the System Key was not preloaded',
      code: 'KmsThrottled',
      detail: 'KMS throttles.',
      reasons,
    },
  ]);
  expect(metrics()).toEqual([]);
});

describe('telemetry with hidden characters', () => {
  const CONTROLS = ['\0', '\n', '\u001b', '\u007f', '\u0085', '\u009b', '\u2028', '\u2029'];
  const FORMATS = ['\u00ad', '\u061c', '\u200b', '\u202e', '\u2066', '\ufeff', '\u{110bd}', '\u{e0001}'];
  const IGNORABLES = ['\u034f', '\u3164', '\ufe0f'];
  const HIDDEN = [...CONTROLS, ...FORMATS, ...IGNORABLES];
  const partition = `a${HIDDEN.join('b')}日本 é`;
  const key = { id: `_IK_${partition}_svc_prod`, created: 60 } as never;

  it.for([
    [
      'in the audit log',
      () => telemetry.audited({ ...AUDITED, partition, principal: partition }),
      { partition, principal: partition },
    ],
    ['in a log line', () => telemetry.events.servedStale(key), { keyId: `_IK_${partition}_svc_prod` }],
    ['in a list', () => telemetry.requestFailed(failedFor(partition)), { reasons: [partition] }],
  ] as const)('escapes control and invisible characters %s', ([, write, values]) => {
    write();
    expect(output.lines()).toMatchObject([values]);
    const text = output.text();
    for (const character of HIDDEN) expect(text.trimEnd()).not.toContain(character);
    expect(text).toContain('日本 é');
  });

  it('escapes control and invisible characters in an error message that names a key row', () => {
    const { message } = keyRowUnreadable(key, 'KeyRecord is missing');
    for (const character of HIDDEN) expect(message).not.toContain(character);
    expect(message).toContain(String.raw`\u001bb\u007fb`);
    expect(message).toContain(String.raw`\udb40\udc01b\u034fb\u3164b\ufe0f日本 é`);
    const half = { id: '_IK_a\ud800_svc_prod', created: 60 } as never;
    expect(keyRowUnreadable(half, 'KeyRecord is missing').message).toContain(String.raw`_IK_a\ud800_svc_prod`);
  });
});

function failedFor(reason: string): KeyfoldError {
  return new KeyfoldError('RecordUnreadable', 'why', { cause: new Error(reason) });
}
