import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterEach, expect, it, vi } from 'vitest';
import { startDynamoDb } from '../../../local/dynamodb.ts';
import { close, listen } from '../../../emulators/listen.ts';
import { DynamoDbMetastore } from '../../../src/index.ts';
import { dynamoDbClient, readOne } from '../../../src/metastore/dynamodb-client.ts';
import { encodeKeyItem } from '../../../src/metastore/dynamodb-item.ts';
import { DynamoDbKeyTable } from '../../../src/metastore/dynamodb-key-table.ts';
import { dynamoDbContract } from '../../support/contract/dynamodb-contract.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { codeOf, errorOf, noDeadline } from '../../support/fakes.ts';

dynamoDbContract('dynalite', async () => {
  const { endpoint, close: stop } = await startDynamoDb('EncryptionKey', 0);
  return { endpoint, stop };
});

const { id, created } = keyRecord('_SK_x', 60);
let server: Server | undefined;

afterEach(async () => {
  if (server !== undefined) await close(server);
  server = undefined;
});

/**
 * Starts a fake DynamoDB, which sends the responses that `answer` returns. `requests` contains the requests that it
 * received.
 */
async function open(
  answer: (target: string) => { status: number; body: string } | 'hang' | 'stall',
  requestTimeoutMs = 10_000,
): Promise<{ metastore: DynamoDbMetastore; requests: { target: string; body: Record<string, unknown> }[] }> {
  const requests: { target: string; body: Record<string, unknown> }[] = [];
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const target = String(request.headers['x-amz-target']).replace(/.*\./, '');
      requests.push({ target, body: JSON.parse(body) as Record<string, unknown> });
      const said = answer(target);
      if (said === 'hang') return;
      if (said === 'stall') {
        response.writeHead(200, { 'content-type': 'application/x-amz-json-1.0', 'content-length': '1000' }).write('{');
        return;
      }
      response.writeHead(said.status, { 'content-type': 'application/x-amz-json-1.0' });
      response.end(said.body);
    });
  });
  const endpoint = `http://127.0.0.1:${await listen(server, 0)}`;
  const metastore = new DynamoDbMetastore({ endpoint, region: 'us-west-2', requestTimeoutMs });
  return { metastore, requests };
}

const TableName = 'EncryptionKey';
const Key = { Id: { S: '_SK_x' }, Created: { N: '60' } };
/** A query for all rows of the ID. */
const ALL_ROWS = {
  TableName,
  KeyConditionExpression: 'Id = :id',
  ExpressionAttributeValues: { ':id': { S: '_SK_x' } },
  ScanIndexForward: false,
  ConsistentRead: true,
};

it('DynamoDbMetastore reads consistently, writes with a condition, and uses the table EncryptionKey by default', async () => {
  const { metastore, requests } = await open(() => ({ status: 200, body: '{}' }));
  const record = keyRecord('_SK_x', 60, { encryptedKey: Buffer.from('sealed') });
  await metastore.load(id, created, noDeadline());
  await metastore.loadLatest(id, noDeadline());
  await metastore.loadRecent(id, created, noDeadline());
  await metastore.rows(id, noDeadline());
  expect(await metastore.store(record, noDeadline())).toBe('stored');
  expect(await metastore.replaceKey(record, Buffer.from('new'), noDeadline())).toBe('replaced');
  const Item = { ...Key, KeyRecord: { M: { Created: { N: '60' }, Key: { S: 'c2VhbGVk' } } } };
  expect(requests).toEqual([
    { target: 'GetItem', body: { TableName, Key, ConsistentRead: true } },
    { target: 'Query', body: { ...ALL_ROWS, Limit: 1 } },
    {
      target: 'Query',
      body: {
        ...ALL_ROWS,
        KeyConditionExpression: 'Id = :id AND Created <= :notAfter',
        ExpressionAttributeValues: { ':id': { S: '_SK_x' }, ':notAfter': { N: '60' } },
        Limit: 10,
      },
    },
    { target: 'Query', body: ALL_ROWS },
    { target: 'PutItem', body: { TableName, Item, ConditionExpression: 'attribute_not_exists(Id)' } },
    {
      target: 'UpdateItem',
      body: {
        TableName,
        Key,
        UpdateExpression: 'SET KeyRecord.#key = :renewed',
        ConditionExpression: 'KeyRecord.#key = :present',
        ExpressionAttributeNames: { '#key': 'Key' },
        ExpressionAttributeValues: { ':renewed': { S: 'bmV3' }, ':present': { S: 'c2VhbGVk' } },
      },
    },
  ]);
});

