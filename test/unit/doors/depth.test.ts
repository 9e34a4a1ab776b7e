/**
 * Sends values of the greatest allowed depth to every door. Code that visits every level must not use recursion,
 * because recursion would exhaust the stack.
 */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { isNestedTooDeeply } from '../../../src/records/json-depth.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { openDirectDoor } from '../../support/direct-door.ts';
import { captureOutput, openDoor, request } from '../../support/http-door.ts';
import { operate } from '../../support/operations.ts';
import { DEAD_LETTERS, FakeQueues, openQueueDoor, queueRecord } from '../../support/queue-door.ts';

const DEEP = '['.repeat(60_000) + ']'.repeat(60_000);
const DEEP_OBJECT = '{"a":'.repeat(60_000) + '1' + '}'.repeat(60_000);

let world: FakeDependencies;

beforeEach(() => {
  world = new FakeDependencies();
  captureOutput();
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** Sends a body through each door, and returns the error code of each response, if any. */
async function throughAllDoors(operation: string, body: string): Promise<Record<string, unknown>> {
  const { body: answer } = await openDoor({ world })(request(operation, body));
  const event = `{"operation":"${operation}","partition":"tenant-1",${body.slice(1)}`;
  const { error } = await openDirectDoor({ world })(event);
  const queues = new FakeQueues();
  const operations = ['encrypt', 'decrypt', 'rewrap', 'encrypt-fields', 'decrypt-fields', 'decrypt-batch'] as const;
  await openQueueDoor({ world, queues, config: { serves: { operations } } })([queueRecord('1', event)]);
  const [deadLetter] = queues.in(DEAD_LETTERS);
  return {
    http: answer['code'],
    direct: error?.errorType,
    queue: deadLetter?.attributes['keyfold-error-code']?.StringValue,
  };
}

function everywhere(code: string | undefined): Record<string, unknown> {
  return { http: code, direct: code, queue: code };
}

/** Encrypts bytes, and then changes the record's prefix to that of a field's record. */
async function relabelled(text: string): Promise<string> {
  const plaintext = Buffer.from(text).toString('base64');
  const { record } = await operate(world.process()).answer('encrypt', { plaintext, format: 'compact' });
  return (record as string).replace('kf1.', 'kf1j.');
}

it.for([
  ['a deep array', DEEP],
  ['a deep object', DEEP_OBJECT],
  ['a truncated array', DEEP.slice(0, 60_000)],
] as const)('every entry point refuses a record of %s if the record was relabelled as a field', async ([, text]) => {
  const field = await relabelled(text);
  const body = { document: { field }, all: true };
  expect(await throughAllDoors('decrypt-fields', JSON.stringify(body))).toEqual(everywhere('RecordUnreadable'));
  const asText = { documentText: JSON.stringify({ field }), fields: ['$.field'] };
  expect(await throughAllDoors('decrypt-fields', JSON.stringify(asText))).toEqual(everywhere('RecordUnreadable'));
});

it('every entry point encrypts and decrypts a field of the maximum depth', async () => {
  // The request object itself counts as a level.
  const document = '['.repeat(99) + '"]{"' + ']'.repeat(99);
  const answer = await operate(world.process()).ask('encrypt-fields', `{"document":${document},"fields":["$"]}`);
  const body = `{"document":[${answer.slice('{"document":'.length, -1)}],"all":true}`;
  expect(await throughAllDoors('decrypt-fields', body)).toEqual(everywhere(undefined));
});

it.for([
  ['encrypt-fields', 'a deep array as the document', `{"fields":["$"],"document":${DEEP}}`],
  ['encrypt-fields', 'a deep object as the document', `{"fields":["$"],"document":${DEEP_OBJECT}}`],
  ['encrypt-fields', 'a deep array as text', `{"fields":["$"],"documentText":${JSON.stringify(DEEP)}}`],
  ['encrypt-fields', 'a deep array as the fields', `{"fields":${DEEP},"document":1}`],
  ['decrypt-fields', 'a deep array as the document', `{"all":true,"document":${DEEP}}`],
  ['encrypt', 'a deep array as the plaintext', `{"plaintext":${DEEP}}`],
  ['decrypt', 'a deep object as the record', `{"record":${DEEP_OBJECT}}`],
  ['decrypt', 'a deep object as the key', `{"record":{"Key":${DEEP_OBJECT},"Data":""}}`],
  ['rewrap', 'a deep unknown member', `{"record":"eA==","more":${DEEP}}`],
] as const)('every entry point refuses %s with %s', async ([operation, , body]) => {
  expect(await throughAllDoors(operation, body)).toEqual(everywhere('InvalidRequest'));
});

it('every entry point ignores or refuses unknown members of a record, at any depth', async () => {
  const { record } = await operate(world.process()).answer('encrypt', { plaintext: '' });
  const body = JSON.stringify({ record }).replace('"Key":', `"more":${DEEP},"Key":`);
  for (const [operation, text] of [
    ['decrypt', body],
    ['rewrap', body],
    ['decrypt-batch', `{"items":[${body}]}`],
  ] as const) {
    const codes = Object.values(await throughAllDoors(operation, text));
    expect([undefined, 'InvalidRequest']).toEqual(expect.arrayContaining(codes));
  }
});

it.for([
  ['accepts many arrays beside each other', false, '[]'.repeat(1000)],
  ['accepts 100 levels', false, '['.repeat(100) + ']'.repeat(100)],
  ['refuses 101 levels', true, '['.repeat(101) + ']'.repeat(101)],
  ['does not count brackets in strings', false, JSON.stringify({ ['['.repeat(500)]: '\\"['.repeat(500) })],
  ['counts objects after a string of backslashes', true, `["\\\\",${'{"a":'.repeat(100)}1${'}'.repeat(100)}]`],
] as const)('isNestedTooDeeply %s', ([, isTooDeep, text]) => {
  expect(isNestedTooDeeply(text)).toBe(isTooDeep);
});
