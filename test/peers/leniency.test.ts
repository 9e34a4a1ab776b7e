/** Tests which parts of each other's records and rows Asherah and Keyfold ignore, and which partitions both can use. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeDataRowRecord, type KeyMeta } from '../../src/index.ts';
import { noDeadline } from '../support/fakes.ts';
import { oddPartitions } from '../support/odd-partitions.ts';
import { ASHERAHS } from './asherah.ts';
import { AWS_ENVIRONMENT, startDynamoDbLocal, type PeerServer } from './processes.ts';
import { NAMES, shareTable, type Row } from './shared-table.ts';

const PAYLOAD = Buffer.from('payload');
const PARTITIONS = oddPartitions(NAMES);
/**
 * Members that neither Asherah nor Keyfold recognises. Keyfold recognises `Proof`, which test/peers/proofs.test.ts
 * covers.
 */
const UNKNOWN = { Witness: 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', Nested: { a: [1, null, 'é'] }, Number: 1.5 };

let dynamoDb: PeerServer;

beforeAll(async () => {
  Object.assign(process.env, AWS_ENVIRONMENT);
  dynamoDb = await startDynamoDbLocal();
});
afterAll(() => dynamoDb.stop());

describe.for(ASHERAHS)('Asherah %s and Keyfold', (core) => {
  it('ignore unknown members at every level of a record', async () => {
    const { asherah, keyfold } = await shareTable(dynamoDb.endpoint, { core });
    await using peer = await asherah();
    const session = keyfold().session('tenant');
    for (const record of [await session.encryptToJson(PAYLOAD), await peer.encrypt('tenant', PAYLOAD)]) {
      const { Key, Data } = JSON.parse(record) as { Key: { ParentKeyMeta: object }; Data: string };
      const more = {
        ...UNKNOWN,
        Key: { ...UNKNOWN, ...Key, ParentKeyMeta: { ...Key.ParentKeyMeta, ...UNKNOWN } },
        Data,
      };
      expect(await peer.decrypt('tenant', JSON.stringify(more))).toEqual(PAYLOAD);
      expect(await session.decryptJson(JSON.stringify(more))).toEqual(PAYLOAD);
    }
  });

  it('ignore unknown attributes of every type at every level of a key row', async () => {
    const { asherah, keyfold, change, metastore } = await shareTable(dynamoDb.endpoint, { core });
    const record = await keyfold().session('tenant').encryptToJson(PAYLOAD);
    const intermediate = decodeDataRowRecord(record).key.parent as KeyMeta;
    const system = (await metastore.load(intermediate.id, intermediate.created, noDeadline()))?.parent as KeyMeta;
    for (const key of [intermediate, system]) await change(key, addUnknown);
    await using peer = await asherah();
    expect(await peer.decrypt('tenant', record)).toEqual(PAYLOAD);
    const theirs = await peer.encrypt('tenant', PAYLOAD);
    expect(decodeDataRowRecord(theirs).key.parent).toEqual(intermediate);
    expect(await keyfold().session('tenant').decryptJson(theirs)).toEqual(PAYLOAD);
    // Asherah creates an Intermediate Key under the System Key whose row has the unknown attributes.
    const another = await peer.encrypt('another', PAYLOAD);
    expect(await keyfold().session('another').decryptJson(another)).toEqual(PAYLOAD);
  });

  it("read each other's records for every partition whose key ID fits into DynamoDB", async () => {
    const { asherah, keyfold } = await shareTable(dynamoDb.endpoint, { core });
    await using peer = await asherah();
    await using reader = await asherah();
    const failed: string[] = [];
    for (const partition of PARTITIONS) {
      const session = keyfold().session(partition);
      const opened = [await reader.decrypt(partition, await session.encryptToJson(PAYLOAD))];
      // The Python binding of Asherah Go allocates too little memory for a record with this many escapes, and cannot
      // encrypt.
      const seals = core !== 'go' || !partition.startsWith('\u0001');
      if (seals) opened.push(await session.decryptJson(await peer.encrypt(partition, PAYLOAD)));
      if (!opened.every((payload) => payload.equals(PAYLOAD))) failed.push(encodeURIComponent(partition));
    }
    expect(failed).toEqual([]);
  });
});

/**
 * Adds unknown attributes to a row. The number inside KeyRecord is an integer, because Java reads every number there as
 * a 64-bit integer.
 */
function addUnknown(row: Row): void {
  const more: Row = {
    Witness: { B: new Uint8Array(32) },
    Note: { M: { a: { L: [{ NULL: true }, { BOOL: true }, { S: 'é' }] } } },
    Set: { SS: ['a'] },
  };
  const { M: record = {} } = row['KeyRecord'] ?? {};
  Object.assign(row, more, { Number: { N: '1.5' } });
  for (const inner of [record, record['ParentKeyMeta']?.M ?? {}]) Object.assign(inner, more, { Number: { N: '7' } });
}
