/**
 * Tests which error the client throws after one attempt, for each HTTP status, response header and Lambda error name.
 */
import * as lambda from '@aws-sdk/client-lambda';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { credentialsError } from '../../../src/client/errors.ts';
import { HttpExchange } from '../../../src/client/exchange.ts';
import {
  KeyfoldClient,
  KeyfoldServiceError,
  KeyfoldTransportError,
  type KeyfoldClientError,
  type TransportErrorCode,
} from '../../../src/client/index.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import { LambdaTransport } from '../../../src/client/lambda.ts';
import { failureOf } from '../../support/contract/client-contract.ts';
import { startStub, type StubAnswer } from '../../support/stub-server.ts';

const PROBLEM = 'application/problem+json';

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

/** Returns the error that a client throws after this response. */
async function thrownFor(way: 'HTTP' | 'Lambda', answer: StubAnswer): Promise<KeyfoldClientError> {
  const stub = await startStub(answer);
  const { url: endpoint } = stub;
  const to =
    way === 'HTTP'
      ? { http: { endpoint, region: 'us-west-2', credentials: LOCAL_CREDENTIALS } }
      : {
          lambda: new LambdaTransport({
            functions: 'keyfold',
            client: new lambda.LambdaClient({ endpoint, maxAttempts: 1 }),
          }),
        };
  const client = new KeyfoldClient({ ...to, retry: { maxAttempts: 1 } });
  const thrown = await failureOf(client.partition('p').decrypt('kf1.x'));
  await stub.stop();
  return thrown;
}

it.for([
  [201, 'UnexpectedAnswer'],
  [204, 'UnexpectedAnswer'],
  [299, 'UnexpectedAnswer'],
  [400, 'UnexpectedAnswer'],
  [401, 'Unauthenticated'],
  [403, 'Forbidden'],
  [404, 'NotFound'],
  [407, 'UnexpectedAnswer'],
  [408, 'TimedOut'],
  [413, 'PayloadTooLarge'],
  [425, 'Unavailable'],
  [426, 'UnexpectedAnswer'],
  [429, 'Throttled'],
  [499, 'UnexpectedAnswer'],
  [500, 'Unavailable'],
  [501, 'UnexpectedAnswer'],
  [502, 'Unavailable'],
  [505, 'UnexpectedAnswer'],
  [506, 'Unavailable'],
  [511, 'UnexpectedAnswer'],
  [599, 'Unavailable'],
] as const)('status %i from the API becomes the error %s', async ([status, code]) => {
  const body = status === 204 ? '' : '{"plaintext":"aGVsbG8="}';
  expect(await thrownFor('HTTP', { status, headers: { 'apigw-requestid': 'g1' }, body })).toMatchObject({
    name: 'KeyfoldTransportError',
    code,
    message: `The API answered with status ${status}.`,
    requestId: 'g1',
  });
});

it.for([
  ['an HTTP API', { 'apigw-requestid': 'g1', 'x-amzn-requestid': 'other' }],
  ['a REST API or a function URL', { 'x-amzn-requestid': 'g1' }],
] as const)('an error has the request ID from the headers that %s sends', async ([, headers]) => {
  expect(await thrownFor('HTTP', { status: 403, headers, body: '{}' })).toMatchObject({ requestId: 'g1' });
});

/** The errors that the SDK documents for Lambda's Invoke. Their statuses are in the SDK's schemas. */
const INVOKE_ERRORS: Readonly<Partial<Record<TransportErrorCode, readonly string[]>>> = {
  Unavailable: [
    'CodeArtifactUserPendingException',
    'EC2UnexpectedException',
    'EFSIOException',
    'EFSMountConnectivityException',
    'EFSMountTimeoutException',
    'ENILimitReachedException',
    'ENINotReadyException',
    'KMSInvalidStateException',
    'ResourceConflictException',
    'ResourceNotReadyException',
    'S3FilesMountConnectivityException',
    'S3FilesMountTimeoutException',
    'ServiceException',
    'SnapStartNotReadyException',
    'SnapStartRegenerationFailureException',
    'SnapStartTimeoutException',
    'SubnetIPAddressLimitReachedException',
  ],
  Throttled: ['EC2ThrottledException', 'TooManyRequestsException'],
  FunctionFailed: [
    'CodeArtifactUserDeletedException',
    'CodeArtifactUserFailedException',
    'EC2AccessDeniedException',
    'EFSMountFailureException',
    'InvalidRuntimeException',
    'InvalidSecurityGroupIDException',
    'InvalidSubnetIDException',
    'InvalidZipFileException',
    'KMSAccessDeniedException',
    'KMSDisabledException',
    'KMSNotFoundException',
    'ModeNotSupportedException',
    'NoPublishedVersionException',
    'RecursiveInvocationException',
    'S3FilesMountFailureException',
    'SnapStartException',
  ],
  NotFound: ['ResourceNotFoundException'],
  PayloadTooLarge: ['RequestTooLargeException', 'SerializedRequestEntityTooLargeException'],
  // The client cannot cause some of these errors. The rest fit no other code.
  UnexpectedAnswer: [
    'DurableExecutionAlreadyStartedException',
    'InvalidParameterValueException',
    'InvalidRequestContentException',
    'ServiceQuotaExceededException',
    'UnsupportedMediaTypeException',
  ],
};

