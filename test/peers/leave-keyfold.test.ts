/** Leaves Keyfold for Asherah and for plaintext, as docs/how-to/leave-keyfold.md describes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateTableCommand,
  DynamoDBClient,
  PutItemCommand,
  ScanCommand,
  type AttributeValue,
} from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { startKmsEmulator, type KmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { createKeyTable } from '../../local/dynamodb.ts';
import { ensureKeys } from '../../local/function-environment.ts';
import { AwsKms, encodeCompactRecord, decodeDataRowRecord, type SessionFactory } from '../../src/index.ts';
import { OperatorFixture, type CliRun } from '../support/operator.ts';
import { ASHERAHS } from './asherah.ts';
import { startKmsProxy, type KmsProxy } from './kms-proxy.ts';
import { AWS_ENVIRONMENT, startDynamoDbLocal, type PeerServer } from './processes.ts';
import { NAMES, shareTable, type SharedTable } from './shared-table.ts';

Object.assign(process.env, AWS_ENVIRONMENT);

const WEST = AWS_ENVIRONMENT.AWS_REGION;
const SYSTEM_KEY = `_SK_${NAMES.service}_${NAMES.product}`;
const TENANTS = ['tenant-1', 'tenant-2'];
const CONTEXT = { table: 'Customers' };

let kms: KmsEmulator;
let proxy: KmsProxy;
let dynamoDb: PeerServer;
let client: DynamoDBClient;
let keys: Record<string, string>;
let table: SharedTable;
let folder: string;
let runs = 0;
/** The table with the records. */
let customers: string;

beforeAll(async () => {
  [kms, dynamoDb] = await Promise.all([startKmsEmulator(), startDynamoDbLocal()]);
  proxy = await startKmsProxy(kms.endpoint, [WEST]);
  process.env['AWS_ENDPOINT_URL_KMS'] = kms.endpoint;
  keys = await ensureKeys(kms, [WEST]);
  client = new DynamoDBClient({ endpoint: dynamoDb.endpoint, region: WEST });
});
afterAll(() => Promise.all([kms.close(), dynamoDb.stop(), proxy.stop()]));
beforeEach(async () => {
  runs += 1;
  customers = `Customers${runs}`;
  await client.send(
    new CreateTableCommand({
      TableName: customers,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
    }),
  );
  folder = await mkdtemp(join(tmpdir(), 'keyfold-leave-'));
  return () => rm(folder, { recursive: true });
});

function service(): SessionFactory {
  return table.keyfold({ kms: new AwsKms({ keys, preferredRegion: WEST, endpoint: kms.endpoint }) });
}

function keyfold(args: readonly string[], tableName = table.tableName): Promise<CliRun> {
  const operator = OperatorFixture.at(dynamoDb.endpoint);
  operator.clock.nowMs = Date.now();
  return operator.keyfold(args, {
    KEYFOLD_SERVICE: NAMES.service,
    KEYFOLD_PRODUCT: NAMES.product,
    KEYFOLD_TABLE: tableName,
    KEYFOLD_KMS_KEYS: JSON.stringify(keys),
  });
}

/** The last object that `--json` printed, which has the counts. */
function reportOf({ stdout }: CliRun): unknown {
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
}

const inFolder = (name: string): string => join(folder, name);

async function put(id: string, card: string): Promise<void> {
  await client.send(new PutItemCommand({ TableName: customers, Item: { id: { S: id }, card: { S: card } } }));
}

async function rowsOf(TableName: string): Promise<Record<string, AttributeValue>[]> {
  return (await client.send(new ScanCommand({ TableName, ConsistentRead: true }))).Items ?? [];
}

async function cards(): Promise<Record<string, string | undefined>> {
  return Object.fromEntries((await rowsOf(customers)).map(({ id, card }) => [id?.S ?? '', card?.S]));
}

/** Writes the rows to a file, as an export or a backup of the table does. */
async function exportCustomers(name: string): Promise<string> {
  const rows = Object.entries(await cards()).map(([id, card]) => JSON.stringify({ id, card }));
  await writeFile(inFolder(name), rows.join('\n'));
  return inFolder(name);
}

