/** Tests that each case of the metastore contracts fails for a metastore that breaks it. */
import { describe, expect, it } from 'vitest';
import {
  KeyfoldError,
  MemoryMetastore,
  type EnvelopeKeyRecord,
  type KeyMeta,
  type Metastore,
  type SystemKeyStore,
} from '../../../src/index.ts';
import {
  metastoreContract,
  systemKeyStoreContract,
  type MetastoreContractOptions,
} from '../../../src/testing/index.ts';
import { failuresOf } from '../../support/contract/failures.ts';

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

/** Returns the record with another ID. */
function as(id: KeyMeta['id'], record: EnvelopeKeyRecord | undefined): EnvelopeKeyRecord | undefined {
  return record && { ...record, id };
}

/** Confuses IDs that are equal after a conversion, such as to lower case. */
function sameIds(memory: MemoryMetastore, convert: (id: string) => string): Partial<Metastore> {
  const converted = (id: KeyMeta['id']): KeyMeta['id'] => convert(id) as KeyMeta['id'];
  return {
    load: async (id, created) => as(id, await memory.load(converted(id), created)),
    loadLatest: async (id) => as(id, await memory.loadLatest(converted(id))),
    loadRecent: async (id, notAfter) =>
      (await memory.loadRecent(converted(id), notAfter)).flatMap((record) => as(id, record) ?? []),
    store: (record) => memory.store({ ...record, id: converted(record.id) }),
  };
}

/** Converts each date before it stores or loads a row. */
function otherDates(memory: MemoryMetastore, convert: (created: number) => number): Partial<Metastore> {
  const converted = (created: KeyMeta['created']): KeyMeta['created'] => convert(created) as KeyMeta['created'];
  return {
    load: (id, created) => memory.load(id, converted(created)),
    store: (record) => memory.store({ ...record, created: converted(record.created) }),
  };
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
      'finds a row by an ID in lower case',
      (memory) => ({ load: (id, created) => memory.load(id.replace('_sk_', '_SK_') as typeof id, created) }),
      'a different ID or date',
    ],
    [
      'ignores the Unicode normalisation of an ID',
      (memory) => sameIds(memory, (id) => id.normalize('NFC')),
      'keeps IDs apart',
    ],
    ['ignores the case of an ID', (memory) => sameIds(memory, (id) => id.toLowerCase()), 'keeps IDs apart'],
    ['trims its IDs', (memory) => sameIds(memory, (id) => id.trimEnd()), 'keeps IDs apart'],
    [
      'writes \u00df in an ID as ss',
      (memory) => sameIds(memory, (id) => id.replaceAll('\u00df', 'ss')),
      'keeps IDs apart',
    ],
    ...['%', '_', '*'].map((wildcard): [string, (sound: MemoryMetastore) => Partial<Metastore>, string] => [
      `reads ${wildcard} in an ID as a wildcard`,
      (memory) => ({
        loadLatest: async (id) => {
          const isPattern = id === `_IK_ten${wildcard}nt_ids`;
          return (
            (await memory.loadLatest(id)) ?? (isPattern ? memory.loadLatest('_IK_tenant_ids' as typeof id) : undefined)
          );
        },
      }),
      'keeps IDs apart',
    ]),
    ...['n/n', '../', '\\', "'", '"', '\n', '\t', '\u200b', '\u0131', '\uff54', '\u{1f511}'].map(
      (part): [string, (sound: MemoryMetastore) => Partial<Metastore>, string] => [
        `cannot store an ID with ${JSON.stringify(part)}`,
        (memory) => ({
          store: async (record) => {
            if (record.id.includes(part)) throw new Error('No.');
            return memory.store(record);
          },
        }),
        'keeps IDs apart',
      ],
    ),
    ['cuts long IDs off', (memory) => sameIds(memory, (id) => id.slice(0, 2000)), 'a long ID'],
    ['keeps dates in 32 bits', (memory) => otherDates(memory, (created) => created | 0), 'keeps dates exactly'],
    ['rounds dates', (memory) => otherDates(memory, Math.fround), 'keeps dates exactly'],
    [
      'orders dates as text',
      (memory) => ({
        loadLatest: async (id) =>
          (await memory.rows(id)).toSorted((a, b) => (String(a.created) < String(b.created) ? 1 : -1))[0],
      }),
      'keeps dates exactly',
    ],
    [
      'keeps a sealed key as text',
      (memory) => ({
        store: (record) =>
          memory.store({ ...record, encryptedKey: Buffer.from(Buffer.from(record.encryptedKey).toString()) }),
      }),
      'every byte of a sealed key',
    ],
    [
      'cuts a sealed key off',
      (memory) => ({
        store: (record) => memory.store({ ...record, encryptedKey: record.encryptedKey.subarray(0, 4096) }),
      }),
      'every byte of a sealed key',
    ],
    [
      'remembers that a row is absent',
      (memory) => {
        const absent = new Set<string>();
        return {
          load: async (id, created) => {
            const name = `${id} ${created}`;
            if (absent.has(name)) return undefined;
            const found = await memory.load(id, created);
            if (found === undefined) absent.add(name);
            return found;
          },
        };
      },
      'shows a stored record at once',
    ],
    [
      'remembers the latest row',
      (memory) => {
        const latest = new Map<string, EnvelopeKeyRecord>();
        return {
          loadLatest: async (id) => {
            const found = latest.get(id) ?? (await memory.loadLatest(id));
            if (found !== undefined) latest.set(id, found);
            return found;
          },
        };
      },
      'shows a stored record at once',
    ],
    [
      'checks for a duplicate before it stores a row, and not in the same step',
      (memory) => ({
        store: async (record) => {
          const present = await memory.load(record.id, record.created);
          await new Promise((resolve) => void setTimeout(resolve));
          if (present !== undefined) return 'duplicate';
          await memory.store(record);
          return 'stored';
        },
      }),
      'stores only one of many concurrent records',
    ],
    [
      'rejects an aborted call with an error of its own',
      (memory) => ({
        load: async (id, created, { signal }) => {
          if (signal.aborted) throw new KeyfoldError('MetastoreUnavailable', 'Aborted.');
          return memory.load(id, created);
        },
      }),
      'under an aborted deadline',
    ],
    [
      'returns the oldest row as the latest',
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

  it.each<[string, MetastoreContractOptions, string]>([
    [
      'creates its store if the store is missing',
      { openMissing: metastores(() => ({})) },
      'rejects with MetastoreUnavailable if its store is missing, and does not create it',
    ],
    [
      'ignores the deadline while it waits',
      { openHanging: metastores(() => ({ loadRecent: () => new Promise(() => {}) })) },
      'rejects with the reason of the signal if the deadline passes while its service does not answer',
    ],
  ])('fails for a metastore that %s', async (_name, options, failure) => {
    expect(
      await failuresOf(
        metastoreContract(
          metastores(() => ({})),
          options,
        ),
      ),
    ).toEqual([failure]);
  });

  it('passes for a metastore that cannot be opened without its store', async () => {
    expect(
      await failuresOf(
        metastoreContract(
          metastores(() => ({})),
          { openMissing: () => Promise.reject(failing) },
        ),
      ),
    ).toEqual([]);
  });

  it('tests no date after the last one that the store can hold', async () => {
    const lastDate = 2 ** 31 - 1;
    const open = metastores((memory) => otherDates(memory, (created) => Math.min(created, lastDate)));
    expect(await failuresOf(metastoreContract(open, { lastDate }))).toEqual([]);
  });
});

