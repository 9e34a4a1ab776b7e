/** Tests the caller's credentials and SDK clients, and which hosts Keyfold calls under AWS's endpoint settings. */
import dns from 'node:dns';
import { Agent } from 'node:http';
import { DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb';
import { KMSClient, ListAliasesCommand } from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LambdaTransport } from '../../../src/client/lambda.ts';
import { AwsKms, DynamoDbMetastore, parseKeyId, type AwsKmsOptions } from '../../../src/index.ts';
import { errorOf, noDeadline } from '../../support/fakes.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import { startStub, type StubServer } from '../../support/stub-server.ts';

const REGION = 'us-west-2';
const KEY = 'arn:aws:kms:us-west-2:111122223333:key/12345678-1234-1234-1234-123456789012';
const GENERATED = JSON.stringify({
  KeyId: KEY,
  Plaintext: Buffer.alloc(32, 3).toString('base64'),
  CiphertextBlob: Buffer.from('wrap').toString('base64'),
});
const OWN = { accessKeyId: 'AKIDOWN', secretAccessKey: 'secret' };
const ID = parseKeyId('_SK_svc_prod');
let stub: StubServer;

beforeEach(async () => {
  stub = await startStub(({ headers }) => ({
    status: 200,
    body: String(headers['x-amz-target']).startsWith('TrentService') ? GENERATED : '{"Items":[],"Count":0}',
  }));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await stub.stop();
});

function kmsWith(options: Partial<AwsKmsOptions>): AwsKms {
  return new AwsKms({ keys: { [REGION]: KEY }, preferredRegion: REGION, failover: { maxRounds: 1 }, ...options });
}

const wrap = (kms: AwsKms): Promise<unknown> => kms.wrap(Buffer.alloc(32, 5), noDeadline());
const invoke = (): Promise<unknown> =>
  new LambdaTransport({ functions: 'f', credentials: LOCAL_CREDENTIALS }).send(
    { partition: 'p', operation: 'encrypt', members: {} },
    new AbortController().signal,
  );
const load = (metastore: DynamoDbMetastore): Promise<unknown> => metastore.loadLatest(ID, noDeadline());

/**
 * Returns an HTTP agent, and settings for an SDK client that sends requests to the stub through this agent. The freeze
 * guard adds a `free` listener to the agent.
 */
function settingsOfCaller(): { agent: Agent; settings: object } {
  const agent = new Agent({ keepAlive: true });
  const requestHandler = { httpAgent: agent };
  return { agent, settings: { region: REGION, endpoint: stub.url, maxAttempts: 1, credentials: OWN, requestHandler } };
}

