/**
 * Checks the running API against its OpenAPI document. schemathesis generates requests, first without a fault and then
 * with each fault.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../local/dynamodb.ts';
import type { FaultInput } from '../../emulators/kms/faults.ts';
import { statusOf } from '../../src/doors/problem.ts';
import { KeyfoldError, type ErrorCode } from '../../src/index.ts';
import { DynamoDbProxy, type DynamoDbFault } from '../support/dynamodb-proxy.ts';
import { startLocalApi, type LocalApi } from '../support/local-api.ts';
import { DOCUMENT, runSchemathesis, startRounds, type Request, type Rounds } from './schemathesis.ts';

/**
 * The KMS faults. During each fault, at least one request must fail with the given error. If the error is `nothing`,
 * all requests may succeed.
 */
const KMS_FAULTS: readonly (readonly [string, FaultInput, ErrorCode | 'nothing'])[] = [
  ['is down', { kind: 'down' }, 'KmsUnavailable'],
  ['hangs', { kind: 'hang' }, 'DeadlineExceeded'],
  ['resets connections', { kind: 'reset' }, 'KmsUnavailable'],
  ['returns garbage', { kind: 'garbage' }, 'KmsUnavailable'],
  ['is slow', { kind: 'latency', ms: 20 }, 'nothing'],
  ['exceeds the deadline', { kind: 'latency', ms: 60_000 }, 'DeadlineExceeded'],
  ['throttles calls', { kind: 'throttle', perSecond: 0 }, 'KmsThrottled'],
  ['fails', { kind: 'error', name: 'KMSInternalException', status: 500 }, 'KmsUnavailable'],
  ['sometimes fails', { kind: 'error', name: 'KMSInternalException', status: 500, rate: 0.5 }, 'nothing'],
  ['denies access', { kind: 'error', name: 'AccessDeniedException' }, 'KmsMisconfigured'],
  ['reports a disabled key', { kind: 'error', name: 'DisabledException' }, 'KmsMisconfigured'],
];

