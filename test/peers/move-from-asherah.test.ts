/** Moves services from Asherah to Keyfold on the same table, as docs/how-to/move-from-asherah.md describes. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { startKmsEmulator, type KmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { ensureKeys } from '../../local/function-environment.ts';
import type { KmsConfig } from '../../src/config/app-config.ts';
import { readConfig } from '../../src/config/read-config.ts';
import { operatorAdapters } from '../../src/container.ts';
import type { Session } from '../../src/index.ts';
import { read } from '../support/documents.ts';
import { FollowedPage } from '../support/followed-page.ts';
import { cellsOf, OperatorFixture } from '../support/operator.ts';
import { startKmsProxy, type KmsProxy } from './kms-proxy.ts';
import { AWS_ENVIRONMENT, startDynamoDbLocal, type PeerServer } from './processes.ts';
import { NAMES, shareTable } from './shared-table.ts';
import { createRowsTable } from '../support/rows-table.ts';

const PAGE = 'docs/how-to/move-from-asherah.md';
const STEP_1 = '1. Try your own records';
const WEST = AWS_ENVIRONMENT.AWS_REGION;
const REGIONS = [WEST, 'us-east-1'];
const TENANTS = ['tenant-1', 'tenant-2', 'tenant-3'];

let kms: KmsEmulator;
let proxy: KmsProxy;
let dynamoDb: PeerServer;
let client: DynamoDBClient;
let keys: Record<string, string>;
let folder: string;

beforeAll(async () => {
  Object.assign(process.env, AWS_ENVIRONMENT);
  [kms, dynamoDb] = await Promise.all([startKmsEmulator(), startDynamoDbLocal()]);
  client = new DynamoDBClient({ endpoint: dynamoDb.endpoint, region: WEST });
  proxy = await startKmsProxy(kms.endpoint, REGIONS);
  process.env['AWS_ENDPOINT_URL_KMS'] = kms.endpoint;
  keys = await ensureKeys(kms, REGIONS);
});
afterAll(() => Promise.all([kms.close(), dynamoDb.stop(), proxy.stop()]));
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-move-'));
  return () => rm(folder, { recursive: true });
});

/** The settings that the table in step 2 names, and the names of the service. */
function namedInStep2(settings: Record<string, string>): Record<string, string> {
  const [step2 = ''] = /^## 2\. .*?(?=^## 3\. )/ms.exec(read(PAGE)) ?? [];
  for (const name of Object.keys(settings)) expect(step2).toContain(`\`${name}\``);
  return { ...settings, KEYFOLD_SERVICE: NAMES.service, KEYFOLD_PRODUCT: NAMES.product };
}

it('the command in the step "Try your own records" succeeds', async () => {
  const page = new FollowedPage(PAGE, {
    folder,
    keyfold: () => expect.unreachable(),
    only: (heading) => heading === STEP_1,
  });
  expect((await page.run('npm run -s vectors')).stdout).toMatch(/^[1-9]\d* passed, 0 failed\b/);
  expect(page.left()).toEqual([]);
});

it.for([
  ['go', false],
  ['go-v2', true],
  ['rust', true],
  ['java', false],
] as const)(
  'after a service moves from Asherah (%s) to Keyfold and back, both open every record (region suffix: %s)',
  async ([core, regionSuffix]) => {
    const table = await shareTable(dynamoDb.endpoint, { core, regionSuffix });
    const customers = `Customers-${core}`;
    await createRowsTable(client, customers);
    const startAsherah = (): ReturnType<typeof table.asherah> =>
      table.asherah({ environment: proxy.environment, regionMap: keys, preferredRegion: WEST });
    const settings = namedInStep2({
      KEYFOLD_KMS_KEYS: JSON.stringify(keys),
      KEYFOLD_PREFERRED_REGION: WEST,
      KEYFOLD_TABLE: table.tableName,
      KEYFOLD_DYNAMODB_REGION: WEST,
      KEYFOLD_DYNAMODB_ENDPOINT: dynamoDb.endpoint,
      ...(regionSuffix && { KEYFOLD_REGION_SUFFIX: WEST }),
    });
    /** Opens a tenant's session in Keyfold, with cold caches. */
    const keyfold = async (tenant: string): Promise<Session> =>
      (await operatorAdapters.openSessions(readConfig<KmsConfig>(settings))).session(tenant);
    const page = new FollowedPage(PAGE, {
      folder,
      keyfold: (args) => OperatorFixture.at(dynamoDb.endpoint).keyfold(args, settings),
      values: { Customers: customers },
      only: (heading) => heading !== STEP_1 && heading !== 'From an SQL database',
    });
    /** The records of the store, in the order in which they were written. */
    const store: [tenant: string, record: string, card: string][] = [];
    const push = async (tenant: string, record: string, card: string): Promise<void> => {
      const Item = { id: { S: String(store.push([tenant, record, card])) }, card: { S: record } };
      await client.send(new PutItemCommand({ TableName: customers, Item }));
    };

    await using asherah = await startAsherah();
    for (const tenant of TENANTS) {
      const card = `card of ${tenant}`;
      await push(tenant, await asherah.encrypt(tenant, Buffer.from(card)), card);
    }

    // Step 4: check the records before the first service moves.
    const before = await page.run('keyfold verify');
    expect([before.code, cellsOf(before)]).toEqual([0, expect.arrayContaining([['unreadable', '0']])]);
    const report = JSON.parse(await readFile(join(folder, 'before.report'), 'utf8')) as unknown;
    expect(report).toMatchObject({ records: TENANTS.length, opens: TENANTS.length });

    // Both services run. Each opens what the other has just written, even for a tenant that is new to one of them.
    for (const tenant of [...TENANTS, 'new']) {
      const card = `new card of ${tenant}`;
      const ours = await (await keyfold(tenant)).encryptToJson(Buffer.from(card));
      expect(String(await asherah.decrypt(tenant, ours))).toBe(card);
      const theirs = await asherah.encrypt(tenant, Buffer.from(card));
      expect(String(await (await keyfold(tenant)).decryptJson(theirs))).toBe(card);
      await push(tenant, ours, card);
      await push(tenant, theirs, card);
    }

    // The last service has moved. Check the records again.
    const after = await page.run('keyfold verify');
    expect([after.code, cellsOf(after)]).toEqual([0, expect.arrayContaining([['open', String(store.length)]])]);

    // Go back: a cold process of Asherah opens everything.
    await using former = await startAsherah();
    for (const [tenant, record, card] of store) expect(String(await former.decrypt(tenant, record))).toBe(card);
    expect(page.left()).toEqual([]);
  },
);
