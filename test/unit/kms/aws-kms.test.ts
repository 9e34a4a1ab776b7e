import { createSecretKey } from 'node:crypto';
import { CreateKeyCommand, EncryptCommand, KMSClient } from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { keyOf, wrappedBy } from '../../support/kms.ts';
import { seal } from '../../../src/crypto/aead.ts';
import { AwsKms, type AwsKmsOptions } from '../../../src/index.ts';
import { NO_EVENTS } from '../../../src/kms/failover.ts';
import type { FaultClass, RegionFault } from '../../../src/kms/region-fault.ts';
import { codeOf, errorOf, noDeadline } from '../../support/fakes.ts';
import { holdConnections } from '../../support/hold-connections.ts';
import { OtherSignal } from '../../support/other-signal.ts';

const WEST = 'us-west-2';
const EAST = 'us-east-1';
const SYSTEM_KEY = Buffer.alloc(32, 9);

interface Envelope {
  encryptedKey: string;
  kmsKeks: { region: string; arn: string; encryptedKek: string }[];
}

let emulator: KmsEmulator;
let keys: Record<string, string>;
let faults: RegionFault[];
let missing: string[];

beforeEach(async () => {
  emulator = await startKmsEmulator();
  keys = {};
  for (const region of [WEST, EAST]) keys[region] = (await emulator.ensureKey(region, 'alias/keyfold')).aliasArn;
  faults = [];
  missing = [];
});
afterEach(() => {
  vi.restoreAllMocks();
  return emulator.close();
});

function open(options: Partial<AwsKmsOptions> = {}): AwsKms {
  return new AwsKms({
    keys,
    preferredRegion: WEST,
    endpoint: emulator.endpoint,
    timeouts: { requestTimeoutMs: 1000 },
    // Make only one round, so that each region reports at most one fault.
    failover: { maxRounds: 1, baseDelayMs: 1 },
    events: {
      ...NO_EVENTS,
      attempted: ({ fault }) => fault && faults.push(fault),
      wrapMissing: (region) => missing.push(region),
    },
    ...options,
  });
}

const wrapped = async (kms = open()): Promise<Buffer> => Buffer.from(await wrappedBy(kms, SYSTEM_KEY, noDeadline()));

function edit(bytes: Buffer, change: (envelope: Envelope) => void): Buffer {
  const envelope = JSON.parse(bytes.toString()) as Envelope;
  change(envelope);
  return Buffer.from(JSON.stringify(envelope));
}

const calls = (): string[] => emulator.calls().map(({ region, action }) => `${action} ${region}`);

describe('AwsKms.wrap', () => {
  it('generates a data key in the preferred region, and wraps it in all other regions', async () => {
    const envelope = JSON.parse((await wrapped()).toString()) as Envelope;
    expect(calls()).toEqual([`GenerateDataKey ${WEST}`, `Encrypt ${EAST}`]);
    expect(envelope.kmsKeks.map(({ region }) => region)).toEqual([WEST, EAST]);
  });

  it.for(['down', 'hang', 'reset', 'garbage'] as const)(
    'leaves out the preferred region, and emits wrapMissing, if that region has the fault "%s"',
    async (kind) => {
      emulator.setFault(WEST, { kind });
      const envelope = JSON.parse((await wrapped()).toString()) as Envelope;
      expect(envelope.kmsKeks.map(({ region }) => region)).toEqual([EAST]);
      expect(missing).toEqual([WEST]);
      expect(faults.map(({ faultClass }) => faultClass)).toEqual(['unavailable', 'unavailable']);
    },
  );

  it('leaves out a region that hangs, and still returns before the deadline', async () => {
    emulator.setFault(EAST, { kind: 'hang' });
    const controller = new AbortController();
    const kms = open({ timeouts: {} });
    const envelope = JSON.parse(
      Buffer.from(await wrappedBy(kms, SYSTEM_KEY, { atMs: Date.now() + 1500, signal: controller.signal })).toString(),
    ) as Envelope;
    expect(envelope.kmsKeks.map(({ region }) => region)).toEqual([WEST]);
    expect(missing).toEqual([EAST]);
    expect(kms.regionStates()[1]).toMatchObject({ state: 'unavailable', lastFault: { errorName: 'NoAnswerInTime' } });
  });

  it('throws an error with the number of regions that wrapped the key if this number is too low', async () => {
    emulator.setFault(EAST, { kind: 'error', name: 'AccessDeniedException' });
    const error = await errorOf(wrapped(open({ failover: { minimumWrappedRegions: 2 } })));
    expect(error).toMatchObject({
      code: 'KmsMisconfigured',
      message: '1 KMS regions wrapped a new key, and 2 must: us-east-1 misconfigured (AccessDeniedException).',
    });
  });

  it('leaves out a region that fails, and reports the fault', async () => {
    emulator.setFault(EAST, { kind: 'error', name: 'DisabledException' });
    const envelope = JSON.parse((await wrapped()).toString()) as Envelope;
    expect(envelope.kmsKeks.map(({ region }) => region)).toEqual([WEST]);
    expect(missing).toEqual([EAST]);
    expect(faults).toMatchObject([{ region: EAST, action: 'Encrypt', faultClass: 'misconfigured' }]);
  });
});

