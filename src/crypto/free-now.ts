/** What less costs to give back than to leave. */
const MIN_BYTES = 256;

/**
 * Gives the memory of bytes back at once, for whoever owns all of it: nobody looks at it again, by this array or by another. The bytes are
 * not zeroed, and the array is empty from then on. Left to the garbage collector they are counted, and V8 goes through all of its heap each time
 * that enough of them wait. Left they are, too, where they are few or a part of something larger, and by Node 20, which cannot do it.
 */
export function freeNow({ buffer, length }: Uint8Array): void {
  if (length >= MIN_BYTES && length === buffer.byteLength && 'transfer' in buffer) buffer.transfer(0);
}
