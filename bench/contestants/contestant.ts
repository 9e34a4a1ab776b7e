/** What a contestant in Node can do. What `encrypt` gives is what `decrypt` takes. */
export interface Contestant<Sealed = unknown> {
  encrypt(plaintext: Buffer): Sealed | Promise<Sealed>;
  decrypt(sealed: Sealed): Uint8Array | Promise<Uint8Array>;
}

/** All contestants, by the name that tables and budgets have. */
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
