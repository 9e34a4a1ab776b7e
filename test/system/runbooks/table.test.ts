/**
 * Follows the runbooks for a lost or corrupted key table (docs/runbooks/README.md). A copy of the rows stands in for a
 * restore to a point in time.
 */
import {
  ConditionalCheckFailedException,
  DeleteItemCommand,
  DeleteTableCommand,
  PutItemCommand,
} from '@aws-sdk/client-dynamodb';
import { CreateKeyCommand, DisableKeyCommand, EnableKeyCommand, UpdateAliasCommand } from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EAST, isWell, RunbookFixture, WEST, type Row } from './runbook-fixture.ts';

let world: RunbookFixture;

beforeEach(async () => {
  world = await RunbookFixture.start();
});
afterEach(() => world.stop());

const RESTORED = { KEYFOLD_TABLE: 'EncryptionKey-restored' };

/** Stores a row unless the table already has a row with that key. */
async function put(table: string, row: Row): Promise<'written' | 'there already'> {
  const ConditionExpression = 'attribute_not_exists(Id)';
  const command = new PutItemCommand({ TableName: table, Item: row, ConditionExpression });
  try {
    await world.operator().send(command);
    return 'written';
  } catch (error) {
    if (error instanceof ConditionalCheckFailedException) return 'there already';
    throw error;
  }
}

const rowOf = (rows: readonly Row[], idBegins: string): Row => {
  const found = rows.find(({ Id }) => Id?.S?.startsWith(idBegins));
  if (found === undefined) throw new Error(`no row ${idBegins}`);
  return found;
};

const keyOf = ({ Id, Created }: Row): Row => ({ Id: Id ?? { S: '' }, Created: Created ?? { N: '0' } });

describe('a lost key table', () => {
  it('can be restored under another name, after which only records from before the restore point decrypt', async () => {
    const before = await world.encrypt('tenant-1', 'before');
    const backup = await world.rows();
    const after = await world.encrypt('tenant-2', 'a partition made after the restore point');
    const warm = world.open();
    await world.decrypt('tenant-2', after, warm);
    await world.operator().send(new DeleteTableCommand({ TableName: 'EncryptionKey' }));

    expect(await world.decrypt('tenant-1', before)).toBe('MetastoreUnavailable');
    await world.noticed('MetastoreFailures', { action: 'GetItem' });
    await world.noticed('RequestErrors', { code: 'MetastoreUnavailable' });

    await world.restore('EncryptionKey-restored', backup);
    expect(await world.decrypt('tenant-1', before, world.open(RESTORED))).toBe('before');
    expect(isWell(await world.maintain(RESTORED))).toBe(true);
    expect(await world.decrypt('tenant-2', after, world.open(RESTORED))).toBe('RecordUnreadable');
    // Only this process can decrypt these records, because its cache is still warm.
    const saved = await world.decrypt('tenant-2', after, warm);
    const anew = await world.encrypt('tenant-2', saved, world.seal(RESTORED));
    expect(await world.decrypt('tenant-2', anew, world.open(RESTORED))).toBe(saved);
  });

  it('needs the old KMS key again if it is restored to a point before a wrap renewal', async () => {
    const record = await world.encrypt('tenant-1', 'before');
    const backup = await world.rows();
    const olds: [string, string][] = [];
    for (const region of [WEST, EAST]) {
      const administrator = world.administrator(region);
      const { keyArn } = await world.kms.ensureKey(region, 'alias/keyfold');
      const { KeyMetadata } = await administrator.send(new CreateKeyCommand({}));
      await administrator.send(new UpdateAliasCommand({ AliasName: 'alias/keyfold', TargetKeyId: KeyMetadata?.KeyId }));
      olds.push([region, keyArn]);
    }
    expect(isWell(await world.maintain())).toBe(true);
    for (const [region, KeyId] of olds) await world.administrator(region).send(new DisableKeyCommand({ KeyId }));
    expect(await world.decrypt('tenant-1', record)).toBe('before');

    await world.restore('EncryptionKey-restored', backup);
    expect(await world.decrypt('tenant-1', record, world.open(RESTORED))).toBe('KmsMisconfigured');

    // It is enough to enable one of the two former KMS keys. Records then decrypt again, and maintenance renews both
    // wraps. After that, neither former key is needed.
    const [[region, KeyId] = [WEST, '']] = olds;
    await world.administrator(region).send(new EnableKeyCommand({ KeyId }));
    expect(await world.decrypt('tenant-1', record, world.open(RESTORED))).toBe('before');
    expect(isWell(await world.maintain(RESTORED))).toBe(true);
    await world.administrator(region).send(new DisableKeyCommand({ KeyId }));
    expect(await world.decrypt('tenant-1', record, world.open(RESTORED))).toBe('before');
  });

  it('can get back the keys made after the restore point from a replica, but revocations after that point must be repeated', async () => {
    const before = await world.encrypt('tenant-1', 'before');
    const { KeyId, Created } = before.Key.ParentKeyMeta;
    const backup = await world.rows();
    const revoke = ['keys', 'revoke', KeyId, String(Created), '--yes'];
    await world.keyfold(revoke);
    const after = await world.encrypt('tenant-2', 'a partition made after the restore point');

    await world.restore('EncryptionKey-restored', backup);
    const outcomes = await Promise.all((await world.rows()).map((row) => put('EncryptionKey-restored', row)));
    expect(outcomes.toSorted()).toEqual(['there already', 'there already', 'written']);
    expect(await world.decrypt('tenant-2', after, world.open(RESTORED))).toBe(
      'a partition made after the restore point',
    );

    const restored = ['--table', 'EncryptionKey-restored'];
    expect(await world.keyfold(['keys', 'show', KeyId, 'latest', ...restored])).toMatchObject({ state: 'valid' });
    await world.keyfold([...revoke, ...restored]);
    const anew = await world.encrypt('tenant-1', 'after', world.seal(RESTORED));
    expect(anew.Key.ParentKeyMeta.Created).toBeGreaterThan(Created);
  });
});

