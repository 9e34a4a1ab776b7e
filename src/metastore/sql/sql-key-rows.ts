import { noDeadline, type Deadline } from '../../async/deadline.ts';
import type { KeyRow } from '../../maintenance/key-table.ts';
import { keyKindOf, type KeyId } from '../../records/ids.ts';
import { readKeyRow, type SqlKeyRow } from './key-record.ts';

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