/** The DynamoDB faults, in the same form as {@link KMS_FAULTS}. */
const DYNAMODB_FAULTS: readonly (readonly [string, DynamoDbFault, ErrorCode | 'nothing'])[] = [
  ['is down', { kind: 'refuse' }, 'MetastoreUnavailable'],
  ['hangs', { kind: 'hang' }, 'DeadlineExceeded'],
  ['stalls in the middle of a response', { kind: 'stall' }, 'DeadlineExceeded'],
  ['returns garbage', { kind: 'garbage' }, 'MetastoreUnavailable'],
  ['fails', { kind: 'error', name: 'InternalServerError', status: 500 }, 'MetastoreUnavailable'],
  ['throttles calls', { kind: 'error', name: 'ThrottlingException', status: 400 }, 'DeadlineExceeded'],
  ['denies access', { kind: 'error', name: 'AccessDeniedException', status: 400 }, 'MetastoreUnavailable'],
  ['executes calls but loses the responses', { kind: 'answer lost' }, 'MetastoreUnavailable'],
  ['executes calls but never responds', { kind: 'answer held back' }, 'DeadlineExceeded'],
  [
    'has rows that do not parse',
    { kind: 'edited', edit: (answer) => answer.replaceAll(/"Key":\{"S":"[^"]*"/g, '"Key":{"S":"!"') },
    'KeyRowUnreadable',
  ],
];

/** These settings switch the caches off, so that each request meets the fault, and keep the waits short. */
const IMPATIENT = {
  KEYFOLD_SYSTEM_KEY_MAX_AGE_MS: '1',
  KEYFOLD_INTERMEDIATE_KEY_MAX_AGE_MS: '1',
  KEYFOLD_REVOKE_CHECK_INTERVAL_MS: '1',
  KEYFOLD_STALE_GRACE_MS: '0',
  // This margin leaves a request only one of its 28 seconds, which is less than the timeouts of KMS and DynamoDB.
  KEYFOLD_DEADLINE_MARGIN_MS: '27000',
};

let dynamoDb: LocalDynamoDb;
let proxy: DynamoDbProxy;
let api: LocalApi;
let rounds: Rounds;
let requests: readonly Request[];

beforeAll(async () => {
  dynamoDb = await startDynamoDb('EncryptionKey', 0);
  proxy = await DynamoDbProxy.start(dynamoDb.endpoint);
  api = await startLocalApi({ KEYFOLD_DYNAMODB_ENDPOINT: proxy.endpoint, ...IMPATIENT });
  rounds = startRounds(DOCUMENT, api.url);
  requests = await realRequests();
});
afterAll(async () => {
  await rounds.stop();
  await api.stop();
  await proxy.stop();
  await dynamoDb.close();
});
beforeEach(() => {
  api.kms.clearFaults();
  proxy.faultOf = () => undefined;
});

/** Runs an operation that encrypts, and returns the response. */
async function seal(operation: string, body: unknown): Promise<Record<string, unknown>> {
  const headers = { 'content-type': 'application/json' };
  const url = `${api.url}/v1/partitions/tenant-1/${operation}`;
  const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  expect(answer.status).toBe(200);
  return (await answer.json()) as Record<string, unknown>;
}

/** Valid requests with real records, which no generator can make. */
async function realRequests(): Promise<readonly Request[]> {
  const plaintext = { plaintext: 'aGVsbG8=' };
  const fields = { document: { card: 1 }, fields: ['$.card'] };
  const { record } = await seal('encrypt', plaintext);
  const { document } = await seal('encrypt-fields', fields);
  const bodies = {
    encrypt: plaintext,
    decrypt: { record },
    rewrap: { record },
    encryptBatch: { items: [plaintext, plaintext] },
    decryptBatch: { items: [{ record }, { record }] },
    rewrapBatch: { items: [{ record }, { record }] },
    encryptFields: fields,
    decryptFields: { document, all: true },
  };
  return Object.entries(bodies).map(([operationId, body]) => [operationId, 'tenant-1', body]);
}

/**
 * The problems found under a fault: undocumented responses, unexpected permanent failures, or the absence of the
 * expected failure.
 */
async function complaints(expected: ErrorCode | 'nothing'): Promise<readonly string[]> {
  const { failures, codes } = await rounds.run(requests, 5);
  const ours = (codes as readonly ErrorCode[]).filter((code) => statusOf(code) >= 500);
  const lasting = ours.filter((code) => code !== expected && !new KeyfoldError(code, '').retryable);
  const absent = [...ours, 'nothing'].includes(expected) ? [] : [`no ${expected}`];
  return [...failures, ...lasting, ...absent];
}

it('if KMS and DynamoDB work, every response to a generated request is one that the document describes', async () => {
  const well = await startLocalApi();
  try {
    expect(await runSchemathesis(DOCUMENT, well.url)).toBe('');
  } finally {
    await well.stop();
  }
});

it('real requests succeed, and generated requests cause only client errors', async () => {
  await mustBeWell();
  expect(await complaints('nothing')).toEqual([]);
});

it.for(KMS_FAULTS)('every response to a generated request is documented while KMS %s', async ([, fault, expected]) => {
  api.kms.setFault('us-west-2', fault);
  expect(await complaints(expected)).toEqual([]);
});

it.for(DYNAMODB_FAULTS)(
  'every response to a generated request is documented while DynamoDB %s',
  async ([, fault, expected]) => {
    proxy.faultOf = () => fault;
    expect(await complaints(expected)).toEqual([]);
  },
);

async function mustBeWell(): Promise<void> {
  expect(await rounds.run(requests, 0)).toEqual({ failures: [], codes: [] });
}

describe('the check of responses against the OpenAPI document', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
    proxy.faultOf = () => undefined;
    // Keyfold remembers an unreadable row for some seconds. During that time, its error would hide the next faults.
    await vi.waitFor(mustBeWell, { timeout: 20_000, interval: 500 });
  });
  afterAll(() => rm(folder, { recursive: true }));

  it.for([
    ['an unknown member', (text: string) => text.replaceAll('"rewrapped"', '"moved"')],
    ['an unknown status', (text: string) => text.replaceAll('"200":', '"201":')],
    ['an unknown content type', (text: string) => text.replaceAll('"application/json":', '"application/cbor":')],
    ['a different header', (text: string) => text.replaceAll('"const": "no-store"', '"const": "public"')],
  ] as const)('finds an undocumented response with %s', async ([, change]) => {
    const document = join(folder, 'openapi.json');
    await writeFile(document, change(await readFile(DOCUMENT, 'utf8')));
    const other = startRounds(document, api.url);
    const { failures } = await other.run(
      requests.filter(([operation]) => operation === 'rewrap'),
      0,
    );
    await other.stop();
    expect(failures).not.toEqual([]);
  });
});
