import { checkedKeyRecord, checkSeconds } from '../envelope/checked-ports.ts';
import { BYTES, check, STRING, viewOf } from '../input/checks.ts';
import type { EpochSeconds, KeyId } from '../records/ids.ts';
import type { EnvelopeKeyRecord, Metastore } from '../envelope/ports.ts';
import type { SystemKeyStore } from '../maintenance/system-key-maintenance.ts';

/**
 * For tests and trials: keeps key records in the memory of this process. When the process ends, the keys are lost.
 * Everything that was encrypted under them then stays unreadable.
 */
export class MemoryMetastore implements Metastore, SystemKeyStore {
  readonly #records = new Map<KeyId, Map<EpochSeconds, EnvelopeKeyRecord>>();

  async load(id: KeyId, created: EpochSeconds): Promise<EnvelopeKeyRecord | undefined> {
    check(id, 'id', STRING);
    checkSeconds(created, 'created');
    const stored = this.#records.get(id)?.get(created);
    return stored && copyOf(stored);
  }

  async loadLatest(id: KeyId): Promise<EnvelopeKeyRecord | undefined> {
    return (await this.rows(id))[0];
  }

  async loadRecent(id: KeyId, notAfter: EpochSeconds): Promise<EnvelopeKeyRecord[]> {
    checkSeconds(notAfter, 'notAfter');
    const rows = await this.rows(id);
    return rows.filter(({ created }) => created <= notAfter).slice(0, 10);
  }

  async rows(id: KeyId): Promise<EnvelopeKeyRecord[]> {
    check(id, 'id', STRING);
    const records = [...(this.#records.get(id)?.values() ?? [])].map(copyOf);
    return records.toSorted((a, b) => b.created - a.created);
  }

  async replaceKey(record: EnvelopeKeyRecord, encryptedKey: Uint8Array): Promise<'replaced' | 'changed'> {
    const { id, created, encryptedKey: expected } = checkedKeyRecord(record, 'record');
    check(encryptedKey, 'encryptedKey', BYTES);
    const present = this.#records.get(id)?.get(created);
    if (present === undefined || Buffer.compare(present.encryptedKey, expected) !== 0) return 'changed';
    this.#records.get(id)?.set(created, copyOf({ ...present, encryptedKey }));
    return 'replaced';
  }

  async store(record: EnvelopeKeyRecord): Promise<'stored' | 'duplicate'> {
    const given = checkedKeyRecord(record, 'record');
    const ofId = this.#records.get(given.id) ?? new Map<EpochSeconds, EnvelopeKeyRecord>();
    if (ofId.has(given.created)) return 'duplicate';
    this.#records.set(given.id, ofId.set(given.created, copyOf(given)));
    return 'stored';
  }
}

/** Copies a record. If a caller changes their record later, the stored record stays the same. */
function copyOf(record: EnvelopeKeyRecord): EnvelopeKeyRecord {
  const { encryptedKey, parent, proof, erased } = record;
  return {
    ...record,
    encryptedKey: Buffer.from(viewOf(encryptedKey)),
    ...(parent && { parent: { ...parent } }),
    ...(proof && { proof: Buffer.from(viewOf(proof)) }),
    ...(erased && { erased: { ...erased, proof: Buffer.from(viewOf(erased.proof)) } }),
  };
}
