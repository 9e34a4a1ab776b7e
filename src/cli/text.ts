import { escapeHidden, HIDDEN } from '../input/hidden-characters.ts';

/** Two spaces stand between columns. A longer cell runs over: one long id must not widen each line of a large table. */
const MAX_COLUMN_WIDTH = 120;

/** The lines of a table: cells under a header, in columns as wide as need be; for a person to read. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const lines = [header, ...rows].map((line) => line.map(printable));
  const widths = header.map((_, column) =>
    lines.reduce((width, line) => Math.max(width, Math.min(line[column]?.length ?? 0, MAX_COLUMN_WIDTH)), 0),
  );
  return lines.map((line) =>
    line
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** Names and values, one pair a line. */
export function formatFields(fields: readonly (readonly [string, string])[]): string {
  return formatTable(['', ''], fields).slice(1).join('\n');
}

/** A time in seconds since 1970 as ISO 8601; undefined for one that no calendar holds. */
export function isoOf(epochSeconds: number | undefined): string | undefined {
  const date = new Date((epochSeconds ?? Number.NaN) * 1000);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

/** A duration in minutes where they are whole, else in seconds. */
export function formatDuration(ms: number): string {
  return ms % 60_000 === 0 ? `${ms / 60_000} min` : `${ms / 1000} s`;
}

/**
 * Text for a terminal, in one line. Whoever can write the table must not be able to write to an operator's terminal: what it
 * would not show as itself is shown as an escape.
 */
export function printable(text: string): string {
  return text.replaceAll(HIDDEN, (character) => {
    const code = character.codePointAt(0) ?? 0;
    const hex = code.toString(16);
    if (code > 0xff_ff) return `\\u{${hex}}`;
    return code > 0xff ? `\\u${hex.padStart(4, '0')}` : `\\x${hex.padStart(2, '0')}`;
  });
}

/** As {@link printable}, of several lines. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** The JSON text of a value, in which JSON's own escapes stand for what a terminal does not show as itself. */
export function printableJson(value: unknown, indent?: number): string {
  // JSON has escaped the line feeds of strings: those that are left separate lines.
  const lines = JSON.stringify(value, undefined, indent).split('\n');
  return lines.map(escapeHidden).join('\n');
}
