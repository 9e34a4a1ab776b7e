import { afterAll, afterEach, beforeEach, expect, it, vi } from 'vitest';
import { KeyfoldClient } from '../../../src/client/index.ts';
import { defaultCredentials } from '../../../src/client/default-credentials.ts';
import { LambdaTransport } from '../../../src/client/lambda.ts';
import { foundCredentials } from '../../../src/connections/found-credentials.ts';
import { mayPass } from '../../../src/connections/passing-fault.ts';
import { CREDENTIALS, withTimeLimit, type Credentials, type Identity } from '../../../src/connections/sdk-client.ts';
import { KmsCiphertexts } from '../../../src/kms/kms-ciphertexts.ts';
import { RegionalKms } from '../../../src/kms/regional-kms.ts';
import { authOf } from '../../../src/kms/vault/configured-vault.ts';
import { VaultKms } from '../../../src/kms/vault/index.ts';
import { DynamoDbMetastore, parseEpochSeconds, parseKeyId } from '../../../src/index.ts';
import { SqsQueues } from '../../../src/sqs/sqs-queues.ts';
import { errorOf, noDeadline } from '../../support/fakes.ts';
import { startStub, type StubServer } from '../../support/stub-server.ts';

const IDENTITY = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' };
const RETRY = { maxAttempts: 1, attemptTimeoutMs: 1000 };
let stub: StubServer;
/** Servers of credentials. They run until the last test ends, because the SDK repeats a request that is cut off. */
const containers: StubServer[] = [];

beforeEach(async () => {
  stub = await startStub({ status: 400, body: '{}' });
  vi.stubEnv('AWS_ENDPOINT_URL_LAMBDA', stub.url);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  // Vitest's fake timers do not replace the timer inside AbortSignal.timeout.
  vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new DOMException('late', 'TimeoutError')), ms);
    return controller.signal;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  await stub.stop();
});
afterAll(async () => {
  for (const container of containers) await container.stop();
});

/**
 * Each function opens a client, a KMS region or a metastore with these credentials, and returns a function that makes
 * one call.
 */
const CALLS: readonly (readonly [string, (credentials?: Credentials) => () => Promise<unknown>])[] = [
  [
    'the client over HTTP',
    (credentials) => {
      const client = new KeyfoldClient({
        http: { endpoint: stub.url, region: 'us-west-2', credentials: credentials ?? defaultCredentials() },
        retry: RETRY,
      });
      return () => client.partition('tenant-1').decrypt('kf1.x');
    },
  ],
  [
    'the client over Lambda',
    (credentials) => {
      const lambda = new LambdaTransport({ functions: 'keyfold', ...(credentials && { credentials }) });
      const client = new KeyfoldClient({ lambda, retry: RETRY });
      return () => client.partition('tenant-1').decrypt('kf1.x');
    },
  ],
  [
    'the AWS KMS adapter',
    (credentials) => {
      const kms = new RegionalKms({
        region: 'us-west-2',
        keyArn: 'arn:aws:kms:us-west-2:111122223333:alias/keyfold',
        accounts: new Set(['111122223333']),
        timeouts: { connectionTimeoutMs: 1000, requestTimeoutMs: 100 },
        endpoint: stub.url,
        credentials,
      });
      return () => kms.generateDataKey(noDeadline());
    },
  ],
  [
    'the DynamoDB adapter',
    (credentials) => {
      const metastore = new DynamoDbMetastore({
        region: 'us-west-2',
        endpoint: stub.url,
        ...(credentials && { credentials }),
      });
      const first = AbortSignal.timeout(100);
      return () => {
        const deadline = first.aborted ? noDeadline() : { ...noDeadline(), signal: first };
        return metastore.load(parseKeyId('_SK_a_b'), parseEpochSeconds(60), deadline);
      };
    },
  ],
];

it.for(CALLS)(
  '%s calls the credential provider again after ten seconds if the first call does not end',
  async ([, open]) => {
    const provider = vi.fn<() => Promise<Identity>>(() => Promise.resolve(IDENTITY));
    const called = Promise.withResolvers<void>();
    provider.mockImplementationOnce(() => {
      called.resolve();
      return new Promise(() => {});
    });
    const call = open(provider);
    const first = errorOf(call());
    await called.promise;
    await vi.advanceTimersByTimeAsync(10_000);
    await first;
    await errorOf(call());
    expect(provider).toHaveBeenCalledTimes(2);
    expect(stub.requests).not.toHaveLength(0);
  },
);

