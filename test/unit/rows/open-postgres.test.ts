import { afterEach, expect, it, vi } from 'vitest';
import { endingSocket } from '../../../src/metastore/sql/postgres-server.ts';
import { openPostgresRows } from '../../../src/rows/open-postgres.ts';
import { errorOf } from '../../support/fakes.ts';

interface Made {
  readonly options: { readonly types: { readonly getTypeParser: () => (text: string) => unknown } };
  readonly heard: readonly string[];
}
const made: Made[] = [];

vi.mock('pg', () => ({
  Pool: vi.fn<(options: Made['options']) => object>(function (options: Made['options']) {
    const heard: string[] = [];
    made.push({ options, heard });
    return { on: (event: string) => heard.push(event) };
  }),
}));

afterEach(() => {
  made.length = 0;
});

it('openPostgresRows limits the connections and the time of a query, and lets the process end', async () => {
  const url = 'postgres://db.example/shop';
  const names = { partition: undefined, partitionField: undefined, context: undefined, contextFrom: undefined };
  await openPostgresRows(url, { table: 'orders', fields: ['card'], ...names });
  const options = {
    connectionString: url,
    stream: endingSocket,
    max: 8,
    connectionTimeoutMillis: 10_000,
    statement_timeout: 30_000,
    // The server ends a query first. The driver ends it only if no answer comes.
    query_timeout: 40_000,
    types: expect.anything() as unknown,
    allowExitOnIdle: true,
  };
  // A pool needs a listener for errors. Without one, an idle connection that breaks would end the process.
  expect(made).toEqual([{ options, heard: ['error'] }]);
  // The values of all columns stay the texts that the server returns.
  expect(made[0]?.options.types.getTypeParser()('1.50')).toBe('1.50');
});

it('openPostgresRows says which driver to install if the driver does not load', async () => {
  vi.doMock('pg', () => Promise.reject(new Error('absent')));
  const names = { partition: undefined, partitionField: undefined, context: undefined, contextFrom: undefined };
  expect(await errorOf(openPostgresRows('postgres://h/d', { table: 't', fields: [], ...names }))).toMatchObject({
    code: 'InvalidConfiguration',
    message: 'Keyfold cannot start:\n- the driver does not load (Error): npm install pg',
  });
});
