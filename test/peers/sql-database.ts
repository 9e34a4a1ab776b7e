import { createConnection, createPool } from 'mysql2/promise';
import { Client, Pool } from 'pg';
import { setTimeout } from 'node:timers/promises';
import { MySqlMetastore } from '../../src/metastore/sql/mysql-metastore.ts';
import { PostgresMetastore } from '../../src/metastore/sql/postgres-metastore.ts';
import { startMariaDb, startPostgres, type DatabaseServer } from './databases.ts';

export const KINDS = ['PostgreSQL', 'MariaDB'] as const;
export type SqlKind = (typeof KINDS)[number];

/** A metastore with its own connection pool. */
export interface OpenMetastore {
  readonly metastore: PostgresMetastore | MySqlMetastore;
  /** The number of connections that the metastore has taken from its pool. Each query takes one. */
  readonly queries: () => number;
  readonly close: () => Promise<void>;
}

interface OpenOptions {
  readonly connections?: number;
  readonly queryTimeoutMs?: number;
  /** The user of the database. Default: `keyfold`. */
  readonly user?: string;
  /** For MariaDB, a setting for each session, such as `autocommit = 0`. */
  readonly setting?: string;
}

/** The operator's connection. */
interface OperatorConnection {
  run(sql: string): Promise<unknown>;
  close(): Promise<void>;
}

/** A running database. It contains Asherah's table once {@link createTable} has been called. */
export interface SqlDatabase {
  readonly server: DatabaseServer;
  open(options?: OpenOptions): OpenMetastore;
  /** Runs a statement as an operator would. Its parameters are `$1` or `?`. */
  run(sql: string, values?: readonly unknown[]): Promise<unknown[][]>;
  connect(): Promise<OperatorConnection>;
  /** Drops the table and creates it again, by default with the schema in Asherah's documentation. */
  createTable(types?: { readonly id?: string; readonly created?: string; readonly keyRecord?: string }): Promise<void>;
  /** Sets the time zone for sessions that begin later. */
  setTimeZone(zone: string): Promise<void>;
  stop(): Promise<void>;
}

const ASHERAH_TYPES = { id: 'VARCHAR(255)', created: 'TIMESTAMP', keyRecord: 'TEXT' };

/** Starts a database server. */
export async function startDatabase(kind: SqlKind): Promise<SqlDatabase> {
  const server = kind === 'PostgreSQL' ? await startPostgres() : await startMariaDb();
  const to = { host: '127.0.0.1', port: server.port, user: 'keyfold' };
  const closing: (() => Promise<void>)[] = [];

  const postgres = (max: number, user: string): Pool => {
    const pool = new Pool({ ...to, user, database: 'postgres', max });
    pool.on('error', () => {});
    closing.push(() => pool.end());
    return pool;
  };
  const mysql = (connectionLimit: number, user: string): ReturnType<typeof createPool> => {
    const pool = createPool({ ...to, user, database: 'test', connectionLimit });
    closing.push(() => pool.end());
    return pool;
  };
  const runOnce = async (sql: string, values: readonly unknown[]): Promise<unknown[][]> => {
    if (kind === 'PostgreSQL') {
      const pool = new Pool({ ...to, database: 'postgres', max: 1 });
      pool.on('error', () => {});
      try {
        return (await pool.query({ text: sql, values: [...values], rowMode: 'array' })).rows;
      } finally {
        await pool.end();
      }
    }
    const pool = createPool({ ...to, database: 'test', connectionLimit: 1 });
    try {
      return (await pool.query({ sql, values: [...values], rowsAsArray: true }))[0] as unknown[][];
    } finally {
      await pool.end();
    }
  };
  /** A server that accepts connections may still be recovering. */
  const untilReady = async (): Promise<void> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await runOnce('SELECT 1', []);
        return;
      } catch (error) {
        if (attempt === 100) throw error;
        await setTimeout(100);
      }
    }
  };
  await untilReady();

  return {
    server: { ...server, start: async () => server.start().then(untilReady) },
    open: ({ connections = 10, user = 'keyfold', setting, ...options } = {}) => {
      let queries = 0;
      if (kind === 'PostgreSQL') {
        const pool = postgres(connections, user);
        pool.on('acquire', () => (queries += 1));
        return {
          metastore: new PostgresMetastore({ pool, ...options }),
          queries: () => queries,
          close: () => pool.end(),
        };
      }
      const pool = mysql(connections, user);
      pool.on('acquire', () => (queries += 1));
      if (setting !== undefined) pool.on('connection', (connection) => void connection.query(`SET ${setting}`));
      return { metastore: new MySqlMetastore({ pool, ...options }), queries: () => queries, close: () => pool.end() };
    },
    run: (sql, values = []) => runOnce(sql, values),
    connect: async () => {
      if (kind === 'PostgreSQL') {
        const client = new Client({ ...to, database: 'postgres' });
        await client.connect();
        return { run: (sql) => client.query(sql), close: () => client.end() };
      }
      const connection = await createConnection({ ...to, database: 'test' });
      return { run: (sql) => connection.query(sql), close: () => connection.end() };
    },
    createTable: async (types = {}) => {
      const { id, created, keyRecord } = { ...ASHERAH_TYPES, ...types };
      await runOnce('DROP TABLE IF EXISTS encryption_key', []);
      await runOnce(
        `CREATE TABLE encryption_key (id ${id} NOT NULL, created ${created} NOT NULL DEFAULT CURRENT_TIMESTAMP, ` +
          `key_record ${keyRecord} NOT NULL, PRIMARY KEY (id, created))`,
        [],
      );
    },
    setTimeZone: async (zone) => {
      const [scope, name] =
        kind === 'PostgreSQL' ? ['ALTER DATABASE postgres SET', 'timezone'] : ['SET GLOBAL', 'time_zone'];
      await runOnce(`${scope} ${name} = '${zone}'`, []);
    },
    stop: async () => {
      await Promise.all(closing.map((close) => close().catch(() => {})));
      await server.stop();
    },
  };
}
