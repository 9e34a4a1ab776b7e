import { deadlineExceeded, orAborted } from './deadline.ts';
import type { Clock, Deadline } from './ports.ts';

interface Flight<T> {
  readonly result: Promise<T>;
  readonly controller: AbortController;
  waiters: number;
  ended: boolean;
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
    flight.waiters += 1;
    try {
      return await orAborted(flight.result, deadline.signal);
    } finally {
      flight.waiters -= 1;
      if (flight.waiters === 0) this.#end(name, flight);
    }
  }

  #start(name: string, load: (deadline: Deadline) => Promise<T>): Flight<T> {
    const controller = new AbortController();
    const deadline = { atMs: this.#now() + this.#timeoutMs, signal: controller.signal };
    const timer = setTimeout(() => controller.abort(deadlineExceeded()), this.#timeoutMs);
    // Behind a settled promise, so that a load that throws at once rejects like any other.
    const result = orAborted(
      Promise.resolve().then(() => load(deadline)),
      controller.signal,
    ).finally(() => {
      clearTimeout(timer);
      flight.ended = true;
    });
    const flight = { result, controller, waiters: 0, ended: false };
    this.#flights.set(name, flight);
    return flight;
  }

  /** Forgets a flight that nobody waits for, and aborts it unless it has ended. */
  #end(name: string, flight: Flight<T>): void {
    if (this.#flights.get(name) === flight) this.#flights.delete(name);
    if (!flight.ended) flight.controller.abort(deadlineExceeded());
  }
}
