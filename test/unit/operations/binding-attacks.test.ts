/** Tests every edit that an attacker without a key can make to a bound record, in each form that a record can have. */
import { beforeEach, describe, expect, it } from 'vitest';
import {
  decodeCompactRecord,
  decodeDataRowRecord,
  encodeCompactRecord,
  encodeDataRowRecord,
  type CompactKind,
  type DataRowRecord,
} from '../../../src/index.ts';
import { codeOf, DAY_MS, FakeDependencies } from '../../support/fakes.ts';
import { operate, type Answer, type Operator } from '../../support/operations.ts';

const HOME = { table: 'users', id: '42' };
const AWAY = { table: 'users', id: '43' };
type Context = typeof HOME | undefined;
/** One record is bound to `HOME`, the other to `AWAY`. If they were sealed without contexts, both are unbound. */
type Pair = readonly [home: DataRowRecord, away: DataRowRecord];

/** A form of records: how the service seals two of them, and how it opens one. */
interface Form {
  readonly seal: (world: FakeDependencies, contexts: readonly [Context, Context]) => Promise<Pair>;
  readonly open: (operator: Operator, record: DataRowRecord, context: Context) => Promise<string>;
}

const text = (index: number): string => Buffer.from(`payload ${index}`).toString('base64');
const payloadOf = (answer: Answer): string => Buffer.from(String(answer['plaintext']), 'base64').toString();
const compactOf = (record: DataRowRecord, kind: CompactKind): string => encodeCompactRecord(record, kind) as string;

async function sealJson(world: FakeDependencies, contexts: readonly Context[]): Promise<Pair> {
  const { answer } = operate(world.process());
  const records = contexts.map(async (context, i) => {
    const { record } = await answer('encrypt', { plaintext: text(i), context });
    return decodeDataRowRecord(JSON.stringify(record));
  });
  return (await Promise.all(records)) as unknown as Pair;
}

async function openJson({ answer }: Operator, record: DataRowRecord, context: Context): Promise<string> {
  return payloadOf(await answer('decrypt', { record: JSON.parse(encodeDataRowRecord(record)) as object, context }));
}

async function sealBatch(world: FakeDependencies, contexts: readonly Context[], share: boolean): Promise<Pair> {
  const items = contexts.map((context, i) => ({ plaintext: text(i), context, format: 'compact' }));
  const { results } = await operate(world.process()).answer('encrypt-batch', { items, shareDataRowKey: share });
  return (results as { record: string }[]).map(({ record }) => decodeCompactRecord(record).record) as unknown as Pair;
}

async function openBatch({ answer, itemFailures }: Operator, record: DataRowRecord, context: Context): Promise<string> {
  const { results } = await answer('decrypt-batch', { items: [{ record: compactOf(record, 'bytes'), context }] });
  const [failure] = itemFailures;
  if (failure !== undefined) throw failure;
  return payloadOf((results as [Answer])[0]);
}

const FORMS: Readonly<Record<string, Form>> = {
  'a JSON record': { seal: sealJson, open: openJson },
  'a compact record': {
    seal: sealJson,
    open: async ({ answer }, record, context) =>
      payloadOf(await answer('decrypt', { record: compactOf(record, 'bytes'), context })),
  },
  'a field': {
    seal: async (world, contexts) => {
      const { answer } = operate(world.process());
      const records = contexts.map(async (context, i) => {
        const request = { document: { v: `payload ${i}` }, fields: ['$.v'], context };
        const { document } = await answer('encrypt-fields', request);
        return decodeCompactRecord((document as { v: string }).v).record;
      });
      return (await Promise.all(records)) as unknown as Pair;
    },
    open: async ({ answer }, record, context) => {
      const { document } = await answer('decrypt-fields', {
        document: { v: compactOf(record, 'json') },
        all: true,
        context,
      });
      return (document as { v: string }).v;
    },
  },
  'an item of a batch': { seal: (world, contexts) => sealBatch(world, contexts, false), open: openBatch },
  'a record under a shared Data Row Key': {
    seal: (world, contexts) => sealBatch(world, contexts, true),
    open: openBatch,
  },
  'a rewrapped record': {
    seal: async (world, contexts) => {
      const records = await sealJson(world, contexts);
      world.clock.advance(91 * DAY_MS);
      const { answer } = operate(world.process());
      const moved = records.map(async (given) => {
        const { record, rewrapped } = await answer('rewrap', {
          record: JSON.parse(encodeDataRowRecord(given)) as object,
        });
        expect(rewrapped).toBe(true);
        return decodeDataRowRecord(JSON.stringify(record));
      });
      return (await Promise.all(moved)) as unknown as Pair;
    },
    open: openJson,
  },
};

