import * as v from 'valibot';
import { KMS_ACTIONS } from './actions.ts';

const milliseconds = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(600_000));
const actions = v.optional(v.pipe(v.array(v.picklist(Object.keys(KMS_ACTIONS))), v.minLength(1)));

const faultSchema = v.variant('kind', [
  v.strictObject({ kind: v.literal('down'), actions }),
  v.strictObject({ kind: v.literal('hang'), actions }),
  v.strictObject({ kind: v.literal('reset'), actions }),
  v.strictObject({ kind: v.literal('garbage'), actions }),
  v.strictObject({ kind: v.literal('latency'), ms: milliseconds, actions }),
  v.strictObject({ kind: v.literal('throttle'), perSecond: v.pipe(v.number(), v.finite(), v.minValue(0)), actions }),
  v.strictObject({
    kind: v.literal('error'),
    name: v.pipe(v.string(), v.regex(/^\w{1,100}$/)),
    status: v.optional(v.pipe(v.number(), v.integer(), v.minValue(400), v.maxValue(599)), 400),
    message: v.optional(v.string(), 'An injected error'),
    rate: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1)), 1),
    actions,
  }),
]);

/**
 * A fault of one region:
 * - `down` closes the connection without a response. It cannot refuse the connection, because all regions share a port.
 * - `hang` never responds.
 * - `reset` closes the connection in the middle of the response.
 * - `garbage` responds with a body that is not JSON.
 * - `latency` responds after `ms` milliseconds.
 * - `throttle` responds with `ThrottlingException` above `perSecond` calls a second.
 * - `error` responds with the given error to a share of the calls, `rate`.
 *
 * `actions` restricts a fault to the KMS actions in the list.
 */
export type Fault = v.InferOutput<typeof faultSchema>;

/** A fault as callers specify it. Members with a default may be absent. */
export type FaultInput = v.InferInput<typeof faultSchema>;

/** What each member of a fault must be, in words for people. */
const MEMBERS: Readonly<Record<string, string>> = {
  kind: 'down, hang, reset, garbage, latency, throttle or error',
  actions: 'a list of KMS actions, such as ["Decrypt"]',
  ms: 'a whole number from 0 to 600000',
  perSecond: 'a number of at least 0',
  name: '1 to 100 letters, digits or underscores',
  status: 'a whole number from 400 to 599',
  message: 'a string',
  rate: 'a number from 0 to 1',
};

/** Parses a fault. @throws RangeError that says what the first invalid member must be */
export function parseFault(value: unknown): Fault {
  const parsed = v.safeParse(faultSchema, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  // A member of a list is named by the list.
  const [name] = v.getDotPath(issue)?.split('.') ?? [];
  if (name === undefined) throw new RangeError('Invalid fault: it must be a JSON object.');
  if (issue.expected === 'never') throw new RangeError(`Invalid fault: this kind has no member ${name}.`);
  throw new RangeError(`Invalid fault: ${name} must be ${MEMBERS[name]}.`);
}

/**
 * A token bucket that admits `perSecond` calls per second. It starts full: with the tokens for one second, or with one
 * token at a rate below one call a second. At a rate of 0, it admits nothing.
 */
export class Throttle {
  readonly #perSecond: number;
  readonly #capacity: number;
  #tokens: number;
  #filledAtMs = performance.now();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#capacity = perSecond === 0 ? 0 : Math.max(1, perSecond);
    this.#tokens = this.#capacity;
  }

  /** Takes a token for one call. Returns false if no token is left, in which case the caller must refuse the call. */
  admits(): boolean {
    const nowMs = performance.now();
    this.#tokens = Math.min(this.#capacity, this.#tokens + ((nowMs - this.#filledAtMs) / 1000) * this.#perSecond);
    this.#filledAtMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