/** Like {@link CALLS}, for the parts of Keyfold that always search for credentials themselves. */
const SEARCHING: typeof CALLS = [
  [
    'the SQS adapter',
    () => {
      const queues = new SqsQueues();
      const { signal } = noDeadline();
      return () => queues.send(`${stub.url}/111122223333/queue`, [{ body: 'a', attributes: {} }], signal);
    },
  ],
  [
    'the opener of KMS ciphertexts',
    () => {
      vi.stubEnv('AWS_ENDPOINT_URL_KMS', stub.url);
      const ciphertexts = new KmsCiphertexts('us-west-2', undefined);
      return () => ciphertexts.open(new Uint8Array(9));
    },
  ],
  [
    'the AWS login of the Vault adapter',
    () => {
      const vault = new VaultKms({
        addresses: [stub.url],
        transitKey: 'keyfold',
        auth: authOf({ method: 'aws', role: 'orders' }),
        requestTimeoutMs: 100,
        failover: { maxRounds: 1 },
      });
      return () => vault.wrap(new Uint8Array(32), noDeadline());
    },
  ],
];

it.for([...CALLS, ...SEARCHING])(
  '%s searches for credentials again after ten seconds if the first search does not end',
  async ([, open]) => {
    const asked = Promise.withResolvers<void>();
    const identity = {
      AccessKeyId: 'AKIDEXAMPLE',
      SecretAccessKey: 's',
      Token: 't',
      Expiration: '2999-01-01T00:00:00Z',
    };
    const container = await startStub(
      () => {
        asked.resolve();
        return 'hang';
      },
      { status: 200, body: JSON.stringify(identity) },
    );
    containers.push(container);
    vi.stubEnv('AWS_ACCESS_KEY_ID', undefined);
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', container.url);
    // The SDK warns that the container is slow.
    vi.spyOn(console, 'warn').mockImplementation(() => {});
    const call = open();
    const first = call().catch(() => {});
    await asked.promise;
    await vi.advanceTimersByTimeAsync(10_000);
    await first;
    await call().catch(() => {});
    expect(container.requests).toHaveLength(2);
    expect(stub.requests).not.toHaveLength(0);
  },
);

/** Searches for credentials until the search fails. Returns the error. */
async function failedSearch(): Promise<unknown> {
  vi.stubEnv('AWS_ACCESS_KEY_ID', undefined);
  const search = errorOf(foundCredentials()());
  // The SDK waits for a second before each of its retries.
  const clock = setInterval(() => void vi.advanceTimersByTimeAsync(1000), 10);
  return search.finally(() => clearInterval(clock));
}

it.for([429, 500])(
  'a search for credentials may be repeated if the agent of a container responds with %i',
  async (status) => {
    const container = await startStub({ status, body: '{}' });
    containers.push(container);
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', container.url);
    expect(mayPass(await failedSearch())).toBe(true);
    expect(container.requests).not.toHaveLength(0);
  },
);

it('a search for credentials may be repeated if the agent of a container is down', async () => {
  const container = await startStub({ status: 500, body: '{}' });
  await container.stop();
  vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', container.url);
  expect(mayPass(await failedSearch())).toBe(true);
});

it('a search for credentials need not be repeated if nothing in the environment has any', async () => {
  vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', undefined);
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  const error = await failedSearch();
  expect(error).toMatchObject({ name: 'CredentialsProviderError' });
  expect(mayPass(error)).toBe(false);
});

it('a call of a credential provider fails with TimeoutError if the provider does not respond within ten seconds', async () => {
  const provider = withTimeLimit(() => new Promise(() => {})) as () => Promise<Identity>;
  let error: unknown;
  void provider().catch((reason: unknown) => (error = reason));
  await vi.advanceTimersByTimeAsync(9999);
  expect(error).toBeUndefined();
  await vi.advanceTimersByTimeAsync(1);
  expect(error).toMatchObject({ name: 'TimeoutError' });
  expect(withTimeLimit(IDENTITY)).toBe(IDENTITY);
});

it.for<[string, unknown]>([
  ['accessKeyId', undefined],
  ['accessKeyId', ''],
  ['accessKeyId', 'a b'],
  ['accessKeyId', 5],
  ['secretAccessKey', undefined],
  ['secretAccessKey', 'secret\n'],
  ['secretAccessKey', ' secret'],
  ['sessionToken', ''],
  ['sessionToken', 'tok\u00e9n'],
  ['sessionToken', '\u007f'],
])('credentials are refused if their %s is %j', ([name, value]) => {
  expect(CREDENTIALS.holds({ ...IDENTITY, [name]: value })).toBe(false);
});

it('credentials may be an object with more members, or a function', () => {
  for (const accepted of [IDENTITY, { ...IDENTITY, sessionToken: '!~', accountId: 1 }, async () => IDENTITY]) {
    expect(CREDENTIALS.holds(accepted)).toBe(true);
  }
  for (const refused of [undefined, null, 'AKIDEXAMPLE', {}]) expect(CREDENTIALS.holds(refused)).toBe(false);
});
