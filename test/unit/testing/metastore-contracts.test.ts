/** Tests that each case of the metastore contracts fails for a metastore that breaks it. */
import { describe, expect, it } from 'vitest';
import {
  KeyfoldError,
  MemoryMetastore,
  type Deadline,
  type EnvelopeKeyRecord,
  type KeyMeta,
  type Metastore,
  type SystemKeyStore,
} from '../../../src/index.ts';
import { metastoreContract, systemKeyStoreContract } from '../../../src/testing/index.ts';
import { keyMeta } from '../../../src/testing/key-record.ts';
import { failsIn, failuresOf, strictly } from '../../support/contract/failures.ts';

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

/** Makes a method that rejects with an error of its own if its call is aborted. */
function refusingAborts(
  memory: MemoryMetastore,
  method: keyof MemoryMetastore,
  when: 'before it begins' | 'while it runs',
): (...args: unknown[]) => Promise<unknown> {
  return async (...args) => {
    const { signal } = args.at(-1) as Deadline;
    if (when === 'while it runs') {
      if (signal.aborted) throw signal.reason;
      await new Promise((resolve) => void setTimeout(resolve));
    }
    if (signal.aborted) throw new KeyfoldError('MetastoreUnavailable', 'Aborted.');
    return Reflect.apply(memory[method], memory, args) as Promise<unknown>;
  };
}

const OUTAGES = [
  'rejects with MetastoreUnavailable if its store does not answer',
  'rejects with MetastoreUnavailable if its store is missing, and does not create it',
  'rejects with the reason of the signal if the deadline passes while its service does not answer',
];

