/** The statements for MySQL, on a stub driver. test/peers runs the same statements on a real server. */
import { describe, expect, it } from 'vitest';
import { MySqlKeyTable } from '../../../../src/metastore/sql/mysql-key-table.ts';
import { TOMBSTONE_CREATED } from '../../../../src/records/ids.ts';
import { codeOf, errorOf, noDeadline } from '../../../support/fakes.ts';

interface Sent {
  readonly sql: string;
  readonly values: readonly unknown[];
  readonly rowsAsArray: boolean;
  readonly nestTables: boolean;
  readonly typeCast: boolean;
}

const ID = '_SK_svc_prod';
const deadline = noDeadline();
const bytes = (text: string): string => `CAST(CONVERT(${text} USING utf8mb4) AS BINARY)`;
const OF_ID = 'id = ? AND HEX(CONVERT(id USING utf8mb4)) = ?';
/** The bytes of {@link ID} as hexadecimal digits. */
const HEX = '5F534B5F7376635F70726F64';
const COLUMNS = 'CAST(created AS CHAR), LEFT(CONVERT(key_record USING utf8mb4), 65536)';
const SELECT = `SELECT ${COLUMNS} FROM encryption_key WHERE ${OF_ID}`;
const PAGE = `SELECT ${COLUMNS}, CONVERT(id USING utf8mb4) FROM encryption_key`;
const SAFE = "@@autocommit = 1 AND @@sql_mode LIKE '%STRICT_%_TABLES%'";
const TEXT = 'LEFT(CONVERT(key_record USING utf8mb4), 65536)';
const UNCHANGED = `WHERE ${OF_ID} AND CAST(created AS CHAR) = ? AND ${bytes(TEXT)} <=> ${bytes('?')} AND ${SAFE}`;
const ROW = { created: 60, date: '1970-01-01 00:01:00', text: '{"a":1}' };

/** A table whose driver gives the same result for each query. */
function tableWith(result: unknown) {
  const sent: Sent[] = [];
  const connection = {
    execute: async (query: Sent) => {
      sent.push(query);
      if (result instanceof Error) throw result;
      return [result];
    },
    release: () => {},
    destroy: () => {},
    threadId: null,
  };
  const pool = { getConnection: async () => connection };
  return {
    table: new MySqlKeyTable(pool, {}),
    sent,
    texts: () => sent.map(({ sql, values }) => [sql, values]),
  };
}

