import { createPool as createCallbackPool } from 'mysql2';
import { describe, expect, it } from 'vitest';
import { MySqlMetastore } from '../../../../src/metastore/sql/mysql-metastore.ts';
import { PostgresMetastore } from '../../../../src/metastore/sql/postgres-metastore.ts';
import { decodeKeyRow, encodeKeyRecord, readKeyRow, withKey } from '../../../../src/metastore/sql/key-record.ts';
import type { EnvelopeKeyRecord, KeyfoldError } from '../../../../src/index.ts';
import { keyRecord } from '../../../../src/testing/key-record.ts';
import { codeOf, errorOf, noDeadline } from '../../../support/fakes.ts';

const FULL = keyRecord('_IK_a_svc_prod', 120, {
  parent: { id: keyRecord('_SK_svc_prod', 60).id, created: keyRecord('', 60).created },
  proof: Buffer.alloc(32, 7),
  revoked: true,
});

describe('the codec for key_record', () => {
  it('writes the members that Asherah writes, and then the proof', () => {
    expect(encodeKeyRecord(FULL)).toBe(
      '{"Revoked":true,"Created":120,"Key":"a2V5IDEyMA==","ParentKeyMeta":{"KeyId":"_SK_svc_prod","Created":60},' +
        `"Proof":"${Buffer.alloc(32, 7).toString('base64')}"}`,
    );
    expect(encodeKeyRecord(keyRecord('_SK_a', 60))).toBe('{"Created":60,"Key":"a2V5IDYw"}');
  });

  it('reads what it wrote, and ignores unknown members', () => {
    for (const record of [FULL, keyRecord('_SK_a', 60)] as EnvelopeKeyRecord[]) {
      const text = encodeKeyRecord(record).replace('{', '{"More":[1],');
      expect(decodeKeyRow(record.id, { created: record.created, date: '', text })).toEqual(record);
    }
  });

  it('replaces the key, and keeps unknown members', () => {
    const text = withKey('{"More":1,"Created":60,"Key":"YQ==","Proof":"x"}', Buffer.from('b'));
    expect(text).toBe('{"More":1,"Created":60,"Key":"Yg==","Proof":"x"}');
  });

  it.for([
    ['a date that is not a whole number', { created: undefined }, 'created is missing'],
    ['another date in the record', { created: 121 }, 'key_record.Created differs from created'],
    ['NULL', { text: null }, 'key_record is missing'],
    ['text that is too long', { text: `${' '.repeat(65_535)}{}` }, 'key_record is missing'],
  ] as const)('refuses a row with %s', ([, changes, reason]) => {
    const row = { created: 120, date: '120.5', text: encodeKeyRecord(FULL), ...changes };
    const read = readKeyRow(FULL.id, row);
    expect(read).toMatchObject({ unreadable: expect.stringContaining(reason) as string });
    expect('rawCreated' in read ? read.rawCreated : undefined).toBe(row.created === undefined ? '120.5' : undefined);
  });

  it.for<[string, string, unknown]>([
    ['a date that is a string', 'Created', '120'],
    ['a key that is a number', 'Key', 5],
    ['a parent that is a string', 'ParentKeyMeta', 'x'],
    ['a parent that is null', 'ParentKeyMeta', null],
    ['a parent without an ID', 'ParentKeyMeta', { Created: 60 }],
    ['a parent without a date', 'ParentKeyMeta', { KeyId: '_SK_svc_prod' }],
    ['a parent whose date is not a safe integer', 'ParentKeyMeta', { KeyId: '_SK_svc_prod', Created: 2 ** 53 }],
    ['a proof that is a number', 'Proof', 5],
    ['a proof of 31 bytes', 'Proof', Buffer.alloc(31).toString('base64')],
    ['a flag that is a number', 'Revoked', 1],
  ])('refuses a row with %s, and names the row and the member', ([, member, value]) => {
    const text = JSON.stringify({ ...(JSON.parse(encodeKeyRecord(FULL)) as object), [member]: value });
    expect(() => decodeKeyRow(FULL.id, { created: 120, date: '', text })).toThrow(
      `The key row _IK_a_svc_prod created 120 cannot be read: key_record.${member} is missing or malformed.`,
    );
  });

  it.for([
    ['an array', '[]'],
    ['a text that is nested too deeply', `{"More":${'['.repeat(200)}${']'.repeat(200)}}`],
  ] as const)('refuses %s as a key record, and names the date of the row as the database writes it', ([, text]) => {
    const row = { created: undefined, date: '7.5', text };
    expect(() => decodeKeyRow(FULL.id, row)).toThrow('_IK_a_svc_prod created 7.5 cannot be read: created is missing');
    expect(() => decodeKeyRow(FULL.id, { ...row, created: 120 })).toThrow('key_record is missing or malformed');
  });

  it.for([
    ['a number', 5],
    ['null', null],
    ['an object with members of other types', { Erase: 1, At: '1', Due: 1.5, Proof: 7 }],
  ] as const)('reads an erasure mark that is %s as a mark without a valid proof', ([, Erased]) => {
    const text = JSON.stringify({ ...(JSON.parse(encodeKeyRecord(FULL)) as object), Erased });
    const erased = { erase: '', at: 0, due: 0, proof: Buffer.alloc(0) };
    expect(decodeKeyRow(FULL.id, { created: 120, date: '', text })).toEqual({ ...FULL, erased });
  });

  it('reads a row of 65,535 characters, and refuses a longer one', () => {
    const text = encodeKeyRecord(FULL);
    const readAt = (length: number) => readKeyRow(FULL.id, { created: 120, date: '', text: text.padEnd(length) });
    expect(readAt(65_535)).not.toHaveProperty('unreadable');
    expect(readAt(65_536)).toHaveProperty('unreadable');
  });

  it.for([
    ['the date of the row', 'Created":120'],
    ['the date of the parent', 'Created":60'],
    ['a number in an unknown member', 'More":[1'],
  ] as const)('refuses a row if JSON.parse would round %s', ([, number]) => {
    const text = encodeKeyRecord(FULL).replace('{', '{"More":[1,1.5,"2.00000000000000000001"],');
    expect(readKeyRow(FULL.id, { created: 120, date: '', text })).not.toHaveProperty('unreadable');
    const rounded = text.replace(number, `${number}.00000000000000000001`);
    expect(readKeyRow(FULL.id, { created: 120, date: '', text: rounded })).toHaveProperty('unreadable');
  });
});