it('DynamoDbMetastore makes no call for an ID or a date that no row can have', async () => {
  const { metastore, requests } = await open(() => ({ status: 200, body: '{}' }));
  for (const one of [keyRecord('', 60), keyRecord('a'.repeat(2049), 60)]) {
    expect(await metastore.load(one.id, created, noDeadline())).toBeUndefined();
    expect(await metastore.loadLatest(one.id, noDeadline())).toBeUndefined();
    expect(await metastore.loadRecent(one.id, created, noDeadline())).toEqual([]);
    expect(await metastore.rows(one.id, noDeadline())).toEqual([]);
    expect(await metastore.replaceKey(one, Buffer.from('new'), noDeadline())).toBe('changed');
    expect(await codeOf(metastore.store(one, noDeadline()))).toBe('InvalidRequest');
  }
  expect(await metastore.load(id, 60.5 as never, noDeadline())).toBeUndefined();
  expect(requests).toEqual([]);
});

it('DynamoDbKeyTable reads consistently, and changes only rows that exist', async () => {
  const { metastore, requests } = await open(() => ({ status: 200, body: '{}' }));
  expect(metastore.state).toEqual({ state: 'unknown' });
  const address = server?.address() as AddressInfo;
  const table = new DynamoDbKeyTable({ endpoint: `http://127.0.0.1:${address.port}`, region: 'us-west-2' });
  expect(await table.place()).toEqual({ table: 'EncryptionKey', region: 'us-west-2' });
  expect(await table.find(id, created)).toBeUndefined();
  expect(await table.find(id, 'latest')).toBeUndefined();
  expect(await table.list(id)).toEqual([]);
  expect(await table.list()).toEqual([]);
  expect(await table.revoke({ id, created })).toBe('revoked');
  const record = keyRecord('_SK_x', 60, { encryptedKey: Buffer.from('sealed') });
  expect(await table.prove(record, Buffer.alloc(32, 3))).toBe('proven');
  expect(requests).toEqual([
    { target: 'GetItem', body: { TableName, Key, ConsistentRead: true } },
    { target: 'Query', body: { ...ALL_ROWS, Limit: 1 } },
    { target: 'Query', body: ALL_ROWS },
    { target: 'Scan', body: { TableName, ConsistentRead: true } },
    {
      target: 'UpdateItem',
      body: {
        TableName,
        Key,
        UpdateExpression: 'SET KeyRecord.Revoked = :true',
        ConditionExpression: 'attribute_exists(Id)',
        ExpressionAttributeValues: { ':true': { BOOL: true } },
      },
    },
    {
      target: 'UpdateItem',
      body: {
        TableName,
        Key,
        UpdateExpression: 'SET Proof = :proof',
        ConditionExpression: 'attribute_not_exists(Proof) AND KeyRecord.#key = :key',
        ExpressionAttributeNames: { '#key': 'Key' },
        ExpressionAttributeValues: {
          ':proof': { B: Buffer.alloc(32, 3).toString('base64') },
          ':key': { S: 'c2VhbGVk' },
        },
      },
    },
  ]);
});

it.for([
  ['a server error', { status: 500, body: '{"__type":"InternalServerError"}' }],
  ['throttling', { status: 400, body: '{"__type":"ThrottlingException"}' }],
  ['denied access', { status: 400, body: '{"__type":"AccessDeniedException","message":"CANARY"}' }],
  ['a response that is not JSON', { status: 200, body: 'CANARY' }],
  ['a missing response', 'hang'],
  ['a response that stalls', 'stall'],
] as const)(
  'DynamoDbMetastore reports %s as MetastoreUnavailable, and never as an absent key or a duplicate',
  async ([, answer]) => {
    const { metastore } = await open(() => answer, 100);
    const works = [
      metastore.load(id, created, noDeadline()),
      metastore.loadLatest(id, noDeadline()),
      metastore.store(keyRecord('_SK_x', 60), noDeadline()),
    ];
    for (const error of await Promise.all(works.map(errorOf))) {
      expect(error).toMatchObject({ code: 'MetastoreUnavailable', retryable: true });
      expect(String((error as Error).cause)).toMatch(/^Error: DynamoDB table EncryptionKey in us-west-2: \w+$/);
    }
    expect(metastore.state.state).toBe('unavailable');
  },
);

