import { globalAgent } from 'node:https';
import { rootCertificates } from 'node:tls';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MemoryMetastore, SessionFactory, type Attempt } from '../../../../src/index.ts';
import { VaultKms, type VaultKmsOptions } from '../../../../src/kms/vault/index.ts';
import { checkedVaultOptions } from '../../../../src/kms/vault/vault-options.ts';
import { kmsContract, wrapRenewerContract } from '../../../../src/testing/index.ts';
import { runContract } from '../../../support/contract/bind.ts';
import { errorOf, noDeadline } from '../../../support/fakes.ts';
import { ForgetfulProxy } from '../../../support/forgetful-proxy.ts';
import { keyOf, REFUSALS_OF_TEXT, refusalsOfText } from '../../../support/kms.ts';
import { startStub } from '../../../support/stub-server.ts';
import { StubCluster, StubVault } from '../../../support/stub-vault.ts';

const KEY = Buffer.alloc(32, 9);
const TOKEN = { method: 'token', token: 'fixed' } as const;

let cluster: StubCluster;
let stub: StubVault;
/** More stubs of Vault, at other addresses. They are stopped after each test. */
const stubs: StubVault[] = [];
let attempts: Attempt[];

beforeEach(async () => {
  cluster = new StubCluster();
  stub = await StubVault.start(cluster);
  attempts = [];
});
afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all([stub, ...stubs.splice(0)].map((each) => each.stop()));
});

const options = (changes: Partial<VaultKmsOptions> = {}): VaultKmsOptions => ({
  addresses: [stub.url],
  transitKey: 'keyfold',
  auth: TOKEN,
  failover: { maxRounds: 1 },
  events: { attempted: (attempt) => void attempts.push(attempt) },
  ...changes,
});
const open = (changes: Partial<VaultKmsOptions> = {}): VaultKms => new VaultKms(options(changes));
/** Opens Vault with a timeout that is long enough for a machine that does other work. */
const openPatient = (): VaultKms => open({ requestTimeoutMs: 10_000 });
const wrapped = async (kms = open()): Promise<Uint8Array> => kms.wrap(KEY, noDeadline());

