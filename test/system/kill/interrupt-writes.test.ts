/** Tests what a command that writes key rows says and leaves behind if a signal or a lost audit line stops it. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { DynamoDBClient, paginateScan, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { KeyItem } from '../../../src/metastore/dynamodb-item.ts';
import { HealthyService } from '../../support/healthy-service.ts';

const MAIN = join(import.meta.dirname, '..', '..', '..', 'src', 'cli', 'main.ts');
const PARTITIONS = 100;
/** The rows of the partition that is erased. */
const ROWS = 20;
const TABLE = 'EncryptionKey';
const SIGNALLED_AT = 10;

let folder: string;
let world: HealthyService;
let table: DynamoDBClient;

beforeAll(async () => {
  world = await HealthyService.start();
  table = new DynamoDBClient({ endpoint: world.operator.endpoint, region: 'us-west-2' });
  const sessions = world.sessions();
  const names = Array.from({ length: PARTITIONS }, (_, i) => `p${i}`);
  await Promise.all(names.map((name) => sessions.session(name).encrypt(Buffer.from('x'))));
  for (let i = 1; i < ROWS; i += 1) await keyfold('keys', 'rotate', '--partition', 'p0');
});
afterAll(() => world.stop());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-interrupt-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function keyfold(...args: string[]): Promise<number> {
  return (await world.operator.keyfold(args, world.settings)).code;
}

async function rows(tableName = TABLE): Promise<KeyItem[]> {
  const found: KeyItem[] = [];
  const pages = paginateScan({ client: table }, { TableName: tableName, ConsistentRead: true });
  for await (const { Items = [] } of pages) found.push(...Items);
  return found;
}

async function count(isCounted: (row: KeyItem) => boolean, tableName = TABLE): Promise<number> {
  return (await rows(tableName)).filter((row) => isCounted(row)).length;
}

interface Ended {
  readonly code: number | null;
  readonly by: string | null;
  readonly said: string;
}

/** Runs a command in a process. Once it has sent its tenth write to the table, sends it a signal. */
async function run(args: readonly string[], signal?: NodeJS.Signals, reader: 'stays' | 'leaves' = 'stays') {
  const env = { ...process.env, ...world.operator.settings(), ...world.settings, AWS_REGION: 'us-west-2' };
  const child = spawn(process.execPath, [MAIN, ...args], { env, cwd: folder });
  const ended = once(child, 'close');
  let [writes, said] = [0, ''];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
  if (reader === 'leaves') child.stderr.destroy();
  const { faultOf } = world.proxy;
  world.proxy.faultOf = (call) => {
    if (/^(?:Update|Put|Delete)/.test(call)) writes += 1;
    if (writes === SIGNALLED_AT && signal !== undefined) child.kill(signal);
    return faultOf(call);
  };
  const [code, by] = (await ended) as [number | null, string | null];
  world.proxy.faultOf = faultOf;
  return { code, by, said } satisfies Ended;
}

