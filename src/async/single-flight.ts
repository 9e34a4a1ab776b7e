import { timeAhead, type Clock } from './clock.ts';
import { deadlineExceeded, orAborted, type Deadline } from './deadline.ts';

/**
 * One load in progress. As a `Deadline`, it limits that load: the load may continue until the latest deadline of its
 * waiters, but for at most `timeoutMs`.
 */
class Flight<T> implements Deadline {
  /** The waiters' promises, keyed by the waiter's deadline. */
  readonly waiters = new Map<Deadline, Promise<T>>();
  ended = false;
  readonly result: Promise<T>;
  readonly #latestMs: Clock;
  readonly #controller = new AbortController();

  constructor(timeoutMs: number, now: Clock, load: (deadline: Deadline) => Promise<T>) {
    this.#latestMs = timeAhead(timeoutMs, now);
    const timer = setTimeout(() => this.abort(), timeoutMs);
    // Start the load in a later microtask. By then, its first waiter is known, and a load that throws synchronously is
    // handled like one that rejects.
    const loaded = Promise.resolve().then(() => load(this));
    this.result = orAborted(loaded, this.signal).finally(() => {
      clearTimeout(timer);
      this.ended = true;
    });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /**
   * Computed on each read, because waiters join and leave. A waiter's deadline may also be another flight, whose time
   * changes in the same way.
   */
  get atMs(): number {
    let atMs = 0;
    for (const waiter of this.waiters.keys()) atMs = Math.max(atMs, waiter.atMs);
    return Math.min(this.#latestMs(), atMs);
  }

  abort(): void {
    this.#controller.abort(deadlineExceeded());
  }
}

/**
 * Runs one load per name at a time, for all callers that want its result. Each caller stops waiting at its own
 * deadline. When no caller is left, the load is aborted and forgotten. If it continued, Lambda would freeze it after
 * the last response, and it would end during another caller's invocation.
 */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();
  readonly #timeoutMs: number;
  readonly #now: Clock;

  /** @param timeoutMs how long one load may take, even if its callers have later deadlines */
  constructor(timeoutMs: number, now: Clock) {
    this.#timeoutMs = timeoutMs;
    this.#now = now;
  }

  /**
   * Joins the load with this name, or starts it. Callers with the same deadline share one promise.
   * @throws the error of the load, or the reason of the caller's own deadline
   */
  run(name: string, deadline: Deadline, load: (deadline: Deadline) => Promise<T>): Promise<T> {
    if (deadline.signal.aborted) return Promise.reject(deadline.signal.reason as Error);
    const flight = this.#flights.get(name) ?? this.#start(name, load);
    const shared = flight.waiters.get(deadline);
    if (shared !== undefined) return shared;
    const result = orAborted(flight.result, deadline.signal).finally(() => {
      flight.waiters.delete(deadline);
      if (flight.waiters.size === 0) this.#end(name, flight);
    });
    flight.waiters.set(deadline, result);
    return result;
  }

  #start(name: string, load: (deadline: Deadline) => Promise<T>): Flight<T> {
    const flight = new Flight(this.#timeoutMs, this.#now, load);
    this.#flights.set(name, flight);
    return flight;
  }

  /** Forgets a flight without waiters, and aborts it if it is still in progress. */
  #end(name: string, flight: Flight<T>): void {
    this.#flights.delete(name);
    if (!flight.ended) flight.abort();
  }
}
