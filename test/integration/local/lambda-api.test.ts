import { request as send } from 'node:http';
import {
  GetFunctionCommand,
  InvokeCommand,
  InvokeWithResponseStreamCommand,
  LambdaClient,
  type InvokeCommandOutput,
} from '@aws-sdk/client-lambda';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startLocalApi, type LocalApi } from '../../support/local-api.ts';

let api: LocalApi;
let lambda: LambdaClient;

beforeAll(async () => {
  api = await startLocalApi();
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  lambda = new LambdaClient({ endpoint: api.url, region: 'us-west-2', maxAttempts: 1, credentials });
});
afterAll(() => api.stop());

function invoke(FunctionName: string, event: unknown, more: object = {}): Promise<InvokeCommandOutput> {
  const Payload = typeof event === 'string' ? event : JSON.stringify(event);
  return lambda.send(new InvokeCommand({ FunctionName, Payload, ...more }));
}

function payloadOf({ Payload }: InvokeCommandOutput): unknown {
  return JSON.parse(Payload?.transformToString() ?? '');
}

/** Sends a POST with headers that fetch does not allow, and returns its status. */
function post(path: string, headers: Record<string, string>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const request = send(`${api.url}${path}`, { method: 'POST', headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.once('error', reject);
    request.end('{}');
  });
}

const HELLO = { operation: 'encrypt', partition: 'tenant-1', plaintext: 'aGVsbG8=' };

