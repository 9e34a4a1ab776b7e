import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../../local/dynamodb.ts';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { httpDoor } from '../../../src/doors/http.ts';
import { createTelemetry } from '../../../src/doors/telemetry.ts';
import { AwsKms, DynamoDbMetastore, SessionFactory, type KeyManagementService } from '../../../src/index.ts';
import { DOOR_CONFIG, captureOutput, lambdaContext, request, type Event } from '../../support/http-door.ts';

const CANARY = 'CANARY-0123456789abcdef0123456789abcdef';
const PAYLOAD = Buffer.from(CANARY).toString('base64');
const REGIONS = ['us-west-2', 'us-east-1'];

let kms: KmsEmulator;
let dynamoDb: LocalDynamoDb;
/** Copies of every System Key that passed through KMS. */
const systemKeys: Buffer[] = [];

beforeAll(async () => {
  // Settings that show more detail to an operator. None of them may reveal a body.
  vi.stubEnv('POWERTOOLS_LOGGER_LOG_EVENT', 'true');
  vi.stubEnv('POWERTOOLS_LOG_LEVEL', 'DEBUG');
  [kms, dynamoDb] = await Promise.all([startKmsEmulator(), startDynamoDb('EncryptionKey', 0)]);
});
afterAll(() => {
  vi.unstubAllEnvs();
  return Promise.all([kms.close(), dynamoDb.close()]);
});
afterEach(() => {
  vi.restoreAllMocks();
  kms.clearFaults();
});

/** A cold function with real dependencies. */
async function coldFunction(endpoint = dynamoDb.endpoint): Promise<(event: Event) => Promise<string>> {
  const telemetry = createTelemetry('svc');
  const { events } = telemetry;
  const keys = await Promise.all(REGIONS.map(async (r) => [r, (await kms.ensureKey(r, 'alias/keyfold')).aliasArn]));
  const real = new AwsKms({
    keys: Object.fromEntries(keys) as Record<string, string>,
    preferredRegion: 'us-west-2',
    endpoint: kms.endpoint,
    timeouts: { requestTimeoutMs: 200 },
    failover: { maxRounds: 3, throttledDelayMs: 10 },
    events,
  });
  const spied: KeyManagementService = {
    wrap: (key, deadline) => {
      systemKeys.push(Buffer.from(key));
      return real.wrap(key, deadline);
    },
    unwrap: (wrapped, deadline) => real.unwrap(wrapped, deadline),
  };
  const metastore = new DynamoDbMetastore({ endpoint, region: 'us-west-2', requestTimeoutMs: 200 });
  const handler = httpDoor({
    keyfold: new SessionFactory({ service: 'svc', product: 'prod', kms: spied, metastore, events }),
    telemetry,
    auth: { kind: 'iam' },
    config: { ...DOOR_CONFIG, plaintextLimitBytes: 10_000 },
    health: () => ({ kms: real.regionStates(), metastore: metastore.state }),
    now: Date.now,
  });
  return async (event) => inspect(await handler(event, lambdaContext()), { depth: Infinity });
}

/** The secrets that a string contains, in any encoding. */
function secretsIn(text: string): string[] {
  const secrets = [Buffer.from(CANARY), ...systemKeys];
  const forms = secrets.flatMap((s) => [
    s.toString('base64'),
    s.toString('hex'),
    s.toString('latin1'),
    [...s].join(', '),
  ]);
  // The base64 of a text that begins with CANARY begins with the base64 of CANARY.
  const beginnings = ['CANARY', Buffer.from('CANARY').toString('base64')];
  return [...forms, ...beginnings].filter((form) => text.includes(form));
}

it('no log line, metric or error contains any part of a payload, a body, a context or a key', async () => {
  const output = captureOutput();
  const warm = await coldFunction();
  const sealed = await warm(request('encrypt', { plaintext: PAYLOAD }));
  const record = JSON.parse(/"record":(\{.*\})\}'/.exec(sealed)?.[1] ?? '') as object;
  const answers = [
    await warm(request('encrypt', `{"plaintext":"${CANARY}`)),
    await warm({ ...request('encrypt', CANARY), isBase64Encoded: true }),
    await warm({
      ...request('encrypt', Buffer.from(`${CANARY}\xff`, 'latin1').toString('base64')),
      isBase64Encoded: true,
    }),
    await warm(request('encrypt', { plaintext: CANARY })),
    await warm(request('encrypt', { plaintext: PAYLOAD, [CANARY]: CANARY })),
    await warm(request('encrypt', { plaintext: { CANARY } })),
    await warm(request('encrypt', { plaintext: PAYLOAD.repeat(500) })),
    await warm(request('decrypt', { record: { ...record, Data: CANARY } })),
    await warm(request('decrypt', { record: { ...record, Data: PAYLOAD } })),
    await warm(request('decrypt', { record: { Key: { Created: CANARY, Key: CANARY }, Data: PAYLOAD } })),
    await warm(request('decrypt', { record }, 'tenant-2')),
    await warm(request('decrypt', { record, context: { [CANARY]: CANARY } })),
    await warm(request('encrypt', { plaintext: PAYLOAD, context: { [CANARY]: [CANARY] } })),
    await warm(request('encrypt', { plaintext: PAYLOAD, context: { [CANARY]: CANARY.repeat(40) } })),
    await warm(request('encrypt', { plaintext: PAYLOAD, context: CANARY })),
    await warm(
      request('encrypt-fields', {
        document: { a: CANARY },
        fields: ['$.a'],
        contextFrom: { [CANARY]: `$['${CANARY}']` },
      }),
    ),
    await warm(
      request('encrypt-fields', {
        document: { a: 1, b: [CANARY] },
        fields: ['$.a'],
        context: { [CANARY]: CANARY },
        contextFrom: { id: '$.b' },
      }),
    ),
  ];
  const faults = [
    { kind: 'down' },
    { kind: 'hang' },
    { kind: 'reset' },
    { kind: 'garbage' },
    { kind: 'throttle', perSecond: 0 },
    { kind: 'error', name: 'KMSInternalException', status: 500, message: CANARY },
    { kind: 'error', name: 'ValidationException', message: CANARY },
    { kind: 'error', name: 'InvalidCiphertextException', message: CANARY },
  ] as const;
  for (const fault of faults) {
    for (const regions of [['us-west-2'], REGIONS]) {
      for (const region of regions) kms.setFault(region, fault);
      const cold = await coldFunction();
      const decrypted = await cold(request('decrypt', { record }));
      if (!decrypted.includes('statusCode: 200')) answers.push(decrypted);
      const encrypted = await cold(request('encrypt', { plaintext: PAYLOAD }, 'another'));
      if (!encrypted.includes('statusCode: 200')) answers.push(encrypted);
      kms.clearFaults();
    }
  }
  // A server that takes DynamoDB's place and echoes each request.
  const noDynamoDb = await coldFunction(kms.endpoint);
  answers.push(await noDynamoDb(request('encrypt', { plaintext: PAYLOAD })));

  const logged = output.text();
  vi.restoreAllMocks();
  expect(systemKeys.length).toBeGreaterThan(0);
  expect(answers.length).toBeGreaterThanOrEqual(17 + 2 * faults.length + 1);
  for (const code of [
    'InvalidRequest',
    'PayloadTooLarge',
    'RecordUnreadable',
    'KmsUnavailable',
    'KmsThrottled',
    'MetastoreUnavailable',
  ]) {
    expect(logged).toContain(code);
  }
  expect(logged).toContain('KmsRegionFailures');
  expect(secretsIn(logged)).toEqual([]);
  for (const answer of answers) expect(secretsIn(answer)).toEqual([]);
});
