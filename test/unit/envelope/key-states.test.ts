/**
 * Tests all 81 combinations of states that an Intermediate Key and its System Key can have in the cache and in the
 * metastore. `-` means absent, `r` revoked, `v` valid. The cache and the metastore always contain the same key.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import type { DataRowRecord, EnvelopeKeyRecord, SessionFactory } from '../../../src/index.ts';
import { codeOf, FakeDependencies, MINUTE_MS } from '../../support/fakes.ts';

/** The keys under which a session encrypts: the existing keys, a new Intermediate Key, or two new keys. */
type Sealed = 'same key' | 'new IK' | 'new IK, new SK';

const Q_IK = 'Query IK';
const G_SK = 'Get SK';
const Q_SK = 'Query SK';

/** The calls that make an Intermediate Key, without and with a new System Key. */
const NEW_IK = ['Put IK'];
const NEW_SK = ['Wrap', 'Put SK', 'Put IK'];

/** A state is four letters: the cached Intermediate Key, its row, the cached System Key, and its row. */
const ENCRYPT: readonly (readonly [state: string, sealed: Sealed, calls: readonly string[]])[] = [
  // A valid Intermediate Key in the cache is used without a read of the metastore, unless its System Key in the cache
  // is revoked.
  ...states('v', '-rv', 'v-', '-rv').map((state) => [state, 'same key', []] as const),
  // The System Key in the cache is revoked. The process looks for a newer key in the metastore, and finds none.
  ...states('v', '-rv', 'r', '-rv').map((state) => [state, 'new IK, new SK', [Q_IK, Q_SK, ...NEW_SK]] as const),
  // There is no usable Intermediate Key, so a new one is made under the valid System Key in the cache.
  ...states('-r', '-', 'v', '-rv').map((state) => [state, 'new IK', [Q_IK, ...NEW_IK]] as const),
  ...states('-r', 'r', 'v', '-rv').map((state) => [state, 'new IK', [Q_IK, ...NEW_IK]] as const),
  ...states('r', 'v', 'v', '-rv').map((state) => [state, 'new IK', [Q_IK, ...NEW_IK]] as const),
  // There is no usable Intermediate Key, and the System Key is revoked or absent, so the process makes both keys anew.
  ...states('-r', '-r', 'r', '-rv').map((state) => [state, 'new IK, new SK', [Q_IK, Q_SK, ...NEW_SK]] as const),
  ...states('r', 'v', 'r', '-rv').map((state) => [state, 'new IK, new SK', [Q_IK, Q_SK, ...NEW_SK]] as const),
  ...states('-r', '-r', '-', '-r').map((state) => [state, 'new IK, new SK', [Q_IK, Q_SK, ...NEW_SK]] as const),
  ...states('r', 'v', '-', '-r').map((state) => [state, 'new IK, new SK', [Q_IK, Q_SK, ...NEW_SK]] as const),
  // There is no usable Intermediate Key, so the System Key in the metastore is unwrapped, and a new Intermediate Key is
  // made under it.
  ...states('-r', '-r', '-', 'v').map((state) => [state, 'new IK', [Q_IK, Q_SK, 'Unwrap', ...NEW_IK]] as const),
  ...states('r', 'v', '-', 'v').map((state) => [state, 'new IK', [Q_IK, Q_SK, 'Unwrap', ...NEW_IK]] as const),
  // A valid Intermediate Key in the metastore is used if its System Key is valid.
  ...states('-', 'v', 'v', '-rv').map((state) => [state, 'same key', [Q_IK]] as const),
  ...states('-', 'v', '-', 'v').map((state) => [state, 'same key', [Q_IK, G_SK, 'Unwrap']] as const),
  ...states('-', 'v', 'r', '-rv').map((state) => [state, 'new IK, new SK', [Q_IK, Q_SK, ...NEW_SK]] as const),
  ...states('-', 'v', '-', '-r').map((state) => [state, 'new IK, new SK', [Q_IK, G_SK, Q_SK, ...NEW_SK]] as const),
];

const DECRYPT: readonly (readonly [state: string, outcome: string, calls: readonly string[]])[] = [
  // A key in the cache decrypts without a call, even if it is revoked.
  ...states('rv', '-rv', '-rv', '-rv').map((state) => [state, 'opens', []] as const),
  // If the row is absent, a second read looks for the tombstone of an erased partition.
  ...states('-', '-', '-rv', '-rv').map((state) => [state, 'RecordUnreadable', ['Get IK', 'Get IK']] as const),
  ...states('-', 'rv', 'rv', '-rv').map((state) => [state, 'opens', ['Get IK']] as const),
  ...states('-', 'rv', '-', 'rv').map((state) => [state, 'opens', ['Get IK', G_SK, 'Unwrap']] as const),
  ...states('-', 'rv', '-', '-').map((state) => [state, 'KeyRowUnreadable', ['Get IK', G_SK]] as const),
];

