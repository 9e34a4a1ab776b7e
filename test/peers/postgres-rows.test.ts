/** Reads and writes rows on a real PostgreSQL server. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openTable, postgresRowsContract } from '../support/contract/postgres-rows-contract.ts';
import { reencryptPostgresContract } from '../support/contract/reencrypt-postgres-contract.ts';
import { databaseAt } from '../support/sql-database.ts';
import { startPostgres, type DatabaseServer } from './databases.ts';

let server: DatabaseServer;

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

postgresRowsContract(() => server.port);
reencryptPostgresContract(() => databaseAt('PostgreSQL', server.port));

it('PostgresRows continues if the server stops and restarts between two pages', async () => {
  const source = await openTable('id INT PRIMARY KEY, card TEXT');
  await databaseAt('PostgreSQL', server.port).run(
    "INSERT INTO rows SELECT i, 'old' FROM generate_series(1, 1500) AS i",
  );
  let count = 0;
  for await (const page of source.pages(undefined)) {
    if (count === 0) {
      await server.kill();
      void server.start();
    }
    count += page.length;
  }
  expect(count).toBe(1500);
});
