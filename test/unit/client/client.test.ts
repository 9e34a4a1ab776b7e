import { LambdaClient } from '@aws-sdk/client-lambda';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { KeyfoldClient, type RetryPolicy } from '../../../src/client/index.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import { LambdaTransport } from '../../../src/client/lambda.ts';
import { clientContract, failureOf } from '../../support/contract/client-contract.ts';
import { OperatorFixture } from '../../support/operator.ts';
import { startLocalApi, type LocalApi } from '../../support/local-api.ts';

const HELLO = Buffer.from('hello');
const functions = { seal: 'keyfold-seal', open: 'keyfold-open' };
let api: LocalApi;
let erased = 0;
beforeAll(async () => {
  api = await startLocalApi();
});
afterAll(() => api.stop());
afterEach(() => {
  vi.unstubAllEnvs();
  api.kms.clearFaults();
});

function overLambda(retry: Partial<RetryPolicy> = {}, names: string | typeof functions = functions): KeyfoldClient {
  const client = new LambdaClient({ endpoint: api.url, maxAttempts: 1 });
  return new KeyfoldClient({ lambda: new LambdaTransport({ functions: names, client }), retry });
}

function overHttp(retry: Partial<RetryPolicy> = {}): KeyfoldClient {
  return new KeyfoldClient({ http: { endpoint: api.url, region: 'us-west-2', credentials: LOCAL_CREDENTIALS }, retry });
}

clientContract('direct invocation', overLambda);
clientContract('HTTP', overHttp);

it.for([
  ['direct invocation', overLambda],
  ['HTTP', overHttp],
] as const)(
  'a call over %s is retried while KMS is down, and succeeds once KMS is back',
  { timeout: 60_000 },
  async ([, open]) => {
    // The client's timeouts are longer than the time that the function needs for all its rounds of KMS attempts.
    const times = { attemptTimeoutMs: 30_000, totalTimeoutMs: 30_000 };
    const policy = { ...times, maxAttempts: 100, baseDelayMs: 100, longestDelayMs: 100 };
    const tenant = open(policy).partition('tenant-of-an-outage');
    const record = await tenant.encrypt(HELLO);
    await api.recycle();
    api.kms.setFault('us-west-2', { kind: 'down' });
    const impatient = open({ ...times, maxAttempts: 1 }).partition(tenant.partition);
    let failure = await failureOf(impatient.decrypt(record));
    // Repeat a call that is `Unreachable`, because the server may close an idle connection while a request is on its
    // way.
    while (failure.code === 'Unreachable') failure = await failureOf(impatient.decrypt(record));
    expect(failure).toMatchObject({ code: 'KmsUnavailable', retryable: true });
    const opening = tenant.decrypt(record);
    setTimeout(() => api.kms.clearFaults(), 300);
    expect(await opening).toEqual(new Uint8Array(HELLO));
  },
);

it('the client throws Forbidden if the function does not serve the operation', async () => {
  const wrong = overLambda({}, { seal: 'keyfold-open', open: 'keyfold-seal' }).partition('p');
  expect(await failureOf(wrong.encrypt(HELLO))).toMatchObject({ name: 'KeyfoldServiceError', code: 'Forbidden' });
});

it('the client throws a KeyfoldTransportError if the function is absent or does not start', async () => {
  const nothing = await failureOf(overLambda({}, 'nothing').partition('p').encrypt(HELLO));
  expect(nothing).toMatchObject({
    name: 'KeyfoldTransportError',
    code: 'NotFound',
    message: 'Lambda (ResourceNotFoundException) answered with status 404.',
    retryable: false,
  });
  const broken = await failureOf(overLambda({}, 'keyfold-broken').partition('p').encrypt(HELLO));
  expect(broken).toMatchObject({ name: 'KeyfoldTransportError', code: 'FunctionFailed', retryable: false });
});

it('a partition that a URL path cannot contain works by direct invocation but not over HTTP', async () => {
  for (const partition of ['..', 'a/b', 'ä', '', 'a%2e', 'x'.repeat(129)]) {
    const error = await failureOf(overHttp().partition(partition).encrypt(HELLO));
    expect(error).toMatchObject({
      name: 'KeyfoldServiceError',
      code: 'InvalidRequest',
      message: 'Over HTTP a partition is 1 to 128 of A-Z a-z 0-9 . _ ~ @ -, and not . or .. itself.',
      requestId: undefined,
    });
  }
  const tenant = overLambda().partition('a/../b ä');
  expect(await tenant.decrypt(await tenant.encrypt(HELLO))).toEqual(new Uint8Array(HELLO));
});

it.for([
  ['direct invocation', overLambda],
  ['HTTP', overHttp],
] as const)('a call over %s throws PartitionErased at once for an erased partition', async ([, open]) => {
  const client = open({ maxAttempts: 5, baseDelayMs: 60_000, longestDelayMs: 60_000 });
  const partition = `tenant-to-erase-${(erased += 1)}`;
  const record = await client.partition(partition).encrypt(HELLO);
  vi.stubEnv('AWS_ENDPOINT_URL_KMS', api.kms.endpoint);
  const operator = OperatorFixture.at(api.environment['KEYFOLD_DYNAMODB_ENDPOINT'] ?? '');
  const erase = ['partitions', 'erase', partition, '--reason', 'x', '--confirm', partition];
  expect(await operator.keyfold(erase, api.environment)).toMatchObject({ code: 0 });
  await api.recycle();
  const calls = [client.partition(partition).decrypt(record), client.partition(partition).encrypt(HELLO)];
  const refused = { code: 'PartitionErased', retryable: false };
  expect(await Promise.all(calls.map(failureOf))).toMatchObject([refused, refused]);
});
