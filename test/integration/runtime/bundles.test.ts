/** Tests that bundles return the same responses as the source code. Bundles omit some code, and load some code late. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../../local/dynamodb.ts';
import { ensureKeys, functionEnvironment } from '../../../local/function-environment.ts';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { LocalFunction } from '../../../local/local-function.ts';
import { bundleHandler } from '../../../scripts/handler-bundle.ts';
import { KEPT_ERRORS } from '../../../scripts/handler-plugins.ts';
import { loadedAtOnce } from '../../../scripts/loaded-at-once.ts';
import { DynamoDbProxy } from '../../support/dynamodb-proxy.ts';
import { request, sampleEvent } from '../../support/http-door.ts';
import { startStub } from '../../support/stub-server.ts';
import { StubVault } from '../../support/stub-vault.ts';
import { EAST, WEST } from '../../support/wire-fixture.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const TIMEOUT_MS = 15_000;
/** The maximum size of all files that the api bundle loads before its first request. */
const MAX_LOADED_BYTES = 320 * 1024;

let folder: string;
let dynamoDb: LocalDynamoDb;
let proxy: DynamoDbProxy;
let kms: KmsEmulator;
let settings: Record<string, string>;
let services = 0;
let started: LocalFunction[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-bundles-'));
  dynamoDb = await startDynamoDb('EncryptionKey', 0);
  proxy = await DynamoDbProxy.start(dynamoDb.endpoint);
  kms = await startKmsEmulator();
  const keys = await ensureKeys(kms, [WEST, EAST]);
  await bundleHandler('api', join(folder, 'api'), join(folder, 'maps'));
  settings = {
    ...functionEnvironment({ kms: kms.endpoint, dynamoDb: proxy.endpoint, keys }),
    POWERTOOLS_LOG_LEVEL: 'SILENT',
    POWERTOOLS_METRICS_DISABLED: 'true',
    KEYFOLD_PRODUCT: 'shop',
  };
}, 60_000);
afterEach(async () => {
  kms.clearFaults();
  proxy.faultOf = () => undefined;
  await Promise.all(started.map((one) => one.recycle()));
  started = [];
});
afterAll(async () => {
  await Promise.all([proxy.stop(), kms.close()]);
  await dynamoDb.close();
  await rm(folder, { recursive: true });
});

/** A process that runs the bundle as Lambda would. */
function start(environment: Readonly<Record<string, string | undefined>>): LocalFunction {
  const present = Object.entries({ ...settings, ...environment }).filter(([, value]) => value !== undefined);
  const path = pathToFileURL(join(folder, 'api', 'index.mjs')).href;
  const one = new LocalFunction(path, Object.fromEntries(present) as Record<string, string>);
  started.push(one);
  return one;
}

function newService(): { KEYFOLD_SERVICE: string } {
  return { KEYFOLD_SERVICE: `bundle${(services += 1)}` };
}

async function ask(one: LocalFunction, event: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
  const { statusCode: status, body } = (await one.invoke(event, TIMEOUT_MS)) as { statusCode: number; body: string };
  return { status, body: JSON.parse(body) as Record<string, unknown> };
}

const ENCRYPT = request('encrypt', { plaintext: 'aGVsbG8=' });

it('the api bundle contains all its modules, and loads only one chunk of limited size before its first request', async () => {
  const files = await loadedAtOnce(join(folder, 'api'));
  // One chunk must hold all code that runs at the start. If there is a second chunk, add the module that is loaded on
  // demand to LAZY in handler-plugins.ts.
  expect(files).toEqual(['index.mjs', expect.stringMatching(/^chunk-/)]);
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(folder, 'api', file))).size));
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(MAX_LOADED_BYTES);
  for (const file of await readdir(join(folder, 'api'))) {
    const text = await readFile(join(folder, 'api', file), 'utf8');
    // Only an operator's commands load the code for an HSM.
    expect(text).not.toContain('kms/pkcs11/');
    expect({ file, found: /Dynamic require|from ?"(?!\.\/)[^"]*"|import\("(?!\.\/)/.exec(text)?.[0] }).toEqual({
      file,
    });
  }
});

