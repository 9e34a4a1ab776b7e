/** For fewer bytes than this, freeing them immediately costs more than leaving them to the garbage collector. */
const MIN_BYTES = 256;

/**
 * Frees the memory of an array immediately. Only the owner of the whole buffer may call this, because it empties every
 * view of the buffer. It does not zero the bytes.
 *
 * V8 counts the external memory that waits to be freed, and collects its whole heap each time the count is high. This
 * function prevents such collections. The function does nothing for a small array, for a part of a larger buffer, and
 * in Node 20, which lacks `ArrayBuffer.transfer`.
 */
export function freeNow({ buffer, length }: Uint8Array): void {
  if (length >= MIN_BYTES && length === buffer.byteLength && 'transfer' in buffer) buffer.transfer(0);
}