const DISABLED = { kind: 'error', name: 'DisabledException' } as const;

/** Unwraps while the preferred region has this fault, and returns the class that AwsKms reports for it. */
async function classOfFailover(fault: Parameters<typeof emulator.setFault>[1]): Promise<FaultClass | undefined> {
  const bytes = await wrapped();
  emulator.setFault(WEST, fault);
  const kms = open();
  expect(await keyOf(kms.unwrap(bytes, noDeadline()))).toEqual(SYSTEM_KEY);
  expect(faults).toMatchObject([{ region: WEST }]);
  const faultClass = faults[0]?.faultClass;
  expect(kms.regionStates()).toMatchObject([
    { region: WEST, state: faultClass === 'corrupt' ? 'ok' : faultClass, lastFault: { faultClass } },
    { region: EAST, state: 'ok' },
  ]);
  return faultClass;
}

describe('AwsKms.unwrap', () => {
  it('calls only the preferred region while that region responds', async () => {
    const bytes = await wrapped();
    emulator.resetCalls();
    expect(await keyOf(open().unwrap(bytes, noDeadline()))).toEqual(SYSTEM_KEY);
    expect(await keyOf(open({ preferredRegion: EAST }).unwrap(bytes, noDeadline()))).toEqual(SYSTEM_KEY);
    expect(calls()).toEqual([`Decrypt ${WEST}`, `Decrypt ${EAST}`]);
  });

  it.for([
    ['down', 'unavailable'],
    ['hang', 'unavailable'],
    ['reset', 'unavailable'],
    ['garbage', 'unavailable'],
    ['throttle', 'throttled'],
  ] as const)('tries the next region if the preferred region has the fault "%s" (%s)', async ([kind, faultClass]) => {
    expect(await classOfFailover(kind === 'throttle' ? { kind, perSecond: 0 } : { kind })).toBe(faultClass);
  });

  it.for<[string, FaultClass, object?]>([
    ['KMSInternalException', 'unavailable', { status: 500 }],
    ['DependencyTimeoutException', 'unavailable', { status: 503 }],
    ['KeyUnavailableException', 'unavailable', { status: 500 }],
    ['LimitExceededException', 'throttled'],
    ['AccessDeniedException', 'misconfigured'],
    ['DisabledException', 'misconfigured'],
    ['KMSInvalidStateException', 'unavailable'],
    ['InvalidSignatureException', 'unavailable', { message: 'Signature expired: …' }],
    ['RequestExpired', 'unavailable'],
    ['RequestTimeTooSkewed', 'unavailable', { status: 403 }],
    ['SignatureDoesNotMatch', 'unavailable', { status: 403 }],
    ['IncompleteSignature', 'unavailable', { status: 400 }],
    ['UnrecognizedClientException', 'unavailable'],
    ['InvalidClientTokenId', 'unavailable', { status: 403 }],
    ['RequestTimeoutException', 'unavailable', { status: 408 }],
    ['RequestAbortedException', 'unavailable'],
    ['RequestLimitExceeded', 'throttled'],
    ['ValidationException', 'corrupt'],
    ['NotFoundException', 'misconfigured'],
    ['InvalidKeyUsageException', 'misconfigured'],
    ['IncorrectKeyException', 'misconfigured'],
    ['ExpiredTokenException', 'unavailable'],
    ['SomethingNewException', 'misconfigured'],
    ['InvalidCiphertextException', 'corrupt'],
  ])('tries the next region after %s, which it classifies as %s', async ([name, faultClass, details]) => {
    expect(await classOfFailover({ kind: 'error', name, ...details })).toBe(faultClass);
  });

  it.for<[string, FaultClass]>([
    ['arn:… is pending deletion.', 'misconfigured'],
    ['arn:… is pending import.', 'misconfigured'],
    ['arn:… is PendingReplicaDeletion.', 'misconfigured'],
    ['The key store is DISCONNECTED.', 'unavailable'],
    ['arn:… is Unavailable.', 'unavailable'],
    ['arn:… is Creating.', 'unavailable'],
  ])(
    'tries the next region after KMSInvalidStateException with "%s", which it classifies as %s',
    async ([message, faultClass]) => {
      expect(await classOfFailover({ kind: 'error', name: 'KMSInvalidStateException', message })).toBe(faultClass);
    },
  );

  it.for([
    ['KmsUnavailable', 'us-west-2 is down and us-east-1 disables the key', { kind: 'down' }, DISABLED],
    [
      'KmsThrottled',
      'us-west-2 throttles and us-east-1 disables the key',
      { kind: 'throttle', perSecond: 0 },
      DISABLED,
    ],
    [
      'KmsUnavailable',
      'us-west-2 throttles and us-east-1 is down',
      { kind: 'throttle', perSecond: 0 },
      { kind: 'down' },
    ],
    [
      'KmsMisconfigured',
      'us-west-2 denies access and us-east-1 disables the key',
      { kind: 'error', name: 'AccessDeniedException' },
      DISABLED,
    ],
  ] as const)('throws %s with the faults of both regions if %s', async ([code, , west, east]) => {
    const bytes = await wrapped();
    emulator.setFault(WEST, west);
    emulator.setFault(EAST, east);
    const error = await errorOf(open().unwrap(bytes, noDeadline()));
    expect(error).toMatchObject({ code });
    expect((error as Error).message).toMatch(/us-west-2 \w+ \(\w+\), us-east-1 \w+ \(\w+\)/);
  });

  it('reports why a wrap is unreadable, and makes no KMS call if the bytes contain no wrap of any region', async () => {
    const bytes = await wrapped();
    emulator.resetCalls();
    for (const [broken, why] of [
      [Buffer.alloc(60), 'it is not wrapped by KMS'],
      [Buffer.from('{"encryptedKey":"!","kmsKeks":[]}'), 'it is not wrapped by KMS'],
      [edit(bytes, (e) => (e.kmsKeks = [])), 'it has no wrap of any region'],
    ] as const) {
      expect(await open().unwrap(broken, noDeadline())).toEqual({ unreadable: why });
    }
    expect(calls()).toEqual([]);
    const tampered = edit(bytes, (e) => (e.encryptedKey = Buffer.alloc(60).toString('base64')));
    expect(await open().unwrap(tampered, noDeadline())).toEqual({
      unreadable: 'it opens in no region (us-west-2 SystemKeyDoesNotOpen, us-east-1 SystemKeyDoesNotOpen)',
    });
  });

  it('throws KmsMisconfigured, and makes no KMS call, if the envelope has no wrap for a configured region', async () => {
    const bytes = await wrapped();
    emulator.resetCalls();
    const elsewhere = edit(bytes, (e) => e.kmsKeks.forEach((kek) => (kek.region = 'eu-west-1')));
    expect(await errorOf(open().unwrap(elsewhere, noDeadline()))).toMatchObject({
      code: 'KmsMisconfigured',
      message: 'Every KMS region refused: us-west-2 misconfigured (NoWrap), us-east-1 misconfigured (NoWrap).',
    });
    expect(calls()).toEqual([]);
  });

  it('tries each of several wraps for one region', async () => {
    const broken = edit(await wrapped(), (envelope) => {
      const [west] = envelope.kmsKeks;
      if (west !== undefined) envelope.kmsKeks.unshift({ ...west, encryptedKek: Buffer.alloc(100).toString('base64') });
    });
    const west = open({ keys: { [WEST]: keys[WEST] ?? '' } });
    expect(await keyOf(west.unwrap(broken, noDeadline()))).toEqual(SYSTEM_KEY);
  });

  it("refuses a wrap that names another account's KMS key, and makes no KMS call", async () => {
    const { arn, encryptedKek, encryptedKey } = await strangersWrap();
    const forged = edit(await wrapped(), (envelope) => {
      envelope.encryptedKey = encryptedKey;
      for (const kek of envelope.kmsKeks) Object.assign(kek, { arn, encryptedKek });
    });
    emulator.resetCalls();
    expect(await open().unwrap(forged, noDeadline())).toMatchObject({
      unreadable: expect.stringContaining('KeyOfAnotherAccount') as string,
    });
    expect(calls()).toEqual([]);
  });

  it("refuses a response from KMS that names another account's KMS key", async () => {
    const { encryptedKek, encryptedKey } = await strangersWrap();
    const forged = edit(await wrapped(), (envelope) => {
      envelope.encryptedKey = encryptedKey;
      for (const kek of envelope.kmsKeks) Object.assign(kek, { arn: 'alias/keyfold', encryptedKek });
    });
    expect(await codeOf(open().unwrap(forged, noDeadline()))).toBe('KmsMisconfigured');
    expect(faults.map(({ errorName }) => errorName)).toContain('KeyOfAnotherAccount');
  });

  it("rejects with the deadline's abort reason if the deadline passes during a call, and reports no fault of a region", async () => {
    const bytes = await wrapped();
    emulator.setFault(WEST, { kind: 'hang' });
    const controller = new AbortController();
    const reason = new Error('time is up');
    setTimeout(() => controller.abort(reason), 30);
    expect(await errorOf(open().unwrap(bytes, { atMs: Date.now() + 1000, signal: controller.signal }))).toBe(reason);
    expect(faults).toEqual([]);
  });
});