describe("AwsKms with the caller's credentials or clients", () => {
  it("signs requests with the caller's credentials", async () => {
    await wrap(kmsWith({ endpoint: stub.url, credentials: async () => OWN }));
    expect(stub.requests[0]?.headers.authorization).toContain('Credential=AKIDOWN/');
  });

  it('gets one client per region from the caller, and protects the connections from freezes', async () => {
    const { agent, settings } = settingsOfCaller();
    const listeners = agent.listenerCount('free');
    const clients = vi.fn<(region: string) => KMSClient>(() => new KMSClient(settings));
    const kms = kmsWith({ clients });
    await wrap(kms);
    expect(agent.listenerCount('free')).toBe(listeners + 1);
    await wrap(kms);
    expect(clients.mock.calls).toEqual([[REGION]]);
    expect(stub.requests).toHaveLength(2);
    expect(stub.requests[0]?.headers.authorization).toContain('Credential=AKIDOWN/');
    expect(agent.listenerCount('free')).toBe(listeners + 1);
  });

  it("ends a call through the caller's client after requestTimeoutMs", async () => {
    const silent = await startStub('hang');
    const client = new KMSClient({ region: REGION, endpoint: silent.url, maxAttempts: 1, credentials: OWN });
    const kms = kmsWith({ clients: () => client, timeouts: { requestTimeoutMs: 50 } });
    expect(await errorOf(wrap(kms))).toMatchObject({ code: 'KmsUnavailable' });
    await silent.stop();
  });

  it('sends nothing through a client that retries requests itself', async () => {
    const kms = kmsWith({ clients: () => new KMSClient({ region: REGION, endpoint: stub.url, credentials: OWN }) });
    const error = await errorOf(wrap(kms));
    expect(error).toBeInstanceOf(TypeError);
    const text = 'AwsKms retries by itself. options.clients must make KMSClients with maxAttempts: 1.';
    expect((error as Error).message).toBe(text);
    expect(stub.requests).toHaveLength(0);
  });

  it.for<[string, object]>([
    ['options.credentials must be credentials or a function that finds them', { credentials: { accessKeyId: 'a' } }],
    ['options.clients must be a function', { clients: {} }],
    ['options.keys must be an object', { keys: 'x' }],
    ['options.keys.us-west-2 must be a string', { keys: { 'us-west-2': 5 } }],
    ['options.preferredRegion must be a string', { preferredRegion: 5 }],
    ['options.timeouts must be an object', { timeouts: 5 }],
    ['timeouts.requestTimeoutMs must be a number', { timeouts: { requestTimeoutMs: '5' } }],
    ['options.failover must be an object', { failover: 5 }],
    ['failover.maxRounds must be a number', { failover: { maxRounds: '5' } }],
    ['options.endpoint must be a string', { endpoint: 5 }],
    ['options.events must be an object', { events: 5 }],
    ['options.events.attempted must be a function', { events: { attempted: 5 } }],
    ['options has no option region', { region: REGION }],
    ["options.clients('us-west-2') must be a KMSClient, not undefined", { clients: () => undefined }],
    ["options.clients('us-west-2') must be a KMSClient", { clients: () => new DynamoDBClient({}) }],
    [
      'options must not have both clients and endpoint.',
      { clients: () => new KMSClient({}), endpoint: 'http://127.0.0.1:9' },
    ],
    ['options must not have both clients and credentials.', { clients: () => new KMSClient({}), credentials: OWN }],
    [
      'options must not have both clients and timeouts.connectionTimeoutMs.',
      { clients: () => new KMSClient({}), timeouts: { connectionTimeoutMs: 5 } },
    ],
  ])('rejects invalid options with the TypeError "%s"', ([message, options]) => {
    expect(() => kmsWith(options)).toThrow(TypeError);
    expect(() => kmsWith(options)).toThrow(message);
  });
});

describe("DynamoDbMetastore with the caller's credentials or client", () => {
  it("signs requests with the caller's credentials", async () => {
    await load(new DynamoDbMetastore({ region: REGION, endpoint: stub.url, credentials: OWN }));
    expect(stub.requests[0]?.headers.authorization).toContain('Credential=AKIDOWN/');
  });

  it("calls the caller's client, and protects its connections from freezes", async () => {
    const { agent, settings } = settingsOfCaller();
    const listeners = agent.listenerCount('free');
    const metastore = new DynamoDbMetastore({ client: new DynamoDBClient(settings), tableName: 'Keys' });
    await load(metastore);
    expect(agent.listenerCount('free')).toBe(listeners + 1);
    await load(metastore);
    expect(JSON.parse(stub.requests[0]?.body ?? '')).toMatchObject({ TableName: 'Keys' });
    expect(stub.requests[0]?.headers.authorization).toContain('Credential=AKIDOWN/');
    expect(agent.listenerCount('free')).toBe(listeners + 1);
  });

  it.for<[string, object]>([
    ['options.client must be a DynamoDBClient', { client: new KMSClient({}) }],
    ['options must not have both client and region.', { client: new DynamoDBClient({}), region: REGION }],
    [
      'options must not have both client and requestTimeoutMs.',
      { client: new DynamoDBClient({}), requestTimeoutMs: 5 },
    ],
    ['options must not have both client and credentials.', { client: new DynamoDBClient({}), credentials: OWN }],
  ])('rejects invalid options with the TypeError "%s"', ([message, options]) => {
    expect(() => new DynamoDbMetastore(options as never)).toThrow(TypeError);
    expect(() => new DynamoDbMetastore(options as never)).toThrow(message);
  });
});

