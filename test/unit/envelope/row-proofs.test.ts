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
import { rowProofContract } from '../../support/contract/row-proof-contract.ts';
import { codeOf, FakeDependencies, noDeadline } from '../../support/fakes.ts';

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

/** Opens the record in a cold process. Returns the payload, or the code of the error. */
async function opened(options: Partial<SessionFactoryOptions> = {}, given = record): Promise<string> {
  const work = world.process(options).session('p').decrypt(given);
  return work.then(String, () => codeOf(work));
}

describe('the rows of new keys', () => {
  it('have the proofs that rowProof computes', () => {
    const systemKey = aes.open(createSecretKey(Buffer.alloc(32, 7)), row('SK').encryptedKey) as Buffer;
    const { id, created, parent, encryptedKey, proof } = row('IK');
    const key = createSecretKey(systemKey);
    expect(rowProof(key, 'intermediate', { id, created, parent, sealed: encryptedKey })).toEqual(proof);
    const system = row('SK');
    const ofSystem = rowProof(key, 'system', { id: system.id, created: system.created, sealed: system.encryptedKey });
    expect(ofSystem).toEqual(system.proof);
  });

  it.for(MODES)('can be used to open and seal in the mode "%s"', async (keyRowProofs) => {
    expect(await opened({ keyRowProofs })).toBe('payload');
    const session = world.process({ keyRowProofs }).session('p');
    expect((await session.encrypt(PAYLOAD)).key.parent).toEqual(record.key.parent);
  });

  it('can be used to open a record even after the keys are revoked', async () => {
    for (const kind of ['SK', 'IK'] as const) world.metastore.change(row(kind), { revoked: true });
    expect(await opened({ keyRowProofs: 'require' })).toBe('payload');
  });
});

describe('rowProof', () => {
  const key = createSecretKey(Buffer.alloc(32, 3));
  const base = { id: 'a' as never, created: 1 as never, sealed: Buffer.from('s') };

  it('computes the published vectors', () => {
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

  it('differs if any member differs, even if the concatenated members are equal', () => {
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

rowProofContract('memory', () => {
  const { metastore } = new FakeDependencies();
  return {
    metastore,
    put: async (stored) => metastore.change(stored, {}),
    remove: async ({ id, created }) => void metastore.rows.delete(`${id} ${created}`),
  };
});

it('a row proof that is not 32 bytes long is invalid, even in the mode "verify"', async () => {
  for (const kind of ['SK', 'IK'] as const) {
    const { proof } = row(kind);
    for (const wrong of [
      proof?.subarray(1),
      Buffer.alloc(0),
      Buffer.concat([proof ?? Buffer.alloc(0), Buffer.alloc(1)]),
    ]) {
      world.metastore.change(row(kind), { proof: wrong });
      for (const keyRowProofs of MODES) expect(await opened({ keyRowProofs })).toBe('KeyRowUnreadable');
    }
    world.metastore.change(row(kind), { proof });
  }
});

describe('an attacker who knows an old System Key', () => {
  it('can give that key a new date and a valid proof if the KMS provides no row-proof key', async () => {
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

  it('cannot give that key a new date if the KMS provides a row-proof key', async () => {
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
    [
      'a key that is not 32 bytes long',
      { key: Buffer.alloc(31), sealed: Buffer.from('s') },
      ' must have a key of 32 bytes.',
    ],
    [
      'no sealed bytes',
      { key: Buffer.alloc(32) },
      '.sealed must be a Uint8Array whose buffer is not detached, not undefined.',
    ],
    [
      'a key that is not bytes',
      { key: 'k', sealed: Buffer.from('s') },
      '.key must be a Uint8Array whose buffer is not detached, not a string.',
    ],
  ] as const)('is refused if it has %s', async ([, rowProofBasis, why]) => {
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
    expect(error).toEqual(new TypeError(`The rowProof of kms.wrap${why}`));
  });

  it('proves the row of the System Key', async () => {
    const fresh = new FakeDependencies();
    await fresh
      .process({ kms: provingKms(fresh.kms) })
      .session('p')
      .encrypt(PAYLOAD);
    const [{ id, created, proof }] = fresh.metastore.ofKind('SK') as [EnvelopeKeyRecord];
    expect(proof).toEqual(rowProof(Buffer.alloc(32, 99), 'system', { id, created, sealed: Buffer.from('sealed') }));
  });

  it('is zeroed after use', async () => {
    const keys: Buffer[] = [];
    const fresh = new FakeDependencies();
    const kms = provingKms(fresh.kms, keys);
    const sealed = await fresh.process({ kms }).session('p').encrypt(PAYLOAD);
    await fresh.process({ kms }).session('p').decrypt(sealed);
    expect(keys).toEqual([Buffer.alloc(32), Buffer.alloc(32)]);
    const unwrap: KeyManagementService['unwrap'] = async (...given) => ({
      ...(await kms.unwrap(...given)),
      key: Buffer.alloc(31),
    });
    const short = fresh.process({ kms: { ...kms, unwrap } }).session('p');
    expect(await codeOf(short.decrypt(sealed))).toBe('KeyRowUnreadable');
    expect(keys).toEqual(Array(3).fill(Buffer.alloc(32)));
  });
});

/** A KMS with a separate key for row proofs, like AWS KMS. This key cannot be computed from the System Key. */
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