it('AwsKms refuses a call without a valid deadline before it calls KMS', async () => {
  const kms = open();
  const bytes = await wrapped();
  emulator.resetCalls();
  const none = {} as never;
  for (const call of [() => kms.wrap(SYSTEM_KEY, none), () => kms.unwrap(bytes, none), () => kms.renew(bytes, none)])
    await expect(call()).rejects.toThrow(/^deadline must be a deadline/);
  expect(calls()).toEqual([]);
});

it("AwsKms rejects with the deadline's abort reason if the deadline passes between two rounds of calls", async () => {
  const bytes = await wrapped();
  for (const region of [WEST, EAST]) emulator.setFault(region, { kind: 'down' });
  vi.spyOn(Math, 'random').mockReturnValue(0.9);
  const controller = new AbortController();
  const kms = open({ failover: { maxRounds: 2, baseDelayMs: 60_000, longestDelayMs: 60_000 } });
  const unwrapping = errorOf(kms.unwrap(bytes, { ...noDeadline(), signal: controller.signal }));
  await vi.waitFor(() => expect(faults).toHaveLength(2));
  const reason = new Error('time is up');
  controller.abort(reason);
  expect(await unwrapping).toBe(reason);
});

it('AwsKms abandons a connection that does not open within connectionTimeoutMs', async () => {
  const connecting = holdConnections();
  const kms = open({ timeouts: { connectionTimeoutMs: 10, requestTimeoutMs: 60_000 } });
  expect(await codeOf(kms.wrap(SYSTEM_KEY, noDeadline()))).toBe('KmsUnavailable');
  expect(faults.map(({ errorName }) => errorName)).toEqual(['TimeoutError', 'TimeoutError']);
  expect(connecting).toHaveBeenCalledTimes(2);
});

