import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KMSClient } from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FreezeDetector } from '../../../src/connections/freeze-detector.ts';
import { KmsCiphertexts } from '../../../src/kms/kms-ciphertexts.ts';
import { errorOf } from '../../support/fakes.ts';
import { holdConnections } from '../../support/hold-connections.ts';
import { startStub, type StubAnswer, type StubServer } from '../../support/stub-server.ts';

/** The part of an SDK client that shows the settings of its connections. */
interface WithHandler {
  readonly config: { readonly requestHandler: { readonly httpHandlerConfigs: () => object } };
}

let stub: StubServer | undefined;

beforeEach(() => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'a');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 's');
});
afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await stub?.stop();
});

const answer = (body: object, status = 200): StubAnswer => ({ status, body: JSON.stringify(body) });

/** Opens a ciphertext with a KMS that returns these responses. */
async function open(...answers: readonly StubAnswer[]): Promise<Uint8Array> {
  stub = await startStub(...answers);
  vi.stubEnv('AWS_ENDPOINT_URL_KMS', stub.url);
  return new KmsCiphertexts('eu-west-1', { purpose: 'test' }).open(Buffer.from('ciphertext'));
}

describe('KmsCiphertexts', () => {
  it('returns the plaintext from KMS, even if KMS throttles at first', async () => {
    const throttled = answer({ __type: 'ThrottlingException' }, 400);
    const opened = await open(throttled, answer({ Plaintext: Buffer.from('secret').toString('base64') }));
    expect(Buffer.from(opened).toString()).toBe('secret');
    expect(JSON.parse(stub?.requests.at(-1)?.body ?? '')).toEqual({
      CiphertextBlob: Buffer.from('ciphertext').toString('base64'),
      EncryptionContext: { purpose: 'test' },
    });
    expect(stub?.requests[0]?.headers.authorization).toContain('/eu-west-1/kms/');
  });

  it('fails with KmsThrottled after five attempts', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0);
    const error = await errorOf(open(answer({ __type: 'ThrottlingException' }, 400)));
    vi.restoreAllMocks();
    expect(error).toMatchObject({
      code: 'KmsThrottled',
      message: 'KMS does not open a ciphertext: eu-west-1 throttled (ThrottlingException).',
    });
    expect(stub?.requests).toHaveLength(5);
  });

  it('opens one connection for several ciphertexts, and sends no encryption context if the caller gives none', async () => {
    stub = await startStub(answer({ Plaintext: 'eA==' }));
    vi.stubEnv('AWS_ENDPOINT_URL_KMS', stub.url);
    const connecting = vi.spyOn(Socket.prototype, 'connect');
    const ciphertexts = new KmsCiphertexts('eu-west-1', undefined);
    for (let i = 0; i < 2; i += 1) expect(await ciphertexts.open(Buffer.from('c'))).toHaveLength(1);
    const opened = connecting.mock.calls.length;
    vi.restoreAllMocks();
    expect(opened).toBe(1);
    expect(JSON.parse(stub.requests[0]?.body ?? '')).toEqual({ CiphertextBlob: 'Yw==' });
  });

  it('abandons an attempt that gets no response within three seconds', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const failed = errorOf(open('hang'));
    for (let i = 1; i <= 5; i += 1) {
      await vi.waitFor(() => expect(stub?.requests).toHaveLength(i));
      await vi.advanceTimersByTimeAsync(3000);
    }
    vi.useRealTimers();
    expect(await failed).toMatchObject({ code: 'KmsUnavailable' });
  });

  it('waits one second for a connection, and three seconds for a response and for each part of it', async () => {
    const send = vi.spyOn(KMSClient.prototype, 'send');
    await open(answer({ Plaintext: 'eA==' }));
    const client = send.mock.contexts[0] as WithHandler;
    vi.restoreAllMocks();
    expect(client.config.requestHandler.httpHandlerConfigs()).toMatchObject({
      connectionTimeout: 1000,
      requestTimeout: 3000,
      socketTimeout: 3000,
      throwOnRequestTimeout: true,
    });
  });

  it('sends a request again if no byte of its response arrives within a second after a freeze', async () => {
    stub = await startStub('hang', answer({ Plaintext: 'eA==' }));
    vi.stubEnv('AWS_ENDPOINT_URL_KMS', stub.url);
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const frozen = vi.spyOn(FreezeDetector.prototype, 'wasFrozen').mockReturnValue(false);
    const connecting = vi.spyOn(Socket.prototype, 'connect');
    const opened = new KmsCiphertexts('eu-west-1', undefined).open(Buffer.from('c'));
    await vi.waitFor(() => expect(stub?.requests).toHaveLength(1));
    const [socket] = connecting.mock.contexts as readonly Socket[];
    frozen.mockReturnValueOnce(true);
    vi.advanceTimersByTime(1000);
    expect(socket?.destroyed).toBe(false);
    vi.advanceTimersByTime(25);
    expect(socket?.destroyed).toBe(true);
    expect(await opened).toHaveLength(1);
    expect(stub?.requests).toHaveLength(2);
  });

  it('abandons a connection that does not open within a second', async () => {
    const connecting = holdConnections();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const failed = errorOf(new KmsCiphertexts('eu-west-1', undefined).open(Buffer.from('c')));
    for (let i = 0; i < 5; i += 1) {
      await vi.waitFor(() => expect(connecting).toHaveBeenCalledTimes(i + 1));
      await vi.advanceTimersByTimeAsync(1000);
    }
    vi.useRealTimers();
    vi.restoreAllMocks();
    expect(await failed).toMatchObject({ code: 'KmsUnavailable' });
  });

  it.for([
    ['no', {}],
    ['an empty', { Plaintext: '' }],
    ['a null', { Plaintext: null }],
  ] as const)(
    'fails with KmsUnavailable for a response with %s plaintext, so that the data of the row is not overwritten',
    async ([, body]) => {
      const error = await errorOf(open(answer(body)));
      const message = 'KMS does not open a ciphertext: eu-west-1 unavailable (IncompleteAnswer).';
      expect(error).toMatchObject({ code: 'KmsUnavailable', message });
    },
  );

  it('fails with KmsMisconfigured if STS refuses the role', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'keyfold-token-'));
    await writeFile(join(folder, 'token'), 'token');
    const body = '<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code></Error></ErrorResponse>';
    const sts = await startStub({ status: 400, body });
    const role = { AWS_ROLE_ARN: 'role', AWS_WEB_IDENTITY_TOKEN_FILE: join(folder, 'token'), AWS_REGION: 'us-west-2' };
    for (const [name, value] of Object.entries({ ...role, AWS_ENDPOINT_URL_STS: sts.url })) vi.stubEnv(name, value);
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) vi.stubEnv(name, undefined);
    const error = await errorOf(open(answer({})));
    await Promise.all([sts.stop(), rm(folder, { recursive: true })]);
    expect(error).toMatchObject({
      code: 'KmsMisconfigured',
      message: 'KMS does not open a ciphertext: eu-west-1 misconfigured (ValidationError).',
    });
    expect(stub?.requests).toHaveLength(0);
  });

  it.for([
    ['RecordUnreadable', 'InvalidCiphertextException', 'KMS refuses the ciphertext'],
    ['KmsMisconfigured', 'AccessDeniedException', 'Decrypt in eu-west-1: misconfigured (AccessDeniedException): '],
  ] as const)('fails with %s if KMS returns %s, and gives the reason in the cause', async ([code, name, message]) => {
    const cause = expect.objectContaining({ message: expect.stringContaining(message) as string }) as Error;
    expect(await errorOf(open(answer({ __type: name }, 400)))).toMatchObject({ code, cause });
  });
});
