import { describe, expect, it } from 'vitest';
import { checkDatabase, type DatabaseHealth } from '../../../../src/cli/health/database-health.ts';
import type { Outcome } from '../../../../src/connections/inspected-calls.ts';
import { KeyfoldError } from '../../../../src/errors.ts';
import type { DatabaseInspection } from '../../../../src/maintenance/inspection.ts';

const place = async () => ({ table: 'encryption_key', region: 'PostgreSQL' });
const HEALTHY = {
  clockOffsetMs: 5,
  hasPrimaryKey: true,
  isReadOnly: false,
  isUnsafe: false,
  holdsRows: true,
  canInsert: true,
  mayHideRows: false,
  isTooNarrow: false,
};
const PAGE = 'docs/how-to/use-postgresql-or-mysql.md';
const TABLE_OK = { check: 'table', state: 'ok', says: 'encryption_key in PostgreSQL' };
const KEY_OK = { check: 'table primary key', state: 'ok', says: 'id, created' };
const WRITES_OK = { check: 'table writes', state: 'ok', says: 'the server accepts them' };

function healthOf(
  list: () => Promise<unknown>,
  outcome: Outcome<DatabaseInspection> = { answer: HEALTHY, latencyMs: 1 },
): Promise<DatabaseHealth> {
  const table = { place, list: (id: string) => (id === '_SK_svc_prod' ? list() : Promise.reject(new Error(id))) };
  return checkDatabase(table as never, async () => outcome, '_SK_svc_prod');
}

function failing(code: string): () => Promise<never> {
  const cause = new Error(`PostgreSQL table encryption_key: ${code}`);
  return () => Promise.reject(new KeyfoldError('MetastoreUnavailable', 'unavailable', { cause }));
}

describe('the health of a key table in SQL', () => {
  it('is good if the database responds, accepts writes and has the primary key', async () => {
    expect(await healthOf(async () => [])).toEqual({
      checks: [TABLE_OK, KEY_OK, WRITES_OK],
      answers: true,
      holdsRows: true,
      clockOffsetMs: 5,
    });
  });

  const unsafe = {
    says: 'Keyfold refuses to write without autocommit and a strict sql_mode',
    fix: `SET GLOBAL autocommit = 1, and add STRICT_TRANS_TABLES to sql_mode: ${PAGE}#deadlines-and-faults`,
  };
  const replica = {
    says: 'the server is read-only, as a replica is',
    fix: 'name the primary server in KEYFOLD_METASTORE_URL, and in the pool of each process',
  };
  const narrow = {
    says: 'created must be a TIMESTAMP, and key_record a TEXT: otherwise new keys fail or cannot be read again',
    fix: `change the type of the column before the next encrypt: ${PAGE}#the-table`,
  };
  const keyless = {
    says: 'no unique index covers id and created, so two processes can store two keys under one name',
    fix: 'ALTER TABLE encryption_key ADD PRIMARY KEY (id, created)',
  };
  const mayNotInsert = {
    says: 'this user cannot insert rows, so it cannot make the next key',
    fix: `GRANT INSERT ON encryption_key, if the service connects as this user: ${PAGE}#rights`,
  };
  const hidden = {
    says: 'row-level security applies to this user, so keys may look absent',
    fix: 'ALTER TABLE encryption_key DISABLE ROW LEVEL SECURITY, or give each user of the table BYPASSRLS',
  };

  it.for([
    [
      'there is no primary key',
      { hasPrimaryKey: false },
      [TABLE_OK, { ...KEY_OK, state: 'fault', ...keyless }, WRITES_OK],
    ],
    ['the server is read-only', { isReadOnly: true }, [TABLE_OK, KEY_OK, { ...WRITES_OK, state: 'fault', ...replica }]],
    ['a column is too narrow', { isTooNarrow: true }, [TABLE_OK, KEY_OK, { ...WRITES_OK, state: 'fault', ...narrow }]],
    ['the SQL mode is not strict', { isUnsafe: true }, [TABLE_OK, KEY_OK, { ...WRITES_OK, state: 'fault', ...unsafe }]],
    [
      'the user may not insert',
      { canInsert: false },
      [TABLE_OK, KEY_OK, { ...WRITES_OK, state: 'warn', ...mayNotInsert }],
    ],
    [
      'row-level security may hide rows',
      { mayHideRows: true },
      [{ ...TABLE_OK, state: 'warn', ...hidden }, KEY_OK, WRITES_OK],
    ],
  ] as const)('reports the problem and its fix if %s', async ([, change, checks]) => {
    const answer = { ...HEALTHY, holdsRows: false, ...change };
    const health = await healthOf(async () => [], { answer, latencyMs: 1 });
    expect(health).toEqual({ checks, answers: true, holdsRows: false, clockOffsetMs: 5 });
  });

  it('skips the checks for which the operator lacks the rights', async () => {
    const skipped = { state: 'skip', says: 'could not look: 42501' };
    expect(await healthOf(async () => [], { fault: { name: '42501' } })).toEqual({
      checks: [TABLE_OK, { check: 'table primary key', ...skipped }, { check: 'table writes', ...skipped }],
      answers: true,
      holdsRows: false,
    });
  });

  const user = 'correct the user or the password in KEYFOLD_METASTORE_URL';
  const database = 'correct the database in KEYFOLD_METASTORE_URL';
  const noTable = `create the table: ${PAGE}#the-table`;
  const noRight = `grant SELECT on encryption_key: ${PAGE}#rights`;
  const noFile = 'correct the file or the socket that KEYFOLD_METASTORE_URL names';
  it.for([
    ['28P01', user],
    ['ER_ACCESS_DENIED_ERROR', user],
    ['3D000', database],
    ['ER_BAD_DB_ERROR', database],
    ['ER_DBACCESS_DENIED_ERROR', database],
    ['42P01', noTable],
    ['42703', noTable],
    ['ER_NO_SUCH_TABLE', noTable],
    ['ER_BAD_FIELD_ERROR', noTable],
    ['42501', noRight],
    ['ER_TABLEACCESS_DENIED_ERROR', noRight],
    ['NoTls', 'let the server speak TLS, or require none: correct sslmode in KEYFOLD_METASTORE_URL, or PGSSLMODE'],
    ['ENOENT', noFile],
    ['EACCES', noFile],
    ['ECONNREFUSED', 'check the route to the database, and the host and port in KEYFOLD_METASTORE_URL'],
    ['XX000', `${PAGE}#deadlines-and-faults`],
  ] as const)('names the error %s and its fix if the table cannot be read', async ([code, fix]) => {
    expect(await healthOf(failing(code))).toEqual({
      checks: [{ check: 'table', state: 'fault', says: `PostgreSQL table encryption_key: ${code}`, fix }],
      answers: false,
      holdsRows: false,
    });
  });

  it('prints the message of an error that has no cause', async () => {
    const refused = new KeyfoldError('MetastoreUnavailable', 'The table is full.');
    const { checks } = await healthOf(() => Promise.reject(refused));
    const fix = `${PAGE}#deadlines-and-faults`;
    expect(checks).toEqual([{ check: 'table', state: 'fault', says: 'The table is full.', fix }]);
  });

  it('rethrows a bug in the code instead of reporting a fault of the table', async () => {
    const bug = new TypeError('a bug');
    await expect(healthOf(() => Promise.reject(bug))).rejects.toBe(bug);
  });
});
