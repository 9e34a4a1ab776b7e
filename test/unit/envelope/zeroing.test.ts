/** Tests that Keyfold zeroes every buffer that has held a plaintext key, whether a request succeeds or fails. */
import type * as nodeCrypto from 'node:crypto';
import { createSecretKey } from 'node:crypto';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import * as aes from '../../../src/crypto/aead.ts';
import { wrappedBy } from '../../support/kms.ts';
import { AwsKms, KeyfoldError } from '../../../src/index.ts';
import type { KmsRegion } from '../../../src/kms/kms-region.ts';
import { codeOf, errorOf, FakeDependencies, noDeadline } from '../../support/fakes.ts';

/**
 * `keys` contains all buffers that have held a plaintext key. `pools` contains all buffers of random bytes from which
 * keys are drawn.
 */
const spied = vi.hoisted(() => ({ keys: [] as Uint8Array[], pools: [] as Uint8Array[] }));

vi.mock('node:crypto', async (original) => {
  const real = await original<typeof nodeCrypto>();
  return {
    ...real,
    createSecretKey: (bytes: Uint8Array) => {
      spied.keys.push(bytes);
      return real.createSecretKey(bytes);
    },
    randomFillSync: (bytes: Uint8Array) => {
      spied.pools.push(bytes);
      return real.randomFillSync(bytes);
    },
  };
});
vi.mock('../../../src/crypto/aead.ts', async (original) => {
  const real = await original<typeof aes>();
  return {
    ...real,
    seal: (key: never, plaintext: Uint8Array) => {
      if (plaintext.length === 32) spied.keys.push(plaintext);
      return real.seal(key, plaintext);
    },
    open: (key: never, sealed: Uint8Array) => {
      const plaintext = real.open(key, sealed);
      if ([24, 32, 40].includes(plaintext?.length ?? 0) && plaintext !== undefined) spied.keys.push(plaintext);
      return plaintext;
    },
  };
});

const PAYLOAD = Buffer.from('not of 32 bytes');
let world: FakeDependencies;

beforeEach(() => {
  world = new FakeDependencies();
  spied.keys.length = 0;
});

/** Checks that at least ten buffers have held a key, and counts those that are not zeroed. */
function counts(): { held: string; stillHold: number } {
  const stillHold = spied.keys.filter((bytes) => bytes.some((byte) => byte !== 0)).length;
  return { held: spied.keys.length >= 10 ? 'enough' : 'too few', stillHold };
}

/** Opens sealed bytes with a key. */
function opened(key: Uint8Array, sealed: Uint8Array | undefined): Buffer {
  return aes.open(createSecretKey(key), sealed ?? Buffer.alloc(0)) as Buffer;
}

