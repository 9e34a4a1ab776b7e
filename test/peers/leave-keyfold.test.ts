/** Leaves Keyfold for Asherah and for plaintext, as docs/how-to/leave-keyfold.md describes. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient, PutItemCommand, ScanCommand, type AttributeValue } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { startKmsEmulator, type KmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { createKeyTable } from '../../local/dynamodb.ts';
import { ensureKeys } from '../../local/function-environment.ts';
import { AwsKms, encodeCompactRecord, decodeDataRowRecord, type SessionFactory } from '../../src/index.ts';
import { FollowedPage } from '../support/followed-page.ts';
import { cellsOf, OperatorFixture, type CliRun } from '../support/operator.ts';
import { ASHERAHS } from './asherah.ts';
import { startKmsProxy, type KmsProxy } from './kms-proxy.ts';
import { AWS_ENVIRONMENT, startDynamoDbLocal, type PeerServer } from './processes.ts';
import { NAMES, shareTable, type SharedTable } from './shared-table.ts';
import { createRowsTable } from '../support/rows-table.ts';

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
  await createRowsTable(client, customers);
  folder = await mkdtemp(join(tmpdir(), 'keyfold-leave-'));
  return () => rm(folder, { recursive: true });
});

function service(): SessionFactory {
  return table.keyfold({ kms: new AwsKms({ keys, preferredRegion: WEST, endpoint: kms.endpoint }) });
}

/** Seals a payload of a tenant in a cold process. Returns the record as JSON. */
function sealed(tenant: string): Promise<string> {
  return service()
    .session(tenant)
    .encryptToJson(Buffer.from(`card of ${tenant}`));
}

/** Runs the CLI. The operator answers every question with yes. */
function keyfold(args: readonly string[]): Promise<CliRun> {
  const operator = OperatorFixture.at(dynamoDb.endpoint);
  operator.clock.nowMs = Date.now();
  const settings = {
    KEYFOLD_SERVICE: NAMES.service,
    KEYFOLD_PRODUCT: NAMES.product,
    KEYFOLD_TABLE: table.tableName,
    KEYFOLD_KMS_KEYS: JSON.stringify(keys),
  };
  return operator.keyfold(args, settings, { ask: () => Promise.resolve('yes') });
}

async function reportIn(name: string): Promise<unknown> {
  return JSON.parse(await readFile(inFolder(name), 'utf8'));
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
      await put(tenant, await sealed(tenant));
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

it('docs/how-to/leave-keyfold.md has commands that open every record, and a backup still opens with the exported key rows', async () => {
  table = await shareTable(dynamoDb.endpoint, { core: 'go' });
  const kept = `Kept${runs}`;
  const page = new FollowedPage('docs/how-to/leave-keyfold.md', {
    folder,
    keyfold: (args) => keyfold(args),
    values: { Customers: customers, KeptKeys: kept, _SK_orders_shop: SYSTEM_KEY },
  });
  for (const tenant of TENANTS) {
    await put(tenant, await sealed(tenant));
    const compact = encodeCompactRecord(decodeDataRowRecord(await sealed(tenant)), 'bytes') ?? '';
    await put(`${tenant} compact`, compact);
  }
  const records = Object.values(await cards()).map((card = '') => (card.startsWith('{') ? card : JSON.stringify(card)));
  await writeFile(inFolder('backup.jsonl'), records.join('\n'));

  // Step 1: list every place with records.
  await exportCustomers('customers.jsonl');
  const verified = await page.run('keyfold verify customers.jsonl');
  expect([verified.code, cellsOf(verified)]).toEqual([0, expect.arrayContaining([['unreadable', '0']])]);

  // Step 2: the two commands show the same number of rows.
  const listed = await page.run('keyfold keys list --all');
  page.pass('aws dynamodb scan');
  const exported = await rowsOf(table.tableName);
  // The first line is the heading.
  expect(cellsOf(listed)).toHaveLength(exported.length + 1);

  // Step 4: open every record, even one that a writer seals meanwhile. Plaintext stays as it is.
  const rehearsal = await page.run('keyfold reencrypt');
  expect([rehearsal.code, cellsOf(rehearsal)]).toEqual([0, expect.arrayContaining([['would be written', '4']])]);
  const opened = await page.run('keyfold reencrypt');
  expect([opened.code, cellsOf(opened)]).toEqual([0, expect.arrayContaining([['written', '4']])]);
  await put('late', await sealed('tenant-1'));
  await put('plain', 'never sealed');
  for (const written of ['1', '0']) expect(cellsOf(await page.again())).toContainEqual(['written', written]);
  expect(await cards()).toEqual({
    ...Object.fromEntries(
      TENANTS.flatMap((tenant) => [tenant, `${tenant} compact`].map((id) => [id, `card of ${tenant}`])),
    ),
    late: 'card of tenant-1',
    plain: 'never sealed',
  });
  expect(await reportIn('opened.report')).toMatchObject({ quarantined: 0, records: 0, keys: [] });

  // Step 5: revoking the System Key reveals a process that still encrypts.
  expect((await page.run('keyfold keys revoke')).code).toBe(0);
  const [, [, , , created = ''] = []] = cellsOf(await page.run('keyfold keys list'));
  await sealed('tenant-1');
  expect(cellsOf(await page.again())).toHaveLength(3);
  expect((await page.run('keyfold reencrypt')).code).toBe(0);
  expect(await reportIn('last.report')).toMatchObject({ written: 0, records: 0 });
  const retired = await page.run('keyfold keys retire-check', { '1795446120': created });
  expect([retired.code, retired.stdout]).toEqual([0, expect.stringMatching(/^Retired:/)]);

  // Step 6: the table is gone. Only the table's export and the KMS key are left.
  await createKeyTable(dynamoDb.endpoint, kept);
  page.pass('jq');
  for (const Item of exported) {
    const ConditionExpression = 'attribute_not_exists(Id)';
    await client.send(new PutItemCommand({ TableName: kept, Item, ConditionExpression }));
  }
  const opens = await page.run('keyfold verify backup.jsonl');
  expect([opens.code, cellsOf(opens)]).toEqual([0, expect.arrayContaining([['open', '4']])]);
  const restored = await page.run('keyfold reencrypt backup.jsonl');
  expect([restored.code, cellsOf(restored)]).toEqual([0, expect.arrayContaining([['written', '4']])]);
  const plain = (await readFile(inFolder('plain.jsonl'), 'utf8')).trim().split('\n');
  expect(new Set(plain)).toEqual(new Set(TENANTS.map((tenant) => `"card of ${tenant}"`)));
  expect(page.left()).toEqual([]);
});