/** All combinations that take one letter from each argument. */
function states(...letters: [string, string, string, string]): string[] {
  return letters.reduce<string[]>(
    (heads, tails) => heads.flatMap((head) => tails.split('').map((tail) => head + tail)),
    [''],
  );
}

let world: FakeDependencies;
let record: DataRowRecord;
let originals: EnvelopeKeyRecord[];

beforeEach(() => {
  world = new FakeDependencies();
});

/** Brings a process and the metastore into a state, only by encrypts, decrypts and changes of rows. */
async function inState(state: string): Promise<SessionFactory> {
  const [ikCache, ikRow, skCache, skRow] = state;
  const maker = world.process();
  record = await maker.session('tenant').encrypt(Buffer.from('payload'));
  const other = await maker.session('other').encrypt(Buffer.from('x'));

  const maxAge = skCache === 'v' ? 60 : 1;
  const process = world.process({ policy: { systemKeyMaxAgeMs: maxAge * MINUTE_MS } });
  if (ikCache === 'v') await process.session('tenant').encrypt(Buffer.from('x'));
  if (ikCache === 'r') {
    place(ik(), 'r');
    await process.session('tenant').decrypt(record);
  }
  if (skCache === 'v') await process.session('other').encrypt(Buffer.from('x'));
  // Let the System Key's short maximum age pass. If the case needs a revoked key in the cache, the next decrypt reads
  // the key again. Otherwise the key is no longer in the cache.
  world.clock.advance(2 * MINUTE_MS);
  if (skCache === 'r') {
    place(sk(), 'r');
    await process.session('other').decrypt(other);
  }
  originals = [ik(), sk()];
  place(ik(), ikRow);
  place(sk(), skRow);
  world.log.take();
  return process;
}

function ik(): EnvelopeKeyRecord {
  return present(world.metastore.latest('_IK_tenant_svc_prod'));
}

function sk(): EnvelopeKeyRecord {
  return present(world.metastore.latest('_SK_svc_prod'));
}

function present(row: EnvelopeKeyRecord | undefined): EnvelopeKeyRecord {
  if (row === undefined) throw new Error('no such row');
  return row;
}

function place(row: EnvelopeKeyRecord, state: string | undefined): void {
  if (state === '-') world.metastore.remove(row);
  else world.metastore.change(row, { revoked: state === 'r' });
}

/** Finds out from the current rows under which keys a record was sealed. */
function sealedUnder({ key: { parent } }: DataRowRecord): Sealed {
  const [oldIk, oldSk] = originals;
  if (parent.created === oldIk?.created) return 'same key';
  return ik().parent?.created === oldSk?.created ? 'new IK' : 'new IK, new SK';
}

it('the tables for encrypt and decrypt have one row for each of the 81 states', () => {
  for (const table of [ENCRYPT, DECRYPT]) {
    expect(table).toHaveLength(81);
    expect(new Set(table.map(([state]) => state)).size).toBe(81);
  }
});

describe('a session (state: cached Intermediate Key (IK), its row, cached System Key (SK), its row; v valid, r revoked, - absent)', () => {
  it.for(ENCRYPT)('in the state %s, encrypts under the %s', async ([state, sealed, calls]) => {
    const process = await inState(state);
    const made = await process.session('tenant').encrypt(Buffer.from('new'));
    expect(world.log.take()).toEqual(calls);
    expect(sealedUnder(made)).toBe(sealed);
    expect(await process.session('tenant').decrypt(made)).toEqual(Buffer.from('new'));
  });
});

describe('a session (state: cached Intermediate Key (IK), its row, cached System Key (SK), its row; v valid, r revoked, - absent)', () => {
  it.for(DECRYPT)('in the state %s, decrypts a record with the outcome "%s"', async ([state, outcome, calls]) => {
    const process = await inState(state);
    const work = process.session('tenant').decrypt(record);
    expect(outcome === 'opens' ? String(await work) : await codeOf(work)).toBe(
      outcome === 'opens' ? 'payload' : outcome,
    );
    expect(world.log.take()).toEqual(calls);
  });
});
