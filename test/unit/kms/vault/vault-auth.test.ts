import { createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Attempt } from '../../../../src/index.ts';
import { FAILOVER_DEPENDENCIES } from '../../../../src/kms/failover.ts';
import { authOf } from '../../../../src/kms/vault/configured-vault.ts';
import { VaultKms, type VaultAuth } from '../../../../src/kms/vault/index.ts';
import { loginBody, secretOf } from '../../../../src/kms/vault/vault-auth.ts';
import { VaultHttp, type VaultAnswer } from '../../../../src/kms/vault/vault-http.ts';
import { VaultToken } from '../../../../src/kms/vault/vault-token.ts';
import { HandClock, noDeadline } from '../../../../src/testing/index.ts';
import { errorOf } from '../../../support/fakes.ts';
import { StubCluster, StubVault } from '../../../support/stub-vault.ts';

const KEY = Buffer.alloc(32, 9);
const HOUR_MS = 3_600_000;
const APPROLE: VaultAuth = { method: 'approle', roleId: 'role-id', secretId: 'secret-id' };
const IDENTITY = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'aws-secret', sessionToken: 'aws-session' };

let cluster: StubCluster;
let stub: StubVault;
let clock: HandClock;
let attempts: Attempt[];

beforeEach(async () => {
  cluster = new StubCluster();
  stub = await StubVault.start(cluster);
  clock = new HandClock();
  attempts = [];
});
afterEach(() => stub.stop());

/** Vault's text for an STS error. */
function stsError(code: string): string {
  return `received error code 403 from STS: <ErrorResponse><Error><Code>${code}</Code></Error></ErrorResponse>`;
}

function open(auth: VaultAuth): VaultKms {
  const events = { attempted: (attempt: Attempt): void => void attempts.push(attempt) };
  const options = { addresses: [stub.url], transitKey: 'keyfold', auth, failover: { maxRounds: 1 }, events };
  return new VaultKms(options, { ...FAILOVER_DEPENDENCIES, now: clock.now });
}

const wrap = (kms: VaultKms): Promise<Uint8Array> => kms.wrap(KEY, noDeadline());
const ENCRYPT = 'transit/encrypt/keyfold';
const LOGIN = 'auth/approle/login';
const RENEW = 'auth/token/renew-self';