describe('VaultKms', () => {
  it('rejects an argument that is not bytes with a TypeError that names it', async () => {
    expect(await refusalsOfText(open())).toEqual(REFUSALS_OF_TEXT);
  });

  const faults = {
    openFailing: () => open({ addresses: ['http://127.0.0.1:9'] }),
    openHanging: async () => {
      const silent = await StubVault.start(cluster);
      stubs.push(silent);
      await silent.befall('hang');
      return open({ addresses: [silent.url] });
    },
    openRefused: () => open({ auth: { method: 'token', token: 'wrong' } }),
  };
  runContract('as a KMS', kmsContract(openPatient, faults));
  runContract('as a renewer of wraps', wrapRenewerContract(openPatient, faults));

  it('wraps a key as it was at the time of the call, even if the caller zeroes it before the second attempt', async () => {
    const kms = open({ addresses: ['http://127.0.0.1:9', stub.url] });
    const key = Buffer.from(KEY);
    const wrapping = kms.wrap(key, noDeadline());
    key.fill(0);
    expect(await keyOf(kms.unwrap(await wrapping, noDeadline()))).toEqual(KEY);
  });

  it('sends no unencrypted request to an address that begins with https', async () => {
    stub.requests.length = 0;
    const encrypted = open({ addresses: [stub.url.replace('http:', 'https:')], failover: { maxRounds: 1 } });
    expect(await errorOf(wrapped(encrypted))).toMatchObject({
      code: 'KmsUnavailable',
      message: expect.stringMatching(/\((?:EPROTO|ERR_SSL_\w+)\)/) as string,
    });
    expect(stub.requests).toEqual([]);
  });

  it('refuses a call without a valid deadline before it sends a request', async () => {
    const kms = open();
    const bytes = await wrapped(kms);
    stub.requests.length = 0;
    const none = {} as never;
    for (const call of [() => kms.wrap(KEY, none), () => kms.unwrap(bytes, none), () => kms.renew(bytes, none)])
      await expect(call()).rejects.toThrow(/^deadline must be a deadline/);
    expect(stub.requests).toEqual([]);
  });

  it("stores Vault's ciphertext unchanged", async () => {
    const bytes = await wrapped();
    expect(Buffer.from(bytes).toString()).toMatch(/^vault:v1:[A-Za-z0-9+/]+={0,2}$/);
    expect(await open().unwrap(bytes, noDeadline())).toEqual({ key: KEY });
  });

  it('zeroes the bytes of each response that holds a key', async () => {
    const bytes = await wrapped();
    const answers: Uint8Array[] = [];
    const concat = Buffer.concat.bind(Buffer);
    vi.spyOn(Buffer, 'concat').mockImplementation((chunks) => {
      const whole = concat(chunks);
      // Only responses contain the name `plaintext`. The stub server, which runs in this process, also joins the bytes
      // of requests, but an unwrap request contains no plaintext.
      if (whole.includes('"plaintext"')) answers.push(whole, ...chunks);
      return whole;
    });
    await open().unwrap(bytes, noDeadline());
    expect(answers.length).toBeGreaterThan(1);
    expect(answers.every((chunk) => chunk.every((byte) => byte === 0))).toBe(true);
  });

  it('bypasses the proxy for an address without TLS, because such an address is always on this machine', async () => {
    const proxy = await startStub({ status: 502, body: '' });
    const { options: agent } = globalAgent;
    const { proxyEnv } = agent;
    try {
      agent.proxyEnv = { HTTP_PROXY: proxy.url, http_proxy: proxy.url };
      await wrapped();
      expect(stub.requests).toHaveLength(1);
      expect(proxy.requests).toEqual([]);
    } finally {
      agent.proxyEnv = proxyEnv;
      await proxy.stop();
    }
  });

  it('sends the key, its mount, the namespace and the token as Vault expects them', async () => {
    await wrapped(open({ transitMount: 'teams/transit', namespace: 'team/orders' }));
    const [request] = stub.requests;
    expect(request?.path).toBe('/v1/teams/transit/encrypt/keyfold');
    expect(request?.headers).toMatchObject({
      'x-vault-token': 'fixed',
      'x-vault-namespace': 'team/orders',
      'x-vault-request': 'true',
      'user-agent': 'keyfold',
      'content-type': 'application/json',
      accept: 'application/json',
    });
    expect(request?.body).toEqual({ plaintext: KEY.toString('base64') });
  });

  it('reuses its connection, and replaces a reset connection without reporting a fault', async () => {
    const proxy = await ForgetfulProxy.start(Number(new URL(stub.url).port));
    const kms = open({ addresses: [`http://127.0.0.1:${proxy.port}`] });
    const bytes = await wrapped(kms);
    // Allow some new connections, because on an overloaded machine the guard may detect a freeze and replace a
    // connection.
    for (let i = 0; i < 9; i += 1) await kms.unwrap(bytes, noDeadline());
    expect(proxy.opened).toBeLessThan(5);
    for (let i = 0; i < 3; i += 1) {
      proxy.forget('reset');
      expect(await kms.unwrap(bytes, noDeadline())).toEqual({ key: KEY });
    }
    expect(attempts.filter(({ fault }) => fault !== undefined)).toEqual([]);
    await proxy.stop();
  });

  it('unwraps a System Key only once in a process, for any number of partitions', async () => {
    const metastore = new MemoryMetastore();
    const process = (): SessionFactory =>
      new SessionFactory({ service: 'svc', product: 'prod', kms: open(), metastore });
    const first = process();
    const partitions = Array.from({ length: 100 }, (_, i) => `tenant-${i}`);
    const records = await Promise.all(
      partitions.map(async (name) => [name, await first.session(name).encrypt(KEY)] as const),
    );
    expect(stub.takePaths()).toEqual(['transit/encrypt/keyfold']);
    const second = process();
    await Promise.all(records.map(([name, record]) => second.session(name).decrypt(record)));
    expect(stub.takePaths()).toEqual(['transit/decrypt/keyfold']);
  });

  it('makes no call for bytes that are not a transit ciphertext, and reports them as unreadable', async () => {
    const text = Buffer.from(await wrapped()).toString();
    stub.requests.length = 0;
    const foreign = [
      `vault:v1:${'A'.repeat(1016)}`,
      '',
      'vault:',
      'vault:v0:AAAA',
      'vault:v1:',
      'vault:v1:?',
      ` ${text}`,
      `${text}\n`,
      'x'.repeat(2e6),
    ];
    for (const one of foreign) {
      expect(await open().unwrap(Buffer.from(one), noDeadline())).toEqual({
        unreadable: 'it is not wrapped by the transit engine of Vault',
      });
    }
    expect(stub.requests).toEqual([]);
  });

  it.for([256, 384, 512])('refuses to make or open a wrap of %i bytes, the size of an RSA wrap', async (length) => {
    const ciphertext = `vault:v1:${Buffer.alloc(length, 7).toString('base64')}`;
    const rsa = await startStub({ status: 200, body: JSON.stringify({ data: { ciphertext, plaintext: 'AAAA' } }) });
    const kms = open({ addresses: [rsa.url] });
    expect(await errorOf(wrapped(kms))).toMatchObject({
      code: 'KmsMisconfigured',
      message: expect.stringContaining('(AsymmetricKey)') as string,
    });
    rsa.requests.length = 0;
    const unreadable = 'an RSA key has wrapped it, and everyone may have its public key';
    expect(await kms.unwrap(Buffer.from(ciphertext), noDeadline())).toEqual({ unreadable });
    expect(await kms.renew(Buffer.from(ciphertext), noDeadline())).toMatchObject({ regions: [], unreadable });
    expect(rsa.requests).toEqual([]);
    await rsa.stop();
  });

  it('emits failedOver with the address that responded in place of the preferred one', async () => {
    const other = await StubVault.start(cluster);
    stubs.push(other);
    const told: string[] = [];
    const events = {
      attempted: ({ action, fault }: Attempt) => void told.push(fault === undefined ? action : 'fault'),
      failedOver: (address: string) => void told.push(address),
    };
    const kms = open({ addresses: [stub.url, other.url], events });
    await kms.unwrap(await wrapped(kms), noDeadline());
    expect(told.splice(0)).toEqual(['Encrypt', 'Decrypt']);
    await stub.befall('sealed');
    await kms.unwrap(await wrapped(kms), noDeadline());
    expect(told).toEqual(['fault', 'Encrypt', hostOf(other.url), 'Decrypt', hostOf(other.url)]);
  });

  it('throws KmsMisconfigured if one address refuses the token and another refuses the ciphertext', async () => {
    const other = await StubVault.start(cluster);
    stubs.push(other);
    const foreign = Buffer.from(new StubCluster().encrypt(KEY.toString('base64')));
    await other.befall('403');
    const unwrapped = open({ addresses: [stub.url, other.url] }).unwrap(foreign, noDeadline());
    expect(await errorOf(unwrapped)).toMatchObject({ code: 'KmsMisconfigured' });
  });

  it('zeroes the System Key that the method renew unwraps', async () => {
    const bytes = await wrapped();
    const real = Buffer.prototype.fill;
    let zeroed = 0;
    vi.spyOn(Buffer.prototype, 'fill').mockImplementation(function (this: Buffer, ...given: unknown[]) {
      if (given[0] === 0 && this.equals(KEY)) zeroed += 1;
      return Reflect.apply(real, this, given);
    });
    await open().renew(bytes, noDeadline());
    expect(zeroed).toBe(1);
    expect(attempts.map(({ action }) => action)).toEqual(['Encrypt', 'Decrypt']);
  });

  it('sends a ciphertext of 1024 characters, the maximum length', async () => {
    const longest = `vault:v1:${'A'.repeat(1015)}`;
    await open().unwrap(Buffer.from(longest), noDeadline());
    expect(stub.requests.map(({ body }) => body)).toEqual([{ ciphertext: longest }]);
  });

  it('reports a ciphertext as unreadable if no key version opens it at any address', async () => {
    const other = await StubVault.start(cluster);
    const foreign = Buffer.from(new StubCluster().encrypt(KEY.toString('base64')));
    expect(await open({ addresses: [stub.url, other.url] }).unwrap(foreign, noDeadline())).toEqual({
      unreadable: 'no version of the transit key opens it',
    });
    expect([stub.requests.length, other.requests.length]).toEqual([1, 1]);
    await other.stop();
  });

  it("rejects with the deadline's abort reason when the deadline passes during a call", async () => {
    await stub.befall('hang');
    const controller = new AbortController();
    const wrapping = open().wrap(KEY, { atMs: Number.MAX_SAFE_INTEGER, signal: controller.signal });
    const reason = new Error('the caller has gone');
    setImmediate(() => controller.abort(reason));
    expect(await errorOf(wrapping)).toBe(reason);
  });

  it.for([
    ['IncompleteAnswer', 'with a success status but no data', 200, '{}'],
    ['IncompleteAnswer', 'whose data is null', 200, '{"data":null}'],
    ['IncompleteAnswer', 'with a ciphertext of an unexpected form', 200, '{"data":{"ciphertext":"sealed"}}'],
    ['AnswerTooLong', 'with more than 64 KiB', 200, JSON.stringify({ data: { ciphertext: 'x'.repeat(70_000) } })],
    ['IncompleteAnswer', 'with the status 204', 204, ''],
  ] as const)('throws KmsUnavailable (%s) for a response %s', async ([name, , status, body]) => {
    const odd = await startStub({ status, body });
    expect(await errorOf(wrapped(open({ addresses: [odd.url] })))).toMatchObject({
      code: 'KmsUnavailable',
      message: expect.stringContaining(`(${name})`) as string,
    });
    await odd.stop();
  });

  it.for([
    ['IncompleteAnswer', 'is empty', { plaintext: '' }],
    ['IncompleteAnswer', 'is not base64', { plaintext: 'no base64' }],
    ['IncompleteAnswer', 'is a number', { plaintext: 7 }],
    ['IncompleteAnswer', 'is absent', {}],
    ['AnswerTooLong', 'is too long', { plaintext: 'A'.repeat(70_000) }],
  ] as const)('throws KmsUnavailable (%s) if the plaintext in a response %s', async ([name, , data]) => {
    const bytes = await wrapped();
    const odd = await startStub({ status: 200, body: JSON.stringify({ data }) });
    const error = await errorOf(open({ addresses: [odd.url] }).unwrap(bytes, noDeadline()));
    expect(error).toMatchObject({ code: 'KmsUnavailable', message: expect.stringContaining(`(${name})`) as string });
    await odd.stop();
  });

  it('reports to maintenance which addresses unwrap a System Key, and makes no new wrap', async () => {
    const other = await StubVault.start(cluster);
    const kms = open({ addresses: [stub.url, other.url] });
    const bytes = await wrapped();
    await other.befall('sealed');
    other.requests.length = 0;
    expect(await kms.renew(bytes, noDeadline())).toEqual({
      regions: [
        { region: hostOf(stub.url), opens: true, renewed: false },
        {
          region: hostOf(other.url),
          opens: false,
          renewed: false,
          fault: `Decrypt in ${hostOf(other.url)}: unavailable (Sealed)`,
        },
      ],
      renewed: undefined,
    });
    expect(other.requests.map(({ path }) => path)).toEqual(['/v1/transit/decrypt/keyfold']);
    expect(await kms.renew(Buffer.from('x'), noDeadline())).toMatchObject({
      regions: [],
      unreadable: expect.any(String),
    });
    expect(kms.regionStates().map(({ state }) => state)).toEqual(['ok', 'unavailable']);
    await other.stop();
  });

  it('shows no token, key or response text in its errors and events', async () => {
    const echo = await startStub(({ headers, body }) => ({
      status: 403,
      body: JSON.stringify({ errors: [`${String(headers['x-vault-token'])} ${body}`] }),
    }));
    const error = await errorOf(wrapped(open({ addresses: [echo.url] })));
    const told = inspect([error, attempts], { depth: 10 });
    expect(told).toContain('PermissionDenied');
    for (const secret of ['fixed', KEY.toString('base64')]) expect(told).not.toContain(secret);
    await echo.stop();
  });
});

