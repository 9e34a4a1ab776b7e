/**
 * Moves a table from KMS's `Encrypt` to Keyfold, and adds proofs to old key rows, as
 * docs/how-to/move-from-kms-or-the-encryption-sdk.md and docs/how-to/authenticate-key-rows.md describe.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient, PutItemCommand, ScanCommand, type AttributeValue } from '@aws-sdk/client-dynamodb';
import { DecryptCommand, DisableKeyCommand, EncryptCommand, KMSClient } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { KmsConfig } from '../../../src/config/app-config.ts';
import { readConfig } from '../../../src/config/read-config.ts';
import { operatorAdapters } from '../../../src/container.ts';
import type { EnvelopeKeyRecord } from '../../../src/index.ts';
import { DynamoDbKeyTable } from '../../../src/metastore/dynamodb-key-table.ts';
import { FollowedPage } from '../../support/followed-page.ts';
import { HealthyService, WEST } from '../../support/healthy-service.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import { cellsOf } from '../../support/operator.ts';
import { createRowsTable } from '../../support/rows-table.ts';

const TableName = 'Customers';

let world: HealthyService;
let dynamoDb: DynamoDBClient;
let kms: KMSClient;
let folder: string;
/** The KMS key that encrypted the values until now. */
let KeyId: string;

beforeAll(async () => {
  world = await HealthyService.start();
  const from = { region: WEST, credentials: LOCAL_CREDENTIALS };
  dynamoDb = new DynamoDBClient({ ...from, endpoint: world.proxy.endpoint });
  kms = new KMSClient({ ...from, endpoint: world.kms.endpoint });
  KeyId = (await world.kms.ensureKey(WEST, 'alias/old')).aliasArn;
  folder = await mkdtemp(join(tmpdir(), 'keyfold-migration-'));
  await createRowsTable(dynamoDb, TableName);
});
afterAll(async () => {
  dynamoDb.destroy();
  kms.destroy();
  await world.stop();
  await rm(folder, { recursive: true });
});

async function put(id: string, tenant: string, card: AttributeValue): Promise<void> {
  await dynamoDb.send(new PutItemCommand({ TableName, Item: { id: { S: id }, tenant: { S: tenant }, card } }));
}

/** Encrypts a card as the old program does. */
async function ciphertextOf(card: string): Promise<Buffer> {
  const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from(card) }));
  return Buffer.from(CiphertextBlob ?? []);
}

async function stored(): Promise<{ id: string; tenant: string; card: Buffer | string }[]> {
  const { Items = [] } = await dynamoDb.send(new ScanCommand({ TableName, ConsistentRead: true }));
  return Items.map(({ id, tenant, card }) => ({
    id: id?.S ?? '',
    tenant: tenant?.S ?? '',
    card: card?.S ?? Buffer.from(card?.B ?? []),
  }));
}

/**
 * Reads every card as a program does during the move. The program recognises whether a value is in the old or the new
 * form by its first bytes.
 */
async function cards(): Promise<Record<string, string>> {
  const read = (await stored()).map(async ({ id, tenant, card }) => {
    if (/^kf\d/.test(card.toString())) {
      return [id, await world.sessions().session(tenant).decryptText(card.toString())] as const;
    }
    const CiphertextBlob = typeof card === 'string' ? Buffer.from(card, 'base64') : card;
    const { Plaintext } = await kms.send(new DecryptCommand({ CiphertextBlob }));
    return [id, Buffer.from(Plaintext ?? []).toString()] as const;
  });
  return Object.fromEntries(await Promise.all(read));
}

