/** Tests everything that Keyfold does in PostgreSQL, on PGlite. test/peers tests it on a real server. */
import { afterAll, beforeAll, describe } from 'vitest';
import { postgresRowsContract } from '../../support/contract/postgres-rows-contract.ts';
import { reencryptPostgresContract } from '../../support/contract/reencrypt-postgres-contract.ts';
import { sqlErasureContract } from '../../support/contract/sql-erasure-contract.ts';
import { sqlMetastoreContract } from '../../support/contract/sql-metastore-contract.ts';
import { sqlOperatorContract } from '../../support/contract/sql-operator-contract.ts';
import { PgliteServer } from '../../support/pglite.ts';
import { databaseAt, type SqlDatabase } from '../../support/sql-database.ts';

let server: PgliteServer;
let database: SqlDatabase;

beforeAll(async () => {
  server = await PgliteServer.start();
  database = databaseAt('PostgreSQL', server.port);
}, 60_000);
afterAll(async () => {
  await database.close();
  await server.stop();
});

describe('the metastore', () => {
  sqlMetastoreContract('PostgreSQL', () => database);
});
describe('the commands', () => {
  sqlOperatorContract('PostgreSQL', () => database);
});
describe('erasures', () => {
  sqlErasureContract('PostgreSQL', () => database);
});
describe('rows', () => {
  postgresRowsContract(() => server.port);
});
describe('keyfold reencrypt', () => {
  reencryptPostgresContract(() => database);
});
