/** Tests that Asherah opens records with proofs, uses key rows with proofs, and shares a table with Keyfold. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  decodeCompactRecord,
  decodeDataRowRecord,
  encodeCompactRecord,
  encodeDataRowRecord,
  type EnvelopeKeyRecord,
  type KeyMeta,
} from '../../src/index.ts';
import { codeOf, noDeadline } from '../support/fakes.ts';
import { operate } from '../support/operations.ts';
import { OperatorFixture, type CliRun } from '../support/operator.ts';
import { ASHERAHS, GO_STATIC_KEY } from './asherah.ts';
import { AWS_ENVIRONMENT, startDynamoDbLocal, type PeerServer } from './processes.ts';
import { NAMES, shareTable, type SharedTable } from './shared-table.ts';

const PAYLOAD = Buffer.from('payload, and \u{1f511}');
const HOME = { table: 'users', id: '42' };
const DAY_MS = 86_400_000;

let dynamoDb: PeerServer;

beforeAll(async () => {
  Object.assign(process.env, AWS_ENVIRONMENT);
  dynamoDb = await startDynamoDbLocal();
});
afterAll(() => dynamoDb.stop());

/** The rows of a record's Intermediate Key and of its System Key. */
async function rowsOf({ metastore }: SharedTable, record: string): Promise<EnvelopeKeyRecord[]> {
  const { id, created } = decodeDataRowRecord(record).key.parent as KeyMeta;
  const intermediate = await metastore.load(id, created, noDeadline());
  const parent = intermediate?.parent as KeyMeta;
  const system = await metastore.load(parent.id, parent.created, noDeadline());
  return [intermediate, system].filter((row) => row !== undefined);
}

const proofLengths = async (table: SharedTable, record: string): Promise<(number | undefined)[]> =>
  (await rowsOf(table, record)).map(({ proof }) => proof?.length);

function prove({ tableName }: SharedTable, ...options: string[]): Promise<CliRun> {
  return OperatorFixture.at(dynamoDb.endpoint).keyfold(['keys', 'prove', '--yes', ...options], {
    KEYFOLD_SERVICE: NAMES.service,
    KEYFOLD_PRODUCT: NAMES.product,
    KEYFOLD_TABLE: tableName,
    KEYFOLD_STATIC_MASTER_KEY_HEX: GO_STATIC_KEY.toString('hex'),
  });
}

describe.for(ASHERAHS)('Asherah %s', (core) => {
  it('opens records that Keyfold bound to a context, and encrypts under keys whose rows have proofs', async () => {
    const table = await shareTable(dynamoDb.endpoint, { core });
    const bound = table.keyfold().session('tenant').withContext(HOME);
    const ours = await bound.encryptToJson(PAYLOAD);
    expect(Object.keys(JSON.parse(ours) as object)).toEqual(['Key', 'Proof', 'Data']);
    expect(await proofLengths(table, ours)).toEqual([32, 32]);

    await using peer = await table.asherah();
    expect(await peer.decrypt('tenant', ours)).toEqual(PAYLOAD);
    const theirs = await peer.encrypt('tenant', PAYLOAD);
    expect(decodeDataRowRecord(theirs).key.parent).toEqual(decodeDataRowRecord(ours).key.parent);
    const another = await peer.encrypt('another', PAYLOAD);
    expect(await proofLengths(table, another)).toEqual([undefined, 32]);

    expect(await table.keyfold().session('tenant').decryptJson(theirs)).toEqual(PAYLOAD);
    expect(await table.keyfold().session('another').decryptJson(another)).toEqual(PAYLOAD);
    const reader = table.keyfold().session('tenant').withContext(HOME);
    expect(await reader.decryptJson(ours)).toEqual(PAYLOAD);
    expect(await codeOf(reader.decryptJson(theirs))).toBe('RecordUnreadable');
  });

  it('opens records with a context after Keyfold has rewrapped them, or converted them to JSON', async () => {
    const table = await shareTable(dynamoDb.endpoint, { core });
    const old = await table
      .keyfold({ offsetMs: -100 * DAY_MS })
      .session('tenant')
      .withContext(HOME)
      .encrypt(PAYLOAD);
    const { record, rewrapped } = await table.keyfold().session('tenant').rewrap(old);
    expect([rewrapped, record.proof]).toEqual([true, old.proof]);
    const compact = encodeCompactRecord(record, 'bytes') ?? '';
    expect(compact).toMatch(/^kf2\./);

    const { answer } = operate(table.keyfold());
    const request = { document: { card: '4111' }, fields: ['$.card'], context: HOME };
    const sealed = await answer('encrypt-fields', request, 'tenant');
    const { card } = sealed['document'] as { card: string };
    expect(card).toMatch(/^kf2j\./);

    await using peer = await table.asherah();
    expect(await peer.decrypt('tenant', encodeDataRowRecord(record))).toEqual(PAYLOAD);
    const opened = [compact, card].map((text) => encodeDataRowRecord(decodeCompactRecord(text).record));
    expect(await peer.decrypt('tenant', opened[0] ?? '')).toEqual(PAYLOAD);
    expect(String(await peer.decrypt('tenant', opened[1] ?? ''))).toBe('"4111"');
  });

  it('writes rows that Keyfold refuses in the mode "require" until keyfold keys prove has run', async () => {
    const table = await shareTable(dynamoDb.endpoint, { core });
    await using peer = await table.asherah();
    const theirs = await peer.encrypt('tenant', PAYLOAD);
    expect(await proofLengths(table, theirs)).toEqual([undefined, undefined]);
    const strict = (): ReturnType<SharedTable['keyfold']> => table.keyfold({ keyRowProofs: 'require' });
    expect(await codeOf(strict().session('tenant').decryptJson(theirs))).toBe('KeyRowUnreadable');
    expect(await codeOf(strict().session('tenant').encrypt(PAYLOAD))).toBe('KeyRowUnreadable');
    expect(await table.keyfold().session('tenant').decryptJson(theirs)).toEqual(PAYLOAD);

    expect((await prove(table, '--dry-run')).code).toBe(0);
    expect(await proofLengths(table, theirs)).toEqual([undefined, undefined]);
    expect(await prove(table)).toMatchObject({ code: 0, stdout: expect.stringContaining('Added 2 proofs') as string });
    expect(await proofLengths(table, theirs)).toEqual([32, 32]);

    expect(await strict().session('tenant').decryptJson(theirs)).toEqual(PAYLOAD);
    const ours = await strict().session('tenant').withContext(HOME).encryptToJson(PAYLOAD);
    expect(decodeDataRowRecord(ours).key.parent).toEqual(decodeDataRowRecord(theirs).key.parent);
    await using fresh = await table.asherah();
    for (const record of [ours, theirs]) expect(await fresh.decrypt('tenant', record)).toEqual(PAYLOAD);
    const later = await fresh.encrypt('tenant', PAYLOAD);
    expect(decodeDataRowRecord(later).key.parent).toEqual(decodeDataRowRecord(theirs).key.parent);
  });
});
