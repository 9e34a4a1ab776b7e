/** Tests the SQL metastores on stub pools: the queries that they send, and the connections that they use. */
import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { encodeKeyRecord } from '../../../../src/metastore/sql/key-record.ts';
import { MySqlMetastore } from '../../../../src/metastore/sql/mysql-metastore.ts';
import { PostgresMetastore } from '../../../../src/metastore/sql/postgres-metastore.ts';
import { keyRecord, LONG_ID } from '../../../../src/testing/key-record.ts';
import { codeOf, errorOf, noDeadline } from '../../../support/fakes.ts';

const KINDS = ['pg', 'mysql'] as const;
type Kind = (typeof KINDS)[number];

/** A query as a driver receives it. */
interface Sent {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** A connection of a {@link StubPool}. */
class StubConnection {
  readonly processID = 7;
  readonly threadId = 7;
  /** Whether the network has dropped the connection, so that no response comes. */
  isDead = false;
  isClosed = false;
  /** The socket, where `mysql2` keeps it. */
  readonly stream = { isDestroyed: false, destroy: (): void => void (this.stream.isDestroyed = true) };
  /** The socket, where `pg` keeps it. */
  readonly connection = { stream: this.stream };
  readonly #pool: StubPool;

  constructor(pool: StubPool) {
    this.#pool = pool;
  }

  query(query: { readonly text: string; readonly values: readonly unknown[] }): Promise<unknown> {
    return this.isDead ? new Promise(() => {}) : this.#pool.answer(query);
  }

  async execute({ sql, values }: { readonly sql: string; readonly values: readonly unknown[] }): Promise<unknown> {
    return [await this.query({ text: sql, values })];
  }

  release(destroy?: boolean): void {
    if (destroy === true) this.destroy();
    else this.#pool.idle.push(this);
  }

  destroy(): void {
    this.isClosed = true;
  }

  on(): void {}
  removeListener(): void {}
}

/** A pool of either driver. It returns the connection that was used last, as `pg` does. */
class StubPool {
  readonly idle: StubConnection[] = [];
  readonly made: StubConnection[] = [];
  readonly sent: Sent[] = [];
  /** How long it takes to open a new connection. */
  connectMs = 0;
  /** The errors of the next attempts to open a connection. */
  connectFaults: Error[] = [];
  /** The result of each query, in the driver's form. */
  answers: (query: Sent) => unknown = () => ({ rows: [], rowCount: 0 });

  answer = async (query: Sent): Promise<unknown> => {
    this.sent.push({ text: query.text, values: query.values });
    const answer = this.answers(query);
    if (answer instanceof Error) throw answer;
    return answer;
  };

  connect = async (): Promise<StubConnection> => {
    const idle = this.idle.pop();
    if (idle !== undefined) return idle;
    if (this.connectMs > 0) await sleep(this.connectMs);
    const fault = this.connectFaults.shift();
    if (fault !== undefined) throw fault;
    const made = new StubConnection(this);
    this.made.push(made);
    return made;
  };

  /** `mysql2/promise` wraps its connection in a new object for each use. */
  getConnection = async (): Promise<object> => {
    const core = await this.connect();
    return {
      connection: core,
      threadId: core.threadId,
      execute: (query: never) => core.execute(query),
      release: () => core.release(),
      destroy: () => core.destroy(),
    };
  };

  metastore(kind: Kind, queryTimeoutMs = 3000): PostgresMetastore | MySqlMetastore {
    const options = { pool: this as never, queryTimeoutMs };
    return kind === 'pg' ? new PostgresMetastore(options) : new MySqlMetastore(options);
  }
}

/** The driver's result of a SELECT: each row is a date in seconds and a string. */
function rowsOf(kind: Kind, rows: readonly (readonly [number, string])[]): unknown {
  if (kind === 'pg')
    return { rows: rows.map(([seconds, text]) => [String(seconds), 'DATE', text]), rowCount: rows.length };
  return rows.map(([seconds, text]) => [new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' '), text]);
}

