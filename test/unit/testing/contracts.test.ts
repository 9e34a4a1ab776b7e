/** Tests that each contract case fails for a plug-in that breaks it, and that all cases pass for a sound plug-in. */
import { describe, expect, it } from 'vitest';
import {
  KeyfoldError,
  MemoryMetastore,
  StaticKms,
  type EnvelopeKeyRecord,
  type KeyManagementService,
  type KeyMeta,
  type Metastore,
  type SystemKeyStore,
} from '../../../src/index.ts';
import {
  kmsContract,
  metastoreContract,
  systemKeyStoreContract,
  type ContractCase,
} from '../../../src/testing/index.ts';

/** The names of the cases that fail. */
async function failuresOf(cases: readonly ContractCase[]): Promise<string[]> {
  const failures: string[] = [];
  for (const { name, run } of cases) await run().catch(() => failures.push(name));
  return failures;
}

const MASTER = Buffer.alloc(32, 7);
const sound = new StaticKms(MASTER, {});

/** A KMS that differs from a sound one in some methods. */
function kms(changes: Partial<KeyManagementService>): KeyManagementService {
  return { wrap: (key) => sound.wrap(key), unwrap: (wrapped) => sound.unwrap(wrapped), ...changes };
}

const plain = {
  wrap: async (key: Uint8Array) => Buffer.from(key),
  unwrap: async (key: Uint8Array) => ({ key: Buffer.from(key) }),
};
const keptKeys = new Map<string, Buffer>();
const kept = Buffer.alloc(32);

describe('kmsContract', () => {
  it.each<[string, () => KeyManagementService, string]>([
    [
      'forgets its keys',
      () => new StaticKms(crypto.getRandomValues(new Uint8Array(32)), {}),
      'another process wrapped',
    ],
    [
      "zeroes the caller's key",
      () => kms({ wrap: async (key) => sound.wrap(key).finally(() => key.fill(0)) }),
      'leaves the given key unchanged',
    ],
    ['wraps nothing', () => plain, 'does not show the key'],
    ['unwraps any bytes', () => plain, 'bytes that it can never unwrap'],
    ['unwraps changed bytes to another key', () => plain, 'never unwraps changed bytes'],
    [
      'returns the same memory twice',
      () =>
        kms({
          unwrap: async (wrapped) => {
            const name = Buffer.from(wrapped).toString('hex');
            const known = keptKeys.get(name);
            if (known !== undefined) return { key: known };
            const unwrapped = await sound.unwrap(wrapped);
            if ('key' in unwrapped) keptKeys.set(name, unwrapped.key);
            return unwrapped;
          },
        }),
      'returns new bytes from each unwrap',
    ],
    [
      'throws for foreign bytes',
      () => kms({ unwrap: () => Promise.reject(new KeyfoldError('KmsMisconfigured', 'No.')) }),
      'bytes that it can never unwrap',
    ],
    [
      'mixes up concurrent calls',
      () =>
        kms({
          wrap: async (key) => {
            kept.set(key);
            await new Promise((resolve) => void setTimeout(resolve));
            return sound.wrap(kept);
          },
        }),
      'many keys concurrently',
    ],
    [
      'gives a basis for the proof from wrap but not from unwrap',
      () =>
        kms({
          wrap: async (key) => ({
            wrapped: await sound.wrap(key),
            rowProof: { key: Buffer.alloc(32, 1), sealed: Buffer.from('x') },
          }),
        }),
      'the same basis for the proof',
    ],
    [
      'rejects an aborted call with its own error',
      () =>
        kms({
          wrap: async (key, { signal }) => {
            if (signal.aborted) throw new Error('aborted');
            return sound.wrap(key);
          },
        }),
      'under an aborted deadline',
    ],
  ])('fails for a KMS that %s', async (_name, open, failure) => {
    expect(await failuresOf(kmsContract(open))).toContainEqual(expect.stringContaining(failure));
  });

  it('fails for a KMS that reports unreadable bytes during an outage', async () => {
    const failing = kms({ unwrap: async () => ({ unreadable: 'down' }) });
    expect(await failuresOf(kmsContract(() => sound, { openFailing: () => failing }))).toEqual([
      'rejects with KmsUnavailable, KmsThrottled or KmsMisconfigured if its service does not answer',
    ]);
  });
});

/** A metastore in memory that differs from a sound one in some methods. */
function metastores(
  changeOf: (sound: MemoryMetastore) => Partial<Metastore & SystemKeyStore>,
): () => Metastore & SystemKeyStore {
  const memory = new MemoryMetastore();
  const methods: Metastore & SystemKeyStore = {
    load: (id, created) => memory.load(id, created),
    loadLatest: (id) => memory.loadLatest(id),
    loadRecent: (id, notAfter) => memory.loadRecent(id, notAfter),
    store: (record) => memory.store(record),
    rows: (id) => memory.rows(id),
    replaceKey: (record, key) => memory.replaceKey(record, key),
  };
  return () => ({ ...methods, ...changeOf(memory) });
}

