import { createSecretKey, type KeyObject } from 'node:crypto';
import { open, seal } from '../crypto/aead.ts';
import type { KeyMeta } from '../records/ids.ts';
import type { KeyStanding } from './key-standing.ts';

/**
 * A System Key or an Intermediate Key in the clear. Its bytes are held by OpenSSL, off the JavaScript heap, and nothing
 * prints them: JSON and `inspect` show its id only.
 */
export class EnvelopeKey {
  readonly standing: KeyStanding;
  /** The System Key's standing, for an Intermediate Key; pointed to the newest reading of it. */
  parent: KeyStanding | undefined;
  /** When the plaintext came into memory, on the clock of ages. */
  readonly loadedAtMs: number;
  /** Until when the key serves past its maximum age, since the metastore has just failed to give it anew; on the clock of ages. */
  staleUntilMs = 0;
  readonly #secret: KeyObject;

  /** Takes the bytes over: they are zeroed before this returns. */
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
