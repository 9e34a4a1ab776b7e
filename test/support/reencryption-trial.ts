/**
 * Re-encrypts the rows of a store with several concurrent runs, which are killed at random, while a writer changes
 * rows.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { DynamoDbMetastore, encodeCompactRecord, SessionFactory, StaticKms } from '../../src/index.ts';
import { decodeCompactRecord } from '../../src/records/compact-record.ts';
import { ROOT } from './documents.ts';

/** The table with the rows. Each row has an ID and a text. */
export interface TrialStore {
  /** The source, as named in the command's argument. */
  readonly source: string;
  /** Additional environment variables for the command. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Adds rows. */
  add(rows: readonly (readonly [id: string, text: string])[]): Promise<void>;
  /** Replaces the text of a row. */
  write(id: string, text: string): Promise<void>;
  read(): AsyncIterable<readonly [id: string, text: string]>;
}

interface TrialOptions {
  readonly rows: number;
  /** The maximum rate of each run, so that the run lasts long enough to be killed. */
  readonly rate: number;
  /** How often each run is killed. */
  readonly kills: number;
  /**
   * The maximum time until a run is killed. It counts from the run's first checkpoint or, if the run continues from a
   * checkpoint, from its start.
   */
  readonly killWithinMs: number;
}

/** What a trial observed, for its report. */
export interface TrialResult {
  readonly rows: number;
  readonly poison: number;
  /** The number of writes by the other writer during the runs. */
  readonly writes: number;
  readonly seconds: number;
}

const MASTER_KEY_HEX = '07'.repeat(32);
const NAMES = { service: 'orders', product: 'shop' };
const PARTITIONS = 10;
const RUNS = 2;
const HOUR_MS = 3_600_000;
/** The pause between two writes. It leaves the emulator time to serve the runs. */
const WRITE_PAUSE_MS = 5;
/** Every hundredth row is a poison row, which the runs cannot process. */
const POISON_EVERY = 100;

/**
 * Makes a service process with a cold cache. Its clock is behind by `ageMs`, so the keys that it makes are that old.
 */
function service(keyTable: string, ageMs = 0): SessionFactory {
  return new SessionFactory({
    ...NAMES,
    kms: new StaticKms(Buffer.from(MASTER_KEY_HEX, 'hex'), {}),
    metastore: new DynamoDbMetastore({ endpoint: keyTable, region: 'us-west-2' }),
    now: () => Date.now() - ageMs,
  });
}

/**
 * Runs the command twice at the same time. Each run is killed at random and continues from its checkpoint.
 * @param keyTable the endpoint of the DynamoDB server with the key table
 */
