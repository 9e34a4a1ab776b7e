import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { isUint8Array } from 'node:util/types';
import { KEY_BYTES, randomKeyBytes } from '../crypto/random.ts';
import type { KeyManagementService, RowProofBasis, Wrapped } from '../envelope/ports.ts';
import { KeyfoldError, type ErrorCode } from '../errors.ts';
import { mustFailWith, type Opener } from './contract-case.ts';
import { noDeadline } from '../async/deadline.ts';

/** Bytes that the service cannot have returned as a wrap: too short, not text, or the text of another service. */
export const FOREIGN: readonly Uint8Array[] = [
  Uint8Array.of(),
  Uint8Array.of(0),
  Uint8Array.from({ length: 200 }, (_, i) => i),
  Uint8Array.from(Buffer.from('{"wrapped":"by another service"}')),
];

/** The maximum number of changed wraps that a case tries, because each call may cost money. */
const MAX_CHANGES = 128;

/** The maximum number of bytes that Node shows of a Buffer: see `buffer.INSPECT_MAX_BYTES`. */
const SHOWN_BUFFER_BYTES = 50;

/** Wraps a key without a deadline. */
export async function wrap(kms: KeyManagementService, key: Uint8Array): Promise<Wrapped> {
  const answer = await kms.wrap(key, noDeadline());
  return isUint8Array(answer) ? { wrapped: answer } : answer;
}

/** Returns the key that a wrap contains, in the memory that the plug-in returned. */
export async function keyIn(kms: KeyManagementService, wrapped: Uint8Array): Promise<Buffer> {
  const unwrapped = await kms.unwrap(wrapped, noDeadline());
  assert.ok('key' in unwrapped, 'the wrap must unwrap');
  assert.ok(isUint8Array(unwrapped.key), 'the key must be a Buffer');
  return Buffer.from(unwrapped.key.buffer, unwrapped.key.byteOffset, unwrapped.key.byteLength);
}

/** Checks that a KMS unwraps bytes to this key, and that it returns this basis for the proof of the key's row. */
export async function mustUnwrapTo(
  kms: KeyManagementService,
  wrapped: Uint8Array,
  key: Buffer,
  rowProof: RowProofBasis | undefined,
): Promise<void> {
  const unwrapped = await kms.unwrap(wrapped, noDeadline());
  assert.ok('key' in unwrapped, 'the wrap must unwrap');
  assert.deepEqual(Buffer.from(unwrapped.key), key);
  assert.deepEqual(basisOf(unwrapped.rowProof), basisOf(rowProof));
  if (rowProof === undefined) return;
  assert.equal(rowProof.key.length, KEY_BYTES, 'the key of a basis has 32 bytes');
  assert.notDeepEqual(Buffer.from(rowProof.key), key, 'the key of a basis must not be the System Key');
}

function basisOf(basis: RowProofBasis | undefined): { key: Buffer; sealed: Buffer } | undefined {
  return basis && { key: Buffer.from(basis.key), sealed: Buffer.from(basis.sealed) };
}

/** Copies of the wrap, each with one bit of a different byte changed. There are at most 128 copies. */
export function flipped(wrapped: Uint8Array): Buffer[] {
  const count = Math.min(wrapped.length, MAX_CHANGES);
  return Array.from({ length: count }, (_, i) => {
    const changed = Buffer.from(wrapped);
    const at = Math.floor((i * wrapped.length) / count);
    changed[at] = (changed[at] ?? 0) ^ 1;
    return changed;
  });
}

/** Copies of the wrap with another length: three copies lack bytes, and one copy has one more byte. */
export function resized(wrapped: Uint8Array): Buffer[] {
  const whole = Buffer.from(wrapped);
  const cut = [whole.subarray(0, -1), whole.subarray(1), whole.subarray(0, whole.length / 2)];
  return [...cut, Buffer.concat([whole, Buffer.from('A')])];
}

/** Checks that a text for an operator or a caller contains none of these bytes. */
export function mustNotShow(said: unknown, secrets: readonly Uint8Array[]): void {
  const text = inspect(said, { depth: 10, maxArrayLength: null, maxStringLength: null });
  // Node puts the numbers of a long list into columns, so remove the white space.
  const compact = text.replace(/\s/g, '');
  for (const secret of secrets.map((bytes) => Buffer.from(bytes))) {
    const asBuffer = secret.toString('hex', 0, SHOWN_BUFFER_BYTES);
    const forms = [
      secret.toString('latin1'),
      secret.toString('base64').replace(/=+$/, ''),
      secret.toString('base64url'),
      secret.toString('hex'),
      asBuffer.replace(/..(?!$)/g, '$& '),
      secret.join(','),
    ];
    const shown = forms.find((form) => form.length >= 8 && (text.includes(form) || compact.includes(form)));
    assert.equal(shown, undefined, 'no error and no reason may contain a key or a wrap');
  }
}

/** Bytes as a view in the middle of a larger array, as callers may pass them. */
export function asView(bytes: Uint8Array): Uint8Array {
  const larger = new Uint8Array(bytes.length + 40).fill(0xa5);
  larger.set(bytes, 24);
  return larger.subarray(24, 24 + bytes.length);
}

/** Checks the reason that a KMS gives for bytes that it can never unwrap. */
export function mustBeReason(unreadable: unknown): void {
  assert.ok(typeof unreadable === 'string' && unreadable !== '', 'unreadable must be a reason');
}

/** The outcome of unwrapping changed bytes. @throws Error if they unwrap to another key, or reject with another code */
export async function outcomeOf(kms: KeyManagementService, changed: Uint8Array, key: Buffer): Promise<string> {
  try {
    const unwrapped = await kms.unwrap(changed, noDeadline());
    if (!('key' in unwrapped)) {
      mustBeReason(unwrapped.unreadable);
      mustNotShow(unwrapped.unreadable, [key, changed]);
      return 'unreadable';
    }
    assert.deepEqual(Buffer.from(unwrapped.key), key, 'changed bytes must not unwrap to another key');
    return 'opened';
  } catch (cause) {
    if (!(cause instanceof KeyfoldError && cause.code === 'KmsMisconfigured')) throw cause;
    mustNotShow(cause, [key, changed]);
    return 'refused';
  }
}

/** Checks that wrap and unwrap reject with one of these codes, and that the errors show neither a key nor a wrap. */
export async function mustRefuse(
  open: Opener<KeyManagementService>,
  openRefusing: Opener<KeyManagementService>,
  codes: readonly ErrorCode[],
): Promise<void> {
  const key = randomKeyBytes();
  const { wrapped } = await wrap(await open(), key);
  const kms = await openRefusing();
  const errors = [
    await mustFailWith(kms.wrap(key, noDeadline()), 'wrap', codes),
    await mustFailWith(kms.unwrap(wrapped, noDeadline()), 'unwrap', codes),
  ];
  for (const error of errors) mustNotShow(error, [key, wrapped]);
}
