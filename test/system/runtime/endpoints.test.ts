/** Tests the hosts that the bundled functions call if the environment asks for FIPS or dual-stack endpoints. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../../local/dynamodb.ts';
import { LocalFunction } from '../../../local/local-function.ts';
import { bundleHandler } from '../../../scripts/handler-bundle.ts';
import { request } from '../../support/http-door.ts';
import { EAST, WEST } from '../../support/wire-fixture.ts';

const QUEUES = `https://sqs.${WEST}.amazonaws.com/111122223333`;
const KEYS = Object.fromEntries(
  [WEST, EAST].map((region) => [region, `arn:aws:kms:${region}:111122223333:alias/keyfold`]),
);

let folder: string;
let dynamoDb: LocalDynamoDb;

/**
 * A module whose handler returns the hosts that the bundle called. Calls to DynamoDB reach the local table, and all
 * other calls fail.
 */
function recorder(bundle: string, table: URL): string {
  return `
import http from 'node:http';
import https from 'node:https';
import { syncBuiltinESMExports } from 'node:module';
const hosts = new Set();
https.request = ({ agent, port, ...options }, listener) => {
  hosts.add(options.host);
  const isTable = options.host.startsWith('dynamodb');
  const headers = { ...options.headers, host: '127.0.0.1' };
  return http.request({ ...options, headers, host: '127.0.0.1', port: isTable ? ${table.port} : 1 }, listener);
};
syncBuiltinESMExports();
const { handler: inner } = await import(${JSON.stringify(bundle)});
export async function handler(event, context) {
  await inner(event, context).catch(() => undefined);
  return [...hosts].toSorted();
}`;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-endpoints-'));
  dynamoDb = await startDynamoDb('EncryptionKey', 0);
  for (const name of ['api', 'queue']) {
    await bundleHandler(name, join(folder, name));
    const bundle = pathToFileURL(join(folder, name, 'index.mjs')).href;
    await writeFile(join(folder, `${name}.mjs`), recorder(bundle, new URL(dynamoDb.endpoint)));
  }
}, 60_000);
afterAll(async () => {
  await dynamoDb.close();
  await rm(folder, { recursive: true });
});

/** The hosts that a function calls for an event. */
async function hostsOf(name: string, environment: Readonly<Record<string, string>>, event: unknown): Promise<unknown> {
  const one = new LocalFunction(
    pathToFileURL(join(folder, `${name}.mjs`)).href,
    {
      AWS_REGION: WEST,
      AWS_ACCESS_KEY_ID: 'local',
      AWS_SECRET_ACCESS_KEY: 'local',
      KEYFOLD_SERVICE: 'orders',
      KEYFOLD_PRODUCT: 'shop',
      KEYFOLD_KMS_KEYS: JSON.stringify(KEYS),
      KEYFOLD_TABLE: 'EncryptionKey',
      ...environment,
    },
    'keyfold',
    false,
  );
  const hosts = await one.invoke(event, 5000);
  await one.recycle();
  return hosts;
}

function messageOf(messageId: string, body: string): object {
  return {
    messageId,
    receiptHandle: 'handle',
    body,
    attributes: { ApproximateReceiveCount: '1' },
    messageAttributes: {},
    eventSource: 'aws:sqs',
    eventSourceARN: `arn:aws:sqs:${WEST}:111122223333:in`,
    awsRegion: WEST,
  };
}

/** Two messages: one that is not retried and goes to the dead-letter queue, and one that returns to its queue. */
const QUEUE_EVENT = {
  Records: [messageOf('1', 'no JSON'), messageOf('2', '{"partition":"tenant-1","document":{"card":"1"}}')],
};

const FIPS = { AWS_USE_FIPS_ENDPOINT: 'true' };
const DUAL_STACK = { AWS_USE_DUALSTACK_ENDPOINT: 'true' };
const KINDS = [
  ['the usual endpoints', {}, '', 'amazonaws.com'],
  ['FIPS endpoints', FIPS, '-fips', 'amazonaws.com'],
  ['dual-stack endpoints', DUAL_STACK, '', 'api.aws'],
  ['FIPS dual-stack endpoints', { ...FIPS, ...DUAL_STACK }, '-fips', 'api.aws'],
] as const;

describe.for(KINDS)('with %s', ([, environment, suffix, domain]) => {
  const host = (service: string, region: string = WEST): string => `${service}${suffix}.${region}.${domain}`;
  const all = [host('dynamodb'), host('kms', EAST), host('kms')];

  it("the api bundle calls only the table's endpoint and the KMS endpoint of each region", async () => {
    const event = request('encrypt', { plaintext: 'aGVsbG8=' });
    expect(await hostsOf('api', environment, event)).toEqual(all);
  });

  it('the queue bundle calls the SQS endpoint too, whatever host the queue URLs contain', async () => {
    const urls = { KEYFOLD_OUTPUT_QUEUE_URL: `${QUEUES}/out`, KEYFOLD_DEAD_LETTER_QUEUE_URL: `${QUEUES}/dead` };
    const fields = { KEYFOLD_FIELDS: '["$.card"]' };
    expect(await hostsOf('queue', { ...environment, ...urls, ...fields }, QUEUE_EVENT)).toEqual([...all, host('sqs')]);
  });
});
