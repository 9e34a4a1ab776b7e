/**
 * The load of a soak test. It runs in its own process, so that its memory can be measured. Containers start and stop.
 * They encrypt, decrypt and rewrap under a deadline, and check every byte. The process appends each record that it
 * receives to a file before it counts the record. It reports to its parent process every second, and ends on SIGTERM.
 */
import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import {
  AwsKms,
  decodeDataRowRecord,
  DynamoDbMetastore,
  encodeDataRowRecord,
  KeyfoldError,
  SessionFactory,
  SystemKeyMaintenance,
} from '../../src/index.ts';
import { DEADLINE_MS, SOAK_NAMES, type KeptRecord, type LoadOptions, type LoadReport } from './options.ts';
import { Seeded } from '../../test/support/seeded.ts';

/** Crypto policies with short intervals, so that keys expire and revocations are checked within a minute. */
const POLICY = {
  expireAfterMs: 8000,
  createDatePrecisionMs: 1000,
  revokeCheckIntervalMs: 1000,
  staleGraceMs: 1000,
  systemKeyMaxAgeMs: 2000,
  intermediateKeyMaxAgeMs: 1500,
  maxSystemKeys: 20,
  maxIntermediateKeys: 50,
};

const PARTITIONS = 100;
const CONTAINERS = 6;
const CALLERS = 24;
/** How long after its deadline a response may arrive. */
const LATE_MS = 300;
const MAX_REMEMBERED = 2000;

await run(JSON.parse(process.argv[2] ?? '') as LoadOptions);

async function run(options: LoadOptions): Promise<void> {
  const random = new Seeded(options.seed);
  const done: Record<string, number> = {};
  const errors: Record<string, number> = {};
  const wrongs: string[] = [];
  const remembered: KeptRecord[] = [];
  const stopped = new AbortController();
  process.once('SIGTERM', () => stopped.abort());

  const container = (): SessionFactory =>
    new SessionFactory({
      ...SOAK_NAMES,
      policy: POLICY,
      kms: new AwsKms(options.kms),
      metastore: new DynamoDbMetastore(options.metastore),
    });
  const containers = Array.from({ length: CONTAINERS }, container);

  const keep = (partition: string, record: string, plaintext: Uint8Array): void => {
    const digest = createHash('sha256').update(plaintext).digest('base64');
    const kept = { partition, record, digest };
    appendFileSync(options.recordFile, `${JSON.stringify(kept)}\n`);
    if (remembered.length < MAX_REMEMBERED) remembered.push(kept);
    else remembered[random.below(MAX_REMEMBERED)] = kept;
  };

  const operations = {
    encrypt: async (keyfold: SessionFactory, deadlineAtMs: number) => {
      const partition = `p${random.below(PARTITIONS)}`;
      const plaintext = randomBytes(random.chance(0.01) ? 200_000 : random.below(2000));
      keep(partition, await keyfold.session(partition).encryptToJson(plaintext, { deadlineAtMs }), plaintext);
    },
    decrypt: async (keyfold: SessionFactory, deadlineAtMs: number) => {
      if (remembered.length === 0) return;
      const { partition, record, digest } = random.of(remembered);
      const plaintext = await keyfold.session(partition).decryptJson(record, { deadlineAtMs });
      if (createHash('sha256').update(plaintext).digest('base64') !== digest)
        wrong(`a wrong plaintext of ${partition}`);
    },
    rewrap: async (keyfold: SessionFactory, deadlineAtMs: number) => {
      if (remembered.length === 0) return;
      const kept = random.of(remembered);
      const moved = await keyfold.session(kept.partition).rewrap(decodeDataRowRecord(kept.record), { deadlineAtMs });
      const again = { ...kept, record: encodeDataRowRecord(moved.record) };
      appendFileSync(options.recordFile, `${JSON.stringify(again)}\n`);
    },
    maintain: async (_keyfold: SessionFactory, deadlineAtMs: number) => {
      const parts = { kms: new AwsKms(options.kms), metastore: new DynamoDbMetastore(options.metastore) };
      await new SystemKeyMaintenance({ ...SOAK_NAMES, policy: POLICY, ...parts }).run({ deadlineAtMs });
    },
  };

  const wrong = (what: string): void => {
    if (wrongs.length < 100) wrongs.push(what);
  };

  const call = async (): Promise<void> => {
    const i = random.below(CONTAINERS);
    if (random.chance(0.02)) containers[i] = container();
    const keyfold = containers[i] ?? container();
    const name = random.chance(0.002) ? 'maintain' : random.of(['encrypt', 'decrypt', 'decrypt', 'rewrap'] as const);
    const deadlineAtMs = Date.now() + DEADLINE_MS;
    // Measure the delay from a timer that fires at the deadline, because a busy machine delays the timer as much as the
    // response.
    let overdueSinceMs: number | undefined;
    const timer = setTimeout(() => (overdueSinceMs = performance.now()), DEADLINE_MS);
    try {
      await operations[name](keyfold, deadlineAtMs);
      done[name] = (done[name] ?? 0) + 1;
    } catch (error) {
      const code = error instanceof KeyfoldError ? error.code : String(error);
      errors[code] = (errors[code] ?? 0) + 1;
      if (!(error instanceof KeyfoldError && error.retryable)) wrong(`${name} failed permanently: ${String(error)}`);
    }
    clearTimeout(timer);
    const lateMs = overdueSinceMs === undefined ? 0 : performance.now() - overdueSinceMs;
    if (lateMs > LATE_MS) wrong(`${name} was ${Math.round(lateMs)} ms late`);
  };

  const report = (): void => {
    globalThis.gc?.();
    const { heapUsed: heapBytes, rss: rssBytes } = process.memoryUsage();
    process.stdout.write(`${JSON.stringify({ done, errors, wrongs, heapBytes, rssBytes } satisfies LoadReport)}\n`);
  };
  const timer = setInterval(report, 1000);
  const caller = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      await call();
      await new Promise((resolve) => setTimeout(resolve, random.below(60)));
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  clearInterval(timer);
  report();
}
