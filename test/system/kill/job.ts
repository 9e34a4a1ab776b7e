/** What a process that may be killed is told to do, as JSON in its first argument. */
export interface Job {
  readonly task: Task;
  /** Of KMS and of DynamoDB, both at one address: the proxy's. */
  readonly endpoint: string;
  readonly tableName: string;
  /** For each region, the ARN of its KMS key or alias. */
  readonly keys: Readonly<Record<string, string>>;
  /** What it does wrong on purpose. */
  readonly flaw?: Flaw | undefined;
}

/** Either encrypts once for each partition, in that order, or runs the maintenance. */
export type Task = { readonly encryptFor: readonly string[] } | 'maintenance';

/** Ways of writing that a crash must be seen to punish: each is wrong only at some step. */
export type Flaw = 'acknowledges before it stores' | 'stores in two writes' | 'takes away before it renews';

/** A record that a caller was given. */
export interface Returned {
  readonly partition: string;
  /** JSON text. */
  readonly record: string;
}

/** One line of such a process's standard output: a record that its caller has, or the end of the job. */
export type Said = Returned | { readonly done: true };

/** Whose keys they are. */
export const NAMES = { service: 'orders', product: 'shop' };
/** Where the table is, and the KMS region that is asked first. */
export const HOME = 'us-west-2';

/** So that a busy machine does not make a process ask twice, which would be another step. */
export const PATIENCE = { connectionTimeoutMs: 20_000, requestTimeoutMs: 20_000 };

/** What a partition's records hold. */
export function payloadOf(partition: string): Buffer {
  return Buffer.from(`payload of ${partition}`);
}
