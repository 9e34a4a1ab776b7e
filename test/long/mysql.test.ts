/**
 * Tests the SQL metastores and the operator's commands on a real MySQL server. These tests are not part of `.ci/run`,
 * because Debian has MySQL only in sid, where a package can be missing for days.
 */
import { afterAll, beforeAll, describe } from 'vitest';
import { installMySql, startMySql } from '../peers/mysql.ts';
import { startDatabase, type ServedDatabase } from '../peers/sql-database.ts';
import { sqlErasureContract } from '../support/contract/sql-erasure-contract.ts';
import { sqlMetastoreContract } from '../support/contract/sql-metastore-contract.ts';
import { sqlOperatorContract } from '../support/contract/sql-operator-contract.ts';

describe('MySQL', () => {
  let database: ServedDatabase;
  beforeAll(async () => {
    await installMySql();
    // The tests treat MySQL as they treat MariaDB.
    database = await startDatabase('MariaDB', startMySql);
  }, 600_000);
  afterAll(() => database.stop());

  describe('as a metastore', () => {
    sqlMetastoreContract('MariaDB', () => database, 'without_table');
  });
  describe('with erasures', () => {
    sqlErasureContract('MariaDB', () => database);
  });
  describe('with an operator', () => {
    sqlOperatorContract('MariaDB', () => database);
  });
});
