import { noDeadline, type Deadline } from '../../async/deadline.ts';
import type { KeyRow } from '../../maintenance/key-table.ts';
import { keyKindOf, type KeyId } from '../../records/ids.ts';
import { readKeyRow, type SqlKeyRow } from './key-record.ts';
import type { SqlKeyTable } from './sql-metastore.ts';

/** The position of a row in the order of the primary key. */
export interface SqlCursor {
  readonly id: string;
  /** The column `created` in the database's own format. */
  readonly date: string;
}

/** A row with its ID. */
export type SqlPageRow = SqlKeyRow & SqlCursor;

/** A table that is read page by page, in the order of its primary key. */
export interface SqlPages {
  /** Reads the first rows after a position, or the first rows of the table. */
  page(after: SqlCursor | undefined, limit: number, deadline: Deadline): Promise<SqlPageRow[]>;
}

const ROWS_PER_PAGE = 500;

/**
 * Reads all keys of a table page by page, so that a table of any size fits into memory. Omits every row whose ID is not
 * the ID of a key. One such row holds the configuration of Asherah Rust, which refuses to start if it finds that row in
 * another metastore.
 * @throws KeyfoldError `MetastoreUnavailable`
 */
export async function* keyRowsOf(table: SqlPages): AsyncGenerator<KeyRow> {
  let last: SqlCursor | undefined;
  do {
    const rows: SqlPageRow[] = await table.page(last, ROWS_PER_PAGE, noDeadline());
    for (const row of rows) if (keyKindOf(row.id) !== undefined) yield readKeyRow(row.id as KeyId, row);
    last = rows.length < ROWS_PER_PAGE ? undefined : rows.at(-1);
  } while (last !== undefined);
}

/**
 * Finds one row of an ID. It searches by the date first, and reads all rows of the ID only if that finds nothing. If it
 * always read all rows, a command that changes every row of an ID would take quadratic time.
 * @param created the date of the row. Undefined if the date is not a whole number of seconds.
 * @param isIt whether a row is the one to find
 * @throws KeyfoldError `MetastoreUnavailable`
 */
export async function findRow(
  table: SqlKeyTable,
  id: string,
  created: number | undefined,
  isIt: (row: SqlKeyRow) => boolean,
): Promise<SqlKeyRow | undefined> {
  const dated = created === undefined ? [] : await table.select({ id, created, limit: 1 }, noDeadline());
  return dated.find(isIt) ?? (await table.select({ id }, noDeadline())).find(isIt);
}