/** The status of an error in the SDK's schemas. */
function statusOf(name: string): number {
  const schemas = lambda as unknown as Record<string, { readonly 3: { readonly httpError: number } } | undefined>;
  return schemas[`${name}$`]?.[3].httpError ?? 0;
}

describe('an error from Lambda', () => {
  it("is in this test's table of error codes if and only if the SDK documents the error", async () => {
    const command = createRequire(import.meta.url).resolve('@aws-sdk/client-lambda/package.json');
    const types = await readFile(join(dirname(command), 'dist-types/commands/InvokeCommand.d.ts'), 'utf8');
    const documented = Array.from(
      types.matchAll(/@throws \{@link (\w+)\} \((?:client|server) fault\)/g),
      ([, name]) => name,
    );
    expect(new Set(Object.values(INVOKE_ERRORS).flat())).toEqual(new Set(documented));
  });

  const documented = Object.entries(INVOKE_ERRORS).flatMap(([code, names]) =>
    names.map((name) => [code, name, statusOf(name)] as const),
  );
  it.for([
    ...documented,
    ['Unavailable', 'ResourceNotReadyException', 404],
    ['Throttled', 'RequestLimitExceeded', 502],
    ['FunctionFailed', 'EFSMountFailureException', 502],
    ['FunctionFailed', 'SnapStartException', 502],
    // A proxy may send any name, even the name of a member that every JavaScript object has.
    ['Unavailable', '__proto__', 503],
    ['Unavailable', 'constructor', 503],
  ] as const)('becomes %s if its name is %s and its status %i', async ([code, name, status]) => {
    const headers = { 'x-amzn-errortype': name, 'x-amzn-requestid': 'r1' };
    const error = await thrownFor('Lambda', { status, headers, body: '{"Message":"no"}' });
    const message = `Lambda (${name}) answered with status ${status}.`;
    expect(error).toMatchObject({ code, message, requestId: 'r1' });
  });
});

const TIMED_OUT = 'r1 Task timed out after 3.00 seconds';
it.for([
  ['Handled', { errorType: 'Sandbox.Timedout', errorMessage: TIMED_OUT }],
  ['Unhandled', { errorType: 'Sandbox.Timedout' }],
  ['Unhandled', { errorMessage: TIMED_OUT }],
] as const)(
  'the client throws TimedOut if Lambda reports a timeout as a function error of the kind "%s" with %j',
  async ([kind, details]) => {
    const headers = { 'x-amz-function-error': kind, 'x-amzn-requestid': 'r1' };
    const body = JSON.stringify(details);
    expect(await thrownFor('Lambda', { status: 200, headers, body })).toMatchObject({
      code: 'TimedOut',
      message: 'The function timed out before it answered.',
      retryable: true,
      requestId: 'r1',
    });
  },
);

it.for(['', 'Process exited', '"\xff"'])(
  'the client throws FunctionFailed if Lambda reports a function error whose payload %j is not JSON',
  async (payload) => {
    const headers = { 'x-amz-function-error': 'Unhandled', 'x-amzn-requestid': 'r1' };
    const body = Buffer.from(payload, 'latin1');
    expect(await thrownFor('Lambda', { status: 200, headers, body })).toMatchObject({
      code: 'FunctionFailed',
      message: 'The function failed with an unnamed error.',
      requestId: 'r1',
    });
  },
);