describe('metastoreContract', () => {
  const failing = new KeyfoldError('MetastoreUnavailable', 'Down.');

  it('passes for a metastore without loadRecent', async () => {
    const memory = new MemoryMetastore();
    const open = (): Metastore => ({
      load: (id, created) => memory.load(id, created),
      loadLatest: (id) => memory.loadLatest(id),
      store: (record) => memory.store(record),
    });
    expect(await failuresOf(metastoreContract(open))).toEqual([]);
  });

  it.each<[string, (sound: MemoryMetastore) => Partial<Metastore>, string]>([
    [
      'loses the proof of a row',
      (memory) => ({ store: (record) => memory.store({ ...record, proof: undefined }) }),
      'values that were stored',
    ],
    [
      'loses the revocation of a row',
      (memory) => ({ store: (record) => memory.store({ ...record, revoked: false }) }),
      'values that were stored',
    ],
    [
      'does not tell upper case from lower case',
      (memory) => ({ load: (id, created) => memory.load(id.replace('_sk_', '_SK_') as typeof id, created) }),
      'another ID or another date',
    ],
    [
      'takes any row for the latest',
      (memory) => ({ loadLatest: async (id) => (await memory.rows(id)).at(-1) }),
      'with the latest date',
    ],
    [
      'returns recent rows in the wrong order',
      (memory) => ({ loadRecent: async (id, notAfter) => (await memory.loadRecent(id, notAfter)).toReversed() }),
      'ten latest records',
    ],
    [
      'reports a duplicate as stored',
      (memory) => ({ store: async (record) => memory.store(record).then(() => 'stored' as const) }),
      'as a duplicate',
    ],
    [
      'reports a duplicate during an outage',
      () => ({ store: async () => 'duplicate' as const }),
      'values that were stored',
    ],
  ])('fails for a metastore that %s', async (_name, changeOf, failure) => {
    expect(await failuresOf(metastoreContract(metastores(changeOf)))).toContainEqual(expect.stringContaining(failure));
  });

  it("fails for a metastore that stores the caller's arrays instead of copies", async () => {
    const rows = new Map<string, EnvelopeKeyRecord>();
    const open = metastores((memory) => ({
      store: async (record) => {
        rows.set(`${record.id} ${record.created}`, record);
        return memory.store(record);
      },
      load: async (id, created) => rows.get(`${id} ${created}`),
    }));
    expect(await failuresOf(metastoreContract(open))).toContainEqual(expect.stringContaining('copies the sealed key'));
  });

  it.each(['load', 'loadLatest', 'loadRecent'] as const)(
    'fails for a metastore whose %s returns its stored objects instead of copies',
    async (method) => {
      const held = new Map<string, unknown>();
      const open = metastores((memory) => ({
        [method]: async (...args: [KeyMeta['id'], KeyMeta['created']]) => {
          const name = args.slice(0, 2).join(' ');
          if (!held.has(name)) held.set(name, await memory[method](...args));
          return held.get(name);
        },
      }));
      expect(await failuresOf(metastoreContract(open))).toContainEqual(expect.stringContaining('has loaded'));
    },
  );

  it('fails for a metastore that reports an absent row during an outage', async () => {
    const openFailing = metastores(() => ({
      load: async () => undefined,
      loadLatest: () => Promise.reject(failing),
      loadRecent: () => Promise.reject(failing),
      store: () => Promise.reject(failing),
    }));
    const open = metastores(() => ({}));
    expect(await failuresOf(metastoreContract(open, { openFailing }))).toEqual([
      'rejects with MetastoreUnavailable if its store does not answer',
    ]);
  });
});

describe('systemKeyStoreContract', () => {
  it.each<[string, (sound: MemoryMetastore) => Partial<SystemKeyStore>, string]>([
    [
      'lists rows in the wrong order',
      (memory) => ({ rows: async (id) => (await memory.rows(id)).toReversed() }),
      'lists all rows',
    ],
    [
      'returns its stored rows instead of copies',
      (memory) => {
        const held = new Map<string, ReturnType<MemoryMetastore['rows']>>();
        return { rows: async (id) => held.get(id) ?? held.set(id, memory.rows(id)).get(id) ?? [] };
      },
      'has listed',
    ],
    [
      'replaces a key without checking the row',
      (memory) => ({
        replaceKey: async (record, key) => {
          const present = await memory.load(record.id, record.created);
          if (present !== undefined) await memory.replaceKey(present, key);
          return 'replaced' as const;
        },
      }),
      'only if it has not changed',
    ],
  ])('fails for a store that %s', async (_name, changeOf, failure) => {
    const failures = await failuresOf(systemKeyStoreContract(metastores(changeOf)));
    expect(failures).toContainEqual(expect.stringContaining(failure));
  });
});
