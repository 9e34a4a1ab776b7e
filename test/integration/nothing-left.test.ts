/**
 * Tests that nothing keeps a process alive after a response. Each test runs in a new process, in which no other code
 * sets timers.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../local/dynamodb.ts';
import { DynamoDbProxy } from '../support/dynamodb-proxy.ts';
import { EAST, WEST, WireFixture } from '../support/wire-fixture.ts';

/**
 * Makes one request, and reports its outcome and what keeps the process alive. The process must then exit on its own.
 */
const SCRIPT = `
const { AwsKms, DynamoDbMetastore, SessionFactory } = await import('./src/index.ts');
const { kms, dynamoDb, kmsTimeoutMs, dynamoDbTimeoutMs, service, keys, deadlineMs } = JSON.parse(process.env.WORLD);
process.on('unhandledRejection', (error) => { console.log('unhandled: ' + error); process.exit(1); });
const keyfold = new SessionFactory({
  service, product: 'matrix',
  kms: new AwsKms({
    keys, preferredRegion: 'us-west-2', endpoint: kms,
    timeouts: { requestTimeoutMs: kmsTimeoutMs }, failover: { baseDelayMs: 5 },
  }),
  metastore: new DynamoDbMetastore({ endpoint: dynamoDb, region: 'us-west-2', requestTimeoutMs: dynamoDbTimeoutMs }),
});
const limits = deadlineMs === undefined ? {} : { deadlineAtMs: Date.now() + deadlineMs };
const outcome = await keyfold.session('p').encrypt(Buffer.from('x'), limits).then(() => 'ok', (error) => error.code);
// The SDK clears its timers when the request that it was writing has been cut, which is a few turns later.
await new Promise((resolve) => setTimeout(resolve, 50));
console.log(JSON.stringify({ outcome, timers: process.getActiveResourcesInfo().filter((one) => one === 'Timeout') }));
`;

let dynamoDb: LocalDynamoDb;

beforeAll(async () => {
  dynamoDb = await startDynamoDb('EncryptionKey', 0);
});
afterAll(() => dynamoDb.close());

/** Runs the script and returns its report. */
async function run(world: WireFixture, settings: Record<string, unknown>): Promise<unknown> {
  const keys = Object.fromEntries(Object.entries(world.keys).map(([region, { keyArn }]) => [region, keyArn]));
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', SCRIPT], {
    cwd: join(import.meta.dirname, '..', '..'),
    env: { ...process.env, WORLD: JSON.stringify({ kms: world.kms.endpoint, keys, ...settings }) },
    // Kills a process that does not exit on its own within this time.
    timeout: 15_000,
  });
  return JSON.parse(stdout);
}

describe.concurrent('a process', () => {
  it.for([
    ['the preferred region hangs', [WEST], undefined, undefined, 'ok'],
    ['every KMS region hangs', [WEST, EAST], undefined, undefined, 'KmsUnavailable'],
    ['every KMS region hangs until the deadline', [WEST, EAST], undefined, 1500, 'DeadlineExceeded'],
    ['DynamoDB hangs', [], 'hang', undefined, 'MetastoreUnavailable'],
    ['DynamoDB stalls in the middle of its response', [], 'stall', undefined, 'MetastoreUnavailable'],
    ['DynamoDB hangs until the deadline', [], 'hang', 1500, 'DeadlineExceeded'],
  ] as const)(
    'leaves no timer after a request, and exits by itself, if %s',
    async ([name, regions, metastore, deadlineMs, outcome]) => {
      const proxy = await DynamoDbProxy.start(dynamoDb.endpoint);
      const service = name.replaceAll(' ', '-');
      const world = await WireFixture.start({ dynamoDb: proxy.endpoint, service });
      for (const region of regions) world.setFault(region, { kind: 'hang' });
      proxy.faultOf = () => metastore && { kind: metastore };
      try {
        // Without a deadline, a hanging call ends only at its timeout, so its timeout is short. With a deadline, the
        // deadline ends the call first, so a long timeout does no harm.
        const kmsTimeoutMs = deadlineMs === undefined ? 300 : 10_000;
        const dynamoDbTimeoutMs = deadlineMs === undefined && metastore !== undefined ? 300 : 10_000;
        const settings = { dynamoDb: proxy.endpoint, kmsTimeoutMs, dynamoDbTimeoutMs, service, deadlineMs };
        expect(await run(world, settings)).toEqual({ outcome, timers: [] });
      } finally {
        await world.stop();
        await proxy.stop();
      }
    },
  );
});