it.for([
  [
    'AwsKms',
    async (settings: object) => {
      const client = new KMSClient(settings);
      await client.send(new ListAliasesCommand({}));
      await wrap(kmsWith({ clients: () => client }));
    },
  ],
  [
    'DynamoDbMetastore',
    async (settings: object) => {
      const client = new DynamoDBClient(settings);
      await client.send(new ListTablesCommand({}));
      await load(new DynamoDbMetastore({ client }));
    },
  ],
] as const)(
  '%s adds a freeze guard to a client of the caller, even if the caller has already used the client',
  async ([, call]) => {
    const { agent, settings } = settingsOfCaller();
    const counts: number[] = [];
    const counting = await startStub(() => {
      counts.push(agent.listenerCount('free'));
      return { status: 200, body: GENERATED };
    });
    await call({ ...settings, endpoint: counting.url });
    await counting.stop();
    expect(counts).toEqual([1, 2]);
  },
);

describe('an AWS adapter', () => {
  const call = {
    kms: () => wrap(kmsWith({})),
    dynamodb: () => load(new DynamoDbMetastore({ region: REGION })),
    lambda: invoke,
  };

  it.for<[string, string, keyof typeof call, Readonly<Record<string, string>>]>([
    ['kms.us-west-2.amazonaws.com', 'by default', 'kms', {}],
    ['kms-fips.us-west-2.amazonaws.com', 'with FIPS', 'kms', { AWS_USE_FIPS_ENDPOINT: 'true' }],
    ['kms.us-west-2.api.aws', 'with dual stack', 'kms', { AWS_USE_DUALSTACK_ENDPOINT: 'true' }],
    [
      'kms-fips.us-west-2.api.aws',
      'with FIPS and dual stack',
      'kms',
      { AWS_USE_FIPS_ENDPOINT: 'true', AWS_USE_DUALSTACK_ENDPOINT: 'true' },
    ],
    ['dynamodb.us-west-2.amazonaws.com', 'by default', 'dynamodb', {}],
    ['dynamodb-fips.us-west-2.amazonaws.com', 'with FIPS', 'dynamodb', { AWS_USE_FIPS_ENDPOINT: 'true' }],
    ['dynamodb.us-west-2.api.aws', 'with dual stack', 'dynamodb', { AWS_USE_DUALSTACK_ENDPOINT: 'true' }],
    ['lambda.us-west-2.amazonaws.com', 'by default', 'lambda', {}],
    ['lambda-fips.us-west-2.amazonaws.com', 'with FIPS', 'lambda', { AWS_USE_FIPS_ENDPOINT: 'true' }],
    ['lambda.us-west-2.api.aws', 'with dual stack', 'lambda', { AWS_USE_DUALSTACK_ENDPOINT: 'true' }],
  ])('calls the host %s %s', async ([host, , service, env]) => {
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    const asked: string[] = [];
    vi.spyOn(dns, 'lookup').mockImplementation(((name: string, _: unknown, done: (error: Error) => void) => {
      asked.push(name);
      done(Object.assign(new Error('no such host'), { code: 'ENOTFOUND' }));
    }) as never);
    await errorOf(call[service]());
    expect(new Set(asked)).toEqual(new Set([host]));
  });
});

describe('an object with event listeners', () => {
  it('may be an instance of a class, and need not have all listeners', async () => {
    class Listener {
      readonly regions: string[] = [];
      attempted({ region }: { readonly region: string }): void {
        this.regions.push(region);
      }
    }
    const listener = new Listener();
    await wrap(kmsWith({ endpoint: stub.url, credentials: OWN, events: listener }));
    expect(listener.regions).toEqual([REGION]);
    await wrap(kmsWith({ endpoint: stub.url, credentials: OWN, events: { failedOver: () => expect.unreachable() } }));
    const metastore = new DynamoDbMetastore({ region: REGION, endpoint: stub.url, credentials: OWN, events: {} });
    await load(metastore);
    expect(metastore.state.state).toBe('ok');
  });
});
