/** Calls, counted. */
import { randomBytes } from 'node:crypto';
import { MemoryMetastore, SessionFactory, StaticKms, type KeyManagementService } from '../src/index.ts';
import { CountingMetastore } from './counting-metastore.ts';
import type { Figure, SectionResult } from './figures.ts';

const PARTITIONS = 10_000;
const OPERATIONS = 1_000_000;

/** Counts what is asked of the metastore and of KMS. */
export async function countCalls(): Promise<SectionResult> {
  const metastore = new CountingMetastore();
  const real = new StaticKms(randomBytes(32), process.env);
  let kmsCalls = 0;
  const kms: KeyManagementService = {
    wrap: (key) => ((kmsCalls += 1), real.wrap(key)),
    unwrap: (wrapped) => ((kmsCalls += 1), real.unwrap(wrapped)),
  };
  const names = { service: 'bench', product: 'keyfold' };
  const open = (): SessionFactory => new SessionFactory({ ...names, metastore, kms });
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

  kmsCalls = 0;
  const many = new SessionFactory({ ...names, metastore: new MemoryMetastore(), kms });
  const sessions = Array.from({ length: PARTITIONS }, (_, i) => many.session(`tenant-${i}`));
  const records = await Promise.all(sessions.map((session) => session.encrypt(one)));
  for (let done = PARTITIONS; done < OPERATIONS; done += PARTITIONS) {
    const isEncrypt = (done / PARTITIONS) % 2 === 0;
    for (const [i, session] of sessions.entries()) {
      if (isEncrypt) records[i] = await session.encrypt(one);
      else await session.decrypt(records[i] as (typeof records)[number]);
    }
  }
  count('KMS calls for 10,000 partitions and 1,000,000 operations in one process', String(kmsCalls));
  return { figures };
}