export async function tryReencryption(
  store: TrialStore,
  keyTable: string,
  { rows, rate, ...ends }: TrialOptions,
): Promise<TrialResult & { readonly kills: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-trial-'));
  let kills = 0;
  try {
    const result = await trial(store, keyTable, rows, async (environment) => {
      const runs = Array.from({ length: RUNS }, async (_, i) => {
        const [checkpoint, quarantine] = [join(folder, `checkpoint-${i}`), join(folder, `quarantine-${i}`)];
        const args = ['reencrypt', store.source, '--field', 'card', '--verb', 'rewrap', '--rate', String(rate)];
        args.push('--quarantine', quarantine, '--checkpoint', checkpoint, '--json');
        const killed = await runKilled(args, environment, checkpoint, ends);
        // Do not write `kills += await …`, which would read `kills` before the other run has added to it.
        kills += killed;
        const lines = (await readFile(quarantine, 'utf8')).trimEnd().split('\n');
        return lines.map((line) => (JSON.parse(line) as { row: string }).row);
      });
      return Promise.all(runs);
    });
    return { ...result, kills };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/**
 * Fills a store, makes new keys, and checks the result of the runs. Every good row must contain what was written last,
 * sealed under a new key. Exactly the poison rows must be in quarantine, and they must be unchanged.
 * @param work performs the runs in the environment of an operator. It returns the quarantined rows of each run.
 */
export async function trial(
  store: TrialStore,
  keyTable: string,
  rows: number,
  work: (environment: NodeJS.ProcessEnv) => Promise<string[][]>,
): Promise<TrialResult> {
  const poison = await fill(store, keyTable, rows);
  const environment = {
    ...process.env,
    KEYFOLD_SERVICE: NAMES.service,
    KEYFOLD_PRODUCT: NAMES.product,
    KEYFOLD_STATIC_MASTER_KEY_HEX: MASTER_KEY_HEX,
    KEYFOLD_DYNAMODB_ENDPOINT: keyTable,
    AWS_REGION: 'us-west-2',
    ...store.environment,
  };
  const rotating = keyfold(['keys', 'rotate', '--all-partitions', '--json'], environment);
  const printed = await rotating.stdout;
  expect(rotating.stderr()).not.toContain('keyfold:');
  const rotated = JSON.parse(printed) as { created: number }[];
  expect(rotated).toHaveLength(PARTITIONS);
  const oldest = Math.min(...rotated.map(({ created }) => created));

  const startedMs = Date.now();
  const writer = startWriter(store, keyTable, rows);
  const quarantines = await work(environment);
  const seconds = Math.round((Date.now() - startedMs) / 1000);
  const versions = await writer.stop();
  await checkEnd(store, keyTable, { poison, versions, oldest });
  expect(quarantines).not.toEqual([]);
  for (const lines of quarantines) {
    const ids = lines.map((row) => (JSON.parse(row) as { id: string }).id);
    expect([...new Set(ids)].toSorted()).toEqual([...poison.keys()].toSorted());
  }
  const writes = [...versions.values()].reduce((sum, version) => sum + version, 0);
  return { rows, poison: poison.size, writes, seconds };
}

const partitionOf = (i: number): string => `tenant-${i % PARTITIONS}`;
const isPoison = (i: number): boolean => i % POISON_EVERY === 7;
const plaintextOf = (i: number, version: number): string => `row ${i} version ${version}`;

async function sealed(sessions: SessionFactory, i: number, version: number): Promise<string> {
  const record = await sessions.session(partitionOf(i)).encrypt(Buffer.from(plaintextOf(i, version)));
  return encodeCompactRecord(record, 'bytes') ?? '';
}

/** Fills the store with records that were sealed under an hour-old key. Returns the poison rows and their texts. */
async function fill(store: TrialStore, keyTable: string, rows: number): Promise<Map<string, string>> {
  const before = service(keyTable, HOUR_MS);
  const poison = new Map<string, string>();
  for (let from = 0; from < rows; from += 1000) {
    const batch = await Promise.all(
      Array.from({ length: Math.min(1000, rows - from) }, async (_, offset) => {
        const i = from + offset;
        const text = await sealed(before, i, 0);
        if (!isPoison(i)) return [String(i), text] as const;
        const bad = poisoned(text, i);
        poison.set(String(i), bad);
        return [String(i), bad] as const;
      }),
    );
    await store.add(batch);
  }
  return poison;
}

/** Breaks a record in one of three ways. */
function poisoned(text: string, i: number): string {
  const way = Math.floor(i / POISON_EVERY) % 3;
  if (way === 0) return 'no record';
  if (way === 1) return text.slice(0, 100);
  const { record } = decodeCompactRecord(text);
  const key = { ...record.key, encryptedKey: Buffer.alloc(60) };
  return encodeCompactRecord({ ...record, key }, 'bytes') ?? '';
}

/** Overwrites random good rows with new versions, without a condition, until it is stopped. */
function startWriter(store: TrialStore, keyTable: string, rows: number): { stop: () => Promise<Map<number, number>> } {
  const sessions = service(keyTable);
  const versions = new Map<number, number>();
  const stopping = new AbortController();
  const work = async (lane: number): Promise<void> => {
    while (!stopping.signal.aborted) {
      // Each lane writes only its own rows, so that the last write to each row is known.
      const i = Math.floor(Math.random() * (rows / 4)) * 4 + lane;
      if (i >= rows || isPoison(i)) continue;
      const version = (versions.get(i) ?? 0) + 1;
      await store.write(String(i), await sealed(sessions, i, version));
      versions.set(i, version);
      await sleep(WRITE_PAUSE_MS);
    }
  };
  const lanes = Promise.all([0, 1, 2, 3].map(work));
  // Ignore the writer's errors here. If the trial fails, its store stops before the writer does.
  lanes.catch(() => {});
  return {
    stop: async () => {
      stopping.abort();
      await lanes;
      return versions;
    },
  };
}

function keyfold(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): { child: ChildProcess; stdout: Promise<string>; stderr: () => string } {
  const child = spawn(process.execPath, ['src/cli/main.ts', ...args], { cwd: ROOT, env });
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.err += chunk.toString()));
  return { child, stdout: once(child, 'close').then(() => said.out), stderr: () => said.err };
}

/**
 * Starts a command repeatedly. Kills it at a random time after its first checkpoint, and finally lets it finish.
 * @returns how often it was killed
 */
async function runKilled(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  checkpoint: string,
  { kills, killWithinMs }: Pick<TrialOptions, 'kills' | 'killWithinMs'>,
): Promise<number> {
  let killed = 0;
  for (;;) {
    const { child, stdout, stderr } = keyfold(args, environment);
    if (killed < kills) {
      const hasSaved = async (): Promise<void> => {
        while (child.exitCode === null && !existsSync(checkpoint)) await sleep(20);
      };
      await hasSaved();
      await Promise.race([stdout, sleep(Math.random() * killWithinMs)]);
      child.kill('SIGKILL');
    }
    const out = await stdout;
    if (child.signalCode === 'SIGKILL') {
      killed += 1;
      continue;
    }
    // The exit code is 1, because some rows are in quarantine.
    expect([child.exitCode, stderr()]).toEqual([1, expect.stringContaining('"outcome":"done"')]);
    expect(JSON.parse(out)).toMatchObject({ verb: 'rewrap', skipped: 0 });
    return killed;
  }
}

async function checkEnd(
  store: TrialStore,
  keyTable: string,
  end: { poison: ReadonlyMap<string, string>; versions: ReadonlyMap<number, number>; oldest: number },
): Promise<void> {
  const reader = service(keyTable);
  const wrong: string[] = [];
  for await (const [id, text] of store.read()) {
    const bad = end.poison.get(id);
    if (bad !== undefined) {
      if (text !== bad) wrong.push(`the poison row ${id} was changed`);
      continue;
    }
    const { record } = decodeCompactRecord(text);
    const plaintext = (await reader.session(partitionOf(Number(id))).decrypt(record)).toString();
    if (plaintext !== plaintextOf(Number(id), end.versions.get(Number(id)) ?? 0))
      wrong.push(`a write to ${id} is lost`);
    if (record.key.parent.created < end.oldest) wrong.push(`the row ${id} is under the old key`);
  }
  expect(wrong).toEqual([]);
}
