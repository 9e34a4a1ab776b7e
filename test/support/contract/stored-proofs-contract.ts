import { createSecretKey } from 'node:crypto';
import {
  DeleteItemCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  type AttributeValue,
} from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import {
  AwsKms,
  DynamoDbMetastore,
  SessionFactory,
  StaticKms,
  SystemKeyMaintenance,
  type DataRowRecord,
  type DynamoDbMetastoreOptions,
  type EnvelopeKeyRecord,
  type KeyManagementService,
  type KeyMeta,
} from '../../../src/index.ts';
import { encodeKeyItem, keyOfItem, type KeyItem } from '../../../src/metastore/dynamodb-item.ts';
import { rowProof } from '../../../src/records/row-proof.ts';
import { codeOf, errorOf, noDeadline } from '../fakes.ts';
import { OperatorFixture } from '../operator.ts';
import { rowProofContract } from './row-proof-contract.ts';

const PAYLOAD = Buffer.from('payload');
const MODES = ['verify', 'require'] as const;
const WEST = 'us-west-2';
const EAST = 'us-east-1';

/** Values of the attribute `Proof` other than a binary value of 32 bytes. */
const MALFORMED: Readonly<Record<string, AttributeValue>> = {
  'a string of 32 characters': { S: 'x'.repeat(32) },
  'base64 of 32 bytes': { S: Buffer.alloc(32).toString('base64') },
  'a number': { N: '1' },
  null: { NULL: true },
  'a Boolean': { BOOL: false },
  'an empty list': { L: [] },
  'an empty map': { M: {} },
  'a set of bytes': { BS: [new Uint8Array(32)] },
  'no bytes': { B: new Uint8Array(0) },
  '31 bytes': { B: new Uint8Array(31) },
  '33 bytes': { B: new Uint8Array(33) },
};

/** The members of a KMS envelope. */
interface Envelope {
  readonly encryptedKey: string;
  readonly kmsKeks: readonly unknown[];
}

