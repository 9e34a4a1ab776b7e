/** A contestant that runs in Node. Its `decrypt` takes the output of its `encrypt`. */
export interface Contestant<Sealed = unknown> {
  encrypt(plaintext: Buffer): Sealed | Promise<Sealed>;
  decrypt(sealed: Sealed): Uint8Array | Promise<Uint8Array>;
}

/** All contestants, keyed by their names in the tables and budgets. */
export const CONTESTANTS = [
  'floor',
  'Keyfold, library',
  'Asherah Rust',
  'Asherah Rust crate',
  'Asherah Go',
  'jose',
  'AWS Encryption SDK, tuned',
  'AWS Encryption SDK',
  'KMS for each item',
] as const;

export type ContestantName = (typeof CONTESTANTS)[number];
