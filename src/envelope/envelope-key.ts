import { createSecretKey, type KeyObject } from 'node:crypto';
import { open, seal } from '../crypto/aead.ts';
import type { KeyMeta } from '../records/ids.ts';
import type { KeyStanding } from './key-standing.ts';

/**
 * A decrypted System Key or Intermediate Key. OpenSSL keeps its bytes outside the JavaScript heap. JSON and `inspect` show only its id
 * and creation time.
 */
export class EnvelopeKey {
  readonly standing: KeyStanding;
  /** The standing of the System Key above an Intermediate Key. It is replaced when the System Key is loaded again. */
  parent: KeyStanding | undefined;
  /** When the key was decrypted or made, on the clock of ages. */
  readonly loadedAtMs: number;
  /** Until when the key is used past its maximum age, because the metastore has just failed; on the clock of ages. */
  staleUntilMs = 0;
  readonly #secret: KeyObject;

  /** @param bytes of the key. The constructor zeroes them. */
  constructor(bytes: Buffer, loadedAtMs: number, standing: KeyStanding, parent?: KeyStanding) {
    this.#secret = createSecretKey(bytes);
    bytes.fill(0);
    this.loadedAtMs = loadedAtMs;
    this.standing = standing;
    this.parent = parent;
  }

  /** See {@link seal}. */
  seal(plaintext: Uint8Array): Buffer {
    return seal(this.#secret, plaintext);
  }

  /** See {@link open}. */
  open(sealed: Uint8Array): Buffer | undefined {
    return open(this.#secret, sealed);
  }

  toJSON(): KeyMeta {
    return { id: this.standing.id, created: this.standing.created };
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `EnvelopeKey(${this.standing.id} created ${this.standing.created})`;
  }
}
