import { createConnection, createPool } from 'mysql2/promise';
import { Client, Pool } from 'pg';
import { MySqlMetastore } from '../../src/metastore/sql/mysql-metastore.ts';
import { PostgresMetastore } from '../../src/metastore/sql/postgres-metastore.ts';

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
  /** The port to connect to, for example a proxy's. Default: the port of the database server. */
  readonly port?: number;
  /** The name of a database. Default: the one that {@link SqlDatabase.createTable} uses. */
  readonly name?: string;
  /** The user of the database. Default: `keyfold`. */
  readonly user?: string;
  /** For MariaDB, a setting for each session, such as `autocommit = 0`. */
  readonly setting?: string;
}

/** A database, and the user who connects to it. */
interface Address {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

/** The operator's connection. */
interface OperatorConnection {
  run(sql: string): Promise<unknown>;
  close(): Promise<void>;
}

/** A running database. It contains Asherah's table once {@link createTable} has been called. */
export interface SqlDatabase {
  readonly port: number;
  open(options?: OpenOptions): OpenMetastore;
  /** Runs a statement as an operator would. The statement's placeholders are `$1` or `?`, as the database requires. */
  run(sql: string, values?: readonly unknown[]): Promise<unknown[][]>;
  connect(): Promise<OperatorConnection>;
  /** Drops the table and creates it again, by default with the schema in Asherah's documentation. */
  createTable(types?: { readonly id?: string; readonly created?: string; readonly keyRecord?: string }): Promise<void>;
  /** Sets the time zone for sessions that begin later, and for the only session of PGlite. */
  setTimeZone(zone: string): Promise<void>;
  close(): Promise<void>;
}

const ASHERAH_TYPES = { id: 'VARCHAR(255)', created: 'TIMESTAMP', keyRecord: 'TEXT' };

/** A client of a database on 127.0.0.1. */
export function databaseAt(kind: SqlKind, serverPort: number): SqlDatabase {
  const database = kind === 'PostgreSQL' ? 'postgres' : 'test';
  const to = { host: '127.0.0.1', port: serverPort, user: 'keyfold', database };
  const closing: (() => Promise<void>)[] = [];

  const postgres = (max: number, at: Address): Pool => {
    const pool = new Pool({ ...at, max });
    pool.on('error', () => {});
    closing.push(() => pool.end());
    return pool;
  };
  const mysql = (connectionLimit: number, at: Address): ReturnType<typeof createPool> => {
    const pool = createPool({ ...at, connectionLimit });
    closing.push(() => pool.end());
    return pool;
  };
  const runOnce = async (sql: string, values: readonly unknown[]): Promise<unknown[][]> => {
    if (kind === 'PostgreSQL') {
      const pool = new Pool({ ...to, max: 1 });
      pool.on('error', () => {});
      try {
        return (await pool.query({ text: sql, values: [...values], rowMode: 'array' })).rows;
      } finally {
        await pool.end();
      }
    }
    const pool = createPool({ ...to, connectionLimit: 1 });
    try {
      return (await pool.query({ sql, values: [...values], rowsAsArray: true }))[0] as unknown[][];
    } finally {
      await pool.end();
    }
  };

  return {
    port: serverPort,
    open: ({ connections = 10, user = 'keyfold', port = serverPort, name = database, setting, ...options } = {}) => {
      const at = { host: '127.0.0.1', port, user, database: name };
      let queries = 0;
      if (kind === 'PostgreSQL') {
        const pool = postgres(connections, at);
        pool.on('acquire', () => (queries += 1));
        return {
          metastore: new PostgresMetastore({ pool, ...options }),
          queries: () => queries,
          close: () => pool.end(),
        };
      }
      const pool = mysql(connections, at);
      pool.on('acquire', () => (queries += 1));
      if (setting !== undefined) pool.on('connection', (connection) => void connection.query(`SET ${setting}`));
      return { metastore: new MySqlMetastore({ pool, ...options }), queries: () => queries, close: () => pool.end() };
    },
    run: (sql, values = []) => runOnce(sql, values),
    connect: async () => {
      if (kind === 'PostgreSQL') {
        const client = new Client(to);
        await client.connect();
        return { run: (sql) => client.query(sql), close: () => client.end() };
      }
      const connection = await createConnection(to);
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
      if (kind === 'PostgreSQL') await runOnce(`ALTER DATABASE postgres SET timezone = '${zone}'`, []);
      await runOnce(kind === 'PostgreSQL' ? `SET timezone = '${zone}'` : `SET GLOBAL time_zone = '${zone}'`, []);
    },
    close: async () => {
      await Promise.all(closing.map((close) => close().catch(() => {})));
    },
  };
}
