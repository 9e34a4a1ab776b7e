import { createServer, request, type Server } from 'node:http';
import { afterEach, expect, it, vi } from 'vitest';
import { close, listen } from '../../../emulators/listen.ts';
import type { JournalCall } from '../../../local/call-journal.ts';
import { ONLOOKER, watchDynamoDb } from '../../../local/dynamodb-watch.ts';

let server: Server;

afterEach(() => close(server));

/** Starts a server in place of DynamoDB that responds with this status, or not at all. */
async function start(status: number | undefined): Promise<{ url: string; calls: JournalCall[] }> {
  const calls: JournalCall[] = [];
  server = createServer((_, response) => {
    if (status !== undefined) response.writeHead(status).end('{}');
  });
  watchDynamoDb(server, (call) => calls.push(call));
  return { url: `http://127.0.0.1:${await listen(server, 0)}`, calls };
}

function headersOf(accessKeyId: string): Record<string, string> {
  return {
    authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/20261130/us-west-2/dynamodb/aws4_request`,
    'x-amz-target': 'DynamoDB_20120810.GetItem',
  };
}

const GET = '{"TableName":"EncryptionKey","Key":{"Id":{"S":"_SK_local_keyfold"},"Created":{"N":"1"}}}';
const QUERY = '{"ExpressionAttributeValues":{":id":{"S":"_IK_tenant-1_local_keyfold"}}}';

it.for([
  ['a call that succeeds', 200, GET, '_SK_local_keyfold', 'ok'],
  ['a query', 200, QUERY, '_IK_tenant-1_local_keyfold', 'ok'],
  ['a call that names no key', 200, '{"Key":{"Id":{"S":"other"}}}', null, 'ok'],
  ['a refused call', 400, GET, '_SK_local_keyfold', 'HTTP 400'],
] as const)('watchDynamoDb reports %s', async ([, status, body, keyId, outcome]) => {
  const { url, calls } = await start(status);
  await (await fetch(url, { method: 'POST', headers: headersOf('local'), body })).text();
  await vi.waitFor(() =>
    expect(calls).toEqual([{ service: 'DynamoDB', region: null, action: 'GetItem', keyId, outcome }]),
  );
});

it('watchDynamoDb reports a call that the client aborts', async () => {
  const { url, calls } = await start(undefined);
  const asked = Promise.withResolvers<void>();
  server.once('request', () => asked.resolve());
  const sent = request(url, { method: 'POST', headers: headersOf('local') }).on('error', () => {});
  sent.end(GET);
  await asked.promise;
  sent.destroy();
  await vi.waitFor(() => expect(calls).toMatchObject([{ outcome: 'given up' }]));
});

it("watchDynamoDb does not report the local page's own calls", async () => {
  const { url, calls } = await start(200);
  await fetch(url, { method: 'POST', headers: headersOf(ONLOOKER), body: QUERY });
  await fetch(url, { method: 'POST', headers: headersOf('local'), body: GET });
  await vi.waitFor(() => expect(calls).toMatchObject([{ keyId: '_SK_local_keyfold' }]));
});
