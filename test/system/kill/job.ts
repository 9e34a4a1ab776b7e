/**
 * The task and the settings of a process that may be killed. The process reads them as JSON from its first argument.
 */
export interface Job {
  readonly task: Task;
  /** The proxy's address, which serves both KMS and DynamoDB. */
  readonly endpoint: string;
  readonly tableName: string;
  /** For each region, the ARN of its KMS key or alias. */
  readonly keys: Readonly<Record<string, string>>;
  /** The mistake that the process makes on purpose. */
  readonly flaw?: Flaw | undefined;
}

/** Encrypts once for each partition in the given order, or runs maintenance. */
export type Task = { readonly encryptFor: readonly string[] } | 'maintenance';

/**
 * Wrong ways to write rows, which the kill test must detect. Each does harm only if the process dies at a certain step.
 */
export type Flaw =
  'acknowledges before it stores' | 'stores in two writes' | 'removes a wrap before it stores the renewed one';

/** A record that the killed process returned to its caller. */
export interface Returned {
  readonly partition: string;
  /** The record as JSON text. */
  readonly record: string;
}

/** A line that the process writes to standard output: a record that its caller received, or the end of the job. */
export type Said = Returned | { readonly done: true };

/** The names of the service whose keys the processes use. */
export const NAMES = { service: 'orders', product: 'shop' };
/** The region of the table, which is also the preferred KMS region. */
export const HOME = 'us-west-2';

/** These timeouts are long. With shorter ones, a process on a busy machine could repeat a request and so add a step. */
export const PATIENCE = { connectionTimeoutMs: 20_000, requestTimeoutMs: 20_000 };

/** The payload of a partition's records. */
export function payloadOf(partition: string): Buffer {
  return Buffer.from(`payload of ${partition}`);
}