it.for(ASHERAHS)(
  'Asherah %s can replace Keyfold, and Keyfold still opens the records that Asherah seals',
  async (core) => {
    table = await shareTable(dynamoDb.endpoint, { core });
    for (const tenant of TENANTS) {
      const json = await service()
        .session(tenant)
        .encryptToJson(Buffer.from(`card of ${tenant}`));
      await put(tenant, json);
      const bound = await service().session(tenant).withContext(CONTEXT).encryptToJson(Buffer.from('bound'));
      await put(`${tenant} bound`, bound);
    }
    const before = await keyfold(['verify', await exportCustomers('before.jsonl'), '--field', 'card', '--json']);
    expect(reportOf(before)).toMatchObject({ records: 4, opens: 2, needsContext: 2, unreadable: 0 });

    await using peer = await table.asherah({ environment: proxy.environment, regionMap: keys, preferredRegion: WEST });
    for (const tenant of TENANTS) {
      const { [tenant]: json = '', [`${tenant} bound`]: bound = '' } = await cards();
      expect(String(await peer.decrypt(tenant, json))).toBe(`card of ${tenant}`);
      expect(String(await peer.decrypt(tenant, bound))).toBe('bound');
      await put(`${tenant} new`, await peer.encrypt(tenant, Buffer.from('sealed by Asherah')));
    }
    // A service can still go back, because Keyfold opens what Asherah sealed.
    const after = await keyfold(['verify', await exportCustomers('after.jsonl'), '--field', 'card', '--json']);
    expect(reportOf(after)).toMatchObject({ records: 6, opens: 4, needsContext: 2, unreadable: 0 });
  },
);

it('the steps in docs/how-to/leave-keyfold.md open every record, and a backup still opens with the exported key rows', async () => {
  table = await shareTable(dynamoDb.endpoint, { core: 'go' });
  for (const tenant of TENANTS) {
    const sealed = await service()
      .session(tenant)
      .encryptToJson(Buffer.from(`card of ${tenant}`));
    await put(tenant, sealed);
    await put(`${tenant} compact`, encodeCompactRecord(decodeDataRowRecord(sealed), 'bytes') ?? '');
  }
  await put('plain', 'never sealed');
  const backup = await exportCustomers('backup.jsonl');

  // Step 2: the two commands show the same number of rows.
  const exported = await rowsOf(table.tableName);
  const listed = await keyfold(['keys', 'list', '--all', '--json']);
  expect(JSON.parse(listed.stdout)).toHaveLength(exported.length);

  // Step 4: open every record.
  const open = [`reencrypt`, `dynamodb:${customers}`, '--field', 'card', '--verb', 'open', '--json'];
  const bad = ['--quarantine', inFolder('bad.jsonl')];
  const rehearsal = await keyfold([...open, ...bad, '--dry-run']);
  expect([rehearsal.code, reportOf(rehearsal)]).toMatchObject([0, { written: 4, quarantined: 0 }]);
  const opened = await keyfold([...open, ...bad, '--report', inFolder('opened'), '--reason', 'leave Keyfold']);
  expect([opened.code, reportOf(opened)]).toMatchObject([0, { written: 4, quarantined: 0, records: 0, keys: [] }]);
  expect(await cards()).toEqual({
    ...Object.fromEntries(
      TENANTS.flatMap((tenant) => [tenant, `${tenant} compact`].map((id) => [id, `card of ${tenant}`])),
    ),
    plain: 'never sealed',
  });

  // Step 5: revoking the System Key reveals a process that still encrypts.
  const revoke = ['keys', 'revoke', SYSTEM_KEY, 'latest', '--yes', '--reason', 'leave Keyfold'];
  expect((await keyfold(revoke)).code).toBe(0);
  const [revoked] = JSON.parse((await keyfold(['keys', 'list', '--json'])).stdout) as { id: string; created: number }[];
  await put('forgotten', await service().session('tenant-1').encryptToJson(Buffer.from('late')));
  expect(JSON.parse((await keyfold(['keys', 'list', '--json'])).stdout)).toHaveLength(2);
  const report = ['--report', inFolder('last')];
  const last = await keyfold([...open, ...bad, '--dry-run', ...report]);
  expect([last.code, reportOf(last)]).toMatchObject([0, { written: 1 }]);
  expect((await keyfold([...open, ...bad])).code).toBe(0);
  expect(reportOf(await keyfold([...open, ...bad, '--dry-run', ...report]))).toMatchObject({ written: 0, records: 0 });
  const retired = await keyfold(['keys', 'retire-check', SYSTEM_KEY, String(revoked?.created), '--json', ...report]);
  expect([retired.code, JSON.parse(retired.stdout)]).toMatchObject([0, { outcome: 'retired' }]);

  // Step 6: the table is gone. Only the table's export and the KMS key are left.
  const kept = `Kept${runs}`;
  await createKeyTable(dynamoDb.endpoint, kept);
  for (const Item of exported) {
    const ConditionExpression = 'attribute_not_exists(Id)';
    await client.send(new PutItemCommand({ TableName: kept, Item, ConditionExpression }));
  }
  const verified = await keyfold(['verify', backup, '--field', 'card', '--json'], kept);
  // One row contains plaintext, which is not a valid record.
  expect(reportOf(verified)).toMatchObject({ records: 5, opens: 4, malformed: 1 });
  const [plain, line] = [inFolder('plain.jsonl'), ['--field', 'card', '--verb', 'open', '--json']];
  const restored = await keyfold(['reencrypt', backup, ...line, '--output', plain, ...bad], kept);
  expect([restored.code, reportOf(restored)]).toMatchObject([0, { written: 4, records: 0 }]);
});
