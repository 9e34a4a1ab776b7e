/** Tests, over HTTP, what RegionalKms does if KMS refuses a signature because of the clock or the credentials. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Credentials, Identity } from '../../../src/connections/sdk-client.ts';
import { RegionFault } from '../../../src/kms/region-fault.ts';
import { RegionalKms } from '../../../src/kms/regional-kms.ts';
import { errorOf, noDeadline } from '../../support/fakes.ts';
import { startStub, type StubAnswer, type StubServer } from '../../support/stub-server.ts';

const KEY = 'arn:aws:kms:us-west-2:111122223333:key/12345678-1234-1234-1234-123456789012';
const HOUR_MS = 3_600_000;
const PLAINTEXT = Buffer.alloc(32, 3);
let stub: StubServer;

afterEach(async () => {
  vi.unstubAllEnvs();
  await stub.stop();
});

function refusal(name: string, serverAheadMs = 0, status = 400): StubAnswer {
  const date = new Date(Date.now() + serverAheadMs).toUTCString();
  return { status, headers: { date, 'x-amzn-errortype': name }, body: `{"__type":"${name}","message":"CANARY"}` };
}

function opened(serverAheadMs = 0): StubAnswer {
  const date = new Date(Date.now() + serverAheadMs).toUTCString();
  return {
    status: 200,
    headers: { date },
    body: JSON.stringify({ KeyId: KEY, Plaintext: PLAINTEXT.toString('base64') }),
  };
}

async function regionOf(...answers: readonly StubAnswer[]): Promise<RegionalKms> {
  return regionWith(undefined, ...answers);
}

async function regionWith(
  credentials: Credentials | undefined,
  ...answers: readonly StubAnswer[]
): Promise<RegionalKms> {
  stub = await startStub(...answers);
  const timeouts = { connectionTimeoutMs: 5000, requestTimeoutMs: 5000 };
  return new RegionalKms({
    region: 'us-west-2',
    keyArn: KEY,
    accounts: new Set(['111122223333']),
    timeouts,
    endpoint: stub.url,
    credentials,
  });
}

const decrypt = (region: RegionalKms): Promise<Buffer> => region.decrypt(Buffer.from('wrap'), KEY, noDeadline());

/** The time at which a request was signed, according to its header, in milliseconds since 1970. */
function signedAtMs(i: number): number {
  const [, y, mo, d, h, mi, s] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(String(stub.requests[i]?.headers['x-amz-date'])) ?? [];
  return Date.UTC(Number(y), Number(mo) - 1, Number(d), Number(h), Number(mi), Number(s));
}

describe("a caller's wrong clock", () => {
  it.for([
    ['InvalidSignatureException', HOUR_MS, 400],
    ['RequestExpired', HOUR_MS, 400],
    ['RequestTimeTooSkewed', -HOUR_MS, 403],
    ['SignatureDoesNotMatch', -HOUR_MS, 403],
    ['AccessDeniedException', HOUR_MS, 400],
  ] as const)('is corrected after %s, and the request is sent once more', async ([name, aheadMs, status]) => {
    const region = await regionOf(refusal(name, aheadMs, status), opened(aheadMs));
    expect(await decrypt(region)).toEqual(PLAINTEXT);
    expect(stub.requests).toHaveLength(2);
    expect(Math.abs(signedAtMs(1) - (Date.now() + aheadMs))).toBeLessThan(HOUR_MS / 10);
  });

  it('stays corrected for later requests', async () => {
    const region = await regionOf(refusal('RequestExpired', HOUR_MS), opened(HOUR_MS));
    await decrypt(region);
    await decrypt(region);
    expect(stub.requests).toHaveLength(3);
    expect(signedAtMs(2) - Date.now()).toBeGreaterThan(HOUR_MS / 2);
  });

  it('makes the region count as unavailable if KMS also refuses the corrected request', async () => {
    const region = await regionOf(refusal('InvalidSignatureException', HOUR_MS));
    const fault = await errorOf(decrypt(region));
    expect(fault).toBeInstanceOf(RegionFault);
    expect(fault).toMatchObject({ faultClass: 'unavailable', errorName: 'InvalidSignatureException' });
    expect((fault as Error).message).not.toContain('CANARY');
    expect(stub.requests).toHaveLength(2);
  });

  it("is not assumed to be the cause of an AccessDeniedException if the response's date agrees with the caller's clock", async () => {
    const region = await regionOf(refusal('AccessDeniedException'));
    expect(await errorOf(decrypt(region))).toMatchObject({ faultClass: 'misconfigured' });
    expect(stub.requests).toHaveLength(1);
  });
});

