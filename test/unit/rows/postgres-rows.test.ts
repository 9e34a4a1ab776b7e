/** Tests PostgresRows on a stub pool. test/peers tests it on a real server. */
import { expect, it } from 'vitest';
import type { SourceFault } from '../../../src/maintenance/reencryption/rows.ts';
import { PostgresRows, type RowsPool } from '../../../src/rows/postgres-rows.ts';
import { errorOf } from '../../support/fakes.ts';

const OPTIONS = { table: 'orders', fields: ['card'] };
const NAMES = { partitionField: undefined, partition: undefined, context: undefined, contextFrom: undefined };

/**
 * A source whose pool describes the table's columns and key, and returns the rows of `answer` for every other query.
 */
function rowsWith(answer: () => (string | null)[][]): PostgresRows {
  const pool: RowsPool = {
    query: async ({ text }) => {
      if (text.includes('pg_attribute WHERE')) return { rows: COLUMNS, rowCount: 2 };
      return { rows: text.includes('pg_index') ? KEY : answer(), rowCount: 1 };
    },
  };
  return new PostgresRows({ ...OPTIONS, ...NAMES }, pool);
}

const COLUMNS = [
  ['id', 'integer'],
  ['card', 'text'],
];
const KEY = [['id']];
const ROW = { id: '1', key: ['1'], columns: new Map(), cells: new Map(), partition: undefined, context: undefined };

it.for<['may help' | 'cannot help', string]>([
  ['may help', '57P01'],
  ['may help', '08006'],
  ['may help', '40001'],
  ['may help', '53300'],
  ['may help', '55P03'],
  ['may help', '25006'],
  ['may help', 'ECONNRESET'],
  ['may help', 'EPIPE'],
  ['cannot help', '42501'],
  ['cannot help', '42P01'],
  ['cannot help', '25P02'],
])('PostgresRows reports that a retry %s after the error %s', async ([verdict, code]) => {
  const rows = rowsWith(() => {
    throw Object.assign(new Error('secret'), { code });
  });
  const fault = (await errorOf(rows.reread(ROW))) as SourceFault;
  expect(fault).toMatchObject({ name: 'SourceFault', mayPass: verdict === 'may help' });
  expect(fault.message).toBe(`The table orders fails: ${code}`);
});

it('PostgresRows retries a failed read of a page', async () => {
  let failures = 0;
  const rows = rowsWith(() => {
    failures += 1;
    if (failures < 3) throw Object.assign(new Error('secret'), { code: '57P01' });
    return [['1', 'kf1.']];
  });
  expect((await rows.pages(undefined).next()).value).toHaveLength(1);
});

it('PostgresRows reads no cell from a column that is NULL', async () => {
  const rows = rowsWith(() => [
    ['1', 'kf1.'],
    ['2', null],
  ]);
  const read: unknown[] = [];
  for await (const page of rows.pages(undefined)) read.push(...page.map(({ id, cells }) => [id, [...cells]]));
  expect(read).toEqual([
    ['{"id":"1"}', [['card', { kind: 'text', text: 'kf1.' }]]],
    ['{"id":"2"}', []],
  ]);
});
