/**
 * Runs the deployed functions under Lambda's runtime emulator. Each function has its packaged zip, and the handler and
 * environment in the packaged template. Only AWS is replaced by emulators.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import * as v from 'valibot';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../local/dynamodb.ts';
import { ensureKeys, functionEnvironment } from '../../local/function-environment.ts';
import { startKmsEmulator, type KmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { startQueues, type LocalQueues } from '../../local/queues.ts';
import { APP_TEMPLATE, packageApp } from '../../deploy/package.ts';
import { deploymentSchema } from '../../deploy/deployment.ts';
import { EAST, WEST } from '../support/wire-fixture.ts';
import { EmulatedFunction, type ToldError } from './emulated-function.ts';

const NAMES = ['api', 'seal', 'open', 'queue', 'maintenance'] as const;
type FunctionName = (typeof NAMES)[number];

/** A function in the template. */
interface Packaged {
  readonly Handler: string;
  readonly Environment: { readonly Variables: Readonly<Record<string, string | { readonly Ref: string }>> };
}

type Members = Readonly<Record<string, unknown>>;

const JWT = { KEYFOLD_AUTH: 'jwt', KEYFOLD_JWT_PARTITIONS_CLAIM: 'tenants' };
const AUTHORIZER = { KEYFOLD_AUTH: 'authorizer' };

const root = join(import.meta.dirname, '..', '..');
const run = promisify(execFile);

let folder: string;
let packaged: Readonly<Record<FunctionName, Packaged>>;
let dynamoDb: LocalDynamoDb;
let queues: LocalQueues;
let sqs: SQSClient;
let kms: KmsEmulator;
let settings: Record<string, string>;
let services = 0;
let started: EmulatedFunction[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-runtime-'));
  await run(process.execPath, ['scripts/build.ts'], { cwd: root });
  const zips = join(folder, 'package');
  await packageApp(join(root, 'deploy.example.yml'), WEST, zips);
  const { Resources } = JSON.parse(await readFile(join(zips, APP_TEMPLATE), 'utf8')) as {
    Resources: Record<string, { Properties: Packaged }>;
  };
  const functions = NAMES.map((name) => {
    const logicalName = `${name.charAt(0).toUpperCase()}${name.slice(1)}LambdaFunction`;
    return [name, Resources[logicalName]?.Properties] as const;
  });
  packaged = Object.fromEntries(functions) as Record<FunctionName, Packaged>;
  // Each function has its own root folder, so that it cannot reach files outside its zip.
  await Promise.all(
    NAMES.map((name) => run('python3', ['-m', 'zipfile', '-e', join(zips, `${name}.zip`), join(folder, name)])),
  );
  dynamoDb = await startDynamoDb('EncryptionKey', 0);
  queues = await startQueues(0);
  sqs = new SQSClient({ endpoint: queues.endpoint, region: WEST });
});
afterAll(async () => {
  sqs.destroy();
  await Promise.all([dynamoDb.close(), queues.close()]);
  await rm(folder, { recursive: true });
});
beforeEach(async () => {
  kms = await startKmsEmulator();
  const keys = await ensureKeys(kms, [WEST, EAST]);
  settings = {
    ...functionEnvironment({ kms: kms.endpoint, dynamoDb: dynamoDb.endpoint, keys }),
    KEYFOLD_SERVICE: `runtime${(services += 1)}`,
    KEYFOLD_PRODUCT: 'shop',
  };
});
afterEach(async () => {
  await Promise.all(started.map((one) => one.stop()));
  started = [];
  await kms.close();
});

async function begin(name: FunctionName, environment: Readonly<Record<string, string>>): Promise<EmulatedFunction> {
  const one = await EmulatedFunction.start({
    taskRoot: join(folder, name),
    handler: packaged[name].Handler,
    name: `keyfold-${name}`,
    environment,
  });
  started.push(one);
  return one;
}

