/** Cells under a header, in columns as wide as need be; for a person to read. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows].map((line) => line.map(printable));
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) => line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  '))
    .map((line) => line.trimEnd())
    .join('\n');
}

/** Names and values, one pair a line. */
export function formatFields(fields: readonly (readonly [string, string])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length));
  return fields.map(([name, value]) => `${printable(name).padEnd(width)}  ${printable(value)}`).join('\n');
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

/** Whoever can write the table must not be able to write to an operator's terminal: no control character gets through. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
