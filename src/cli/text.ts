/** Two spaces stand between columns. A longer cell runs over: one long id must not widen each line of a large table. */
const MAX_COLUMN_WIDTH = 120;

/**
 * What a terminal does not show as itself: control and format characters (bidirectional ones among them), line separators, halves
 * of surrogate pairs, and all else that Unicode lets a terminal leave out.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

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
  return text.replaceAll(UNPRINTABLE, (character) => {
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
  return JSON.stringify(value, undefined, indent).replaceAll(UNPRINTABLE, (character) =>
    // Within a string JSON has escaped it: what is left separates lines.
    character === '\n' ? character : escapedUnits(character),
  );
}

function escapedUnits(character: string): string {
  let escaped = '';
  for (let at = 0; at < character.length; at += 1) {
    escaped += `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`;
  }
  return escaped;
}
