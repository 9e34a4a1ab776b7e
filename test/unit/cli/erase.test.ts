import { hostname, userInfo } from 'node:os';
import { DeleteItemCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { operatorAdapters } from '../../../src/container.ts';
import type { CliDependencies } from '../../../src/cli/dependencies.ts';
import {
  SessionFactory,
  StaticKms,
  type DataRowRecord,
  type EnvelopeKeyRecord,
  type RegisteredErasure,
  type Session,
} from '../../../src/index.ts';
import { TOMBSTONE_CREATED } from '../../../src/records/ids.ts';
import { keyOfItem } from '../../../src/metastore/dynamodb-item.ts';
import { DynamoDbKeyTable } from '../../../src/metastore/dynamodb-key-table.ts';
import { DynamoDbProxy } from '../../support/dynamodb-proxy.ts';
import { failingAt, KILLS } from '../../support/erasure-kills.ts';
import { codeOf, DAY_MS, noDeadline } from '../../support/fakes.ts';
import { cellsOf, OperatorFixture, type CliRun } from '../../support/operator.ts';

const STATIC = { KEYFOLD_STATIC_MASTER_KEY_HEX: Buffer.alloc(32, 7).toString('hex') };
const PAYLOAD = Buffer.from('payload');
const BEGIN = ['--reason', 'contract ended', '--wait', '24h', '--confirm', 'tenant-1'];
const CONFIRMED = ['--confirm', 'tenant-1'];

let world: OperatorFixture;
/** Two records of the partition, sealed under different keys. `other` is a record of another partition. */
let records: DataRowRecord[];
let other: DataRowRecord;

beforeEach(async () => {
  world = await OperatorFixture.start();
  const first = await world.service().session('tenant-1').encrypt(PAYLOAD);
  await world.keyfold(['keys', 'revoke', first.key.parent.id, 'latest', '--yes']);
  world.clock.advance(60_000);
  records = [first, await world.service().session('tenant-1').encrypt(PAYLOAD)];
  other = await world.service().session('tenant-10').encrypt(PAYLOAD);
});
afterEach(() => world.stop());

function erase(options: readonly string[], more: Parameters<OperatorFixture['keyfold']>[2] = {}): Promise<CliRun> {
  return world.keyfold(['partitions', 'erase', 'tenant-1', ...options], STATIC, more);
}

/** The rows of the partition, oldest first. */
async function rows(): Promise<EnvelopeKeyRecord[]> {
  const table = new DynamoDbKeyTable({ endpoint: world.endpoint, region: 'us-west-2' });
  const found = await table.list('_IK_tenant-1_orders_shop');
  return found.filter((row) => 'encryptedKey' in row).toReversed();
}

function answerOf(work: Promise<unknown>, done: string): Promise<string> {
  return work.then(
    () => done,
    () => codeOf(work),
  );
}

function session(partition = 'tenant-1'): Session {
  return world.service().session(partition);
}

/**
 * In a cold process, opens each of the partition's records and seals a new one. Returns the three results. Checks that
 * the other partition's record still opens.
 */
async function answers(): Promise<string[]> {
  const answered = [
    ...records.map((record) => answerOf(session().decrypt(record), 'opened')),
    answerOf(session().encrypt(PAYLOAD), 'sealed'),
    answerOf(session('tenant-10').decrypt(other), 'opened'),
  ];
  const [first, second, sealed, ofOther] = await Promise.all(answered);
  expect(ofOther).toBe('opened');
  return [first, second, sealed].map(String);
}

/** The service's erasures, read from the register as daily maintenance reads them. */
function registered(): Promise<RegisteredErasure[]> {
  const names = { service: 'orders', product: 'shop' };
  return operatorAdapters.openErasureTables({ endpoint: world.endpoint, region: 'us-west-2' }, names).register.list();
}

async function status(run: typeof erase = erase): Promise<Record<string, unknown>> {
  return JSON.parse((await run(['--status', '--json'])).stdout) as Record<string, unknown>;
}

function auditOf(stderr: string): unknown[] {
  const lines = stderr.split('\n').filter((line) => line.startsWith('{'));
  return lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .map(({ action, partition, step, outcome, rows: count, reason }) => [
      action,
      partition,
      step,
      outcome,
      count,
      reason,
    ]);
}

const ERASED = ['PartitionErased', 'PartitionErased', 'PartitionErased'];

describe('keyfold partitions erase', () => {
  it('marks every row of the partition, and writes an audit line both before and after', async () => {
    const { code, stdout, stderr } = await erase(BEGIN);
    expect(code).toBe(0);
    expect(stdout).toContain('Marked 2 rows.');
    expect(auditOf(stderr)).toEqual([
      ['partitions erase', 'tenant-1', 'begin', 'attempting', 2, 'contract ended'],
      ['partitions erase', 'tenant-1', 'begin', 'begun', 2, 'contract ended'],
    ]);
    const [first, second, tombstone] = await rows();
    expect(tombstone).toMatchObject({ created: TOMBSTONE_CREATED, revoked: true, encryptedKey: Buffer.alloc(60) });
    for (const row of [first, second])
      expect(row).toMatchObject({ revoked: true, erased: { erase: tombstone?.erased?.erase } });
    const lines = stderr.trim().split('\n');
    const { erase: id, due } = { ...tombstone?.erased };
    const common = {
      time: new Date(world.clock.nowMs).toISOString(),
      action: 'partitions erase',
      partition: 'tenant-1',
      step: 'begin',
      rows: 2,
      reason: 'contract ended',
      table: 'EncryptionKey',
      region: 'us-west-2',
      caller: { user: userInfo().username, host: hostname() },
      dryRun: false,
    };
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { ...common, erase: null, due: null, outcome: 'attempting' },
      { ...common, erase: id, due, outcome: 'begun' },
    ]);
    expect(await answers()).toEqual(ERASED);
    expect(await status()).toMatchObject({ state: 'waiting', rows: 2, unmarked: 0 });
  });

  it('shows the remaining time of a step that takes longer than a second', async () => {
    for (const options of [BEGIN, ['--cancel', ...CONFIRMED]]) {
      const lines: string[] = [];
      const audit = async (): Promise<void> => {
        lines.push('audit line');
        world.clock.advance(1500);
      };
      await erase(options, { audit, status: (text) => lines.push(text) });
      expect(lines).toEqual(['audit line', '1 rows of 2, 2 s left, 1/s', '', 'audit line']);
    }
  });

  it('prints its plan and its status', async () => {
    const [first, second] = await rows();
    const id = '_IK_tenant-1_orders_shop';
    const afterMs = (ms: number, fromMs = world.clock.nowMs): string => new Date(fromMs + ms).toISOString();
    const beganMs = Math.floor(world.clock.nowMs / 1000) * 1000;
    const dueMs = 24 * 3_600_000;
    const copy = ['copy in us-west-2', expect.stringContaining('the copies cannot be listed: DynamoDB table')];
    const row = (of: EnvelopeKeyRecord | undefined, state: string, marked: string): string[] => [
      id,
      afterMs(0, (of?.created ?? 0) * 1000),
      'us-west-2',
      state,
      marked,
    ];
    expect(cellsOf(await erase(BEGIN))).toEqual([
      ['ID', 'CREATED', 'REGION', 'STATE', 'MARKED'],
      row(second, 'valid', 'no'),
      row(first, 'revoked', 'no'),
      ['begin', 'tenant-1'],
      ['tombstone', `${id} in us-west-2, not written yet`],
      ['deletion', afterMs(dueMs, beganMs)],
      ['warm processes', `seal until ${afterMs(60 * 60_000)}, and open until ${afterMs(75 * 60_000)} at the latest`],
      copy,
      [`Marked 2 rows. --finish may delete them from ${afterMs(dueMs, beganMs)}.`],
    ]);
    const [{ erase: erasure } = { erase: '' }] = await registered();
    const warm = `seal until ${afterMs(60 * 60_000, beganMs)}, and open until ${afterMs(75 * 60_000, beganMs)} at the latest`;
    expect(cellsOf(await erase(['--status']))).toEqual([
      ['state', 'waiting'],
      ['erasure', erasure],
      ['began', afterMs(0, beganMs)],
      ['deletion', `from ${afterMs(dueMs, beganMs)}`],
      ['rows', '2, of which 0 have no mark'],
      ['replica us-west-2', '2 rows, 1 of 1 tombstones'],
      ['warm processes', warm],
      copy,
      ['not listed', 'backups in the vaults of AWS Backup: see aws backup list-recovery-points-by-resource'],
      ['not listed', 'a table from which the rows were imported, and exports older than 90 days'],
      ['not listed', 'clients that keep data keys or plaintext of their own'],
    ]);
    world.clock.advance(DAY_MS);
    const finished = cellsOf(await erase(['--finish', ...CONFIRMED]));
    expect(finished.slice(1, -1)).toEqual([
      row(second, 'erased', 'yes'),
      row(first, 'erased', 'yes'),
      ['finish', 'tenant-1'],
      ['erasure', erasure],
      ['tombstone', `${id} in us-west-2`],
      ['deletion', 'now'],
      copy,
    ]);
    const ended = cellsOf(await erase(['--status']));
    expect(ended).toContainEqual(['deletion', `done ${afterMs(0, Math.floor(world.clock.nowMs / 1000) * 1000)}`]);
    expect(ended).toContainEqual(['rows', '0, of which 0 have no mark']);
  });

  it('prints the outcome of a step as JSON, and the plan of the step to standard error', async () => {
    const begun = await erase([...BEGIN, '--json']);
    const at = Math.floor(world.clock.nowMs / 1000);
    const from = new Date((at + 86_400) * 1000).toISOString();
    expect(JSON.parse(begun.stdout)).toEqual({
      partition: 'tenant-1',
      step: 'begin',
      dryRun: false,
      outcome: 'begun',
      says: `Marked 2 rows. --finish may delete them from ${from}.`,
      erase: expect.any(String) as string,
      at,
      due: at + 86_400,
    });
    expect(begun.stderr).toMatch(/^tombstone /m);
    const { erase: id, due } = JSON.parse(begun.stdout) as { erase: string; due: number };
    const dry = await erase(['--cancel', '--dry-run', '--json']);
    expect([dry.code, JSON.parse(dry.stdout)]).toEqual([
      0,
      expect.objectContaining({ step: 'cancel', dryRun: true, outcome: 'would-write', erase: id, due }),
    ]);
    const finished = await erase(['--finish', '--confirm', 'tenant-1', '--json']);
    expect([finished.code, JSON.parse(finished.stdout)]).toEqual([
      1,
      {
        partition: 'tenant-1',
        step: 'finish',
        dryRun: false,
        outcome: 'refused',
        says: `the rows may be deleted from ${from}`,
      },
    ]);
  });

  it.for([
    [
      'a waiting time for --finish',
      ['--finish', '--wait', '36h'],
      "error: option '--wait <duration>' cannot be used with option '--finish'",
    ],
    [
      'a waiting time for --cancel',
      ['--cancel', '--wait', '36h'],
      "error: option '--wait <duration>' cannot be used with option '--cancel'",
    ],
    [
      '--delete-unmarked for --cancel',
      ['--cancel', '--delete-unmarked'],
      'keyfold: The option --delete-unmarked goes with --finish.',
    ],
    [
      '--delete-unmarked for a new erasure',
      [...BEGIN, '--delete-unmarked'],
      'keyfold: The option --delete-unmarked goes with --finish.',
    ],
  ] as const)('refuses %s', async ([, options, says]) => {
    const { code, stdout, stderr } = await erase(options);
    expect([code, stdout, stderr]).toEqual([2, '', `${says}\n`]);
  });

  it('shows its plan and changes nothing in a dry run', async () => {
    const before = await rows();
    expect(before).toHaveLength(2);
    const { code, stdout, stderr } = await erase([...BEGIN, '--dry-run']);
    expect(code).toBe(0);
    expect(JSON.parse(stderr)).toMatchObject({ dryRun: true, rows: 2, outcome: 'would-write' });
    expect(stdout).toContain('Dry run: nothing was written.');
    // Dynalite cannot list backups, so the plan gives the reason why it does not name the backups that contain the
    // keys.
    expect(stdout).toContain('UnknownOperationException');
    for (const { id, created } of before) expect(stdout).toContain(`${id}  ${new Date(created * 1000).toISOString()}`);
    expect(stdout).toMatch(/^tombstone +_IK_tenant-1_orders_shop in us-west-2, not written yet$/m);
    expect(await rows()).toEqual(before);
    expect(await status()).toMatchObject({ state: 'none' });
  });

  it.for([
    ['if there is no terminal', undefined],
    ['after the answer "yes"', 'yes'],
    ["after another partition's name", 'tenant-10'],
    ["after the partition's name with a trailing space", 'tenant-1 '],
    ['after an empty answer', ''],
  ] as const)('changes nothing %s', async ([, answer]) => {
    const before = await rows();
    const ask = answer === undefined ? undefined : async (): Promise<string> => answer;
    const { code, stderr } = await erase(BEGIN.slice(0, -2), { ask });
    expect(code).toBe(1);
    expect(auditOf(stderr)).toEqual([['partitions erase', 'tenant-1', 'begin', 'declined', 2, 'contract ended']]);
    expect(await rows()).toEqual(before);
  });

  it('changes nothing, and asks no question, if --confirm names another partition', async () => {
    const before = await rows();
    const asked: string[] = [];
    const ask = async (question: string): Promise<string> => (asked.push(question), 'tenant-1');
    const { code, stderr } = await erase([...BEGIN.slice(0, -1), 'tenant-10'], { ask });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^keyfold: not confirmed: nothing was written$/m)]);
    expect(asked).toEqual([]);
    expect(await rows()).toEqual(before);
  });

  it("marks the rows after the operator types the partition's name", async () => {
    const asked: string[] = [];
    const ask = async (question: string): Promise<string> => {
      asked.push(question);
      return 'tenant-1';
    };
    expect((await erase(BEGIN.slice(0, -2), { ask })).code).toBe(0);
    expect(asked).toEqual(['Type the name of the partition to erase its keys: ']);
    expect(await answers()).toEqual(ERASED);
  });

  it.for([
    [
      'a waiting time of less than a day',
      ['--reason', 'x', '--wait', '23h'],
      "error: option '--wait <duration>' argument '23h' is invalid. It must be at least 24h.",
    ],
    [
      'a waiting time without a unit',
      ['--reason', 'x', '--wait', '7'],
      "error: option '--wait <duration>' argument '7' is invalid. It must be a number with d, h, m or s, such as 90d.",
    ],
    ['--wait without --reason', ['--wait', '7d'], 'keyfold: An erasure needs a --reason for the audit.'],
    [
      '--cancel together with --finish',
      ['--cancel', '--finish'],
      "error: option '--cancel' cannot be used with option '--finish'",
    ],
  ] as const)('refuses %s', async ([, options, said]) => {
    const { code, stderr } = await erase([...options, ...CONFIRMED]);
    expect({ code, stderr }).toEqual({ code: 2, stderr: `${said}\n` });
  });

  it('refuses a partition without key rows', async () => {
    const { code, stderr } = await world.keyfold(
      ['partitions', 'erase', 'nobody', '--reason', 'x', '--confirm', 'nobody'],
      STATIC,
    );
    const [audit, says, ...more] = stderr.split('\n');
    expect([code, says, more]).toEqual([1, 'keyfold: the partition has no key rows', ['']]);
    expect(JSON.parse(audit ?? '')).toMatchObject({ partition: 'nobody', rows: 0, outcome: 'refused' });
  });

  it.for([
    ['opens', '08', 'it does not open under the static master key'],
    ['exists', '07', 'the service has no System Key'],
  ] as const)('fails, and names the cause, if no System Key %s', async ([, byte, cause]) => {
    const client = new DynamoDBClient({ endpoint: world.endpoint, region: 'us-west-2' });
    if (byte === '07') {
      for (const { parent } of await rows()) {
        const Key = keyOfItem(parent?.id ?? '', parent?.created ?? 0);
        await client.send(new DeleteItemCommand({ TableName: 'EncryptionKey', Key }));
      }
    }
    const { code, stderr } = await world.keyfold(['partitions', 'erase', 'tenant-1', ...BEGIN], {
      KEYFOLD_STATIC_MASTER_KEY_HEX: byte.repeat(32),
    });
    expect(code).toBe(1);
    expect(stderr).toContain('No System Key opens that can prove a mark.');
    expect(stderr).toContain(cause);
    expect((await rows()).map(({ erased }) => erased)).toEqual([undefined, undefined]);
  });

  it('with --cancel, makes every record readable again, and the next encrypt makes a new key', async () => {
    await erase(BEGIN);
    world.clock.advance(60_000);
    const asked: string[] = [];
    const ask = async (question: string): Promise<string> => (asked.push(question), 'tenant-1');
    const { code, stdout, stderr } = await erase(['--cancel'], { ask });
    expect([code, asked]).toEqual([0, ['Type the name of the partition to cancel the erasure: ']]);
    const says = 'Cancelled. The old keys open records again, but stay revoked. The next encrypt makes a new key.';
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(says);
    expect(auditOf(stderr).at(-1)).toEqual(['partitions erase', 'tenant-1', 'cancel', 'cancelled', 2, null]);
    expect((await rows()).map(({ revoked, erased }) => [revoked, erased])).toEqual([
      [true, undefined],
      [true, undefined],
    ]);
    expect(await answers()).toEqual(['opened', 'opened', 'sealed']);
    expect(await rows()).toHaveLength(3);
    expect(await status()).toEqual({
      partition: 'tenant-1',
      state: 'none',
      rows: 3,
      unmarked: 3,
      replicas: [{ region: 'us-west-2', rows: 3, tombstones: 0 }],
      copies: [],
    });
    expect((await erase(['--status'])).stdout).toBe('No erasure of this partition is under way.\n');
    expect((await erase(['--cancel', ...CONFIRMED])).stderr).toMatch(
      /^keyfold: no erasure of this partition is under way$/m,
    );
  });

  it('deletes nothing before the waiting time is over', async () => {
    await erase(BEGIN);
    world.clock.advance(DAY_MS - 2000);
    const { code, stderr } = await erase(['--finish', ...CONFIRMED]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('may be deleted from 20') as string });
    expect(await rows()).toHaveLength(3);
  });

  it('deletes every row and keeps the tombstone', async () => {
    await erase(BEGIN);
    world.clock.advance(DAY_MS);
    expect(await status()).toMatchObject({ state: 'due' });
    const { code, stdout, stderr } = await erase(['--finish', ...CONFIRMED]);
    expect(code).toBe(0);
    const says = 'Deleted. The tombstones stay. --status lists the copies that still hold the keys.';
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(says);
    expect(auditOf(stderr)).toEqual([
      ['partitions erase', 'tenant-1', 'finish', 'attempting', 2, null],
      ['partitions erase', 'tenant-1', 'finish', 'deleted', 0, null],
    ]);
    expect((await rows()).map(({ created }) => created)).toEqual([TOMBSTONE_CREATED]);
    expect(await answers()).toEqual(ERASED);
    expect(await status()).toMatchObject({
      state: 'deleted',
      rows: 0,
      replicas: [{ region: 'us-west-2', rows: 0, tombstones: 1 }],
      copies: [{ kind: 'unknown', text: expect.stringContaining('UnknownOperationException') as string }],
    });
    expect((await erase(['--cancel', ...CONFIRMED])).stderr).toMatch(
      /^keyfold: the key rows are deleted: there is nothing left to bring back$/m,
    );
  });

  it('shows the copies of the deleted keys until the last copy is gone', async () => {
    const seconds = (): number => Math.floor(world.clock.nowMs / 1000);
    const began = seconds();
    const until = began + 3 * 86_400;
    const askedFor: unknown[] = [];
    const openTables: CliDependencies['openErasureTables'] = (table, names) =>
      Object.assign(operatorAdapters.openErasureTables(table, names), {
        copies: async (region: string, existedAt: number) => {
          askedFor.push([region, existedAt]);
          return [{ kind: 'backup', region, text: 'the backup b', until }];
        },
      });
    const shown = async (): Promise<unknown[]> =>
      cellsOf(await erase(['--status'], { openTables })).filter(([label]) => /state|copy/.test(label ?? ''));
    const copy = ['copy in us-west-2', `the backup b, until ${new Date(until * 1000).toISOString()}`];
    await erase(['--status'], { openTables });
    expect(askedFor).toEqual([]);
    await erase(BEGIN);
    expect(await shown()).toEqual([['state', 'waiting'], copy]);
    world.clock.advance(DAY_MS);
    const deletedAt = seconds();
    await erase(['--finish', ...CONFIRMED]);
    world.clock.advance(DAY_MS);
    expect(await shown()).toEqual([['state', 'deleted'], copy]);
    world.clock.advance(until * 1000 - world.clock.nowMs);
    expect(await shown()).toEqual([['state', 'complete']]);
    expect(askedFor).toEqual([began, deletedAt, deletedAt].map((at) => ['us-west-2', at]));
    expect(JSON.parse((await erase(['--status', '--json'], { openTables })).stdout)).toEqual({
      partition: 'tenant-1',
      state: 'complete',
      erase: expect.any(String) as string,
      at: began,
      due: began + 86_400,
      deletedAt,
      rows: 0,
      unmarked: 0,
      replicas: [{ region: 'us-west-2', rows: 0, tombstones: 1 }],
      copies: [],
    });
  });

  it('leaves every other row of the table as it was', async () => {
    const table = new DynamoDbKeyTable({ endpoint: world.endpoint, region: 'us-west-2' });
    const others = async () => (await table.list()).filter(({ id }) => !/^_(?:IK_tenant-1|EP)_/.test(id));
    const before = await others();
    const count = (await table.list()).length;
    await erase(BEGIN);
    world.clock.advance(DAY_MS);
    await erase(['--finish', ...CONFIRMED]);
    expect((await table.list()).filter((row) => 'unreadable' in row)).toEqual([]);
    expect(await others()).toEqual(before);
    // The number of rows is the same: two keys are gone, and the tombstone and the entry in the register are new.
    expect(await table.list()).toHaveLength(count - 2 + 2);
  });

  it('can be repeated if a restore has brought the rows back into the same table or into a new table', async () => {
    const keys = await rows();
    const system = await world.metastore.loadLatest('_SK_orders_shop' as never, noDeadline());
    await erase(BEGIN);
    world.clock.advance(DAY_MS);
    await erase(['--finish', ...CONFIRMED]);
    for (const row of keys) await world.put(row);
    expect((await answers())[0]).toBe('opened');
    expect(await status()).toMatchObject({ state: 'due', rows: 2, unmarked: 2 });
    expect(await status()).not.toHaveProperty('deletedAt');
    const [{ deletedAt = 0 } = {}] = await registered();
    expect((await erase(BEGIN)).code).toBe(0);
    expect((await registered()).map(({ deletedAt: again }) => again)).toEqual([undefined]);
    expect(await answers()).toEqual(ERASED);
    world.clock.advance(60_000);
    expect((await erase(['--finish', ...CONFIRMED])).code).toBe(0);
    expect((await registered())[0]?.deletedAt).toBe(deletedAt + 60);
    expect(await answers()).toEqual(ERASED);

    await world.createTable('Restored');
    for (const row of [...keys, system as EnvelopeKeyRecord]) await world.put(row, 'Restored');
    const restored = ['--table', 'Restored'];
    expect((await erase([...BEGIN, ...restored])).code).toBe(0);
    world.clock.advance(DAY_MS);
    expect((await erase(['--finish', ...CONFIRMED, ...restored])).code).toBe(0);
    const left = new DynamoDbKeyTable({ endpoint: world.endpoint, region: 'us-west-2', tableName: 'Restored' });
    expect((await left.list()).map(({ id, created }) => [id.slice(0, 4), created === TOMBSTONE_CREATED])).toEqual(
      expect.arrayContaining([
        ['_IK_', true],
        ['_SK_', false],
        ['_EP_', false],
      ]),
    );
    expect(await left.list()).toHaveLength(3);
  });

  it('prevents the command keys rotate from creating a new key for the partition', async () => {
    await erase(BEGIN);
    const { code, stderr } = await world.keyfold(['keys', 'rotate', '--partition', 'tenant-1'], STATIC);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('erased the keys') as string });
    const all = await world.keyfold(['keys', 'rotate', '--all-partitions', '--json'], STATIC);
    const outcomes = (JSON.parse(all.stdout) as { id: string; outcome: string }[]).map(({ id, outcome }) => [
      id,
      outcome,
    ]);
    expect([all.code, Object.fromEntries(outcomes)]).toEqual([
      0,
      { '_IK_tenant-1_orders_shop': 'erased', '_IK_tenant-10_orders_shop': 'rotated' },
    ]);
    expect(await rows()).toHaveLength(3);
  });

  it('makes the command keys rotate --older-than skip the partition once the rows of the partition are deleted', async () => {
    await erase(BEGIN);
    world.clock.advance(DAY_MS);
    await erase(['--finish', ...CONFIRMED]);
    const args = ['keys', 'rotate', '--all-partitions', '--older-than', '1s', '--dry-run', '--json'];
    const { stdout } = await world.keyfold(args, STATIC);
    expect(JSON.parse(stdout)).toMatchObject([{ id: '_IK_tenant-10_orders_shop' }]);
  });

  it('asks whether to delete rows without a mark, and keeps these rows unless the operator agrees', async () => {
    await erase(BEGIN);
    const [row] = await rows();
    const late = { ...row, created: Math.floor(world.clock.nowMs / 1000) + 5, erased: undefined, revoked: false };
    await world.put(late as EnvelopeKeyRecord);
    world.clock.advance(DAY_MS);
    expect(await status()).toMatchObject({ state: 'due', rows: 3, unmarked: 1 });
    expect((await answers())[2]).toBe('PartitionErased');
    const first = await erase(['--finish', ...CONFIRMED]);
    expect({ code: first.code, stderr: first.stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(
        /^keyfold: 1 rows are left, of which 1 have no mark: run --finish again$/m,
      ) as string,
    });
    expect((await rows()).map(({ created }) => created)).toEqual([late.created, TOMBSTONE_CREATED]);
    const typed = ['tenant-1', 'no', 'tenant-1', ' yes '];
    const asked: string[] = [];
    const ask = async (question: string): Promise<string> => {
      asked.push(question);
      return typed[asked.length - 1] ?? '';
    };
    expect((await erase(['--finish'], { ask })).code).toBe(1);
    expect(await rows()).toHaveLength(2);
    expect((await erase(['--finish'], { ask })).code).toBe(0);
    const questions = [
      'Type the name of the partition to delete its keys for good: ',
      'Type yes to delete also the 1 rows without a mark: ',
    ];
    expect(asked).toEqual([...questions, ...questions]);
    expect((await rows()).map(({ created }) => created)).toEqual([TOMBSTONE_CREATED]);
  });

  it('cannot mark unreadable rows, and deletes these rows only if the operator agrees', async () => {
    for (const date of ['7', '7.5', '-1e30'])
      await world.put({ Id: { S: '_IK_tenant-1_orders_shop' }, Created: { N: date }, KeyRecord: { S: 'x' } });
    const { stdout } = await erase(BEGIN);
    expect(stdout).toMatch(/^Marked 2 rows\. --finish .* 3 rows could not be marked: --finish asks about them\.$/m);
    expect(stdout).toMatch(/^_IK_tenant-1_orders_shop +7\.5 /m);
    world.clock.advance(DAY_MS);
    expect((await erase(['--finish', ...CONFIRMED])).code).toBe(1);
    expect((await erase(['--finish', '--delete-unmarked', ...CONFIRMED])).code).toBe(0);
    expect(await status()).toMatchObject({ state: 'deleted', rows: 0 });
  });

  it('covers the rows of regions that are not in the settings', async () => {
    const [row] = await rows();
    await world.put({ ...row, id: '_IK_tenant-1_orders_shop_eu-west-1', created: 60 } as EnvelopeKeyRecord);
    const { stdout } = await erase(BEGIN);
    expect(stdout).toContain('Marked 3 rows.');
    const table = new DynamoDbKeyTable({ endpoint: world.endpoint, region: 'us-west-2' });
    expect(await table.list('_IK_tenant-1_orders_shop_eu-west-1')).toMatchObject([
      { created: TOMBSTONE_CREATED },
      { created: 60, revoked: true },
    ]);
    // This ID begins like the partition's IDs, but belongs to another service.
    await world.put({ ...row, id: '_IK_tenant-1_orders_shop_x', created: 60 } as EnvelopeKeyRecord);
    expect(await status()).toMatchObject({ rows: 3 });
  });

  it("proves each region's tombstone with that region's newest System Key", async () => {
    const kms = new StaticKms(Buffer.alloc(32, 7), {});
    const { metastore, clock } = world;
    const names = { service: 'orders', product: 'shop', regionSuffix: 'us-east-1' };
    await new SessionFactory({ ...names, kms, metastore, now: clock.now }).session('tenant-1').encrypt(PAYLOAD);
    await world.keyfold(['keys', 'revoke', '_SK_orders_shop', 'latest', '--yes']);
    clock.advance(60_000);
    const { key } = await session('tenant-10').encrypt(PAYLOAD);
    expect((await erase(BEGIN)).code).toBe(0);
    const table = new DynamoDbKeyTable({ endpoint: world.endpoint, region: 'us-west-2' });
    const [ofRegion] = await table.list('_IK_tenant-1_orders_shop_us-east-1');
    expect(ofRegion).toMatchObject({ created: TOMBSTONE_CREATED, parent: { id: '_SK_orders_shop_us-east-1' } });
    const [unsuffixed] = await table.list('_IK_tenant-1_orders_shop');
    const [newest] = await table.list('_SK_orders_shop');
    expect(newest?.created).toBe(key.parent.created);
    expect(unsuffixed).toMatchObject({
      created: TOMBSTONE_CREATED,
      parent: { id: '_SK_orders_shop', created: newest?.created },
    });
  });

  it('replaces a forged tombstone with a valid one', async () => {
    const [row] = await rows();
    const erased = { erase: 'forged', at: 1, due: 2, proof: Buffer.alloc(32) };
    await world.put({ ...row, created: TOMBSTONE_CREATED, revoked: true, erased } as never);
    expect(await status()).toMatchObject({ state: 'none' });
    expect((await erase(['--finish', ...CONFIRMED])).stderr).toContain('no erasure of this partition is under way');
    expect((await answers()).slice(0, 2)).toEqual(['opened', 'opened']);
    expect((await erase(BEGIN)).code).toBe(0);
    expect(await answers()).toEqual(ERASED);
  });
});

