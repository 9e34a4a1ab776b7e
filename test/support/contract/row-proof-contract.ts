import { createSecretKey } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import * as aes from '../../../src/crypto/aead.ts';
import {
  SessionFactory,
  StaticKms,
  type DataRowRecord,
  type EnvelopeKeyRecord,
  type KeyMeta,
  type Metastore,
  type SessionFactoryOptions,
} from '../../../src/index.ts';
import { rowProof } from '../../../src/records/row-proof.ts';
import { codeOf, DAY_MS, errorOf, HandClock, noDeadline } from '../fakes.ts';

/** A metastore whose rows a test can write directly, as an attacker with write access would. */
export interface WritableRows {
  readonly metastore: Metastore;
  readonly put: (row: EnvelopeKeyRecord) => Promise<void>;
  readonly remove: (key: KeyMeta) => Promise<void>;
}

const MASTER = Buffer.alloc(32, 7);
const PAYLOAD = Buffer.from('payload');
const MODES = ['verify', 'require'] as const;
type Mode = (typeof MODES)[number];

/**
 * The rows of one service: two generations of System Keys, and the Intermediate Keys of a victim and of the attacker's
 * accomplice.
 */
interface Rows {
  readonly system: EnvelopeKeyRecord;
  readonly laterSystem: EnvelopeKeyRecord;
  readonly victim: EnvelopeKeyRecord;
  readonly laterVictim: EnvelopeKeyRecord;
  readonly accomplice: EnvelopeKeyRecord;
}

/** Edits a row so that its proof no longer matches. */
type Edit = (row: EnvelopeKeyRecord, rows: Rows) => EnvelopeKeyRecord;

const later = (row: EnvelopeKeyRecord, seconds: number): EnvelopeKeyRecord => ({
  ...row,
  created: (row.created + seconds) as never,
});

/** The ways in which an attacker without a key may edit the row of an Intermediate Key and of a System Key. */
const EDITS: Readonly<Record<'victim' | 'system', Readonly<Record<string, Edit>>>> = {
  victim: {
    'a later date': (row) => later(row, 3600),
    'an earlier date': (row) => later(row, -60),
    'another region suffix': (row) => ({ ...row, id: `${row.id}_eu-west-1` as never }),
    'the id of another partition': (row, { accomplice }) => later({ ...row, id: accomplice.id }, 60),
    'the key of another partition': (row, { accomplice }) => ({ ...row, encryptedKey: accomplice.encryptedKey }),
    'the key and the proof of another partition': (row, { accomplice: { encryptedKey, proof } }) => ({
      ...row,
      encryptedKey,
      proof,
    }),
    'the key of its successor': (row, { laterVictim: { encryptedKey, parent } }) => ({ ...row, encryptedKey, parent }),
    'the key and the proof of its successor': (row, { laterVictim: { encryptedKey, parent, proof } }) => ({
      ...row,
      encryptedKey,
      parent,
      proof,
    }),
    'the proof of another partition': (row, { accomplice }) => ({ ...row, proof: accomplice.proof }),
    'the proof of its System Key': (row, { system }) => ({ ...row, proof: system.proof }),
    'one bit of its proof changed': (row) => ({ ...row, proof: flipped(row.proof) }),
    'one bit of its key changed': (row) => ({ ...row, encryptedKey: flipped(row.encryptedKey) }),
    'a proof of zeros': (row) => ({ ...row, proof: Buffer.alloc(32) }),
  },
  system: {
    'a later date': (row) => later(row, 3600),
    'an earlier date': (row) => later(row, -60),
    'the proof of its successor': (row, { laterSystem }) => ({ ...row, proof: laterSystem.proof }),
    'the key of its successor': (row, { laterSystem: { encryptedKey } }) => ({ ...row, encryptedKey }),
    'the key and the proof of its successor': (row, { laterSystem: { encryptedKey, proof } }) => ({
      ...row,
      encryptedKey,
      proof,
    }),
    'the proof of an Intermediate Key': (row, { victim }) => ({ ...row, proof: victim.proof }),
    'one bit of its proof changed': (row) => ({ ...row, proof: flipped(row.proof) }),
    'a proof of zeros': (row) => ({ ...row, proof: Buffer.alloc(32) }),
  },
};

