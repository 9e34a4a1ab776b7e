import assert from 'node:assert/strict';
import type { EnvelopeKeyRecord } from '../envelope/ports.ts';

/** Checks that a row stays the same if a caller changes the record that they have loaded. */
export async function mustKeep(
  stored: EnvelopeKeyRecord,
  load: () => Promise<EnvelopeKeyRecord | undefined>,
): Promise<void> {
  const loaded = await load();
  mustEqual(loaded, stored);
  loaded?.encryptedKey.fill(0);
  loaded?.proof?.fill(0);
  Object.assign(loaded ?? {}, { revoked: !stored.revoked });
  Object.assign(loaded?.parent ?? {}, { created: 1 });
  mustEqual(await load(), stored);
}

/** Checks that a loaded record has the same members as the expected record. Bytes may be any kind of Uint8Array. */
export function mustEqual(loaded: EnvelopeKeyRecord | undefined, expected: EnvelopeKeyRecord | undefined): void {
  assert.deepEqual(plain(loaded), plain(expected));
}

function plain(record: EnvelopeKeyRecord | undefined): object | undefined {
  if (record === undefined) return undefined;
  const { id, created, encryptedKey, parent, proof, revoked } = record;
  return {
    id,
    created,
    encryptedKey: Buffer.from(encryptedKey).toString('base64'),
    parent: parent && { id: parent.id, created: parent.created },
    proof: proof && Buffer.from(proof).toString('base64'),
    revoked,
  };
}