/** When the signal aborts, rejects with the signal's reason. */
function hang(...args: unknown[]): Promise<never> {
  const [{ signal }] = args.slice(-1) as [Deadline];
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
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
    const sick: Metastore = { load: down, loadLatest: down, store: down };
    const cases = metastoreContract(open, { openFailing: () => sick, openMissing: () => sick });
    expect(await failuresOf(cases)).toEqual([]);
  });

  type Wrong = [string, (sound: MemoryMetastore) => Partial<Metastore>, string];

  it.each<Wrong>([
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
    ...['%', '_', '*'].map((wildcard): Wrong => [
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
    ...['n/n', '../', '\\', "'", '"', '\n', '\t', '\u200b', '\u0131', '\uff54', '\u{1f511}'].map((part): Wrong => [
      `cannot store an ID with ${JSON.stringify(part)}`,
      (memory) => ({
        store: async (record) => {
          if (record.id.includes(part)) throw new Error('No.');
          return memory.store(record);
        },
      }),
      'keeps IDs apart',
    ]),
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
    ...(
      [
        ['id', (record) => ({ id: `${record.id}x` as typeof record.id })],
        ['date', (record) => ({ created: (record.created + 1) as typeof record.created })],
        ['sealed key', () => ({ encryptedKey: Buffer.from('x') })],
        ['parent', () => ({ parent: undefined })],
        ['ID of the parent', ({ parent }) => parent && { parent: { ...parent, id: '_SK_x' as typeof parent.id } }],
        [
          'date of the parent',
          ({ id, parent }) => parent && { parent: { ...parent, ...keyMeta(id, 7), id: parent.id } },
        ],
        ['proof', ({ proof }) => proof && { proof: Buffer.alloc(32) }],
        ['absent proof', ({ proof }) => (proof === undefined ? { proof: Buffer.alloc(32) } : undefined)],
        ['revocation', ({ revoked }) => ({ revoked: !revoked })],
      ] satisfies [string, (record: EnvelopeKeyRecord) => object | undefined][]
    ).map(([what, changeOf]): Wrong => [
      `changes the ${what} of a row that it loads`,
      (memory) => ({
        load: async (id, created) => {
          const record = await memory.load(id, created);
          return record && { ...record, ...changeOf(record) };
        },
      }),
      'values that were stored',
    ]),
    ...(
      [
        ['_SK_fields', 'values that were stored'],
        ['_IK_ü_fields', 'values that were stored'],
        ['_SK_large', 'every byte of a sealed key'],
        ['_SK_dates', 'keeps dates exactly'],
        ['_IK_\0', 'a long ID'],
        ['_IK_ten/', 'keeps IDs apart'],
      ] as const
    ).map(([id, failure]): Wrong => [
      `stores ${JSON.stringify(id)}… and reports a duplicate`,
      (memory) => ({
        store: async (record) => {
          const outcome = await memory.store(record);
          return record.id.startsWith(id) ? 'duplicate' : outcome;
        },
      }),
      failure,
    ]),
    ['loads a row with any date', (memory) => ({ load: (id) => memory.loadLatest(id) }), 'a different ID or date'],
    ...(['load', 'loadLatest'] as const).flatMap((method) =>
      (
        [
          ['trims', (id) => id.trimEnd()],
          ['ignores the case of', (id) => id.replace('_sk_', '_SK_')],
          ['completes', (id) => id.replace(/_abs$/, '_absent')],
        ] satisfies [string, (id: string) => string][]
      ).map(([what, convert]): Wrong => [
        `${what} an ID only in ${method}`,
        (memory) => ({ [method]: sameIds(memory, convert)[method] }),
        'a different ID or date',
      ]),
    ),
    [
      'returns the row that was stored last as the latest',
      (memory) => {
        const last = new Map<string, EnvelopeKeyRecord>();
        return {
          store: async (record) => {
            last.set(record.id, record);
            return memory.store(record);
          },
          loadLatest: async (id) => last.get(id),
        };
      },
      'with the latest date',
    ],
    ...(
      [
        ['nine recent rows', (rows) => rows.slice(0, 9)],
        ['rows without values', (rows) => rows.map((row) => ({ ...row, encryptedKey: Buffer.alloc(9) }))],
        [
          'recent rows with a wrong date',
          (rows) => rows.map((row) => ({ ...row, ...keyMeta(row.id, row.created + 1) })),
        ],
      ] satisfies [string, (rows: EnvelopeKeyRecord[]) => EnvelopeKeyRecord[]][]
    ).map(([what, change]): Wrong => [
      `returns ${what}`,
      (memory) => ({ loadRecent: async (id, notAfter) => change(await memory.loadRecent(id, notAfter)) }),
      'ten latest records',
    ]),
    [
      'returns all recent rows',
      (memory) => ({
        loadRecent: async (id, notAfter) => (await memory.rows(id)).filter(({ created }) => created <= notAfter),
      }),
      'ten latest records',
    ],
    [
      'returns recent rows after the date',
      (memory) => ({ loadRecent: async (id) => (await memory.rows(id)).slice(0, 10) }),
      'ten latest records',
    ],
    [
      'invents a recent row',
      (memory) => ({
        loadRecent: async (id, notAfter) => {
          const rows = await memory.loadRecent(id, notAfter);
          return rows.length === 0 ? [{ ...keyMeta(id, 1), encryptedKey: Buffer.from('x'), revoked: false }] : rows;
        },
      }),
      'ten latest records',
    ],
    [
      'replaces a row and reports a duplicate',
      (memory) => ({
        store: async (record) => {
          const present = await memory.load(record.id, record.created);
          if (present !== undefined) await memory.replaceKey(present, record.encryptedKey);
          return memory.store(record);
        },
      }),
      'as a duplicate',
    ],
    [
      'stores only one of many concurrent records, and returns nothing for the others',
      (memory) => ({
        store: async (record) => ((await memory.store(record)) === 'stored' ? 'stored' : (undefined as never)),
      }),
      'stores only one of many concurrent records',
    ],
    [
      'keeps one of many concurrent records, but reports another one as stored',
      (memory) => {
        let calls = 0;
        return {
          store: async (record) => {
            await memory.store(record);
            return (calls += 1) === 2 ? 'stored' : 'duplicate';
          },
        };
      },
      'stores only one of many concurrent records',
    ],
    [
      'overwrites the first keys of another process',
      (memory) => ({
        store: async (record) => {
          const present = await memory.load(record.id, record.created);
          if (present !== undefined) await memory.replaceKey(present, record.encryptedKey);
          else await memory.store(record);
          return 'stored';
        },
      }),
      'two processes that race',
    ],
    ['cuts the last character of a long ID off', (memory) => sameIds(memory, (id) => id.slice(0, 2036)), 'a long ID'],
    [
      'loads only short IDs as the latest',
      (memory) => ({ loadLatest: async (id) => (id.length > 2000 ? undefined : memory.loadLatest(id)) }),
      'a long ID',
    ],
    ...(['load', 'loadLatest', 'loadRecent'] as const).map((method): Wrong => [
      `confuses IDs only in ${method}`,
      (memory) => ({
        [method]: async (id: KeyMeta['id'], created: KeyMeta['created']) => {
          const [record, tenants] = [
            await memory[method](id, created),
            await memory.rows('_IK_tenant_ids' as typeof id),
          ];
          const isOther = id === '_IK_ten_nt_ids' && tenants.length > 0;
          if (method !== 'loadRecent') return isOther && record !== undefined ? tenants[0] : record;
          return isOther ? [...tenants, ...(record as EnvelopeKeyRecord[])] : record;
        },
      }),
      'keeps IDs apart',
    ]),
    [
      'keeps the dates of parents in 32 bits',
      (memory) => ({
        store: async (record) =>
          memory.store({
            ...record,
            ...(record.parent && {
              parent: { ...record.parent, ...keyMeta('', record.parent.created | 0), id: record.parent.id },
            }),
          }),
      }),
      'keeps dates exactly',
    ],
    [
      'orders the dates of recent rows as text',
      (memory) => ({
        loadRecent: async (id, notAfter) =>
          (await memory.loadRecent(id, notAfter)).toSorted((a, b) => (String(a.created) < String(b.created) ? 1 : -1)),
      }),
      'keeps dates exactly',
    ],
    ...(['load', 'loadLatest', 'loadRecent', 'store'] as const).flatMap((method) =>
      (['before it begins', 'while it runs'] as const).map((when): Wrong => [
        `rejects a call of ${method} with an error of its own if it is aborted ${when}`,
        (memory) => ({ [method]: refusingAborts(memory, method, when) }),
        'under an aborted deadline',
      ]),
    ),
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
    expect(await failsIn(metastoreContract(metastores(changeOf)), failure)).toBe(true);
  });

  it('fails for a metastore whose rows are visible to only one process', async () => {
    const cases = metastoreContract(() => new MemoryMetastore());
    expect(await failsIn(cases, 'values that were stored')).toBe(true);
    expect(await failsIn(cases, 'every byte of a sealed key')).toBe(true);
  });

  it.each(['encryptedKey', 'proof', 'parent', 'revoked'] as const)(
    'fails for a metastore that copies every member of a row except %s',
    async (member) => {
      const held = new Map<string, EnvelopeKeyRecord>();
      const open = metastores((memory) => ({
        load: async (id, created) => {
          const record = await memory.load(id, created);
          if (record === undefined) return undefined;
          const kept = held.get(id) ?? record;
          held.set(id, kept);
          return member === 'revoked'
            ? Object.assign(kept, { ...record, revoked: kept.revoked })
            : { ...record, [member]: kept[member] };
        },
      }));
      expect(await failsIn(metastoreContract(open), 'has loaded')).toBe(true);
    },
  );

  it("fails for a metastore that stores the caller's arrays instead of copies", async () => {
    const rows = new Map<string, EnvelopeKeyRecord>();
    const open = metastores((memory) => ({
      store: async (record) => {
        rows.set(`${record.id} ${record.created}`, record);
        return memory.store(record);
      },
      load: async (id, created) => rows.get(`${id} ${created}`),
    }));
    expect(await failsIn(metastoreContract(open), 'copies the sealed key')).toBe(true);
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
      expect(await failsIn(metastoreContract(open), 'has loaded')).toBe(true);
    },
  );

  const METHODS = ['load', 'loadLatest', 'loadRecent', 'store'] as const;
  const sound = metastores(() => ({}));
  const sick = Object.fromEntries(METHODS.map((method) => [method, () => Promise.reject(failing)]));

  it.each(METHODS)('fails for a metastore if %s() hides that the store is down, missing or silent', async (method) => {
    for (const outcome of [
      () => Promise.resolve(undefined),
      () => Promise.reject(new Error('Down.')),
      () => Promise.reject(new KeyfoldError('KmsUnavailable', 'Down.')),
    ]) {
      const open = metastores(() => ({ ...sick, [method]: outcome }));
      const hanging = metastores(() => ({
        ...Object.fromEntries(METHODS.map((each) => [each, hang])),
        [method]: outcome,
      }));
      const cases = metastoreContract(sound, { openFailing: open, openMissing: open, openHanging: hanging });
      for (const part of OUTAGES) expect(await failsIn(cases, part)).toBe(true);
    }
  });

  it('fails for a metastore that creates its store if the store is missing', async () => {
    expect(await failsIn(metastoreContract(sound, { openMissing: sound }), 'if its store is missing')).toBe(true);
  });

  it('passes for a sound metastore with every option, and gives each call a deadline', async () => {
    const open = metastores(() => sick);
    const hanging: Metastore = { load: hang, loadLatest: hang, store: hang };
    const faulty = { openFailing: strictly(open), openMissing: strictly(open), openHanging: strictly(() => hanging) };
    const cases = metastoreContract(strictly(sound), faulty);
    expect(await failuresOf(cases)).toEqual([]);
    expect(cases.map(({ name }) => name)).toEqual([
      'loads a record with the values that were stored',
      'loads no record for a different ID or date',
      'loads the record with the latest date, whatever the order in which records were stored',
      'loads the ten latest records up to a date, if it has loadRecent',
      'reports a second record with the same ID and date as a duplicate, and keeps the first',
      'shows a stored record at once to every process, even to one that has just found none',
      'keeps every byte of a sealed key of 16 KiB',
      'stores only one of many concurrent records with the same ID and date',
      'copies the sealed key, so that a caller may overwrite the array later',
      'keeps each row as it was stored if a caller changes a record that it has loaded',
      'lets two processes that race for their first keys open the records of each other',
      'loads a record with a long ID that contains control and format characters',
      'keeps IDs apart that differ only in case, in Unicode normalisation or in one character',
      'keeps dates exactly, in order, up to the last one',
      'answers a call under an aborted deadline, or rejects with the reason of its signal',
      ...OUTAGES,
    ]);
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

  it('tests no date after the latest date that the store can hold', async () => {
    const lastDate = 2 ** 31 - 1;
    const open = metastores((memory) => otherDates(memory, (created) => Math.min(created, lastDate)));
    expect(await failuresOf(metastoreContract(open, { lastDate }))).toEqual([]);
  });
});

function down(): Promise<never> {
  return Promise.reject(new KeyfoldError('MetastoreUnavailable', 'Down.'));
}

describe('systemKeyStoreContract', () => {
  const sound = metastores(() => ({}));
  const sick = { rows: down, replaceKey: down };

  it.each(['rows', 'replaceKey'] as const)(
    'fails for a store if %s() hides that the database is down, missing or silent',
    async (method) => {
      for (const outcome of [() => Promise.resolve([]), () => Promise.reject(new Error('Down.'))]) {
        const open = metastores(() => ({ ...sick, [method]: outcome }));
        const openHanging = metastores(() => ({ rows: hang, replaceKey: hang, [method]: outcome }));
        const cases = systemKeyStoreContract(sound, { openFailing: open, openMissing: open, openHanging });
        for (const part of OUTAGES) expect(await failsIn(cases, part)).toBe(true);
      }
    },
  );

  it('passes for a sound store with every option, and gives each call a deadline', async () => {
    const open = metastores(() => sick);
    const openHanging = metastores(() => ({ rows: hang, replaceKey: hang }));
    const faulty = { openFailing: strictly(open), openMissing: strictly(open), openHanging: strictly(openHanging) };
    const cases = systemKeyStoreContract(strictly(sound), faulty);
    expect(await failuresOf(cases)).toEqual([]);
    expect(cases.map(({ name }) => name)).toEqual([
      'lists all rows of an ID, latest first',
      'replaces a sealed key only if it has not changed, and keeps the rest of the row',
      'shows a replaced key at once to every process',
      'copies the renewed key, so that a caller may overwrite the array later',
      'keeps each row as it was stored if a caller changes a row that it has listed',
      'creates no row if the row whose key it should replace is absent',
      'accepts only one of many concurrent replacements of a key',
      'answers a call under an aborted deadline, or rejects with the reason of its signal',
      ...OUTAGES,
    ]);
  });

  type Wrong = [string, (memory: MemoryMetastore) => Partial<Metastore & SystemKeyStore>, string];

  it.each<Wrong>([
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
    ...(
      [
        ['only the latest 25 rows', (rows) => rows.slice(0, 25)],
        ['rows without values', (rows) => rows.map((row) => ({ ...row, encryptedKey: Buffer.alloc(9) }))],
        ['rows that do not parse', (rows) => rows.map(({ id, created }) => ({ id, created, malformed: 'x' }))],
      ] satisfies [string, (rows: EnvelopeKeyRecord[]) => object[]][]
    ).map(([what, change]): Wrong => [
      `lists ${what}`,
      (memory) => ({ rows: async (id) => change(await memory.rows(id)) as EnvelopeKeyRecord[] }),
      'lists all rows',
    ]),
    [
      'lists the rows of longer IDs',
      (memory) => ({
        rows: async (id) => [...(await memory.rows(id)), ...(await memory.rows(`${id}_of_another` as typeof id))],
      }),
      'lists all rows',
    ],
    [
      'shows a replaced key late as the latest row',
      (memory) => {
        const seen = new Map<string, EnvelopeKeyRecord | undefined>();
        return {
          loadLatest: async (id: KeyMeta['id']) => {
            if (!seen.has(id)) seen.set(id, await memory.loadLatest(id));
            return seen.get(id);
          },
        };
      },
      'shows a replaced key at once',
    ],
    ...(['only if it has not changed', 'at once to every process', 'copies the renewed key'] as const).map(
      (failure): Wrong => [
        'replaces an unchanged key, but reports that the key had changed',
        (memory) => ({
          replaceKey: async (record, key) => memory.replaceKey(record, key).then(() => 'changed' as const),
        }),
        failure,
      ],
    ),
    [
      'replaces a changed key, but reports that the key had changed',
      (memory) => ({
        replaceKey: async (record, key) => {
          const present = await memory.load(record.id, record.created);
          if (present !== undefined) await memory.replaceKey(present, key);
          return String(present?.encryptedKey) === String(record.encryptedKey) ? 'replaced' : 'changed';
        },
      }),
      'only if it has not changed',
    ],
    [
      'does not replace a changed key, but reports that it did',
      (memory) => ({
        replaceKey: async (record, key) => memory.replaceKey(record, key).then(() => 'replaced' as const),
      }),
      'only if it has not changed',
    ],
    ['replaces no key', () => ({ replaceKey: async () => 'replaced' as const }), 'only if it has not changed'],
    [
      'reports that it replaced the key of an absent row',
      () => ({ replaceKey: async () => 'replaced' as const }),
      'creates no row',
    ],
    [
      'keeps one of many concurrent keys, but reports another one as the replacement',
      (memory) => {
        let calls = 0;
        return {
          replaceKey: async (record, key) => {
            await memory.replaceKey(record, key);
            return (calls += 1) === 2 ? 'replaced' : 'changed';
          },
        };
      },
      'accepts only one of many concurrent replacements',
    ],
    ...(['rows', 'replaceKey'] as const).map((method): Wrong => [
      `rejects a call of ${method} with an error of its own if it is aborted while it runs`,
      (memory) => ({ [method]: refusingAborts(memory, method, 'while it runs') }),
      'under an aborted deadline',
    ]),
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
    expect(await failsIn(systemKeyStoreContract(metastores(changeOf)), failure)).toBe(true);
  });
});