const CERTIFICATE = rootCertificates[0] ?? '';
const NOT_PEM = 'ca holds no certificate in PEM, or one that cannot be read';
const AWS = { method: 'aws', role: 'r', credentials: async () => ({}) };

describe('the VaultKms constructor', () => {
  it.each([
    [{ addresses: [] }, 'addresses is empty: name at least one'],
    [
      { addresses: ['http://vault.example.com:8200'] },
      'addresses[0] must begin with https:, because the token and the keys are in the requests',
    ],
    [{ addresses: ['https://a.example.com', 'ftp://x'] }, 'addresses[1] is not a URL'],
    [{ addresses: ['https://vault.example.com\0'] }, 'addresses[0] is not a URL'],
    [{ addresses: ['https://user:pass@vault.example.com'] }, 'addresses[0] has a query, a fragment or credentials'],
    [{ addresses: ['https://a.example.com', 'https://a.example.com/'] }, 'addresses names one address twice'],
    [{ addresses: ['https://a.example.com', 5] }, 'options.addresses[1] must be a string'],
    [{ transitKey: '../sys/seal' }, 'transitKey is not the name of a key'],
    [{ transitKey: '' }, 'transitKey is not the name of a key'],
    [{ transitKey: 'x'.repeat(257) }, 'transitKey is not the name of a key'],
    [{ transitKey: '.x' }, 'transitKey is not the name of a key'],
    [{ transitKey: 'x-' }, 'transitKey is not the name of a key'],
    [{ transitMount: '/transit/' }, 'transitMount is not a path such as transit'],
    [{ transitMount: '..' }, 'transitMount is not a path such as transit'],
    [{ namespace: 'a\r\nb' }, 'namespace is not a path such as team/orders'],
    [{ ca: 'hello' }, NOT_PEM],
    [{ ca: `${CERTIFICATE}\n${CERTIFICATE.replace(/\n.{8}/, '\nAAAAAAAA')}` }, NOT_PEM],
    [{ ca: CERTIFICATE.replace('END', 'ENDE') }, NOT_PEM],
    [{ requestTimeoutMs: 0 }, 'requestTimeoutMs must be a positive whole number'],
    [{ requestTimeoutMs: 2 ** 31 }, 'requestTimeoutMs must not be more than 2147483647'],
    [{ failover: { onKeyRefused: 'x' } }, "onKeyRefused must be 'failover' or 'fail'"],
    [{ failover: { minimumWrappedRegions: 1 } }, 'options.failover has no option minimumWrappedRegions'],
    [{ auth: { method: 'ldap' } }, "options.auth.method must be 'token' or 'approle' or 'kubernetes' or 'aws'"],
    [{ auth: { method: 'token' } }, 'options.auth.token must be a string or a function'],
    [
      { auth: { method: 'token', token: 'a b' } },
      'auth.token must be 1 to 4096 printable ASCII characters without spaces',
    ],
    [
      { auth: { method: 'token', token: 'x'.repeat(4097) } },
      'auth.token must be 1 to 4096 printable ASCII characters without spaces',
    ],
    [
      { auth: { method: 'token', token: '\x7F' } },
      'auth.token must be 1 to 4096 printable ASCII characters without spaces',
    ],
    [{ auth: { method: 'approle', roleId: 5 } }, 'options.auth.roleId must be a string'],
    [
      { auth: { method: 'approle', roleId: 'r', secretId: 5 } },
      'options.auth.secretId must be a string or a function that finds it',
    ],
    [{ auth: { method: 'approle', roleId: 'r', mount: 5 } }, 'options.auth.mount must be a string'],
    [{ auth: { method: 'kubernetes', role: 5 } }, 'options.auth.role must be a string'],
    [
      { auth: { method: 'kubernetes', role: 'r', jwt: 5 } },
      'options.auth.jwt must be a string or a function that finds it',
    ],
    [{ auth: { method: 'kubernetes', role: 'r', mount: 5 } }, 'options.auth.mount must be a string'],
    [{ auth: { ...AWS, role: 5 } }, 'options.auth.role must be a string'],
    [{ auth: { ...AWS, mount: 5 } }, 'options.auth.mount must be a string'],
    [{ auth: { ...AWS, region: 5 } }, 'options.auth.region must be a string'],
    [{ auth: { ...AWS, serverId: 5 } }, 'options.auth.serverId must be a string'],
    [{ events: { attempted: 5 } }, 'options.events.attempted must be a function'],
    [{ auth: { method: 'token', token: 'x', mount: 'x' } }, 'options.auth has no option mount'],
    [
      { auth: { method: 'approle', roleId: '' } },
      'auth.roleId must be 1 to 4096 printable ASCII characters without spaces',
    ],
    [{ auth: { method: 'approle', roleId: 'r', mount: '../x' } }, 'auth.mount is not a path such as approle'],
    [{ auth: { method: 'approle', roleId: 'r', secretId: '' } }, 'auth.secretId is empty'],
    [
      { auth: { method: 'kubernetes', role: '' } },
      'auth.role must be 1 to 4096 printable ASCII characters without spaces',
    ],
    [{ auth: { method: 'kubernetes', role: 'r', jwt: '' } }, 'auth.jwt is empty'],
    [
      { auth: { method: 'aws', role: 'r', serverId: 'a b', credentials: async () => ({}) } },
      'auth.serverId must be 1 to 4096 printable ASCII characters without spaces',
    ],
    [{ auth: 'token' }, 'options.auth must be an object'],
    [{ transitMount: `${'x'.repeat(256)}/${'x'.repeat(256)}` }, 'transitMount is not a path such as transit'],
    [{ auth: { method: 'aws', role: 'r' } }, 'options.auth.credentials must be credentials'],
    [
      { auth: { method: 'aws', role: 'r', region: 'x.evil/', credentials: async () => ({}) } },
      'auth.region is not the name of an AWS region',
    ],
  ])('rejects the options %j: %s', (changes, message) => {
    const isOfWrongType = message.startsWith('options.');
    expect(messageOf(changes)).toContain(isOfWrongType ? message : `Keyfold cannot start:\n- ${message}`);
    expect(isOfWrongType || messageOf(changes).endsWith(message)).toBe(true);
  });

  it.each([
    ['addresses', 'an array'],
    ['transitKey', 'a string'],
    ['transitMount', 'a string'],
    ['namespace', 'a string'],
    ['ca', 'a string'],
    ['requestTimeoutMs', 'a number'],
    ['failover', 'an object'],
    ['failover.maxRounds', 'a number'],
    ['failover.baseDelayMs', 'a number'],
    ['failover.longestDelayMs', 'a number'],
    ['failover.throttledDelayMs', 'a number'],
    ['failover.firstCoolDownMs', 'a number'],
    ['failover.longestCoolDownMs', 'a number'],
    ['failover.onKeyRefused', 'a string'],
    ['events', 'an object'],
  ])('refuses a value of the wrong type for the option %s, which must be %s', (name, type) => {
    const [option = '', member] = name.split('.');
    const wrong = type === 'a number' ? '5' : 5;
    const changes = { [option]: member === undefined ? wrong : { [member]: wrong } };
    expect(messageOf(changes)).toContain(`options.${name} must be ${type}`);
  });

  it.each([
    [{ auth: { method: 'aws', role: 'r', credentials: async () => ({}) } }],
    [{ auth: { method: 'aws', role: 'r', serverId: 'vault', credentials: async () => ({}) } }],
    [{ transitMount: `${'x'.repeat(256)}/${'x'.repeat(255)}` }],
    [{ failover: undefined }],
    [{ ca: rootCertificates.slice(0, 2).join('\n') }],
    [{ transitKey: 'x'.repeat(256) }],
    [{ auth: { method: 'token', token: '!'.repeat(4095) + '~' } }],
  ])('accepts the options %j', (changes) => {
    expect(messageOf(changes)).toBe('none');
  });

  it('uses the mount "transit" and lets an attempt take two seconds by default', () => {
    const given = { addresses: ['https://a.example.com'], transitKey: 'k', auth: TOKEN };
    const defaults = { transitMount: 'transit', requestTimeoutMs: 2000, failover: {} };
    expect(checkedVaultOptions(given)).toEqual({ ...given, ...defaults });
    const chosen = { transitMount: 'other', requestTimeoutMs: 1, failover: { maxRounds: 1 } };
    expect(checkedVaultOptions({ ...given, ...chosen })).toEqual({ ...given, ...chosen });
  });

  it('accepts an address with a path, which is part of its name', async () => {
    const kms = open({ addresses: [`${stub.url}/vault//`, stub.url] });
    const { host } = new URL(stub.url);
    expect(kms.regionStates().map(({ region }) => region)).toEqual([`${host}/vault`, host]);
    await kms.wrap(KEY, noDeadline());
    expect(stub.requests[0]?.path).toBe('/vault/v1/transit/encrypt/keyfold');
  });

  it('lists every invalid option', () => {
    const message = messageOf({ addresses: [], transitKey: '', requestTimeoutMs: 0, failover: { maxRounds: 0 } });
    expect(message).toMatch(/addresses is.*transitKey is.*requestTimeoutMs must.*maxRounds must/s);
  });

  it('refuses dependencies of the wrong type', () => {
    expect(() => new VaultKms(options(), {} as never)).toThrow('dependencies must be');
  });

  it('throws an error that does not contain the values of the options', () => {
    const secrets = { auth: { method: 'token', token: 'se cret' }, addresses: ['https://u:secretpw@h'], ca: 'private' };
    expect(messageOf(secrets)).not.toMatch(/se cret|secretpw|private/);
  });
});

function hostOf(url: string): string {
  return new URL(url).host;
}

/** The message of the error that options with these changes cause. */
function messageOf(changes: object): string {
  try {
    open(changes);
  } catch (error) {
    return (error as Error).message;
  }
  return 'none';
}
