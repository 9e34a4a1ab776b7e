import type { Deadline } from '../async/deadline.ts';

/** A data key wrapped by one region's KMS key. */
export interface Wrap {
  readonly wrapped: Uint8Array;
  /** The ARN of the key that wrapped it, as KMS told it. */
  readonly arn: string;
}

/**
 * KMS in one region. Each method makes one call and throws a RegionFault, or the deadline's reason: who tries again,
 * and where, is decided above. Buffers with a plaintext key are the caller's, who zeroes them.
 */
export interface KmsRegion {
  readonly region: string;
  /** What the region is configured with: a key ARN or an alias ARN. */
  readonly keyArn: string;
  /** A new data key of 256 bits, in the clear and wrapped by the configured key, whose ARN KMS tells. */
  generateDataKey(deadline: Deadline): Promise<Wrap & { plaintext: Buffer }>;
  /** Wraps a data key under the configured key, whose ARN KMS tells. */
  encrypt(plaintext: Uint8Array, deadline: Deadline): Promise<Wrap>;
  /**
   * Unwraps a data key.
   * @param keyId the key to use: a key ARN, which KMS must then say it used; an alias; or undefined, for the key that
   * the ciphertext itself names
   */
  decrypt(wrapped: Uint8Array, keyId: string | undefined, deadline: Deadline): Promise<Buffer>;
}