describe('the login to Vault', () => {
  it.each<[string, VaultAuth, string, object]>([
    ['by AppRole', APPROLE, 'auth/approle/login', { role_id: 'role-id', secret_id: 'secret-id' }],
    ['by AppRole without a secret ID', { method: 'approle', roleId: 'r' }, 'auth/approle/login', { role_id: 'r' }],
    [
      'by Kubernetes, with another mount and a token from a function,',
      { method: 'kubernetes', role: 'orders', jwt: async () => 'service.account.token\n', mount: 'clusters/eu' },
      'auth/clusters/eu/login',
      { role: 'orders', jwt: 'service.account.token' },
    ],
  ])('%s sends the request that Vault expects, and only once for many calls', async (_name, auth, path, body) => {
    const kms = open(auth);
    await Promise.all([wrap(kms), wrap(kms), wrap(kms)]);
    await wrap(kms);
    expect(stub.requests[0]).toMatchObject({ path: `/v1/${path}`, body });
    expect(stub.requests[0]?.headers).not.toHaveProperty('x-vault-token');
    expect(stub.requests[1]?.headers).toMatchObject({ 'x-vault-token': 'issued-1' });
    expect(stub.takePaths()).toEqual([path, ENCRYPT, ENCRYPT, ENCRYPT, ENCRYPT]);
  });

  it.each([
    ['without a region', 'sts.amazonaws.com', {}, 'us-east-1'],
    ['in eu-west-1', 'sts.eu-west-1.amazonaws.com', { region: 'eu-west-1' }, 'eu-west-1'],
    ['in cn-north-1', 'sts.cn-north-1.amazonaws.com.cn', { region: 'cn-north-1' }, 'cn-north-1'],
  ])('by AWS %s signs a GetCallerIdentity request for %s', async (_label, host, changes, region) => {
    await wrap(
      open({ method: 'aws', role: 'orders', credentials: async () => IDENTITY, serverId: 'vault', ...changes }),
    );
    const { path, body } = stub.requests[0] ?? {};
    const text = (name: string): string => Buffer.from(String(body?.[name]), 'base64').toString();
    expect([path, body?.['role'], body?.['iam_http_request_method']]).toEqual(['/v1/auth/aws/login', 'orders', 'POST']);
    expect(text('iam_request_url')).toBe(`https://${host}/`);
    expect(text('iam_request_body')).toBe('Action=GetCallerIdentity&Version=2011-06-15');
    const headers = JSON.parse(text('iam_request_headers')) as Record<string, string>;
    expect(headers).toMatchObject({
      host,
      'x-amz-date': new Date(clock.now()).toISOString().replace(/[-:]|\.\d+/g, ''),
      'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
      'x-vault-aws-iam-server-id': 'vault',
      'x-amz-security-token': 'aws-session',
    });
    expect(headers['authorization']).toContain('x-vault-aws-iam-server-id');
    expect(headers['authorization']).toContain(signatureOf(headers, text('iam_request_body'), region));
    expect(JSON.stringify(body)).not.toContain('aws-secret');
  });

  it('by AWS sends no header for the server ID if no server ID is set', async () => {
    await wrap(open({ method: 'aws', role: 'orders', credentials: IDENTITY }));
    const headers = Buffer.from(String(stub.requests[0]?.body['iam_request_headers']), 'base64').toString();
    expect(Object.keys(JSON.parse(headers) as object).toSorted()).toEqual([
      'authorization',
      'content-type',
      'host',
      'x-amz-content-sha256',
      'x-amz-date',
      'x-amz-security-token',
    ]);
  });

  it.each<[string, VaultAuth]>([
    ['AWS', { method: 'aws', role: 'r', credentials: () => Promise.reject(new Error('hush-hush')) }],
    ['AWS without an identity', { method: 'aws', role: 'r', credentials: async () => ({}) as typeof IDENTITY }],
    ['AppRole', { method: 'approle', roleId: 'r', secretId: () => Promise.reject(new Error('hush-hush')) }],
    ['AppRole with a number', { method: 'approle', roleId: 'r', secretId: () => 7 as never }],
    [
      'AppRole with an error that is a string',
      { method: 'approle', roleId: 'r', secretId: () => Promise.reject('hush-hush') },
    ],
    ['AppRole with a blank secret ID', { method: 'approle', roleId: 'r', secretId: () => ' \n' }],
    ['Kubernetes outside a pod', { method: 'kubernetes', role: 'r' }],
    ['a token', { method: 'token', token: () => Promise.reject(new Error('hush-hush')) }],
  ])(
    'fails with KmsMisconfigured, and shows no error of the caller, if there are no credentials: %s',
    async (_name, auth) => {
      const error = await errorOf(wrap(open(auth)));
      expect(error).toMatchObject({ code: 'KmsMisconfigured', message: expect.stringContaining('NoCredentials') });
      expect(inspect([error, attempts], { depth: 10 })).not.toContain('hush-hush');
      expect(stub.requests).toEqual([]);
    },
  );

  it('fails with KmsMisconfigured if Vault refuses the login, and shows no secret', async () => {
    cluster.loginRefusal = 'invalid role or secret ID';
    const error = await errorOf(wrap(open(APPROLE)));
    expect(error).toMatchObject({ code: 'KmsMisconfigured', message: expect.stringContaining('LoginRefused') });
    expect(inspect([error, attempts], { depth: 10 })).not.toMatch(/secret-id|role-id/);
  });

  // The texts come from path_login.go of Vault's AWS auth method.
  it.for([
    ['KmsUnavailable', 'StsRefused', stsError('SignatureDoesNotMatch')],
    ['KmsUnavailable', 'StsRefused', stsError('ExpiredToken')],
    ['KmsUnavailable', 'StsUnavailable', stsError('Throttling')],
    ['KmsUnavailable', 'StsUnavailable', 'received error code 503 from STS: <html>'],
    ['KmsUnavailable', 'StsUnavailable', 'received error code 429 from STS: '],
    ['KmsUnavailable', 'StsUnavailable', 'error making request: Post "https://sts.amazonaws.com/": EOF'],
    ['KmsMisconfigured', 'LoginRefused', stsError('AccessDenied')],
    ['KmsMisconfigured', 'LoginRefused', 'received error code 400 from STS: '],
  ])('with AWS credentials fails with %s (%s) if Vault reports: %s', async ([code, name, text]) => {
    cluster.loginRefusal = `error making upstream request: ${text}`;
    const error = await errorOf(wrap(open({ method: 'aws', role: 'orders', credentials: IDENTITY })));
    expect(error).toMatchObject({ code, message: expect.stringContaining(`(${name})`) as string });
  });

  it.for([
    ['ECONNRESET', { code: 'ECONNRESET' }],
    ['ThrottlingException', { name: 'ThrottlingException' }],
    ['ExpiredToken', { name: 'ExpiredToken' }],
    ['the status 503', { $metadata: { httpStatusCode: 503 } }],
    ['no connection for fetch', { cause: { code: 'UND_ERR_CONNECT_TIMEOUT' } }],
    ['a connection that fetch found closed', { cause: { code: 'UND_ERR_SOCKET' } }],
    ['no headers for fetch', { cause: { cause: { code: 'UND_ERR_HEADERS_TIMEOUT' } } }],
    ['no body for fetch', { code: 'UND_ERR_BODY_TIMEOUT' }],
    ['no file descriptor', { code: 'EMFILE' }],
  ] as const)("by AWS fails with KmsUnavailable if the caller's function fails temporarily (%s)", async ([, about]) => {
    const fault = Object.assign(new Error('hush-hush'), about);
    const credentials = (): Promise<never> => Promise.reject(fault);
    const error = await errorOf(wrap(open({ method: 'aws', role: 'r', credentials })));
    expect(error).toMatchObject({
      code: 'KmsUnavailable',
      message: expect.stringContaining('NoCredentials') as string,
    });
    expect(inspect([error, attempts], { depth: 10 })).not.toContain('hush-hush');
  });

  it.for([undefined, '', 'hush\nhush', 'hush hush', 7])(
    'fails with KmsUnavailable if Vault returns the invalid token %j',
    async (client_token) => {
      cluster.issue = () => ({ client_token, lease_duration: 60, renewable: true });
      const error = await errorOf(wrap(open(APPROLE)));
      expect(error).toMatchObject({
        code: 'KmsUnavailable',
        message: expect.stringContaining('(IncompleteAnswer)') as string,
      });
      expect(inspect([error, attempts], { depth: 10 })).not.toContain('hush');
      expect(stub.takePaths()).toEqual([LOGIN]);
    },
  );

  it('fails with KmsUnavailable if Vault is sealed', async () => {
    await stub.befall('sealed');
    expect(await errorOf(wrap(open(APPROLE)))).toMatchObject({ code: 'KmsUnavailable' });
  });
});

