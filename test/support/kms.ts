import { isUint8Array } from 'node:util/types';
import type { Deadline, KeyManagementService, Unwrapped } from '../../src/index.ts';

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