/** Tests the attacks that row proofs must stop, on any metastore. Each test uses its own service. */
export function rowProofContract(name: string, open: () => WritableRows): void {
  describe(`proofs of the key rows in ${name}`, () => {
    let table: WritableRows;
    let clock: HandClock;
    let service: string;
    let rows: Rows;
    let record: DataRowRecord;

    const process = (options: Partial<SessionFactoryOptions> = {}): SessionFactory => {
      const { metastore } = table;
      const kms = new StaticKms(MASTER, {});
      return new SessionFactory({ service, product: 'prod', metastore, kms, now: clock.now, ...options });
    };
    const rowOf = async ({ id, created }: KeyMeta): Promise<EnvelopeKeyRecord> =>
      (await table.metastore.load(id, created, noDeadline())) as EnvelopeKeyRecord;
    const rowUnder = async (partition: string): Promise<EnvelopeKeyRecord> =>
      rowOf((await process().session(partition).encrypt(PAYLOAD)).key.parent as KeyMeta);
    const replace = async (row: EnvelopeKeyRecord, edited: EnvelopeKeyRecord): Promise<void> => {
      await table.remove(row);
      await table.put(edited);
    };
    /** Decrypts in a cold process. Returns the payload, or the message of the error. */
    const opened = async (keyRowProofs: Mode, partition: string, given: DataRowRecord): Promise<string> => {
      const work = process({ keyRowProofs, regionSuffix: 'us-west-2' }).session(partition).decrypt(given);
      return work.then(String, async () => ((await errorOf(work)) as Error).message);
    };
    const naming = ({ id, created }: KeyMeta): DataRowRecord => ({
      ...record,
      key: { ...record.key, parent: { id, created } },
    });

    const seal = (keyRowProofs: Mode): Promise<DataRowRecord> =>
      process({ keyRowProofs }).session('victim').encrypt(PAYLOAD);

    beforeEach(async () => {
      table = open();
      clock = new HandClock();
      service = `proofs${(services += 1)}`;
      record = await process().session('victim').encrypt(PAYLOAD);
      const [victim, accomplice] = [await rowOf(record.key.parent as KeyMeta), await rowUnder('accomplice')];
      clock.advance(91 * DAY_MS);
      const laterVictim = await rowUnder('victim');
      const [system, laterSystem] = [await rowOf(victim.parent as KeyMeta), await rowOf(laterVictim.parent as KeyMeta)];
      rows = { system, laterSystem, victim, laterVictim, accomplice };
    });

    it.for(MODES)('are valid in the mode "%s" for rows that Keyfold wrote, even after a revocation', async (mode) => {
      expect(Object.values(rows).map(({ proof }) => (proof as Uint8Array).length)).toEqual([32, 32, 32, 32, 32]);
      expect(await opened(mode, 'victim', record)).toBe('payload');
      for (const row of [rows.victim, rows.system]) await replace(row, { ...row, revoked: true });
      expect(await opened(mode, 'victim', record)).toBe('payload');
    });

    const each = (kind: keyof typeof EDITS): (readonly [string, Mode])[] =>
      MODES.flatMap((mode) => Object.keys(EDITS[kind]).map((what) => [what, mode] as const));

    it.for(each('victim'))(
      'make Keyfold refuse the row of an Intermediate Key if the row has %s (mode "%s")',
      async ([what, mode]) => {
        const edited = EDITS.victim[what]?.(rows.victim, rows) as EnvelopeKeyRecord;
        await replace(rows.victim, edited);
        const partition = edited.id === rows.accomplice.id ? 'accomplice' : 'victim';
        expect(await opened(mode, partition, naming(edited))).toMatch(refusal(edited));
      },
    );

    it.for(each('system'))(
      'make Keyfold refuse the row of a System Key if the row has %s (mode "%s")',
      async ([what, mode]) => {
        const edited = EDITS.system[what]?.(rows.system, rows) as EnvelopeKeyRecord;
        await replace(rows.system, edited);
        // The attacker knows the System Key, and gives the Intermediate Key a new proof. The attack must still fail.
        const { id, created } = edited;
        await table.put(provenUnder(rows.system, { ...rows.victim, parent: { id, created } }));
        expect(await opened(mode, 'victim', record)).toMatch(refusal(edited));
      },
    );

    it.for([
      ['an Intermediate Key', 'victim'],
      ['a System Key', 'system'],
    ] as const)('may be missing from the row of %s only in the mode "verify"', async ([, kind]) => {
      await replace(rows[kind], { ...rows[kind], proof: undefined });
      expect(await opened('verify', 'victim', record)).toBe('payload');
      expect(await opened('require', 'victim', record)).toMatch(/it has no proof\.$/);
    });

    it('stop an attacker who copies a key without its proof to another partition, but only in the mode "require"', async () => {
      const lent = later({ ...rows.victim, id: rows.accomplice.id }, 60);
      await table.put({ ...lent, proof: undefined });
      expect(await opened('verify', 'accomplice', naming(lent))).toBe('payload');
      expect(await opened('require', 'accomplice', naming(lent))).toMatch(/it has no proof\.$/);
    });

    it('stop an attacker who puts an old key back into use, but not in the mode "verify" if the attacker also removes the proofs', async () => {
      clock.advance(80 * DAY_MS);
      const created = Math.floor(clock.nowMs / 1000) as never;
      const parent = { id: rows.system.id, created };
      const old = [
        { ...rows.system, created },
        { ...rows.victim, created, parent },
      ];
      for (const row of old) await table.put(row);
      for (const mode of MODES) expect(await codeOf(seal(mode))).toBe('KeyRowUnreadable');
      for (const row of old) await table.put({ ...row, proof: undefined });
      expect((await seal('verify')).key.parent.created).toBe(created);
      expect(await codeOf(seal('require'))).toBe('KeyRowUnreadable');
    });

    it('do not stop an attacker who undoes a revocation or deletes a row', async () => {
      await replace(rows.laterVictim, { ...rows.laterVictim, revoked: true });
      await table.remove(rows.laterVictim);
      await table.put(rows.laterVictim);
      const strict = process({ keyRowProofs: 'require' }).session('victim');
      expect((await strict.encrypt(PAYLOAD)).key.parent.created).toBe(rows.laterVictim.created);
    });
  });
}

let services = 0;

/** Gives a row the proof that an attacker who knows the System Key can compute. */
function provenUnder(system: EnvelopeKeyRecord, row: EnvelopeKeyRecord): EnvelopeKeyRecord {
  const key = createSecretKey(aes.open(createSecretKey(MASTER), system.encryptedKey) as Buffer);
  const { id, created, parent, encryptedKey: sealed } = row;
  return { ...row, proof: rowProof(key, 'intermediate', { id, created, parent, sealed }) };
}

/** Matches the error message for a wrong proof of exactly this row. */
function refusal({ id, created }: KeyMeta): RegExp {
  return new RegExp(`^The key row ${id} created ${created} cannot be read: .*(proof|open)`);
}

function flipped(bytes: Uint8Array | undefined): Buffer {
  const copy = Buffer.from(bytes ?? []);
  copy[0] = (copy[0] ?? 0) ^ 1;
  return copy;
}