it.for(['127.0.0.1', 'localhost'])('DynamoDbMetastore names the port on %s that refuses connections', async (host) => {
  const unused = createServer();
  const port = await listen(unused, 0);
  await close(unused);
  const metastore = new DynamoDbMetastore({ endpoint: `http://${host}:${port}`, region: 'us-west-2' });
  const error = await errorOf(metastore.load(id, created, noDeadline()));
  expect(String((error as Error).cause)).toMatch(
    new RegExp(`^Error: DynamoDB table EncryptionKey in us-west-2: ECONNREFUSED (?:127\\.0\\.0\\.1|::1):${port}$`),
  );
  expect(metastore.state).toMatchObject({ state: 'unavailable', lastError: { errorName: 'ECONNREFUSED' } });
});

it('DynamoDbMetastore says what to set if the SDK finds no region', async () => {
  vi.stubEnv('AWS_REGION', undefined);
  vi.stubEnv('AWS_CONFIG_FILE', '/none');
  const error = await errorOf(new DynamoDbMetastore({}).load(id, created, noDeadline()));
  vi.unstubAllEnvs();
  expect(error).toMatchObject({
    code: 'InvalidConfiguration',
    message: 'Keyfold cannot start:\n- region or AWS_REGION must be set',
  });
});

it("DynamoDbMetastore fails with MetastoreUnavailable if its client's region cannot be found", async () => {
  const client = new DynamoDBClient({ region: () => Promise.reject<string>(new TypeError('CANARY')) });
  const error = await errorOf(new DynamoDbMetastore({ client }).load(id, created, noDeadline()));
  expect(error).toMatchObject({ code: 'MetastoreUnavailable' });
  expect(String((error as Error).cause)).toBe('Error: DynamoDB table EncryptionKey in an unknown region: TypeError');
});

it('DynamoDbMetastore retries throttled calls', async () => {
  let calls = 0;
  const { metastore } = await open(() => {
    calls += 1;
    return calls < 3 ? { status: 400, body: '{"__type":"ThrottlingException"}' } : { status: 200, body: '{}' };
  });
  expect(await metastore.load(id, created, noDeadline())).toBeUndefined();
  expect(calls).toBe(3);
  expect(metastore.state).toMatchObject({ state: 'ok' });
});

it("DynamoDbMetastore makes three attempts even if the SDK's default differs", async () => {
  const { metastore, requests } = await open(() => ({ status: 500, body: '{"__type":"InternalServerError"}' }));
  expect(await codeOf(metastore.load(id, created, noDeadline()))).toBe('MetastoreUnavailable');
  expect(requests).toHaveLength(3);
});

it('DynamoDbMetastore retries as often after an outage as before', async () => {
  let isDown = true;
  let attempts = 0;
  const { metastore } = await open(() => {
    attempts += 1;
    const fails = isDown || attempts % 2 === 1;
    return fails ? { status: 500, body: '{"__type":"InternalServerError"}' } : { status: 200, body: '{}' };
  });
  // This many failures would use up the SDK's default retry quota. The SDK would then not retry later calls.
  const outage = Array.from({ length: 40 }, () => codeOf(metastore.load(id, created, noDeadline())));
  expect(new Set(await Promise.all(outage))).toEqual(new Set(['MetastoreUnavailable']));
  expect(attempts).toBe(3 * outage.length);
  isDown = false;
  for (let i = 0; i < 10; i += 1) expect(await metastore.load(id, created, noDeadline())).toBeUndefined();
});

it("DynamoDbMetastore rejects with the deadline's abort reason if the deadline has passed", async () => {
  const { metastore } = await open(() => 'hang');
  const controller = new AbortController();
  const work = metastore.load(id, created, { atMs: 0, signal: controller.signal });
  const reason = new Error('time is up');
  controller.abort(reason);
  expect(await errorOf(work)).toBe(reason);
});

