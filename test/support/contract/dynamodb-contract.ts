import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createKeyTable } from '../../../local/dynamodb.ts';
import { DynamoDbMetastore, type DynamoDbMetastoreOptions } from '../../../src/index.ts';
import { encodeKeyItem, type KeyItem } from '../../../src/metastore/dynamodb-item.ts';
import { DynamoDbKeyTable } from '../../../src/metastore/dynamodb-key-table.ts';
import { codeOf, errorOf, noDeadline } from '../fakes.ts';
import { keyTableContract } from './key-table-contract.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { runMetastoreContracts } from './bind.ts';
import { storedProofsContract } from './stored-proofs-contract.ts';
import { startStub, type StubServer } from '../stub-server.ts';

/** A running DynamoDB, real or emulated. */
export interface DynamoDbUnderTest {
  readonly endpoint: string;
  stop(): Promise<void>;
}

const TABLE = 'Contract';
const REGION = 'us-west-2';

function openAt(endpoint: string): DynamoDbMetastore {
  return new DynamoDbMetastore({ tableName: TABLE, region: REGION, endpoint });
}

/**
 * Runs the contracts of a metastore and of a key table against DynamoDB over HTTP, and tests behaviour that only
 * DynamoDB has.
 */
export function dynamoDbContract(name: string, start: () => Promise<DynamoDbUnderTest>): void {
  describe(`DynamoDbMetastore on ${name}`, () => {
    let server: DynamoDbUnderTest;
    let silent: StubServer;
    const deadline = noDeadline();
    const optionsOf = (tableName: string): DynamoDbMetastoreOptions => ({
      tableName,
      endpoint: server.endpoint,
      region: REGION,
    });
    const open = (): DynamoDbMetastore => new DynamoDbMetastore(optionsOf(TABLE));

    beforeAll(async () => {
      [server, silent] = await Promise.all([start(), startStub('hang')]);
      await createKeyTable(server.endpoint, TABLE);
    });
    afterAll(() => Promise.all([server.stop(), silent.stop()]));

    runMetastoreContracts(name, open, {
      openFailing: () => openAt('http://127.0.0.1:9'),
      openHanging: () => openAt(silent.url),
      openMissing: () => new DynamoDbMetastore(optionsOf('Missing')),
    });

    const put = async (item: KeyItem): Promise<void> => {
      const client = new DynamoDBClient({ endpoint: server.endpoint, region: REGION });
      await client.send(new PutItemCommand({ TableName: TABLE, Item: item }));
    };

    storedProofsContract(name, () => optionsOf(TABLE));

    keyTableContract(() => ({ table: new DynamoDbKeyTable(optionsOf(TABLE)), metastore: open(), put }));

    it('ignores unknown attributes of a row', async () => {
      const record = keyRecord('_SK_unknown', 60);
      await put({ ...encodeKeyItem(record), More: { S: 'x' } });
      expect(await open().load(record.id, record.created, deadline)).toEqual(record);
    });

    it('returns the recent rows down to an unreadable row, newest first, and throws if the newest row is unreadable', async () => {
      const rows = [60, 120, 180].map((created) => keyRecord('_SK_recent_broken', created));
      for (const row of rows) await put(encodeKeyItem(row));
      const [oldest, broken, newest] = rows;
      if (oldest === undefined || broken === undefined || newest === undefined) throw new Error('no rows');
      await put({ ...encodeKeyItem(broken), KeyRecord: { S: 'x' } });
      expect(await open().loadRecent(newest.id, newest.created, deadline)).toEqual([newest]);
      expect(await codeOf(open().loadRecent(newest.id, broken.created, deadline))).toBe('KeyRowUnreadable');
      expect(await open().loadRecent(newest.id, oldest.created, deadline)).toEqual([oldest]);
    });

    it('finds no row, and stays available, if DynamoDB would refuse the ID or the date', async () => {
      const metastore = open();
      const { id, created } = keyRecord('_SK_possible', 60);
      await metastore.load(id, created, deadline);
      const table = new DynamoDbKeyTable(optionsOf(TABLE));
      for (const impossible of ['', 'a'.repeat(2049), 'é'.repeat(1025), 'a\ud800']) {
        expect(await metastore.load(keyRecord(impossible, 0).id, created, deadline)).toBeUndefined();
        expect(await table.find(impossible, 60)).toBeUndefined();
        expect(await table.find(impossible, 'latest')).toBeUndefined();
        expect(await table.list(impossible)).toEqual([]);
      }
      for (const impossible of [1.5, 2 ** 53, 1e40, NaN, -Infinity]) {
        expect(await metastore.load(id, keyRecord('', impossible).created, deadline)).toBeUndefined();
        expect(await table.find(id, impossible)).toBeUndefined();
      }
      for (const possible of [-1, 0, 2 ** 53 - 1, -(2 ** 53 - 1)]) {
        expect(
          await metastore.load(keyRecord('a'.repeat(2048), 0).id, keyRecord('', possible).created, deadline),
        ).toBeUndefined();
      }
      expect(metastore.state).toMatchObject({ state: 'ok' });
      expect(metastore.state).not.toHaveProperty('lastError');
    });

    it('throws an error that names the unreadable row, instead of reporting the row as absent', async () => {
      const record = keyRecord('_SK_broken', 60);
      await put({ ...encodeKeyItem(record), KeyRecord: { S: 'x' } });
      const works = [open().load(record.id, record.created, deadline), open().loadLatest(record.id, deadline)];
      for (const error of await Promise.all(works.map(errorOf))) {
        expect(error).toMatchObject({
          code: 'KeyRowUnreadable',
          message: expect.stringContaining('_SK_broken created 60') as string,
        });
      }
    });

    it('throws MetastoreUnavailable for a missing table, instead of reporting the key as absent', async () => {
      const metastore = new DynamoDbMetastore(optionsOf('NoSuch'));
      expect(await codeOf(metastore.loadLatest(keyRecord('_SK_x', 0).id, deadline))).toBe('MetastoreUnavailable');
      expect(await codeOf(metastore.store(keyRecord('_SK_x', 0), deadline))).toBe('MetastoreUnavailable');
      expect(metastore.state).toMatchObject({
        state: 'unavailable',
        lastError: { errorName: 'ResourceNotFoundException' },
      });
      const table = new DynamoDbKeyTable(optionsOf('NoSuch'));
      const works = [table.find('_SK_x', 0), table.find('_SK_x', 'latest'), table.list('_SK_x'), table.list()];
      for (const error of await Promise.all([...works, table.revoke(keyRecord('_SK_x', 0))].map(errorOf))) {
        expect(error).toMatchObject({ code: 'MetastoreUnavailable' });
        expect(String((error as Error).cause)).toMatch(
          /^Error: DynamoDB table NoSuch in us-west-2: ResourceNotFoundException: /,
        );
      }
    });
  });
}
