import { FreezeDetector, TICK_MS } from '../../connections/freeze-detector.ts';
import { orAborted, timerFaults, withDeadline, type Deadline } from '../../async/deadline.ts';
import { invalidConfiguration } from '../../errors.ts';
import { numberFaults } from '../../input/defaults.ts';
import { databaseUnavailable, rowDoesNotFit, type SqlFault } from './sql-faults.ts';

/** A driver's pool of connections. */
export interface SqlPool<Connection> {
  acquire(): Promise<Connection>;
  /** The driver's own object, which stays the same each time the pool hands out this connection. */
  identityOf(connection: Connection): object;
  /** Puts a connection back into the pool. */
  release(connection: Connection): void;
  /** Closes a connection. Does not throw. */
  close(connection: Connection): void;
  /**
   * Returns a function that asks the server, on another connection, to stop the query of a connection. Undefined if the
   * server has given the connection no ID.
   */
  stopping(connection: Connection): ((on: Connection) => Promise<unknown>) | undefined;
  faultOf(error: unknown): SqlFault;
}

/** The options for reaching a table. */
export interface SqlTableOptions {
  /** How long one attempt of a query may take. Default: 3000 milliseconds. */
  readonly queryTimeoutMs?: number | undefined;
  /** The address of the server, for the causes of errors, such as ` at 127.0.0.1:5432`. */
  readonly at?: string;
}

const DEFAULTS = { queryTimeoutMs: 3000 };
const MAX_ATTEMPTS = 3;
/**
 * A request to stop a query may always take at least this long, because it may need a new connection. If the request
 * failed, the query could hold its locks on the server for a long time.
 */
const MIN_STOP_TIMEOUT_MS = 3000;
/**
 * A connection that has been idle for ten seconds is not used again, because the network may have dropped it. On a
 * dropped connection, a query would wait until its timeout.
 */
const MAX_IDLE_MS = 10_000;

/** Runs queries on the connections of a pool, under deadlines. */
export class SqlConnections<Connection> {
  readonly #database: string;
  readonly #pool: SqlPool<Connection>;
  readonly #queryTimeoutMs: number;
  /** For each idle connection: when it became idle, and the value of `#breaks` at that time. */
  readonly #idle = new WeakMap<object, { readonly sinceMs: number; readonly breaks: number }>();
  /**
   * Counts broken connections and freezes of the process. A connection that was idle during one of these events may be
   * dead.
   */
  #breaks = 0;
  /** Counts freezes of the process. A connection that was in use during a freeze may be dead, too. */
  #freezes = 0;
  readonly #detector = new FreezeDetector();
  #timer: NodeJS.Timeout | undefined;
  #lastUsedMs = 0;
  #queriesInProgress = 0;

  /**
   * @param database the name of the database product, for the causes of errors
   * @param queryTimeoutMs how long one attempt of a query may take. Default: 3000 milliseconds.
   * @throws KeyfoldError `InvalidConfiguration` if `queryTimeoutMs` is too long for a timer
   */
  constructor(database: string, pool: SqlPool<Connection>, queryTimeoutMs = DEFAULTS.queryTimeoutMs) {
    const options = { queryTimeoutMs };
    const faults = [...numberFaults(options, DEFAULTS), ...timerFaults(options, ['queryTimeoutMs'])];
    if (faults.length > 0) throw invalidConfiguration(faults);
    this.#database = database;
    this.#pool = pool;
    this.#queryTimeoutMs = queryTimeoutMs;
  }

