import { createHash, createHmac, type BinaryLike, type Hash, type Hmac } from 'node:crypto';

/**
 * SHA-256, or HMAC-SHA-256 for a secret, in the form that the SDK's signer expects. The signer passes strings and
 * bytes.
 */
export class Sha256 {
  readonly #hash: Hash | Hmac;

  constructor(secret?: unknown) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', secret as BinaryLike);
  }

  update(data: unknown): void {
    this.#hash.update(data as BinaryLike);
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
}
