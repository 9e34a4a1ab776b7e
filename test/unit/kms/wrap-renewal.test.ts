import {
  CreateKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  KMSClient,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { keyOf, wrappedBy } from '../../support/kms.ts';
import { AwsKms, type Attempt, type AwsKmsOptions, type WrapReport } from '../../../src/index.ts';
import type { KmsRegion } from '../../../src/kms/kms-region.ts';
import { noDeadline } from '../../support/fakes.ts';

const WEST = 'us-west-2';
const EAST = 'us-east-1';
const SYSTEM_KEY = Buffer.alloc(32, 9);

interface Envelope {
  encryptedKey: string;
  kmsKeks: { region: string; arn: string; encryptedKek: string }[];
  [unknown: string]: unknown;
}

let emulator: KmsEmulator;
let aliases: Record<string, string>;
let keys: Record<string, string>;

beforeEach(async () => {
  emulator = await startKmsEmulator();
  const made = await Promise.all([WEST, EAST].map((region) => emulator.ensureKey(region, 'alias/keyfold')));
  const [west, east] = made;
  aliases = { [WEST]: west?.aliasArn ?? '', [EAST]: east?.aliasArn ?? '' };
  keys = { [WEST]: west?.keyArn ?? '', [EAST]: east?.keyArn ?? '' };
});
afterEach(() => emulator.close());

function kms(options: Partial<AwsKmsOptions> = {}): AwsKms {
  return new AwsKms({
    keys: aliases,
    preferredRegion: WEST,
    endpoint: emulator.endpoint,
    // Long enough for a busy machine.
    timeouts: { requestTimeoutMs: 10_000 },
    failover: { maxRounds: 1, baseDelayMs: 1 },
    ...options,
  });
}

const only = (region: string, arns = aliases): AwsKms =>
  kms({ keys: { [region]: arns[region] ?? '' }, preferredRegion: region });
const renew = (wrapped: Uint8Array, service = kms()): Promise<WrapReport> => service.renew(wrapped, noDeadline());
const client = (region: string): KMSClient =>
  new KMSClient({ region, endpoint: emulator.endpoint, credentials: { accessKeyId: 'local', secretAccessKey: 'x' } });
const parse = (bytes: Uint8Array | undefined): Envelope => JSON.parse(Buffer.from(bytes ?? []).toString()) as Envelope;
const calls = (): string[] => emulator.calls().map(({ region, action }) => `${action} ${region}`);

/** Points the alias of a region to a new key. Returns the ARN of the new key. */
async function moveAlias(region: string): Promise<string> {
  const { KeyMetadata } = await client(region).send(new CreateKeyCommand({}));
  const TargetKeyId = KeyMetadata?.Arn ?? '';
  await client(region).send(new UpdateAliasCommand({ AliasName: 'alias/keyfold', TargetKeyId }));
  return TargetKeyId;
}

describe('AwsKms.renew', () => {
  it('renews the wrap as it was at the time of the call', async () => {
    const wrapped = await wrappedBy(only(WEST), SYSTEM_KEY, noDeadline());
    const given = Buffer.from(wrapped);
    const renewing = renew(given);
    given.fill(0);
    expect(parse((await renewing).renewed).encryptedKey).toBe(parse(wrapped).encryptedKey);
  });

  it('adds wraps for regions that failed or were not configured when the System Key was created', async () => {
    const wrapped = await wrappedBy(only(WEST), SYSTEM_KEY, noDeadline());
    const { regions, renewed } = await renew(wrapped);
    expect(regions).toEqual([
      { region: WEST, opens: true, renewed: false },
      { region: EAST, opens: true, renewed: true },
    ]);
    expect(parse(renewed).encryptedKey).toBe(parse(wrapped).encryptedKey);
    for (const region of [WEST, EAST]) {
      expect(await keyOf(only(region).unwrap(renewed ?? wrapped, noDeadline()))).toEqual(SYSTEM_KEY);
    }
  });

  it('renews the wrap for a region whose alias points to a new key', async () => {
    const wrapped = await wrappedBy(kms(), SYSTEM_KEY, noDeadline());
    const newKey = await moveAlias(WEST);
    const { regions, renewed } = await renew(wrapped);
    expect(regions.map((r) => [r.region, r.renewed])).toEqual([
      [WEST, true],
      [EAST, false],
    ]);
    expect(parse(renewed).kmsKeks.map(({ region, arn }) => [region, arn])).toEqual([
      [EAST, keys[EAST]],
      [WEST, newKey],
    ]);
    await client(WEST).send(new DisableKeyCommand({ KeyId: keys[WEST] }));
    expect(await keyOf(only(WEST).unwrap(renewed ?? wrapped, noDeadline()))).toEqual(SYSTEM_KEY);
  });

  it('renews the wrap for a region that is now configured with another key', async () => {
    const wrapped = await wrappedBy(kms({ keys }), SYSTEM_KEY, noDeadline());
    const moved: Record<string, string> = { ...keys, [EAST]: await moveAlias(EAST) };
    const { renewed } = await renew(wrapped, kms({ keys: moved }));
    expect(parse(renewed).kmsKeks.map(({ arn }) => arn)).toEqual([moved[WEST], moved[EAST]]);
  });

  it("replaces the aliases in Asherah's wraps with key ARNs, and leaves one wrap for each region", async () => {
    const wrapped = parse(await wrappedBy(kms(), SYSTEM_KEY, noDeadline()));
    for (const kek of wrapped.kmsKeks) kek.arn = aliases[kek.region] ?? '';
    wrapped.kmsKeks.push({ ...(wrapped.kmsKeks[0] as Envelope['kmsKeks'][0]) });
    const { renewed } = await renew(Buffer.from(JSON.stringify(wrapped)));
    expect(parse(renewed).kmsKeks.map(({ region, arn }) => [region, arn])).toEqual(
      [WEST, EAST].map((region) => [region, keys[region]]),
    );
  });

  it('keeps only one of several wraps by the same key', async () => {
    const wrapped = parse(await wrappedBy(kms({ keys }), SYSTEM_KEY, noDeadline()));
    const [west, east] = wrapped.kmsKeks;
    const bytes = Buffer.from(JSON.stringify({ ...wrapped, kmsKeks: [west, west, east] }));
    for (const arns of [keys, aliases]) {
      const { regions, renewed } = await renew(bytes, kms({ keys: arns }));
      expect(regions.map((r) => r.renewed)).toEqual([true, false]);
      expect(parse(renewed).kmsKeks.map(({ region, arn }) => [region, arn])).toEqual([
        [EAST, keys[EAST]],
        [WEST, keys[WEST]],
      ]);
    }
  });

  it('changes nothing if all wraps are current, and calls KMS only once for each key', async () => {
    const wrapped = await wrappedBy(kms({ keys }), SYSTEM_KEY, noDeadline());
    emulator.resetCalls();
    expect(await renew(wrapped, kms({ keys }))).toMatchObject({ renewed: undefined });
    expect(calls().toSorted()).toEqual([`Decrypt ${EAST}`, `Decrypt ${WEST}`]);
    expect(await renew(wrapped)).toMatchObject({ renewed: undefined });
  });

  it('keeps unknown fields, and wraps for regions that are not configured', async () => {
    const wrapped = parse(await wrappedBy(kms(), SYSTEM_KEY, noDeadline()));
    const foreign = { region: 'eu-west-1', arn: 'x', encryptedKek: 'not%base64', more: 1 };
    const bytes = Buffer.from(JSON.stringify({ ...wrapped, more: 2, kmsKeks: [...wrapped.kmsKeks, foreign] }));
    await moveAlias(WEST);
    const renewed = parse((await renew(bytes)).renewed);
    expect(renewed['more']).toBe(2);
    expect(renewed.kmsKeks).toContainEqual(foreign);
  });

  it.for(['down', 'hang', 'garbage'] as const)('keeps the wraps for a region with the fault "%s"', async (kind) => {
    const wrapped = await wrappedBy(kms(), SYSTEM_KEY, noDeadline());
    await moveAlias(WEST);
    emulator.setFault(WEST, { kind });
    emulator.resetCalls();
    const { regions, renewed } = await renew(wrapped, kms({ timeouts: { requestTimeoutMs: 1000 } }));
    expect(calls()).not.toContain(`Encrypt ${WEST}`);
    expect(regions[0]).toMatchObject({ region: WEST, opens: false, renewed: false });
    expect(regions[0]?.fault).toContain('unavailable');
    expect(regions[1]).toEqual({ region: EAST, opens: true, renewed: false });
    expect(renewed).toBeUndefined();
  });

  it.for([
    ['Encrypt', 'has no wrap for', [WEST]],
    ['Decrypt', 'has a wrap for', [WEST, EAST]],
  ] as const)(
    'makes only one attempt to %s if the System Key %s a region that fails',
    async ([action, , wrappedIn]) => {
      const arns = Object.fromEntries(wrappedIn.map((region) => [region, keys[region] ?? '']));
      const wrapped = await wrappedBy(kms({ keys: arns }), SYSTEM_KEY, noDeadline());
      const attempts: unknown[] = [];
      const attempted = (each: Attempt): void => void attempts.push([each.region, each.action, each.fault?.errorName]);
      emulator.setFault(EAST, { kind: 'error', name: 'KMSInternalException', status: 500 });
      await renew(wrapped, kms({ keys, failover: { maxRounds: 3, baseDelayMs: 1 }, events: { attempted } }));
      expect(new Set(attempts)).toEqual(
        new Set([
          [EAST, action, 'KMSInternalException'],
          [WEST, 'Decrypt', undefined],
        ]),
      );
      expect(attempts).toHaveLength(2);
    },
  );

  it('replaces a wrap that KMS refuses to unwrap', async () => {
    const wrapped = parse(await wrappedBy(kms({ keys }), SYSTEM_KEY, noDeadline()));
    for (const kek of wrapped.kmsKeks.slice(1)) kek.encryptedKek = Buffer.alloc(100).toString('base64');
    const actions: string[] = [];
    const attempted = ({ region, action }: Attempt): void => void actions.push(`${action} ${region}`);
    const service = kms({ keys, events: { attempted } });
    const { regions, renewed } = await renew(Buffer.from(JSON.stringify(wrapped)), service);
    expect(actions.at(-1)).toBe(`Encrypt ${EAST}`);
    expect(regions).toEqual([
      { region: WEST, opens: true, renewed: false },
      { region: EAST, opens: true, renewed: true },
    ]);
    expect(await keyOf(only(EAST).unwrap(renewed ?? Buffer.alloc(0), noDeadline()))).toEqual(SYSTEM_KEY);
  });

  it('writes a new wrap only after the region has opened that new wrap', async () => {
    const wrapped = await wrappedBy(only(WEST), SYSTEM_KEY, noDeadline());
    emulator.setFault(EAST, { kind: 'error', name: 'AccessDeniedException', actions: ['Decrypt'] });
    const attempts: string[] = [];
    const attempted = ({ region, action, fault }: Attempt): void =>
      void attempts.push(`${action} ${region} ${fault?.action} ${fault?.errorName}`);
    const { regions, renewed } = await renew(wrapped, kms({ events: { attempted } }));
    expect(regions[1]).toMatchObject({ region: EAST, opens: false, renewed: false });
    expect(regions[1]?.fault).toContain(`Decrypt in ${EAST}: misconfigured (AccessDeniedException)`);
    // The region could not unwrap its own new wrap, so the event of the attempt to wrap names Decrypt as the action.
    expect(attempts.at(-1)).toBe(`Decrypt ${EAST} Decrypt AccessDeniedException`);
    expect(renewed).toBeUndefined();
  });

  it('adds a wrap by the new key of a region whose old key is disabled', async () => {
    const wrapped = await wrappedBy(kms(), SYSTEM_KEY, noDeadline());
    await moveAlias(WEST);
    await client(WEST).send(new DisableKeyCommand({ KeyId: keys[WEST] }));
    const { renewed } = await renew(wrapped);
    expect(await keyOf(only(WEST).unwrap(renewed ?? wrapped, noDeadline()))).toEqual(SYSTEM_KEY);
    await client(WEST).send(new EnableKeyCommand({ KeyId: keys[WEST] }));
  });

  it('renews nothing if no region unwraps the System Key', async () => {
    const wrapped = await wrappedBy(kms(), SYSTEM_KEY, noDeadline());
    for (const region of [WEST, EAST]) {
      emulator.setFault(region, { kind: 'error', name: 'DisabledException', actions: ['Decrypt'] });
    }
    emulator.resetCalls();
    const { regions, renewed } = await renew(wrapped);
    expect(calls().toSorted()).toEqual([`Decrypt ${EAST}`, `Decrypt ${WEST}`]);
    expect(regions.map(({ opens, fault }) => [opens, fault?.includes('DisabledException')])).toEqual([
      [false, true],
      [false, true],
    ]);
    expect(renewed).toBeUndefined();
    expect(await renew(Buffer.alloc(60))).toEqual({
      regions: [],
      renewed: undefined,
      unreadable: 'it is not wrapped by KMS',
    });
  });

  it('reports no fault for a region without a wrap if no region unwraps the System Key', async () => {
    const wrapped = await wrappedBy(only(WEST), SYSTEM_KEY, noDeadline());
    emulator.setFault(WEST, { kind: 'error', name: 'KMSInternalException', status: 500 });
    expect(await renew(wrapped)).toEqual({
      regions: [
        {
          region: WEST,
          opens: false,
          renewed: false,
          fault: `Decrypt in ${WEST}: unavailable (KMSInternalException)`,
        },
        { region: EAST, opens: false, renewed: false },
      ],
      renewed: undefined,
    });
  });

  it('zeroes each key that it has unwrapped, even if the renewal ends with an unexpected error', async () => {
    const dataKeys: Buffer[] = [];
    let ends = false;
    const region = (name: string): KmsRegion => ({
      region: name,
      keyArn: keys[name] ?? '',
      generateDataKey: async () => ({
        plaintext: Buffer.alloc(32, 1),
        wrapped: Buffer.from('w'),
        arn: keys[name] ?? '',
      }),
      encrypt: async () => ({ wrapped: Buffer.from('new'), arn: 'another' }),
      decrypt: async () => {
        if (ends && name === EAST) throw new Error('not a fault of the region');
        const dataKey = Buffer.alloc(32, 1);
        dataKeys.push(dataKey);
        return dataKey;
      },
    });
    const world = { now: Date.now, random: () => 0, sleep: () => Promise.resolve() };
    const service = new AwsKms(
      { keys, preferredRegion: WEST },
      { ...world, connect: ({ region: name }) => region(name) },
    );
    const wrapped = await wrappedBy(service, SYSTEM_KEY, noDeadline());
    // The renewal does not return the System Key, so the test cannot look at the key's buffers. Instead, the test
    // counts the calls that overwrite such a buffer.
    const real = Buffer.prototype.fill;
    let zeroedSystemKeys = 0;
    const fill = vi.spyOn(Buffer.prototype, 'fill').mockImplementation(function (this: Buffer, ...given: unknown[]) {
      if (this.length === 32 && this.equals(SYSTEM_KEY)) zeroedSystemKeys += 1;
      return Reflect.apply(real, this, given);
    });
    try {
      await renew(wrapped, service);
      expect(zeroedSystemKeys).toBe(2);
      ends = true;
      await expect(renew(wrapped, service)).rejects.toThrow('not a fault of the region');
      expect(zeroedSystemKeys).toBe(3);
    } finally {
      fill.mockRestore();
    }
    expect(dataKeys).toHaveLength(3);
    for (const dataKey of dataKeys) expect(dataKey.equals(Buffer.alloc(32))).toBe(true);
  });

  it('rejects a new wrap that unwraps to other bytes', async () => {
    const dataKey = Buffer.alloc(32, 1);
    const opened: Buffer[] = [];
    const region = (name: string, opens: Buffer): KmsRegion => ({
      region: name,
      keyArn: keys[name] ?? '',
      generateDataKey: async () => ({
        plaintext: Buffer.from(dataKey),
        wrapped: Buffer.from('w'),
        arn: keys[name] ?? '',
      }),
      encrypt: async () => ({ wrapped: Buffer.from('new'), arn: keys[name] ?? '' }),
      decrypt: async () => {
        opened.push(Buffer.from(opens));
        return opened.at(-1) ?? opens;
      },
    });
    const world = { now: Date.now, random: () => 0, sleep: () => Promise.resolve() };
    const connected = (opens: Record<string, Buffer>): AwsKms =>
      new AwsKms(
        { keys: Object.fromEntries(Object.keys(opens).map((name) => [name, keys[name] ?? ''])), preferredRegion: WEST },
        { ...world, connect: ({ region: name }) => region(name, opens[name] ?? dataKey) },
      );
    const wrapped = await wrappedBy(connected({ [WEST]: dataKey }), SYSTEM_KEY, noDeadline());
    opened.length = 0;
    expect((await renew(wrapped, connected({ [WEST]: dataKey, [EAST]: dataKey }))).regions[1]?.renewed).toBe(true);
    for (const other of [Buffer.alloc(32, 2), Buffer.alloc(31, 1)]) {
      const { regions, renewed } = await renew(wrapped, connected({ [WEST]: dataKey, [EAST]: other }));
      expect(regions[1]?.fault).toContain('NewWrapDoesNotOpen');
      expect(renewed).toBeUndefined();
    }
    // Each of the three renewals unwrapped the old wrap in the west, and a new wrap in the east.
    expect(opened).toHaveLength(6);
    for (const bytes of opened) expect(bytes.every((byte) => byte === 0)).toBe(true);
  });
});