describe('corrupted rows of the key table', () => {
  it('are listed as unreadable, and can be replaced one by one from a restored table', async () => {
    const record = await world.encrypt('tenant-1', 'before');
    await world.restore('EncryptionKey-restored', await world.rows());
    const damaged = rowOf(await world.rows(), '_IK_tenant-1');
    const nonsense = { ...damaged, KeyRecord: { M: { Key: { S: 'not base64' }, Created: { N: '1' } } } };
    await world.operator().send(new PutItemCommand({ TableName: 'EncryptionKey', Item: nonsense }));

    expect(await world.decrypt('tenant-1', record)).toBe('KeyRowUnreadable');
    await world.noticed('RequestErrors', { code: 'KeyRowUnreadable' });
    expect(await world.keyfold(['keys', 'list', '--all'])).toContainEqual(
      expect.objectContaining({ id: '_IK_tenant-1_orders_shop', state: 'unreadable' }),
    );

    await world.operator().send(new DeleteItemCommand({ TableName: 'EncryptionKey', Key: keyOf(damaged) }));
    await put('EncryptionKey', rowOf(await world.rows('EncryptionKey-restored'), '_IK_tenant-1'));
    expect(await world.decrypt('tenant-1', record)).toBe('before');
    expect(JSON.stringify(await world.keyfold(['keys', 'list', '--all']))).not.toContain('unreadable');
  });

  it("make every record under a System Key unreadable until that key's row is restored", async () => {
    const record = await world.encrypt('tenant-1', 'before');
    const row = rowOf(await world.rows(), '_SK_');
    await world.operator().send(new DeleteItemCommand({ TableName: 'EncryptionKey', Key: keyOf(row) }));

    expect(await world.decrypt('tenant-1', record)).toBe('KeyRowUnreadable');
    await put('EncryptionKey', row);
    expect(await world.decrypt('tenant-1', record)).toBe('before');
  });
});