/** An envelope whose data key was wrapped by another account's KMS key. That key's policy allows everyone to use it. */
async function strangersWrap(): Promise<{ arn: string; encryptedKek: string; encryptedKey: string }> {
  const stranger = new KMSClient({
    region: WEST,
    endpoint: emulator.endpoint,
    credentials: { accessKeyId: '999999999999', secretAccessKey: 'x' },
  });
  const { KeyMetadata } = await stranger.send(new CreateKeyCommand({}));
  const arn = KeyMetadata?.Arn ?? '';
  const { CiphertextBlob } = await stranger.send(new EncryptCommand({ KeyId: arn, Plaintext: Buffer.alloc(32, 1) }));
  const encryptedKey = seal(createSecretKey(Buffer.alloc(32, 1)), Buffer.alloc(32, 6)).toString('base64');
  return { arn, encryptedKek: Buffer.from(CiphertextBlob ?? []).toString('base64'), encryptedKey };
}

describe('the AwsKms constructor', () => {
  it.for([
    ['the KMS key of us-west-2 is neither a key ARN nor an alias ARN', { keys: { [WEST]: 'alias/keyfold' } }],
    ['the preferred region eu-west-1 has no KMS key', { preferredRegion: 'eu-west-1' }],
    ['requestTimeoutMs must be a positive whole number', { timeouts: { requestTimeoutMs: 0 } }],
    ['connectionTimeoutMs must be a positive whole number', { timeouts: { connectionTimeoutMs: 1.5 } }],
    ['requestTimeoutMs must not be more than 2147483647', { timeouts: { requestTimeoutMs: 2 ** 31 } }],
    ['connectionTimeoutMs must not be more than 2147483647', { timeouts: { connectionTimeoutMs: 2 ** 31 } }],
    ['endpoint is not a URL', { endpoint: 'localhost:4566' }],
    ['endpoint is not a URL', { endpoint: 'http://127.0.0.1 ' }],
    ['endpoint has a query, a fragment or credentials', { endpoint: 'http://127.0.0.1/?a' }],
    [
      `endpoint is in another region than the KMS key of ${EAST}`,
      { endpoint: `https://vpce-1.kms.${WEST}.vpce.amazonaws.com` },
    ],
    ['minimumWrappedRegions is 3 and there are 2 regions', { failover: { minimumWrappedRegions: 3 } }],
  ] as const)('throws the error "%s"', ([fault, change]) => {
    expect(() => open(change as Partial<AwsKmsOptions>)).toThrow(fault);
  });

  it('accepts a minimumWrappedRegions that equals the number of regions', () => {
    expect(open({ failover: { minimumWrappedRegions: 2 } })).toBeInstanceOf(AwsKms);
  });
});

it.for([
  ['null', null],
  ['a number', 5],
  ['an empty object', {}],
] as const)('the AwsKms constructor throws a TypeError if its dependencies are %s', ([, dependencies]) => {
  const options = { keys: { [WEST]: 'arn:aws:kms:us-west-2:111122223333:alias/keyfold' }, preferredRegion: WEST };
  expect(() => new AwsKms(options, dependencies as never)).toThrow(/^dependencies must be /);
});

it('AwsKms reports no fault of a region if the AbortSignal of the deadline comes from a polyfill', async () => {
  const deadline = { ...noDeadline(), signal: new OtherSignal() };
  const kms = open();
  expect(await kms.unwrap(await wrappedBy(kms, SYSTEM_KEY, deadline), deadline)).toMatchObject({ key: SYSTEM_KEY });
  expect([faults, missing]).toEqual([[], []]);
});
