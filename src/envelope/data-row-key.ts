import { createSecretKey, type KeyObject } from 'node:crypto';
import { seal } from '../crypto/aead.ts';
import type { DataRowKeyBounds } from './crypto-policy.ts';
import { secondsOf } from '../records/ids.ts';
import { encodeRecordKey, encodeWithKey, type DataRowRecord } from '../records/data-row-record.ts';
import type { EnvelopeKey } from './envelope-key.ts';
import { freeNow } from '../crypto/free-now.ts';
import { fillRandom, KEY_BYTES } from '../crypto/random.ts';

/** Receives the bytes of each new key until OpenSSL has them. The code that uses it is synchronous, and zeroes it afterwards. */
const fresh = Buffer.allocUnsafeSlow(KEY_BYTES).fill(0);

/** A Data Row Key to seal with, together with its encrypted form, which goes into the records. */
export class DataRowKey {
  readonly #secret: KeyObject;
  readonly #inRecord: DataRowRecord['key'];
  #inJson: string | undefined;

  /** Makes a new Data Row Key, sealed by an Intermediate Key. */
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

  /** Seals a payload, which stays the caller's. The record shares no buffer with other records of this key, so the caller may change it. */
  seal(plaintext: Uint8Array): DataRowRecord {
    const { created, encryptedKey, parent } = this.#inRecord;
    const key = { created, encryptedKey: Buffer.from(encryptedKey), parent: { ...parent } };
    return { key, data: seal(this.#secret, plaintext) };
  }

  /** As {@link seal}, but gives the record as JSON text. */
  sealToJson(plaintext: Uint8Array): string {
    this.#inJson ??= encodeRecordKey(this.#inRecord);
    const data = seal(this.#secret, plaintext);
    const text = encodeWithKey(this.#inJson, data);
    freeNow(data);
    return text;
  }
}

/**
 * Lets records of one partition share a Data Row Key, within limits. Each record still opens alone, in Keyfold and in Asherah. An attacker
 * who obtains the shared key can open all of these records (docs/threat-model.md). When the Intermediate Key that sealed the shared key is
 * replaced, a new Data Row Key is made.
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
   * The key to seal a payload of `sizeBytes`: the current one if its limits allow that, otherwise a new one.
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