it("the client throws UnexpectedAnswer if Lambda's response is not valid UTF-8", async () => {
  const body = Buffer.from('{"plaintext":"aGVsbG8=","more":"\xff"}', 'latin1');
  expect(await thrownFor('Lambda', { status: 200, body })).toMatchObject({
    code: 'UnexpectedAnswer',
    message: 'The function did not answer with JSON.',
  });
});

it('the default LambdaClient sends each request only once', async () => {
  const stub = await startStub({ status: 200, body: '{"plaintext":"aGVsbG8="}' });
  vi.stubEnv('AWS_ENDPOINT_URL_LAMBDA', stub.url);
  const client = new KeyfoldClient({ lambda: new LambdaTransport({ functions: 'keyfold' }) }).partition('p');
  expect(await client.decrypt('kf1.x')).toEqual(new Uint8Array(Buffer.from('hello')));
  expect(stub.requests[0]?.path).toContain('/functions/keyfold/');
  await stub.stop();
});

describe('a problem document', () => {
  const problem = { code: 'KmsUnavailable', detail: 'Why.', requestId: 'r1' };
  const answered = (body: unknown, contentType = PROBLEM): Promise<KeyfoldClientError> =>
    thrownFor('HTTP', {
      status: 503,
      headers: { 'content-type': contentType, 'apigw-requestid': 'g1' },
      body: JSON.stringify(body),
    });

  it.for([
    ['its content type', PROBLEM],
    ['its content type with a charset', `${PROBLEM}; charset=utf-8`],
    ['its content type with a charset, but without a space', `${PROBLEM};charset=utf-8`],
    ['its content type in capital letters', PROBLEM.toUpperCase()],
  ] as const)('is recognised by %s', async ([, type]) => {
    const expected = { name: 'KeyfoldServiceError', code: 'KmsUnavailable', message: 'Why.', requestId: 'r1' };
    expect(await answered(problem, type)).toMatchObject(expected);
  });

  it.for([
    ['application/json', 'application/json'],
    ['a list of two types', `text/plain, ${PROBLEM}`],
  ] as const)('counts as no problem document if its content type is %s', async ([, type]) => {
    const expected = { name: 'KeyfoldTransportError', code: 'Unavailable', requestId: 'g1' };
    expect(await answered(problem, type)).toMatchObject(expected);
  });

  it("with an invalid detail and request ID becomes an error with the document's code and the gateway's request ID", async () => {
    const expected = { name: 'KeyfoldServiceError', message: 'KmsUnavailable', requestId: 'g1' };
    expect(await answered({ code: 'KmsUnavailable', detail: 7, requestId: 7 })).toMatchObject(expected);
  });

  it('becomes the error Unavailable if its content is null and the status is 503', async () => {
    expect(await answered(null)).toMatchObject({ name: 'KeyfoldTransportError', code: 'Unavailable' });
  });
});

it.for([
  [{ name: 'Throttling' }, 'Unavailable', 'AWS credentials are temporarily unavailable: Throttling.'],
  [{ name: 'ExpiredToken' }, 'Unavailable', 'AWS credentials are temporarily unavailable: ExpiredToken.'],
  [{ code: 'ECONNRESET' }, 'Unavailable', 'AWS credentials are temporarily unavailable: Error.'],
  [{ cause: { code: 'UND_ERR_SOCKET' } }, 'Unavailable', 'AWS credentials are temporarily unavailable: Error.'],
  [{ name: 'AccessDenied' }, 'Unauthenticated', 'No AWS credentials were found: AccessDenied.'],
] as const)('an error %j of a credential provider becomes %s', ([fault, code, message]) => {
  const error = credentialsError(Object.assign(new Error('CANARY'), fault));
  expect(error).toMatchObject({ code, message, retryable: code === 'Unavailable' });
});

it('a thrown value that is not an error, such as {"name":"Throttling"}, becomes Unauthenticated', () => {
  const message = 'No AWS credentials were found: Error.';
  expect(credentialsError({ name: 'Throttling' })).toMatchObject({ code: 'Unauthenticated', message });
});

it('the default LambdaClient gives up a connection attempt after two seconds', async () => {
  const send = vi.spyOn(lambda.LambdaClient.prototype, 'send').mockRejectedValue(new Error('enough'));
  const transport = new LambdaTransport({ functions: 'keyfold', credentials: LOCAL_CREDENTIALS });
  const call = { partition: 'p', operation: 'decrypt', members: {} } as const;
  await expect(transport.send(call, new AbortController().signal)).rejects.toThrow('enough');
  const { config } = send.mock.contexts[0] as lambda.LambdaClient;
  expect(await config.maxAttempts()).toBe(1);
  const { configProvider } = config.requestHandler as unknown as { readonly configProvider: Promise<object> };
  expect(await configProvider).toMatchObject({ connectionTimeout: 2000 });
});

