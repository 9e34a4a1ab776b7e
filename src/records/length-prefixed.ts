/**
 * Encodes an integer in 8 bytes, big endian. A negative integer, which no row should have, becomes its two's
 * complement.
 */
export function u64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
}

/**
 * Encodes bytes, or text in UTF-8, with their length in front of them. The length is 4 bytes, big endian. So the
 * boundaries of concatenated values stay unambiguous.
 */
export function lengthPrefixed(value: Uint8Array | string): Buffer {
  const sizeBytes = typeof value === 'string' ? Buffer.byteLength(value) : value.length;
  const bytes = Buffer.allocUnsafe(4 + sizeBytes);
  bytes.writeUInt32BE(sizeBytes);
  if (typeof value === 'string') bytes.write(value, 4);
  else bytes.set(value, 4);
  return bytes;
}
