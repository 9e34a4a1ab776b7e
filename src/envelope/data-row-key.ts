import { createSecretKey, type KeyObject } from 'node:crypto';
import { seal } from '../crypto/aead.ts';
import type { DataRowKeyBounds } from './crypto-policy.ts';
import { secondsOf } from '../records/ids.ts';
import { encodeRecordKey, encodeWithKey, type DataRowRecord } from '../records/data-row-record.ts';
import { recordProof, recordProofText, type Binding } from '../records/record-proof.ts';
import type { EnvelopeKey } from './envelope-key.ts';
import { freeNow } from '../crypto/free-now.ts';
import { fillRandom, KEY_BYTES } from '../crypto/random.ts';

/**
 * Holds the bytes of a new key until OpenSSL has copied them. One buffer is enough, because all use is synchronous. It
 * is all zeros before and after each use.
 */
const fresh = Buffer.allocUnsafeSlow(KEY_BYTES).fill(0);

/** A Data Row Key for new records: the plaintext key, and the key sealed under its Intermediate Key. */
export class DataRowKey {
  readonly #secret: KeyObject;
  readonly #inRecord: DataRowRecord['key'];
  #inJson: string | undefined;

  /** Makes a random key and seals it under an Intermediate Key. */
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

  /**
   * Seals a payload, without changing it. The caller owns the record, which shares no memory with other records of this
   * key.
   * @param binding the place of the record. Undefined for a record without a proof.
   */
  seal(plaintext: Uint8Array, binding?: Binding): DataRowRecord {
    const { created, encryptedKey, parent } = this.#inRecord;
    const key = { created, encryptedKey: Buffer.from(encryptedKey), parent: { ...parent } };
    const data = seal(this.#secret, plaintext);
    return binding === undefined ? { key, data } : { key, proof: recordProof(this.#secret, binding, data), data };
  }

  /** Seals a payload like {@link seal}, and returns the record as JSON text. */
  sealToJson(plaintext: Uint8Array, binding?: Binding): string {
    this.#inJson ??= encodeRecordKey(this.#inRecord);
    const data = seal(this.#secret, plaintext);
    const proofText = binding && recordProofText(this.#secret, binding, data, 'base64');
    const text = encodeWithKey(this.#inJson, data, proofText);
    freeNow(data);
    return text;
  }
}

/**
 * Lets several records of one partition share a Data Row Key, within limits. Keyfold and Asherah can still open each
 * record separately. An attacker who has the plaintext of the shared key can open all records under it
 * (docs/explanation/threat-model.md). A new Intermediate Key always gets a new Data Row Key.
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
   * Returns the key that seals the next payload, and counts the payload. The key is new if the old one would exceed a
   * limit.
   * @param parent the Intermediate Key. The caller has checked that it may seal.
   * @param sizeBytes the size of the payload
   * @param nowMs the date of a new key
   * @param agedMs the current time on the `ages` clock, which never goes back
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
