/** Tests responses that a real KMS never sends: responses that name another key, and incomplete responses. */
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { Agent } from 'node:https';
import { KMSClient } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { close, listen } from '../../../emulators/listen.ts';
import { RegionalKms } from '../../../src/kms/regional-kms.ts';
import { errorOf, noDeadline } from '../../support/fakes.ts';
import { OtherSignal } from '../../support/other-signal.ts';

const OURS = 'arn:aws:kms:us-west-2:111122223333:key/11111111-2222-3333-4444-555555555555';
const ALIAS = 'arn:aws:kms:us-west-2:111122223333:alias/keyfold';
const OTHER_OF_OURS = OURS.replace('key/1', 'key/9');
const STRANGERS = OURS.replace('111122223333', '999999999999');
const WHOLE = { KeyId: OURS, Plaintext: Buffer.alloc(32, 7).toString('base64'), CiphertextBlob: 'YWJj' };

let server: Server;
let endpoint: string;
let answer: object;
let status = 200;
let stalls = false;
let requests = 0;

beforeAll(async () => {
  server = createServer((request, response) => {
    requests += 1;
    request.resume();
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' });
    if (stalls) response.write('{');
    else response.end(JSON.stringify(answer));
  });
  endpoint = `http://127.0.0.1:${await listen(server, 0)}`;
});
afterAll(() => close(server));

function connect(keyArn: string, requestTimeoutMs = 1000, url: string | undefined = endpoint): RegionalKms {
  const timeouts = { connectionTimeoutMs: 1000, requestTimeoutMs };
  const accounts = new Set(['111122223333']);
  return new RegionalKms({ region: 'us-west-2', keyArn, accounts, timeouts, endpoint: url });
}

const ACTIONS = {
  GenerateDataKey: (keyArn: string, deadline = noDeadline()) => connect(keyArn).generateDataKey(deadline),
  Encrypt: (keyArn: string, deadline = noDeadline()) => connect(keyArn).encrypt(Buffer.alloc(32), deadline),
  Decrypt: (keyArn: string, deadline = noDeadline()) => connect(keyArn).decrypt(Buffer.from('abc'), keyArn, deadline),
};

describe.for(Object.entries(ACTIONS))('a response to %s', ([action, act]) => {
  it('is no longer awaited after the deadline, and its connection is closed', async () => {
    stalls = true;
    const controller = new AbortController();
    const reason = new Error('time is up');
    const asked = once(server, 'request') as Promise<[unknown, ServerResponse]>;
    const failed = errorOf(act(OURS, { ...noDeadline(), signal: controller.signal }));
    const [, response] = await asked;
    const closed = once(response, 'close');
    controller.abort(reason);
    expect(await failed).toBe(reason);
    await closed;
    stalls = false;
  });

  it('is accepted if it is complete and names the requested key or the key behind the alias', async () => {
    answer = WHOLE;
    expect(await act(OURS)).toBeDefined();
    expect(await act(ALIAS)).toBeDefined();
  });

  it.for([
    [
      'names a key of another account instead of the requested key',
      OURS,
      { KeyId: STRANGERS },
      'corrupt',
      'KeyOfAnotherAccount',
    ],
    [
      'names a key of another account instead of the key of the requested alias',
      ALIAS,
      { KeyId: STRANGERS },
      'corrupt',
      'KeyOfAnotherAccount',
    ],
    ['names the requested alias instead of its key', ALIAS, { KeyId: ALIAS }, 'corrupt', 'KeyOfAnotherAccount'],
    ['names another key of the same account', OURS, { KeyId: OTHER_OF_OURS }, 'corrupt', 'AnotherKeyUsed'],
    ['names no key', OURS, { KeyId: undefined }, 'unavailable', 'IncompleteAnswer'],
  ] as const)('is refused if it %s', async ([, keyArn, change, faultClass, errorName]) => {
    answer = { ...WHOLE, ...change };
    expect(await errorOf(act(keyArn))).toMatchObject({ region: 'us-west-2', action, faultClass, errorName });
  });
});

it.for([
  ['GenerateDataKey', 'no plaintext', { Plaintext: undefined }],
  ['GenerateDataKey', 'a plaintext of 16 bytes', { Plaintext: Buffer.alloc(16).toString('base64') }],
  ['GenerateDataKey', 'no ciphertext', { CiphertextBlob: undefined }],
  ['GenerateDataKey', 'an empty ciphertext', { CiphertextBlob: '' }],
  ['Encrypt', 'no ciphertext', { CiphertextBlob: undefined }],
  ['Encrypt', 'an empty ciphertext', { CiphertextBlob: '' }],
] as const)('a response to %s with %s makes the region count as unavailable', async ([action, , change]) => {
  answer = { ...WHOLE, ...change };
  expect(await errorOf(ACTIONS[action](OURS))).toMatchObject({
    faultClass: 'unavailable',
    action,
    errorName: 'IncompleteAnswer',
  });
});