  /**
   * Runs a query. Repeats it if its connection breaks or cannot be opened, if it takes too long, or if the server asks
   * for another attempt. If a write is repeated, it may find the row that the first attempt wrote.
   * @throws KeyfoldError `MetastoreUnavailable`, `InvalidRequest` if a column cannot hold a value, or the reason of the
   * deadline's signal
   */
  async run<T>(query: (connection: Connection) => Promise<T>, deadline: Deadline): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      deadline.signal.throwIfAborted();
      let connection: Connection | undefined;
      try {
        connection = await this.#acquire(deadline.signal);
        return await this.#once(connection, query, deadline.signal);
      } catch (error) {
        const fault = error === NO_ANSWER ? NO_ANSWER : this.#pool.faultOf(error);
        if (fault.isBroken && connection !== undefined) this.#stop(connection).catch(() => {});
        deadline.signal.throwIfAborted();
        if (fault.doesNotFit) throw rowDoesNotFit();
        if (!fault.isTransient || attempt === MAX_ATTEMPTS) throw databaseUnavailable(this.#database, fault.name);
      }
    }
  }

  /**
   * Asks the server to stop the query of a closed connection. The pool counts that connection until the request ends.
   * So the request has a time limit, and uses no connection that was idle for long: it must not wait forever on a dead
   * one.
   */
  async #stop(closed: Connection): Promise<void> {
    const stop = this.#pool.stopping(closed);
    if (stop === undefined) return;
    const timeoutMs = Math.max(this.#queryTimeoutMs, MIN_STOP_TIMEOUT_MS);
    await withDeadline({ deadlineAtMs: Date.now() + timeoutMs }, Date.now, async ({ signal }) => {
      const connection = await this.#acquire(signal);
      await this.#once(connection, stop, signal, timeoutMs);
    });
  }

  /** Waits for a free connection that is probably alive. */
  async #acquire(signal: AbortSignal): Promise<Connection> {
    this.#watch();
    for (;;) {
      const connection = await this.#next(signal);
      this.#checkForFreeze();
      const idle = this.#idle.get(this.#pool.identityOf(connection));
      if (idle === undefined) return connection;
      const idleMs = Date.now() - idle.sinceMs;
      if (idle.breaks === this.#breaks && idleMs >= 0 && idleMs < MAX_IDLE_MS) return connection;
      this.#pool.close(connection);
    }
  }

  /** Watches for freezes until no connection has been in use for {@link MAX_IDLE_MS}. */
  #watch(): void {
    this.#lastUsedMs = Date.now();
    this.#checkForFreeze();
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
  }

  #tick(): void {
    this.#checkForFreeze();
    const idleMs = Date.now() - this.#lastUsedMs;
    if (this.#queriesInProgress > 0 || (idleMs >= 0 && idleMs < MAX_IDLE_MS)) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #checkForFreeze(): void {
    if (!this.#detector.wasFrozen()) return;
    this.#breaks += 1;
    this.#freezes += 1;
  }

  /** Waits for a free connection. A connection that arrives after the deadline goes back to the pool. */
  #next(signal: AbortSignal): Promise<Connection> {
    const acquired = this.#pool.acquire();
    return orAborted(acquired, signal).catch((error: unknown) => {
      acquired.then((late) => this.#release(late)).catch(() => {});
      throw error;
    });
  }

  /** Puts a connection back into the pool, and notes since when it is idle. */
  #release(connection: Connection): void {
    this.#idle.set(this.#pool.identityOf(connection), { sinceMs: Date.now(), breaks: this.#breaks });
    this.#pool.release(connection);
  }

  async #once<T>(
    connection: Connection,
    query: (on: Connection) => Promise<T>,
    signal: AbortSignal,
    timeoutMs = this.#queryTimeoutMs,
  ): Promise<T> {
    const limits = { deadlineAtMs: Date.now() + timeoutMs, signal };
    const freezes = this.#freezes;
    this.#queriesInProgress += 1;
    return withDeadline(limits, Date.now, async (attempt) => {
      let isReusable = false;
      try {
        const answer = await orAborted(query(connection), attempt.signal);
        isReusable = true;
        return answer;
      } catch (error) {
        if (attempt.signal.aborted) throw NO_ANSWER;
        isReusable = !this.#pool.faultOf(error).isBroken;
        throw error;
      } finally {
        this.#queriesInProgress -= 1;
        this.#watch();
        if (!isReusable) this.#breaks += 1;
        if (isReusable && freezes === this.#freezes) this.#release(connection);
        else this.#pool.close(connection);
      }
    });
  }
}

/**
 * Destroys the socket of a connection that the driver has closed. The drivers wait until the server closes the
 * connection, too. On a dropped connection, that can take 15 minutes. Meanwhile the process would not end, and the pool
 * of `pg` would open no other connection for the queries that wait.
 * @param client the driver's client, which has the socket as its `stream`
 */
export function destroySocket(client: { readonly stream?: { destroy?(): void } } | undefined): void {
  client?.stream?.destroy?.();
}

/** The error for an attempt that took too long. */
const NO_ANSWER: SqlFault = { name: 'NoAnswerInTime', doesNotFit: false, isBroken: true, isTransient: true };
