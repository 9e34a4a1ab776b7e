import { describe, expect, it } from 'vitest';
import { checkDatabase } from '../../../../src/cli/health/database-health.ts';
import { KeyfoldError } from '../../../../src/errors.ts';

const place = async () => ({ table: 'encryption_key', region: 'PostgreSQL' });

describe('the health of a key table in SQL', () => {
  it('is good if the database responds', async () => {
    const health = await checkDatabase({ place, list: async () => [] } as never, '_SK_svc_prod');
    expect(health).toMatchObject({ answers: true, checks: [{ check: 'table', state: 'ok' }] });
  });

  it("names the driver's error if the database does not respond", async () => {
    const cause = new Error('connect ECONNREFUSED');
    const list = () => Promise.reject(new KeyfoldError('MetastoreUnavailable', 'unavailable', { cause }));
    const health = await checkDatabase({ place, list } as never, '_SK_svc_prod');
    expect(health).toMatchObject({ answers: false, checks: [{ check: 'table', state: 'fault' }] });
    expect(JSON.stringify(health.checks)).toContain('connect ECONNREFUSED');
    const bug = new TypeError('a bug');
    await expect(checkDatabase({ place, list: () => Promise.reject(bug) } as never, '_SK_svc_prod')).rejects.toBe(bug);
  });
});
