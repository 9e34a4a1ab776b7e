/** Freeing fewer bytes than this at once costs more than leaving them to the garbage collector. */
const MIN_BYTES = 256;

/**
 * Frees the memory of an array at once. Only the owner of the whole buffer may call this: the array is empty
 * afterwards, and so is every other view of the buffer. The bytes are not zeroed.
 *
 * Without it, V8 counts the waiting external memory and collects its whole heap each time that the count is high.
 * The function does nothing for a small array, for a part of a larger buffer, and in Node 20, which lacks
 * `ArrayBuffer.transfer`.
 */
export function freeNow({ buffer, length }: Uint8Array): void {
  if (length >= MIN_BYTES && length === buffer.byteLength && 'transfer' in buffer) buffer.transfer(0);
}
