import { createSecretKey } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import * as aes from '../../../src/crypto/aead.ts';
import {
  type DataRowRecord,
  type EnvelopeKeyRecord,
  type KeyManagementService,
  type SessionFactoryOptions,
} from '../../../src/index.ts';
import { rowProof, rowProofKey } from '../../../src/records/row-proof.ts';
import { codeOf, DAY_MS, FakeDependencies, noDeadline } from '../../support/fakes.ts';

const PAYLOAD = Buffer.from('payload');
const MODES = ['verify', 'require'] as const;
type Kind = 'SK' | 'IK';

let world: FakeDependencies;
let record: DataRowRecord;

beforeEach(async () => {
  world = new FakeDependencies();
  record = await world.process().session('p').encrypt(PAYLOAD);
});

function row(kind: Kind, of = world): EnvelopeKeyRecord {
  const [found] = of.metastore.ofKind(kind);
  if (found === undefined) throw new Error('the row is absent');
  return found;
}

/** Opens the record in a cold process: the payload, or the code of the error. */
async function opened(options: Partial<SessionFactoryOptions> = {}, given = record): Promise<string> {
  const work = world.process(options).session('p').decrypt(given);
  return work.then(String, () => codeOf(work));
}

describe('the rows of new keys', () => {
  it('have the published proofs', () => {
    const systemKey = aes.open(createSecretKey(Buffer.alloc(32, 7)), row('SK').encryptedKey) as Buffer;
    const { id, created, parent, encryptedKey, proof } = row('IK');
    const key = createSecretKey(systemKey);
    expect(rowProof(key, 'intermediate', { id, created, parent, sealed: encryptedKey })).toEqual(proof);
    const system = row('SK');
    const ofSystem = rowProof(key, 'system', { id: system.id, created: system.created, sealed: system.encryptedKey });
    expect(ofSystem).toEqual(system.proof);
  });

  it.for(MODES)('open and seal in the mode %s', async (keyRowProofs) => {
    expect(await opened({ keyRowProofs })).toBe('payload');
    const session = world.process({ keyRowProofs }).session('p');
    expect((await session.encrypt(PAYLOAD)).key.parent).toEqual(record.key.parent);
  });

  it('still open after they are revoked', async () => {
    for (const kind of ['SK', 'IK'] as const) world.metastore.change(row(kind), { revoked: true });
    expect(await opened({ keyRowProofs: 'require' })).toBe('payload');
  });
});

describe('rowProof', () => {
  const key = createSecretKey(Buffer.alloc(32, 3));
  const base = { id: 'a' as never, created: 1 as never, sealed: Buffer.from('s') };

  it('gives the published vectors', () => {
    const parent = { id: '_SK_svc_prod' as never, created: 1_700_000_000 as never };
    const intermediate = {
      id: '_IK_p_svc_prod' as never,
      created: 1_700_000_060 as never,
      parent,
      sealed: Buffer.alloc(60, 1),
    };
    const sequence = createSecretKey(Buffer.from(Array.from({ length: 32 }, (_, i) => i)));
    expect([
      rowProof(sequence, 'intermediate', intermediate).toString('hex'),
      rowProof(sequence, 'system', { ...parent, sealed: Buffer.alloc(60, 2) }).toString('hex'),
      rowProofKey(Buffer.from(Array.from({ length: 32 }, (_, i) => i))).toString('hex'),
    ]).toMatchInlineSnapshot(`
      [
        "63f155eab31553f11c7aedd900801f85ed988a9f2c92029a46b051b1837c94c3",
        "624a1a6fdc26ee02888151d9b9041f5e9bc5628f952e84d2317d6749cbbab9b7",
        "d09b5d58f8ec534f3410123c1b2b06b35fdbeb5b3f213fb2a79819a1d30fb448",
      ]
    `);
  });

  it('differs for every member, and for members that look alike when they are concatenated', () => {
    const parent = { id: 'b' as never, created: 1 as never };
    const rows = [
      rowProof(key, 'system', base),
      rowProof(key, 'intermediate', base),
      rowProof(key, 'system', { ...base, id: 'as' as never, sealed: Buffer.alloc(0) }),
      rowProof(key, 'system', { ...base, created: 256 as never }),
      rowProof(key, 'system', { ...base, created: -1 as never }),
      rowProof(key, 'system', { ...base, parent }),
      rowProof(key, 'system', { ...base, parent: { ...parent, created: 2 as never } }),
      rowProof(key, 'system', { ...base, sealed: Buffer.from('t') }),
    ];
    expect(new Set(rows.map((proof) => proof.toString('hex'))).size).toBe(rows.length);
  });
});

