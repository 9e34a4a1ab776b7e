import type { EpochSeconds, KeyId } from '../envelope/ids.ts';
import type { EnvelopeKeyRecord, Metastore } from '../envelope/ports.ts';
import type { SystemKeyStore } from '../envelope/system-key-maintenance.ts';

/** Key records in this process's memory, for tests and trials: they are gone with it, and with them all they seal. */
export class MemoryMetastore implements Metastore, SystemKeyStore {
  readonly #records = new Map<KeyId, Map<EpochSeconds, EnvelopeKeyRecord>>();

  async load(id: KeyId, created: EpochSeconds): Promise<EnvelopeKeyRecord | undefined> {
    return this.#records.get(id)?.get(created);
  }

  async loadLatest(id: KeyId): Promise<EnvelopeKeyRecord | undefined> {
    return (await this.rows(id))[0];
  }

  async loadRecent(id: KeyId, notAfter: EpochSeconds): Promise<EnvelopeKeyRecord[]> {
    const rows = await this.rows(id);
    return rows.filter(({ created }) => created <= notAfter).slice(0, 10);
  }

  async rows(id: KeyId): Promise<EnvelopeKeyRecord[]> {
    const records = [...(this.#records.get(id)?.values() ?? [])];
    return records.toSorted((a, b) => b.created - a.created);
  }

  async replaceKey(record: EnvelopeKeyRecord, encryptedKey: Uint8Array): Promise<'replaced' | 'changed'> {
    const { id, created } = record;
    const present = this.#records.get(id)?.get(created);
    if (present === undefined || !Buffer.from(present.encryptedKey).equals(record.encryptedKey)) return 'changed';
    this.#records.get(id)?.set(created, { ...present, encryptedKey });
    return 'replaced';
  }

  async store(record: EnvelopeKeyRecord): Promise<'stored' | 'duplicate'> {
    const ofId = this.#records.get(record.id) ?? new Map<EpochSeconds, EnvelopeKeyRecord>();
    if (ofId.has(record.created)) return 'duplicate';
    this.#records.set(record.id, ofId.set(record.created, record));
    return 'stored';
  }
}
