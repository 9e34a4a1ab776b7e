/** Follows the runbooks for a lost region and for a region that throttles (docs/runbooks/README.md). */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EAST, isWell, RunbookFixture, WEST } from './runbook-fixture.ts';

let world: RunbookFixture;

beforeEach(async () => {
  world = await RunbookFixture.start();
});
afterEach(() => world.stop());

describe('a lost KMS region', () => {
  it('is reported while the other region serves requests, and maintenance later adds the missing wraps', async () => {
    const before = await world.encrypt('tenant-1', 'before');
    world.kms.setFault(WEST, { kind: 'down' });

    expect(await world.decrypt('tenant-1', before)).toBe('before');
    await world.noticed('KmsRegionFailures', { region: WEST, faultClass: 'unavailable' });
    await world.noticed('KmsFailovers', { region: EAST });

    // The functions in the lost region are gone as well. The functions in the other region prefer their own region.
    const inEast = { KEYFOLD_PREFERRED_REGION: EAST, AWS_REGION: EAST };
    world.kms.resetCalls();
    expect(await world.decrypt('tenant-1', before, world.open(inEast))).toBe('before');
    expect(world.kms.calls().map(({ region }) => region)).toEqual([EAST]);

    // A System Key that is created now has no wrap for the lost region.
    await world.keyfold(['keys', 'revoke', '_SK_orders_shop', 'latest', '--yes']);
    const during = await world.encrypt('tenant-1', 'during', world.seal(inEast));
    await world.noticed('KmsWrapsMissing', { region: WEST });
    expect(await world.keyfold(['keys', 'show', '_SK_orders_shop', 'latest'])).toMatchObject({
      wraps: [{ region: EAST }],
    });

    world.kms.clearFaults();
    const report = await world.maintain();
    expect(report.systemKeys[0]?.regions).toContainEqual({ region: WEST, opens: true, renewed: true });
    expect(isWell(report)).toBe(true);
    await world.noticed('WrapsRenewed', { region: WEST });

    // The region has recovered completely when it can decrypt alone.
    world.kms.setFault(EAST, { kind: 'down' });
    expect(await world.decrypt('tenant-1', during)).toBe('during');
  });

  it('does not stop the other region, which creates keys with its own suffix in its table replica', async () => {
    const west = { KEYFOLD_REGION_SUFFIX: WEST };
    const record = await world.encrypt('tenant-1', 'before', world.seal(west));
    await world.restore('Replica', await world.rows());
    world.kms.setFault(WEST, { kind: 'down' });

    const east = { KEYFOLD_REGION_SUFFIX: EAST, AWS_REGION: EAST, KEYFOLD_TABLE: 'Replica' };
    expect(await world.decrypt('tenant-1', record, world.open(east))).toBe('before');
    const during = await world.encrypt('tenant-1', 'during', world.seal(east));
    expect(during.Key.ParentKeyMeta.KeyId).toBe(`_IK_tenant-1_orders_shop_${EAST}`);
    expect(await world.decrypt('tenant-1', during, world.open(east))).toBe('during');
  });
});

describe('an exhausted KMS quota', () => {
  it('is reported, does not affect warm processes, and makes cold processes use another region', async () => {
    const warm = world.seal();
    const record = await world.encrypt('tenant-1', 'before', warm);
    for (const region of [WEST, EAST]) world.kms.setFault(region, { kind: 'throttle', perSecond: 0 });
    world.kms.resetCalls();

    await world.encrypt('tenant-1', 'warm', warm);
    await world.encrypt('tenant-2', 'a new partition', warm);
    expect(world.kms.calls()).toEqual([]);

    // The margin leaves the request five of the invocation's fifteen seconds, so that the test does not wait for many
    // retries.
    const cold = world.open({ KEYFOLD_DEADLINE_MARGIN_MS: '10000' });
    expect(await world.decrypt('tenant-1', record, cold)).toBe('KmsThrottled');
    await world.noticed('KmsRegionFailures', { region: WEST, faultClass: 'throttled' });
    await world.noticed('RequestErrors', { code: 'KmsThrottled' });

    world.kms.clearFault(EAST);
    expect(await world.decrypt('tenant-1', record)).toBe('before');
    await world.noticed('KmsFailovers', { region: EAST });
  });
});
