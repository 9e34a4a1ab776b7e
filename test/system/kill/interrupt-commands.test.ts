/** Ends commands by signals on DynamoDB's emulator and on PGlite. test/peers does the same on a real PostgreSQL. */
import { afterAll, beforeAll, describe } from 'vitest';
import { interruptedCommandsContract } from '../../support/contract/interrupted-commands-contract.ts';
import { PgliteServer } from '../../support/pglite.ts';
import { databaseAt } from '../../support/sql-database.ts';

let server: PgliteServer;

beforeAll(async () => {
  server = await PgliteServer.start();
});
afterAll(() => server.stop());

describe('after a signal, on DynamoDB,', () => {
  interruptedCommandsContract();
});

describe('after a signal, on PostgreSQL,', () => {
  interruptedCommandsContract(() => databaseAt('PostgreSQL', server.port));
});