it('DynamoDbMetastore refuses a call with a wrong argument before it sends a request', async () => {
  const { metastore, requests } = await open(() => ({ status: 200, body: '{}' }));
  const wrong = {} as never;
  const record = keyRecord('_SK_x', 60);
  for (const [message, call] of [
    ['id must be', () => metastore.load(wrong, created, noDeadline())],
    ['created must be', () => metastore.load(id, wrong, noDeadline())],
    ['deadline must be', () => metastore.load(id, created, wrong)],
    ['id must be', () => metastore.loadLatest(wrong, noDeadline())],
    ['deadline must be', () => metastore.loadLatest(id, wrong)],
    ['id must be', () => metastore.loadRecent(wrong, created, noDeadline())],
    ['notAfter must be', () => metastore.loadRecent(id, wrong, noDeadline())],
    ['deadline must be', () => metastore.loadRecent(id, created, wrong)],
    ['record.id must be', () => metastore.store(wrong, noDeadline())],
    ['deadline must be', () => metastore.store(record, wrong)],
    ['id must be', () => metastore.rows(wrong, noDeadline())],
    ['deadline must be', () => metastore.rows(id, wrong)],
    ['record.id must be', () => metastore.replaceKey(wrong, Buffer.from('x'), noDeadline())],
    ['encryptedKey must be', () => metastore.replaceKey(record, wrong, noDeadline())],
    ['deadline must be', () => metastore.replaceKey(record, Buffer.from('x'), wrong)],
  ] as const)
    expect(await errorOf(call())).toMatchObject({
      name: 'TypeError',
      message: expect.stringMatching(new RegExp(`^${message}`)) as string,
    });
  expect(requests).toEqual([]);
});

it('DynamoDbMetastore reports a refused connection as MetastoreUnavailable', async () => {
  const { metastore } = await open(() => 'hang');
  await close(server as Server);
  expect(await codeOf(metastore.load(id, created, noDeadline()))).toBe('MetastoreUnavailable');
});

it.for([
  [
    'by default allows one second to connect and three seconds for a request',
    {},
    { connectionTimeout: 1000, requestTimeout: 3000, socketTimeout: 3000 },
  ],
  [
    'uses the timeouts of its options',
    { connectionTimeoutMs: 5000, requestTimeoutMs: 7000 },
    { connectionTimeout: 5000, requestTimeout: 7000, socketTimeout: 7000 },
  ],
] as const)('DynamoDbMetastore %s', async ([, options, timeouts]) => {
  await open(() => ({ status: 200, body: '{}' }));
  const { port } = (server as Server).address() as AddressInfo;
  const { client } = dynamoDbClient({ endpoint: `http://127.0.0.1:${port}`, region: 'us-west-2', ...options });
  // Send a request first, because the SDK determines the timeouts during the first request.
  await client.send(readOne('EncryptionKey', id, created));
  const handler = client.config.requestHandler as unknown as { httpHandlerConfigs(): object };
  expect(handler.httpHandlerConfigs()).toMatchObject({ ...timeouts, throwOnRequestTimeout: true });
  client.destroy();
});

it.for([
  ['tableName is neither the name nor the ARN of a DynamoDB table', { tableName: 'ab' }],
  ['tableName is neither the name nor the ARN of a DynamoDB table', { tableName: 'Keys\n' }],
  [
    'tableName is in another region',
    { tableName: 'arn:aws:dynamodb:us-west-2:111122223333:table/EncryptionKey', region: 'us-east-1' },
  ],
  ['region is not the name of an AWS region', { region: '' }],
  ['region is not the name of an AWS region', { region: 'us west' }],
  ['endpoint is not a URL', { endpoint: '127.0.0.1:8000' }],
  ['endpoint is not a URL', { endpoint: 'dynamodb', region: 'us-west-2' }],
  ['endpoint is in another region', { endpoint: 'https://dynamodb.us-east-1.amazonaws.com', region: 'us-west-2' }],
  ['endpoint has a query, a fragment or credentials', { endpoint: 'http://127.0.0.1:8000/#x' }],
  ['connectionTimeoutMs must not be more than 2147483647', { connectionTimeoutMs: 2 ** 31 }],
  ['requestTimeoutMs must not be more than 2147483647', { requestTimeoutMs: 2 ** 31 }],
] as const)('DynamoDbMetastore throws the error "%s"', ([fault, options]) => {
  expect(() => new DynamoDbMetastore(options)).toThrow(fault);
});

it.for(['', 'ab', 'Keys\n', '../keys'])(
  'DynamoDbMetastore refuses the table name %j even if the caller passes a client',
  (tableName) => {
    const client = new DynamoDBClient({});
    const error = expect.objectContaining({ code: 'InvalidConfiguration' }) as Error;
    expect(() => new DynamoDbMetastore({ client, tableName })).toThrow(error);
  },
);

it.for([
  ['an empty ID', ''],
  ['an ID of 2,049 bytes', 'x'.repeat(2049)],
  ['an ID with a lone surrogate', '\ud800'],
] as const)('DynamoDbMetastore does not store a row with %s', async ([, bad]) => {
  const { metastore, requests } = await open(() => ({ status: 200, body: '{}' }));
  expect(await codeOf(metastore.store(keyRecord(bad, 60), noDeadline()))).toBe('InvalidRequest');
  expect(requests).toEqual([]);
});

