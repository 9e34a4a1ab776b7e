import { isUint8Array } from 'node:util/types';
import type { Deadline, KeyManagementService, Unwrapped } from '../../src/index.ts';

/** Wraps a key, and returns the wrapped key without the key for the row's proof. */
export async function wrappedBy(kms: KeyManagementService, key: Uint8Array, deadline: Deadline): Promise<Uint8Array> {
  const answer = await kms.wrap(key, deadline);
  return isUint8Array(answer) ? answer : answer.wrapped;
}

/** The key that a KMS has unwrapped. If it could not unwrap a key, the KMS's whole result. */
export async function keyOf(unwrapping: Promise<Unwrapped>): Promise<Buffer | Unwrapped> {
  const unwrapped = await unwrapping;
  return 'key' in unwrapped ? unwrapped.key : unwrapped;
}
