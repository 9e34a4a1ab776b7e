/** Tests in how many regions AwsKms wraps a new System Key, and which calls and events that takes. */
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { deadlineExceeded } from '../../../src/async/deadline.ts';
import { keyOf, REFUSALS_OF_TEXT, refusalsOfText, wrappedBy } from '../../support/kms.ts';
import { AwsKms, type AwsKmsOptions } from '../../../src/index.ts';
import { RegionFault, type FaultClass, type KmsAction } from '../../../src/kms/region-fault.ts';
import type { KmsRegion, Wrap } from '../../../src/kms/kms-region.ts';
import type { RegionalKmsOptions } from '../../../src/kms/regional-kms.ts';
import { codeOf, errorOf, HandClock, noDeadline } from '../../support/fakes.ts';

const SYSTEM_KEY = Buffer.alloc(32, 9);
const REGIONS = ['us-west-2', 'us-east-1', 'eu-west-1'];
const [WEST = '', EAST = '', EU = ''] = REGIONS;

let clock: HandClock;
/** The faults of the next calls in each region, in order. Later calls succeed, unless the last item is `always`. */
let faults: Record<string, (FaultClass | 'always')[]>;
let asked: string[];
let told: string[];
let plaintexts: Buffer[];
let onEncrypt: (region: string, signal: AbortSignal) => Promise<void> | void;
let connected: RegionalKmsOptions[];

beforeEach(() => {
  clock = new HandClock();
  [faults, asked, told, plaintexts, onEncrypt, connected] = [{}, [], [], [], () => {}, []];
});

function arnOf(region: string): string {
  return `arn:aws:kms:${region}:111122223333:key/11111111-2222-3333-4444-555555555555`;
}

/** A fake region that returns its own name as every wrapped key. */
function connect(options: RegionalKmsOptions): KmsRegion {
  const { region, keyArn } = options;
  connected.push(options);
  const call = (action: KmsAction): Wrap => {
    asked.push(`${action} ${region}`);
    const [fault, next] = faults[region] ?? [];
    if (next !== 'always') faults[region]?.shift();
    if (fault !== undefined && fault !== 'always') throw new RegionFault(region, action, fault, 'Scripted');
    return { wrapped: Buffer.from(region), arn: arnOf(region) };
  };
  return {
    region,
    keyArn,
    generateDataKey: async () => {
      const plaintext = Buffer.alloc(32, 3);
      const wrap = call('GenerateDataKey');
      plaintexts.push(plaintext);
      return { ...wrap, plaintext };
    },
    encrypt: async (_, { signal }) => {
      await onEncrypt(region, signal);
      signal.throwIfAborted();
      return call('Encrypt');
    },
    decrypt: async () => {
      call('Decrypt');
      const plaintext = Buffer.alloc(32, 3);
      plaintexts.push(plaintext);
      return plaintext;
    },
  };
}

function open(failover: AwsKmsOptions['failover'] = {}, more: Partial<AwsKmsOptions> = {}): AwsKms {
  const keys = Object.fromEntries(REGIONS.map((region) => [region, arnOf(region)]));
  const events = {
    attempted: () => {},
    coolingDown: () => {},
    failedOver: (region: string) => told.push(`failed over to ${region}`),
    wrapMissing: (region: string) => told.push(`no wrap in ${region}`),
  };
  const sleep = async (ms: number, signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted();
    clock.advance(ms);
  };
  const world = { now: clock.now, random: () => 0.5, sleep, connect };
  return new AwsKms({ keys, preferredRegion: WEST, failover: { maxRounds: 3, ...failover }, events, ...more }, world);
}

/** Wraps a new System Key, and returns the regions for which its envelope has a wrap. */
async function wrappedIn(kms: AwsKms, deadline = noDeadline()): Promise<string[]> {
  const envelope = JSON.parse(Buffer.from(await wrappedBy(kms, SYSTEM_KEY, deadline)).toString()) as {
    kmsKeks: { region: string }[];
  };
  return envelope.kmsKeks.map(({ region }) => region);
}

/** Ends only when the signal aborts. */
function hanging(signal: AbortSignal): Promise<void> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
}

describe('AwsKms', () => {
  it('rejects an argument that is not bytes with a TypeError that names it', async () => {
    expect(await refusalsOfText(open())).toEqual(REFUSALS_OF_TEXT);
  });

  it('by default allows a call one second to connect and two seconds in total', () => {
    open();
    const timeouts = { connectionTimeoutMs: 1000, requestTimeoutMs: 2000 };
    const accounts = new Set(['111122223333']);
    expect(connected).toEqual(
      REGIONS.map((region) => ({ region, keyArn: arnOf(region), accounts, timeouts, endpoint: undefined })),
    );
    connected = [];
    open({}, { timeouts: { requestTimeoutMs: 700 }, endpoint: 'http://127.0.0.1:1' });
    expect(connected[0]?.timeouts).toEqual({ connectionTimeoutMs: 1000, requestTimeoutMs: 700 });
    expect(connected.map(({ endpoint }) => endpoint)).toEqual(REGIONS.map(() => 'http://127.0.0.1:1'));
  });
});