/** The driver's result of a write. */
function written(kind: Kind, rows: number): unknown {
  return kind === 'pg' ? { rows: [], rowCount: rows } : { affectedRows: rows };
}

/** The response to the query that checks the session's settings. It says that the session is safe. */
const SAFE = [['1']];

const RECORD = keyRecord('_SK_stub', 60);
const TEXT = encodeKeyRecord(RECORD);
let pool: StubPool;

beforeEach(() => {
  pool = new StubPool();
});
afterEach(() => {
  vi.useRealTimers();
});

describe.for(KINDS)('a metastore on %s', (kind) => {
  const deadline = noDeadline();

  it('reads one row by its date, the latest row, and ten recent rows', async () => {
    const metastore = pool.metastore(kind);
    pool.answers = () => rowsOf(kind, [[60, TEXT]]);
    expect(await metastore.load(RECORD.id, RECORD.created, deadline)).toEqual(RECORD);
    expect(await metastore.loadLatest(RECORD.id, deadline)).toEqual(RECORD);
    expect(await metastore.loadRecent(RECORD.id, keyRecord('', 100).created, deadline)).toEqual([RECORD]);
    expect(await metastore.rows(RECORD.id, deadline)).toEqual([RECORD]);
    const [one, latest, recent, all] = pool.sent.map(({ text }) => text);
    expect(one).toMatch(/ AND created = .* ORDER BY created DESC LIMIT 1$/);
    expect(latest).toMatch(/[^=] ORDER BY created DESC LIMIT 1$/);
    expect(recent).toMatch(/ AND created <= .* ORDER BY created DESC LIMIT 10$/);
    expect(all).toMatch(/ ORDER BY created DESC$/);
    expect(latest).not.toContain('AND created');
    const id = kind === 'pg' ? RECORD.id : Buffer.from(RECORD.id).toString('hex').toUpperCase();
    expect(pool.sent.map(({ values }) => values.at(-1))).toEqual(
      kind === 'pg' ? ['60', id, '100', id] : ['1970-01-01 00:01:00', id, '1970-01-01 00:01:40', id],
    );
  });

  it('finds no record if the table has no row', async () => {
    const metastore = pool.metastore(kind);
    pool.answers = () => rowsOf(kind, []);
    expect(await metastore.load(RECORD.id, RECORD.created, deadline)).toBeUndefined();
    expect(await metastore.loadLatest(RECORD.id, deadline)).toBeUndefined();
    expect(await metastore.loadRecent(RECORD.id, RECORD.created, deadline)).toEqual([]);
    expect(await metastore.replaceKey(RECORD, Buffer.from('new'), deadline)).toBe('changed');
  });

  it('ends the list of recent rows before an unreadable row, and fails if the latest row is unreadable', async () => {
    const metastore = pool.metastore(kind);
    const recent = (): Promise<unknown> => metastore.loadRecent(RECORD.id, keyRecord('', 100).created, deadline);
    pool.answers = () =>
      rowsOf(kind, [
        [60, TEXT],
        [59, encodeKeyRecord(keyRecord('_SK_stub', 59))],
        [58, '{'],
        [57, encodeKeyRecord(keyRecord('_SK_stub', 57))],
      ]);
    expect(await recent()).toEqual([RECORD, keyRecord('_SK_stub', 59)]);
    pool.answers = () => rowsOf(kind, [[60, '{']]);
    expect(await codeOf(recent())).toBe('KeyRowUnreadable');
    expect(await codeOf(metastore.loadLatest(RECORD.id, deadline))).toBe('KeyRowUnreadable');
  });

  it('stores a new row, and reports a row with the same ID and date as a duplicate', async () => {
    const metastore = pool.metastore(kind);
    pool.answers = () => written(kind, 1);
    expect(await metastore.store(RECORD, deadline)).toBe('stored');
    expect(pool.sent[0]?.values.slice(0, 3)).toEqual([RECORD.id, kind === 'pg' ? '60' : '1970-01-01 00:01:00', TEXT]);
    pool.answers = () =>
      kind === 'pg'
        ? written(kind, 0)
        : Object.assign(new Error('duplicate'), { code: 'ER_DUP_ENTRY', sqlState: '23000' });
    expect(await metastore.store(RECORD, deadline)).toBe('duplicate');
  });

  it('replaces a key only if the row still contains the key and the text that were read', async () => {
    const metastore = pool.metastore(kind);
    let rows = 1;
    pool.answers = ({ text }) => {
      if (text.startsWith('UPDATE')) return written(kind, rows);
      return text.startsWith('SELECT 1') ? SAFE : rowsOf(kind, [[60, TEXT]]);
    };
    expect(await metastore.replaceKey(RECORD, Buffer.from('new'), deadline)).toBe('replaced');
    expect(pool.sent[0]?.text).toMatch(/ AND created = .* ORDER BY created DESC LIMIT 1$/);
    const renewed = encodeKeyRecord({ ...RECORD, encryptedKey: Buffer.from('new') });
    const update = pool.sent.find(({ text }) => text.startsWith('UPDATE'));
    expect(update?.values).toEqual(expect.arrayContaining([RECORD.id, renewed, TEXT]));
    rows = 0;
    expect(await metastore.replaceKey(RECORD, Buffer.from('new'), deadline)).toBe('changed');
    const sent = pool.sent.length;
    const other = { ...RECORD, encryptedKey: Buffer.from('other') };
    expect(await metastore.replaceKey(other, Buffer.from('new'), deadline)).toBe('changed');
    expect(pool.sent.slice(sent).map(({ text }) => text.split(' ')[0])).toEqual(['SELECT']);
  });

  it('replaces a key as both keys were at the time of the call', async () => {
    const metastore = pool.metastore(kind);
    pool.answers = ({ text }) => (text.startsWith('SELECT') ? rowsOf(kind, [[60, TEXT]]) : written(kind, 1));
    const [present, renewed] = [Buffer.from(RECORD.encryptedKey), Buffer.from('new')];
    const replacing = metastore.replaceKey({ ...RECORD, encryptedKey: present }, renewed, deadline);
    for (const bytes of [present, renewed]) bytes.fill(0);
    expect(await replacing).toBe('replaced');
    const text = encodeKeyRecord({ ...RECORD, encryptedKey: Buffer.from('new') });
    expect(pool.sent.find((query) => query.text.startsWith('UPDATE'))?.values).toContain(text);
  });

  it('writes a row of 65,535 characters, and refuses a longer one', async () => {
    const metastore = pool.metastore(kind);
    pool.answers = ({ text }) => (text.startsWith('SELECT') ? rowsOf(kind, [[60, TEXT]]) : written(kind, 1));
    const [longest, tooLong] = [Buffer.alloc(49_134), Buffer.alloc(49_135)];
    expect(encodeKeyRecord({ ...RECORD, encryptedKey: longest })).toHaveLength(65_535);
    expect(await metastore.store({ ...RECORD, encryptedKey: longest }, deadline)).toBe('stored');
    expect(await codeOf(metastore.store({ ...RECORD, encryptedKey: tooLong }, deadline))).toBe('InvalidRequest');
    expect(await metastore.replaceKey(RECORD, longest, deadline)).toBe('replaced');
    expect(await codeOf(metastore.replaceKey(RECORD, tooLong, deadline))).toBe('InvalidRequest');
  });

  it('sends no query for IDs and dates that no row can have, and refuses to store them', async () => {
    const metastore = pool.metastore(kind);
    const ids = ['', `${LONG_ID}x`, '\ud800'].map((id) => keyRecord(id, 60));
    const dates = [-1, 253_402_300_800].map((created) => keyRecord('_SK_stub', created));
    for (const one of [...ids, ...dates]) {
      expect(await metastore.load(one.id, one.created, deadline)).toBeUndefined();
      expect(await metastore.replaceKey(one, Buffer.from('new'), deadline)).toBe('changed');
      expect(await codeOf(metastore.store(one, deadline))).toBe('InvalidRequest');
    }
    for (const { id } of ids) {
      expect(await metastore.loadLatest(id, deadline)).toBeUndefined();
      expect(await metastore.loadRecent(id, RECORD.created, deadline)).toEqual([]);
      expect(await metastore.rows(id, deadline)).toEqual([]);
    }
    expect(await metastore.loadRecent(RECORD.id, keyRecord('', -1).created, deadline)).toEqual([]);
    expect(await metastore.load(RECORD.id, 60.5 as never, deadline)).toBeUndefined();
    const long = { ...RECORD, encryptedKey: Buffer.alloc(50_000) };
    expect(await codeOf(metastore.store(long, deadline))).toBe('InvalidRequest');
    expect(pool.sent).toEqual([]);
  });

  it('accepts the first and the last date that a row can have', async () => {
    const metastore = pool.metastore(kind);
    pool.answers = () => written(kind, 1);
    for (const created of [0, 253_402_300_799]) {
      expect(await metastore.store(keyRecord('_SK_stub', created), deadline)).toBe('stored');
    }
    pool.answers = () => rowsOf(kind, []);
    await metastore.loadRecent(RECORD.id, keyRecord('', 0).created, deadline);
    expect(pool.sent.at(-1)?.values.at(-1)).toBe(kind === 'pg' ? '0' : '1970-01-01 00:00:00');
    await metastore.loadRecent(RECORD.id, keyRecord('', Number.MAX_SAFE_INTEGER).created, deadline);
    expect(pool.sent.at(-1)?.values.at(-1)).toBe(kind === 'pg' ? '253402300799' : '9999-12-31 23:59:59');
  });

  it.for([0, -1, 1.5, 2 ** 31])('refuses a queryTimeoutMs of %d', (queryTimeoutMs) => {
    expect(() => pool.metastore(kind, queryTimeoutMs)).toThrow('queryTimeoutMs must');
  });
});

