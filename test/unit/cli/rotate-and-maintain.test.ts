import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RequestLimits } from '../../../src/async/deadline.ts';
import { KeyfoldError } from '../../../src/index.ts';
import type { MaintenanceReport } from '../../../src/maintenance/system-key-maintenance.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { DAY_MS, noDeadline } from '../../support/fakes.ts';
import { EAST, HealthyService, WEST } from '../../support/healthy-service.ts';
import { cellsOf, type CliRun } from '../../support/operator.ts';

const SYSTEM_KEY = '_SK_orders_shop';
const INTERMEDIATE_KEY = '_IK_tenant-1_orders_shop';

let world: HealthyService;

beforeEach(async () => {
  world = await HealthyService.start();
});
afterEach(() => world.stop());

async function keyfold(...args: string[]): Promise<CliRun & { audit: Record<string, unknown>[] }> {
  const run = await world.operator.keyfold(args, world.settings);
  const lines = run.stderr.split('\n').filter((line) => line.startsWith('{'));
  return { ...run, audit: lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

async function keys(...args: string[]): Promise<{ id: string; created: number; state: string }[]> {
  return JSON.parse((await keyfold('keys', 'list', '--json', ...args)).stdout) as never;
}

/** Seals a record in a cold process, and returns the date of its Intermediate Key and of that key's System Key. */
async function sealedUnder(): Promise<{ intermediate: number; system: number | undefined }> {
  const record = await world.sessions().session('tenant-1').encrypt(Buffer.from('x'));
  const { id, created } = record.key.parent;
  const row = await world.operator.metastore.load(id as never, created as never, noDeadline());
  return { intermediate: created, system: row?.parent?.created };
}

describe('keys rotate', () => {
  it('makes no key if a minimum date is more than ten minutes ahead', async () => {
    const settings = { KEYFOLD_MIN_SEALING_CREATED: new Date(Date.now() + 3_600_000).toISOString() };
    const { code, stderr } = await world.operator.keyfold(['keys', 'rotate'], { ...world.settings, ...settings });
    expect([code, stderr]).toEqual([2, expect.stringContaining('minSealingCreated is more than ten minutes ahead')]);
  });

  it('dates the next System Key at the minimum date of the settings, if that date is ahead', async () => {
    const minimum = Math.ceil(Date.now() / 1000) + 300;
    const settings = { KEYFOLD_MIN_SEALING_CREATED: new Date(minimum * 1000).toISOString() };
    const { stdout } = await world.operator.keyfold(['keys', 'rotate', '--json'], { ...world.settings, ...settings });
    expect(JSON.parse(stdout)).toMatchObject([{ id: SYSTEM_KEY, created: minimum, outcome: 'rotated' }]);
  });

  it('creates the next System Key, and leaves the previous System Key valid', async () => {
    const before = await keys();
    const { code, stdout, audit } = await keyfold('keys', 'rotate', '--json', '--reason', 'a drill');
    const after = await keys();
    expect(code).toBe(0);
    expect(after.map(({ state }) => state)).toEqual(['valid', 'valid']);
    expect(after[1]).toEqual(before[0]);
    expect(JSON.parse(stdout)).toEqual([{ id: SYSTEM_KEY, created: after[0]?.created, outcome: 'rotated' }]);
    expect(audit).toMatchObject([
      { action: 'keys rotate', id: SYSTEM_KEY, created: 'latest', reason: 'a drill', outcome: 'attempting' },
      { action: 'keys rotate', id: SYSTEM_KEY, created: after[0]?.created, reason: 'a drill', outcome: 'rotated' },
    ]);
  });

  it("creates a partition's next key under the latest System Key, and processes seal under the new key", async () => {
    const record = await world.sessions().session('tenant-1').encrypt(Buffer.from('old'));
    await keyfold('keys', 'rotate');
    const { code } = await keyfold('keys', 'rotate', '--partition', 'tenant-1');
    expect(code).toBe(0);
    const [newest, former] = await keys('--partition', 'tenant-1');
    expect(former?.state).toBe('valid');
    expect(await sealedUnder()).toEqual({ intermediate: newest?.created, system: (await keys())[0]?.created });
    expect(await world.sessions().session('tenant-1').decrypt(record)).toEqual(Buffer.from('old'));
  });

  it('makes no key under a System Key without a proof if the settings require proofs', async () => {
    const row = await world.operator.metastore.loadLatest(SYSTEM_KEY as never, noDeadline());
    if (row !== undefined) await world.operator.put({ ...row, proof: undefined });
    const rotate = (keyRowProofs: string): Promise<CliRun> =>
      world.operator.keyfold(['keys', 'rotate', '--partition', 'tenant-1'], {
        ...world.settings,
        KEYFOLD_KEY_ROW_PROOFS: keyRowProofs,
      });
    const refused = await rotate('require');
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('it has no proof')]);
    expect((await rotate('verify')).code).toBe(0);
  });

  it('creates the next key for every partition of the service in the settings, and for no other service', async () => {
    await world.sessions().session('tenant-2').encrypt(Buffer.from('x'));
    await world.operator.service({ service: 'billing', product: 'shop' }).session('tenant-1').encrypt(Buffer.from('x'));
    const { code, stdout, audit } = await keyfold('keys', 'rotate', '--all-partitions', '--json');
    expect(code).toBe(0);
    const rotated = (JSON.parse(stdout) as { id: string }[]).map(({ id }) => id).toSorted();
    expect(rotated).toEqual([INTERMEDIATE_KEY, '_IK_tenant-2_orders_shop']);
    expect(audit).toHaveLength(4);
    expect(await keys('--partition', 'tenant-2')).toHaveLength(2);
    expect(await keys('--partition', 'tenant-1', '--service', 'billing')).toHaveLength(1);
  });

  it('replaces a key that a fast clock has dated five minutes ahead', async () => {
    const ahead = Math.floor(Date.now() / 1000) + 300;
    for (const [id, ...partition] of [[SYSTEM_KEY], [INTERMEDIATE_KEY, '--partition', 'tenant-1']] as const) {
      const row = await world.operator.metastore.loadLatest(id as never, noDeadline());
      if (row !== undefined) await world.operator.put({ ...row, created: ahead as never, proof: undefined });
      expect((await keyfold('keys', 'rotate', ...partition)).code).toBe(0);
      expect((await keys(...partition)).map(({ created }) => created).slice(0, 2)).toEqual([ahead + 1, ahead]);
    }
    expect(await sealedUnder()).toEqual({ intermediate: ahead + 1, system: ahead + 1 });
  });

  it('writes nothing in a dry run', async () => {
    // Only processes in that region make keys whose IDs end with it.
    await world.operator.put(keyRecord(`${INTERMEDIATE_KEY}_eu-west-1`, 60));
    world.proxy.calls = [];
    const { code, stdout } = await keyfold('keys', 'rotate', '--all-partitions', '--dry-run', '--json');
    expect([code, JSON.parse(stdout)]).toEqual([0, [{ id: INTERMEDIATE_KEY, created: null, outcome: 'would-rotate' }]]);
    expect(world.proxy.calls.some((call) => call.startsWith('Put'))).toBe(false);
  });

  it('with --older-than, leaves out partitions whose latest key is younger than the given age', async () => {
    world.operator.clock.advance(2 * 3_600_000);
    await world.sessions().session('tenant-2').encrypt(Buffer.from('x'));
    const args = ['keys', 'rotate', '--all-partitions', '--older-than'];
    const { stdout } = await keyfold(...args, '1h', '--json');
    expect(JSON.parse(stdout)).toMatchObject([{ id: INTERMEDIATE_KEY, outcome: 'rotated' }]);
    const none = 'The table has no Intermediate Key of this service';
    expect(await keyfold(...args, '3h')).toMatchObject({
      code: 0,
      stdout: '',
      stderr: `${none} that is old enough.\n`,
    });
    const unborn = await keyfold('keys', 'rotate', '--all-partitions', '--service', 'unborn');
    expect(unborn).toMatchObject({ code: 0, stdout: '', stderr: `${none}.\n` });
    expect(await keyfold('keys', 'rotate', '--older-than', '1h')).toMatchObject({
      code: 2,
      stderr: 'keyfold: The option --older-than goes with --all-partitions.\n',
    });
  });

  it('with --older-than, rotates a partition whose latest usable key is old, even if another row has a date in the future', async () => {
    world.operator.clock.advance(2 * 3_600_000);
    const ahead = Math.floor(world.operator.clock.nowMs / 1000) + 3600;
    await world.operator.put(keyRecord(INTERMEDIATE_KEY, ahead));
    const { stdout } = await keyfold('keys', 'rotate', '--all-partitions', '--older-than', '1h', '--json');
    expect(JSON.parse(stdout)).toMatchObject([{ id: INTERMEDIATE_KEY, outcome: 'rotated' }]);
  });

  it('writes a failure to the audit log, and says which partitions failed', async () => {
    world.proxy.faultOf = (call) => (call === 'Put IK' ? { kind: 'error', name: 'Oops', status: 400 } : undefined);
    const all = await keyfold('keys', 'rotate', '--all-partitions');
    expect(all.code).toBe(1);
    expect(cellsOf(all)).toEqual([
      ['ID', 'CREATED', 'OUTCOME', 'WHY'],
      [INTERMEDIATE_KEY, 'failed', 'MetastoreUnavailable: The metastore does not answer.'],
    ]);
    expect(all.audit).toMatchObject(['attempting', 'failed'].map((outcome) => ({ created: 'latest', outcome })));
    const one = await keyfold('keys', 'rotate', '--partition', 'tenant-1');
    expect(one).toMatchObject({ code: 1, audit: [{ outcome: 'attempting' }, { outcome: 'failed' }] });
  });
});