it('the api bundle encrypts under a System Key that Vault wraps', async () => {
  const vault = await StubVault.start();
  const secretFile = join(folder, 'token');
  await writeFile(secretFile, 'fixed\n');
  const environment = {
    ...newService(),
    KEYFOLD_KMS_KEYS: undefined,
    KEYFOLD_PREFERRED_REGION: undefined,
    KEYFOLD_KMS: 'vault',
    KEYFOLD_VAULT_ADDRESSES: vault.url,
    KEYFOLD_VAULT_TRANSIT_KEY: 'keyfold',
    KEYFOLD_VAULT_AUTH: 'token',
    KEYFOLD_VAULT_SECRET_FILE: secretFile,
  };
  const { status, body } = await ask(start(environment), ENCRYPT);
  expect(status).toBe(200);
  const decrypted = await ask(start(environment), request('decrypt', { record: body['record'] }));
  expect(decrypted).toEqual({ status: 200, body: { plaintext: 'aGVsbG8=' } });
  // Use the login method `aws` too. With it, the function signs the login request with its own credentials.
  const byAws = { ...environment, KEYFOLD_VAULT_SECRET_FILE: undefined, KEYFOLD_VAULT_AUTH: 'aws' };
  const again = await ask(start({ ...byAws, KEYFOLD_VAULT_ROLE: 'orders' }), ENCRYPT);
  expect(again.status).toBe(200);
  expect(vault.takePaths()).toEqual([
    'transit/encrypt/keyfold',
    'transit/decrypt/keyfold',
    'auth/aws/login',
    'transit/decrypt/keyfold',
  ]);
  for (const file of await loadedAtOnce(join(folder, 'api'))) {
    expect(await readFile(join(folder, 'api', file), 'utf8')).not.toContain('x-vault-token');
  }
  await vault.stop();
});

it('the api bundle encrypts and decrypts fields, and loads the OpenAPI document only on request', async () => {
  const one = start(newService());
  const document = { card: 41, name: 'Ada' };
  const sealed = await ask(one, request('encrypt-fields', { document, fields: ['$.card'] }));
  expect(sealed).toMatchObject({
    status: 200,
    body: { document: { name: 'Ada', card: expect.stringMatching(/^kf1j\./) } },
  });
  const opened = await ask(one, request('decrypt-fields', { document: sealed.body['document'], all: true }));
  expect(opened).toEqual({ status: 200, body: { document } });
  const openApi = { ...sampleEvent('api-health-iam'), rawPath: '/v1/openapi.json', routeKey: 'GET /v1/openapi.json' };
  expect(await ask(one, openApi)).toMatchObject({
    status: 200,
    body: { openapi: expect.stringMatching(/^3\.1/) },
  });
});

it('the api bundle loads its code for REST APIs on the first request from a REST API', async () => {
  const one = start(newService());
  expect(await ask(one, sampleEvent('rest-encrypt-iam'))).toMatchObject({ status: 200 });
});

it("the api bundle contains every SDK error class that our code or the SDK's retries depend on, and no other error class", async () => {
  const sources = await readdir(join(root, 'src'), { recursive: true });
  const texts = await Promise.all(
    sources.filter((file) => file.endsWith('.ts')).map((file) => readFile(join(root, 'src', file), 'utf8')),
  );
  const imported = texts.join('\n').matchAll(/import \{([^}]*)\} from '@aws-sdk\/client-(?!lambda)/g);
  const classes = [...imported].flatMap(([, names = '']) => names.match(/\w+Exception\b/g) ?? []);
  const retryable = await Promise.all(
    ['kms', 'dynamodb', 'sqs'].map(async (client) => {
      const models = join(root, 'node_modules', '@aws-sdk', `client-${client}`, 'dist-es', 'models', 'errors.js');
      return (await readFile(models, 'utf8')).matchAll(/class (\w+) [^}]*?\$retryable = /g);
    }),
  );
  const ofRetries = retryable.flatMap((found) => [...found].map(([, name = '']) => name));
  const ofCode = classes.filter((name) => !name.endsWith('ServiceException'));
  expect(new Set([...ofCode, ...ofRetries])).toEqual(KEPT_ERRORS);
  const files = await readdir(join(folder, 'api'));
  const bundle = (await Promise.all(files.map((file) => readFile(join(folder, 'api', file), 'utf8')))).join('\n');
  const bundled = bundle.matchAll(/\bshapeId="com\.amazonaws\.(?:kms|dynamodb)#(\w+)"/g);
  expect(new Set([...bundled].map(([, name]) => name))).toEqual(KEPT_ERRORS);
});

