/** The longest line of a JSON Lines file, in bytes: the longest string in Node, in characters. */
export const MAX_LINE_BYTES = 0x1f_ff_ff_e8;
