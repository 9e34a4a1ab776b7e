import { decodeBase64 } from '../crypto/base64.ts';
import { isNestedTooDeeply } from '../records/json-depth.ts';

/** One region's wrap of the data key that seals a System Key. */
export interface RegionalKek {
  readonly region: string;
  /**
   * The ARN of the KMS key that made the wrap. If Asherah made the wrap, this is the ARN or alias from Asherah's
   * configuration.
   */
  readonly arn: string;
  readonly encryptedKek: Uint8Array;
}

/** The content of the `Key` field of a System Key (docs/reference/formats.md, "KMS envelope"). */
export interface KekEnvelope {
  /** The System Key, sealed by the data key. */
  readonly encryptedKey: Uint8Array;
  /** The wraps, in no particular order. A region may have several. */
  readonly kmsKeks: readonly RegionalKek[];
}

/** The size of the largest DynamoDB item. */
const MAX_ENVELOPE_BYTES = 409_600;
/** The longest key id and the longest ciphertext that KMS accepts. */
const MAX_ARN_LENGTH = 2048;
const MAX_WRAP_BYTES = 6144;

/** Encodes an envelope as JSON in UTF-8. */
export function encodeKekEnvelope(envelope: KekEnvelope): Buffer {
  const { encryptedKey, kmsKeks } = envelope;
  return Buffer.from(JSON.stringify({ encryptedKey: base64(encryptedKey), kmsKeks: kmsKeks.map(encodeKek) }));
}

/**
 * Decodes an envelope. Returns `undefined` if the bytes are not an envelope. Ignores unknown fields, malformed entries
 * and entries that are too large for KMS.
 */
export function decodeKekEnvelope(bytes: Uint8Array): KekEnvelope | undefined {
  const value = parse(bytes);
  const encryptedKey = base64Field(value, 'encryptedKey');
  const keks = value?.['kmsKeks'];
  if (encryptedKey === undefined || !Array.isArray(keks)) return undefined;
  return { encryptedKey, kmsKeks: keks.map(decodeKek).filter((kek) => kek !== undefined) };
}

/**
 * Returns the envelope with `keks` in place of all earlier wraps by the same regions. Everything else stays unchanged,
 * even unknown fields, because other readers of the row may know them.
 */
export function replaceKeks(bytes: Uint8Array, keks: readonly RegionalKek[]): Buffer {
  const envelope = parse(bytes) ?? {};
  const replaced = new Set(keks.map(({ region }) => region));
  const present = Array.isArray(envelope['kmsKeks']) ? (envelope['kmsKeks'] as unknown[]) : [];
  const kept = present.filter((kek) => !replaced.has(asObject(kek)?.['region'] as string));
  return Buffer.from(JSON.stringify({ ...envelope, kmsKeks: [...kept, ...keks.map(encodeKek)] }));
}

function encodeKek({ region, arn, encryptedKek }: RegionalKek): object {
  return { region, arn, encryptedKek: base64(encryptedKek) };
}

function decodeKek(value: unknown): RegionalKek | undefined {
  const fields = asObject(value);
  const encryptedKek = base64Field(fields, 'encryptedKek');
  const region = fields?.['region'];
  const arn = fields?.['arn'];
  if (typeof region !== 'string' || typeof arn !== 'string' || encryptedKek === undefined) return undefined;
  if (arn.length > MAX_ARN_LENGTH || encryptedKek.length > MAX_WRAP_BYTES) return undefined;
  return { region, arn, encryptedKek };
}

function parse(bytes: Uint8Array): Record<string, unknown> | undefined {
  if (bytes.length > MAX_ENVELOPE_BYTES) return undefined;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return isNestedTooDeeply(text) ? undefined : asObject(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
}

function base64Field(fields: Record<string, unknown> | undefined, name: string): Buffer | undefined {
  const text = fields?.[name];
  return typeof text === 'string' ? decodeBase64(text) : undefined;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
