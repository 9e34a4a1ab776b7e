import { expect, it } from 'vitest';
import { quoted, sqlTableName } from '../../../src/rows/postgres-table-name.ts';
import { errorOf } from '../../support/fakes.ts';

it.for([
  ['orders', '"orders"'],
  ['Orders', '"orders"'],
  ['_o$1', '"_o$1"'],
  // PostgreSQL folds only ASCII letters in a database with a multibyte encoding.
  ['ÄRGER', '"Ärger"'],
  ['"Orders"', '"Orders"'],
  ['"my.table"', '"my.table"'],
  ['"say ""hi"""', '"say ""hi"""'],
  ['billing.orders', '"billing"."orders"'],
  ['Billing."T"', '"billing"."T"'],
  ['"a.b"."c.d"', '"a.b"."c.d"'],
  ['"\u{1f511}".\u{1f511}', '"\u{1f511}"."\u{1f511}"'],
])('sqlTableName reads the name %s as PostgreSQL does', ([text, sql]) => {
  expect(sqlTableName(text as string)).toBe(sql);
});

it.for([
  '',
  '.',
  'a.',
  '.b',
  'a.b.c',
  'my-table',
  'my table',
  'a; DROP TABLE b',
  '1st',
  '""',
  '"a',
  'a"',
  '"a"b"',
  '"a""',
  '"a"."b',
  '"a\0b"',
  'a .b',
  "'a'",
  `U&"d\\0061t"`,
  'a\n',
])('sqlTableName refuses %j, which is not a valid name in PostgreSQL', async (text) => {
  const error = await errorOf(Promise.resolve().then(() => sqlTableName(text)));
  expect(error).toMatchObject({
    code: 'InvalidRequest',
    message:
      'The name of the table in PostgreSQL is invalid: it must be table or schema.table, and a name with other ' +
      'characters needs double quotes: "my.table".',
  });
});

it('quoted doubles each double quote of a name', () => {
  expect(['a', 'a"b', '"'].map(quoted)).toEqual(['"a"', '"a""b"', '"'.repeat(4)]);
});