describe.for(KINDS)('the connections in a %s pool', (kind) => {
  /** Runs one concurrent query per connection, so that the pool then has this number of idle connections. */
  async function warm(metastore: PostgresMetastore | MySqlMetastore, connections: number): Promise<void> {
    pool.answers = () => rowsOf(kind, []);
    await Promise.all(Array.from({ length: connections }, () => metastore.loadLatest(RECORD.id, noDeadline())));
    expect(pool.made).toHaveLength(connections);
  }

  it('are used again by the next queries', async () => {
    const metastore = pool.metastore(kind);
    for (let i = 0; i < 5; i += 1) await warm(metastore, 2);
    expect(pool.made.map(({ isClosed }) => isClosed)).toEqual([false, false]);
  });

  it.for([1, 8, 60])(
    'cause only one failed attempt if the network has silently dropped %i of them',
    async (connections) => {
      const metastore = pool.metastore(kind, 20);
      await warm(metastore, connections);
      for (const one of pool.made) one.isDead = true;
      for (let i = 0; i < 3; i += 1) expect(await metastore.loadLatest(RECORD.id, noDeadline())).toBeUndefined();
      expect(pool.made.filter(({ isClosed }) => isClosed)).toHaveLength(connections);
      // The second attempt has a new connection. The request that cancels the first attempt has another one, unless the
      // second attempt has already ended.
      expect([1, 2]).toContain(pool.made.length - connections);
      await vi.waitFor(() => expect(pool.idle).toHaveLength(pool.made.length - connections));
    },
  );

  it('are closed, and not used again, once they have been idle for ten seconds', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance', 'setInterval', 'clearInterval'] });
    const metastore = pool.metastore(kind);
    await warm(metastore, 8);
    vi.advanceTimersByTime(9999);
    await metastore.loadLatest(RECORD.id, noDeadline());
    expect(pool.made).toHaveLength(8);
    vi.advanceTimersByTime(10_000);
    for (const one of pool.made) one.isDead = true;
    expect(await metastore.loadLatest(RECORD.id, noDeadline())).toBeUndefined();
    expect(pool.made).toHaveLength(9);
    expect(pool.made.filter(({ isClosed }) => isClosed)).toHaveLength(8);
    vi.advanceTimersByTime(20_000);
    expect(vi.getTimerCount()).toBe(0);
    await metastore.loadLatest(RECORD.id, noDeadline());
    expect(vi.getTimerCount()).toBe(1);
  });

  it('are used again up to ten seconds after the end of their last query, however long that query took', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance', 'setInterval', 'clearInterval'] });
    const metastore = pool.metastore(kind, 30_000);
    await warm(metastore, 1);
    pool.answers = () => (vi.advanceTimersByTime(12_000), rowsOf(kind, []));
    for (let i = 0; i < 2; i += 1) {
      await metastore.loadLatest(RECORD.id, noDeadline());
      vi.advanceTimersByTime(9000);
    }
    expect(pool.made).toHaveLength(1);
  });

  it.for([1, 8])('are closed instead of used after a short freeze (connections: %i)', async (connections) => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const metastore = pool.metastore(kind);
    await warm(metastore, connections);
    // Simulate a freeze: the clock advances while the process does nothing.
    vi.setSystemTime(Date.now() + 200);
    for (const one of pool.made) one.isDead = true;
    const work = Array.from({ length: connections }, () => metastore.loadLatest(RECORD.id, noDeadline()));
    expect(await Promise.all(work)).toEqual(Array.from({ length: connections }));
    expect(pool.made).toHaveLength(2 * connections);
    expect(pool.made.filter(({ isClosed }) => isClosed)).toHaveLength(connections);
  });

  it('are closed instead of used if a freeze ends while a query waits for one of them', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
    const metastore = pool.metastore(kind);
    await warm(metastore, 1);
    vi.spyOn(pool, 'connect').mockImplementationOnce(async () => {
      vi.setSystemTime(Date.now() + 200);
      const [frozen] = pool.idle.splice(0) as [StubConnection];
      frozen.isDead = true;
      return frozen;
    });
    expect(await metastore.loadLatest(RECORD.id, noDeadline())).toBeUndefined();
    expect(pool.made.map(({ isClosed }) => isClosed)).toEqual([true, false]);
  });

  it('are closed instead of used again if a freeze interrupted their last query', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
    const metastore = pool.metastore(kind);
    await warm(metastore, 1);
    pool.answers = () => {
      // Simulate a freeze after which the response is already there: the clock advances, and the process does nothing.
      vi.setSystemTime(Date.now() + 200);
      for (const one of pool.made) one.isDead = true;
      return rowsOf(kind, []);
    };
    expect(await metastore.loadLatest(RECORD.id, noDeadline())).toBeUndefined();
    pool.answers = () => rowsOf(kind, []);
    for (let i = 0; i < 2; i += 1) await metastore.loadLatest(RECORD.id, noDeadline());
    expect(pool.made.map(({ isClosed }) => isClosed)).toEqual([true, false]);
    expect(pool.sent).toHaveLength(4);
  });

  it('are closed without waiting for the server, which a dropped connection cannot reach', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
    const metastore = pool.metastore(kind, 20);
    await warm(metastore, 2);
    for (const one of pool.made) one.isDead = true;
    expect(await metastore.loadLatest(RECORD.id, noDeadline())).toBeUndefined();
    await vi.waitFor(() => expect(pool.idle).toHaveLength(2));
    expect(pool.made.map(({ stream }) => stream.isDestroyed)).toEqual([true, true, false, false]);
    expect(pool.made.map(({ isClosed }) => isClosed)).toEqual([true, true, false, false]);
  });

  it('are closed instead of used if the clock has stepped back', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const metastore = pool.metastore(kind);
    await warm(metastore, 1);
    vi.setSystemTime(Date.now() - 1);
    await metastore.loadLatest(RECORD.id, noDeadline());
    expect(pool.made.map(({ isClosed }) => isClosed)).toEqual([true, false]);
  });

  it('are attempted up to three times per query, if the network or the server ends them before the query', async () => {
    const metastore = pool.metastore(kind);
    pool.answers = () => rowsOf(kind, []);
    const reset = Object.assign(new Error('reset'), { code: 'ECONNRESET' });
    pool.connectFaults = [reset, new Error('timeout exceeded when trying to connect')];
    expect(await metastore.loadLatest(RECORD.id, noDeadline())).toBeUndefined();
    pool.idle.pop();
    pool.connectFaults = [reset, reset, reset, reset];
    const error = await errorOf(metastore.loadLatest(RECORD.id, noDeadline()));
    expect(error).toMatchObject({ code: 'MetastoreUnavailable' });
    expect(String((error as Error).cause)).toContain('ECONNRESET');
    expect(pool.connectFaults).toHaveLength(1);
  });

  it('are attempted only once per query if the server refuses the user', async () => {
    const metastore = pool.metastore(kind);
    const refused =
      kind === 'pg' ? { code: '28P01' } : { code: 'ER_ACCESS_DENIED_ERROR', sqlState: '28000', fatal: true };
    pool.connectFaults = [Object.assign(new Error('refused'), refused), new Error('a second attempt')];
    const error = await errorOf(metastore.loadLatest(RECORD.id, noDeadline()));
    expect(String((error as Error).cause)).toContain(refused.code);
    expect(pool.connectFaults).toHaveLength(1);
  });

  it('have their query cancelled over another connection if the query takes too long', async () => {
    const metastore = pool.metastore(kind, 20);
    await warm(metastore, 1);
    for (const one of pool.made) one.isDead = true;
    pool.answers = ({ text }) => (text.startsWith('SELECT 1') ? SAFE : rowsOf(kind, []));
    await metastore.loadLatest(RECORD.id, noDeadline());
    const cancels = (): unknown =>
      pool.sent
        .filter(({ text }) => /pg_cancel_backend|processlist|KILL QUERY 7$/.test(text))
        .map(({ text, values }) => [text, values]);
    const cancelling =
      "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND usename = current_user AND state = 'active' " +
      "AND query LIKE '%encryption_key%'";
    const finding = "SELECT 1 FROM information_schema.processlist WHERE id = ? AND info LIKE '%encryption_key%'";
    const expected = {
      pg: [[cancelling, ['7']]],
      mysql: [
        [finding, [7]],
        ['KILL QUERY 7', []],
      ],
    };
    await vi.waitFor(() => expect(cancels()).toEqual(expected[kind]));
  });

  it('do not keep the process alive', async () => {
    const timers = vi.spyOn(globalThis, 'setInterval');
    await warm(pool.metastore(kind), 1);
    const hasRefs = timers.mock.results.map(({ value }) => (value as NodeJS.Timeout).hasRef());
    timers.mockRestore();
    expect(hasRefs).toEqual([false]);
  });

  it('do not cancel a query that the server refuses', async () => {
    const refused = { code: kind === 'pg' ? '42501' : 'ER_TABLEACCESS_DENIED_ERROR', sqlState: '42000' };
    pool.answers = () => Object.assign(new Error('refused'), refused);
    expect(await codeOf(pool.metastore(kind).loadLatest(RECORD.id, noDeadline()))).toBe('MetastoreUnavailable');
    await new Promise(setImmediate);
    expect(pool.sent).toHaveLength(1);
  });

  it('fail with the reason of the deadline if it passes during the third and last attempt', async () => {
    const abort = new AbortController();
    const reason = new Error('late');
    let attempts = 0;
    pool.answers = ({ text }) => {
      if (text.includes('key_record')) attempts += 1;
      if (attempts === 3) abort.abort(reason);
      return Object.assign(new Error('refused'), { code: 'ECONNRESET' });
    };
    const late = { ...noDeadline(), signal: abort.signal };
    expect(await errorOf(pool.metastore(kind).loadLatest(RECORD.id, late))).toBe(reason);
    expect(attempts).toBe(3);
  });

  it('cause the fault NoAnswerInTime if none of them answers', async () => {
    pool.answers = () => new Promise(() => {});
    const error = await errorOf(pool.metastore(kind, 20).loadLatest(RECORD.id, noDeadline()));
    expect(String((error as Error).cause)).toContain('NoAnswerInTime');
  });

  it('cause no unhandled rejection if they fail to open after the deadline', async () => {
    const metastore = pool.metastore(kind);
    pool.connectMs = 20;
    pool.connectFaults = [new Error('too late')];
    const abort = new AbortController();
    const work = metastore.loadLatest(RECORD.id, { ...noDeadline(), signal: abort.signal });
    abort.abort(new Error('late'));
    await expect(work).rejects.toThrow('late');
    await vi.waitFor(() => expect(pool.connectFaults).toEqual([]));
    await new Promise(setImmediate);
  });

  it('have up to three seconds to cancel a query, even if queryTimeoutMs is shorter', async () => {
    const metastore = pool.metastore(kind, 20);
    await warm(metastore, 1);
    for (const one of pool.made) one.isDead = true;
    pool.answers = async ({ text }) => {
      if (/pg_cancel_backend|processlist/.test(text)) await sleep(100);
      return rowsOf(kind, []);
    };
    await metastore.loadLatest(RECORD.id, noDeadline());
    await vi.waitFor(() => expect(pool.idle).toHaveLength(2));
    expect(pool.made.map(({ isClosed }) => isClosed)).toEqual([true, false, false]);
  });

  it('are not opened for a query whose deadline has passed', async () => {
    const metastore = pool.metastore(kind);
    const reason = new Error('late');
    const late = { ...noDeadline(), signal: AbortSignal.abort(reason) };
    expect(await errorOf(metastore.loadLatest(RECORD.id, late))).toBe(reason);
    expect(pool.made).toEqual([]);
  });

  it('go back to the pool if they open after the deadline', async () => {
    const metastore = pool.metastore(kind);
    pool.connectMs = 20;
    const abort = new AbortController();
    const work = metastore.loadLatest(RECORD.id, { ...noDeadline(), signal: abort.signal });
    abort.abort(new Error('late'));
    await expect(work).rejects.toThrow('late');
    await vi.waitFor(() => expect(pool.idle).toHaveLength(1));
    expect(pool.sent).toEqual([]);
  });

  it.for([
    ['a freeze', 200],
    ['ten idle seconds', 10_000],
  ] as const)(
    'are closed and not used after %s, even if they opened after the deadline of their request',
    async ([, passedMs]) => {
      vi.useFakeTimers({ toFake: ['Date'] });
      const metastore = pool.metastore(kind);
      pool.connectMs = 20;
      const abort = new AbortController();
      const work = metastore.loadLatest(RECORD.id, { ...noDeadline(), signal: abort.signal });
      abort.abort(new Error('late'));
      await expect(work).rejects.toThrow('late');
      await vi.waitFor(() => expect(pool.idle).toHaveLength(1));
      vi.setSystemTime(Date.now() + passedMs);
      for (const one of pool.made) one.isDead = true;
      pool.answers = () => rowsOf(kind, []);
      expect(await metastore.loadLatest(RECORD.id, noDeadline())).toBeUndefined();
      expect(pool.made.map(({ isClosed }) => isClosed)).toEqual([true, false]);
      expect(pool.sent).toHaveLength(1);
    },
  );

  it('have their query cancelled even if a new connection takes longer than queryTimeoutMs', async () => {
    const metastore = pool.metastore(kind, 20);
    await warm(metastore, 1);
    for (const one of pool.made) one.isDead = true;
    pool.connectMs = 100;
    await metastore.loadLatest(RECORD.id, noDeadline());
    await vi.waitFor(() => expect(pool.sent.map(({ text }) => text).join()).toMatch(/pg_cancel_backend|processlist/));
  });

  it.for([
    [2999, true],
    [3001, false],
  ] as const)(
    'have their query cancelled only if another connection opens within three seconds (opens after %i ms: %s)',
    async ([connectMs, isCancelled]) => {
      const metastore = pool.metastore(kind, 20);
      await warm(metastore, 1);
      for (const one of pool.made) one.isDead = true;
      vi.useFakeTimers({ toFake: ['Date', 'performance', 'setTimeout', 'clearTimeout'] });
      const { connect } = pool;
      pool.connect = async () => {
        if (pool.idle.length === 0) await new Promise((resolve) => setTimeout(resolve, connectMs));
        return connect();
      };
      const work = metastore.loadLatest(RECORD.id, noDeadline());
      await vi.advanceTimersByTimeAsync(20);
      await vi.advanceTimersByTimeAsync(connectMs);
      // The jump of the clock looks like a freeze, so the query may open one more connection.
      await vi.advanceTimersByTimeAsync(connectMs);
      await work;
      expect(/pg_cancel_backend|processlist/.test(pool.sent.map(({ text }) => text).join())).toBe(isCancelled);
    },
  );

  it("have their query cancelled over another connection when the caller's deadline passes", async () => {
    const metastore = pool.metastore(kind);
    await warm(metastore, 1);
    for (const one of pool.made) one.isDead = true;
    const abort = new AbortController();
    const work = metastore.loadLatest(RECORD.id, { ...noDeadline(), signal: abort.signal });
    setImmediate(() => abort.abort(new Error('late')));
    await expect(work).rejects.toThrow('late');
    await vi.waitFor(() => expect(pool.sent.map(({ text }) => text).join()).toMatch(/pg_cancel_backend|processlist/));
  });
});

