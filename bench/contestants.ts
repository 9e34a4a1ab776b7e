/** Keyfold beside what people would pick instead: the same payloads, in one run. */
import { createSecretKey, randomBytes } from 'node:crypto';
import { race, timesAsLong, type Laps, type RemoteTask, type Task } from './compare.ts';
import { asherah } from './contestants/asherah.ts';
import { awsEncryptionSdk, type AwsEncryptionSdk } from './contestants/aws-encryption-sdk.ts';
import { contestant, type Contestant } from './contestants/contestant.ts';
import { jose, type Jose } from './contestants/jose.ts';
import { kmsPerItem } from './contestants/kms-per-item.ts';
import { npmContestants } from './contestants/npm-packages.ts';
import { SIZE_NAMES, SIZES, speedOf, type Figure, type SectionResult, type Speed } from './figures.ts';
import { floorDecrypt, floorEncrypt } from './floor.ts';
import { openKeyfold } from './keyfold.ts';

const OPERATIONS = ['encrypt', 'decrypt'] as const;
const KEYFOLD = 'Keyfold, library';
const RACE = { rounds: 15, roundMs: 30 };

/** Races all, size by size. A ratio is how many times as long as Keyfold's library the other took. */
export async function measureContestants(): Promise<SectionResult> {
  const contestants = await openAll();
  const speeds: Speed[] = [];
  const figures: Figure[] = [];
  for (const size of SIZE_NAMES) {
    const plaintext = randomBytes(SIZES[size]);
    const entries = new Map(
      await Promise.all(contestants.map(async ({ name, enter }) => [name, await enter(plaintext)] as const)),
    );
    for (const operation of OPERATIONS) {
      const tasks: Record<string, Task | RemoteTask> = {};
      for (const [name, entry] of entries) tasks[name] = entry[operation];
      const laps = await race(tasks, RACE);
      const own = laps[KEYFOLD] as Laps;
      for (const [name, theirs] of Object.entries(laps)) {
        speeds.push(speedOf(name, operation, size, theirs));
        if (name === KEYFOLD) continue;
        const byCpu = timesAsLong(theirs, own, 'cpuMs').value;
        figures.push({ name: `${operation} against ${name} ${size}`, ...timesAsLong(theirs, own), byCpu, unit: '×' });
      }
    }
  }
  await Promise.all(contestants.map(async ({ close }) => close?.()));
  return { figures, speeds };
}

async function openAll(): Promise<Contestant[]> {
  const load = await npmContestants();
  const parent = createSecretKey(randomBytes(32));
  const { encrypt, decrypt } = openKeyfold();
  const sdk = load('@aws-crypto/client-node') as AwsEncryptionSdk;
  return [
    contestant(
      'floor',
      (plaintext) => floorEncrypt(parent, plaintext),
      (record: string) => floorDecrypt(parent, record),
    ),
    contestant(KEYFOLD, encrypt, decrypt),
    await asherah('rust'),
    await asherah('go'),
    await jose(load('jose') as Jose),
    awsEncryptionSdk(sdk, { tuned: true }),
    awsEncryptionSdk(sdk, { tuned: false }),
    await kmsPerItem(),
  ];
}
