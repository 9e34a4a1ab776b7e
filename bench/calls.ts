/** Benchmark section: counts the calls that operations make to the metastore and to KMS. */
import { randomBytes } from 'node:crypto';
import { startKmsEmulator } from '../emulators/kms/kms-emulator.ts';
import { AwsKms, MemoryMetastore, SessionFactory, StaticKms } from '../src/index.ts';
import { AWS_ENVIRONMENT } from '../test/peers/processes.ts';
import { CountingMetastore } from './counting-metastore.ts';
import type { Figure, SectionResult } from './figures.ts';

const NAMES = { service: 'bench', product: 'keyfold' };
const REGIONS = ['us-west-2', 'us-east-1'];
const PARTITIONS = 10_000;
const OPERATIONS = 1_000_000;

/**
 * Counts the calls to the metastore and to a KMS emulator. The service requires a proof on each key row, and checks it.
 */
export async function countCalls(): Promise<SectionResult> {
  const metastore = new CountingMetastore();
  const kms = new StaticKms(randomBytes(32), process.env);
  const open = (): SessionFactory => new SessionFactory({ ...NAMES, metastore, kms, keyRowProofs: 'require' });
  const one = Buffer.from('x');
  const figures: Figure[] = [];
  const count = (name: string, value = metastore.take()): void => void figures.push({ name, value, unit: '' });

  const warm = open();
  await warm.session('first').encrypt(one);
  metastore.take();
  const record = await warm.session('new').encrypt(one);
  count('a new partition under a warm System Key');

  const sealing = open();
  await sealing.session('first').encrypt(one);
  metastore.take();
  await sealing.session('new').encrypt(one);
  count('encrypt for a known partition, its key cold');

  const opening = open();
  await opening.session('first').encrypt(one);
  metastore.take();
  await opening.session('new').decrypt(record);
  count('decrypt for a known partition, its key cold');

  await opening.session('new').decrypt(record);
  await sealing.session('new').encrypt(one);
  count('hot encrypt and decrypt');

  const kmsCalls = await countKmsCalls();
  count('KMS calls for 10,000 partitions and 1,000,000 operations in one process', String(kmsCalls));
  return { figures };
}

/** Counts the KMS calls that a process makes if its service already has a System Key. */
async function countKmsCalls(): Promise<number> {
  Object.assign(process.env, AWS_ENVIRONMENT);
  let calls = 0;
  const emulator = await startKmsEmulator({ onCall: () => (calls += 1) });
  const keys = await Promise.all(REGIONS.map((region) => emulator.ensureKey(region, 'alias/bench')));
  const arns = Object.fromEntries(keys.map(({ keyArn }, i) => [REGIONS[i], keyArn]));
  const metastore = new MemoryMetastore();
  const open = (): SessionFactory => {
    const kms = new AwsKms({ keys: arns, preferredRegion: 'us-west-2', endpoint: emulator.endpoint });
    return new SessionFactory({ ...NAMES, metastore, kms, keyRowProofs: 'require' });
  };
  const one = Buffer.from('x');
  await open().session('first').encrypt(one);

  calls = 0;
  const many = open();
  const sessions = Array.from({ length: PARTITIONS }, (_, i) => many.session(`tenant-${i}`));
  const records = await Promise.all(sessions.map((session) => session.encrypt(one)));
  for (let done = PARTITIONS; done < OPERATIONS; done += PARTITIONS) {
    const isEncrypt = (done / PARTITIONS) % 2 === 0;
    for (const [i, session] of sessions.entries()) {
      if (isEncrypt) records[i] = await session.encrypt(one);
      else await session.decrypt(records[i] as (typeof records)[number]);
    }
  }
  await emulator.close();
  return calls;
}
