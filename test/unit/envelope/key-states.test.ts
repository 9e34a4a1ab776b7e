/**
 * Every state that a partition's Intermediate Key and its System Key can be in, as the cache knows them and as the metastore
 * does. `-` absent, `r` retired (revoked), `v` valid; always one and the same key of each kind.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import type { DataRowRecord, EnvelopeKeyRecord, SessionFactory } from '../../../src/index.ts';
import { codeOf, FakeWorld, MINUTE_MS } from '../../support/fakes.ts';

/** How encrypt ends: under the key there was, or under a new one with the System Key there was, or with both new. */
type Sealed = 'same key' | 'new IK' | 'new IK, new SK';

const Q_IK = 'Query IK';
const G_SK = 'Get SK';
const Q_SK = 'Query SK';

/** The calls that make an Intermediate Key, and those that make a System Key first. */
const NEW_IK = ['Put IK'];
const NEW_SK = ['Wrap', 'Put SK', 'Put IK'];

/** IK in the cache, IK row, SK in the cache, SK row. */
const ENCRYPT: readonly (readonly [state: string, sealed: Sealed, calls: readonly string[]])[] = [
  // A cached key that is known to be usable, as is its System Key, is used whatever the metastore says by now.
  ...states('v', '-rv', 'v-', '-rv').map((state) => [state, 'same key', []] as const),
  // Its System Key is known to be revoked: the metastore may have something newer, which it has not.
  ...states('v', '-rv', 'r', '-rv').map((state) => [state, 'new IK, new SK', [Q_IK, Q_SK, ...NEW_SK]] as const),
  // No usable Intermediate Key, neither cached nor stored; a warm System Key serves at once.
  ...states('-r', '-', 'v', '-rv').map((state) => [state, 'new IK', [Q_IK, ...NEW_IK]] as const),
  ...states('-r', 'r', 'v', '-rv').map((state) => [state, 'new IK', [Q_IK, ...NEW_IK]] as const),
  ...states('r', 'v', 'v', '-rv').map((state) => [state, 'new IK', [Q_IK, ...NEW_IK]] as const),
  // The same with a System Key known to be revoked, or one that is not there.
  ...states('-r', '-r', 'r', '-rv').map((state) => [state, 'new IK, new SK', [Q_IK, Q_SK, ...NEW_SK]] as const),
  ...states('r', 'v', 'r', '-rv').map((state) => [state, 'new IK, new SK', [Q_IK, Q_SK, ...NEW_SK]] as const),
  ...states('-r', '-r', '-', '-r').map((state) => [state, 'new IK, new SK', [Q_IK, Q_SK, ...NEW_SK]] as const),
  ...states('r', 'v', '-', '-r').map((state) => [state, 'new IK, new SK', [Q_IK, Q_SK, ...NEW_SK]] as const),
  // ... or one that is there and has to be unwrapped.
  ...states('-r', '-r', '-', 'v').map((state) => [state, 'new IK', [Q_IK, Q_SK, 'Unwrap', ...NEW_IK]] as const),
  ...states('r', 'v', '-', 'v').map((state) => [state, 'new IK', [Q_IK, Q_SK, 'Unwrap', ...NEW_IK]] as const),
  // A stored Intermediate Key that is valid is used if its System Key is.
  ...states('-', 'v', 'v', '-rv').map((state) => [state, 'same key', [Q_IK]] as const),
  ...states('-', 'v', '-', 'v').map((state) => [state, 'same key', [Q_IK, G_SK, 'Unwrap']] as const),
  ...states('-', 'v', 'r', '-rv').map((state) => [state, 'new IK, new SK', [Q_IK, Q_SK, ...NEW_SK]] as const),
  ...states('-', 'v', '-', '-r').map((state) => [state, 'new IK, new SK', [Q_IK, G_SK, Q_SK, ...NEW_SK]] as const),
];

const DECRYPT: readonly (readonly [state: string, outcome: string, calls: readonly string[]])[] = [
  // A cached key opens, revoked or not, and asks nobody.
  ...states('rv', '-rv', '-rv', '-rv').map((state) => [state, 'opens', []] as const),
  ...states('-', '-', '-rv', '-rv').map((state) => [state, 'RecordUnreadable', ['Get IK']] as const),
  ...states('-', 'rv', 'rv', '-rv').map((state) => [state, 'opens', ['Get IK']] as const),
  ...states('-', 'rv', '-', 'rv').map((state) => [state, 'opens', ['Get IK', G_SK, 'Unwrap']] as const),
  ...states('-', 'rv', '-', '-').map((state) => [state, 'KeyRowUnreadable', ['Get IK', G_SK]] as const),
];

/** Every combination of one letter of each. */
function states(...letters: [string, string, string, string]): string[] {
  return letters.reduce<string[]>(
    (heads, tails) => heads.flatMap((head) => tails.split('').map((tail) => head + tail)),
    [''],
  );
}

let world: FakeWorld;
let record: DataRowRecord;
let originals: EnvelopeKeyRecord[];

beforeEach(() => {
  world = new FakeWorld();
});

/** A process and a metastore brought into the state, through what processes and operators do. */
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
  // Past the System Key's maximum age where that is short, so that it is gone, or is read anew in another standing.
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

/** What a record was sealed under, told by the rows there now. */
function sealedUnder({ key: { parent } }: DataRowRecord): Sealed {
  const [oldIk, oldSk] = originals;
  if (parent.created === oldIk?.created) return 'same key';
  return ik().parent?.created === oldSk?.created ? 'new IK' : 'new IK, new SK';
}

it('the tables name each of the 81 states once', () => {
  for (const table of [ENCRYPT, DECRYPT]) {
    expect(table).toHaveLength(81);
    expect(new Set(table.map(([state]) => state)).size).toBe(81);
  }
});

describe('encrypt, with IK cached / stored and SK cached / stored as', () => {
  it.for(ENCRYPT)('%s seals under: %s', async ([state, sealed, calls]) => {
    const process = await inState(state);
    const made = await process.session('tenant').encrypt(Buffer.from('new'));
    expect(world.log.take()).toEqual(calls);
    expect(sealedUnder(made)).toBe(sealed);
    expect(await process.session('tenant').decrypt(made)).toEqual(Buffer.from('new'));
  });
});

describe('decrypt, with IK cached / stored and SK cached / stored as', () => {
  it.for(DECRYPT)('%s: %s', async ([state, outcome, calls]) => {
    const process = await inState(state);
    const work = process.session('tenant').decrypt(record);
    expect(outcome === 'opens' ? String(await work) : await codeOf(work)).toBe(
      outcome === 'opens' ? 'payload' : outcome,
    );
    expect(world.log.take()).toEqual(calls);
  });
});
