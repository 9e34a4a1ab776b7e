/** Ends commands by signals while they write to a real PostgreSQL server. */
import { afterAll, beforeAll, describe } from 'vitest';
import { interruptedCommandsContract } from '../support/contract/interrupted-commands-contract.ts';
import { AWS_ENVIRONMENT } from './processes.ts';
import { startDatabase, type ServedDatabase } from './sql-database.ts';

let database: ServedDatabase;

beforeAll(async () => {
  Object.assign(process.env, AWS_ENVIRONMENT);
  database = await startDatabase('PostgreSQL');
});
afterAll(() => database.stop());

describe('on PostgreSQL,', () => {
  interruptedCommandsContract(() => database);
});
