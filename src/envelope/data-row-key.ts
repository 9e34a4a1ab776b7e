import { createSecretKey, type KeyObject } from 'node:crypto';
import { seal } from '../crypto/aead.ts';
import type { DataRowKeyBounds } from './crypto-policy.ts';
import { secondsOf } from '../records/ids.ts';
import { encodeRecordKey, encodeWithKey, type DataRowRecord } from '../records/data-row-record.ts';
import type { EnvelopeKey } from './envelope-key.ts';
import { freeNow } from '../crypto/free-now.ts';
import { fillRandom, KEY_BYTES } from '../crypto/random.ts';

/** Holds a new key's bytes until OpenSSL does. Nothing waits in between, and it is zero before and after. */
const fresh = Buffer.allocUnsafeSlow(KEY_BYTES).fill(0);

/** A Data Row Key that seals: in the clear, and sealed by its Intermediate Key for the records to carry. */
export class DataRowKey {
  readonly #secret: KeyObject;
  readonly #inRecord: DataRowRecord['key'];
  #inJson: string | undefined;

  /** Makes a new one under an Intermediate Key. */
  constructor(parent: EnvelopeKey, nowMs: number) {
    fillRandom(fresh, 0, KEY_BYTES);
    try {
      this.#secret = createSecretKey(fresh);
      const encryptedKey = parent.seal(fresh);
      this.#inRecord = { created: secondsOf(nowMs), encryptedKey, parent: parent.toJSON() };
    } finally {
      fresh.fill(0);
    }
  }

  /** A record of a payload, which stays the caller's. The record is the caller's, too: whatever he does to it, others of this key stay as they are. */
  seal(plaintext: Uint8Array): DataRowRecord {
    const { created, encryptedKey, parent } = this.#inRecord;
    const key = { created, encryptedKey: Buffer.from(encryptedKey), parent: { ...parent } };
    return { key, data: seal(this.#secret, plaintext) };
  }

  /** As {@link seal}, to the record's JSON text. */
  sealToJson(plaintext: Uint8Array): string {
    this.#inJson ??= encodeRecordKey(this.#inRecord);
    const data = seal(this.#secret, plaintext);
    const text = encodeWithKey(this.#inJson, data);
    freeNow(data);
    return text;
  }
}

/**
 * Lets the records of one partition share a Data Row Key within bounds. Each still opens by itself, here and in Asherah; whoever has
 * that one key in the clear can open all of them (docs/threat-model.md). The key is never used beyond the Intermediate Key that it was made
 * under: when that is retired, so is this.
 */
export class SharedDataRowKey {
  readonly #bounds: DataRowKeyBounds;
  #key: DataRowKey | undefined;
  #parent: EnvelopeKey | undefined;
  #madeAtMs = 0;
  #messages = 0;
  #bytes = 0;

  constructor(bounds: DataRowKeyBounds) {
    this.#bounds = bounds;
  }

  /**
   * The key that is to seal so many bytes under an Intermediate Key that may seal: the one that there is, or a new one.
   * @param agedMs the time on the clock of ages
   */
  take(parent: EnvelopeKey, sizeBytes: number, nowMs: number, agedMs: number): DataRowKey {
    const key =
      this.#key !== undefined && this.#fits(parent, sizeBytes, agedMs) ? this.#key : this.#renew(parent, nowMs, agedMs);
    this.#messages += 1;
    this.#bytes += sizeBytes;
    return key;
  }

  #fits(parent: EnvelopeKey, sizeBytes: number, agedMs: number): boolean {
    const { dataRowKeyMaxMessages, dataRowKeyMaxBytes, dataRowKeyMaxAgeMs } = this.#bounds;
    return (
      parent === this.#parent &&
      this.#messages < dataRowKeyMaxMessages &&
      this.#bytes + sizeBytes <= dataRowKeyMaxBytes &&
      agedMs - this.#madeAtMs < dataRowKeyMaxAgeMs
    );
  }

  #renew(parent: EnvelopeKey, nowMs: number, agedMs: number): DataRowKey {
    const key = new DataRowKey(parent, nowMs);
    this.#key = key;
    this.#parent = parent;
    this.#madeAtMs = agedMs;
    this.#messages = 0;
    this.#bytes = 0;
    return key;
  }
}