describe("Lambda's Invoke API in the local world", () => {
  it("lets the SDK's Lambda client encrypt with one function and decrypt with the other", async () => {
    const sealed = await invoke('keyfold-seal', HELLO);
    expect(sealed).toMatchObject({ StatusCode: 200, ExecutedVersion: '$LATEST' });
    expect(sealed.FunctionError).toBeUndefined();
    expect(sealed.$metadata.requestId).toMatch(/^[0-9a-f-]{36}$/);
    const { record } = payloadOf(sealed) as { record: unknown };
    const arn = 'arn:aws:lambda:us-west-2:111122223333:function:keyfold-open:$LATEST';
    const opened = await invoke(arn, { operation: 'decrypt', partition: 'tenant-1', record });
    expect(payloadOf(opened)).toEqual({ plaintext: 'aGVsbG8=' });
  });

  it("sends the headers of Lambda's response", async () => {
    const path = '/2015-03-31/functions/keyfold-seal/invocations';
    const answer = await fetch(`${api.url}${path}`, { method: 'POST', body: JSON.stringify(HELLO) });
    const names = ['content-type', 'x-amz-executed-version', 'x-amz-function-error'];
    expect(names.map((name) => answer.headers.get(name))).toEqual(['application/json', '$LATEST', null]);
    expect(await answer.json()).toHaveProperty('record');
  });

  it('keeps every digit of a large number', async () => {
    const about = { partition: 'tenant-1', fields: ['$.a'] };
    const documentText = '{"a":12345678901234567890,"b":1.0}';
    const sealed = await invoke('keyfold-seal', { operation: 'encrypt-fields', ...about, documentText });
    const document = JSON.parse((payloadOf(sealed) as { documentText: string }).documentText) as unknown;
    const opened = await invoke('keyfold-open', { operation: 'decrypt-fields', ...about, document });
    expect(opened.Payload?.transformToString()).toBe('{"document":{"a":12345678901234567890,"b":1}}');
  });

  it('returns the error name of a function that fails', async () => {
    const refused = await invoke('keyfold-open', HELLO);
    expect(refused).toMatchObject({ StatusCode: 200, FunctionError: 'Unhandled' });
    const errorMessage = 'This function does not serve that operation.';
    expect(payloadOf(refused)).toEqual({
      errorType: 'Forbidden',
      errorMessage,
      trace: [`Forbidden: ${errorMessage}`],
    });
  });

  it('reports why a function does not start', async () => {
    const failed = await invoke('keyfold-broken', HELLO);
    expect(failed.FunctionError).toBe('Unhandled');
    expect(payloadOf(failed)).toMatchObject({
      errorMessage: expect.stringMatching(
        /cannot start:\n- KEYFOLD_COLOUR is not a setting\n- KEYFOLD_OPERATIONS is not set/,
      ) as string,
    });
  });

  it('accepts the invocation types Event and DryRun', async () => {
    expect(await invoke('keyfold-seal', HELLO, { InvocationType: 'Event' })).toMatchObject({ StatusCode: 202 });
    expect(await invoke('keyfold-seal', HELLO, { InvocationType: 'DryRun' })).toMatchObject({ StatusCode: 204 });
  });

  it.for([
    [
      'a function that does not exist',
      'nothing',
      '{}',
      {},
      'ResourceNotFoundException',
      404,
      'The function does not exist.',
    ],
    [
      'a function named constructor',
      'constructor',
      '{}',
      {},
      'ResourceNotFoundException',
      404,
      'The function does not exist.',
    ],
    [
      'an event that is not JSON',
      'keyfold-seal',
      '{',
      {},
      'InvalidRequestContentException',
      400,
      'The event is not JSON.',
    ],
    [
      'an event that is too large',
      'keyfold-seal',
      ' '.repeat(6_300_000),
      {},
      'RequestTooLargeException',
      413,
      'The event is larger than 6 MiB.',
    ],
    [
      'a request for the log of a call',
      'keyfold-seal',
      '{}',
      { LogType: 'Tail' },
      'InvalidParameterValueException',
      400,
      'Log types are not emulated.',
    ],
    [
      'a client context',
      'keyfold-seal',
      '{}',
      { ClientContext: 'e30=' },
      'InvalidParameterValueException',
      400,
      'The header x-amz-client-context is not emulated.',
    ],
    [
      'an alias in the name',
      'keyfold-seal:live',
      '{}',
      {},
      'ResourceNotFoundException',
      404,
      'The version or alias does not exist.',
    ],
    [
      'a function of another account',
      'arn:aws:lambda:us-west-2:999999999999:function:keyfold-seal',
      '{}',
      {},
      'ResourceNotFoundException',
      404,
      'The function does not exist.',
    ],
    [
      'a tenant ID',
      'keyfold-seal',
      '{}',
      { TenantId: 't' },
      'InvalidParameterValueException',
      400,
      'The header x-amz-tenant-id is not emulated.',
    ],
    [
      'a version that does not exist',
      'keyfold-seal',
      '{}',
      { Qualifier: '7' },
      'ResourceNotFoundException',
      404,
      'The version or alias does not exist.',
    ],
    [
      'a qualifier that differs from the version in the name',
      'keyfold-seal:$LATEST',
      '{}',
      { Qualifier: 'live' },
      'InvalidParameterValueException',
      400,
      'The version in the name is not the one in the request.',
    ],
    [
      'an asynchronous event over 1 MiB',
      'keyfold-seal',
      `"${'x'.repeat(1_048_575)}"`,
      { InvocationType: 'Event' },
      'RequestTooLargeException',
      413,
      'The event of an asynchronous invocation is larger than 1 MiB.',
    ],
    [
      'a function of another region',
      'arn:aws:lambda:us-east-1:111122223333:function:keyfold-seal',
      '{}',
      {},
      'ResourceNotFoundException',
      404,
      'The function does not exist.',
    ],
    [
      'a malformed name',
      'keyfold seal',
      '{}',
      {},
      'ValidationException',
      400,
      'The name of the function is malformed.',
    ],
    [
      'a name that is too long',
      'x'.repeat(171),
      '{}',
      {},
      'ValidationException',
      400,
      'The name of the function is malformed.',
    ],
    [
      'an unknown invocation type',
      'keyfold-seal',
      '{}',
      { InvocationType: 'x' },
      'ValidationException',
      400,
      'The invocation type must be one of RequestResponse, Event, DryRun.',
    ],
    [
      'an unknown log type',
      'keyfold-seal',
      '{}',
      { LogType: 'x' },
      'ValidationException',
      400,
      'The log type must be one of None, Tail.',
    ],
  ] as const)(
    'refuses %s, with an error name that Lambda uses',
    async ([, name, event, more, error, status, message]) => {
      await expect(invoke(name, event, more)).rejects.toMatchObject({
        name: error,
        message,
        $metadata: { httpStatusCode: status },
      });
    },
  );

  it('refuses every action of Lambda except Invoke, and names the path of the action', async () => {
    const about = { FunctionName: 'keyfold-seal' };
    await expect(lambda.send(new GetFunctionCommand(about))).rejects.toMatchObject({
      name: 'UnknownOperationException',
      message: 'Only Invoke is emulated, not GET /2015-03-31/functions/keyfold-seal.',
    });
    await expect(lambda.send(new InvokeWithResponseStreamCommand(about))).rejects.toMatchObject({
      name: 'UnknownOperationException',
      message: expect.stringContaining('/response-streaming-invocations') as string,
    });
  });

  it('refuses an event that is not UTF-8, because decoding would change it', async () => {
    const Payload = Buffer.from('{"operation":"encrypt-fields","partition":"p","document":["é"]}', 'latin1');
    await expect(lambda.send(new InvokeCommand({ FunctionName: 'keyfold-seal', Payload }))).rejects.toMatchObject({
      name: 'InvalidRequestContentException',
      $metadata: { httpStatusCode: 400 },
    });
  });

  it('finds a function by every form of its name, and refuses a malformed name', async () => {
    for (const name of [
      'arn:aws:lambda:us-west-2:111122223333:function:keyfold-seal',
      'arn:aws:lambda:us-west-2:111122223333:function:keyfold-seal:$LATEST',
      '111122223333:function:keyfold-seal',
      '111122223333:keyfold-seal',
      'function:keyfold-seal',
      'keyfold-seal:$LATEST',
    ])
      expect((await invoke(name, HELLO)).FunctionError).toBeUndefined();
    expect(await invoke('keyfold-seal:$LATEST', HELLO, { Qualifier: '$LATEST' })).toMatchObject({ StatusCode: 200 });
    expect(await post('/2015-03-31/functions/%/invocations', {})).toBe(400);
  });

  it('accepts an asynchronous event of 1 MiB', async () => {
    const event = `"${'x'.repeat(1_048_574)}"`;
    expect(await invoke('keyfold-seal', event, { InvocationType: 'Event' })).toMatchObject({ StatusCode: 202 });
  });

  it('refuses a request from a web page with another origin', async () => {
    const path = '/2015-03-31/functions/keyfold-seal/invocations';
    expect(await post(path, {})).toBe(200);
    expect(await post(path, { origin: 'https://elsewhere.example' })).toBe(403);
    expect(await post(path, { host: 'rebound.example' })).toBe(403);
  });
});
