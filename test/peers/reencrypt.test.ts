/** Re-encrypts rows on DynamoDB Local and PostgreSQL. `npm run test:long` does the same with 100,000 rows. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tryReencryption } from '../support/reencryption-trial.ts';
import { startDynamoDbStore, startPostgresStore } from './trial-stores.ts';

describe.for([
  ['DynamoDB Local', startDynamoDbStore],
  ['PostgreSQL', startPostgresStore],
] as const)('on %s', ([, start]) => {
  let served: Awaited<ReturnType<typeof start>>;

  beforeAll(async () => {
    served = await start();
  });
  afterAll(() => served.stop());

  it('two re-encryption runs skip no row and lose no write, although both are killed at random times', async () => {
    const result = await tryReencryption(served.store, served.keyTable, {
      rows: 3000,
      rate: 250,
      kills: 2,
      killWithinMs: 2000,
    });
    expect(result).toMatchObject({ rows: 3000, poison: 30, kills: 4 });
    expect(result.writes).toBeGreaterThan(100);
  });
});