describe('a new System Key', () => {
  it('is wrapped with one call per region', async () => {
    expect(await wrappedIn(open())).toEqual([WEST, EAST, EU]);
    expect(asked).toEqual([`GenerateDataKey ${WEST}`, `Encrypt ${EAST}`, `Encrypt ${EU}`]);
    expect(told).toEqual([]);
  });

  it('is wrapped as it was at the time of the call, even if the caller zeroes it while KMS generates a data key', async () => {
    const kms = open();
    const key = Buffer.from(SYSTEM_KEY);
    const wrapping = wrappedBy(kms, key, noDeadline());
    key.fill(0);
    expect(await keyOf(kms.unwrap(await wrapping, noDeadline()))).toEqual(SYSTEM_KEY);
  });

  it('causes an event with the KMS action for each attempt to wrap or unwrap the System Key', async () => {
    const actions: string[] = [];
    const kms = open({}, { events: { attempted: ({ region, action }) => void actions.push(`${action} ${region}`) } });
    await kms.unwrap(await wrappedBy(kms, SYSTEM_KEY, noDeadline()), noDeadline());
    expect(actions).toEqual([`GenerateDataKey ${WEST}`, `Encrypt ${EAST}`, `Encrypt ${EU}`, `Decrypt ${WEST}`]);
  });

  it('is not created if a call to another region throws because of a bug, and not because of a fault of the region', async () => {
    const bug = new TypeError('a bug');
    onEncrypt = () => Promise.reject(bug);
    expect(await errorOf(wrappedIn(open()))).toBe(bug);
    expect(plaintexts).toEqual([Buffer.alloc(32)]);
  });

  it('has no wrap for a region that fails, and wrapMissing names that region', async () => {
    faults = { [EAST]: ['unavailable', 'always'] };
    expect(await wrappedIn(open())).toEqual([WEST, EU]);
    expect(asked.filter((call) => call.endsWith(EAST))).toHaveLength(1);
    expect(told).toEqual([`no wrap in ${EAST}`]);
  });

  it('causes no second call to a failing region while another region is slow', async () => {
    faults = { [EAST]: ['unavailable', 'always'] };
    const answers = Promise.withResolvers<void>();
    onEncrypt = (region) => (region === EU ? answers.promise : undefined);
    const wrapping = wrappedIn(open());
    await new Promise(setImmediate);
    answers.resolve();
    expect(await wrapping).toEqual([WEST, EU]);
    expect(asked.filter((call) => call === `Encrypt ${EAST}`)).toHaveLength(1);
  });

  it('waits for a region that hangs, but only for half of the remaining time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onEncrypt = (region, signal) => (region === EU ? hanging(signal) : undefined);
    const wrapping = wrappedIn(open(), { ...noDeadline(), atMs: clock.now() + 1000 });
    let regions: string[] = [];
    void wrapping.then((wrapped) => (regions = wrapped));
    await vi.advanceTimersByTimeAsync(499);
    expect(regions).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    vi.useRealTimers();
    expect(regions).toEqual([WEST, EAST]);
    expect(told).toEqual([`no wrap in ${EU}`]);
  });

  it('is generated in the next region if the preferred region fails', async () => {
    faults = { [WEST]: ['unavailable', 'always'] };
    expect(await wrappedIn(open())).toEqual([EAST, EU]);
    expect(asked).toHaveLength(1 + REGIONS.length);
    expect(told).toEqual([`failed over to ${EAST}`, `no wrap in ${WEST}`]);
  });

  it('is still wrapped in the preferred region if that region failed only temporarily', async () => {
    faults = { [WEST]: ['unavailable'] };
    expect(await wrappedIn(open())).toEqual([EAST, WEST, EU]);
    expect(told).toEqual([`failed over to ${EAST}`]);
  });

  it.for([
    ['unavailable', 'KmsUnavailable', 'each round tries all regions', [...REGIONS, ...REGIONS, ...REGIONS]],
    ['throttled', 'KmsThrottled', 'later rounds try only the preferred region', [...REGIONS, WEST, WEST]],
  ] as const)('is not created if every region is %s (%s), and %s', async ([faultClass, code, , regions]) => {
    faults = Object.fromEntries(REGIONS.map((region) => [region, [faultClass, 'always']]));
    expect(await codeOf(wrappedIn(open()))).toBe(code);
    expect(asked).toEqual(regions.map((region) => `GenerateDataKey ${region}`));
    expect(told).toEqual([]);
  });

  it('is not created if the deadline passes while the other regions wrap it', async () => {
    const over = new AbortController();
    const reason = deadlineExceeded();
    faults = { [EAST]: ['unavailable', 'always'] };
    const kms = open();
    const wrapping = kms.wrap(SYSTEM_KEY, { ...noDeadline(), signal: over.signal });
    onEncrypt = () => over.abort(reason);
    expect(await errorOf(wrapping)).toBe(reason);
    expect(plaintexts).toEqual([Buffer.alloc(32)]);
  });

  it('leaves no plaintext data key in memory, even if the System Key cannot be created', async () => {
    await wrappedIn(open());
    faults = { [EAST]: ['unavailable', 'always'], [EU]: ['unavailable', 'always'] };
    expect(await codeOf(wrappedIn(open({ minimumWrappedRegions: 2 })))).toBe('KmsUnavailable');
    expect(plaintexts).toEqual([Buffer.alloc(32), Buffer.alloc(32)]);
  });
});

