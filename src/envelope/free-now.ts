/** What less costs to give back than to leave. */
const LEAST_BYTES = 256;

/**
 * Gives the memory of bytes back at once, which nobody will look at again; they are not zeroed, and the array is empty from then on. Left to
 * the garbage collector it is counted, and V8 goes through all of its heap each time that enough of it waits. Bytes that share their
 * memory with others stay as they are.
 */
export function freeNow({ buffer, length }: Uint8Array): void {
  if (length >= LEAST_BYTES && length === buffer.byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0);
}
