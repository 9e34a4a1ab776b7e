import { isUint8Array } from 'node:util/types';
import type { Deadline, KeyManagementService, Unwrapped, WrapRenewer } from '../../src/index.ts';
import { errorOf, noDeadline } from './fakes.ts';

/** Returns only the wrapped key. Some KMSs also return a key for the proof of the key's row. */
export async function wrappedBy(kms: KeyManagementService, key: Uint8Array, deadline: Deadline): Promise<Uint8Array> {
  const answer = await kms.wrap(key, deadline);
  return isUint8Array(answer) ? answer : answer.wrapped;
}

/** Returns the key that a KMS has unwrapped, or the KMS's whole result if it could not unwrap the key. */
export async function keyOf(unwrapping: Promise<Unwrapped>): Promise<Buffer | Unwrapped> {
  const unwrapped = await unwrapping;
  return 'key' in unwrapped ? unwrapped.key : unwrapped;
}

/** Passes text to each method that expects bytes. Returns the first words of each error, which name the parameter. */
export async function refusalsOfText(kms: KeyManagementService & WrapRenewer): Promise<string[]> {
  const calls = (['wrap', 'unwrap', 'renew'] as const).map((method) => kms[method]('text' as never, noDeadline()));
  const errors = await Promise.all(calls.map((call) => errorOf(call)));
  return errors.map((error) => String(error).replace(/ whose .*/, ''));
}

/** What {@link refusalsOfText} returns for a KMS that checks its arguments. */
export const REFUSALS_OF_TEXT = ['key', 'wrapped', 'wrapped'].map((name) => `TypeError: ${name} must be a Uint8Array`);