describe('keys rotate --all-partitions', () => {
  const ALL = ['keys', 'rotate', '--all-partitions'];

  it('prints the keys that it has made before a signal ends the run', async () => {
    await world.sessions().session('tenant-2').encrypt(Buffer.from('x'));
    let stop: ((signal: string) => void) | undefined;
    let isListening = true;
    const audited: { id: string; created: number | 'latest'; outcome: string }[] = [];
    const { code, stdout, stderr } = await world.operator.keyfold(ALL, world.settings, {
      audit: async (line) => {
        if (audited.push(JSON.parse(line) as never) === 2) stop?.('SIGTERM');
      },
      onInterrupt: (given) => {
        stop = given;
        return () => (isListening = false);
      },
    });
    const [attempting, rotated] = audited;
    expect([code, stderr]).toEqual([1, 'keyfold: SIGTERM ended the run.\n']);
    expect(cellsOf({ code, stdout, stderr })).toEqual([
      ['ID', 'CREATED', 'OUTCOME', 'WHY'],
      [attempting?.id, String(rotated?.created), 'rotated'],
    ]);
    expect([audited.length, isListening]).toEqual([2, false]);
  });

  it('succeeds if another process makes the same key first, or if the partition is erased', async () => {
    const erased = new KeyfoldError('PartitionErased', 'It is erased.');
    for (const [rotate, outcome, why] of [
      [() => Promise.resolve(undefined), 'raced', undefined],
      [() => Promise.reject(erased), 'erased', 'PartitionErased: It is erased.'],
    ] as const) {
      Object.assign(world.operator.adapters, { openRotation: () => Promise.resolve({ rotate }) });
      const { code, stdout, audit } = await keyfold(...ALL, '--json');
      expect([code, JSON.parse(stdout)]).toEqual([0, [{ id: INTERMEDIATE_KEY, created: null, outcome, why }]]);
      expect(audit).toMatchObject(['attempting', outcome].map((each) => ({ created: 'latest', outcome: each })));
    }
  });
});

