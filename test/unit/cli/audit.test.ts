/** Tests the audit lines of each command, and what the command does if it cannot write one of them. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { encodeDataRowRecord, type EnvelopeKeyRecord } from '../../../src/index.ts';
import { noDeadline } from '../../support/fakes.ts';
import { HealthyService, WEST } from '../../support/healthy-service.ts';

const INTERMEDIATE_KEY = '_IK_tenant-1_orders_shop';
let folder: string;
let world: HealthyService;
let copies = 0;

beforeAll(async () => {
  world = await HealthyService.start();
  folder = await mkdtemp(join(tmpdir(), 'keyfold-audit-'));
  await world.sessions().session('tenant-2').encrypt(Buffer.from('x'));
  const record = await world.sessions().session('tenant-1').encrypt(Buffer.from('x'));
  await writeFile(join(folder, 'rows'), `${encodeDataRowRecord(record)}\n`);
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await world.stop();
});

/** What a command has written, and its exit code. */
interface Run {
  readonly code: number;
  readonly stderr: string;
  readonly entries: Record<string, unknown>[];
  readonly outcomes: unknown[];
}

/** Runs a command whose audit log fails at one line. If `failsAt` is 0, no line fails. */
async function run(command: string, failsAt: number): Promise<Run> {
  const entries: Record<string, unknown>[] = [];
  const audit = (line: string): Promise<void> => {
    if (entries.length + 1 === failsAt) return Promise.reject(new Error('The audit line cannot be written: EIO.'));
    entries.push(JSON.parse(line) as Record<string, unknown>);
    return Promise.resolve();
  };
  const args = command.replaceAll('FOLDER', folder).replace('COPY', `Copy${copies}`).split(' ');
  const { code, stderr } = await world.operator.keyfold(args, world.settings, { audit });
  return { code, stderr, entries, outcomes: entries.map(({ outcome }) => outcome) };
}

/** The members that every audit line of a command has. */
function commonTo(command: string): object {
  const [, reason = null] = /--reason (\S+)/.exec(command) ?? [];
  const place = { table: command.includes('COPY') ? `Copy${copies}` : 'EncryptionKey', region: WEST };
  return {
    time: new Date(world.operator.clock.nowMs).toISOString(),
    reason,
    caller: { user: userInfo().username, host: hostname() },
    dryRun: command.includes('--dry-run'),
    ...(!command.startsWith('reencrypt') && place),
  };
}

/** Replaces the newest Intermediate Key with a row without a proof, as an older version wrote it. */
async function unprove(): Promise<void> {
  const key = await world.operator.metastore.loadLatest(INTERMEDIATE_KEY as never, noDeadline());
  await world.operator.put({ ...(key as EnvelopeKeyRecord), proof: undefined });
}

/** Creates an empty table, to which the next command copies. */
async function createCopy(): Promise<void> {
  copies += 1;
  await world.operator.createTable(`Copy${copies}`);
}

const ROTATE = 'keys rotate --partition tenant-1';
const REVOKE = `keys revoke ${INTERMEDIATE_KEY} latest`;
const ERASE = 'partitions erase tenant-2 --reason r';
const REENCRYPT = 'reencrypt FOLDER/rows --verb rewrap --quarantine FOLDER/q --reason r';

it.for<[command: string, lines: string[], before?: string | (() => Promise<void>)]>([
  [ROTATE, ['attempting', 'rotated']],
  ['keys rotate', ['attempting', 'rotated']],
  ['maintain --reason r', ['attempting', 'maintained']],
  [`${REVOKE} --yes`, ['attempting', 'revoked'], ROTATE],
  [`${REVOKE} --dry-run`, ['would-revoke'], ROTATE],
  [REVOKE, ['refused'], ROTATE],
  [`${REENCRYPT} --dry-run`, ['attempting', 'would-write']],
  [`${REENCRYPT} --output FOLDER/out`, ['attempting', 'done']],
  ['keys prove --yes --reason r', ['attempting', 'proven'], unprove],
  ['table copy --from EncryptionKey --table COPY --yes --reason r', ['attempting', 'transferred'], createCopy],
  [`${ERASE} --dry-run`, ['would-write']],
  [ERASE, ['declined']],
  [`${ERASE} --cancel`, ['refused']],
  [`${ERASE} --confirm tenant-2`, ['attempting', 'begun'], `${ERASE} --confirm tenant-2 --cancel`],
])(
  '%s writes audit lines with the outcomes %j, and fails if it cannot write one of them',
  async ([command, lines, before]) => {
    const prepare = (): unknown => (typeof before === 'string' ? run(before, 0) : before?.());
    await prepare();
    const { entries } = await run(command, 0);
    expect(entries).toMatchObject(lines.map((outcome) => ({ ...commonTo(command), outcome })));
    for (const at of lines.keys()) {
      await rm(join(folder, 'out'), { force: true });
      await prepare();
      const { code, stderr, outcomes } = await run(command, at + 1);
      expect([at, code, stderr]).toEqual([at, 1, expect.stringContaining('The audit line cannot be written: EIO.')]);
      expect(outcomes.slice(0, at)).toEqual(lines.slice(0, at));
    }
  },
);

it.for<[command: string, before?: string | (() => Promise<void>)]>([
  [ROTATE],
  ['maintain --reason r'],
  [`${REVOKE} --yes`, ROTATE],
  [`${REENCRYPT} --output FOLDER/out`],
  ['keys prove --yes --reason r', unprove],
  ['table copy --from EncryptionKey --table COPY --yes --reason r', createCopy],
  [`${ERASE} --confirm tenant-2`, `${ERASE} --confirm tenant-2 --cancel`],
])('%s shows both errors if the step fails and its audit line cannot be written', async ([command, before]) => {
  await rm(join(folder, 'out'), { force: true });
  await (typeof before === 'string' ? run(before, 0) : before?.());
  const { faultOf } = world.proxy;
  const outcomes: unknown[] = [];
  let interrupt: ((signal: string) => void) | undefined;
  const onInterrupt = (stop: (signal: string) => void): (() => void) => {
    interrupt = stop;
    return () => {};
  };
  const audit = async (line: string): Promise<void> => {
    outcomes.push((JSON.parse(line) as { outcome: unknown }).outcome);
    if (outcomes.length === 2) throw new Error('The audit line cannot be written: EIO.');
    world.proxy.faultOf = () => ({ kind: 'error', name: 'AccessDeniedException', status: 400 });
    // A re-encryption would wait for the table.
    interrupt?.('SIGTERM');
  };
  try {
    const args = command.replaceAll('FOLDER', folder).replace('COPY', `Copy${copies}`).split(' ');
    const { code, stderr } = await world.operator.keyfold(args, world.settings, { audit, onInterrupt });
    expect([code, outcomes]).toEqual([1, ['attempting', 'failed']]);
    expect(stderr).toMatch(
      /^keyfold: (?!The audit line).+\n(?:.+\n)?keyfold: The audit line cannot be written: EIO\.\n$/m,
    );
  } finally {
    world.proxy.faultOf = faultOf;
  }
});
