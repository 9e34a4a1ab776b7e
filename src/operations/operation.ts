import * as v from 'valibot';
import type { RequestLimits } from '../envelope/deadline.ts';
import { KeyfoldError } from '../envelope/errors.ts';
import type { Session } from '../envelope/session.ts';

/** What an operation works with: whose keys, and within which limits. */
export interface OperationContext {
  readonly session: Session;
  readonly limits: RequestLimits;
  /** How much one request may seal or open. */
  readonly plaintextLimitBytes: number;
}

/** One operation of the API: takes a request's parsed JSON, answers with what the door makes JSON of. */
export type Operation<Answer> = (input: unknown, context: OperationContext) => Promise<Answer>;

/**
 * Checks the shape of a request.
 * @throws KeyfoldError `InvalidRequest`, naming the member at fault and never quoting its value
 */
export function parseInput<Schema extends v.GenericSchema>(schema: Schema, input: unknown): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, input, { abortEarly: true });
  if (parsed.success) return parsed.output;
  throw new KeyfoldError('InvalidRequest', describe(parsed.issues[0]));
}

/** @throws KeyfoldError `PayloadTooLarge` */
export function limitPlaintext(sizeBytes: number, { plaintextLimitBytes }: OperationContext): void {
  if (sizeBytes <= plaintextLimitBytes) return;
  throw new KeyfoldError('PayloadTooLarge', `The plaintext is larger than ${plaintextLimitBytes} bytes.`);
}

/** A member that the schema does not know is not named, since its name is the caller's data. */
function describe(issue: v.BaseIssue<unknown>): string {
  if (issue.type === 'strict_object' && issue.path === undefined) return 'The request is not a JSON object.';
  if (issue.expected === 'never') return 'The request holds a member that this operation does not know.';
  const name = v.getDotPath(issue);
  return issue.received === 'undefined'
    ? `The request has no ${name}.`
    : `The request's ${name} is malformed: not ${issue.expected}.`;
}
