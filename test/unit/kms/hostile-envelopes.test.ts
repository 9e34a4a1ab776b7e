/** Tests that an attacker's KMS envelopes cause only a limited number of KMS calls. */
import { beforeEach, describe, expect, it } from 'vitest';
import { AwsKms } from '../../../src/index.ts';
import { wrappedBy } from '../../support/kms.ts';
import { RegionFault } from '../../../src/kms/region-fault.ts';
import type { KmsRegion } from '../../../src/kms/kms-region.ts';
import { noDeadline } from '../../support/fakes.ts';

const REGIONS = ['us-west-2', 'us-east-1'];
const ALIAS = 'alias/asherah';

let calls: number;

beforeEach(() => {
  calls = 0;
});

function arnOf(region: string, key = 1): string {
  return `arn:aws:kms:${region}:111122223333:key/${key}`;
}

/** A fake region that returns its own name as every wrapped key, and refuses to unwrap anything else. */
function connect({ region, keyArn }: { region: string; keyArn: string }): KmsRegion {
  const wrap = { wrapped: Buffer.from(region), arn: arnOf(region) };
  return {
    region,
    keyArn,
    generateDataKey: async () => ({ ...wrap, plaintext: Buffer.alloc(32, 3) }),
    encrypt: async () => wrap,
    decrypt: async (wrapped) => {
      calls += 1;
      if (wrapped.toString() === region) return Buffer.alloc(32, 3);
      throw new RegionFault(region, 'Decrypt', 'corrupt', 'InvalidCiphertextException');
    },
  };
}

const keys = Object.fromEntries(REGIONS.map((region) => [region, arnOf(region)]));
const kms = new AwsKms(
  { keys, preferredRegion: 'us-west-2' },
  { now: Date.now, random: () => 0.5, sleep: async () => {}, connect },
);

type Envelope = Record<string, unknown> & { kmsKeks: unknown[] };

/** Wraps a System Key and changes its envelope. */
async function envelopeWith(change: (envelope: Envelope) => void): Promise<Buffer> {
  const envelope = JSON.parse(
    Buffer.from(await wrappedBy(kms, Buffer.alloc(32, 9), noDeadline())).toString(),
  ) as Envelope;
  change(envelope);
  return Buffer.from(JSON.stringify(envelope));
}

/** Makes `count` wraps for each region, none of which can be unwrapped. */
function wraps(count: number, arn?: string): unknown[] {
  return REGIONS.flatMap((region) =>
    Array.from({ length: count }, (_, i) => ({ region, arn: arn ?? arnOf(region, i), encryptedKek: 'AAAA' })),
  );
}

/** Unwraps an envelope. Returns the outcome, and the number of KMS calls. */
async function unwrap(wrapped: Uint8Array): Promise<string> {
  const unwrapped = await kms.unwrap(wrapped, noDeadline());
  return `${'key' in unwrapped ? 'opens' : unwrapped.unreadable}: ${calls}`;
}

describe('a KMS envelope', () => {
  it.for([3, 1000, 2000])(
    'with %i wraps for each region causes KMS calls for at most four wraps of each region',
    async (count) => {
      const [named, aliased] = [wraps(count), wraps(count, ALIAS)];
      const ofNamed = await unwrap(await envelopeWith((envelope) => (envelope.kmsKeks = named)));
      expect(ofNamed).toMatch(new RegExp(`^it opens in no region .*: ${2 * Math.min(count, 4)}$`));
      calls = 0;
      // A wrap that names an alias causes two calls: one with the configured key, and one that names no key.
      const ofAliased = await unwrap(await envelopeWith((envelope) => (envelope.kmsKeks = aliased)));
      expect(ofAliased).toMatch(new RegExp(`^it opens in no region .*: ${4 * Math.min(count, 4)}$`));
    },
  );

  it('is unwrapped by any of the first four wraps for a region', async () => {
    const wrapped = await envelopeWith((envelope) => (envelope.kmsKeks = [...wraps(3), ...envelope.kmsKeks]));
    expect(await unwrap(wrapped)).toBe('opens: 4');
  });

  it('is unwrapped in one region even if the wraps for another region are hostile', async () => {
    const broken = wraps(2000).slice(0, 2000);
    expect(await unwrap(await envelopeWith((envelope) => (envelope.kmsKeks = [...broken, ...envelope.kmsKeks])))).toBe(
      'opens: 5',
    );
  });

  it('is refused without a KMS call if it is larger than a DynamoDB item', async () => {
    const wrapped = await envelopeWith((envelope) => (envelope['padding'] = 'x'.repeat(409_600)));
    expect(await unwrap(wrapped)).toBe('it is not wrapped by KMS: 0');
  });

  it('causes no KMS call for a wrap or ARN that is too long for KMS', async () => {
    const kek = { region: 'us-west-2', arn: arnOf('us-west-2'), encryptedKek: 'AAAA' };
    const tooLarge = [
      { ...kek, arn: `${kek.arn}${'1'.repeat(2048)}` },
      { ...kek, encryptedKek: Buffer.alloc(6145).toString('base64') },
    ];
    expect(await unwrap(await envelopeWith((envelope) => (envelope.kmsKeks = tooLarge)))).toBe(
      'it has no wrap of any region: 0',
    );
  });

  it('is unreadable if it is nested so deeply that it could not be encoded again', async () => {
    const sound = await envelopeWith(() => {});
    const deep = Buffer.from(sound.toString().replace('{', `{"x":${'['.repeat(20_000)}${']'.repeat(20_000)},`));
    expect(await unwrap(deep)).toBe('it is not wrapped by KMS: 0');
    expect(await kms.renew(deep, noDeadline())).toMatchObject({ unreadable: 'it is not wrapped by KMS' });
  });
});
