import { outcomeOf, type Outcome } from '../../connections/inspected-calls.ts';
import type { DatabaseInspection } from '../../maintenance/inspection.ts';
import { IS_SAFE } from './mysql-key-table.ts';

/**
 * The column `key_record` must hold at least this many characters. A System Key that is wrapped in two regions needs
 * almost as many.
 */
const MIN_RECORD_LENGTH = 1000;

/** Inspects PostgreSQL's server and the key table. */
export const INSPECT_POSTGRES = `SELECT extract(epoch FROM clock_timestamp())::text,
  EXISTS (SELECT FROM pg_index WHERE indrelid = 'encryption_key'::regclass AND indisunique AND indisvalid
    AND indpred IS NULL AND (SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute
      WHERE attrelid = indrelid AND attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1])) = '{created,id}')::text,
  (current_setting('transaction_read_only') = 'off')::text, 'true',
  EXISTS (SELECT FROM encryption_key)::text,
  has_any_column_privilege('encryption_key', 'INSERT')::text, row_security_active('encryption_key')::text,
  EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'encryption_key'::regclass AND (
    attname = 'created' AND atttypid = 'date'::regtype OR attname = 'key_record'
    AND atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND atttypmod BETWEEN 0 AND ${MIN_RECORD_LENGTH + 3}))::text`;

/**
 * Inspects MySQL's or MariaDB's server and the key table. Does not check the user's rights, which no simple query
 * shows. Reads the clock in UTC, because `NOW` is ambiguous in the hour that the end of daylight saving time repeats.
 */
export const INSPECT_MYSQL = `SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000,
  EXISTS (SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'encryption_key'
    AND non_unique = 0 GROUP BY index_name
    HAVING GROUP_CONCAT(LOWER(column_name) ORDER BY LOWER(column_name)) = 'created,id'),
  @@global.read_only = 0, ${IS_SAFE},
  EXISTS (SELECT 1 FROM encryption_key), 1, 0,
  EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'encryption_key'
    AND (column_name = 'created' AND data_type = 'date'
      OR column_name = 'key_record' AND character_maximum_length < ${MIN_RECORD_LENGTH}))`;

/**
 * Inspects a database.
 * @param send sends one of the queries above, and returns the columns of each row
 */
export function inspectDatabase(send: () => Promise<unknown[][]>): Promise<Outcome<DatabaseInspection>> {
  return outcomeOf(() => inspectionOf(send));
}

async function inspectionOf(send: () => Promise<unknown[][]>): Promise<DatabaseInspection> {
  const beganMs = Date.now();
  const [[seconds, ...answers] = []] = await send();
  const [hasPrimaryKey, isWritable, isSafe, holdsRows, canInsert, mayHideRows, isTooNarrow] = answers.map((each) =>
    /^(?:1|true)$/.test(String(each)),
  );
  return {
    clockOffsetMs: Number(seconds) * 1000 - (beganMs + Date.now()) / 2,
    hasPrimaryKey: hasPrimaryKey === true,
    isReadOnly: isWritable !== true,
    isUnsafe: isSafe !== true,
    holdsRows: holdsRows === true,
    canInsert: canInsert === true,
    mayHideRows: mayHideRows === true,
    isTooNarrow: isTooNarrow === true,
  };
}
