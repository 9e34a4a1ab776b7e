import { MemoryMetastore, SessionFactory, type DataRowRecord, type Metastore } from '../../src/index.ts';
import { ourKms } from './policies.ts';
import { RegionModel } from './region-model.ts';
import type { Scenario, Visit } from './scenarios.ts';
import { VirtualClock } from './virtual-clock.ts';

/** The start of the measurement on the virtual clock. */
export const EPOCH_MS = Date.UTC(2026, 10, 23, 12);
export const NAMES = { service: 'fleet', product: 'keyfold' };
export const PARTITION = 'tenant';
const DAY_MS = 86_400_000;

/** A key table with two System Keys, and one record under each. */
export interface KeyStore {
  readonly metastore: Metastore;
  readonly records: Readonly<Record<Visit['key'], DataRowRecord>>;
}

/**
 * Creates two keys. The first was created 100 days before the measurement, so it has expired and only decrypts. The
 * second was created one day before the measurement.
 */
export async function makeKeyStore(regions: Scenario['regions']): Promise<KeyStore> {
  const metastore = new MemoryMetastore();
  const older = await encryptAt(EPOCH_MS - 100 * DAY_MS, regions, metastore);
  const present = await encryptAt(EPOCH_MS - DAY_MS, regions, metastore);
  return { metastore, records: { older, present } };
}

async function encryptAt(atMs: number, regions: Scenario['regions'], metastore: Metastore): Promise<DataRowRecord> {
  const clock = new VirtualClock(() => 0.5);
  const models = regions.map(({ name }) => new RegionModel(name, 100, 1, clock, () => 0.5));
  let record: Promise<DataRowRecord> | undefined;
  clock.at(atMs, () => {
    const kms = ourKms(models, clock, () => 0.5);
    const factory = new SessionFactory({ ...NAMES, metastore, kms, now: clock.now });
    record = factory.session(PARTITION).encrypt(Buffer.from('x'));
  });
  await clock.run(atMs, atMs + 1000);
  if (record === undefined) throw new Error('the records were not created');
  return record;
}
