import { ABORT_SIGNAL, check, OBJECT, optional, read, refuseUnknown, type Type, type Types } from '../input/checks.ts';
import { KeyfoldError } from '../errors.ts';
import { timeAhead, type Clock } from './clock.ts';

/** The time limit of a piece of work, and the signal that ends it early. */
export interface Deadline {
  /** The time by which the work must end, in milliseconds since 1970 (see {@link Clock}). */
  readonly atMs: number;
  /**
   * Aborts when the time is up, or when no caller is waiting for the work any more. The work then throws the signal's
   * reason.
   */
  readonly signal: AbortSignal;
}

/** Makes a deadline that is never reached, for calls to a plug-in and for work that sets its own limits. */
export function noDeadline(): Deadline {
  return { atMs: Number.MAX_SAFE_INTEGER, signal: new AbortController().signal };
}

/** Limits how long a caller waits. Without limits, a caller waits until the work ends. */
export interface RequestLimits {
  /** The latest time for the response, in milliseconds since 1970. */
  readonly deadlineAtMs?: number | undefined;
  /** When this signal aborts, the call ends early and throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

const TIME: Type = {
  called: 'a number of milliseconds',
  holds: (value) => typeof value === 'number' && !Number.isNaN(value),
};

const DEADLINE: Type = {
  called: 'a deadline with atMs and signal',
  holds: (value) =>
    OBJECT.holds(value) && TIME.holds((value as Deadline).atMs) && ABORT_SIGNAL.holds((value as Deadline).signal),
};

/** The types of {@link RequestLimits}. */
export const LIMITS: Types<RequestLimits> = { deadlineAtMs: optional(TIME), signal: optional(ABORT_SIGNAL) };

/** @throws TypeError if a limit is unknown or has the wrong type */
export function checkLimits(limits: RequestLimits): void {
  check(limits, 'limits', OBJECT);
  refuseUnknown(limits, 'limits', LIMITS);
  check(read(limits, 'deadlineAtMs', 'limits'), 'limits.deadlineAtMs', LIMITS.deadlineAtMs);
  check(read(limits, 'signal', 'limits'), 'limits.signal', LIMITS.signal);
}

/** @throws TypeError if the argument is not a deadline. Callers of a metastore or a KMS must pass one. */
export function checkDeadline(deadline: Deadline): void {
  check(deadline, 'deadline', DEADLINE);
}

/** Returns limits with half of the remaining time, so that time is left for a second step. */
export function halfOf({ atMs, signal }: Deadline, now: Clock): RequestLimits & { readonly deadlineAtMs: number } {
  const nowMs = now();
  return { deadlineAtMs: nowMs + (atMs - nowMs) / 2, signal };
}

/** The error for a request that has reached its deadline. */
export function deadlineExceeded(): KeyfoldError {
  return new KeyfoldError('DeadlineExceeded', 'The time for this request is up.');
}

/**
 * Runs work under a caller's limits. When the work has ended, the deadline's timer is cleared.
 * @throws the error of the work, or the reason of the caller's signal if that signal is already aborted
 */
export async function withDeadline<T>(
  limits: RequestLimits,
  now: Clock,
  work: (deadline: Deadline) => Promise<T>,
): Promise<T> {
  const deadline = new RunningDeadline(limits, now);
  try {
    return await work(deadline);
  } finally {
    deadline.end();
  }
}

/** The requests in progress that share a deadline, with the limits that they had when they began. */
interface Running extends RequestLimits {
  readonly deadline: RunningDeadline;
  readonly work: Set<unknown>;
}

/**
 * The deadlines of the requests in progress, keyed by the request's limits object. Requests with the same object share
 * one deadline, so that a batch of a thousand items needs only one timer. If the caller changes the object meanwhile,
 * later requests get a deadline of their own.
 */
export class RequestDeadlines {
  readonly #now: Clock;
  readonly #running = new WeakMap<RequestLimits, Running>();

  constructor(now: Clock) {
    this.#now = now;
  }

