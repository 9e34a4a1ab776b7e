import http, { type ClientRequest } from 'node:http';
import { afterEach, expect, it, vi } from 'vitest';
import { FrozenConnection } from '../../../../src/connections/freeze-guard.ts';
import { VaultHttp } from '../../../../src/kms/vault/vault-http.ts';
import { errorOf } from '../../../support/fakes.ts';
import { startStub, type StubServer } from '../../../support/stub-server.ts';

const OK = { status: 200, body: '{"data":{}}' };
let stub: StubServer;

afterEach(async () => {
  vi.restoreAllMocks();
  await stub.stop();
});

it.for([
  ['again if the guard has ended its connection after a freeze', new FrozenConnection(), 2],
  ['once if its connection breaks for another reason', new Error('broken'), 1],
] as const)('VaultHttp sends a request %s', async ([, fault, requests]) => {
  stub = await startStub('hang', OK);
  const sent = vi.spyOn(http, 'request');
  const post = new VaultHttp(stub.url, undefined, undefined).post(
    'transit/encrypt/keyfold',
    'token',
    Buffer.from('{}'),
    new AbortController().signal,
  );
  const outcome = requests === 2 ? post : errorOf(post);
  await vi.waitFor(() => expect(stub.requests).toHaveLength(1));
  const { value } = sent.mock.results[0] as { readonly value: ClientRequest };
  value.socket?.destroy(fault);
  expect(await outcome).toEqual(requests === 2 ? { status: 200, body: { data: {} } } : fault);
  expect(stub.requests).toHaveLength(requests);
});