it('the commands of docs/how-to/move-from-kms-or-the-encryption-sdk.md seal every value of a table, and the old KMS key is no longer needed', async () => {
  const page = new FollowedPage('docs/how-to/move-from-kms-or-the-encryption-sdk.md', {
    folder,
    keyfold: (args) => world.operator.keyfold(args, world.settings),
  });
  const expected: Record<string, string> = {};
  for (const tenant of ['tenant-1', 'tenant-2']) {
    for (const form of ['B', 'S']) {
      const id = `${tenant} ${form}`;
      expected[id] = `card of ${id}`;
      const old = await ciphertextOf(expected[id]);
      await put(id, tenant, form === 'B' ? { B: old } : { S: old.toString('base64') });
    }
  }
  // Steps 1 and 2: readers accept both forms, and the first writer seals with Keyfold.
  expected['new'] = 'new card';
  await put('new', 'tenant-1', { S: await world.sessions().session('tenant-1').encryptText('new card') });
  expect(await cards()).toEqual(expected);

  // Step 3: the remaining values. The rehearsal writes nothing.
  const before = await stored();
  const rehearsal = await page.run('keyfold reencrypt');
  expect([rehearsal.code, cellsOf(rehearsal)]).toEqual([0, expect.arrayContaining([['would be written', '4']])]);
  expect([await stored(), await readFile(join(folder, 'bad.jsonl'), 'utf8')]).toEqual([before, '']);

  const run = await page.run('keyfold reencrypt');
  expect([run.code, cellsOf(run)]).toEqual([0, expect.arrayContaining([['written', '4']])]);
  // A writer of the old form was still running, so the next run seals the value that it wrote.
  expected['late'] = 'late card';
  await put('late', 'tenant-2', { B: await ciphertextOf('late card') });
  for (const written of ['1', '0']) expect(cellsOf(await page.again())).toContainEqual(['written', written]);

  // Step 4: check.
  const verified = await page.run('keyfold verify');
  const summary = [
    ['open', '6'],
    ['unreadable', '0'],
  ];
  expect([verified.code, cellsOf(verified)]).toEqual([0, expect.arrayContaining(summary)]);

  // Step 5: the old key opens nothing any more.
  await kms.send(new DisableKeyCommand({ KeyId: (await world.kms.ensureKey(WEST, 'alias/old')).keyArn }));
  expect(await cards()).toEqual(expected);
  expect(page.left()).toEqual([]);
});

it('the commands of docs/how-to/authenticate-key-rows.md add the proofs that KEYFOLD_KEY_ROW_PROOFS=require needs', async () => {
  const page = new FollowedPage('docs/how-to/authenticate-key-rows.md', {
    folder,
    keyfold: (args, environment) =>
      world.operator.keyfold(args, { ...environment, ...world.settings }, { ask: () => Promise.resolve('yes') }),
  });
  const record = await world.sessions().session('tenant-1').encrypt(Buffer.from('card'));
  const decrypt = async (): Promise<string> => {
    const required = { AWS_REGION: WEST, KEYFOLD_KEY_ROW_PROOFS: 'require' };
    const settings = { ...world.operator.settings(), ...world.settings, ...required };
    const keyfold = await operatorAdapters.openSessions(readConfig<KmsConfig>(settings));
    return String(await keyfold.session('tenant-1').decrypt(record));
  };
  // The rows are as Asherah wrote them.
  const rows = await new DynamoDbKeyTable({ endpoint: world.proxy.endpoint, region: WEST }).list();
  const old: EnvelopeKeyRecord[] = [];
  for (const row of rows) {
    const { proof: _, ...unproven } = row as EnvelopeKeyRecord;
    old.push(unproven);
    await world.operator.put(unproven);
  }
  await expect(decrypt()).rejects.toMatchObject({ code: 'KeyRowUnreadable' });

  // Step 2: look at the rows, and compare them with a backup.
  const can = `0 rows are proven, ${old.length} can be, 0 are refused.`;
  expect((await page.run('keyfold keys prove --dry-run')).stdout).toContain(can);
  page.pass('aws dynamodb restore-table-to-point-in-time');
  await world.operator.createTable('EncryptionKey-before');
  for (const row of old) await world.operator.put(row, 'EncryptionKey-before');
  expect((await page.run('keyfold keys prove --against')).stdout).toContain(can);

  // Step 3: add the proofs.
  expect((await page.run('keyfold keys prove --against')).stdout).toContain(`Added ${old.length} proofs.`);
  expect(page.left()).toEqual([]);
  expect(await decrypt()).toBe('card');
});
