import type { Pool as MySqlPool } from 'mysql2/promise';
import type { Pool as PostgresPool } from 'pg';
import type { DatabaseInspection } from '../../maintenance/inspection.ts';
import { IS_SAFE } from './mysql-key-table.ts';

const POSTGRES = `SELECT extract(epoch FROM clock_timestamp())::text,
  EXISTS (SELECT FROM pg_index WHERE indrelid = 'encryption_key'::regclass AND indisunique AND indisvalid
    AND indpred IS NULL AND (SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute
      WHERE attrelid = indrelid AND attnum = ANY (indkey)) = '{created,id}')::text,
  (current_setting('transaction_read_only') = 'off')::text, 'true',
  EXISTS (SELECT FROM encryption_key)::text`;

const MYSQL = `SELECT CAST(UNIX_TIMESTAMP(NOW(6)) AS CHAR),
  EXISTS (SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'encryption_key'
    AND non_unique = 0 GROUP BY index_name
    HAVING GROUP_CONCAT(LOWER(column_name) ORDER BY LOWER(column_name)) = 'created,id'),
  @@global.read_only = 0, ${IS_SAFE},
  EXISTS (SELECT 1 FROM encryption_key)`;

/** Inspects PostgreSQL's server and the key table. */
export function inspectPostgres(pool: PostgresPool): Promise<DatabaseInspection> {
  return inspectionOf(async () => (await pool.query<unknown[]>({ text: POSTGRES, rowMode: 'array' })).rows);
}

/** Inspects MySQL's or MariaDB's server and the key table. */
export function inspectMySql(pool: MySqlPool): Promise<DatabaseInspection> {
  return inspectionOf(async () => (await pool.query({ sql: MYSQL, rowsAsArray: true }))[0] as unknown[][]);
}

async function inspectionOf(send: () => Promise<unknown[][]>): Promise<DatabaseInspection> {
  const beganMs = Date.now();
  const [[seconds, ...answers] = []] = await send();
  const [hasPrimaryKey, isWritable, isSafe, holdsRows] = answers.map((each) => /^(?:1|true)$/.test(String(each)));
  return {
    clockOffsetMs: Number(seconds) * 1000 - (beganMs + Date.now()) / 2,
    hasPrimaryKey: hasPrimaryKey === true,
    isReadOnly: isWritable !== true,
    isUnsafe: isSafe !== true,
    holdsRows: holdsRows === true,
  };
}
