import { KMSClient } from '@aws-sdk/client-kms';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { AwsKmsInspector } from '../../../src/kms/aws-kms-inspector.ts';
import { holdConnections } from '../../support/hold-connections.ts';
import { startStub, type StubAnswer, type StubServer } from '../../support/stub-server.ts';

const ARN = 'arn:aws:kms:us-west-2:111122223333:key/00000000-0000-0000-0000-000000000001';
const CIPHERTEXT = Buffer.from('ciphertext').toString('base64');
const DRY_RUN = refusal('DryRunOperationException');

/** The part of an SDK client that shows the settings of its connections. */
interface WithHandler {
  readonly config: { readonly requestHandler: { readonly httpHandlerConfigs: () => object } };
}

let kms: StubServer;
let answers: Record<string, StubAnswer>;
const sent: [action: string, request: object][] = [];

function success(body: object): StubAnswer {
  return { status: 200, body: JSON.stringify(body) };
}

function refusal(name: string): StubAnswer {
  return { status: 400, body: JSON.stringify({ __type: name }) };
}

beforeEach(async () => {
  answers = { GenerateDataKey: DRY_RUN, Encrypt: success({ CiphertextBlob: CIPHERTEXT }), Decrypt: DRY_RUN };
  sent.length = 0;
  kms = await startStub(({ headers, body }) => {
    const action = String(headers['x-amz-target']).replace('TrentService.', '');
    sent.push([action, JSON.parse(body) as object]);
    return answers[action] ?? 'reset';
  });
  process.env['AWS_ENDPOINT_URL_KMS'] = kms.url;
});
afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  delete process.env['AWS_ENDPOINT_URL_KMS'];
  await kms.stop();
});

function inspector(): AwsKmsInspector {
  return new AwsKmsInspector('us-west-2', ARN, Date.now);
}

it('AwsKmsInspector tries each KMS action without creating a data key', async () => {
  const done = { answer: undefined, latencyMs: expect.any(Number) as number };
  expect(await inspector().tryActions()).toEqual({ GenerateDataKey: done, Encrypt: done, Decrypt: done });
  expect(sent).toEqual([
    ['GenerateDataKey', { KeyId: ARN, KeySpec: 'AES_256', DryRun: true }],
    ['Encrypt', { KeyId: ARN, Plaintext: Buffer.alloc(32).toString('base64') }],
    ['Decrypt', { CiphertextBlob: CIPHERTEXT, KeyId: ARN, DryRun: true }],
  ]);
});

it('AwsKmsInspector calls Decrypt without a key ID if the caller names no key', async () => {
  await inspector().tryDecrypt(Buffer.from('ciphertext'), undefined);
  expect(sent).toEqual([['Decrypt', { CiphertextBlob: CIPHERTEXT, DryRun: true }]]);
});

it('AwsKmsInspector reports refused actions, and does not try Decrypt if Encrypt was refused', async () => {
  answers['GenerateDataKey'] = refusal('AccessDeniedException');
  answers['Encrypt'] = refusal('DisabledException');
  const denied = { fault: expect.objectContaining({ name: 'AccessDeniedException' }) as object };
  const disabled = { fault: expect.objectContaining({ name: 'DisabledException' }) as object };
  expect(await inspector().tryActions()).toEqual({
    GenerateDataKey: expect.objectContaining(denied) as object,
    Encrypt: expect.objectContaining(disabled) as object,
  });
});

it.for([
  ['SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT', true],
  ['SYMMETRIC_DEFAULT', 'GENERATE_VERIFY_MAC', false],
  ['RSA_2048', 'ENCRYPT_DECRYPT', false],
] as const)('AwsKmsInspector describes a key with the spec %s for %s', async ([KeySpec, KeyUsage, encrypts]) => {
  const state = { Arn: ARN, KeyState: 'PendingDeletion', DeletionDate: 86_400, ValidTo: 172_800, Origin: 'EXTERNAL' };
  answers['DescribeKey'] = success({ KeyMetadata: { ...state, KeyId: 'x', KeySpec, KeyUsage } });
  expect(await inspector().describe()).toMatchObject({
    answer: {
      arn: ARN,
      state: 'PendingDeletion',
      deletedAtMs: 86_400_000,
      materialEndsAtMs: 172_800_000,
      encrypts,
      origin: 'EXTERNAL',
    },
  });
  expect(sent).toEqual([['DescribeKey', { KeyId: ARN }]]);
});

it('AwsKmsInspector reports the state and the origin of a key as unknown if KMS does not name them', async () => {
  answers['DescribeKey'] = success({});
  expect(await inspector().describe()).toMatchObject({
    answer: { arn: '', state: 'unknown', deletedAtMs: undefined, encrypts: false, origin: 'unknown' },
  });
});

it.for([
  ['a rotation period of 90 days', { KeyRotationEnabled: true, RotationPeriodInDays: 90 }, 90],
  ['the default rotation period of 365 days', { KeyRotationEnabled: true }, 365],
  ['no rotation period if rotation is off', { KeyRotationEnabled: false, RotationPeriodInDays: 90 }, undefined],
] as const)('AwsKmsInspector reports %s', async ([, status, days]) => {
  answers['GetKeyRotationStatus'] = success(status);
  expect(await inspector().rotation(ARN)).toMatchObject({ answer: days });
  expect(sent).toEqual([['GetKeyRotationStatus', { KeyId: ARN }]]);
});

it('AwsKmsInspector calls KMS in its region, and compares the clocks of KMS and this machine', async () => {
  const date = new Date(Date.now() + 3_600_000).toUTCString();
  answers['DescribeKey'] = { status: 200, headers: { date }, body: '{}' };
  const eu = new AwsKmsInspector('eu-west-1', ARN, Date.now);
  expect(eu.region).toBe('eu-west-1');
  expect(eu.clockOffsetMs()).toBeUndefined();
  await eu.describe();
  expect(kms.requests[0]?.headers.authorization).toContain('/eu-west-1/kms/');
  expect(eu.clockOffsetMs()).toBeGreaterThan(3_000_000);
});

it('AwsKmsInspector calls KMS twice if the first response is a server error', async () => {
  answers['DescribeKey'] = { status: 500, body: JSON.stringify({ __type: 'KMSInternalException' }) };
  expect(await inspector().describe()).toMatchObject({ fault: { name: 'KMSInternalException' } });
  expect(sent).toHaveLength(2);
});

it('AwsKmsInspector waits one second for a connection, and three seconds for a response and for each part of the response', async () => {
  const send = vi.spyOn(KMSClient.prototype, 'send');
  await inspector().describe();
  const client = send.mock.contexts[0] as WithHandler;
  expect(client.config.requestHandler.httpHandlerConfigs()).toMatchObject({
    connectionTimeout: 1000,
    requestTimeout: 3000,
    socketTimeout: 3000,
    throwOnRequestTimeout: true,
  });
});

it.for([
  ['does not open', 1000],
  ['returns no response', 3000],
] as const)('AwsKmsInspector abandons a connection that %s within %i ms', async ([fault, ms]) => {
  answers['DescribeKey'] = 'hang';
  const connecting = fault === 'does not open' ? holdConnections() : undefined;
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const described = inspector().describe();
  for (let i = 1; i <= 2; i += 1) {
    await vi.waitFor(() => expect(connecting?.mock.calls.length ?? sent.length).toBe(i));
    await vi.advanceTimersByTimeAsync(ms);
  }
  expect(await described).toHaveProperty('fault');
});
