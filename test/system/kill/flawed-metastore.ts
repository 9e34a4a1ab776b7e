import type { DynamoDbMetastore, Metastore, SystemKeyStore } from '../../../src/index.ts';
import { noDeadline } from '../../support/fakes.ts';
import { HOME, type Flaw } from './job.ts';

/**
 * The delay between a premature acknowledgement and the write. It is so long that the caller receives its record before
 * the write.
 */
const LATE_MS = 200;

type Store = Metastore & SystemKeyStore;

const WRITES: Readonly<Record<Flaw, (real: DynamoDbMetastore) => Partial<Store>>> = {
  'acknowledges before it stores': (real) => ({
    store: (record) => {
      setTimeout(() => void real.store(record, noDeadline()), LATE_MS);
      return Promise.resolve('stored');
    },
  }),
  'stores in two writes': (real) => ({
    store: async (record, deadline) => {
      const half = { ...record, encryptedKey: record.encryptedKey.subarray(0, record.encryptedKey.length / 2) };
      const outcome = await real.store(half, deadline);
      if (outcome === 'stored') await real.replaceKey(half, record.encryptedKey, deadline);
      return outcome;
    },
  }),
  'removes a wrap before it stores the renewed one': (real) => ({
    replaceKey: async (record, renewed, deadline) => {
      const without = { ...record, encryptedKey: withoutWrapOf(HOME, renewed) };
      await real.replaceKey(record, without.encryptedKey, deadline);
      return real.replaceKey(without, renewed, deadline);
    },
  }),
};

/** Wraps a metastore so that it writes rows in one of the wrong ways that {@link Flaw} lists. */
export function flawedMetastore(real: DynamoDbMetastore, flaw: Flaw): Store {
  return {
    load: (...asked) => real.load(...asked),
    loadLatest: (...asked) => real.loadLatest(...asked),
    loadRecent: (...asked) => real.loadRecent(...asked),
    rows: (...asked) => real.rows(...asked),
    store: (...asked) => real.store(...asked),
    replaceKey: (...asked) => real.replaceKey(...asked),
    ...WRITES[flaw](real),
  };
}

function withoutWrapOf(region: string, wrapped: Uint8Array): Buffer {
  const envelope = JSON.parse(Buffer.from(wrapped).toString()) as { kmsKeks: { region: string }[] };
  const kmsKeks = envelope.kmsKeks.filter((kek) => kek.region !== region);
  return Buffer.from(JSON.stringify({ ...envelope, kmsKeks }));
}
