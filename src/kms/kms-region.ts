import type { Deadline } from '../async/deadline.ts';

/** A data key wrapped by one region's KMS key. */
export interface Wrap {
  readonly wrapped: Uint8Array;
  /** The ARN of the KMS key that made the wrap, from the response of KMS. */
  readonly arn: string;
}

/**
 * KMS in one region. A method throws a `RegionFault` if the region fails, and the deadline's reason if the deadline has
 * passed. Callers are responsible for retries and failover. The caller owns every buffer with a plaintext key and must
 * zero it.
 */
export interface KmsRegion {
  readonly region: string;
  /** The configured KMS key: a key ARN or an alias ARN. */
  readonly keyArn: string;
  /** Generates a 256-bit data key. Returns its plaintext and its wrap by the configured KMS key. */
  generateDataKey(deadline: Deadline): Promise<Wrap & { plaintext: Buffer }>;
  /** Wraps a data key with the configured KMS key. */
  encrypt(plaintext: Uint8Array, deadline: Deadline): Promise<Wrap>;
  /**
   * Unwraps a data key.
   * @param keyId a key ARN or an alias ARN. If it is a key ARN, the response must show that KMS used this key. If
   * `keyId` is `undefined`, KMS uses the key that the ciphertext names.
   */
  decrypt(wrapped: Uint8Array, keyId: string | undefined, deadline: Deadline): Promise<Buffer>;
}
