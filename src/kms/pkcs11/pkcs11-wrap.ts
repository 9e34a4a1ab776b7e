import { decodeBase64 } from '../../crypto/base64.ts';
import { viewOf } from '../../input/checks.ts';
import { isKeyLabel, type Pkcs11Mechanism } from './pkcs11-options.ts';

/** A System Key that a token has wrapped. */
export interface Pkcs11Wrap {
  readonly mechanism: Pkcs11Mechanism;
  /** The label of the key that has wrapped it. */
  readonly keyLabel: string;
  /** With GCM, these bytes are the nonce of 12 bytes, the ciphertext and the tag of 16 bytes. */
  readonly bytes: Buffer;
}

export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
const MAX_WRAP_LENGTH = 1024;

const NAMES: Readonly<Record<Pkcs11Mechanism, string>> = { CKM_AES_GCM: 'gcm', CKM_AES_KEY_WRAP_PAD: 'kwp' };

/** Encodes a wrap as ASCII: `pkcs11:`, `gcm` or `kwp`, the percent-encoded label, and the bytes in base64. */
export function encodeWrap({ mechanism, keyLabel, bytes }: Pkcs11Wrap): Buffer {
  return Buffer.from(`pkcs11:${NAMES[mechanism]}:${encodeURIComponent(keyLabel)}:${bytes.toString('base64')}`);
}

/** Decodes a wrap. Undefined if the bytes are not a wrap. */
export function decodeWrap(wrapped: Uint8Array): Pkcs11Wrap | undefined {
  const text = viewOf(wrapped).toString('latin1', 0, MAX_WRAP_LENGTH + 1);
  const [, name, label = '', base64 = ''] = /^pkcs11:(gcm|kwp):([^:]+):([^:]+)$/.exec(text) ?? [];
  if (name === undefined || text.length > MAX_WRAP_LENGTH) return undefined;
  const bytes = decodeBase64(base64);
  const keyLabel = labelOf(label);
  if (bytes === undefined || keyLabel === undefined) return undefined;
  const isGcm = name === 'gcm';
  const isWhole = isGcm ? bytes.length > NONCE_BYTES + TAG_BYTES : bytes.length >= 16 && bytes.length % 8 === 0;
  return isWhole ? { mechanism: isGcm ? 'CKM_AES_GCM' : 'CKM_AES_KEY_WRAP_PAD', keyLabel, bytes } : undefined;
}

function labelOf(encoded: string): string | undefined {
  try {
    const label = decodeURIComponent(encoded);
    return isKeyLabel(label) ? label : undefined;
  } catch {
    return undefined;
  }
}