it('the login by Kubernetes reads the token of the pod from the file that Kubernetes mounts', async () => {
  const path = '/var/run/secrets/kubernetes.io/serviceaccount/token';
  expect(await errorOf(loginBody({ method: 'kubernetes', role: 'r' }, new Date()))).toMatchObject({ path });
});

it('a function that returns no secret or no credentials causes a TypeError that shows no value', async () => {
  const secret = new TypeError('A function of options.auth has not returned a secret.');
  for (const wrong of ['', ' ', 'a b', 7, undefined]) {
    expect(await errorOf(secretOf(() => wrong as string))).toEqual(secret);
  }
  const none = new TypeError('options.auth.credentials must return credentials.');
  for (const wrong of [undefined, null, 'x', {}]) {
    const credentials = async (): Promise<never> => wrong as never;
    expect(await errorOf(loginBody({ method: 'aws', role: 'r', credentials }, new Date()))).toEqual(none);
  }
});

it('the login settings become the auth option of VaultKms, which reads its secrets from files', async () => {
  const file = { secretFile: import.meta.filename };
  const [found, mount] = [expect.any(Function) as () => Promise<string>, 'm'];
  const auths = [
    authOf({ method: 'token', ...file }),
    authOf({ method: 'approle', role: 'r', mount, ...file }),
    authOf({ method: 'kubernetes', role: 'r', mount, ...file }),
  ];
  expect(auths).toEqual([
    { method: 'token', token: found },
    { method: 'approle', roleId: 'r', secretId: found, mount },
    { method: 'kubernetes', role: 'r', jwt: found, mount },
  ]);
  const secrets = auths.flatMap((auth) => Object.values(auth).filter((value) => typeof value === 'function'));
  const text = readFileSync(import.meta.filename, 'utf8');
  expect(await Promise.all(secrets.map((secret) => secret() as Promise<string>))).toEqual([text, text, text]);
  expect(authOf({ method: 'token' })).toEqual({ method: 'token', token: '' });
  expect(authOf({ method: 'approle' })).toEqual({ method: 'approle', roleId: '' });
  expect(authOf({ method: 'kubernetes', role: 'r' })).toEqual({ method: 'kubernetes', role: 'r' });
  const aws = { role: 'r', mount, region: 'eu-west-1', serverId: 's' };
  expect(authOf({ method: 'aws', ...aws })).toEqual({ method: 'aws', ...aws, credentials: found });
});

