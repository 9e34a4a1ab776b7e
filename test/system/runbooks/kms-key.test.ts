/**
 * Follows the runbooks for a KMS key that is disabled, is scheduled for deletion, lacks its imported key material, or
 * is compromised (docs/runbooks/README.md).
 */
import {
  CancelKeyDeletionCommand,
  CreateAliasCommand,
  CreateKeyCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  ScheduleKeyDeletionCommand,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EAST, isWell, RunbookFixture, WEST } from './runbook-fixture.ts';

let world: RunbookFixture;

beforeEach(async () => {
  world = await RunbookFixture.start();
});
afterEach(() => world.stop());

/** The ARN of the key to which a region's alias points. */
async function keyOf(region: string): Promise<string> {
  const command = new DescribeKeyCommand({ KeyId: 'alias/keyfold' });
  return (await world.administrator(region).send(command)).KeyMetadata?.Arn ?? '';
}

async function disable(region: string, KeyId: string): Promise<void> {
  await world.administrator(region).send(new DisableKeyCommand({ KeyId }));
}

/** Creates a key and points a region's alias at it, as docs/how-to/replace-a-kms-key.md describes. */
async function replaceKey(region: string): Promise<{ old: string; fresh: string }> {
  const old = await keyOf(region);
  const administrator = world.administrator(region);
  const fresh = (await administrator.send(new CreateKeyCommand({}))).KeyMetadata?.Arn ?? '';
  await administrator.send(new CreateAliasCommand({ AliasName: 'alias/keyfold-retired-1', TargetKeyId: old }));
  await administrator.send(new UpdateAliasCommand({ AliasName: 'alias/keyfold', TargetKeyId: fresh }));
  return { old, fresh };
}

describe('a disabled KMS key', () => {
  it('in one region is reported, makes no request fail, and is used again once it is enabled', async () => {
    const record = await world.encrypt('tenant-1', 'before');
    const key = await keyOf(WEST);
    await disable(WEST, key);

    expect(await world.decrypt('tenant-1', record)).toBe('before');
    await world.noticed('KmsRegionFailures', { region: WEST, faultClass: 'misconfigured' });
    const meanwhile = await world.maintain();
    expect(isWell(meanwhile)).toBe(false);
    expect(meanwhile.systemKeys[0]?.regions[0]).toMatchObject({ region: WEST, opens: false });
    expect(meanwhile.systemKeys[0]?.regions[0]?.fault).toContain('DisabledException');
    await world.noticed('SystemKeysUnopenable', { region: WEST });

    await world.administrator(WEST).send(new EnableKeyCommand({ KeyId: key }));
    expect(isWell(await world.maintain())).toBe(true);
    world.kms.resetCalls();
    expect(await world.decrypt('tenant-1', record)).toBe('before');
    expect(world.kms.calls()).toMatchObject([{ region: WEST, outcome: 'ok' }]);
  });

  it('in every region makes cold requests fail, but not warm ones, until one key is enabled', async () => {
    const warm = world.open();
    const record = await world.encrypt('tenant-1', 'before');
    await world.decrypt('tenant-1', record, warm);
    for (const region of [WEST, EAST]) await disable(region, await keyOf(region));

    expect(await world.decrypt('tenant-1', record)).toBe('KmsMisconfigured');
    await world.noticed('RequestErrors', { code: 'KmsMisconfigured' });
    expect(await world.decrypt('tenant-1', record, warm)).toBe('before');

    await world.administrator(EAST).send(new EnableKeyCommand({ KeyId: await keyOf(EAST) }));
    expect(await world.decrypt('tenant-1', record)).toBe('before');
  });
});

describe('a KMS key whose deletion is scheduled', () => {
  it('stays disabled after the deletion is cancelled, until it is enabled', async () => {
    const record = await world.encrypt('tenant-1', 'before');
    const KeyId = await keyOf(WEST);
    const administrator = world.administrator(WEST);
    await administrator.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 30 }));

    expect(await world.decrypt('tenant-1', record)).toBe('before');
    await world.noticed('KmsRegionFailures', { region: WEST, faultClass: 'misconfigured' });

    await administrator.send(new CancelKeyDeletionCommand({ KeyId }));
    expect(isWell(await world.maintain())).toBe(false);
    await administrator.send(new EnableKeyCommand({ KeyId }));
    expect(isWell(await world.maintain())).toBe(true);
  });

  it('can be replaced behind its alias, after which maintenance opens the System Keys through another region and wraps them with the new key', async () => {
    const record = await world.encrypt('tenant-1', 'before');
    const administrator = world.administrator(WEST);
    await administrator.send(new ScheduleKeyDeletionCommand({ KeyId: await keyOf(WEST), PendingWindowInDays: 30 }));
    const fresh = (await administrator.send(new CreateKeyCommand({}))).KeyMetadata?.Arn ?? '';
    await administrator.send(new UpdateAliasCommand({ AliasName: 'alias/keyfold', TargetKeyId: fresh }));

    const report = await world.maintain();
    expect(report.systemKeys[0]?.regions[0]).toEqual({ region: WEST, opens: true, renewed: true });
    expect(await world.keyfold(['keys', 'show', '_SK_orders_shop', 'latest'])).toMatchObject({
      wraps: expect.arrayContaining([{ region: WEST, arn: fresh }]) as unknown,
    });
    world.kms.setFault(EAST, { kind: 'down' });
    expect(await world.decrypt('tenant-1', record)).toBe('before');
  });
});

