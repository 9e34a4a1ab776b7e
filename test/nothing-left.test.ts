/** What a process holds on to after an answer: in a process of its own, where nothing else sets timers. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../local/dynamodb.ts';
import { DynamoDbProxy } from './support/dynamodb-proxy.ts';
import { EAST, WEST, WireWorld } from './support/wire-world.ts';

/** Makes one request and tells, on the spot, its outcome and what keeps the process; then it must end by itself. */
const SCRIPT = `
const { AwsKms, DynamoDbMetastore, SessionFactory } = await import('./src/index.ts');
const { kms, dynamoDb, keys, deadlineMs } = JSON.parse(process.env.WORLD);
process.on('unhandledRejection', (error) => { console.log('unhandled: ' + error); process.exit(1); });
const keyfold = new SessionFactory({
  service: 'left', product: 'matrix',
  kms: new AwsKms({
    keys, preferredRegion: 'us-west-2', endpoint: kms,
    timeouts: { requestTimeoutMs: 300 }, failover: { baseDelayMs: 5 },
  }),
  metastore: new DynamoDbMetastore({ endpoint: dynamoDb, region: 'us-west-2', requestTimeoutMs: 300 }),
});
const limits = deadlineMs === undefined ? {} : { deadlineAtMs: Date.now() + deadlineMs };
const outcome = await keyfold.session('p').encrypt(Buffer.from('x'), limits).then(() => 'ok', (error) => error.code);
await new Promise(setImmediate);
console.log(JSON.stringify({ outcome, timers: process.getActiveResourcesInfo().filter((one) => one === 'Timeout') }));
`;

let dynamoDb: LocalDynamoDb;
let proxy: DynamoDbProxy;
let world: WireWorld;

beforeAll(async () => {
  dynamoDb = await startDynamoDb('EncryptionKey', 0);
  proxy = await DynamoDbProxy.start(dynamoDb.endpoint);
  world = await WireWorld.start({ dynamoDb: proxy.endpoint, service: 'left' });
});
afterAll(async () => {
  await world.stop();
  await proxy.stop();
  await dynamoDb.close();
});

async function run(deadlineMs?: number): Promise<unknown> {
  const keys = Object.fromEntries(Object.entries(world.keys).map(([region, { keyArn }]) => [region, keyArn]));
  const settings = { kms: world.kms.endpoint, dynamoDb: proxy.endpoint, keys, deadlineMs };
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', SCRIPT], {
    cwd: join(import.meta.dirname, '..'),
    env: { ...process.env, WORLD: JSON.stringify(settings) },
    // A bound: a process that did not end by itself would never.
    timeout: 15_000,
  });
  return JSON.parse(stdout);
}

it.for([
  ['every region of KMS hangs', [WEST, EAST], undefined, undefined, 'KmsUnavailable'],
  ['every region of KMS hangs until the deadline', [WEST, EAST], undefined, 200, 'DeadlineExceeded'],
  ['DynamoDB hangs', [], 'hang', undefined, 'MetastoreUnavailable'],
  ['DynamoDB stalls in mid-answer', [], 'stall', undefined, 'MetastoreUnavailable'],
  ['DynamoDB hangs until the deadline', [], 'hang', 200, 'DeadlineExceeded'],
  ['the preferred region hangs', [WEST], undefined, undefined, 'ok'],
] as const)(
  'where %s, no timer is left after the answer, and the process ends',
  async ([, regions, metastore, deadlineMs, code]) => {
    world.kms.clearFaults();
    for (const region of regions) world.setFault(region, { kind: 'hang' });
    proxy.befall = () => metastore && { kind: metastore };
    expect(await run(deadlineMs)).toEqual({ outcome: code, timers: [] });
  },
);
