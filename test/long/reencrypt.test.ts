/** Re-encrypts 100,000 rows while a writer changes them. `npm run test:long` prints what each trial observed. */
import { expect, it } from 'vitest';
import { startDynamoDbStore, startPostgresStore, type ServedStore } from '../peers/trial-stores.ts';
import { tryReencryption } from '../support/reencryption-trial.ts';

const ROWS = 100_000;

it.for([
  ['DynamoDB Local', startDynamoDbStore, 8000],
  ['PostgreSQL', startPostgresStore, 4000],
] as const)(
  'two re-encryption runs on %s skip no row and lose no write, although each run is killed ten times',
  async ([name, start, killWithinMs]) => {
    const served: ServedStore = await start();
    try {
      const result = await tryReencryption(served.store, served.keyTable, {
        rows: ROWS,
        rate: 20_000,
        kills: 10,
        killWithinMs,
      });
      expect(result).toMatchObject({ rows: ROWS, poison: ROWS / 100, kills: 20 });
      expect(result.writes).toBeGreaterThan(1000);
      // oxlint-disable-next-line no-console -- the output of `npm run test:long` is kept
      console.log(name, JSON.stringify(result));
    } finally {
      await served.stop();
    }
  },
);