  /**
   * Starts work under a caller's limits, and returns the promise of the work. When all work under these limits has
   * ended, the deadline's timer is cleared.
   * @throws the reason of the caller's signal if that signal is already aborted
   */
  within<T>(limits: RequestLimits, start: (deadline: Deadline) => Promise<T>): Promise<T> {
    const { deadlineAtMs, signal } = limits;
    let running = this.#running.get(limits);
    if (running === undefined || running.deadlineAtMs !== deadlineAtMs || running.signal !== signal) {
      running = { deadlineAtMs, signal, deadline: new RunningDeadline(limits, this.#now), work: new Set() };
      this.#running.set(limits, running);
    }
    const work = start(running.deadline);
    // Items that wait for the same key share one promise. Its end must be handled only once.
    if (running.work.has(work)) return work;
    running.work.add(work);
    const end = (): void => {
      running.work.delete(work);
      if (running.work.size > 0) return;
      this.#running.delete(limits);
      running.deadline.end();
    };
    work.then(end, end);
    return work;
  }
}

/**
 * A deadline with its timer, and with its listener on the caller's signal. Call {@link end} when the work has ended.
 */
class RunningDeadline implements Deadline {
  readonly #atMs: Clock;
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #leave: (() => void) | undefined;

  constructor({ deadlineAtMs = Number.MAX_SAFE_INTEGER, signal }: RequestLimits, now: Clock) {
    signal?.throwIfAborted();
    const leftMs = deadlineAtMs - now();
    this.#atMs = timeAhead(leftMs, now);
    this.#leave = signal && onAbort(signal, () => this.#controller.abort(signal.reason));
    this.#timer = startTimer(leftMs, () => this.#controller.abort(deadlineExceeded()));
  }

  get atMs(): number {
    return this.#atMs();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#leave?.();
  }
}

/**
 * The longest delay that `setTimeout` supports, in milliseconds. A timer with a longer delay would fire immediately.
 */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Returns a message for each option that exceeds {@link MAX_TIMER_MS}. Constructors put these messages into the error
 * that they throw.
 */
export function timerFaults<T extends object>(options: T, names: readonly (keyof T & string)[]): string[] {
  return names
    .filter((name) => Number.isSafeInteger(options[name]) && (options[name] as number) > MAX_TIMER_MS)
    .map((name) => `${name} must not be more than ${MAX_TIMER_MS}`);
}

function startTimer(delayMs: number, fire: () => void): NodeJS.Timeout | undefined {
  if (delayMs <= 0) fire();
  return delayMs <= 0 || delayMs > MAX_TIMER_MS ? undefined : setTimeout(fire, delayMs);
}

/**
 * Returns a promise that settles like `work`. If the signal aborts first, the promise rejects with the signal's reason.
 * The work itself continues.
 */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(signal.reason);
    if (signal.aborted) leave();
    void work.then(resolve, reject).finally(onAbort(signal, leave));
  });
}

/**
 * Returns a signal that aborts when either of two signals aborts. Unlike `AbortSignal.any`, this function also accepts
 * a signal from another realm or from a polyfill.
 */
export function eitherOf(given: AbortSignal, own: AbortSignal): AbortSignal {
  const isNative: boolean = given instanceof AbortSignal;
  const native = isNative ? given : new RunningDeadline({ signal: given }, () => 0).signal;
  return AbortSignal.any([native, own]);
}

/** The functions to call when a signal aborts. The set itself is the signal's only listener. */
class AbortWaiters extends Set<() => void> {
  handleEvent(): void {
    for (const leave of this) leave();
    // A waiter removes its function only when its work ends. The work may never end, so remove all functions now.
    this.clear();
  }
}

const WAITERS = new WeakMap<AbortSignal, AbortWaiters>();

/**
 * Calls `leave` when a signal aborts. Returns a function that removes `leave` from the signal's waiters. A signal has
 * one listener for all waiters, because Node looks through all listeners of a signal before it adds another one.
 */
function onAbort(signal: AbortSignal, leave: () => void): () => void {
  const waiters = WAITERS.get(signal) ?? new AbortWaiters();
  WAITERS.set(signal, waiters);
  if (waiters.size === 0) signal.addEventListener('abort', waiters, { once: true });
  waiters.add(leave);
  return () => {
    waiters.delete(leave);
    if (waiters.size === 0) signal.removeEventListener('abort', waiters);
  };
}