/** What an attacker without a key can put in place of the first record. */
const EDITS: Readonly<Record<string, (...pair: Pair) => DataRowRecord>> = {
  'another record': (_, away) => away,
  'another record with its proof': ({ proof }, away) => ({ ...away, proof }),
  'another record without its proof': (_, { key, data }) => ({ key, data }),
  'its proof stripped': ({ key, data }) => ({ key, data }),
  'the proof of another record': (home, { proof }) => ({ ...home, proof }),
  'a proof of zeros': (home) => ({ ...home, proof: Buffer.alloc(32) }),
  'one bit of its proof changed': (home) => ({ ...home, proof: flipped(home.proof as Uint8Array) }),
  'the payload of another record': (home, { data }) => ({ ...home, data }),
  'the payload and the proof of another record': (home, { data, proof }) => ({ ...home, data, proof }),
  'the last 28 bytes of another payload': (home, { data }) => ({
    ...home,
    data: Buffer.concat([home.data.subarray(0, -28), data.subarray(-28)]),
  }),
  'its payload cut to the last 28 bytes': (home) => ({ ...home, data: home.data.subarray(-28) }),
  'its payload without the first byte': (home) => ({ ...home, data: home.data.subarray(1) }),
  'an additional byte before its payload': (home) => ({ ...home, data: Buffer.concat([Buffer.alloc(1), home.data]) }),
};

describe.for(Object.entries(FORMS))('%s', ([, { seal, open }]) => {
  let world: FakeDependencies;

  beforeEach(() => {
    world = new FakeDependencies();
  });

  it('opens with its own context and path', async () => {
    const [home, away] = await seal(world, [HOME, AWAY]);
    const reader = operate(world.process());
    expect([await open(reader, home, HOME), await open(reader, away, AWAY)]).toEqual(['payload 0', 'payload 1']);
  });

  it.for(Object.keys(EDITS))('does not open after this edit: %s', async (edit) => {
    const edited = (EDITS[edit] as (...pair: Pair) => DataRowRecord)(...(await seal(world, [HOME, AWAY])));
    expect(await codeOf(open(operate(world.process()), edited, HOME))).toBe('RecordUnreadable');
  });

  it('can be replaced unnoticed by another record if neither has a context', async () => {
    const [, away] = await seal(world, [undefined, undefined]);
    expect(await open(operate(world.process()), away, undefined)).toBe('payload 1');
  });

  it('is refused without a context, before a key is read', async () => {
    const [home] = await seal(world, [HOME, AWAY]);
    world.log.take();
    expect(await codeOf(open(operate(world.process()), home, undefined))).toBe('ContextRequired');
    expect(world.log.take()).toEqual([]);
  });
});

it('no byte of a bound compact record can be changed, except in the date of its Data Row Key', async () => {
  const { answer, ask } = operate();
  const { record } = await answer('encrypt', { plaintext: text(0), context: HOME, format: 'compact' });
  const bytes = Buffer.from(String(record).slice('kf2.'.length), 'base64url');
  const opened = await Promise.all(
    Array.from(bytes, async (_, at) => {
      const edited = Buffer.from(bytes);
      edited[at] = (edited[at] ?? 0) ^ 1;
      const asked = ask('decrypt', { record: `kf2.${edited.toString('base64url')}`, context: HOME });
      return asked.then(
        () => [at],
        () => [],
      );
    }),
  );
  expect(opened.flat()).toEqual([0, 1, 2, 3, 4, 5]);
});

it.for(['kf1.', 'kf1j.', 'kf2j.'])('a bound compact record does not open with the prefix %s', async (prefix) => {
  const { answer, ask } = operate();
  const { record } = await answer('encrypt', { plaintext: text(0), context: HOME, format: 'compact' });
  const relabelled = String(record).replace('kf2.', prefix);
  expect(await codeOf(ask('decrypt', { record: relabelled, context: HOME }))).toBe('RecordUnreadable');
});

function flipped(bytes: Uint8Array): Buffer {
  const copy = Buffer.from(bytes);
  copy[0] = (copy[0] ?? 0) ^ 1;
  return copy;
}
