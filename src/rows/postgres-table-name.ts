import { KeyfoldError } from '../errors.ts';

/** An identifier in PostgreSQL: a word, or any text in double quotes, in which a double quote is doubled. */
const IDENTIFIER = String.raw`[A-Za-z_\u{80}-\u{10ffff}][\w$\u{80}-\u{10ffff}]*|"(?:[^"\0]|"")+"`;
const TABLE = new RegExp(`^(?:(${IDENTIFIER})\\.)?(${IDENTIFIER})$`, 'u');

/**
 * Converts the name of a table, as an operator would write it in SQL, to a name for a query. As PostgreSQL does, it
 * folds names without quotes to lower case.
 * @throws KeyfoldError `InvalidRequest` if it is neither `table` nor `schema.table`
 */
export function sqlTableName(name: string): string {
  const parts = TABLE.exec(name)?.slice(1);
  if (parts === undefined) {
    const rule = 'it must be table or schema.table, and a name with other characters needs double quotes: "my.table"';
    throw new KeyfoldError('InvalidRequest', `The name of the table in PostgreSQL is invalid: ${rule}.`);
  }
  return parts.flatMap((part) => (part === undefined ? [] : quotedIdentifier(part))).join('.');
}

function quotedIdentifier(part: string): string {
  return part.startsWith('"') ? part : quoted(part.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase()));
}

/** Quotes a name for a query. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
