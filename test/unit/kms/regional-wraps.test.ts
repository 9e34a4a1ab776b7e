import { describe, expect, it } from 'vitest';
import type { KmsRegion } from '../../../src/kms/kms-region.ts';
import { RegionFault, type FaultClass } from '../../../src/kms/region-fault.ts';
import { openIn } from '../../../src/kms/regional-wraps.ts';
import { errorOf, noDeadline } from '../../support/fakes.ts';

const KEY = 'arn:aws:kms:us-west-2:111122223333:key/1';
const ALIAS = 'arn:aws:kms:us-west-2:111122223333:alias/keyfold';

/** Opens an envelope with one wrap for each ARN. The attempts fail with these faults, in order. */
async function opening(
  arns: readonly string[],
  faults: readonly FaultClass[],
  dataKey = Buffer.alloc(32, 1),
): Promise<unknown> {
  const keyIds: (string | undefined)[] = [];
  const decrypt: KmsRegion['decrypt'] = async (_wrapped, keyId) => {
    keyIds.push(keyId);
    const faultClass = faults[keyIds.length - 1];
    if (faultClass === undefined) return dataKey;
    throw new RegionFault('us-west-2', 'Decrypt', faultClass, `Fault${keyIds.length}`);
  };
  const kmsKeks = arns.map((arn) => ({ region: 'us-west-2', arn, encryptedKek: Buffer.from('wrap') }));
  const envelope = { encryptedKey: Buffer.alloc(60), kmsKeks };
  const region = { region: 'us-west-2', keyArn: ALIAS, decrypt } as unknown as KmsRegion;
  const error = (await errorOf(openIn(region, envelope, noDeadline()))) as RegionFault;
  return { keyIds, fault: error.errorName };
}

describe('the wraps of one region', () => {
  it('are tried with the KMS keys that they name', async () => {
    expect(await opening([KEY, `${KEY}2`], ['corrupt', 'misconfigured'])).toEqual({
      keyIds: [KEY, `${KEY}2`],
      fault: 'Fault2',
    });
  });

  it('that name an alias are tried first with the configured key and then without a key ID', async () => {
    expect(await opening(['alias/asherah'], ['misconfigured', 'corrupt'])).toEqual({
      keyIds: [ALIAS, undefined],
      fault: 'Fault2',
    });
  });

  it('are tried only up to the fourth wrap', async () => {
    const refused = Array(5).fill('corrupt');
    expect(await opening(Array(5).fill(KEY), refused)).toEqual({ keyIds: Array(4).fill(KEY), fault: 'Fault4' });
    expect(await opening([], [])).toEqual({ keyIds: [], fault: 'NoWrap' });
  });

  it.for([16, 32])(
    'open to a data key of %i bytes, which is zeroed if the data key does not open the System Key',
    async (size) => {
      const dataKey = Buffer.alloc(size, 1);
      expect(await opening([KEY], [], dataKey)).toEqual({ keyIds: [KEY], fault: 'SystemKeyDoesNotOpen' });
      expect(dataKey).toEqual(Buffer.alloc(size));
    },
  );

  it('are not tried after the region has throttled or failed', async () => {
    for (const faultClass of ['throttled', 'unavailable'] as const) {
      expect(await opening([KEY, KEY, KEY], ['corrupt', faultClass])).toEqual({ keyIds: [KEY, KEY], fault: 'Fault2' });
    }
  });
});