describe('AwsKms.wrap with minimumWrappedRegions above 1', () => {
  it('succeeds if enough regions have wrapped the key, and wrapMissing names the other regions', async () => {
    faults = { [EU]: ['misconfigured', 'always'] };
    expect(await wrappedIn(open({ minimumWrappedRegions: 2 }))).toEqual([WEST, EAST]);
    expect(told).toEqual([`no wrap in ${EU}`]);
  });

  it('retries only in regions with a transient fault', async () => {
    faults = { [EAST]: ['unavailable', 'unavailable'], [EU]: ['misconfigured', 'always'] };
    expect(await wrappedIn(open({ minimumWrappedRegions: 2 }))).toEqual([WEST, EAST]);
    expect(asked.filter((call) => call === `Encrypt ${EAST}`)).toHaveLength(3);
    expect(asked.filter((call) => call === `Encrypt ${EU}`)).toHaveLength(1);
  });

  it('does not retry if enough regions have wrapped the key', async () => {
    faults = { [EAST]: ['unavailable', 'always'] };
    const beganAtMs = clock.now();
    expect(await wrappedIn(open({ minimumWrappedRegions: 2 }))).toEqual([WEST, EU]);
    expect(asked.filter((call) => call === `Encrypt ${EAST}`)).toHaveLength(1);
    expect(clock.now()).toBe(beganAtMs);
    expect(told).toEqual([`no wrap in ${EAST}`]);
  });

  it('waits for a slow region even if enough other regions have wrapped the key', async () => {
    const answers = Promise.withResolvers<void>();
    onEncrypt = (region) => (region === EU ? answers.promise : undefined);
    const wrapping = wrappedIn(open({ minimumWrappedRegions: 2 }));
    await new Promise(setImmediate);
    answers.resolve();
    expect(await wrapping).toEqual(REGIONS);
  });

  it('stops its retries as soon as enough regions have wrapped the key', async () => {
    faults = { [EAST]: ['unavailable', 'always'], [EU]: ['unavailable', 'unavailable'] };
    expect(await wrappedIn(open({ minimumWrappedRegions: 2, maxRounds: 8 }))).toEqual([WEST, EU]);
    expect(asked.filter((call) => call === `Encrypt ${EAST}`).length).toBeLessThanOrEqual(3);
    expect(told).toEqual([`no wrap in ${EAST}`]);
  });

  it('goes on until every required region has wrapped the key', async () => {
    faults = { [EAST]: ['unavailable', 'throttled'], [EU]: ['throttled', 'unavailable'] };
    expect((await wrappedIn(open({ minimumWrappedRegions: 3, maxRounds: 8 }))).toSorted()).toEqual(REGIONS.toSorted());
    expect(told).toEqual([]);
  });

  it('names the fault of each failed region if too few regions have wrapped the key', async () => {
    faults = { [EAST]: ['unavailable', 'always'], [EU]: ['misconfigured', 'always'] };
    const error = await errorOf(wrappedIn(open({ minimumWrappedRegions: 2 })));
    expect(error).toMatchObject({ code: 'KmsUnavailable', retryable: true });
    expect((error as Error).message).toContain('us-east-1 unavailable (Scripted), eu-west-1 misconfigured (Scripted)');
    expect(asked.filter((call) => call === `Encrypt ${EAST}`)).toHaveLength(3);
    expect(told).toEqual([]);
  });

  it('counts each region that has wrapped the key only once', async () => {
    faults = { [EU]: ['unavailable', 'always'] };
    const error = await errorOf(wrappedIn(open({ minimumWrappedRegions: 3 })));
    expect((error as Error).message).toMatch(/^2 KMS regions wrapped a new key, and 3 must: /);
  });

  it('names in its error a region that did not answer in time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onEncrypt = (region, signal) => (region === EU ? hanging(signal) : undefined);
    const deadline = { ...noDeadline(), atMs: clock.now() + 1000 };
    const failed = errorOf(wrappedIn(open({ minimumWrappedRegions: 3 }), deadline));
    await vi.advanceTimersByTimeAsync(500);
    vi.useRealTimers();
    expect(await failed).toMatchObject({
      code: 'KmsUnavailable',
      message: '2 KMS regions wrapped a new key, and 3 must: eu-west-1 unavailable (NoAnswerInTime).',
    });
  });

  it('throws KmsMisconfigured at once if too many faults are permanent', async () => {
    faults = { [EAST]: ['misconfigured', 'always'], [EU]: ['misconfigured', 'always'] };
    expect(await codeOf(wrappedIn(open({ minimumWrappedRegions: 2 })))).toBe('KmsMisconfigured');
    expect(asked).toHaveLength(3);
  });
});