it.each([
  ['DisabledException', 400, 500, 'KmsMisconfigured'],
  ['ThrottlingException', 400, 503, 'KmsThrottled'],
  ['KMSInternalException', 500, 503, 'KmsUnavailable'],
  ['DependencyTimeoutException', 503, 503, 'KmsUnavailable'],
])(
  'the error %s is recognised by its name, because its class is not in the bundle',
  async (name, kmsStatus, status, code) => {
    for (const region of [WEST, EAST]) kms.setFault(region, { kind: 'error', name, status: kmsStatus });
    // The margin leaves the request three seconds, so that the test does not wait for many retries.
    const one = start({ ...newService(), KEYFOLD_DEADLINE_MARGIN_MS: String(TIMEOUT_MS - 3000) });
    expect(await ask(one, ENCRYPT)).toMatchObject({ status, body: { code } });
  },
);

/** The Intermediate Key that the record in a response names. */
function keyOf({ body }: { readonly body: Record<string, unknown> }): object {
  return (body['record'] as { Key: { ParentKeyMeta: object } }).Key.ParentKeyMeta;
}

// If a new minute begins during the test, each process makes its own key and there is no race.
it("a process that loses the race to create a key uses the winner's key", { retry: 2 }, async () => {
  const service = newService();
  const [first, second] = [start(service), start(service)];
  const made: unknown[] = [];
  proxy.faultOf = (call) => {
    if (call !== 'Put SK' || made.length > 0) return undefined;
    const winning = ask(second, ENCRYPT);
    made.push(winning);
    return { kind: 'overtaken', by: () => winning };
  };
  const sealed = await ask(first, ENCRYPT);
  const [winner] = (await Promise.all(made)) as [typeof sealed];
  expect(keyOf(sealed)).toEqual(keyOf(winner));
  expect(await ask(second, request('decrypt', sealed.body))).toEqual({ status: 200, body: { plaintext: 'aGVsbG8=' } });
});

it('if the environment contains no credentials, the api bundle gets credentials from the URL that Lambda provides', async () => {
  const inEnvironment = { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined };
  const expiration = new Date(Date.now() + 3_600_000).toISOString();
  const given = { AccessKeyId: 'fromtheurl', SecretAccessKey: 'secret', Token: 'token', Expiration: expiration };
  const stub = await startStub({ status: 200, body: JSON.stringify(given) });
  const url = {
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `${stub.url}/credentials`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN: 'mine',
  };
  expect(await ask(start({ ...newService(), ...inEnvironment, ...url }), ENCRYPT)).toMatchObject({ status: 200 });
  expect(stub.requests).not.toHaveLength(0);
  for (const { path, headers } of stub.requests) {
    expect({ path, authorization: headers.authorization }).toEqual({ path: '/credentials', authorization: 'mine' });
  }
  await stub.stop();
});

it('a request without credentials fails at once instead of looking for other credentials', async () => {
  const metadata = await startStub({ status: 404, body: '' });
  const profile = join(folder, 'credentials');
  await writeFile(profile, '[default]\naws_access_key_id = other\naws_secret_access_key = other\n');
  const none = { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined };
  const others = [{ AWS_SHARED_CREDENTIALS_FILE: profile }, { AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.url }];
  for (const other of others) {
    const answer = await ask(start({ ...newService(), ...none, ...other }), ENCRYPT);
    expect(answer).toMatchObject({ status: 503, body: { code: 'MetastoreUnavailable' } });
  }
  expect(metadata.requests).toEqual([]);
  await metadata.stop();
});
