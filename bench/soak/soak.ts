/**
 * `npm run soak`: runs a mixed load while KMS regions and DynamoDB fail and recover at random. It exits with 1 if one
 * of these does not hold:
 * - No plaintext was wrong.
 * - Every returned record opens at the end.
 * - Every error was retryable and within the deadline.
 * - Memory stayed flat.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { createHash } from 'node:crypto';
import { startDynamoDb } from '../../local/dynamodb.ts';
import { startKmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { readOptions } from '../../scripts/read-options.ts';
import { AwsKms, DynamoDbMetastore, SessionFactory } from '../../src/index.ts';
import { DynamoDbProxy } from '../../test/support/dynamodb-proxy.ts';
import { nextFaultSchedule } from './faults.ts';
import { DEADLINE_MS, SOAK_NAMES, type KeptRecord, type LoadOptions, type LoadReport } from './options.ts';
import { Seeded } from '../../test/support/seeded.ts';

const REGIONS = ['us-west-2', 'us-east-1'];
const MAX_FAULT_MS = 4000;
/** The share of the run that counts as warm-up, while caches fill and V8 compiles code. */
const WARM_UP = 0.3;
/** How much the memory may grow between the end of the warm-up and the end of the run. */
const ALLOWED_GROWTH_BYTES = 24 * 1024 * 1024;

const HELP = `npm run soak -- [options]
Runs a mixed load while KMS regions and DynamoDB fail and recover at random.

  --minutes N  how long the load runs
  --seconds N  the same in seconds; default: 60
  --seed N     repeats the random choices of an earlier run`;

const values = readOptions(HELP, {
  minutes: { type: 'string' },
  seconds: { type: 'string' },
  seed: { type: 'string' },
});
const durationMs = values.minutes === undefined ? Number(values.seconds ?? 60) * 1000 : Number(values.minutes) * 60_000;
const seed = Number(values.seed ?? Date.now() % 1_000_000);
Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local', AWS_REGION: REGIONS[0] });

const folder = await mkdtemp(join(tmpdir(), 'keyfold-soak-'));
const kms = await startKmsEmulator();
const dynamoDb = await startDynamoDb('EncryptionKey', 0);
const proxy = await DynamoDbProxy.start(dynamoDb.endpoint);
const keys = await Promise.all(REGIONS.map(async (r) => [r, (await kms.ensureKey(r, 'alias/keyfold')).aliasArn]));
const options: LoadOptions = {
  seed,
  kms: {
    keys: Object.fromEntries(keys) as Record<string, string>,
    preferredRegion: 'us-west-2',
    endpoint: kms.endpoint,
    timeouts: { connectionTimeoutMs: 200, requestTimeoutMs: 300 },
    // All regions must wrap the System Key. With fewer wraps, a refusal by one region could be a correct permanent
    // error.
    failover: { firstCoolDownMs: 300, longestCoolDownMs: 2000, minimumWrappedRegions: REGIONS.length },
  },
  metastore: { endpoint: proxy.endpoint, region: 'us-west-2', connectionTimeoutMs: 200, requestTimeoutMs: 300 },
  recordFile: join(folder, 'records.jsonl'),
};

console.log(`soaking for ${durationMs / 1000} s, seed ${seed}`);
await writeFile(options.recordFile, '');
const reports = await soak();
const faults = verdictOf(reports);
const kept = await openAll();
faults.push(...kept.lost);
await Promise.all([proxy.stop(), kms.close(), dynamoDb.close()]);
await rm(folder, { recursive: true });

const last = reports.at(-1);
console.log(`done ${JSON.stringify(last?.done)}, errors ${JSON.stringify(last?.errors)}`);
console.log(`${kept.opened} records were returned and opened again; memory ${memoryOf(reports)}`);
for (const fault of faults) console.log(`WRONG ${fault}`);
console.log(faults.length === 0 ? 'the soak holds' : `the soak does not hold: ${faults.length} wrongs`);
process.exitCode = faults.length === 0 ? 0 : 1;