describe('the key table in MySQL', () => {
  it('selects rows of exactly one ID, as arrays', async () => {
    const { table, sent, texts } = tableWith([]);
    await table.select({ id: ID }, deadline);
    await table.select({ id: ID, limit: 1 }, deadline);
    await table.select({ id: ID, created: 60, limit: 1 }, deadline);
    await table.select({ id: ID, notAfter: 60, limit: 10 }, deadline);
    await table.select({ id: ID, created: TOMBSTONE_CREATED }, deadline);
    expect(texts()).toEqual([
      [`${SELECT} ORDER BY created DESC`, [ID, HEX]],
      [`${SELECT} ORDER BY created DESC LIMIT 1`, [ID, HEX]],
      [`${SELECT} AND created = ? ORDER BY created DESC LIMIT 1`, [ID, HEX, '1970-01-01 00:01:00']],
      [`${SELECT} AND created <= ? ORDER BY created DESC LIMIT 10`, [ID, HEX, '1970-01-01 00:01:00']],
      [`${SELECT} AND created = ? ORDER BY created DESC`, [ID, HEX, '2038-01-17 23:59:59']],
    ]);
    for (const query of sent) expect(query).toMatchObject({ rowsAsArray: true, nestTables: false, typeCast: true });
  });

  it.for([
    ['1970-01-01 00:01:00', 60],
    ['1970-01-01 00:01:00.000', 60],
    ['2038-01-17 23:59:59', TOMBSTONE_CREATED],
    ['2038-01-17 23:59:59.0', TOMBSTONE_CREATED],
    ['1970-01-01 00:01:00.5', undefined],
    ['0000-00-00 00:00:00', undefined],
    ['1970-01-01', undefined],
    [null, undefined],
  ] as const)('reads the date %s as %s', async ([timestamp, created]) => {
    const { table } = tableWith([[timestamp, null, ID]]);
    const row = { created, date: timestamp ?? '', text: null };
    expect(await table.select({ id: ID }, deadline)).toEqual([row]);
    expect(await table.page(undefined, 1, deadline)).toEqual([{ ...row, id: ID }]);
  });

  it('reads pages in the order of the primary key, from the beginning or after a row', async () => {
    const { table, texts } = tableWith([['1970-01-01 00:01:00', '{}', ID]]);
    const [row] = await table.page(undefined, 500, deadline);
    expect(row).toEqual({ id: ID, date: '1970-01-01 00:01:00', created: 60, text: '{}' });
    await table.page(row, 2, deadline);
    expect(texts()).toEqual([
      [`${PAGE}  ORDER BY id, created LIMIT 500`, []],
      [
        `${PAGE} WHERE id >= ? AND (id > ? OR created > ?) ORDER BY id, created LIMIT 2`,
        [ID, ID, '1970-01-01 00:01:00'],
      ],
    ]);
  });

  it('writes only in a safe session, and changes a row only if the text of the row has not changed since the read', async () => {
    const { table, texts } = tableWith({ affectedRows: 1 });
    expect(await table.insert(ID, 60, '{"a":1}', deadline)).toBe('stored');
    expect(await table.replace(ID, ROW, '{"b":1}', deadline)).toBe(true);
    expect(await table.remove(ID, { created: undefined, date: '0000-00-00 00:00:00', text: null }, deadline)).toBe(
      true,
    );
    const columns = 'encryption_key (id, created, key_record)';
    expect(texts()).toEqual([
      [
        `INSERT INTO ${columns} SELECT ?, ?, ? FROM DUAL WHERE HEX(CONVERT(? USING utf8mb4)) = ? AND ${SAFE}`,
        [ID, '1970-01-01 00:01:00', '{"a":1}', ID, HEX],
      ],
      [
        `UPDATE encryption_key SET key_record = ?, created = created ${UNCHANGED}`,
        ['{"b":1}', ID, HEX, '1970-01-01 00:01:00', '{"a":1}'],
      ],
      [`DELETE FROM encryption_key ${UNCHANGED}`, [ID, HEX, '0000-00-00 00:00:00', null]],
    ]);
  });

  it('checks whether the session is safe if a write changes no row', async () => {
    const { table, texts } = tableWith(Object.assign([['1']], { affectedRows: 0 }));
    expect(await table.replace(ID, ROW, 'b', deadline)).toBe(false);
    expect(await table.remove(ID, ROW, deadline)).toBe(false);
    const check = [`SELECT 1 FROM DUAL WHERE ${SAFE}`, []];
    expect([texts()[1], texts()[3], texts().length]).toEqual([check, check, 4]);
    const unsafe = tableWith(Object.assign([], { affectedRows: 0 }));
    expect(await errorOf(unsafe.table.remove(ID, ROW, deadline))).toMatchObject({
      code: 'MetastoreUnavailable',
      cause: new Error('MySQL table encryption_key: the session must have autocommit and a strict sql_mode'),
    });
    expect(unsafe.sent).toHaveLength(2);
  });

  it("refuses a row whose ID the connection's character set has changed", async () => {
    const { table, sent } = tableWith(Object.assign([['1']], { affectedRows: 0 }));
    expect(await codeOf(table.insert('_IK_\u6f22_svc_prod', 60, '{}', deadline))).toBe('InvalidRequest');
    expect(sent[0]?.values.at(-1)).toBe('5F494B5FE6BCA25F7376635F70726F64');
  });

  it.for([
    ['ER_CANT_AGGREGATE_2COLLATIONS', 'HY000', 'InvalidRequest', 1],
    ['ER_TRUNCATED_WRONG_VALUE_FOR_FIELD', 'HY000', 'InvalidRequest', 1],
    ['ER_TRUNCATED_WRONG_VALUE', '22007', 'InvalidRequest', 1],
    ['ER_LOCK_WAIT_TIMEOUT', 'HY000', 'MetastoreUnavailable', 1],
    ['ER_LOCK_DEADLOCK', '40001', 'MetastoreUnavailable', 3],
    ['ER_SERVER_SHUTDOWN', '08S01', 'MetastoreUnavailable', 3],
    ['ER_CONNECTION_KILLED', '70100', 'MetastoreUnavailable', 3],
    ['ER_NEW_ABORTING_CONNECTION', '08S01', 'MetastoreUnavailable', 3],
  ] as const)('turns the error %s (%s) into %s (attempts: %i)', async ([code, sqlState, expected, attempts]) => {
    const { table, sent } = tableWith(Object.assign(new Error('SECRET'), { code, sqlState }));
    expect(await codeOf(table.insert(ID, 60, '{}', deadline))).toBe(expected);
    expect(sent).toHaveLength(attempts);
  });
});