/** A driver error with these members. */
function driverError(members: object): Error {
  return Object.assign(new Error("Duplicate entry 'SECRET' for key 'PRIMARY'"), members);
}

/**
 * A metastore on a stub pool, in which every query fails with the given error. It counts queries and closed
 * connections.
 */
function failing(kind: 'pg' | 'mysql', error: unknown) {
  const seen = { queries: 0, released: 0, destroyed: 0 };
  const fail = async (): Promise<never> => {
    seen.queries += 1;
    throw error;
  };
  const release = (destroy?: boolean): void => void (seen[destroy === true ? 'destroyed' : 'released'] += 1);
  const connection = {
    query: fail,
    execute: fail,
    release,
    destroy: () => release(true),
    threadId: null,
    on: () => {},
    removeListener: () => {},
  };
  const pool = {
    connect: async () => connection,
    getConnection: async () => connection,
  };
  return { seen, metastore: kind === 'pg' ? new PostgresMetastore({ pool }) : new MySqlMetastore({ pool }) };
}

describe('a SQL metastore', () => {
  type Metastore = ReturnType<typeof failing>['metastore'];
  it.for<[message: string, call: (metastore: Metastore) => Promise<unknown>]>([
    ['id must be a string', (metastore) => metastore.load(5 as never, 60 as never, noDeadline())],
    ['created must be a number', (metastore) => metastore.load('_SK_a' as never, '60' as never, noDeadline())],
    ['deadline must be a deadline', (metastore) => metastore.load('_SK_a' as never, 60 as never, {} as never)],
    ['id must be a string', (metastore) => metastore.loadLatest(5 as never, noDeadline())],
    ['deadline must be a deadline', (metastore) => metastore.loadLatest('_SK_a' as never, {} as never)],
    ['id must be a string', (metastore) => metastore.loadRecent(5 as never, 60 as never, noDeadline())],
    [
      'notAfter must be a whole number',
      (metastore) => metastore.loadRecent('_SK_a' as never, 0.5 as never, noDeadline()),
    ],
    ['deadline must be a deadline', (metastore) => metastore.loadRecent('_SK_a' as never, 60 as never, {} as never)],
    ['record must be an object', (metastore) => metastore.store(5 as never, noDeadline())],
    ['deadline must be a deadline', (metastore) => metastore.store(FULL, {} as never)],
    ['id must be a string', (metastore) => metastore.rows(5 as never, noDeadline())],
    ['deadline must be a deadline', (metastore) => metastore.rows('_SK_a' as never, {} as never)],
    ['record must be an object', (metastore) => metastore.replaceKey(5 as never, Buffer.alloc(1), noDeadline())],
    ['encryptedKey must be a Uint8Array', (metastore) => metastore.replaceKey(FULL, 'a' as never, noDeadline())],
    ['deadline must be a deadline', (metastore) => metastore.replaceKey(FULL, Buffer.alloc(1), {} as never)],
  ])('throws the TypeError "%s" before any query', async ([message, call]) => {
    const { metastore, seen } = failing('pg', new Error('not expected'));
    const error = await errorOf(call(metastore));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toMatch(new RegExp(`^${message}`));
    expect(seen.queries).toBe(0);
  });

  const FAULTS = [
    ['pg', { code: '42501' }, { code: 'MetastoreUnavailable', queries: 1, destroyed: 0 }],
    ['pg', { code: '57P01' }, { code: 'MetastoreUnavailable', queries: 3, destroyed: 3 }],
    ['pg', { code: 'EPIPE' }, { code: 'MetastoreUnavailable', queries: 3, destroyed: 3 }],
    ['pg', { code: '40001' }, { code: 'MetastoreUnavailable', queries: 3, destroyed: 0 }],
    ['pg', { code: '25006' }, { code: 'MetastoreUnavailable', queries: 3, destroyed: 3 }],
    ['pg', { code: '40P01' }, { code: 'MetastoreUnavailable', queries: 3, destroyed: 0 }],
    ['pg', { code: '08006' }, { code: 'MetastoreUnavailable', queries: 3, destroyed: 3 }],
    ['pg', { code: '25P02' }, { code: 'MetastoreUnavailable', queries: 1, destroyed: 0 }],
    ['pg', { code: '22001' }, { code: 'InvalidRequest', queries: 1, destroyed: 0 }],
    [
      'mysql',
      { code: 'ER_TABLEACCESS_DENIED_ERROR', sqlState: '42000' },
      { code: 'MetastoreUnavailable', queries: 1, destroyed: 0 },
    ],
    [
      'mysql',
      { code: 'PROTOCOL_CONNECTION_LOST', fatal: true },
      { code: 'MetastoreUnavailable', queries: 3, destroyed: 3 },
    ],
    [
      'mysql',
      { code: 'ER_HANDSHAKE_ERROR', sqlState: 'HY000', fatal: true },
      { code: 'MetastoreUnavailable', queries: 3, destroyed: 3 },
    ],
    [
      'mysql',
      { code: 'ER_LOCK_DEADLOCK', sqlState: '40001' },
      { code: 'MetastoreUnavailable', queries: 3, destroyed: 0 },
    ],
    ...(
      [
        ['ER_OPTION_PREVENTS_STATEMENT', 'HY000'],
        ['ER_READ_ONLY_MODE', 'HY000'],
        ['ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION', '25006'],
        ['ER_UNKNOWN_COM_ERROR', '08S01'],
        ['ER_NEW_ABORTING_CONNECTION', '08S01'],
        ['ER_SERVER_SHUTDOWN', '08S01'],
        ['ER_CONNECTION_KILLED', '70100'],
        ['ER_CLIENT_INTERACTION_TIMEOUT', 'HY000'],
        ['ER_SERVER_OFFLINE_MODE', 'HY000'],
        ['ER_UNKNOWN_STMT_HANDLER', 'HY000'],
        ['ER_NEED_REPREPARE', 'HY000'],
      ] as const
    ).map(
      ([code, sqlState]) =>
        ['mysql', { code, sqlState }, { code: 'MetastoreUnavailable', queries: 3, destroyed: 3 }] as const,
    ),
    ['mysql', { code: 'ER_DATA_TOO_LONG', sqlState: '22001' }, { code: 'InvalidRequest', queries: 1, destroyed: 0 }],
    ['mysql', { code: 'ER_WRONG_VALUE', sqlState: 'HY000' }, { code: 'InvalidRequest', queries: 1, destroyed: 0 }],
  ] as const;

  it.for(FAULTS.map(([kind, members, expected]) => [kind, members.code, members, expected] as const))(
    'classifies the %s error %s, and drops its text',
    async ([kind, , members, expected]) => {
      const { seen, metastore } = failing(kind, driverError(members));
      const error = await errorOf(metastore.store(keyRecord('_SK_a', 60), noDeadline()));
      expect(error).toMatchObject({ code: expected.code });
      expect(seen).toMatchObject({ queries: expected.queries, destroyed: expected.destroyed });
      expect(seen.released + seen.destroyed).toBe(expected.queries);
      const { message, cause } = error as KeyfoldError;
      const unavailable = [
        'The metastore does not answer.',
        new Error(`${kind === 'pg' ? 'PostgreSQL' : 'MySQL'} table encryption_key: ${members.code}`),
      ];
      const unfit =
        'The key row does not fit the columns of the table encryption_key: the partition is too long, or has';
      expect([message, cause]).toEqual(
        expected.code === 'MetastoreUnavailable'
          ? unavailable
          : [`${unfit} characters that the column id or the connection cannot hold.`, undefined],
      );
    },
  );

  it.for([
    ['an error whose code could contain data', driverError({ code: 'the SECRET' })],
    ['a string instead of an error', 'the SECRET'],
  ] as const)('drops the text of %s', async ([, thrown]) => {
    const { metastore } = failing('pg', thrown);
    const { cause } = (await errorOf(metastore.store(keyRecord('_SK_a', 60), noDeadline()))) as KeyfoldError;
    expect(String(cause)).toBe('Error: PostgreSQL table encryption_key: UnknownError');
  });

  it('reports a duplicate only for a duplicate row, not after another error', async () => {
    const { metastore } = failing('mysql', driverError({ code: 'ER_DUP_ENTRY', sqlState: '23000' }));
    expect(await metastore.store(keyRecord('_SK_a', 60), noDeadline())).toBe('duplicate');
    const other = failing('mysql', driverError({ code: 'ER_BAD_NULL_ERROR', sqlState: '23000' }));
    expect(await codeOf(other.metastore.store(keyRecord('_SK_a', 60), noDeadline()))).toBe('MetastoreUnavailable');
  });
});

it('a SQL metastore refuses a pool of another kind, and says which kind it needs', () => {
  for (const pool of [createCallbackPool({}), {}] as never[]) {
    expect(() => new MySqlMetastore({ pool })).toThrow(
      new TypeError('options.pool must be a pool of mysql2/promise, not another object.'),
    );
  }
  expect(() => new PostgresMetastore({ pool: {} as never })).toThrow(
    new TypeError('options.pool must be a Pool of pg, not another object.'),
  );
});
