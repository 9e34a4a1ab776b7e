/** Runs the state machine in examples/step-functions with the functions and DynamoDB of the local world. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  type AttributeValue,
  type GetItemCommandInput,
} from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTable } from '../../examples/table.ts';
import { ROOT } from '../support/documents.ts';
import { LOCAL_CREDENTIALS } from '../support/local-credentials.ts';
import { addressOf, startLocalProcess, stopLocalProcess, type LocalProcess } from '../support/local-process.ts';
import { AWS_ENVIRONMENT } from './processes.ts';
import { runStateMachine, type Execution } from './step-functions.ts';

const PIPELINE = join(ROOT, 'examples', 'step-functions', 'rewrap-table.asl.json');
const TableName = 'Customers';
/** More rows than fit into one page of the pipeline. */
const IDS = Array.from({ length: 30 }, (_, i) => String(i));
const isEven = (id: string): boolean => Number(id) % 2 === 0;

let world: LocalProcess;
let dynamoDb: DynamoDBClient;

beforeAll(async () => {
  world = await startLocalProcess();
  const endpoint = addressOf(world, 'DynamoDB');
  dynamoDb = new DynamoDBClient({ endpoint, region: 'us-west-2', credentials: LOCAL_CREDENTIALS });
  await createTable(dynamoDb, TableName);
});
afterAll(async () => {
  dynamoDb.destroy();
  await stopLocalProcess(world);
});

const tenantOf = (id: string): string => (isEven(id) ? 'even' : 'odd');

function keyOf(id: string): NonNullable<GetItemCommandInput['Key']> {
  return { tenant: { S: tenantOf(id) }, id: { S: id } } satisfies Record<string, AttributeValue>;
}

async function invoke(name: string, event: object): Promise<Record<string, string>> {
  const url = `${world.url}/2015-03-31/functions/${name}/invocations`;
  const answer = await fetch(url, { method: 'POST', body: JSON.stringify(event) });
  return (await answer.json()) as Record<string, string>;
}

async function seal(partition: string, plaintext: string): Promise<string> {
  const event = { partition, operation: 'encrypt', plaintext, format: 'compact' };
  return (await invoke('keyfold-seal', event))['record'] ?? '';
}

async function put(id: string, card: string): Promise<void> {
  await dynamoDb.send(new PutItemCommand({ TableName, Item: { ...keyOf(id), card: { S: card } } }));
}

async function cardOf(id: string): Promise<string> {
  const { Item } = await dynamoDb.send(new GetItemCommand({ TableName, Key: keyOf(id) }));
  return Item?.['card']?.S ?? '';
}

async function runPipeline(): Promise<Execution> {
  const services = { lambda: world.url, dynamoDb: addressOf(world, 'DynamoDB') };
  return runStateMachine(await readFile(PIPELINE, 'utf8'), { table: TableName }, services);
}

it('the pipeline rewraps the cards that were sealed under a revoked key, and leaves all others unchanged', async () => {
  for (const id of IDS) await put(id, await seal(tenantOf(id), btoa(id)));
  // This card does not open, because it belongs to another tenant.
  await put('1', await cardOf('0'));
  // These cards are no records: a string, and the binary card of another library.
  await put('3', 'no record');
  await dynamoDb.send(
    new PutItemCommand({ TableName, Item: { ...keyOf('no string'), card: { B: new Uint8Array(9) } } }),
  );
  const before = await Promise.all(IDS.map(cardOf));

  const settings = {
    KEYFOLD_SERVICE: 'local',
    KEYFOLD_PRODUCT: 'keyfold',
    KEYFOLD_DYNAMODB_ENDPOINT: addressOf(world, 'DynamoDB'),
  };
  const revoke = ['keys', 'revoke', '_IK_even_local_keyfold', 'latest', '--yes', '--reason', 'a trial'];
  const env = { ...process.env, ...AWS_ENVIRONMENT, ...settings };
  await promisify(execFile)(process.execPath, ['src/cli/main.ts', ...revoke], { cwd: ROOT, env });
  await fetch(`${world.url}/local/cold-start`, { method: 'POST' });

  expect(await runPipeline()).toMatchObject({ status: 'SUCCEEDED' });
  const after = await Promise.all(IDS.map(cardOf));
  expect(IDS.filter((_, i) => before[i] !== after[i])).toEqual(IDS.filter(isEven));
  for (const id of IDS.filter(isEven)) {
    const event = { partition: 'even', operation: 'decrypt', record: await cardOf(id) };
    expect(await invoke('keyfold-open', event)).toEqual({ plaintext: btoa(id) });
  }

  // The cards are sealed under the latest keys by now, so a second run changes none.
  expect(await runPipeline()).toMatchObject({ status: 'SUCCEEDED' });
  expect(await Promise.all(IDS.map(cardOf))).toEqual(after);
});
