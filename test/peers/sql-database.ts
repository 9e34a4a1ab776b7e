import { setTimeout } from 'node:timers/promises';
import { databaseAt, type SqlDatabase, type SqlKind } from '../support/sql-database.ts';
import { startMariaDb, startPostgres, type DatabaseServer } from './databases.ts';

/** A database on its own server. */
export interface ServedDatabase extends SqlDatabase {
  readonly server: DatabaseServer;
  stop(): Promise<void>;
}

/**
 * Starts a database server.
 * @param start starts the server. Default: starts PostgreSQL or MariaDB, as `kind` says.
 */
export async function startDatabase(
  kind: SqlKind,
  start = kind === 'PostgreSQL' ? startPostgres : startMariaDb,
): Promise<ServedDatabase> {
  const server = await start();
  const database = databaseAt(kind, server.port);
  /** Waits until the server answers a query. A server that accepts connections may still be recovering. */
  const untilReady = async (): Promise<void> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await database.run('SELECT 1');
        return;
      } catch (error) {
        if (attempt === 100) throw error;
        await setTimeout(100);
      }
    }
  };
  await untilReady();
  return {
    ...database,
    server: { ...server, start: async () => server.start().then(untilReady) },
    stop: async () => {
      await database.close();
      await server.stop();
    },
  };
}
