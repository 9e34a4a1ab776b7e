import { decodeBase64 } from '../envelope/base64.ts';

/** One region's wrap of the data key that seals a System Key. */
export interface RegionalKek {
  readonly region: string;
  /** The ARN of the key that wrapped it; where Asherah wrote it, whatever it was configured with. */
  readonly arn: string;
  readonly encryptedKek: Uint8Array;
}

/** The bytes behind a System Key's `Key` (wire-format.md, KMS envelope). */
export interface KekEnvelope {
  /** The System Key, sealed by the data key. */
  readonly encryptedKey: Uint8Array;
  /** In no order; a reader takes more than one of a region. */
  readonly kmsKeks: readonly RegionalKek[];
}

/** The envelope's bytes: JSON in UTF-8. */
export function encodeKekEnvelope(envelope: KekEnvelope): Buffer {
  const { encryptedKey, kmsKeks } = envelope;
  return Buffer.from(JSON.stringify({ encryptedKey: base64(encryptedKey), kmsKeks: kmsKeks.map(encodeKek) }));
}

/** Reads an envelope; undefined where the bytes are none. Entries and fields it does not know are passed over. */
export function decodeKekEnvelope(bytes: Uint8Array): KekEnvelope | undefined {
  const value = parse(bytes);
  const encryptedKey = base64Field(value, 'encryptedKey');
  const keks = value?.['kmsKeks'];
  if (encryptedKey === undefined || !Array.isArray(keks)) return undefined;
  return { encryptedKey, kmsKeks: keks.map(decodeKek).filter((kek) => kek !== undefined) };
}

/**
 * The envelope with these regions' wraps in the place of all that they had. The rest stays as it was written, with what we do
 * not know: another reader may.
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
  return { region, arn, encryptedKek };
}

function parse(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    return asObject(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
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
