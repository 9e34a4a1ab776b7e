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
  v.strictObject({ kind: v.literal('throttle'), perSecond: v.pipe(v.number(), v.minValue(0)), actions }),
  v.strictObject({
    kind: v.literal('error'),
    name: v.pipe(v.string(), v.regex(/^\w{1,100}$/)),
    status: v.optional(v.pipe(v.number(), v.integer(), v.minValue(400), v.maxValue(599)), 400),
    message: v.optional(v.string(), 'An error that was asked for'),
    rate: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1)), 1),
    actions,
  }),
]);

/**
 * What is wrong with a region. `down` ends the connection before any answer: on a port that all regions share a refused
 * connection cannot be told apart by region. `hang` never answers; `reset` ends the connection in mid-answer; `garbage`
 * answers what is no JSON; `latency` answers late; `throttle` refuses above so many calls a second; `error` answers with
 * any error at a rate. `actions` restricts each to some of KMS's actions.
 */
export type Fault = v.InferOutput<typeof faultSchema>;

/** What a caller writes: the defaults may be left out. */
export type FaultInput = v.InferInput<typeof faultSchema>;

/** Reads a fault. @throws RangeError, naming the member at fault */
export function parseFault(value: unknown): Fault {
  const parsed = v.safeParse(faultSchema, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw new RangeError(`A fault's ${v.getDotPath(issue) ?? 'body'} is wrong: ${issue.message}`);
}

/** Lets so many calls a second through: a bucket that refills evenly and holds a second's worth. */
export class Throttle {
  readonly #perSecond: number;
  #tokens: number;
  #filledAtMs = Date.now();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond;
  }

  /** Whether one more call is let through now. */
  admits(): boolean {
    const nowMs = Date.now();
    this.#tokens = Math.min(this.#perSecond, this.#tokens + ((nowMs - this.#filledAtMs) / 1000) * this.#perSecond);
    this.#filledAtMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