describe('systemKeyStoreContract', () => {
  const down = new KeyfoldError('MetastoreUnavailable', 'Down.');
  const sick = { rows: () => Promise.reject(down), replaceKey: () => Promise.reject(down) };

  it.each<[string, Partial<SystemKeyStore>]>([
    ['returns an empty list instead of reporting an outage', { ...sick, rows: async () => [] }],
    [
      'says that a row was changed instead of reporting an outage',
      { ...sick, replaceKey: async () => 'changed' as const },
    ],
  ])('fails for a store that %s', async (_name, changes) => {
    const openFailing = metastores(() => changes);
    expect(
      await failuresOf(
        systemKeyStoreContract(
          metastores(() => ({})),
          { openFailing },
        ),
      ),
    ).toEqual(['rejects with MetastoreUnavailable if its store does not answer']);
  });

  it('fails for a store that ignores the deadline while it waits', async () => {
    const openHanging = metastores(() => ({ rows: () => new Promise(() => {}) }));
    expect(
      await failuresOf(
        systemKeyStoreContract(
          metastores(() => ({})),
          { openHanging },
        ),
      ),
    ).toEqual(['rejects with the reason of the signal if the deadline passes while its service does not answer']);
  });

  it.each<[string, (sound: MemoryMetastore) => Partial<Metastore & SystemKeyStore>, string]>([
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
      'shows a replaced key late',
      (memory) => {
        const seen = new Map<string, EnvelopeKeyRecord | undefined>();
        return {
          load: async (id: KeyMeta['id'], created: KeyMeta['created']) => {
            const name = `${id} ${created}`;
            if (!seen.has(name)) seen.set(name, await memory.load(id, created));
            return seen.get(name);
          },
        };
      },
      'shows a replaced key at once',
    ],
    [
      'loses the proof when it replaces a key',
      (memory) => ({
        load: async (id: KeyMeta['id'], created: KeyMeta['created']) => {
          const record = await memory.load(id, created);
          return record && { ...record, ...(String(record.encryptedKey) === 'renewed' && { proof: undefined }) };
        },
      }),
      'keeps the rest of the row',
    ],
    [
      'rejects an aborted call with an error of its own',
      (memory) => ({
        rows: async (id, { signal }) => {
          if (signal.aborted) throw new KeyfoldError('MetastoreUnavailable', 'Aborted.');
          return memory.rows(id);
        },
      }),
      'under an aborted deadline',
    ],
    [
      'checks the row before it replaces a key, and not in the same step',
      (memory) => ({
        replaceKey: async (record, key) => {
          const present = await memory.load(record.id, record.created);
          await new Promise((resolve) => void setTimeout(resolve));
          if (present === undefined || String(present.encryptedKey) !== String(record.encryptedKey)) return 'changed';
          const current = await memory.load(record.id, record.created);
          return memory.replaceKey(current ?? present, key);
        },
      }),
      'accepts only one of many concurrent replacements',
    ],
    [
      "stores the caller's array of a renewed key instead of a copy",
      (memory) => {
        const keys = new Map<string, Uint8Array>();
        return {
          replaceKey: async (record, key) => {
            keys.set(`${record.id} ${record.created}`, key);
            return memory.replaceKey(record, key);
          },
          load: async (id: KeyMeta['id'], created: KeyMeta['created']) => {
            const record = await memory.load(id, created);
            return record && { ...record, encryptedKey: keys.get(`${id} ${created}`) ?? record.encryptedKey };
          },
        };
      },
      'copies the renewed key',
    ],
    [
      'creates an absent row when it should replace the key of that row',
      (memory) => ({
        replaceKey: async (record, key) => {
          const outcome = await memory.replaceKey(record, key);
          await memory.store({ ...record, encryptedKey: key });
          return outcome;
        },
      }),
      'creates no row',
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