async function outcomes(): Promise<Record<string, number>> {
  const lines = (await readFile(join(folder, 'audit'), 'utf8')).trim().split('\n');
  const counts: Record<string, number> = {};
  for (const line of lines) {
    const { outcome } = JSON.parse(line) as { outcome: string };
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  return counts;
}

const AUDIT = ['--audit-file', 'audit'];
const ROTATE = ['keys', 'rotate', '--all-partitions'];
const PROVE = ['keys', 'prove', '--yes'];
const COPY = ['table', 'copy', '--from', TABLE, '--table', 'Copy', '--yes'];
const BEGIN = ['partitions', 'erase', 'p0', '--confirm', 'p0', '--reason', 'test'];

const isErased = (row: KeyItem): boolean => row['Erased'] !== undefined;
const isProven = (row: KeyItem): boolean => row['Proof'] !== undefined;

async function removeProofs(): Promise<void> {
  for (const { Id, Created } of await rows()) {
    const input = { TableName: TABLE, Key: { Id, Created } as KeyItem, UpdateExpression: 'REMOVE Proof' };
    await table.send(new UpdateItemCommand(input));
  }
}

describe('after a signal between two writes,', { timeout: 120_000 }, () => {
  it.for(['SIGINT', 'SIGTERM'] as const)('keyfold keys rotate ends, and names the new keys (%s)', async (signal) => {
    const before = await count(() => true);
    const { by, said } = await run([...ROTATE, ...AUDIT], signal);
    const made = (await count(() => true)) - before;
    expect({ by, said }).toEqual({ by: signal, said: expect.stringContaining(`${signal} ended the run.`) as string });
    expect(said.match(/ {2}rotated/g)).toHaveLength(made);
    expect(await outcomes()).toEqual({ attempting: made, rotated: made });
  });

  it('keyfold keys prove ends, says how many proofs it has added, and continues in the next run', async () => {
    await removeProofs();
    const { by, said } = await run([...PROVE, ...AUDIT], 'SIGINT');
    const added = await count(isProven);
    expect({ by, said }).toEqual({ by: 'SIGINT', said: expect.stringContaining(`Added ${added} proofs.\n`) as string });
    expect(await outcomes()).toEqual({ attempting: added, proven: added });
    expect(await run(PROVE)).toMatchObject({ code: 0 });
    expect(await count(isProven)).toBe((await rows()).length);
  });

  it('keyfold table copy ends, says how many rows it has added, and continues in the next run', async () => {
    await world.operator.createTable('Copy');
    const { by, said } = await run([...COPY, ...AUDIT], 'SIGINT');
    const added = await count(() => true, 'Copy');
    const missing = (await rows()).length;
    const says = `Added ${added} of ${missing} missing rows.`;
    expect({ by, said }).toEqual({ by: 'SIGINT', said: expect.stringContaining(says) as string });
    const [, last = ''] = (await readFile(join(folder, 'audit'), 'utf8')).split('\n');
    expect(JSON.parse(last)).toMatchObject({ outcome: 'failed', added, missing: missing - added });
    expect(await run(COPY)).toMatchObject({ code: 0 });
    expect(await rows('Copy')).toHaveLength(missing);
  });

  it.for(['begin', 'cancel'])('keyfold partitions erase ends, and continues in the next run (%s)', async (step) => {
    const args = [...BEGIN, ...(step === 'begin' ? [] : ['--cancel'])];
    const { by, said } = await run([...args, ...AUDIT], 'SIGTERM');
    expect({ by, said }).toEqual({ by: 'SIGTERM', said: expect.stringContaining('has not ended') as string });
    expect(await outcomes()).toEqual({ attempting: 1, failed: 1 });
    const marked = await count(isErased);
    expect(marked).toBeGreaterThan(1);
    expect(marked).toBeLessThan(ROWS);
    expect(await run(args)).toMatchObject({ code: 0 });
    // After `begin`, the tombstone is an additional row.
    expect(await count(isErased)).toBe(step === 'begin' ? ROWS + 1 : 0);
  });
});

describe('a signal that comes before the last audit line', { timeout: 120_000 }, () => {
  it.for([
    ['keys revoke', ['keys', 'revoke', '_IK_p1_orders_shop', 'latest', '--yes'], 'revoked'],
    ['maintain', ['maintain'], 'maintained'],
    ['table copy', COPY.with(5, 'Copy3'), 'transferred'],
    ['partitions erase', BEGIN.map((arg) => (arg === 'p0' ? 'p2' : arg)), 'begun'],
  ] as const)('ends the command only after the audit line: %s', async ([name, args, outcome]) => {
    if (name === 'table copy') await world.operator.createTable('Copy3');
    const audit = join(folder, 'audit');
    await promisify(execFile)('mkfifo', [audit]);
    // The command must not open the pipe for its last line while this process still reads the first one: when this
    // process then closes the pipe, the command's write would fail. So each call to the table waits for this process.
    const firstLineRead = Promise.withResolvers<void>();
    const { faultOf } = world.proxy;
    world.proxy.faultOf = () => ({
      kind: 'overtaken',
      by: () => Promise.race([firstLineRead.promise, setTimeout(1000)]),
    });
    // The command opens the pipe once to check it, and again for its first line. If this process closed the pipe in
    // between, the write could fail. So keep both ends open until that line is read.
    const pipe = await open(audit, 'r+');
    const env = { ...process.env, ...world.operator.settings(), ...world.settings, AWS_REGION: 'us-west-2' };
    const child = spawn(process.execPath, [MAIN, ...args, ...AUDIT], { env, cwd: folder });
    const ended = once(child, 'close');
    let printed = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    // After the command has ended, its last line may still be in the pipe.
    const lateEnd = ended.then(async (end) => {
      await setTimeout(2000);
      throw new Error(`The command ended with ${String(end)} before its audit line was read: ${printed}`);
    });
    lateEnd.catch(() => {});
    const { buffer, bytesRead } = await Promise.race([pipe.read(), lateEnd]);
    expect(buffer.toString('utf8', 0, bytesRead)).toContain('"outcome":"attempting"');
    await pipe.close();
    firstLineRead.resolve();
    world.proxy.faultOf = faultOf;
    // The command waits before it writes the last line, because it cannot open the pipe until a process reads from it.
    // Wait until it makes no more calls.
    for (let calls = -1; calls < world.proxy.calls.length; await setTimeout(1000)) calls = world.proxy.calls.length;
    child.kill('SIGINT');
    await setTimeout(200);
    expect(await Promise.race([readFile(audit, 'utf8'), lateEnd])).toContain(`"outcome":"${outcome}"`);
    expect(await ended).toEqual([null, 'SIGINT']);
  });
});

describe('a command whose audit goes to a closed pipe', { timeout: 120_000 }, () => {
  it.for([
    ['keys rotate', ROTATE],
    ['keys prove', PROVE],
    ['table copy', COPY.with(5, 'Copy2')],
    ['partitions erase', BEGIN],
  ] as const)('fails before it writes to the table: %s', async ([name, args]) => {
    if (name === 'keys prove') await removeProofs();
    if (name === 'table copy') await world.operator.createTable('Copy2');
    const before = await rows();
    const { code } = await run(args, undefined, 'leaves');
    expect({ code, rows: await rows() }).toEqual({ code: 1, rows: before });
  });
});
