import * as v from 'valibot';
import type { RequestLimits } from '../async/deadline.ts';
import { KeyfoldError } from '../errors.ts';
import type { Session } from '../envelope/session.ts';
import { inputFault } from './input-fault.ts';
import type { JsonValue } from './json-text.ts';

/** How much one request may ask for. */
export interface OperationLimits {
  /** How much one request may seal or open, over all its items or fields. */
  readonly plaintextLimitBytes: number;
  /** How many items a batch may have, and how many values of a document may be sealed or opened at once. */
  readonly maxItems: number;
}

/** How much, where the configuration says nothing else; the API's document says these. */
export const DEFAULT_LIMITS: OperationLimits = { plaintextLimitBytes: 1_048_576, maxItems: 1000 };

/** What an operation works with: whose keys, and within which limits. */
export interface OperationContext extends OperationLimits {
  readonly session: Session;
  readonly limits: RequestLimits;
  /** Whether the door can let an answer of this JSON text out. */
  readonly answerFits: (answer: string) => boolean;
  /** Told how many items a batch has, or how many values of a document are meant. */
  readonly itemsCounted: (count: number) => void;
  /** Told of the items of a batch that failed while the others went on. */
  readonly itemsFailed: (errors: readonly KeyfoldError[]) => void;
}

/** A request as it came: parsed, and as the JSON text that it was parsed from, whose numbers have all their digits. */
export interface OperationRequest {
  readonly value: unknown;
  /** @throws KeyfoldError `InvalidRequest` if the door was handed a value and its exact text cannot be told */
  readonly text: () => string;
  /** Where the text's values stand, if the door has located them. */
  readonly root?: JsonValue;
}

/**
 * One operation of the API.
 * @returns the answer as JSON text: written out, since `JSON.stringify` looks through a megabyte of base64 for what to escape
 */
export type Operation = (request: OperationRequest, context: OperationContext) => Promise<string>;

/** How JSON Schema says base64 as `decodeBase64` takes it, which is what checks it. */
export const BASE64 = {
  contentEncoding: 'base64',
  pattern: '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$',
} as const;

/** How many characters of base64 that is. */
export function base64Length(sizeBytes: number): number {
  return Math.ceil(sizeBytes / 3) * 4;
}

/**
 * Checks the shape of a request, or of an item in one.
 * @throws KeyfoldError `InvalidRequest`, naming the member at fault and never quoting its value
 */
export function parseInput<Schema extends v.GenericSchema>(schema: Schema, input: unknown): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, input, { abortEarly: true });
  if (parsed.success) return parsed.output;
  throw new KeyfoldError('InvalidRequest', inputFault(schema, input, parsed.issues[0]));
}

/**
 * Limits what a request seals or opens, all together.
 * @throws KeyfoldError `PayloadTooLarge`
 */
export function limitPlaintext(sizesBytes: readonly number[], { plaintextLimitBytes }: OperationLimits): void {
  if (sizesBytes.reduce((sum, size) => sum + size, 0) <= plaintextLimitBytes) return;
  throw new KeyfoldError('PayloadTooLarge', `The plaintext is larger than ${plaintextLimitBytes} bytes.`);
}

/** @throws KeyfoldError `PayloadTooLarge` where the door cannot let an answer out, or one of its length */
export function limitAnswer(answer: string, { answerFits }: Pick<OperationContext, 'answerFits'>): void {
  if (answerFits(answer)) return;
  throw new KeyfoldError('PayloadTooLarge', 'The answer would be larger than this door lets out.');
}

/**
 * What all of some work gives, once all of it has ended: what ran on after the answer would be frozen with the process, and
 * finish in somebody else's invocation.
 * @throws the first failure, in the work's order
 */
export async function allEnded<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(work);
  return outcomes.map((outcome) => {
    if (outcome.status === 'fulfilled') return outcome.value;
    throw outcome.reason;
  });
}