/** Runs the load while faults appear and disappear. */
async function soak(): Promise<LoadReport[]> {
  const found: LoadReport[] = [];
  const args = ['--expose-gc', join(import.meta.dirname, 'load.ts'), JSON.stringify(options)];
  const load = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(load, 'exit') as Promise<[number | null]>;
  createInterface({ input: load.stdout }).on('line', (line) => found.push(JSON.parse(line) as LoadReport));
  const random = new Seeded(seed + 1);
  const endsAtMs = Date.now() + durationMs;
  while (Date.now() < endsAtMs && load.exitCode === null) {
    const schedule = nextFaultSchedule(random, REGIONS.length);
    kms.clearFaults();
    schedule.kms.forEach((fault, i) => fault && kms.setFault(REGIONS[i] ?? '', fault));
    proxy.faultOf = () => (random.chance(schedule.dynamoDbRate) ? schedule.dynamoDb : undefined);
    proxy.calls = [];
    kms.resetCalls();
    await setTimeout(200 + random.below(MAX_FAULT_MS));
    // Pause after a permanent fault. Otherwise one request could meet permanent faults in every region, and its
    // permanent failure would be correct.
    if (!schedule.isLasting) continue;
    kms.clearFaults();
    await setTimeout(DEADLINE_MS);
  }
  kms.clearFaults();
  proxy.faultOf = () => undefined;
  load.kill('SIGTERM');
  const [exitCode] = await exited;
  if (exitCode !== 0) throw new Error(`the load process exited with code ${exitCode}`);
  return found;
}

/** Lists the conditions that did not hold during the run. */
function verdictOf(found: readonly LoadReport[]): string[] {
  const end = found.at(-1);
  const wrongs = [...(end?.wrongs ?? ['the load reported nothing'])];
  for (const name of ['encrypt', 'decrypt', 'rewrap']) if (!end?.done[name]) wrongs.push(`no ${name} was done`);
  if (Object.keys(end?.errors ?? {}).length === 0) wrongs.push('nothing failed: the faults have not come through');
  const { first, second } = halvesOf(found);
  if (second - first > ALLOWED_GROWTH_BYTES) wrongs.push(`memory grew: ${memoryOf(found)}`);
  return wrongs;
}

/** The smallest heap in each half of the time after the warm-up. A leak raises this minimum, but garbage does not. */
function halvesOf(found: readonly LoadReport[]): { first: number; second: number } {
  const warm = found.slice(Math.floor(found.length * WARM_UP)).map(({ heapBytes }) => heapBytes);
  const middle = Math.ceil(warm.length / 2);
  return { first: Math.min(...warm.slice(0, middle)), second: Math.min(...warm.slice(middle)) };
}

function memoryOf(found: readonly LoadReport[]): string {
  const { first, second } = halvesOf(found);
  return `${mib(first)} MiB of heap in the first half, ${mib(second)} in the second; ${mib(found.at(-1)?.rssBytes ?? 0)} resident`;
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

/** Opens every record that the load received, in a process with a cold cache and without faults. */
async function openAll(): Promise<{ opened: number; lost: string[] }> {
  const keyfold = new SessionFactory({
    ...SOAK_NAMES,
    kms: new AwsKms(options.kms),
    metastore: new DynamoDbMetastore({ ...options.metastore, endpoint: dynamoDb.endpoint, requestTimeoutMs: 5000 }),
  });
  let opened = 0;
  const lost: string[] = [];
  for await (const line of createInterface({ input: createReadStream(options.recordFile) })) {
    const { partition, record, digest } = JSON.parse(line) as KeptRecord;
    try {
      const plaintext = await keyfold.session(partition).decryptJson(record);
      if (createHash('sha256').update(plaintext).digest('base64') === digest) opened += 1;
      else lost.push(`another plaintext of ${partition}`);
    } catch (error) {
      lost.push(`a record of ${partition} is lost: ${String(error)}`);
    }
    if (lost.length >= 100) break;
  }
  if (opened === 0) lost.push('no record was made');
  return { opened, lost };
}