/** Edits of a row by an attacker who holds no key. Each keeps the proof that the row had, or takes another row's. */
const EDITS: readonly (readonly [string, Kind, (row: EnvelopeKeyRecord) => EnvelopeKeyRecord])[] = [
  ['a later date', 'IK', (of) => ({ ...of, created: (of.created + 3600) as never })],
  ['an earlier date', 'IK', (of) => ({ ...of, created: (of.created - 60) as never })],
  ['a later date', 'SK', (of) => ({ ...of, created: (of.created + 3600) as never })],
  ['another region suffix', 'IK', (of) => ({ ...of, id: `${of.id}_eu-west-1` as never })],
  ['one bit of its proof changed', 'IK', (of) => ({ ...of, proof: flipped(of.proof) })],
  ['one bit of its proof changed', 'SK', (of) => ({ ...of, proof: flipped(of.proof) })],
  ['a proof that is too short', 'IK', (of) => ({ ...of, proof: of.proof?.subarray(1) })],
  ['a proof of zeros', 'SK', (of) => ({ ...of, proof: Buffer.alloc(32) })],
  ['the proof of its System Key', 'IK', (of) => ({ ...of, proof: row('SK').proof })],
];

describe('an edited row', () => {
  it.for(MODES.flatMap((mode) => EDITS.map(([what, kind, edit]) => [mode, what, kind, edit] as const)))(
    'is KeyRowUnreadable in the mode %s with %s (%s)',
    async ([keyRowProofs, , kind, edit]) => {
      const suffixed = { regionSuffix: 'us-west-2', keyRowProofs };
      const original = row(kind);
      const edited = edit(original);
      world.metastore.remove(original);
      world.metastore.change(edited, {});
      let given = record;
      if (kind === 'IK') {
        given = { ...record, key: { ...record.key, parent: { id: edited.id, created: edited.created } } };
      } else {
        // The Intermediate Key must name the moved System Key, and cannot prove that it does.
        const parent = { id: edited.id, created: edited.created };
        world.metastore.change(row('IK'), { parent, proof: undefined });
      }
      const code = await opened(suffixed, given);
      expect(code).toBe('KeyRowUnreadable');
    },
  );

  it.for([
    ['IK', 'verify', 'payload'],
    ['IK', 'require', 'KeyRowUnreadable'],
    ['SK', 'verify', 'payload'],
    ['SK', 'require', 'KeyRowUnreadable'],
  ] as const)('%s without a proof gives, in the mode %s, %s', async ([kind, keyRowProofs, outcome]) => {
    world.metastore.change(row(kind), { proof: undefined });
    expect(await opened({ keyRowProofs })).toBe(outcome);
  });

  it('lends a key to another partition only if its proof may be absent', async () => {
    const mine = await world.process().session('accomplice').encrypt(PAYLOAD);
    const victim = row('IK');
    const parent = { id: mine.key.parent.id as never, created: (victim.created + 60) as never };
    const renamed = { ...record, key: { ...record.key, parent } };
    const open = (keyRowProofs: 'verify' | 'require'): Promise<string> => {
      const work = world.process({ keyRowProofs }).session('accomplice').decrypt(renamed);
      return work.then(String, () => codeOf(work));
    };
    world.metastore.change({ ...victim, ...parent }, {});
    expect([await open('verify'), await open('require')]).toEqual(['KeyRowUnreadable', 'KeyRowUnreadable']);
    world.metastore.change({ ...victim, ...parent }, { proof: undefined });
    expect([await open('verify'), await open('require')]).toEqual(['payload', 'KeyRowUnreadable']);
  });

  it('makes an old key seal again only if its proof may be absent', async () => {
    world.clock.advance(91 * DAY_MS);
    const created = Math.floor(world.clock.nowMs / 1000) as never;
    const [system, intermediate] = [row('SK'), row('IK')];
    const seal = (keyRowProofs: 'verify' | 'require'): Promise<string> => {
      const work = world.process({ keyRowProofs }).session('p').encrypt(PAYLOAD);
      return work.then(
        ({ key }) => String(key.parent.created === created),
        () => codeOf(work),
      );
    };
    world.metastore.change({ ...system, created }, {});
    world.metastore.change({ ...intermediate, created, parent: { id: system.id, created } }, {});
    expect([await seal('verify'), await seal('require')]).toEqual(['KeyRowUnreadable', 'KeyRowUnreadable']);
    for (const of of [system, intermediate]) {
      const parent = of === intermediate ? { parent: { id: system.id, created } } : {};
      world.metastore.change({ ...of, created, ...parent }, { proof: undefined });
    }
    expect([await seal('verify'), await seal('require')]).toEqual(['true', 'KeyRowUnreadable']);
  });
});