describe('AwsKms.unwrap', () => {
  it('leaves no plaintext data key in memory, even if the data key does not open the System Key', async () => {
    const wrapped = await wrappedBy(open(), SYSTEM_KEY, noDeadline());
    plaintexts = [];
    expect(await keyOf(open().unwrap(wrapped, noDeadline()))).toEqual(SYSTEM_KEY);
    expect(plaintexts).toEqual([Buffer.alloc(32)]);
    const envelope = JSON.parse(Buffer.from(wrapped).toString()) as object;
    const tampered = Buffer.from(JSON.stringify({ ...envelope, encryptedKey: Buffer.alloc(60).toString('base64') }));
    plaintexts = [];
    expect(await open().unwrap(tampered, noDeadline())).toHaveProperty('unreadable');
    expect(plaintexts).toEqual(REGIONS.map(() => Buffer.alloc(32)));
  });

  it('makes only one call per round to a region that is down or throttles, even if several wraps are for that region', async () => {
    for (const faultClass of ['unavailable', 'throttled'] as const) {
      const envelope = JSON.parse(Buffer.from(await wrappedBy(open(), SYSTEM_KEY, noDeadline())).toString()) as {
        kmsKeks: object[];
      };
      const wrapped = Buffer.from(JSON.stringify({ ...envelope, kmsKeks: Array(3).fill(envelope.kmsKeks[0]) }));
      faults = { [WEST]: [faultClass, 'always'] };
      asked = [];
      await errorOf(open({ maxRounds: 1 }).unwrap(wrapped, noDeadline()));
      expect(asked).toEqual([`Decrypt ${WEST}`]);
      faults = {};
    }
  });

  it('emits failedOver with the region that responded in place of the preferred region', async () => {
    const wrapped = await wrappedBy(open(), SYSTEM_KEY, noDeadline());
    faults = { [WEST]: ['unavailable'], [EAST]: ['throttled', 'always'] };
    expect(await keyOf(open().unwrap(wrapped, noDeadline()))).toEqual(SYSTEM_KEY);
    expect(told).toEqual([`failed over to ${EU}`]);
  });

  it('tries in every round only the regions for which there is a wrap', async () => {
    faults = { [WEST]: ['unavailable', 'always'], [EU]: ['unavailable', 'always'] };
    const wrapped = await wrappedBy(open(), SYSTEM_KEY, noDeadline());
    faults = { [EAST]: ['unavailable', 'unavailable'] };
    asked = [];
    expect(await keyOf(open().unwrap(wrapped, noDeadline()))).toEqual(SYSTEM_KEY);
    expect(asked).toEqual(Array(3).fill(`Decrypt ${EAST}`));
  });
});

describe('with onKeyRefused "fail",', () => {
  it('AwsKms.wrap fails, and calls no other region, if a region refuses the KMS key', async () => {
    faults = { [WEST]: ['misconfigured', 'always'] };
    expect(await codeOf(wrappedIn(open({ onKeyRefused: 'fail' })))).toBe('KmsMisconfigured');
    expect(asked).toEqual([`GenerateDataKey ${WEST}`]);
  });

  it('AwsKms.unwrap fails, and calls no other region, if a region refuses the KMS key', async () => {
    const wrapped = await wrappedBy(open(), SYSTEM_KEY, noDeadline());
    faults = { [WEST]: ['misconfigured', 'always'] };
    asked = [];
    expect(await codeOf(open({ onKeyRefused: 'fail' }).unwrap(wrapped, noDeadline()))).toBe('KmsMisconfigured');
    expect(asked).toEqual([`Decrypt ${WEST}`]);
  });
});
