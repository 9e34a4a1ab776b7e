import { createSecretKey, type KeyObject } from 'node:crypto';
import { open, seal } from '../crypto/aead.ts';
import type { KeyMeta } from '../records/ids.ts';
import { lengthPrefixed, u64 } from '../records/length-prefixed.ts';
import { rowProof } from '../records/row-proof.ts';
import type { EnvelopeKeyRecord, Erasure } from './ports.ts';
import type { KeyStanding } from './key-standing.ts';

/**
 * The plaintext of a System Key or an Intermediate Key. OpenSSL holds the bytes outside the JavaScript heap. JSON and
 * `inspect` show the id and the date of the key, never its bytes.
 */
export class EnvelopeKey {
  readonly standing: KeyStanding;
  /** The last known standing of the System Key above an Intermediate Key. Undefined for a System Key. */
  parent: KeyStanding | undefined;
  /** When the plaintext was loaded or made: the time in milliseconds on the `ages` clock. */
  readonly loadedAtMs: number;
  /** While the metastore is down, a key that is past its maximum age may serve until this time on the `ages` clock. */
  staleUntilMs = 0;
  readonly #secret: KeyObject;

  /** Takes ownership of the bytes, and zeroes them before returning. */
  constructor(bytes: Buffer, loadedAtMs: number, standing: KeyStanding, parent?: KeyStanding) {
    this.#secret = createSecretKey(bytes);
    bytes.fill(0);
    this.loadedAtMs = loadedAtMs;
    this.standing = standing;
    this.parent = parent;
  }

  /** Seals bytes under this key, as `seal` of crypto/aead.ts does. */
  seal(plaintext: Uint8Array): Buffer {
    return seal(this.#secret, plaintext);
  }

  /** Opens bytes that {@link EnvelopeKey.seal} sealed. Returns undefined if they do not open under this key. */
  open(sealed: Uint8Array): Buffer | undefined {
    return open(this.#secret, sealed);
  }

  /** Returns the proof, under this System Key, of an Intermediate Key's row. */
  proofOfRow(row: Omit<EnvelopeKeyRecord, 'revoked' | 'proof'>): Buffer {
    return rowProof(this.#secret, 'intermediate', { ...row, sealed: row.encryptedKey });
  }

  /** Returns the proof, under this System Key, of an erasure's mark in an Intermediate Key's row. */
  proofOfErasure(row: Omit<EnvelopeKeyRecord, 'revoked' | 'proof' | 'erased'>, { erase, at, due }: Erasure): Buffer {
    const sealed = Buffer.concat([lengthPrefixed(erase), u64(at), u64(due), row.encryptedKey]);
    return rowProof(this.#secret, 'erased', { ...row, sealed });
  }

  toJSON(): KeyMeta {
    return { id: this.standing.id, created: this.standing.created };
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `EnvelopeKey(${this.standing.id} created ${this.standing.created})`;
  }
}