it("the client compares a retry-after date with this machine's clock if the response has no date", async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: new Date('2026-11-27T10:00:00.500Z') });
  const headers = { date: 'some day', 'retry-after': 'Fri, 27 Nov 2026 10:00:30 GMT' };
  expect(await thrownFor('HTTP', { status: 503, headers, body: '' })).toMatchObject({ retryAfterSeconds: 30 });
});

it('the client reads a retry-after date without a time zone as GMT, whatever the local time zone is', async () => {
  const { parse } = Date;
  vi.spyOn(Date, 'parse').mockImplementation((text) => parse(text.endsWith('GMT') ? text : `${text} EST`));
  const headers = { date: 'Fri, 27 Nov 2026 10:00:00 GMT', 'retry-after': 'Fri Nov 27 10:00:30 2026' };
  expect(await thrownFor('HTTP', { status: 503, headers, body: '' })).toMatchObject({ retryAfterSeconds: 30 });
});

it('the client throws Unreachable if Lambda times out, and rethrows configuration errors unchanged', async () => {
  for (const [fault, expected] of [
    [{ name: 'TimeoutError' }, { code: 'Unreachable', message: 'Lambda could not be reached: TimeoutError.' }],
    [
      { name: 'OddError', $response: { statusCode: 200 } },
      { code: 'Unreachable', message: 'Lambda could not be reached: OddError.' },
    ],
    [{ name: 'OddError' }, { name: 'OddError' }],
  ] as const) {
    const requestHandler = { handle: () => Promise.reject(Object.assign(new Error('CANARY'), fault)) };
    const client = new lambda.LambdaClient({ maxAttempts: 1, requestHandler });
    const keyfold = new KeyfoldClient({
      lambda: new LambdaTransport({ functions: 'keyfold', client }),
      retry: { maxAttempts: 1 },
    });
    await expect(keyfold.partition('p').decrypt('kf1.x')).rejects.toMatchObject(expected);
  }
});

it.for([
  ["CERT_HAS_EXPIRED, or this machine's clock is wrong", { code: 'CERT_HAS_EXPIRED' }],
  ["CERT_NOT_YET_VALID, or this machine's clock is wrong", { code: 'CERT_NOT_YET_VALID' }],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }],
  ['ECODE', { name: 'OddError', code: 'ECODE' }],
  ['OddError', { name: 'OddError' }],
  ['an unknown fault', { name: undefined }],
] as const)('the client reports a connection error as "The API could not be reached: %s."', async ([named, fault]) => {
  vi.spyOn(HttpExchange.prototype, 'post').mockRejectedValue(Object.assign(new Error('CANARY'), fault));
  const error = await thrownFor('HTTP', 'hang');
  expect(error).toMatchObject({ code: 'Unreachable', message: `The API could not be reached: ${named}.` });
});

it.for([
  ['Unauthenticated', 'not retryable'],
  ['Forbidden', 'not retryable'],
  ['NotFound', 'not retryable'],
  ['PayloadTooLarge', 'not retryable'],
  ['Throttled', 'retryable'],
  ['Unavailable', 'retryable'],
  ['Unreachable', 'retryable'],
  ['TimedOut', 'retryable'],
  ['FunctionFailed', 'not retryable'],
  ['UnexpectedAnswer', 'not retryable'],
  ['InexactNumber', 'not retryable'],
  ['InexactName', 'not retryable'],
] as const)('an error with the code %s is %s', ([code, expected]) => {
  const retryable = expected === 'retryable';
  expect(new KeyfoldTransportError(code, 'Why.')).toMatchObject({ code, retryable, requestId: undefined });
});

it.for([
  ['an unknown code', 'Moon'],
  ['the name of an object method', 'toString'],
  ['an empty code', ''],
  ['an undefined code', undefined],
  ['a code in an array', ['Forbidden']],
] as const)('new KeyfoldTransportError throws a TypeError for %s', ([, code]) => {
  expect(() => new KeyfoldTransportError(code as 'Forbidden', 'Why.')).toThrow(/^code must be a TransportErrorCode/);
  expect(() => new KeyfoldServiceError(code as 'Forbidden', 'Why.')).toThrow(/^code must be an ErrorCode/);
});