describe("a caller's expired credentials", () => {
  it.for(['ExpiredTokenException', 'UnrecognizedClientException', 'InvalidClientTokenId'])(
    'are loaded again after %s',
    async (name) => {
      const region = await regionOf(opened(), refusal(name), opened());
      await decrypt(region);
      vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDRENEWED');
      expect(await decrypt(region)).toEqual(PLAINTEXT);
      expect(stub.requests.map(({ headers }) => headers.authorization?.includes('AKIDRENEWED/'))).toEqual([
        false,
        false,
        true,
      ]);
    },
  );

  it('are used once more if new credentials cannot be loaded', async () => {
    const provider = vi.fn<() => Promise<Identity>>().mockResolvedValue({ accessKeyId: 'a', secretAccessKey: 's' });
    const region = await regionWith(provider, opened(), refusal('ExpiredTokenException'), opened());
    await decrypt(region);
    provider.mockRejectedValueOnce(new Error('CANARY'));
    expect(await decrypt(region)).toEqual(PLAINTEXT);
    expect(provider).toHaveBeenCalledTimes(2);
  });

  it('do not delay a request beyond its deadline while new credentials load', async () => {
    const provider = vi.fn<() => Promise<Identity>>().mockResolvedValue({ accessKeyId: 'a', secretAccessKey: 's' });
    const region = await regionWith(provider, opened(), refusal('ExpiredTokenException'));
    await decrypt(region);
    const controller = new AbortController();
    const reason = new Error('time is up');
    provider.mockImplementation(() => {
      controller.abort(reason);
      return new Promise(() => {});
    });
    const deadline = { ...noDeadline(), signal: controller.signal };
    expect(await errorOf(region.decrypt(Buffer.from('wrap'), KEY, deadline))).toBe(reason);
  });

  it('make the region count as unavailable if KMS also refuses the new credentials', async () => {
    const region = await regionOf(refusal('ExpiredTokenException'));
    expect(await errorOf(decrypt(region))).toMatchObject({ faultClass: 'unavailable' });
    expect(stub.requests).toHaveLength(2);
  });
});

describe('a credential provider that fails', () => {
  it.for([
    ['ValidationError', 'misconfigured'],
    ['AccessDenied', 'misconfigured'],
    ['Throttling', 'unavailable'],
  ] as const)('with %s from STS makes the region count as %s', async ([name, faultClass]) => {
    const refused = Object.assign(new Error('CANARY'), {
      name,
      $fault: 'client',
      $metadata: { httpStatusCode: 400 },
    });
    const provider = vi.fn<() => Promise<Identity>>().mockRejectedValue(refused);
    const region = await regionWith(provider, opened());
    expect(await errorOf(decrypt(region))).toMatchObject({ faultClass, errorName: name });
    expect(stub.requests).toHaveLength(0);
    expect(provider).toHaveBeenCalledTimes(1);
  });
});

it('a credential provider whose own credentials have expired is called once more, with forceRefresh', async () => {
  const expired = Object.assign(new Error('CANARY'), { name: 'ExpiredTokenException', $fault: 'client' });
  const provider = vi.fn<() => Promise<Identity>>().mockRejectedValueOnce(expired);
  provider.mockResolvedValue({ accessKeyId: 'a', secretAccessKey: 's' });
  const region = await regionWith(provider, opened());
  expect(await decrypt(region)).toEqual(PLAINTEXT);
  const given = provider.mock.calls.map(([options]: readonly { readonly forceRefresh?: boolean }[]) => options);
  expect(given.map((options) => options?.forceRefresh)).toEqual([undefined, true]);
  await stub.stop();
  provider.mockRejectedValue(expired);
  expect(await errorOf(decrypt(await regionWith(provider, opened())))).toMatchObject({ faultClass: 'unavailable' });
});

describe('RegionalKms.decrypt', () => {
  it.for([KEY, 'alias/keyfold', undefined])('sends KMS the key ID that the caller gives (%s)', async (keyId) => {
    const region = await regionOf(opened());
    await region.decrypt(Buffer.from('wrap'), keyId, noDeadline());
    const CiphertextBlob = Buffer.from('wrap').toString('base64');
    expect(JSON.parse(stub.requests[0]?.body ?? '')).toEqual({ CiphertextBlob, ...(keyId && { KeyId: keyId }) });
  });

  it.for([
    ['an empty wrap', 0, KEY, 'WrapOfImpossibleSize'],
    ['a wrap that is too long', 6145, KEY, 'WrapOfImpossibleSize'],
    ['a key of another region', 10, KEY.replace('us-west-2', 'eu-west-1'), 'KeyOfAnotherRegion'],
    ['a key of another account', 10, KEY.replace('111122223333', '999999999999'), 'KeyOfAnotherAccount'],
  ] as const)('makes no call for %s, and reports the wrap as corrupt', async ([, length, keyId, errorName]) => {
    const region = await regionOf(opened());
    const fault = await errorOf(region.decrypt(Buffer.alloc(length), keyId, noDeadline()));
    expect(fault).toMatchObject({ region: 'us-west-2', action: 'Decrypt', faultClass: 'corrupt', errorName });
    expect(stub.requests).toHaveLength(0);
  });
});
