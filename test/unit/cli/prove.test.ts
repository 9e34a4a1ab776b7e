import { createSecretKey } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import { DeleteTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as aes from '../../../src/crypto/aead.ts';
import type { EnvelopeKeyRecord } from '../../../src/index.ts';
import { DAY_MS, noDeadline } from '../../support/fakes.ts';
import { cellsOf, OperatorFixture, type CliRun } from '../../support/operator.ts';

const MASTER = Buffer.alloc(32, 7);
const STATIC = { KEYFOLD_STATIC_MASTER_KEY_HEX: MASTER.toString('hex') };

let world: OperatorFixture;
let system: EnvelopeKeyRecord;
let intermediate: EnvelopeKeyRecord;

beforeEach(async () => {
  world = await OperatorFixture.start();
  const { key } = await world.service().session('tenant-1').encrypt(Buffer.from('payload'));
  intermediate = (await row(key.parent.id, key.parent.created)) as EnvelopeKeyRecord;
  system = (await row(intermediate.parent?.id ?? '', intermediate.parent?.created ?? 0)) as EnvelopeKeyRecord;
});

afterEach(() => world.stop());

function row(id: string, created: number): Promise<EnvelopeKeyRecord | undefined> {
  return world.metastore.load(id as never, created as never, noDeadline());
}

async function dropTable(): Promise<void> {
  const client = new DynamoDBClient({ endpoint: world.endpoint, region: 'us-west-2' });
  await client.send(new DeleteTableCommand({ TableName: 'EncryptionKey' }));
}

/** Replaces the rows of both keys with rows without proofs, as an older version wrote them. */
async function unproven(): Promise<void> {
  for (const each of [system, intermediate]) await world.put({ ...each, proof: undefined });
}

function prove(...options: string[]): Promise<CliRun> {
  return world.keyfold(['keys', 'prove', ...options], STATIC);
}

async function outcomes(...options: string[]): Promise<{ code: number; rows: { outcome: string; why?: string }[] }> {
  const { code, stdout } = await prove('--json', ...options);
  const rows = JSON.parse(stdout) as { outcome: string; why?: string }[];
  return { code, rows: rows.map(({ outcome, why }) => (why === undefined ? { outcome } : { outcome, why })) };
}

/**
 * Adds the row of an Intermediate Key without a proof. The key was created this many seconds after its System Key.
 * Returns the rows that a dry run refuses.
 */
async function refusalsOf(seconds: number): Promise<unknown[]> {
  await unproven();
  world.clock.advance(92 * DAY_MS);
  const systemKey = createSecretKey(aes.open(createSecretKey(MASTER), system.encryptedKey) as Buffer);
  const created = (system.created + seconds) as never;
  const encryptedKey = aes.seal(systemKey, Buffer.alloc(32, 5));
  await world.put({ ...intermediate, id: '_IK_late_orders_shop' as never, created, encryptedKey, proof: undefined });
  const { rows } = await outcomes('--dry-run');
  expect(rows).toHaveLength(3);
  return rows.filter(({ outcome }) => outcome !== 'would-prove');
}

describe('keyfold keys prove', () => {
  it('prints each row that lacks a proof, and counts all rows', async () => {
    await world.put({ ...intermediate, proof: undefined });
    expect(cellsOf(await prove('--dry-run'))).toEqual([
      ['ID', 'CREATED', 'STATE', 'WHY'],
      [intermediate.id, String(intermediate.created), 'provable'],
      ['1 rows are proven, 1 can be, 0 are refused.'],
      ['Dry run: nothing was written.'],
    ]);
  });

  it('adds the proof that a new row would have, and writes each change to the audit log', async () => {
    await unproven();
    const { code, stdout, stderr } = await prove('--yes', '--reason', 'migration');
    expect(code).toBe(0);
    expect(stdout).toContain('0 rows are proven, 2 can be, 0 are refused.');
    expect((await row(system.id, system.created))?.proof).toEqual(system.proof);
    expect((await row(intermediate.id, intermediate.created))?.proof).toEqual(intermediate.proof);
    const audit = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const time = new Date(world.clock.now()).toISOString();
    const place = { table: 'EncryptionKey', region: 'us-west-2' };
    const lines = [system, intermediate].flatMap(({ id, created }) =>
      ['attempting', 'proven'].map((outcome) => ({ id, created, outcome })),
    );
    const common = {
      time,
      action: 'keys prove',
      reason: 'migration',
      ...place,
      caller: { host: hostname(), user: userInfo().username },
      dryRun: false,
    };
    expect(audit).toEqual(Array.from(lines, (line) => ({ ...common, ...line })));
    expect(await outcomes('--yes')).toEqual({ code: 0, rows: [{ outcome: 'proven' }, { outcome: 'proven' }] });
  });

  it('shows how many rows are left, and removes the progress line at the end', async () => {
    await world.put({ ...intermediate, proof: undefined });
    const lines: string[] = [];
    const audit = async (): Promise<void> => world.clock.advance(1500);
    const { stdout } = await world.keyfold(['keys', 'prove', '--yes'], STATIC, {
      audit,
      status: (text) => lines.push(text),
    });
    expect(lines).toEqual(['2 rows of 2, 0 s left, 1/s', '']);
    expect(stdout.trimEnd().split('\n').slice(-2)).toEqual([
      '1 rows are proven, 1 can be, 0 are refused.',
      'Added 1 proofs.',
    ]);
  });

  it('writes nothing in a dry run or without confirmation', async () => {
    await unproven();
    expect(await outcomes('--dry-run')).toEqual({
      code: 0,
      rows: [{ outcome: 'would-prove' }, { outcome: 'would-prove' }],
    });
    expect(await prove()).toMatchObject({
      code: 1,
      stderr: 'keyfold: not confirmed: nothing was written; --yes goes ahead\n',
    });
    expect(await row(system.id, system.created)).toEqual({ ...system, proof: undefined });
  });

  it.for([
    ['adds the proofs', 'yes ', 0, 'Added 2 proofs.'],
    ['writes nothing', 'no', 1, '0 rows are proven, 2 can be, 0 are refused.'],
  ] as const)('%s after the answer "%s"', async ([, answer, code, says]) => {
    await unproven();
    const asked: string[] = [];
    const ask = async (question: string): Promise<string> => (asked.push(question), answer);
    const run = await world.keyfold(['keys', 'prove'], STATIC, { ask });
    expect(asked).toEqual(['Type yes to add 2 proofs: ']);
    expect(run.code).toBe(code);
    expect(run.stdout.trimEnd().split('\n').at(-1)).toBe(says);
    expect((await row(system.id, system.created))?.proof).toEqual(code === 0 ? system.proof : undefined);
  });

  it.for([
    [
      'the table fails',
      'deletes the table',
      'ResourceNotFoundException',
      ['attempting', 'proven', 'attempting', 'failed'],
    ],
    ['a signal arrives', 'interrupts', 'SIGTERM', ['attempting', 'proven']],
  ] as const)('stops if %s, and shows the rows that it has already proved', async ([, event, says, lines]) => {
    await unproven();
    let stop: ((signal: NodeJS.Signals) => void) | undefined;
    let isListening = true;
    const audited: unknown[] = [];
    const audit = async (line: string): Promise<void> => {
      audited.push((JSON.parse(line) as { outcome: unknown }).outcome);
      if (audited.length !== 2) return;
      if (event === 'interrupts') stop?.('SIGTERM');
      else await dropTable();
    };
    const onInterrupt = (given: (signal: NodeJS.Signals) => void): (() => void) => {
      stop = given;
      return () => (isListening = false);
    };
    const run = await world.keyfold(['keys', 'prove', '--yes', '--json'], STATIC, { audit, onInterrupt });
    expect(run.code).not.toBe(0);
    expect(run.stderr).toContain(says);
    expect(JSON.parse(run.stdout)).toMatchObject([{ id: system.id, outcome: 'added' }]);
    expect(audited).toEqual(lines);
    expect(isListening).toBe(false);
  });

  it('refuses a row with an invalid proof, and leaves the proof as it is', async () => {
    await world.put({ ...intermediate, proof: Buffer.alloc(32) });
    const { code, rows } = await outcomes('--yes');
    expect({ code, rows }).toEqual({
      code: 1,
      rows: [{ outcome: 'proven' }, { outcome: 'refused', why: 'its proof does not hold' }],
    });
    expect((await row(intermediate.id, intermediate.created))?.proof).toEqual(Buffer.alloc(32));
    const { id, created } = intermediate;
    const refused = { id, created, outcome: 'refused', why: 'its proof does not hold' };
    const proven = { id: system.id, created: system.created, outcome: 'proven' };
    expect(JSON.parse((await prove('--json')).stdout)).toEqual([proven, refused]);
    expect((await prove()).stdout).toContain('1 rows are proven, 0 can be, 1 are refused.');
  });

  it('refuses both rows if two rows contain the same key, because one may be a forged copy', async () => {
    await unproven();
    await world.put({ ...intermediate, proof: undefined, id: '_IK_accomplice_orders_shop' as never });
    const { code, rows } = await outcomes('--yes');
    expect(code).toBe(1);
    const refused = { outcome: 'refused', why: 'its key stands in another row, too' };
    expect(rows).toEqual([{ outcome: 'added' }, refused, refused]);
  });

  it.for([
    ['a System Key that was created after the row', -1, 'its System Key is younger than the key'],
    [
      'a System Key that had expired before the row was created',
      90 * 86_400 + 1,
      'it was made after its System Key had expired',
    ],
  ] as const)('refuses a row with %s', async ([, seconds, why]) => {
    expect(await refusalsOf(seconds)).toEqual([{ outcome: 'refused', why }]);
  });

  it.for([
    ['in the same second as its System Key', 0],
    ['in the last second before its System Key expired', 90 * 86_400],
  ] as const)('accepts a row that was created %s', async ([, seconds]) => {
    expect(await refusalsOf(seconds)).toEqual([]);
  });

  it('refuses rows that are dated in the future or cannot be opened', async () => {
    await unproven();
    const later = (system.created + 3600) as never;
    await world.put({
      id: system.id,
      created: later,
      encryptedKey: aes.seal(createSecretKey(MASTER), Buffer.alloc(32, 1)),
      revoked: false,
    });
    await world.put({
      id: intermediate.id,
      created: later,
      encryptedKey: Buffer.alloc(60),
      parent: system,
      revoked: false,
    });
    await world.put({ Id: { S: system.id }, Created: { N: '5' }, KeyRecord: { S: 'x' } });
    const { rows } = await outcomes('--dry-run');
    expect(rows.flatMap(({ why }) => why ?? []).toSorted()).toEqual([
      expect.stringContaining('KeyRecord is missing or malformed'),
      'it is dated too far ahead',
      'its key does not open under its System Key',
    ]);
  });

  it('refuses a row without a proof if its System Key is refused', async () => {
    await world.put({ ...system, proof: Buffer.alloc(32) });
    await world.put({ ...intermediate, proof: undefined });
    expect(await outcomes('--yes')).toEqual({
      code: 1,
      rows: [
        { outcome: 'refused', why: 'its proof does not hold' },
        { outcome: 'refused', why: 'its System Key is refused' },
      ],
    });
    expect(await row(intermediate.id, intermediate.created)).toEqual({ ...intermediate, proof: undefined });
  });

  it('compares every row with the restored backup that --against names', async () => {
    await unproven();
    await world.createTable('Restored');
    await world.put({ ...system, proof: undefined }, 'Restored');
    await world.put({ ...intermediate, proof: undefined, revoked: true }, 'Restored');
    const same = await outcomes('--against', 'Restored', '--dry-run');
    expect(same.rows).toEqual([{ outcome: 'would-prove' }, { outcome: 'would-prove' }]);
    const systemKey = createSecretKey(aes.open(createSecretKey(MASTER), system.encryptedKey) as Buffer);
    const encryptedKey = aes.seal(systemKey, Buffer.alloc(32, 5));
    await world.put({ ...intermediate, proof: undefined, encryptedKey }, 'Restored');
    const changed = await outcomes('--against', 'Restored', '--dry-run');
    expect(changed.rows[1]).toEqual({ outcome: 'refused', why: 'its key differs from that of the backup' });
    const names = [{ id: '_IK_tenant-2_orders_shop' as never }, { created: (intermediate.created + 1) as never }];
    for (const [i, name] of names.entries()) {
      const added = aes.seal(systemKey, Buffer.alloc(32, 6 + i));
      await world.put({ ...intermediate, ...name, encryptedKey: added, proof: undefined });
    }
    const more = await outcomes('--against', 'Restored', '--dry-run');
    const absent = { outcome: 'refused', why: 'the backup does not have it' };
    expect(more.rows.filter(({ why }) => why === absent.why)).toEqual([absent, absent]);
    expect((await prove('--against', 'NoSuchTable', '--dry-run')).code).toBe(1);
  });

  it('detects swapped keys of two partitions only by a comparison with a backup', async () => {
    const { key } = await world.service().session('tenant-2').encrypt(Buffer.from('payload'));
    const other = (await row(key.parent.id, key.parent.created)) as EnvelopeKeyRecord;
    expect(other.parent).toEqual(intermediate.parent);
    await world.createTable('Restored');
    for (const each of [system, intermediate, other]) await world.put({ ...each, proof: undefined }, 'Restored');
    await unproven();
    await world.put({ ...intermediate, encryptedKey: other.encryptedKey, proof: undefined });
    await world.put({ ...other, encryptedKey: intermediate.encryptedKey, proof: undefined });
    const provable = { outcome: 'would-prove' };
    expect((await outcomes('--dry-run')).rows).toEqual([provable, provable, provable]);
    const differs = { outcome: 'refused', why: 'its key differs from that of the backup' };
    expect(await outcomes('--against', 'Restored', '--yes')).toEqual({
      code: 1,
      rows: [{ outcome: 'added' }, differs, differs],
    });
    expect(await row(other.id, other.created)).toMatchObject({ id: other.id, encryptedKey: intermediate.encryptedKey });
    expect(await row(other.id, other.created)).not.toHaveProperty('proof');
  });

  it('judges a row that has a proof by the proof alone', async () => {
    const proven = { outcome: 'proven' };
    await world.createTable('Restored');
    expect(await outcomes('--against', 'Restored', '--yes')).toEqual({ code: 0, rows: [proven, proven] });
    world.clock.advance(-3_600_000);
    expect(await outcomes('--dry-run')).toEqual({ code: 0, rows: [proven, proven] });
    world.clock.advance(3_600_000);
    await world.put({ ...intermediate, proof: undefined, id: '_IK_accomplice_orders_shop' as never });
    const lent = { outcome: 'refused', why: 'its key stands in another row, too' };
    expect(await outcomes('--dry-run')).toEqual({ code: 1, rows: expect.arrayContaining([proven, proven, lent]) });
  });

  it('accepts a row with a proof even if KEYFOLD_EXPIRE_AFTER_MS was longer when the key was created', async () => {
    world.clock.advance(DAY_MS / 2);
    await world.service().session('tenant-2').encrypt(Buffer.from('payload'));
    const { code, stdout } = await world.keyfold(['keys', 'prove', '--json'], {
      ...STATIC,
      KEYFOLD_EXPIRE_AFTER_MS: String(DAY_MS / 4),
    });
    const rows = JSON.parse(stdout) as { outcome: string }[];
    expect([code, rows.map(({ outcome }) => outcome)]).toEqual([0, ['proven', 'proven', 'proven']]);
  });

  it('changes no rows of other services', async () => {
    await world.service({ service: 'billing', product: 'shop' }).session('tenant-1').encrypt(Buffer.from('x'));
    expect((await outcomes('--dry-run')).rows).toHaveLength(2);
  });

  it('fails if the settings do not name the service', async () => {
    const { code, stderr } = await world.keyfold(['keys', 'prove'], { ...STATIC, KEYFOLD_SERVICE: undefined });
    expect([code, stderr]).toEqual([
      2,
      'keyfold: Keyfold cannot start:\n- set KEYFOLD_SERVICE and KEYFOLD_PRODUCT to prove its keys\n',
    ]);
  });
});
