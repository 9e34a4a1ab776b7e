/**
 * Tests direct invocations whose responses are larger or deeper than a request may be. Decrypted fields make a document
 * larger and deeper.
 */
import { beforeEach, afterEach, expect, it, vi } from 'vitest';
import { FakeDependencies } from '../../support/fakes.ts';
import { openDirectDoor } from '../../support/direct-door.ts';
import { captureOutput } from '../../support/http-door.ts';
import { operate } from '../../support/operations.ts';

let world: FakeDependencies;

beforeEach(() => {
  world = new FakeDependencies();
  captureOutput();
});
afterEach(() => vi.restoreAllMocks());

/** Encrypts a value as a compact record. `text` is the exact JSON text of the value. */
async function sealedValue(text: string): Promise<string> {
  const answer = await operate(world.process()).answer('encrypt-fields', { documentText: text, fields: ['$'] });
  return JSON.parse(answer['documentText'] as string) as string;
}

/** Encrypts any string, and labels the compact record as a field's record. */
async function relabelled(text: string): Promise<string> {
  const plaintext = Buffer.from(text).toString('base64');
  const { record } = await operate(world.process()).answer('encrypt', { plaintext, format: 'compact' });
  return (record as string).replace('kf1.', 'kf1j.');
}

it.for([
  ['a string with an escape', '"\\\\"'],
  ['a string without escapes', '"plain"'],
  ['a number with a decimal point', '1.0'],
] as const)('decrypt-fields returns a deeply nested field unchanged if it contains %s', async ([, value]) => {
  const nested = '['.repeat(99) + value + ']'.repeat(99);
  const document = JSON.parse('['.repeat(98) + JSON.stringify(await sealedValue(nested)) + ']'.repeat(98)) as unknown;
  const event = { operation: 'decrypt-fields', partition: 'tenant-1', document, all: true };
  const { payload, error } = await openDirectDoor({ world })(event);
  expect(error).toBeUndefined();
  expect(payload).toBe(`{"document":${'['.repeat(98)}${nested}${']'.repeat(98)}}`);
});

it.for([
  ['a string has an escape', '"\\n"'],
  ['no string has an escape', '"n"'],
] as const)('decrypt-fields may return more values than a request may contain (%s)', async ([, value]) => {
  const field = `[${value}${',1.0'.repeat(60_000)}]`;
  const document = [await sealedValue(field), await sealedValue(field)];
  const event = { operation: 'decrypt-fields', partition: 'tenant-1', document, all: true };
  const { payload, error } = await openDirectDoor({ world })(event);
  expect(error).toBeUndefined();
  expect(payload === `{"document":[${field},${field}]}`).toBe(true);
});

it.for([
  ['a string has an escape', '{"a":"\\\\","a":1}'],
  ['no string has an escape', '{"a":0,"a":1}'],
] as const)(
  'decrypt-fields refuses to return an object with two members of one name, unless documentText is used (%s)',
  async ([, field]) => {
    const document = { field: await relabelled(field) };
    const about = { operation: 'decrypt-fields', partition: 'tenant-1', all: true };
    const { error } = await openDirectDoor({ world })({ ...about, document });
    expect(error).toMatchObject({
      errorType: 'InvalidRequest',
      errorMessage: 'The answer holds an object with two members of one name: ask for it as documentText.',
    });
    const text = await openDirectDoor({ world })({ ...about, documentText: JSON.stringify(document) });
    expect(JSON.parse(text.payload ?? '')).toEqual({ documentText: `{"field":${field}}` });
  },
);