/** The token of an address whose responses a test gives, in order. The token of login number n is `issued-n`. */
function tokenWith(auth: VaultAuth, ...answers: (VaultAnswer | Error)[]): { token: VaultToken; posted: string[] } {
  const posted: string[] = [];
  const post: VaultHttp['post'] = async (path, token) => {
    posted.push(`${path} ${token}`);
    const answer = answers.shift() ?? new Error('no more answers');
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { token: new VaultToken('vault', auth, { post } as VaultHttp, clock.now, 1000), posted };
}

function issued(n: number, seconds = 3600, renewable: unknown = true): VaultAnswer {
  return { status: 200, body: { auth: { client_token: `issued-${n}`, lease_duration: seconds, renewable } } };
}

describe('the token from Vault', () => {
  it('is renewed from the moment at which two thirds of its lease have passed until the lease ends', async () => {
    const { token, posted } = tokenWith(APPROLE, issued(1), issued(1), issued(2));
    const getAt = async (ms: number): Promise<string> => {
      clock.nowMs = sinceMs + ms;
      return token.get('Encrypt', noDeadline());
    };
    let sinceMs = clock.now();
    expect([await getAt(0), await getAt(2_399_999)]).toEqual(['issued-1', 'issued-1']);
    expect(posted.splice(0)).toEqual([`${LOGIN} undefined`]);
    expect(await getAt(2_400_000)).toBe('issued-1');
    expect(posted.splice(0)).toEqual([`${RENEW} issued-1`]);
    sinceMs = clock.now();
    expect(await getAt(3_600_000)).toBe('issued-2');
    expect(posted).toEqual([`${LOGIN} undefined`]);
  });

  it.for([
    [1800, 'issued-1'],
    [1799, 'issued-2'],
  ] as const)(
    'that expires in an hour is kept only if Vault renews it for at least half an hour (%i seconds: %s)',
    async ([seconds, value]) => {
      const { token } = tokenWith(APPROLE, issued(1), issued(1, seconds), issued(2));
      await token.get('Encrypt', noDeadline());
      clock.advance(3_599_999);
      expect(await token.get('Encrypt', noDeadline())).toBe(value);
    },
  );

  it.for([false, 'true', null])(
    'is not renewed if the member renewable of the login response is %j',
    async (renewable) => {
      const { token, posted } = tokenWith(APPROLE, issued(1, 3600, renewable), issued(2));
      await token.get('Encrypt', noDeadline());
      clock.advance(3_599_999);
      expect(await token.get('Encrypt', noDeadline())).toBe('issued-2');
      expect(posted).toEqual([`${LOGIN} undefined`, `${LOGIN} undefined`]);
    },
  );

  it('is used until it expires if the renewal gets no response', async () => {
    const lost = new Error('lost');
    const { token, posted } = tokenWith(APPROLE, issued(1), lost, lost, issued(2));
    await token.get('Encrypt', noDeadline());
    clock.advance(3_000_000);
    for (const ms of [0, 599_999]) {
      clock.advance(ms);
      expect(await token.get('Encrypt', noDeadline())).toBe('issued-1');
    }
    clock.advance(1);
    expect(await token.get('Encrypt', noDeadline())).toBe('issued-2');
    expect(posted).toEqual([`${LOGIN} undefined`, `${RENEW} issued-1`, `${RENEW} issued-1`, `${LOGIN} undefined`]);
  });

  it('fails with DeadlineExceeded if the function that returns the token does not respond in time', async () => {
    const { token } = tokenWith({ method: 'token', token: () => new Promise(() => {}) });
    expect(await errorOf(token.get('Encrypt', noDeadline()))).toMatchObject({ code: 'DeadlineExceeded' });
  });

  it('is renewed when two thirds of its lease have passed', async () => {
    const kms = open(APPROLE);
    await wrap(kms);
    clock.advance(0.6 * HOUR_MS);
    await wrap(kms);
    clock.advance(0.1 * HOUR_MS);
    await wrap(kms);
    clock.advance(0.6 * HOUR_MS);
    await wrap(kms);
    expect(stub.takePaths()).toEqual([LOGIN, ENCRYPT, ENCRYPT, RENEW, ENCRYPT, ENCRYPT]);
  });

  it('is replaced without being used if it expired while the process was frozen', async () => {
    const kms = open(APPROLE);
    await wrap(kms);
    clock.advance(2 * HOUR_MS);
    cluster.tokens.clear();
    await wrap(kms);
    expect(stub.takePaths()).toEqual([LOGIN, ENCRYPT, LOGIN, ENCRYPT]);
  });

  it('is replaced if it cannot be renewed, or can be renewed only for a short time', async () => {
    cluster.renewedSeconds = 1200;
    const kms = open(APPROLE);
    await wrap(kms);
    clock.advance(0.7 * HOUR_MS);
    cluster.renewable = false;
    await wrap(kms);
    clock.advance(0.7 * HOUR_MS);
    await wrap(kms);
    expect(stub.takePaths()).toEqual([LOGIN, ENCRYPT, RENEW, LOGIN, ENCRYPT, LOGIN, ENCRYPT]);
  });

  it.for([307, 412, 429, 473, 500, 503])(
    'is used until it expires if Vault responds to the renewal with %d',
    async (status) => {
      const kms = open(APPROLE);
      await wrap(kms);
      clock.advance(0.7 * HOUR_MS);
      cluster.renewalStatus = status;
      cluster.loginRefusal = 'invalid role or secret ID';
      await wrap(kms);
      expect(stub.takePaths()).toEqual([LOGIN, ENCRYPT, RENEW, ENCRYPT]);
    },
  );

  it.for([
    ['cannot be renewed', { renewable: false }, []],
    ['is renewed only for a short time', { renewedSeconds: 1200 }, [RENEW]],
  ] as const)('is used until it expires if it %s and the next login fails', async ([, change, renewals]) => {
    Object.assign(cluster, change);
    const kms = open(APPROLE);
    await wrap(kms);
    clock.advance(0.7 * HOUR_MS);
    cluster.loginRefusal = 'invalid role or secret ID';
    await wrap(kms);
    expect(stub.takePaths()).toEqual([LOGIN, ENCRYPT, ...renewals, LOGIN, ENCRYPT]);
    clock.advance(0.4 * HOUR_MS);
    expect(await errorOf(wrap(kms))).toMatchObject({ code: 'KmsMisconfigured' });
    expect(stub.takePaths()).toEqual([LOGIN]);
  });

  it('is replaced once if Vault refuses it before it expires', async () => {
    const kms = open(APPROLE);
    await wrap(kms);
    cluster.tokens.clear();
    await wrap(kms);
    expect(stub.takePaths()).toEqual([LOGIN, ENCRYPT, ENCRYPT, LOGIN, ENCRYPT]);
    await stub.befall('403');
    expect(await errorOf(wrap(kms))).toMatchObject({ code: 'KmsMisconfigured' });
    expect(stub.takePaths()).toEqual([ENCRYPT, LOGIN, ENCRYPT]);
  });

  it.for<[string, unknown]>([
    ['0', 0],
    ['negative', -1],
    ['a string', '3600'],
    ['absent', undefined],
  ])('does not expire if its lease is %s', async ([, lease]) => {
    cluster.leaseSeconds = lease as number;
    const kms = open(APPROLE);
    await wrap(kms);
    clock.advance(1000 * HOUR_MS);
    await wrap(kms);
    expect(stub.takePaths()).toEqual([LOGIN, ENCRYPT, ENCRYPT]);
  });

  it('keeps a new lease that is half as long as the first, and is renewed again during the new lease', async () => {
    cluster.renewedSeconds = 1800;
    const kms = open(APPROLE);
    await wrap(kms);
    for (const hours of [0.7, 0.3, 0.05]) {
      clock.advance(hours * HOUR_MS);
      await wrap(kms);
    }
    expect(stub.takePaths()).toEqual([LOGIN, ENCRYPT, RENEW, ENCRYPT, ENCRYPT, RENEW, ENCRYPT]);
  });

  it.for([400, 403])('is replaced if Vault responds to the renewal with %d', async (status) => {
    const kms = open(APPROLE);
    await wrap(kms);
    clock.advance(0.7 * HOUR_MS);
    cluster.renewalStatus = status;
    await wrap(kms);
    expect(stub.takePaths()).toEqual([LOGIN, ENCRYPT, RENEW, LOGIN, ENCRYPT]);
  });

  it('is requested from the token function only once, and once more for each token that Vault refuses', async () => {
    const tokens = ['a', 'b', 'c'];
    const auth = { method: 'token', token: () => tokens.shift() ?? '' } as const;
    const token = new VaultToken('vault', auth, new VaultHttp(stub.url, undefined, undefined), clock.now, 1000);
    const get = (refused?: string): Promise<string> => token.get('Encrypt', noDeadline(), refused);
    expect([await get(), await get(), await get('a'), await get('a'), await get()]).toEqual(['a', 'a', 'b', 'b', 'b']);
    clock.advance(1000 * HOUR_MS);
    expect(await get()).toBe('b');
  });

  it('is replaced if the clock has stepped back to before the login', async () => {
    const kms = open(APPROLE);
    await wrap(kms);
    clock.advance(-HOUR_MS);
    await wrap(kms);
    expect(stub.takePaths()).toEqual([LOGIN, ENCRYPT, LOGIN, ENCRYPT]);
  });

  it('is requested again from the token function after Vault has refused it', async () => {
    const tokens = ['old', 'fixed'];
    await wrap(open({ method: 'token', token: () => tokens.shift() ?? '' }));
    expect(stub.takePaths()).toEqual([ENCRYPT, ENCRYPT]);
    expect(await errorOf(wrap(open({ method: 'token', token: 'old' })))).toMatchObject({ code: 'KmsMisconfigured' });
    expect(stub.takePaths()).toEqual([ENCRYPT]);
  });
});

/** The signature of a request by AWS Signature Version 4, computed from its specification. */
function signatureOf(headers: Record<string, string>, body: string, region: string): string {
  const [, names = ''] = /SignedHeaders=([^,]+)/.exec(headers['authorization'] ?? '') ?? [];
  const canonicalHeaders = names.split(';').map((name) => `${name}:${headers[name]}\n`);
  const canonical = ['POST', '/', '', canonicalHeaders.join(''), names, hash(body)].join('\n');
  const date = headers['x-amz-date'] ?? '';
  const scope = [date.slice(0, 8), region, 'sts', 'aws4_request'];
  const key = scope.reduce<string | Buffer>(hmac, `AWS4${IDENTITY.secretAccessKey}`);
  return hmac(key, ['AWS4-HMAC-SHA256', date, scope.join('/'), hash(canonical)].join('\n')).toString('hex');
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