it.for(['GenerateDataKey', 'Decrypt'] as const)(
  'a plaintext that %s returns after the deadline is zeroed',
  async (action) => {
    const Plaintext = Buffer.alloc(32, 7);
    const late = Promise.withResolvers<object>();
    const send = vi.spyOn(KMSClient.prototype, 'send').mockReturnValue(late.promise as never);
    const controller = new AbortController();
    const deadline = { ...noDeadline(), signal: controller.signal };
    const region = connect(OURS);
    const reason = new Error('time is up');
    const asked =
      action === 'Decrypt' ? region.decrypt(Buffer.from('abc'), OURS, deadline) : region.generateDataKey(deadline);
    const failed = errorOf(asked);
    controller.abort(reason);
    late.resolve({ ...WHOLE, CiphertextBlob: Buffer.from('abc'), Plaintext });
    expect(await failed).toBe(reason);
    await new Promise(setImmediate);
    expect(Plaintext).toEqual(Buffer.alloc(32));
    send.mockRestore();
  },
);

it('each call of RegionalKms opens a new connection', async () => {
  answer = WHOLE;
  let opened = 0;
  const count = (): void => void (opened += 1);
  server.on('connection', count);
  const region = connect(OURS);
  for (let i = 0; i < 2; i += 1) await region.decrypt(Buffer.from('abc'), OURS, noDeadline());
  server.off('connection', count);
  expect(opened).toBe(2);
});

it('RegionalKms keeps no connection to AWS', async () => {
  const keepsAlive: unknown[] = [];
  const opening = vi.spyOn(Agent.prototype, 'createConnection').mockImplementation(function (this: Agent) {
    keepsAlive.push(this.options.keepAlive);
    throw new Error('there is no network');
  });
  await errorOf(connect(OURS, 1000, 'https://127.0.0.1:1').encrypt(Buffer.alloc(32), noDeadline()));
  opening.mockRestore();
  expect(keepsAlive).toEqual([false]);
});

it('the plaintext in a response is zeroed if Keyfold refuses the KMS key that the response names', async () => {
  for (const action of ['GenerateDataKey', 'Decrypt'] as const) {
    const Plaintext = Buffer.alloc(32, 7);
    const refused = { KeyId: STRANGERS, CiphertextBlob: Buffer.from('abc'), Plaintext };
    const send = vi.spyOn(KMSClient.prototype, 'send').mockResolvedValue(refused as never);
    expect(await errorOf(ACTIONS[action](OURS))).toMatchObject({ errorName: 'KeyOfAnotherAccount' });
    send.mockRestore();
    expect(Plaintext).toEqual(Buffer.alloc(32));
  }
});

it('RegionalKms.decrypt accepts wraps up to the maximum length that KMS accepts', async () => {
  answer = WHOLE;
  expect(await connect(OURS).decrypt(Buffer.alloc(6144), OURS, noDeadline())).toHaveLength(32);
});

it('RegionalKms does not send a request again if the region fails or its response stalls', async () => {
  answer = { __type: 'KMSInternalException' };
  for (const [given, isStalling] of [
    [500, false],
    [200, true],
  ] as const) {
    [status, stalls, requests] = [given, isStalling, 0];
    const failed = errorOf(connect(OURS, 100).encrypt(Buffer.alloc(32), noDeadline()));
    expect(await failed).toMatchObject({ faultClass: 'unavailable' });
    expect(requests).toBe(1);
  }
  [status, stalls] = [200, false];
});

it("RegionalKms accepts a signal from a polyfill, and ends a call with the signal's reason", async () => {
  answer = WHOLE;
  const signal = new OtherSignal();
  const deadline = { ...noDeadline(), signal };
  expect(await connect(OURS).decrypt(Buffer.from('abc'), OURS, deadline)).toHaveLength(32);
  stalls = true;
  const ended = errorOf(connect(OURS, 60_000).decrypt(Buffer.from('abc'), OURS, deadline));
  const sent = requests;
  await vi.waitFor(() => expect(requests).toBeGreaterThan(sent));
  signal.abort('gone');
  expect(await ended).toBe('gone');
  stalls = false;
  expect(await errorOf(connect(OURS).decrypt(Buffer.from('abc'), OURS, deadline))).toBe('gone');
});