describe('the bytes of a key', () => {
  it('are zeroed after encrypt, decrypt, rewrap and the check of the System Key', async () => {
    const record = await world.process().session('p').encrypt(PAYLOAD);
    await world.process().session('p').decrypt(record);
    const [key] = world.metastore.ofKind('IK');
    if (key !== undefined) world.metastore.change(key, { revoked: true });
    expect((await world.process().session('p').rewrap(record)).rewrapped).toBe(true);
    await world.process().checkSystemKey();
    expect(counts()).toEqual({ held: 'enough', stillHold: 0 });
  });

  it.for(['Put SK', 'Put IK'])('are zeroed if the process loses a race to store a key (%s)', async (put) => {
    let raced = false;
    world.metastore.interfere = async (call) => {
      if (call !== put || raced) return;
      raced = true;
      await world.process().session('p').encrypt(PAYLOAD);
    };
    await world.process().session('p').encrypt(PAYLOAD);
    expect(counts()).toEqual({ held: 'enough', stillHold: 0 });
  });

  it.for(['Wrap', 'Put SK', 'Put IK'])(
    'are zeroed if a call to the KMS or the metastore fails (%s)',
    async (failing) => {
      world.kms.interfere = world.metastore.interfere = (call) => {
        if (call === failing) throw new KeyfoldError('MetastoreUnavailable', 'down');
      };
      await errorOf(world.process().session('p').encrypt(PAYLOAD));
      for (const bytes of [...spied.keys, ...world.kms.plaintexts]) {
        expect(Buffer.from(bytes)).toEqual(Buffer.alloc(bytes.length));
      }
      expect(world.kms.plaintexts).toHaveLength(1);
    },
  );

  it('are zeroed if the payload does not open', async () => {
    const record = await world.process().session('p').encrypt(PAYLOAD);
    await errorOf(
      world
        .process()
        .session('p')
        .decrypt({ ...record, data: Buffer.alloc(40) }),
    );
    expect(counts()).toEqual({ held: 'enough', stillHold: 0 });
  });

  it("are zeroed together with the session's copy of the payload", async () => {
    const payload = Buffer.alloc(32, 5);
    for (const partition of ['p', 'q']) await world.process().session(partition).encrypt(payload);
    expect(payload).toEqual(Buffer.alloc(32, 5));
    expect(counts()).toEqual({ held: 'enough', stillHold: 0 });
  });

  it('are zeroed, and so is the payload, after opensUnbound has tried a record', async () => {
    const record = await world.process().session('p').encrypt(Buffer.alloc(32, 5));
    expect(await world.process().session('p').opensUnbound(record)).toBe(true);
    expect(counts()).toEqual({ held: 'enough', stillHold: 0 });
  });

  it.for([24, 40])('are zeroed if a decrypted key has %i bytes instead of 32', async (size) => {
    const record = await world.process().session('p').encrypt(PAYLOAD);
    const [system, intermediate] = [...world.metastore.ofKind('SK'), ...world.metastore.ofKind('IK')];
    const systemKey = opened(Buffer.alloc(32, 7), system?.encryptedKey);
    const misfit = (key: Uint8Array): Buffer => aes.seal(createSecretKey(key), Buffer.alloc(size, 1));
    const intermediateKey = opened(systemKey, intermediate?.encryptedKey);
    const encryptedKey = misfit(intermediateKey);
    spied.keys.length = 0;
    const session = world.process().session('p');
    expect(await codeOf(session.decrypt({ ...record, key: { ...record.key, encryptedKey } }))).toBe('RecordUnreadable');
    world.metastore.change(intermediate as never, { encryptedKey: misfit(systemKey), proof: undefined });
    expect(await errorOf(world.process().session('p').decrypt(record))).toMatchObject({
      code: 'KeyRowUnreadable',
      message: expect.stringMatching(/cannot be read: its key does not open under its System Key\.$/) as string,
    });
    world.metastore.change(system as never, { encryptedKey: misfit(Buffer.alloc(32, 7)), proof: undefined });
    expect(await errorOf(world.process().session('p').decrypt(record))).toMatchObject({
      code: 'KeyRowUnreadable',
      message: expect.stringMatching(/cannot be read: its key does not have 256 bits\.$/) as string,
    });
    const misfits = spied.keys.filter(({ length }) => length === size);
    expect(misfits).toEqual(Array(3).fill(Buffer.alloc(size)));
  });

  it('are zeroed by AwsKms after wrap and unwrap, even if the System Key does not open', async () => {
    const dataKeys: Buffer[] = [];
    const region: KmsRegion = {
      region: 'us-west-2',
      keyArn: ARN,
      generateDataKey: async () => ({ plaintext: note(Buffer.alloc(32, 1)), wrapped: Buffer.from('w'), arn: ARN }),
      encrypt: () => Promise.reject(new Error('there is one region')),
      decrypt: async () => note(Buffer.alloc(32, 1)),
    };
    const note = (dataKey: Buffer): Buffer => {
      dataKeys.push(dataKey);
      return dataKey;
    };
    const real = { now: Date.now, random: () => 0, sleep: () => Promise.resolve(), connect: () => region };
    const kms = new AwsKms({ keys: { 'us-west-2': ARN }, preferredRegion: 'us-west-2' }, real);
    const wrapped = await wrappedBy(kms, Buffer.alloc(32, 9), noDeadline());
    await kms.unwrap(wrapped, noDeadline());
    const envelope = JSON.parse(Buffer.from(wrapped).toString()) as { encryptedKey: string };
    envelope.encryptedKey = Buffer.alloc(60).toString('base64');
    await kms.unwrap(Buffer.from(JSON.stringify(envelope)), noDeadline());
    expect(dataKeys).toHaveLength(3);
    for (const dataKey of dataKeys) expect(dataKey).toEqual(Buffer.alloc(32));
  });

  it('are zeroed in the pool of random bytes from which they were drawn', async () => {
    await world.process().session('p').encrypt(PAYLOAD);
    const pool = Buffer.from(spied.pools.at(-1) ?? []);
    const firstUnused = pool.findIndex((byte) => byte !== 0);
    expect(firstUnused).toBeGreaterThanOrEqual(32 + 12);
  });
});

const ARN = 'arn:aws:kms:us-west-2:111122223333:key/11111111-2222-3333-4444-555555555555';