/** Opens the table, of which there are no copies. */
const withoutCopies: CliDependencies['openErasureTables'] = (table, names) =>
  Object.assign(operatorAdapters.openErasureTables(table, names), { copies: async () => [] });

/** Rotates the System Key, and returns a run of the command whose minimum date only the new key meets. */
async function rotated(): Promise<(options: readonly string[]) => Promise<CliRun>> {
  await world.keyfold(['keys', 'revoke', '_SK_orders_shop', 'latest', '--yes']);
  world.clock.advance(60_000);
  const { key } = await session('tenant-20').encrypt(PAYLOAD);
  const minimum = { ...STATIC, KEYFOLD_MIN_OPENING_CREATED: String(key.parent.created) };
  return (options) =>
    world.keyfold(['partitions', 'erase', 'tenant-1', ...options], minimum, { openTables: withoutCopies });
}

describe('keyfold partitions erase, after a leak of the System Key,', () => {
  it.for([
    ['--finish', ['--finish', ...CONFIRMED]],
    ['the first step', BEGIN],
  ] as const)('replaces the tombstone of a deleted partition with %s, and is not complete before', async ([, step]) => {
    await erase(BEGIN);
    world.clock.advance(DAY_MS);
    await erase(['--finish', ...CONFIRMED]);
    const run = await rotated();
    expect(await status(run)).toMatchObject({ state: 'due' });
    const tombstone = '_IK_tenant-1_orders_shop in us-west-2';
    expect(cellsOf(await run(['--status']))).toContainEqual(['tombstone', `${tombstone}, to be replaced`]);
    const renewed = await run(step);
    expect([renewed.code, cellsOf(renewed)]).toEqual([
      0,
      expect.arrayContaining([['tombstone', `${tombstone}, to be replaced`]]),
    ]);
    expect(cellsOf(await run(['--status'])).filter(([label]) => label === 'tombstone')).toEqual([]);
    await run(['--finish', ...CONFIRMED]);
    expect(await status(run)).toMatchObject({ state: 'complete' });
  });

  it('does not say that a cancellation will replace the tombstone', async () => {
    await erase(BEGIN);
    const run = await rotated();
    expect(cellsOf(await run(['--cancel', ...CONFIRMED]))).toContainEqual([
      'tombstone',
      '_IK_tenant-1_orders_shop in us-west-2',
    ]);
  });
});