/** Tests row proofs in a DynamoDB table: the attribute that stores them, and all code that writes it. */
export function storedProofsContract(name: string, tableOf: () => DynamoDbMetastoreOptions): void {
  const metastore = (): DynamoDbMetastore => new DynamoDbMetastore(tableOf());
  const client = (): DynamoDBClient => {
    const { endpoint = '', region = WEST } = tableOf();
    return new DynamoDBClient({ endpoint, region });
  };
  const TableName = (): string => tableOf().tableName ?? '';
  const put = async (Item: KeyItem): Promise<void> =>
    void (await client().send(new PutItemCommand({ TableName: TableName(), Item })));
  const itemOf = async ({ id, created }: KeyMeta): Promise<KeyItem> => {
    const command = new GetItemCommand({ TableName: TableName(), Key: keyOfItem(id, created), ConsistentRead: true });
    return (await client().send(command)).Item ?? {};
  };
  const rowOf = async ({ id, created }: KeyMeta): Promise<EnvelopeKeyRecord> =>
    (await metastore().load(id, created, noDeadline())) as EnvelopeKeyRecord;

  rowProofContract(name, () => ({
    metastore: metastore(),
    put: (row) => put(encodeKeyItem(row)),
    remove: async ({ id, created }) =>
      void (await client().send(new DeleteItemCommand({ TableName: TableName(), Key: keyOfItem(id, created) }))),
  }));

  const process = (keyRowProofs: 'verify' | 'require' = 'verify'): SessionFactory =>
    new SessionFactory({
      service: 'attributes',
      product: 'prod',
      metastore: metastore(),
      kms: new StaticKms(Buffer.alloc(32, 7), {}),
      keyRowProofs,
    });

  describe(`SessionFactory on ${name}`, () => {
    let record: DataRowRecord;
    let rows: Record<'intermediate' | 'system', KeyItem>;

    beforeAll(async () => {
      record = await process().session('p').encrypt(PAYLOAD);
      const intermediate = record.key.parent as KeyMeta;
      const system = (await rowOf(intermediate)).parent as KeyMeta;
      rows = { intermediate: await itemOf(intermediate), system: await itemOf(system) };
    });

    const refusalWith = async (item: KeyItem, original: KeyItem): Promise<unknown[]> => {
      await put(item);
      try {
        return await Promise.all(MODES.map((mode) => errorOf(process(mode).session('p').decrypt(record))));
      } finally {
        await put(original);
      }
    };
    const each = (['intermediate', 'system'] as const).flatMap((kind) =>
      Object.keys(MALFORMED).map((what) => [kind, what] as const),
    );

    it.for(each)('refuses the %s key in the modes "verify" and "require" if Proof is %s', async ([kind, what]) => {
      const refusals = await refusalWith({ ...rows[kind], Proof: MALFORMED[what] as AttributeValue }, rows[kind]);
      const message = expect.stringMatching(/: Proof is missing or malformed\.$/) as string;
      expect(refusals).toMatchObject([
        { code: 'KeyRowUnreadable', message },
        { code: 'KeyRowUnreadable', message },
      ]);
    });

    it.for(['intermediate', 'system'] as const)(
      'refuses the %s key in the modes "verify" and "require" if KeyRecord.Created differs from Created',
      async (kind) => {
        const inner = rows[kind]['KeyRecord']?.M ?? {};
        for (const Created of [{ N: '60' }, { S: String(inner['Created']?.N) }, { NULL: true as const }]) {
          const edited = { ...rows[kind], KeyRecord: { M: { ...inner, Created } } };
          const refusals = await refusalWith(edited, rows[kind]);
          const message = expect.stringMatching(/: KeyRecord\.Created differs from Created\.$/) as string;
          expect(refusals).toMatchObject([
            { code: 'KeyRowUnreadable', message },
            { code: 'KeyRowUnreadable', message },
          ]);
        }
      },
    );

    it('accepts the original rows again after the malformed rows are removed', async () => {
      expect(await process('require').session('p').decrypt(record)).toEqual(PAYLOAD);
    });
  });

  describe(`proofs under AWS KMS in ${name}`, () => {
    const NAMES = { service: 'kms-proofs', product: 'prod' };
    let emulator: KmsEmulator;
    let keys: Record<string, string>;

    beforeAll(async () => {
      emulator = await startKmsEmulator();
      const made = [WEST, EAST].map(async (region) => [region, await emulator.ensureKey(region, 'alias/k')] as const);
      keys = Object.fromEntries((await Promise.all(made)).map(([region, { aliasArn }]) => [region, aliasArn]));
    });
    afterAll(() => emulator.close());

    const kms = (...regions: string[]): AwsKms =>
      new AwsKms({
        keys: Object.fromEntries(regions.map((region) => [region, keys[region] ?? ''])),
        preferredRegion: regions[0] ?? WEST,
        endpoint: emulator.endpoint,
      });
    const strict = (of: KeyManagementService, service = NAMES.service): SessionFactory =>
      new SessionFactory({ ...NAMES, service, metastore: metastore(), kms: of, keyRowProofs: 'require' });

    it('stay valid after maintenance renews the wraps and after the CLI revokes the key', async () => {
      const record = await strict(kms(WEST)).session('p').encrypt(PAYLOAD);
      const intermediate = await rowOf(record.key.parent as KeyMeta);
      const system = await rowOf(intermediate.parent as KeyMeta);
      expect(await codeOf(strict(kms(EAST)).session('p').decrypt(record))).toBe('KmsMisconfigured');

      const maintenance = new SystemKeyMaintenance({ ...NAMES, metastore: metastore(), kms: kms(WEST, EAST) });
      expect((await maintenance.run()).systemKeys).toMatchObject([
        { regions: [{ region: WEST }, { region: EAST, renewed: true }] },
      ]);
      const renewed = await rowOf(system);
      expect(renewed.encryptedKey).not.toEqual(system.encryptedKey);
      expect(renewed.proof).toEqual(system.proof);
      for (const region of [WEST, EAST]) {
        expect(await strict(kms(region)).session('p').decrypt(record)).toEqual(PAYLOAD);
      }

      const { endpoint = '' } = tableOf();
      const operator = OperatorFixture.at(endpoint);
      for (const { id, created, proof } of [intermediate, system]) {
        const environment = { KEYFOLD_TABLE: TableName(), KEYFOLD_SERVICE: NAMES.service, KEYFOLD_PRODUCT: 'prod' };
        const run = await operator.keyfold(['keys', 'revoke', id, String(created), '--yes'], environment);
        expect(run).toMatchObject({ code: 0 });
        expect(await rowOf({ id, created })).toMatchObject({ revoked: true, proof });
      }
      const after = strict(kms(EAST)).session('p');
      expect(await after.decrypt(record)).toEqual(PAYLOAD);
      const successor = (await after.encrypt(PAYLOAD)).key.parent;
      expect(successor.created).toBeGreaterThan(record.key.parent.created);
    });

    /** Encrypts in a cold process. Returns the record, and the row of its System Key. */
    const encrypted = async (): Promise<[DataRowRecord, EnvelopeKeyRecord]> => {
      const record = await strict(kms(WEST), 'envelopes').session('p').encrypt(PAYLOAD);
      const { parent } = await rowOf(record.key.parent as KeyMeta);
      return [record, await rowOf(parent as KeyMeta)];
    };

    it('stop an attacker who exchanges parts of the KMS envelopes of two System Keys', async () => {
      const [record, system] = await encrypted();
      await put(encodeKeyItem({ ...system, revoked: true }));
      const [, later] = await encrypted();
      expect(later.created).toBeGreaterThan(system.created);
      const [ours, theirs] = [system, later].map(
        ({ encryptedKey }) => JSON.parse(Buffer.from(encryptedKey).toString()) as Envelope,
      ) as [Envelope, Envelope];
      const { proof } = later;
      const refused = 'KeyRowUnreadable';
      type EnvelopeEdit = readonly [what: string, envelope: Envelope, outcome: string, proof?: typeof proof];
      const edits: readonly EnvelopeEdit[] = [
        ['the wraps', { ...ours, kmsKeks: theirs.kmsKeks }, refused],
        ['the sealed key', { ...ours, encryptedKey: theirs.encryptedKey }, refused],
        ['the envelope', theirs, refused],
        ['the envelope and the proof', theirs, refused, proof],
        ['the proof', ours, refused, proof],
        // The first wrap contains the data key of another row, so Keyfold tries the next wrap.
        ['a wrap before its own', { ...ours, kmsKeks: [...theirs.kmsKeks, ...ours.kmsKeks] }, 'payload'],
        ['a wrap after its own', { ...ours, kmsKeks: [...ours.kmsKeks, ...theirs.kmsKeks] }, 'payload'],
        ['nothing', ours, 'payload'],
      ];
      for (const [what, envelope, outcome, given = system.proof] of edits) {
        const encryptedKey = Buffer.from(JSON.stringify(envelope));
        await put(encodeKeyItem({ ...system, encryptedKey, proof: given }));
        for (const keyRowProofs of MODES) {
          const reader = new SessionFactory({
            ...NAMES,
            service: 'envelopes',
            metastore: metastore(),
            kms: kms(WEST),
            keyRowProofs,
          });
          const work = reader.session('p').decrypt(record);
          expect([what, await work.then(String, () => codeOf(work))]).toEqual([what, outcome]);
        }
      }
    });

    it("stop an attacker who knows a System Key from changing the key's date", async () => {
      const known: Buffer[] = [];
      const real = kms(WEST);
      const spied: KeyManagementService = {
        wrap: (key, deadline) => {
          known.push(Buffer.from(key));
          return real.wrap(key, deadline);
        },
        unwrap: (wrapped, deadline) => real.unwrap(wrapped, deadline),
      };
      const { parent } = (await strict(spied, 'known').session('p').encrypt(PAYLOAD)).key;
      const { parent: meta } = await rowOf(parent as KeyMeta);
      const system = await rowOf(meta as KeyMeta);
      const [bytes = Buffer.alloc(0)] = known;
      const created = (system.created + 120) as never;
      const { encryptedKey } = JSON.parse(Buffer.from(system.encryptedKey).toString()) as { encryptedKey: string };
      const sealed = Buffer.from(encryptedKey, 'base64');
      const proof = rowProof(createSecretKey(bytes), 'system', { id: system.id, created, sealed });
      for (const forged of [proof, system.proof]) {
        await put(encodeKeyItem({ ...system, created, proof: forged }));
        expect(await codeOf(strict(real, 'known').session('q').encrypt(PAYLOAD))).toBe('KeyRowUnreadable');
      }
      await put(encodeKeyItem({ ...system, created, proof: undefined }));
      const lax = new SessionFactory({ ...NAMES, service: 'known', metastore: metastore(), kms: real });
      const row = await rowOf((await lax.session('q').encrypt(PAYLOAD)).key.parent as KeyMeta);
      expect(row.parent?.created).toBe(created);
    });
  });
}
