import { deadlineExceeded, orAborted } from './deadline.ts';
import type { Clock } from './clock.ts';
import type { Deadline } from './deadline.ts';

/** One load under way. To the load it is its deadline: that of its most patient waiter, within the flight's own. */
class Flight<T> implements Deadline {
  readonly waiters = new Set<Deadline>();
  ended = false;
  readonly result: Promise<T>;
  readonly #latestMs: number;
  readonly #controller = new AbortController();

  constructor(timeoutMs: number, nowMs: number, load: (deadline: Deadline) => Promise<T>) {
    this.#latestMs = nowMs + timeoutMs;
    const timer = setTimeout(() => this.abort(), timeoutMs);
    // Behind a settled promise, so that a load that throws at once rejects like any other, and knows its first waiter.
    const loaded = Promise.resolve().then(() => load(this));
    this.result = orAborted(loaded, this.signal).finally(() => {
      clearTimeout(timer);
      this.ended = true;
    });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** AuditSubject for anew each time, since waiters come and go; a waiter may be a flight itself. */
  get atMs(): number {
    let atMs = 0;
    for (const waiter of this.waiters) atMs = Math.max(atMs, waiter.atMs);
    return Math.min(this.#latestMs, atMs);
  }

  abort(): void {
    this.#controller.abort(deadlineExceeded());
  }
}

/**
 * One load of a key at a time, shared by all that wait for it. A flight has a deadline of its own and each waiter leaves at
 * the waiter's; when the last has left, the flight is aborted and forgotten, since nothing may run on after the last
 * answer: Lambda freezes the process, and a thawed flight would finish in somebody else's invocation.
 */
export class Flights<T> {
  readonly #flights = new Map<string, Flight<T>>();
  readonly #timeoutMs: number;
  readonly #now: Clock;

  constructor(timeoutMs: number, now: Clock) {
    this.#timeoutMs = timeoutMs;
    this.#now = now;
  }

  /**
   * Waits for the flight of that name, starting it where there is none.
   * @throws what the flight throws, or the reason of the waiter's own deadline
   */
  async join(name: string, deadline: Deadline, load: (deadline: Deadline) => Promise<T>): Promise<T> {
    deadline.signal.throwIfAborted();
    const flight = this.#flights.get(name) ?? this.#start(name, load);
    // Of its own, since one deadline may wait for a flight twice.
    const waiter: Deadline = {
      get atMs() {
        return deadline.atMs;
      },
      signal: deadline.signal,
    };
    flight.waiters.add(waiter);
    try {
      return await orAborted(flight.result, deadline.signal);
    } finally {
      flight.waiters.delete(waiter);
      if (flight.waiters.size === 0) this.#end(name, flight);
    }
  }

  #start(name: string, load: (deadline: Deadline) => Promise<T>): Flight<T> {
    const flight = new Flight(this.#timeoutMs, this.#now(), load);
    this.#flights.set(name, flight);
    return flight;
  }

  /** Forgets a flight that nobody waits for, and aborts it unless it has ended. */
  #end(name: string, flight: Flight<T>): void {
    if (this.#flights.get(name) === flight) this.#flights.delete(name);
    if (!flight.ended) flight.abort();
  }
}