it('a metastore on pg listens for errors of a connection only while it uses the connection', async () => {
  const listening: number[] = [];
  const events = new EventEmitter();
  const connection = Object.assign(new StubConnection(pool), {
    on: events.on.bind(events),
    removeListener: events.removeListener.bind(events),
  });
  pool.connect = async () => connection;
  pool.answers = () => {
    listening.push(events.listenerCount('error'));
    return rowsOf('pg', []);
  };
  const metastore = pool.metastore('pg');
  for (let i = 0; i < 2; i += 1) await metastore.loadLatest(RECORD.id, noDeadline());
  expect([...listening, events.listenerCount('error')]).toEqual([1, 1, 0]);
});

describe('a metastore on mysql', () => {
  it("sends KILL QUERY only if the connection still runs a query on the metastore's table", async () => {
    const metastore = pool.metastore('mysql', 20);
    pool.answers = () => rowsOf('mysql', []);
    await metastore.loadLatest(RECORD.id, noDeadline());
    for (const one of pool.made) one.isDead = true;
    await metastore.loadLatest(RECORD.id, noDeadline());
    await vi.waitFor(() => expect(pool.idle).toHaveLength(2));
    const texts = pool.sent.map(({ text }) => text).join();
    expect(texts).toContain('processlist');
    expect(texts).not.toContain('KILL');
  });

  it.for(['store', 'replaceKey'] as const)(
    'makes %s fail if the session could lose or truncate a row',
    async (method) => {
      const metastore = pool.metastore('mysql');
      pool.answers = ({ text }) => {
        if (!text.startsWith('SELECT')) return written('mysql', 0);
        return text.startsWith('SELECT 1') ? [] : rowsOf('mysql', [[60, TEXT]]);
      };
      const work =
        method === 'store'
          ? metastore.store(RECORD, noDeadline())
          : metastore.replaceKey(RECORD, Buffer.from('new'), noDeadline());
      const error = await errorOf(work);
      expect(error).toMatchObject({ code: 'MetastoreUnavailable' });
      expect(String((error as Error).cause)).toContain('must have autocommit and a strict sql_mode');
      expect(pool.made.map(({ isClosed }) => isClosed)).toEqual([false]);
    },
  );
});

it('a row of PostgreSQL is unreadable if its date has a fraction, however small the fraction is', async () => {
  const last = keyRecord('_SK_stub', 253_402_300_799);
  const metastore = pool.metastore('pg');
  const dated = (seconds: string) => (): unknown => ({ rows: [[seconds, 'DATE', encodeKeyRecord(last)]], rowCount: 1 });
  pool.answers = dated('253402300799.000000');
  expect(await metastore.loadLatest(last.id, noDeadline())).toEqual(last);
  pool.answers = dated('253402300799.000001');
  expect(await codeOf(metastore.loadLatest(last.id, noDeadline()))).toBe('KeyRowUnreadable');
});