it('DynamoDbKeyTable lists all pages with consistent reads', async () => {
  const { requests } = await open(() => {
    const more = requests.length % 2 === 1 ? { LastEvaluatedKey: { Id: { S: 'a' }, Created: { N: '1' } } } : {};
    return { status: 200, body: JSON.stringify({ Items: [encodeKeyItem(keyRecord('_SK_x', 60))], ...more }) };
  });
  const { port } = (server as Server).address() as AddressInfo;
  const table = new DynamoDbKeyTable({ endpoint: `http://127.0.0.1:${port}`, region: 'us-west-2' });
  expect(await table.list()).toHaveLength(2);
  expect(await table.list('_SK_x')).toHaveLength(2);
  expect(requests.map(({ target, body }) => `${target} ${String(body['ConsistentRead'])}`)).toEqual([
    'Scan true',
    'Scan true',
    'Query true',
    'Query true',
  ]);
  expect(requests[1]?.body).toMatchObject({ ExclusiveStartKey: { Id: { S: 'a' } } });
});

it('DynamoDbMetastore emits an event for each call, and remembers the last state and the last failure', async () => {
  let isDown = false;
  const { requests } = await open(() =>
    isDown ? { status: 400, body: '{"__type":"AccessDeniedException"}' } : { status: 200, body: '{}' },
  );
  const { port } = (server as Server).address() as AddressInfo;
  const told: string[] = [];
  const events = {
    metastoreCalled: (action: string, latencyMs: number, errorName?: string) =>
      told.push(`${action} ${latencyMs >= 0} ${errorName}`),
  };
  const metastore = new DynamoDbMetastore({ endpoint: `http://127.0.0.1:${port}`, region: 'us-west-2', events });
  expect(metastore.state).toEqual({ state: 'unknown' });
  await metastore.load(id, created, noDeadline());
  expect(metastore.state).toEqual({ state: 'ok', atMs: expect.any(Number) as number });
  isDown = true;
  await errorOf(metastore.loadLatest(id, noDeadline()));
  const { atMs, lastError } = metastore.state;
  expect(metastore.state.state).toBe('unavailable');
  expect(lastError).toEqual({ errorName: 'AccessDeniedException', atMs });
  isDown = false;
  await metastore.store(keyRecord('_SK_x', 60), noDeadline());
  await metastore.replaceKey(keyRecord('_SK_x', 60), Buffer.from('x'), noDeadline());
  expect(metastore.state).toMatchObject({ state: 'ok', lastError });
  expect(told).toEqual([
    'GetItem true undefined',
    'Query true AccessDeniedException',
    'PutItem true undefined',
    'UpdateItem true undefined',
  ]);
  expect(requests).toHaveLength(4);
});

it.for([
  [500, 'unavailable', ['GetItem NoAnswerInTime']],
  [499, 'unknown', []],
] as const)(
  'if the deadline passes %i ms after a call to which DynamoDB has not responded, the state of DynamoDbMetastore is %s',
  async ([tookMs, state, told]) => {
    const calls: string[] = [];
    const events = { metastoreCalled: (action: string, _: number, name?: string) => calls.push(`${action} ${name}`) };
    await open(() => 'hang');
    const { port } = (server as Server).address() as AddressInfo;
    const metastore = new DynamoDbMetastore({ endpoint: `http://127.0.0.1:${port}`, region: 'us-west-2', events });
    const over = new AbortController();
    const reason = new Error('time is up');
    const clock = vi.spyOn(performance, 'now').mockReturnValue(1000);
    const work = errorOf(metastore.load(id, created, { ...noDeadline(), signal: over.signal }));
    clock.mockReturnValue(1000 + tookMs);
    over.abort(reason);
    expect(await work).toBe(reason);
    clock.mockRestore();
    expect(metastore.state.state).toBe(state);
    expect(calls).toEqual(told);
  },
);

it.for([
  ['zero', { requestTimeoutMs: 0 }],
  ['a negative number', { connectionTimeoutMs: -1 }],
  ['a number with a fraction', { requestTimeoutMs: 1.5 }],
] as const)('the DynamoDbMetastore constructor refuses %s as a timeout', ([, timeouts]) => {
  expect(() => new DynamoDbMetastore({ region: 'us-west-2', ...timeouts })).toThrow('must be a positive whole number');
});