describe('an attacker who knows an old System Key', () => {
  it('can prove an Intermediate Key under it, and re-date it only if the KMS has no data key', async () => {
    const systemKey = aes.open(createSecretKey(Buffer.alloc(32, 7)), row('SK').encryptedKey) as Buffer;
    const { id, encryptedKey } = row('SK');
    const created = (row('SK').created + 3600) as never;
    const forged = rowProof(createSecretKey(systemKey), 'system', { id, created, sealed: encryptedKey });
    world.metastore.change({ ...row('SK'), created, proof: forged }, {});
    world.clock.advance(3600_000);
    const work = world.process({ keyRowProofs: 'require' }).session('q').encrypt(PAYLOAD);
    expect((await work).key.parent.id).toBe('_IK_q_svc_prod');
    const latest = world.metastore.latest('_IK_q_svc_prod');
    expect(latest?.parent?.created).toBe(created);
  });

  it('cannot re-date it under a KMS with a data key', async () => {
    world = new FakeDependencies();
    const options = { kms: provingKms(world.kms), keyRowProofs: 'require' } as const;
    await world.process(options).session('p').encrypt(PAYLOAD);
    const { id, encryptedKey } = row('SK');
    const systemKey = aes.open(createSecretKey(Buffer.alloc(32, 7)), encryptedKey) as Buffer;
    const created = (row('SK').created + 3600) as never;
    const forged = rowProof(createSecretKey(systemKey), 'system', { id, created, sealed: Buffer.from('sealed') });
    world.metastore.change({ ...row('SK'), created, proof: forged }, {});
    world.clock.advance(3600_000);
    expect(await codeOf(world.process(options).session('q').encrypt(PAYLOAD))).toBe('KeyRowUnreadable');
  });
});

describe('the basis of a row proof', () => {
  it.for([
    ['a key of another length', { key: Buffer.alloc(31), sealed: Buffer.from('s') }],
    ['no sealed bytes', { key: Buffer.alloc(32) }],
    ['a key that is not bytes', { key: 'k', sealed: Buffer.from('s') }],
  ])('is refused with %s', async ([, rowProofBasis]) => {
    const kms = {
      ...provingKms(world.kms),
      wrap: async () => ({ wrapped: Buffer.from('w'), rowProof: rowProofBasis as never }),
    };
    const fresh = new FakeDependencies();
    const error = await fresh
      .process({ kms })
      .session('p')
      .encrypt(PAYLOAD)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TypeError);
  });

  it('is zeroed after use', async () => {
    const keys: Buffer[] = [];
    const fresh = new FakeDependencies();
    const kms = provingKms(fresh.kms, keys);
    const sealed = await fresh.process({ kms }).session('p').encrypt(PAYLOAD);
    await fresh.process({ kms }).session('p').decrypt(sealed);
    expect(keys).toEqual([Buffer.alloc(32), Buffer.alloc(32)]);
  });
});

/** A KMS that proves rows with a key that does not follow from the System Key, as AWS KMS does. */
function provingKms(real: KeyManagementService, keys: Buffer[] = []): KeyManagementService {
  const basis = (): { key: Buffer; sealed: Uint8Array } => {
    const key = Buffer.alloc(32, 99);
    keys.push(key);
    return { key, sealed: Buffer.from('sealed') };
  };
  return {
    wrap: async (key) => ({ wrapped: (await real.wrap(key, noDeadline())) as Uint8Array, rowProof: basis() }),
    unwrap: async (wrapped) => ({ ...(await real.unwrap(wrapped, noDeadline())), rowProof: basis() }),
  };
}

function flipped(bytes: Uint8Array | undefined): Buffer {
  const copy = Buffer.from(bytes ?? []);
  copy[0] = (copy[0] ?? 0) ^ 1;
  return copy;
}
