import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import type * as Pg from 'pg';
import { afterEach, expect, it, vi } from 'vitest';
import { openDatabase } from '../../../../src/metastore/sql/open-database.ts';
import { endingSocket } from '../../../../src/metastore/sql/postgres-server.ts';
import { postgresCodeOf } from '../../../../src/metastore/sql/sql-faults.ts';
import { errorOf, noDeadline } from '../../../support/fakes.ts';

const made: {
  readonly driver: string;
  readonly options: unknown;
  readonly heard: string[];
  readonly sent: unknown[];
  isEnded: boolean;
}[] = [];

function hang(): Promise<never> {
  return new Promise(() => {});
}

function refuse(): Promise<never> {
  return Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
}

/** The columns of the inspection, without the first one, which is the time. */
let inspected: readonly unknown[] = [];
let connecting: () => Promise<unknown> = refuse;

/** A pool that no connection can be taken from. It remembers its options. */
function poolOf(driver: string, options: unknown) {
  const pool = { driver, options, heard: [] as string[], sent: [] as unknown[], isEnded: false };
  made.push(pool);
  return {
    connect: () => connecting(),
    getConnection: () => connecting(),
    query: async (query: unknown) => {
      pool.sent.push(query);
      const rows = [[String(Date.now() / 1000 + 60), ...inspected]];
      return driver === 'pg' ? { rows } : [rows];
    },
    on: (event: string) => pool.heard.push(event),
    end: async () => void (pool.isEnded = true),
  };
}

vi.mock('pg', async (importOriginal) => ({
  Client: (await importOriginal<typeof Pg>()).Client,
  Pool: vi.fn<(options: unknown) => object>(function (options: unknown) {
    return poolOf('pg', options);
  }),
}));
/** What the driver for MySQL throws when it reads a URL. */
let refusal: Error | undefined;

vi.mock('mysql2/promise', () => ({
  createPool: (options: unknown) => {
    if (refusal !== undefined) throw refusal;
    return poolOf('mysql2', options);
  },
}));

afterEach(() => {
  made.length = 0;
  connecting = refuse;
  refusal = undefined;
});

it.for([
  ['postgres://u:secret@db.example/keys', 'PostgreSQL at db.example:5432', 'pg'],
  ['postgresql://u:secret@db.example:6000/keys', 'PostgreSQL at db.example:6000', 'pg'],
  ['postgres://u:secret@db.example:1/keys', 'PostgreSQL at db.example:1', 'pg'],
  ['postgres://u:secret@db.example:65535/keys', 'PostgreSQL at db.example:65535', 'pg'],
  ['postgres://u:secret@[::1]/keys', 'PostgreSQL at [::1]:5432', 'pg'],
  ['postgres://u:secret@db.example/keys?host=db2.example&port=6001', 'PostgreSQL at db2.example:6001', 'pg'],
  ['mysql://u:secret@db.example/keys', 'MySQL at db.example:3306', 'mysql2'],
  ['mariadb://u:secret@db.example:3333/keys', 'MySQL at db.example:3333', 'mysql2'],
] as const)('openDatabase opens %s, and calls it "%s"', async ([url, called, driver]) => {
  const database = await openDatabase(url, 'DATABASE_URL');
  expect(database.called).toBe(called);
  const options =
    driver === 'pg'
      ? { connectionString: url, stream: endingSocket, max: 2, connectionTimeoutMillis: 5_000 }
      : { uri: url, connectionLimit: 2, connectTimeout: 5_000 };
  // A pool of pg needs a listener for errors. Without one, an idle connection that breaks would end the process.
  expect(made).toEqual([{ driver, options, heard: driver === 'pg' ? ['error'] : [], sent: [], isEnded: false }]);
  const fault = await errorOf(database.table.select({ id: '_SK_a' }, noDeadline()));
  expect(String((fault as Error).cause)).toBe(`Error: ${called} table encryption_key: ECONNREFUSED`);
  await database.close();
  expect(made[0]?.isEnded).toBe(true);
});

