import * as v from 'valibot';
import type { RequestLimits } from '../async/deadline.ts';
import { KeyfoldError } from '../errors.ts';
import type { Session } from '../envelope/session.ts';
import { inputFault } from './input-fault.ts';
import type { JsonValue } from './json-text.ts';

/** Limits for one request. */
export interface OperationLimits {
  /** The maximum plaintext that a request may encrypt or decrypt, in bytes, over all its items or fields. */
  readonly plaintextLimitBytes: number;
  /** The maximum number of items in a batch, and of values that a request may select in a document. */
  readonly maxItems: number;
}

/** The default limits, which the OpenAPI document states. */
export const DEFAULT_LIMITS: OperationLimits = { plaintextLimitBytes: 1_048_576, maxItems: 1000 };

/** The dependencies of an operation: a session, limits and callbacks. */
export interface OperationContext extends OperationLimits {
  readonly session: Session;
  readonly limits: RequestLimits;
  /** Returns whether the door can return this response. The argument is the response's JSON text. */
  readonly answerFits: (answer: string) => boolean;
  /** Called with the number of items in a batch, or with the number of values that a request selects in a document. */
  readonly itemsCounted: (count: number) => void;
  /** Called with the errors of the failed items of a batch, if any failed. */
  readonly itemsFailed: (errors: readonly KeyfoldError[]) => void;
}

/** A request: its parsed value, and its JSON text. The text has all digits of the request's numbers. */
export interface OperationRequest {
  /** The value from `JSON.parse`, or from a fast path that has read the body. */
  readonly value: unknown;
  /**
   * Returns the JSON text.
   * @throws KeyfoldError `InvalidRequest` if the door received a parsed value, because its exact text is lost
   */
  readonly text: () => string;
  /** The located values of the text. Undefined if the door has not located them. */
  readonly root?: JsonValue;
}

/**
 * One operation of the API.
 * @returns the response as JSON text. Operations build the text themselves, because `JSON.stringify` would search large
 * base64 strings for characters to escape.
 */
export type Operation = (request: OperationRequest, context: OperationContext) => Promise<string>;

/**
 * The JSON Schema of the base64 that `decodeBase64` accepts. Only the documentation uses it, because `decodeBase64`
 * itself checks requests.
 */
export const BASE64 = {
  contentEncoding: 'base64',
  pattern: '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$',
} as const;

/** The length of padded base64 for a number of bytes. */
export function base64Length(sizeBytes: number): number {
  return Math.ceil(sizeBytes / 3) * 4;
}

/**
 * Checks a request, or an item of a batch, against a schema.
 * @throws KeyfoldError `InvalidRequest`, which names the invalid member but never quotes its value
 */
export function parseInput<Schema extends v.GenericSchema>(schema: Schema, input: unknown): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, input, { abortEarly: true });
  if (parsed.success) return parsed.output;
  throw new KeyfoldError('InvalidRequest', inputFault(schema, input, parsed.issues[0]));
}

/**
 * Checks the total plaintext of a request.
 * @throws KeyfoldError `PayloadTooLarge` if the sum of the sizes exceeds the limit
 */
export function limitPlaintext(sizesBytes: readonly number[], { plaintextLimitBytes }: OperationLimits): void {
  if (sizesBytes.reduce((sum, size) => sum + size, 0) <= plaintextLimitBytes) return;
  throw new KeyfoldError('PayloadTooLarge', `The plaintext is larger than ${plaintextLimitBytes} bytes.`);
}

/**
 * Checks that a response is short enough for the door to return. Only its length matters, so the caller may pass a
 * placeholder of the same length.
 * @throws KeyfoldError `PayloadTooLarge` if it is too long
 */
export function limitAnswer(answer: string, { answerFits }: Pick<OperationContext, 'answerFits'>): void {
  if (answerFits(answer)) return;
  throw new KeyfoldError('PayloadTooLarge', 'The answer would be too large to return.');
}

/**
 * Waits until every promise has settled, and returns their values. `Promise.all` would reject early, and Lambda would
 * then freeze the remaining work and resume it in a later invocation.
 * @throws the reason of the first rejected promise, in the order of `work`
 */
export async function allEnded<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(work);
  return outcomes.map((outcome) => {
    if (outcome.status === 'fulfilled') return outcome.value;
    throw outcome.reason;
  });
}
