import type { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { expect } from 'vitest';
import * as client from '../../src/client/index.ts';
import { defaultCredentials } from '../../src/client/default-credentials.ts';
import { LambdaTransport } from '../../src/client/lambda.ts';
import { openDirectDoor } from './direct-door.ts';
import { realBytesOf } from './hostile.ts';
import type { PublicFunctions } from './public-function.ts';

const { KeyfoldClient, KeyfoldClientError, KeyfoldServiceError, KeyfoldTransportError } = client;
type Tenant = client.PartitionClient;

const HELLO = Buffer.from('héllo');
const CARD = { document: { id: 7, card: '4111' } };
const FIELDS = { fields: ['$.card'], allowMissing: true };
const place = (): object => ({ context: { table: 'users' }, contextFrom: { id: '$.id' }, bindPath: 'exact' });

const invoke = openDirectDoor();
/** A LambdaClient that runs Keyfold's handlers in this process. */
const lambda = {
  config: { serviceId: 'Lambda', maxAttempts: async () => 1, credentials: async () => ({}) },
  send: async ({ input }: InvokeCommand) => {
    const { payload, error } = await invoke(Buffer.from(input.Payload as Uint8Array).toString());
    const FunctionError = error && 'Unhandled';
    return { Payload: Buffer.from(payload ?? JSON.stringify(error)), FunctionError, $metadata: {} };
  },
} as unknown as LambdaClient;
const retry = { maxAttempts: 1, attemptTimeoutMs: 5000, totalTimeoutMs: 5000, baseDelayMs: 0, longestDelayMs: 0 };
const byLambda = (): client.KeyfoldClientOptions => ({
  lambda: new LambdaTransport({ functions: { seal: 'seal', open: 'open' }, client: lambda }),
  retry,
});
const byHttp = (): client.KeyfoldClientOptions => ({
  http: {
    endpoint: 'https://keyfold.example',
    region: 'us-west-2',
    credentials: { accessKeyId: 'a', secretAccessKey: 's', sessionToken: 't' },
  },
  retry,
});
export const tenant = new KeyfoldClient(byLambda()).partition('tenant-1');
const options = (): object => ({ signal: new AbortController().signal });
const recordOptions = (): object => ({ ...options(), format: 'compact' });

const isHello = (payload: unknown): void => {
  // If a batch item failed, its result is an error.
  if (payload instanceof KeyfoldServiceError) expect(payload.code).toMatch(/^(?:RecordUnreadable|InvalidRequest)$/);
  else expect(payload).toEqual(new Uint8Array(HELLO));
};

async function opensTo(record: unknown, given: unknown): Promise<void> {
  const payload = await tenant.decrypt(record as string);
  expect(Buffer.from(payload)).toEqual(realBytesOf(given));
}

/** Expects that an encrypted document decrypts to its original JSON. */
async function documentOpens(
  sealed: unknown,
  [{ document, documentText, context, contextFrom, bindPath }]: [client.GivenDocument & client.FieldBinding],
): Promise<void> {
  const binding = { context, contextFrom, bindPath } as client.FieldBinding;
  const text = documentText ?? JSON.stringify(document);
  const sealedText = documentText === undefined ? JSON.stringify(sealed) : (sealed as string);
  const opened = await tenant.decryptFields({ documentText: sealedText, all: true, ...binding });
  expect(JSON.parse(opened)).toEqual(JSON.parse(text));
}

/** The functions of `keyfold/client`, with arguments for each of them. */
export const CLIENT: PublicFunctions = {
  'new KeyfoldClientError': {
    args: () => ['Why.', true, { requestId: 'r', retryAfterSeconds: 1 }],
    call: (...args: unknown[]) => Reflect.construct(KeyfoldClientError, args) as unknown,
  },
  'new KeyfoldServiceError': {
    args: () => ['NotFound', 'Why.', { requestId: 'r' }],
    call: (...args: [never, never]) => new KeyfoldServiceError(...args),
    holds: (error: client.KeyfoldClientError) => expect(error.retryable).toBe(false),
  },
  'new KeyfoldTransportError': {
    args: () => ['NotFound', 'Why.', { requestId: 'r' }],
    call: (...args: [never, never]) => new KeyfoldTransportError(...args),
    holds: (error: client.KeyfoldClientError) => expect(error.retryable).toBeTypeOf('boolean'),
  },
  'new KeyfoldClient': {
    args: () => [byLambda()],
    call: (given: never) => new KeyfoldClient(given),
  },
  'new LambdaTransport': {
    args: () => [{ functions: { seal: 'seal', open: 'open' }, client: lambda }],
    call: (given: never) => new LambdaTransport(given),
  },
  defaultCredentials: { args: () => [], call: defaultCredentials },
  // Tests the constructor of KeyfoldClient again, with the options for HTTP.
  'new KeyfoldClient over HTTP': {
    args: () => [byHttp()],
    call: (given: never) => new KeyfoldClient(given),
  },
  'KeyfoldClient.partition': {
    args: () => ['p'],
    call: (partition: never) => new KeyfoldClient(byLambda()).partition(partition),
    holds: (made: Tenant) => expect(made.partition).toBeTypeOf('string'),
  },
  'PartitionClient.encrypt': {
    args: () => [Buffer.from(HELLO), recordOptions()],
    call: (...args: [never, never]) => tenant.encrypt(...args),
    holds: (record: unknown, [plaintext]: [unknown]) => opensTo(record, plaintext),
  },
  'PartitionClient.decrypt': {
    args: async () => [await tenant.encrypt(HELLO), options()],
    call: (...args: [never, never]) => tenant.decrypt(...args),
    holds: isHello,
  },
  'PartitionClient.rewrap': {
    args: async () => [await tenant.encrypt(HELLO), recordOptions()],
    call: (...args: [never, never]) => tenant.rewrap(...args),
  },
  'PartitionClient.encryptBatch': {
    args: () => [[Buffer.from(HELLO), Buffer.from('x')], { ...recordOptions(), shareDataRowKey: true }],
    call: (...args: [never, never]) => tenant.encryptBatch(...args),
    holds: async (records: unknown[], [plaintexts]: [unknown[]]) => {
      expect(records).toHaveLength(plaintexts.length);
      for (const [i, record] of records.entries()) {
        if (!(record instanceof KeyfoldServiceError)) await opensTo(record, plaintexts[i]);
        else expect(record.code).toBe('InvalidRequest');
      }
    },
  },
  'PartitionClient.decryptBatch': {
    args: async () => [[await tenant.encrypt(HELLO), await tenant.encrypt(HELLO)], options()],
    call: (...args: [never, never]) => tenant.decryptBatch(...args),
    holds: (payloads: unknown[]) => payloads.forEach(isHello),
  },
  'PartitionClient.rewrapBatch': {
    args: async () => [[await tenant.encrypt(HELLO), await tenant.encrypt(HELLO)], recordOptions()],
    call: (...args: [never, never]) => tenant.rewrapBatch(...args),
  },
  'PartitionClient.encryptFields': {
    args: () => [{ ...CARD, ...FIELDS, ...place(), skipSealed: false, shareDataRowKey: false }, options()],
    call: (...args: [never, never]) => tenant.encryptFields(...args),
    holds: documentOpens,
  },
  'PartitionClient.decryptFields': {
    args: async () => [
      { document: await tenant.encryptFields({ ...CARD, ...FIELDS, ...place() }), ...FIELDS, ...place() },
      options(),
    ],
    call: (...args: [never, never]) => tenant.decryptFields(...args),
  },
};