/** Runs the command on a maintenance with this outcome. Returns the run, its audit lines, and what it passed on. */
async function maintainWith(outcome: () => Promise<MaintenanceReport>, ...args: string[]) {
  const passed: { dryRun?: boolean; limits?: RequestLimits } = {};
  const openMaintenance = async (_: unknown, dryRun: boolean) => {
    passed.dryRun = dryRun;
    return {
      run: async (limits: RequestLimits) => {
        passed.limits = limits;
        return outcome();
      },
    };
  };
  Object.assign(world.operator.adapters, { openMaintenance });
  return { ...(await keyfold('maintain', ...args)), ...passed };
}

describe('keyfold maintain', () => {
  it('says which System Key it has made', async () => {
    const { stdout, audit } = await keyfold('maintain', '--service', 'unborn');
    expect(stdout).toMatch(/^Made the System Key _SK_unborn_shop \d+\.$/m);
    expect(stdout).toContain(` ${String(audit[1]?.['created'])}.\n`);
  });

  it("creates a service's first System Key, and writes the run to the audit log", async () => {
    const { code, stdout, audit } = await keyfold('maintain', '--service', 'unborn', '--json');
    expect(code).toBe(0);
    const { created } = JSON.parse(stdout) as { created: { id: string; created: number } };
    expect(created.id).toBe('_SK_unborn_shop');
    expect(audit).toMatchObject([
      { action: 'maintain', id: '_SK_unborn_shop', created: 'latest', outcome: 'attempting' },
      { action: 'maintain', id: '_SK_unborn_shop', created: created.created, outcome: 'maintained' },
    ]);
  });

  it('gives a new System Key the minimum date from the settings if that date is in the future', async () => {
    const minimum = Math.ceil(Date.now() / 1000) + 300;
    const settings = { KEYFOLD_MIN_SEALING_CREATED: new Date(minimum * 1000).toISOString() };
    const { stdout } = await world.operator.keyfold(['maintain', '--json'], { ...world.settings, ...settings });
    expect(JSON.parse(stdout)).toMatchObject({ created: { id: SYSTEM_KEY, created: minimum } });
  });

  it('adds a missing wrap, which a dry run only reports', async () => {
    const [key] = await keys();
    const west = JSON.stringify({ [WEST]: world.keys[WEST] });
    await world.operator.keyfold(['keys', 'rotate'], { KEYFOLD_KMS_KEYS: west });
    const [lone] = await keys();
    expect(lone?.created).not.toBe(key?.created);
    const wrapsOf = async (): Promise<string[]> => {
      const { stdout } = await keyfold('keys', 'show', SYSTEM_KEY, String(lone?.created), '--json');
      return (JSON.parse(stdout) as { wraps: { region: string }[] }).wraps.map(({ region }) => region);
    };
    const dry = await keyfold('maintain', '--dry-run');
    expect(dry.stdout).toMatch(new RegExp(`${EAST} +opens +renewed`));
    expect(dry.stdout).toContain('Dry run: nothing was written.');
    expect(await wrapsOf()).toEqual([WEST]);
    expect((await keyfold('maintain')).code).toBe(0);
    expect(await wrapsOf()).toEqual([WEST, EAST]);
  });

  it('fails if a region cannot unwrap a System Key', async () => {
    world.kms.setFault(EAST, { kind: 'down' });
    const { code, stdout, audit } = await keyfold('maintain');
    expect(code).toBe(1);
    expect(stdout).toMatch(new RegExp(`${EAST} +does not open`));
    expect(audit.at(-1)).toMatchObject({ outcome: 'failed' });
  });

  it('prints each System Key with its regions, and why a row cannot be read', async () => {
    await world.operator.put({ Id: { S: SYSTEM_KEY }, Created: { N: '60' }, KeyRecord: { S: 'x' } });
    const [key] = await keys();
    const created = String(key?.created);
    const run = await keyfold('maintain');
    expect(cellsOf(run)).toEqual([
      ['CREATED', 'STATE', 'REGION', 'OPENS', 'WRAP', 'FAULT'],
      [created, 'valid', WEST, 'opens'],
      [created, 'valid', EAST, 'opens'],
      ['60', 'unreadable', expect.stringContaining('KeyRecord is missing or malformed')],
    ]);
    const [header = '', , , unreadable = ''] = run.stdout.split('\n');
    expect(unreadable.indexOf(cellsOf(run)[3]?.[2] ?? '?')).toBe(header.indexOf('FAULT'));
  });

  /** A report with every member. */
  const REPORT: MaintenanceReport = {
    systemKeys: [
      {
        id: SYSTEM_KEY,
        created: 180,
        state: 'valid',
        regions: [
          { region: WEST, opens: true, renewed: true },
          { region: EAST, opens: false, renewed: false, fault: 'KmsUnavailable: It is down.' },
        ],
      },
      {
        id: SYSTEM_KEY,
        created: 120,
        state: 'revoked',
        regions: [{ region: WEST, opens: false, renewed: false }],
        fault: 'No wrap.',
      },
      { id: SYSTEM_KEY, created: undefined, state: 'unreadable', regions: [], fault: 'It is malformed.' },
      { id: SYSTEM_KEY, created: 60, state: 'expired', regions: [] },
    ],
    created: keyRecord(SYSTEM_KEY, 240),
    erasuresDue: [
      { partition: 'tenant-1', erase: 'e1', at: 0, due: 60, deletedAt: undefined },
      { partition: 'tenant-2', erase: 'e2', at: 0, due: 1e15, deletedAt: undefined },
    ] as unknown as NonNullable<MaintenanceReport['erasuresDue']>,
    erasuresFault: 'MetastoreUnavailable: It is down.',
    createFault: 'KmsUnavailable: It does not wrap.',
  };

  it('prints every part of a report', async () => {
    const { code, stdout, stderr, audit } = await maintainWith(async () => REPORT);
    expect([code, stdout.split('\n')]).toEqual([
      1,
      [
        'CREATED  STATE       REGION     OPENS          WRAP     FAULT',
        '180      valid       us-west-2  opens          renewed',
        '180      valid       us-east-1  does not open           KmsUnavailable: It is down.',
        '120      revoked     us-west-2  does not open           No wrap.',
        '?        unreadable                                     It is malformed.',
        '60       expired',
        `Made the System Key ${SYSTEM_KEY} 240.`,
        'The keys of tenant-1 are due for deletion since 1970-01-01T00:01:00.000Z.',
        'The keys of tenant-2 are due for deletion since ?.',
        'The erasures could not be read: MetastoreUnavailable: It is down.',
        'The next System Key could not be made: KmsUnavailable: It does not wrap.',
        '',
      ],
    ]);
    expect(stderr.trimEnd().split('\n')).toHaveLength(audit.length);
    const json = await maintainWith(async () => REPORT, '--json');
    expect([json.code, json.stdout]).toEqual([1, `${JSON.stringify(REPORT, undefined, 2)}\n`]);
  });

  it('gives maintenance a time limit of five minutes and the option --dry-run, and prints no empty table', async () => {
    const beganMs = Date.now();
    const real = await maintainWith(async () => ({ systemKeys: [] }));
    const endedMs = Date.now();
    expect(real).toMatchObject({ code: 0, stdout: '', dryRun: false });
    expect(real.limits).toEqual({
      deadlineAtMs: expect.any(Number) as number,
      signal: expect.any(AbortSignal) as AbortSignal,
    });
    expect(real.limits?.deadlineAtMs).toBeGreaterThanOrEqual(beganMs + 300_000);
    expect(real.limits?.deadlineAtMs).toBeLessThanOrEqual(endedMs + 300_000);
    const dry = await maintainWith(async () => ({ systemKeys: [] }), '--dry-run', '--reason', 'a drill');
    expect(dry).toMatchObject({ code: 0, stdout: 'Dry run: nothing was written.\n', dryRun: true });
    const line = { action: 'maintain', id: SYSTEM_KEY, created: 'latest', reason: 'a drill', dryRun: true };
    const place = { table: 'EncryptionKey', region: WEST, caller: expect.any(Object) as object };
    const time = new Date(world.operator.clock.nowMs).toISOString();
    expect(dry.audit).toEqual([
      { time, ...line, ...place, outcome: 'attempting' },
      { time, ...line, ...place, outcome: 'would-maintain' },
    ]);
  });

  it.for<[string, Partial<MaintenanceReport>]>([
    ['a key has a fault', { systemKeys: REPORT.systemKeys.slice(2, 3) }],
    ['a region has a fault', { systemKeys: REPORT.systemKeys.slice(0, 1) }],
    ['the erasures could not be read', { erasuresFault: 'x' }],
    ['the next System Key could not be made', { createFault: 'x' }],
  ])('fails if %s, even if nothing else is wrong', async ([, part]) => {
    const { code, audit } = await maintainWith(async () => ({ systemKeys: [], ...part }));
    expect([code, audit.map(({ outcome }) => outcome)]).toEqual([1, ['attempting', 'failed']]);
  });

  it('succeeds if erasures are due', async () => {
    const { erasuresDue = [] } = REPORT;
    const { code, audit } = await maintainWith(async () => ({ systemKeys: [], erasuresDue }));
    expect([code, audit.map(({ outcome }) => outcome)]).toEqual([0, ['attempting', 'maintained']]);
  });

  it('stops at a signal', async () => {
    let signal: AbortSignal | undefined;
    const run = async (limits: RequestLimits) => {
      signal = limits.signal;
      signal?.throwIfAborted();
      return { systemKeys: [] };
    };
    Object.assign(world.operator.adapters, { openMaintenance: async () => ({ run }) });
    let isListening = true;
    const { code, stdout, stderr } = await world.operator.keyfold(['maintain'], world.settings, {
      audit: async () => {},
      onInterrupt: (stop) => {
        stop('SIGTERM');
        return () => (isListening = false);
      },
    });
    expect([code, stdout, stderr]).toEqual([1, '', 'keyfold: SIGTERM ended the run.\n']);
    expect([signal?.aborted, isListening]).toEqual([true, false]);
  });

  it('fails if it cannot list the System Keys, and writes the failure to the audit log', async () => {
    world.proxy.faultOf = (call) =>
      call.startsWith('Query') ? { kind: 'error', name: 'AccessDeniedException', status: 400 } : undefined;
    const { code, audit } = await keyfold('maintain');
    expect([code, audit.map(({ outcome }) => outcome)]).toEqual([1, ['attempting', 'failed']]);
  });

  it('fails if the erasures cannot be read', async () => {
    const { faultOf } = world.proxy;
    // The erasure register is a partition of the key table, so the command reads it with a query.
    world.proxy.faultOf = (call) => {
      return call === 'Query IK' ? { kind: 'error', name: 'AccessDeniedException', status: 400 } : faultOf(call);
    };
    const { code, stdout, audit } = await keyfold('maintain');
    expect([code, stdout]).toEqual([1, expect.stringContaining('The erasures could not be read')]);
    expect(audit.at(-1)).toMatchObject({ outcome: 'failed' });
  });
});

describe.each([
  ['a day ahead', DAY_MS],
  ['a day behind', -DAY_MS],
] as const)("if the table's clock is %s", (_, aheadMs) => {
  it.for([
    'keys rotate',
    'keys rotate --partition tenant-1',
    'keys rotate --all-partitions',
    'maintain',
    'maintain --service unborn',
  ])('keyfold %s makes no key, and shows both clocks', async (command) => {
    const before = await keys('--all');
    world.moveTableClock(aheadMs);
    const { code, stderr } = await keyfold(...command.split(' '));
    const [, own = '', theirs = ''] = /clock shows (\S+), and the table's shows (\S+):/.exec(stderr) ?? [];
    const differenceMs = Date.parse(theirs) - Date.parse(own);
    expect([code, Math.round(differenceMs / 60_000)]).toEqual([1, aheadMs / 60_000]);
    expect(await keys('--all')).toEqual(before);
  });
});