it.for(['N', 'HTTP/1.1 400'])(
  'a connection to PostgreSQL closes, so that the process can end, if the server answers "%s" instead of speaking TLS',
  async (answer) => {
    const { Client } = await vi.importActual<typeof Pg>('pg');
    // Like a server behind a broken network, this one does not close the connection.
    const server = createServer({ allowHalfOpen: true }, (socket) => socket.once('data', () => socket.write(answer)));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    await openDatabase(`postgres://127.0.0.1:${port}/keys?sslmode=require`, 'DATABASE_URL');
    const client = new Client(made[0]?.options as Pg.ClientConfig) as Pg.Client & { connection: { stream: Socket } };
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const fault = await errorOf(client.connect());
    expect(postgresCodeOf(fault)).toBe('NoTls');
    await vi.waitFor(() => expect(client.connection.stream.destroyed).toBe(true));
    const [socket] = await accepted;
    socket.destroy();
    server.close();
  },
);

/** A server's request for a password, and its next message. */
const SCRAM = ['R\0\0\0\u0017\0\0\0\nSCRAM-SHA-256\0\0', 'R\0\0\0\f\0\0\0\vr=ab'];

it.for<[string, string, string, readonly string[]]>([
  ['28P01', 'if the URL has no password', 'u', SCRAM],
  ['28P01', 'if the password is empty', 'u:', SCRAM],
  ['ECONNRESET', 'if the server hangs up', 'u:p', []],
])('an error of PostgreSQL has the code %s %s', async ([code, , user, answers]) => {
  const { Client } = await vi.importActual<typeof Pg>('pg');
  const server = createServer((socket) => {
    const left = [...answers];
    socket.on('data', () => (left.length === 0 ? socket.end() : socket.write(left.shift() ?? '')));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const connectionString = `postgres://${user}@127.0.0.1:${port}/keys`;
  const client = new Client({ connectionString, stream: endingSocket });
  client.on('error', () => {});
  expect(postgresCodeOf(await errorOf(client.connect()))).toBe(code);
  await client.end();
  server.close();
});

it.for(['', 'db.example', 'postgres:', 'postgres:///keys', 'mysql:keys', 'mysql:///keys', 'https://db.example/keys'])(
  'openDatabase refuses the URL "%s", and names the variable in its error',
  async (url) => {
    const fault = await errorOf(openDatabase(url, 'DATABASE_URL'));
    expect(fault).toMatchObject({ code: 'InvalidConfiguration' });
    expect(String(fault)).toContain('DATABASE_URL must begin with postgres://, mysql:// or mariadb:// and a host');
    expect(made).toEqual([]);
  },
);

it.for(['db.example/keys?port=abc', 'db.example/keys?port=65536', 'db.example:0/keys'])(
  'openDatabase refuses the invalid port in "%s" before it makes a pool',
  async (place) => {
    const fault = await errorOf(openDatabase(`postgres://u:CANARY@${place}`, 'DATABASE_URL'));
    expect(String(fault)).toBe(
      'KeyfoldError: Keyfold cannot start:\n- the port in DATABASE_URL, or in PGPORT, must be a number from 1 to 65535',
    );
    expect(made).toEqual([]);
  },
);

it('openDatabase inspects MySQL with the statement that test/peers runs on a real server', async () => {
  inspected = [1, 1, 0, 1, 1, 0, 0];
  const { inspect } = await openDatabase('mysql://u@db.example/keys', 'DATABASE_URL');
  const outcome = await inspect();
  const { clockOffsetMs = 0 } = 'answer' in outcome ? outcome.answer : {};
  expect(Math.round(clockOffsetMs / 10_000)).toBe(6);
  const sql = `SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000,
  EXISTS (SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'encryption_key'
    AND non_unique = 0 GROUP BY index_name
    HAVING GROUP_CONCAT(LOWER(column_name) ORDER BY LOWER(column_name)) = 'created,id'),
  @@global.read_only = 0, @@autocommit = 1 AND @@sql_mode LIKE '%STRICT_%_TABLES%',
  EXISTS (SELECT 1 FROM encryption_key), 1, 0,
  EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'encryption_key'
    AND (column_name = 'created' AND data_type = 'date'
      OR column_name = 'key_record' AND character_maximum_length < 1000))`;
  expect(made[0]?.sent).toEqual([{ sql, rowsAsArray: true }]);
});

it.for([
  ['mysql', 1, 0],
  ['postgres', 'true', 'false'],
] as const)('openDatabase reports each result of the inspection (%s)', async ([protocol, yes, no]) => {
  const { inspect } = await openDatabase(`${protocol}://u@db.example/keys`, 'DATABASE_URL');
  const reported = async (...columns: readonly unknown[]): Promise<unknown> => {
    inspected = columns;
    const outcome = await inspect();
    return 'answer' in outcome && { ...outcome.answer, clockOffsetMs: 0 };
  };
  const all = {
    clockOffsetMs: 0,
    hasPrimaryKey: true,
    isReadOnly: false,
    isUnsafe: false,
    holdsRows: true,
    canInsert: true,
    mayHideRows: true,
    isTooNarrow: true,
  };
  expect(await reported(yes, yes, yes, yes, yes, yes, yes)).toEqual(all);
  for (const [i, flag] of Object.keys(all).slice(1).entries()) {
    const columns = Array.from({ length: 7 }, (_, at) => (at === i ? no : yes));
    expect(await reported(...columns)).toEqual({ ...all, [flag]: flag === 'isReadOnly' || flag === 'isUnsafe' });
  }
  if (protocol === 'mysql') return;
  expect(made[0]?.sent[0]).toEqual({ text: expect.stringContaining('pg_index') as string, rowMode: 'array' });
});

it.for(['mysql', 'postgres'])('openDatabase allows a query 30 seconds (%s)', async (protocol) => {
  const closed = vi.fn<() => void>();
  const connection = { query: hang, execute: hang, release: closed, destroy: closed, on: vi.fn<() => void>() };
  connecting = async () => connection;
  const { table } = await openDatabase(`${protocol}://u@db.example/keys`, 'DATABASE_URL');
  vi.useFakeTimers();
  const ended = errorOf(table.select({ id: '_SK_a' }, noDeadline()));
  await vi.advanceTimersByTimeAsync(29_999);
  expect(closed).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(closed).toHaveBeenCalledOnce();
  await vi.advanceTimersByTimeAsync(60_000);
  vi.useRealTimers();
  expect(await ended).toMatchObject({ code: 'MetastoreUnavailable' });
});

it.for([
  [new URIError('SECRET'), 'the driver refuses KEYS_URL (URIError): a % in the password is written as %25'],
  [new TypeError('SECRET'), 'the driver refuses KEYS_URL (TypeError)'],
] as const)(
  'if the driver refuses a URL, openDatabase names only the class of the error: %s',
  async ([fault, says]) => {
    refusal = fault;
    const { message } = (await errorOf(openDatabase('mysql://u@h/d', 'KEYS_URL'))) as Error;
    expect(message).toBe(`Keyfold cannot start:\n- ${says}`);
  },
);

it.for([
  ['postgres', 'pg', 'pg'],
  ['mysql', 'mysql2/promise', 'mysql2'],
] as const)(
  'openDatabase says which driver to install if the driver for %s does not load',
  async ([protocol, name, install]) => {
    vi.doMock(name, () => Promise.reject(new Error('absent')));
    expect(await errorOf(openDatabase(`${protocol}://u@h/d`, 'DATABASE_URL'))).toMatchObject({
      code: 'InvalidConfiguration',
      message: `Keyfold cannot start:\n- the driver does not load (Error): npm install ${install}`,
    });
  },
);