/** A new function. Its first event is a cold start. */
function cold(name: FunctionName, further: Readonly<Record<string, string>> = {}): Promise<EmulatedFunction> {
  const { Variables } = packaged[name].Environment;
  const own = Object.entries(Variables).map(([variable, value]) => {
    // In place of CloudFormation, insert the URLs of the queues.
    return [variable, typeof value === 'string' ? value : (queues.environment[variable] ?? '')] as const;
  });
  return begin(name, { ...Object.fromEntries(own), ...settings, ...further });
}

async function sample(name: string): Promise<Record<string, unknown>> {
  const text = await readFile(join(import.meta.dirname, '..', '..', 'events', `${name}.json`), 'utf8');
  return JSON.parse(text) as Record<string, unknown>;
}

async function overHttp(
  one: EmulatedFunction,
  event: object,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const { statusCode: status, body } = (await one.invoke(event)) as { statusCode: number; body: string };
  return { status, body: JSON.parse(body) as Record<string, unknown> };
}

/** The number of requests to each region, in order of preference. */
function kmsCalls(): number[] {
  return [WEST, EAST].map((region) => kms.calls().filter((call) => call.region === region).length);
}

describe("in Lambda's runtime, cold and then warm,", () => {
  it('the api function encrypts over HTTP, and the open function decrypts the record', async () => {
    const api = await cold('api');
    const event = await sample('api-encrypt-iam');
    const sealed = await overHttp(api, event);
    expect(sealed).toMatchObject({ status: 200, body: { record: { Key: { ParentKeyMeta: {} } } } });
    const callsWhenCold = kmsCalls();
    expect(await overHttp(api, event)).toMatchObject({ status: 200 });
    expect(await overHttp(api, await sample('api-health-iam'))).toMatchObject({
      status: 200,
      body: { metastore: { state: 'ok' } },
    });
    expect(kmsCalls()).toEqual(callsWhenCold);

    const open = await cold('open');
    const asked = { ...(await sample('invoke-decrypt')), record: sealed.body['record'] };
    for (const _ of ['cold', 'warm']) expect(await open.invoke(asked)).toEqual({ plaintext: 'aGVsbG8=' });
  });

  it.for([
    ['api-encrypt-proxy', {}],
    ['api-encrypt-default', {}],
    ['api-encrypt-jwt', JWT],
    ['api-encrypt-authorizer', AUTHORIZER],
    ['http1-encrypt-iam', {}],
    ['http1-encrypt-default', {}],
    ['http1-encrypt-jwt', JWT],
    ['http1-encrypt-authorizer', AUTHORIZER],
    ['rest-encrypt-iam', {}],
    ['rest-encrypt-proxy', {}],
    ['rest-encrypt-cognito', JWT],
    ['rest-encrypt-authorizer', AUTHORIZER],
    ['url-encrypt-iam', {}],
  ] as const)('the api function responds to the event %s', async ([name, environment]) => {
    const api = await cold('api', environment);
    const event = await sample(name);
    for (const _ of ['cold', 'warm']) {
      const answer = (await api.invoke(event)) as { isBase64Encoded?: boolean };
      expect(answer).toMatchObject({ statusCode: 200, body: expect.stringContaining('"record"') });
      expect(answer.isBase64Encoded).toBe('resource' in event ? false : undefined);
    }
    const { authorizer: _authorizer, identity: _identity, ...context } = event['requestContext'] as Members;
    expect(await overHttp(api, { ...event, requestContext: context })).toMatchObject({ status: 401 });
  });

  it('the api function says why it is not ready until there is a System Key', async () => {
    const api = await cold('api');
    expect(await overHttp(api, await sample('api-ready-iam'))).toMatchObject({
      status: 503,
      body: { code: 'NotReady', detail: expect.stringContaining('no System Key yet') },
    });
    await overHttp(api, await sample('api-encrypt-iam'));
    const other = await cold('api');
    const ready = await sample('rest-ready-iam');
    kms.resetCalls();
    expect(await overHttp(other, ready)).toEqual({ status: 200, body: { ready: true } });
    for (const region of [WEST, EAST]) kms.setFault(region, { kind: 'down' });
    expect(await overHttp(await cold('api'), ready)).toMatchObject({ status: 503, body: { code: 'NotReady' } });
  });

  it('the seal function encrypts payloads, batches and documents by direct invocation', async () => {
    const seal = await cold('seal');
    expect(await seal.invoke(await sample('invoke-encrypt'))).toMatchObject({ record: { Key: {} } });
    const batch = (await seal.invoke(await sample('invoke-encrypt-batch'))) as { results: unknown[] };
    expect(batch.results).toEqual([{ record: expect.any(Object) }, { record: expect.stringMatching(/^kf1\./) }]);
    expect(await seal.invoke(await sample('invoke-encrypt-fields'))).toMatchObject({
      documentText: expect.stringMatching(/^\{"id":7,"card":"kf1j\./),
    });
  });

  it('the queue function encrypts messages, and sends them to the output queue', async () => {
    const queue = await cold('queue');
    for (const _ of ['cold', 'warm']) {
      expect(await queue.invoke(await sample('queue-standard'))).toEqual({ batchItemFailures: [] });
      const QueueUrl = queues.environment['KEYFOLD_OUTPUT_QUEUE_URL'];
      const { Messages: [message] = [] } = await sqs.send(new ReceiveMessageCommand({ QueueUrl }));
      expect(JSON.parse(message?.Body ?? '')).toMatchObject({
        document: { name: 'Ada', card: expect.stringMatching(/^kf1j\./) },
      });
    }
  });

  it('the maintenance function maintains the System Key on its schedule', async () => {
    await overHttp(await cold('api'), await sample('api-encrypt-iam'));
    const maintenance = await cold('maintenance');
    for (const _ of ['cold', 'warm']) {
      const report = JSON.stringify(await maintenance.invoke(await sample('maintenance-schedule')));
      expect(report).toContain(`_SK_${settings['KEYFOLD_SERVICE']}_shop`);
    }
  });
});

it('while the preferred region is down, a warm function needs no KMS call, and a cold function uses another region', async () => {
  const event = await sample('api-encrypt-iam');
  const warm = await cold('api');
  const { body: sealed } = await overHttp(warm, event);
  kms.setFault(WEST, { kind: 'down' });
  kms.resetCalls();
  expect(await overHttp(warm, event)).toMatchObject({ status: 200 });
  expect(kmsCalls()).toEqual([0, 0]);

  const open = await cold('open');
  expect(await open.invoke({ operation: 'decrypt', partition: 'tenant-1', ...sealed })).toEqual({
    plaintext: 'aGVsbG8=',
  });
  expect(kmsCalls()).toEqual([1, 1]);

  kms.clearFaults();
  kms.resetCalls();
  expect(await overHttp(await cold('api'), event)).toMatchObject({ status: 200 });
  expect(kmsCalls()).toEqual([1, 0]);
});

describe('a direct invocation that fails', () => {
  it('returns only the error code for unsupported operations, unreadable records and an outage', async () => {
    const open = await cold('open');
    const encrypt = await sample('invoke-encrypt');
    expect(await open.invoke(encrypt)).toMatchObject({ errorType: 'Forbidden' });
    expect(await open.invoke(await sample('invoke-decrypt'))).toMatchObject({ errorType: 'RecordUnreadable' });
    expect(await open.invoke({ operation: 'decrypt' })).toMatchObject({ errorType: 'InvalidRequest' });
    for (const region of [WEST, EAST]) kms.setFault(region, { kind: 'down' });
    const told = (await (await cold('seal')).invoke(encrypt)) as ToldError & { trace: string[] };
    expect(told.errorType).toBe('KmsUnavailable');
    expect(told.trace).toEqual([`KmsUnavailable: ${told.errorMessage}`]);
  });
});

const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'] as const;

/**
 * Whether Lambda keeps a line if the function's log level is `least` (Lambda's guide, "Log-level filtering"). A line
 * without a level counts as INFO.
 */
function passes({ level }: Record<string, unknown>, least: (typeof LEVELS)[number]): boolean {
  const own = LEVELS.find((one) => one === level) ?? 'INFO';
  return LEVELS.indexOf(own) >= LEVELS.indexOf(least);
}

function hasAuditAndMetrics(lines: readonly Record<string, unknown>[]): [audit: number, metrics: boolean] {
  const audits = lines.filter(
    ({ message, door, result }) => message === 'audit' && door === 'direct' && result === 'ok',
  );
  const metrics = lines.filter(({ _aws, KeysCreated }) => _aws !== undefined && KeysCreated !== undefined);
  return [audits.length, metrics.length > 0];
}

describe('the log of a packaged function', () => {
  const formats = [
    { AWS_LAMBDA_LOG_FORMAT: 'Text' },
    ...LEVELS.map((level) => ({ AWS_LAMBDA_LOG_FORMAT: 'JSON', AWS_LAMBDA_LOG_LEVEL: level })),
  ];
  const ours = ['TRACE', 'INFO', 'CRITICAL'].map((level) => ({ POWERTOOLS_LOG_LEVEL: level }));
  const cases: readonly Readonly<Record<string, string>>[] = [
    ...formats,
    ...ours.map((level) => ({ ...formats[3], ...level })),
    ...ours,
  ];
  it.for(cases.map((further) => [Object.values(further).join(', '), further] as const))(
    'has all audit lines and metrics with the log format and levels %s',
    async ([, further]) => {
      const seal = await cold('seal', further);
      const event = await sample('invoke-encrypt');
      for (const _ of ['cold', 'warm']) expect(await seal.invoke(event)).toHaveProperty('record');
      // The emulator forwards log lines independently of responses, so a line may arrive after the response.
      await expect.poll(() => hasAuditAndMetrics(seal.lines), { timeout: 10_000 }).toEqual([2, true]);
      if (further['AWS_LAMBDA_LOG_FORMAT'] !== 'JSON') return;
      // Lambda drops audit lines and metrics at some log levels. The schema of deploy.yml must accept a level if Lambda
      // keeps both, and must refuse all other levels.
      const level = LEVELS.find((one) => one === further['AWS_LAMBDA_LOG_LEVEL']) ?? 'INFO';
      const left = hasAuditAndMetrics(seal.lines.filter((line) => passes(line, level)));
      const taken = v.is(deploymentSchema.entries.applicationLogLevel, level);
      expect(left).toEqual(taken ? [2, true] : [0, false]);
    },
  );
});

describe('a misconfigured function', () => {
  it.each(NAMES)('does not start, and reports all its configuration errors in one message (%s)', async (name) => {
    const one = await begin(name, {
      AWS_REGION: WEST,
      KEYFOLD_TABEL: 'mistyped',
      KEYFOLD_PRODUCT: 'shop',
      KEYFOLD_MAX_ITEMS: 'many',
      KEYFOLD_STATIC_MASTER_KEY_HEX: '00'.repeat(32),
    });
    const { errorType, errorMessage } = (await one.invoke({})) as ToldError;
    const faults = errorMessage.split('\n- ').slice(1);
    expect({ errorType, faults }).toEqual({
      errorType: 'KeyfoldError',
      faults: expect.arrayContaining([
        'KEYFOLD_TABEL is not a setting',
        'KEYFOLD_SERVICE is not set',
        'KEYFOLD_MAX_ITEMS is not a positive whole number',
        expect.stringContaining('a static master key protects nothing in Lambda'),
        ...(name === 'seal' || name === 'open' ? ['KEYFOLD_OPERATIONS is not set'] : []),
        ...(name === 'queue'
          ? ['KEYFOLD_OUTPUT_QUEUE_URL is not set', 'KEYFOLD_DEAD_LETTER_QUEUE_URL is not set']
          : []),
      ]),
    });
    expect(one.log).toContain(errorMessage.split('\n')[0]);
  });
});
