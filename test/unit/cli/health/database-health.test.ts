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

function healthOf(
  list: () => Promise<unknown>,
  outcome: Outcome<DatabaseInspection> = { answer: HEALTHY, latencyMs: 1 },
): Promise<DatabaseHealth> {
  return checkDatabase({ place, list } as never, async () => outcome, '_SK_svc_prod');
}

function failing(code: string): () => Promise<never> {
  const cause = new Error(`PostgreSQL table encryption_key: ${code}`);
  return () => Promise.reject(new KeyfoldError('MetastoreUnavailable', 'unavailable', { cause }));
}

describe('the health of a key table in SQL', () => {
  it('is good if the database responds, accepts writes and has the primary key', async () => {
    const health = await healthOf(async () => []);
    expect(health).toMatchObject({ answers: true, holdsRows: true, clockOffsetMs: 5 });
    expect(health.checks.map(({ check, state }) => [check, state])).toEqual([
      ['table', 'ok'],
      ['table primary key', 'ok'],
      ['table writes', 'ok'],
    ]);
  });

  it.for([
    ['there is no primary key', { hasPrimaryKey: false }, 'table primary key', 'ADD PRIMARY KEY (id, created)'],
    ['the server is read-only', { isReadOnly: true }, 'table writes', 'name the primary server'],
    ['a column cannot hold what Keyfold writes', { isTooNarrow: true }, 'table writes', '#the-table'],
    ['the SQL mode is not strict', { isUnsafe: true }, 'table writes', 'STRICT_TRANS_TABLES'],
  ] as const)('has a fault if %s', async ([, change, check, fix]) => {
    const { checks } = await healthOf(async () => [], { answer: { ...HEALTHY, ...change }, latencyMs: 1 });
    expect(checks.filter(({ state }) => state !== 'ok')).toEqual([
      { check, state: 'fault', says: expect.any(String) as string, fix: expect.stringContaining(fix) as string },
    ]);
  });

  it.for([
    ['the user may not insert rows', { canInsert: false }, 'table writes', 'GRANT INSERT'],
    ['row-level security may hide rows', { mayHideRows: true }, 'table', 'ROW LEVEL SECURITY'],
  ] as const)('has a warning if %s', async ([, change, check, fix]) => {
    const { checks } = await healthOf(async () => [], { answer: { ...HEALTHY, ...change }, latencyMs: 1 });
    expect(checks.filter(({ state }) => state !== 'ok')).toMatchObject([
      { check, state: 'warn', fix: expect.stringContaining(fix) as string },
    ]);
  });

  it('skips the checks for which the operator lacks the rights', async () => {
    const { checks } = await healthOf(async () => [], { fault: { name: '42501' } });
    expect(checks.map(({ state }) => state)).toEqual(['ok', 'skip', 'skip']);
  });

  it.for([
    ['28P01', 'correct the user or the password'],
    ['ER_ACCESS_DENIED_ERROR', 'correct the user or the password'],
    ['3D000', 'correct the database'],
    ['ER_NO_SUCH_TABLE', 'docs/how-to/use-postgresql-or-mysql.md#the-table'],
    ['42501', 'grant SELECT'],
    ['ECONNREFUSED', 'check the route to the database'],
    ['ENOENT', 'correct the file or the socket'],
    ['XX000', 'docs/how-to/use-postgresql-or-mysql.md#deadlines-and-faults'],
  ] as const)('names the error %s and its fix if the table cannot be read', async ([code, fix]) => {
    const health = await healthOf(failing(code));
    expect(health).toMatchObject({ answers: false, checks: [{ check: 'table', state: 'fault' }] });
    expect(health.checks[0]?.says).toContain(code);
    expect(health.checks[0]?.fix).toContain(fix);
  });

  it('rethrows a bug in the code instead of reporting a fault of the table', async () => {
    const bug = new TypeError('a bug');
    await expect(healthOf(() => Promise.reject(bug))).rejects.toBe(bug);
  });
});
