/**
 * Carries out the attacks that, according to docs/explanation/threat-model.md, Keyfold does not prevent. The format, or
 * a requirement, makes each attack possible.
 */
import { createSecretKey } from 'node:crypto';
import { KMSClient } from '@aws-sdk/client-kms';
import { beforeEach, describe, expect, it } from 'vitest';
import { startKmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { open as aeadOpen, SEAL_OVERHEAD_BYTES } from '../../src/crypto/aead.ts';
import { wrappedBy } from '../support/kms.ts';
import { AwsKms, SessionFactory, type DataRowRecord, type EnvelopeKeyRecord, type Session } from '../../src/index.ts';
import { erasureOf } from '../support/erasure-tables.ts';
import { codeOf, DAY_MS, FakeDependencies, MINUTE_MS, noDeadline } from '../support/fakes.ts';
import { operate, type Operator } from '../support/operations.ts';
import { startStub } from '../support/stub-server.ts';

let world: FakeDependencies;

beforeEach(() => {
  world = new FakeDependencies();
});

const seal = (partition: string, text: string): Promise<DataRowRecord> =>
  world.process().session(partition).encrypt(Buffer.from(text));
const open = async (partition: string, record: DataRowRecord): Promise<string> =>
  (await world.process().session(partition).decrypt(record)).toString();

function plant(row: EnvelopeKeyRecord): void {
  world.metastore.rows.set(`${row.id} ${row.created}`, row);
}

const rowOf = ({ key }: DataRowRecord): EnvelopeKeyRecord => {
  const row = world.metastore.rows.get(`${key.parent.id} ${key.parent.created}`);
  if (row === undefined) throw new Error('no such row');
  return row;
};

describe('an attacker who can write to the table', () => {
  it("can make one partition decrypt another partition's record if they can also rewrite the record", async () => {
    const victim = await seal('victim', 'secret');
    const own = rowOf(await seal('accomplice', 'x'));
    const parent = { id: own.id, created: (own.created + 60) as EnvelopeKeyRecord['created'] };
    plant({ ...rowOf(victim), ...parent, proof: undefined });
    const renamed = { ...victim, key: { ...victim.key, parent } };
    expect(await open('accomplice', renamed)).toBe('secret');
    // Without the changed key name, the record does not decrypt in the other partition.
    expect(await codeOf(open('accomplice', victim))).toBe('RecordUnreadable');
  });

  it('can make an old key the latest again by changing its date', async () => {
    const old = rowOf(await seal('p', 'x'));
    world.clock.advance(80 * DAY_MS);
    const created = Math.floor(world.clock.nowMs / 1000) as never;
    plant({ ...old, proof: undefined, created });
    world.clock.advance(8 * DAY_MS);
    expect((await seal('p', 'y')).key.parent.created).toBe(created);
  });

  it('can undo an erasure before the rows are deleted, and can restore the marks of a cancelled erasure', async () => {
    const record = await seal('p', 'x');
    const before = new Map(world.metastore.rows);
    const erasure = erasureOf(world.metastore.rows, world.clock.now);
    await erasure.begin(await erasure.read(), 86_400);
    const marked = new Map(world.metastore.rows);
    expect(await codeOf(open('p', record))).toBe('PartitionErased');
    world.metastore.rows.clear();
    for (const row of before.values()) plant(row);
    expect(await open('p', record)).toBe('x');
    for (const row of marked.values()) plant(row);
    expect(await codeOf(open('p', record))).toBe('PartitionErased');
  });

  it('can neither move a key to another partition nor change its date if keyRowProofs is "require"', async () => {
    const victim = await seal('victim', 'secret');
    const own = rowOf(await seal('accomplice', 'x'));
    const parent = { id: own.id, created: (own.created + 60) as EnvelopeKeyRecord['created'] };
    const renamed = { ...victim, key: { ...victim.key, parent } };
    for (const proof of [undefined, rowOf(victim).proof, own.proof]) {
      plant({ ...rowOf(victim), ...parent, proof });
      const work = world.process({ keyRowProofs: 'require' }).session('accomplice').decrypt(renamed);
      expect(await codeOf(work)).toBe('KeyRowUnreadable');
    }
  });

  it('can undo a revocation for processes with an empty key cache', async () => {
    const row = rowOf(await seal('p', 'x'));
    world.metastore.change(row, { revoked: true });
    const successor = rowOf(await seal('p', 'y'));
    expect(successor.created).toBeGreaterThan(row.created);
    world.metastore.change(row, { revoked: false });
    world.metastore.remove(successor);
    expect((await seal('p', 'z')).key.parent.created).toBe(row.created);
  });

  it('can undo a revocation for a process that has seen the revocation, once the key has left the cache', async () => {
    const session = world.process().session('p');
    const createdBy = async (): Promise<number> => (await session.encrypt(Buffer.from('x'))).key.parent.created;
    const created = await createdBy();
    const row = rowOf(await seal('p', 'x'));
    world.metastore.change(row, { revoked: true });
    world.clock.advance(60 * MINUTE_MS);
    expect(await createdBy()).toBeGreaterThan(created);
    world.metastore.remove(rowOf(await seal('p', 'y')));
    world.metastore.change(row, { revoked: false });
    expect(await createdBy()).toBeGreaterThan(created);
    world.clock.advance(75 * MINUTE_MS);
    expect(await createdBy()).toBe(created);
  });

  it('can insert a System Key whose bytes they know if they may also encrypt with the KMS key', async () => {
    const known = Buffer.alloc(32, 9);
    const encryptedKey = await wrappedBy(world.kms, Buffer.from(known), noDeadline());
    const created = Math.floor(world.clock.nowMs / 1000) as never;
    plant({ id: '_SK_svc_prod' as never, created, encryptedKey, revoked: false });
    const row = rowOf(await seal('p', 'x'));
    expect(aeadOpen(createSecretKey(known), row.encryptedKey)).toHaveLength(32);
  });

  it('can make every request call KMS by writing a row whose wraps name a key that KMS refuses', async () => {
    const emulator = await startKmsEmulator();
    const { keyArn } = await emulator.ensureKey('us-west-2', 'alias/keyfold');
    const options = { keys: { 'us-west-2': keyArn }, preferredRegion: 'us-west-2', endpoint: emulator.endpoint };
    const names = { service: 'svc', product: 'prod', metastore: world.metastore };
    const session = (): Session => new SessionFactory({ ...names, kms: new AwsKms(options) }).session('p');
    const record = await session().encrypt(Buffer.from('x'));
    const [row] = world.metastore.ofKind('SK') as [EnvelopeKeyRecord];
    const envelope = JSON.parse(Buffer.from(row.encryptedKey).toString()) as { kmsKeks: [object] };
    const wrap = { ...envelope.kmsKeks[0], arn: keyArn.replace(/[^/]+$/, 'absent') };
    const hostile = { ...envelope, kmsKeks: Array.from({ length: 1000 }, () => wrap) };
    world.metastore.change(row, { encryptedKey: Buffer.from(JSON.stringify(hostile)) });
    const reader = session();
    for (let i = 0; i < 2; i += 1) {
      emulator.resetCalls();
      expect(await codeOf(reader.decrypt(record))).toBe('KmsMisconfigured');
      expect(emulator.calls()).toHaveLength(4);
    }
    await emulator.close();
  });
});

it('an attacker who impersonates KMS in one region gets data keys, because maintenance sends a data key to each region that fails to decrypt a wrap of that key', async () => {
  const [WEST, EAST] = ['us-west-2', 'us-east-1'];
  const systemKey = Buffer.alloc(32, 9);
  const kms = await startKmsEmulator();
  const [west, east] = await Promise.all([WEST, EAST].map((region) => kms.ensureKey(region, 'alias/keyfold')));
  const options = { keys: { [WEST]: west?.keyArn ?? '', [EAST]: east?.keyArn ?? '' }, preferredRegion: WEST };
  const wrapped = await wrappedBy(new AwsKms({ ...options, endpoint: kms.endpoint }), systemKey, noDeadline());

  const attacker = await startStub(({ headers }) =>
    headers['x-amz-target'] === 'TrentService.Encrypt'
      ? { status: 200, body: JSON.stringify({ KeyId: east?.keyArn, CiphertextBlob: 'AAAA' }) }
      : { status: 400, body: '{"__type":"InvalidCiphertextException"}' },
  );
  const clients = (region: string): KMSClient =>
    new KMSClient({ region, endpoint: region === EAST ? attacker.url : kms.endpoint, maxAttempts: 1 });
  await new AwsKms({ ...options, clients }).renew(wrapped, noDeadline());

  const sent = attacker.requests.map(({ body }) => (JSON.parse(body) as { Plaintext?: string }).Plaintext);
  const dataKey = createSecretKey(Buffer.from(sent.find((plaintext) => plaintext !== undefined) ?? '', 'base64'));
  const { encryptedKey } = JSON.parse(Buffer.from(wrapped).toString()) as { encryptedKey: string };
  expect(aeadOpen(dataKey, Buffer.from(encryptedKey, 'base64'))).toEqual(systemKey);
  await Promise.all([kms.close(), attacker.stop()]);
});

/** The session for one version of a customer's balance. */
const balanceOf = (id: string, version = '1'): Session =>
  world.process().session('p').withContext({ table: 'balances', id, version });

describe('an attacker who can write records', () => {
  it('can replace a record by another record of the same partition if the records have no context', async () => {
    const balances = { alice: await seal('p', '10'), bob: await seal('p', '1000') };
    balances.alice = balances.bob;
    expect(await open('p', balances.alice)).toBe('1000');
  });

  it("cannot replace a record by another record if the reader supplies the row's context", async () => {
    const [alice, bob] = [await balanceOf('alice').encrypt(Buffer.from('10')), await seal('p', '1000')];
    const bound = await balanceOf('bob').encrypt(Buffer.from('1000'));
    for (const record of [bob, bound, { ...bound, proof: undefined }, { ...bound, proof: alice.proof }]) {
      expect(await codeOf(balanceOf('alice').decrypt(record))).toBe('RecordUnreadable');
    }
    expect(String(await balanceOf('alice').decrypt(alice))).toBe('10');
  });

  it('can replace a record by its previous version unless the context contains a version number', async () => {
    const older = await balanceOf('alice', '1').encrypt(Buffer.from('1000'));
    expect(String(await balanceOf('alice', '1').decrypt(older))).toBe('1000');
    expect(await codeOf(balanceOf('alice', '2').decrypt(older))).toBe('RecordUnreadable');
  });

  it('can strip the proof from a record, which then opens for callers who supply no context', async () => {
    const record = await balanceOf('alice').encrypt(Buffer.from('10'));
    expect(await codeOf(open('p', record))).toBe('ContextRequired');
    expect(await open('p', { key: record.key, data: record.data })).toBe('10');
  });

  it('cannot combine two records, because a payload decrypts only under its own Data Row Key', async () => {
    const [one, other] = [await seal('p', 'one'), await seal('p', 'other')];
    expect(await codeOf(open('p', { key: one.key, data: other.data }))).toBe('RecordUnreadable');
  });

  it('can read the length of a payload from its record', async () => {
    for (const length of [0, 1, 1000]) {
      expect((await seal('p', 'x'.repeat(length))).data).toHaveLength(length + SEAL_OVERHEAD_BYTES);
    }
  });
});

describe('an attacker who puts a stolen sealed value into a field of a document', () => {
  let operator: Operator;
  let stolen: unknown;

  beforeEach(async () => {
    operator = operate(world.process());
    const card = await operator.answer('encrypt-fields', { document: { card: '4111' }, fields: ['$.card'] });
    stolen = (card['document'] as { card: unknown }).card;
  });

  it('can have decrypt-fields decrypt the value with `all: true`, unless encrypt-fields has processed the field before', async () => {
    const document = { nickname: stolen };
    expect(await operator.answer('decrypt-fields', { document, all: true })).toEqual({
      document: { nickname: '4111' },
    });
  });

  it('gets the stolen value decrypted if encrypt-fields with `skipSealed: true` left the field unchanged', async () => {
    const body = { document: { nickname: stolen }, fields: ['$.nickname'] };
    const { document } = await operator.answer('encrypt-fields', { ...body, skipSealed: true });
    expect(await operator.answer('decrypt-fields', { ...body, document })).toEqual({ document: { nickname: '4111' } });
  });

  it('gets back only the stolen sealed value if encrypt-fields sealed that value once more', async () => {
    const body = { document: { nickname: stolen }, fields: ['$.nickname'] };
    const { document } = await operator.answer('encrypt-fields', body);
    expect(await operator.answer('decrypt-fields', { ...body, document })).toEqual({ document: { nickname: stolen } });
  });
});
