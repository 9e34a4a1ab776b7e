import { escapeHidden, HIDDEN } from '../input/hidden-characters.ts';

/**
 * The maximum width of a column. Longer cells overflow it, so that one long ID does not widen every line of a large
 * table.
 */
const MAX_COLUMN_WIDTH = 120;

/** Formats a table for an operator, as lines. Each column is as wide as its longest cell, up to 120 characters. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = widthsOf([header, ...rows]);
  return [header, ...rows].map((row) => formatRow(row, widths));
}

/** Returns the width of each column: the length of its longest cell, up to 120 characters. */
export function widthsOf(rows: readonly (readonly string[])[]): number[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) {
      widths[i] = Math.max(widths[i] ?? 0, Math.min(printable(cell).length, MAX_COLUMN_WIDTH));
    }
  }
  return widths;
}

/** Formats one row of a table. A cell that is longer than its column's width overflows it. */
export function formatRow(row: readonly string[], widths: readonly number[]): string {
  return row
    .map((cell, i) => printable(cell).padEnd(widths[i] ?? 0))
    .join('  ')
    .trimEnd();
}

/** Formats names and values in two columns, one pair per line. */
export function formatFields(fields: readonly (readonly [string, string])[]): string[] {
  return formatTable(['', ''], fields).slice(1);
}

/** Formats a time in seconds since 1970 as ISO 8601. Returns undefined if it is out of the range of `Date`. */
export function isoOf(epochSeconds: number | undefined): string | undefined {
  const date = new Date((epochSeconds ?? Number.NaN) * 1000);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

/** Formats a duration in minutes if it is a whole number of minutes, otherwise in seconds. */
export function formatDuration(ms: number): string {
  return ms % 60_000 === 0 ? `${ms / 60_000} min` : `${ms / 1000} s`;
}

/**
 * Makes a string safe for a terminal, and puts it on one line. It escapes control characters and invisible characters,
 * because an attacker who can write to the key table must not control an operator's terminal.
 */
export function printable(text: string): string {
  return text.replaceAll(HIDDEN, (character) => {
    const code = character.codePointAt(0) ?? 0;
    const hex = code.toString(16);
    if (code > 0xff_ff) return `\\u{${hex}}`;
    return code > 0xff ? `\\u${hex.padStart(4, '0')}` : `\\x${hex.padStart(2, '0')}`;
  });
}

/** Makes one or more lines safe for a terminal, and joins them. */
export function printableLines(lines: string | readonly string[]): string {
  return [lines].flat().map(printable).join('\n');
}

/** Returns the lines of {@link printableJson} with an indentation of two spaces, for people. */
export function jsonLines(value: unknown): string[] {
  return printableJson(value, 2).split('\n');
}

/** Returns the JSON text of a value. Control characters and invisible characters are written as JSON escapes. */
export function printableJson(value: unknown, indent?: number): string {
  // JSON.stringify escapes line feeds inside strings, so the remaining ones separate lines.
  const lines = JSON.stringify(value, undefined, indent).split('\n');
  return lines.map(escapeHidden).join('\n');
}
