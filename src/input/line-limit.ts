/**
 * The longest line of a JSON Lines file, in bytes. Node's longest string has this number of characters, so the text of
 * every such line fits into a string.
 */
export const MAX_LINE_BYTES = 0x1f_ff_ff_e8;
