import { expect, it } from 'vitest';
import { readBody } from '../../../src/doors/http-request.ts';
import type { OperationName } from '../../../src/operations/operation-name.ts';
import { PlaintextBody, RecordBody } from '../../../src/records/fast-paths.ts';

const PLAINTEXT = '{"plaintext":"aGVsbG8="}';
const RECORD =
  '{"record":{"Key":{"Created":1,"Key":"AAAA","ParentKeyMeta":{"KeyId":"_IK_a_b_c","Created":1}},"Data":"AAAA"}}';

async function valueOf(operation: OperationName, body: string): Promise<unknown> {
  const request = {
    method: 'POST',
    path: '/',
    pathInApi: undefined,
    matched: undefined,
    base: { stage: '', isCustomDomain: false },
    headers: { 'content-type': 'application/json' },
    body,
    isBase64Encoded: false,
    authorizer: {},
    isFunctionUrl: false,
    saysBase64: false,
  };
  return (await readBody(request, operation, 1000)).value;
}

it.for([
  ['encrypt', PLAINTEXT, PlaintextBody],
  ['decrypt', RECORD, RecordBody],
  ['rewrap', RECORD, RecordBody],
] as const)('the fast path reads the body of a request for %s', async ([operation, body, fast]) => {
  expect(await valueOf(operation, body)).toBeInstanceOf(fast);
});

it('a body that no fast path reads is parsed as JSON', async () => {
  expect(await valueOf('encrypt', RECORD)).toEqual(JSON.parse(RECORD));
  expect(await valueOf('decrypt-batch', PLAINTEXT)).toEqual(JSON.parse(PLAINTEXT));
});