/**
 * KMS's error for a key in an invalid state. The emulator cannot cause this error itself, because it has neither
 * imported key material nor key stores.
 */
function invalidState(message: string): { kind: 'error'; name: string; message: string } {
  return { kind: 'error', name: 'KMSInvalidStateException', message };
}

describe('a KMS key whose imported material has expired', () => {
  it('is reported with its state, makes no request fail, and is used again once the material is imported', async () => {
    const record = await world.encrypt('tenant-1', 'before');
    const key = await keyOf(WEST);
    world.kms.setFault(WEST, invalidState(`${key} is pending import.`));

    expect(await world.decrypt('tenant-1', record)).toBe('before');
    await world.noticed('KmsRegionFailures', { region: WEST, faultClass: 'misconfigured' });
    const meanwhile = await world.maintain();
    expect(meanwhile.systemKeys[0]?.regions[0]).toMatchObject({ region: WEST, opens: false });
    expect(meanwhile.systemKeys[0]?.regions[0]?.fault).toContain('is pending import');
    await world.noticed('SystemKeysUnopenable', { region: WEST });
    expect(await world.decrypt('tenant-2', await world.encrypt('tenant-2', 'meanwhile'))).toBe('meanwhile');

    world.kms.clearFaults();
    expect(isWell(await world.maintain())).toBe(true);
    world.kms.setFault(EAST, { kind: 'down' });
    expect(await world.decrypt('tenant-1', record)).toBe('before');
  });

  it('in every region makes cold requests fail with KmsMisconfigured', async () => {
    const record = await world.encrypt('tenant-1', 'before');
    for (const region of [WEST, EAST]) world.kms.setFault(region, invalidState('the key is pending import.'));
    expect(await world.decrypt('tenant-1', record)).toBe('KmsMisconfigured');
  });
});

describe('a KMS key in a key store that is disconnected', () => {
  it('counts as an outage of its region until it is connected again', async () => {
    const record = await world.encrypt('tenant-1', 'before');
    const key = await keyOf(WEST);
    world.kms.setFault(WEST, invalidState(`${key} is Unavailable.`));

    expect(await world.decrypt('tenant-1', record)).toBe('before');
    await world.noticed('KmsRegionFailures', { region: WEST, faultClass: 'unavailable' });
    world.kms.setFault(EAST, invalidState('The key store is DISCONNECTED.'));
    expect(await world.decrypt('tenant-1', record)).toBe('KmsUnavailable');

    world.kms.clearFaults();
    expect(await world.decrypt('tenant-1', record)).toBe('before');
    expect(isWell(await world.maintain())).toBe(true);
  });
});

describe('a compromised KMS key', () => {
  it('can be replaced behind its alias, before System Keys are revoked and sensitive records are encrypted again', async () => {
    const record = await world.encrypt('tenant-1', 'secret');
    const { old, fresh } = await replaceKey(WEST);

    expect(isWell(await world.maintain())).toBe(true);
    expect(JSON.stringify(await world.keyfold(['keys', 'show', '_SK_orders_shop', 'latest']))).not.toContain(old);
    await world.keyfold(['keys', 'revoke', '_SK_orders_shop', 'latest', '--yes', '--reason', 'its KMS key leaked']);
    await disable(WEST, old);

    const anew = await world.encrypt('tenant-1', await world.decrypt('tenant-1', record));
    expect(anew.Key.ParentKeyMeta.Created).toBeGreaterThan(record.Key.ParentKeyMeta.Created);
    expect(await world.keyfold(['keys', 'list'])).toMatchObject([{ state: 'valid' }, { state: 'revoked' }]);
    expect(await world.keyfold(['keys', 'show', '_SK_orders_shop', 'latest'])).toMatchObject({
      wraps: expect.arrayContaining([{ region: WEST, arn: fresh }]) as unknown,
    });
    // Nothing needs the old key any longer, so it can be scheduled for deletion.
    world.kms.setFault(EAST, { kind: 'down' });
    expect(await world.decrypt('tenant-1', record)).toBe('secret');
    expect(await world.decrypt('tenant-1', anew)).toBe('secret');
  });
});