/** Runs the command while the table's clock is ahead of this machine's. */
async function eraseAt(aheadMs: number | undefined, ...options: string[]): Promise<CliRun> {
  const proxy = await DynamoDbProxy.start(world.endpoint);
  proxy.faultOf = () => {
    const date = aheadMs === undefined ? 'never' : new Date(Date.now() + aheadMs).toUTCString();
    return { kind: 'edited', edit: (answer) => answer, headers: { date } };
  };
  const run = await world.keyfold(['partitions', 'erase', 'tenant-1', ...options], {
    ...STATIC,
    KEYFOLD_DYNAMODB_ENDPOINT: proxy.endpoint,
  });
  await proxy.stop();
  return run;
}

describe('keyfold partitions erase, if the clocks differ,', () => {
  it.for([
    ['a day ahead', DAY_MS],
    ['a day behind', -DAY_MS],
    ['62 seconds ahead', 62_000],
    ['62 seconds behind', -62_000],
  ] as const)("neither marks nor deletes a row if the table's clock is %s", async ([, aheadMs]) => {
    const before = await rows();
    const own = new Date(world.clock.nowMs).toISOString().slice(0, 13);
    const theirs = new Date(world.clock.nowMs + aheadMs).toISOString().slice(0, 13);
    const { code, stderr } = await eraseAt(aheadMs, ...BEGIN);
    expect([code, auditOf(stderr)]).toEqual([1, [expect.arrayContaining(['begin', 'refused'])]]);
    expect(stderr).toContain(`this machine's clock shows ${own}`);
    expect(stderr).toContain(`the table's shows ${theirs}`);
    expect(await rows()).toEqual(before);
    await erase(BEGIN);
    world.clock.advance(2 * DAY_MS);
    expect((await eraseAt(aheadMs, '--finish', ...CONFIRMED)).code).toBe(1);
    expect(await status()).toMatchObject({ state: 'due', rows: 2 });
  });

  it("neither marks nor deletes a row if the table's responses have no date", async () => {
    expect(await eraseAt(undefined, ...BEGIN)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^\{.*\}\nkeyfold: the responses of the table have no date to compare the clock with\n$/,
      ) as string,
    });
  });

  it('still shows the status, and still cancels an erasure', async () => {
    await erase(BEGIN);
    expect((await eraseAt(DAY_MS, '--status')).code).toBe(0);
    expect((await eraseAt(DAY_MS, '--cancel', ...CONFIRMED)).code).toBe(0);
  });

  it.for([
    ['58 seconds ahead', 58_000],
    ['58 seconds behind', -58_000],
  ] as const)("marks the rows if the table's clock is only %s", async ([, aheadMs]) => {
    expect((await eraseAt(aheadMs, ...BEGIN)).code).toBe(0);
  });
});

it('keyfold partitions erase names the address that refuses the connection', async () => {
  const absent = { ...STATIC, KEYFOLD_DYNAMODB_ENDPOINT: 'http://127.0.0.1:9' };
  const run = await world.keyfold(['partitions', 'erase', 'tenant-1', '--status'], absent);
  expect([run.code, run.stderr]).toEqual([1, expect.stringContaining('ECONNREFUSED 127.0.0.1:9')]);
});

describe('a second run of keyfold partitions erase', () => {
  it.for(KILLS)(
    'completes an erasure that was killed in the step "%s" (at write %i, %s the row was stored)',
    async ([step, n, when]) => {
      const options = step === 'begin' ? BEGIN : [`--${step}`, ...CONFIRMED];
      if (step !== 'begin') await erase(BEGIN);
      if (step === 'finish') world.clock.advance(DAY_MS);
      const openTables: CliDependencies['openErasureTables'] = (table, names) =>
        failingAt(operatorAdapters.openErasureTables(table, names), n, when);
      const killed = await erase(options, { openTables });
      expect(killed).toMatchObject({ code: 1, stderr: expect.stringContaining('"outcome":"failed"') as string });
      world.clock.advance(60_000);
      const again = await erase(options);
      const isOver = again.stderr.includes('no erasure of this partition is under way');
      // If the killed run had already made the last write, the repeated run has nothing to do.
      expect(again.code).toBe(isOver ? 1 : 0);
      expect(isOver).toBe(step === 'cancel' && n === 4 && when === 'after');
      const expected = { begin: ['waiting', 3, 1], cancel: ['none', 2, 0], finish: ['deleted', 1, 1] }[step];
      expect([(await status())['state'], (await rows()).length, (await registered()).length]).toEqual(expected);
      expect(await answers()).toEqual(step === 'cancel' ? ['opened', 'opened', 'sealed'] : ERASED);
    },
  );
});
