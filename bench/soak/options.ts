import type { AwsKmsOptions, DynamoDbMetastoreOptions } from '../../src/index.ts';

/** What the parent hands over, as JSON in the first argument. */
export interface LoadOptions {
  readonly seed: number;
  readonly kms: AwsKmsOptions;
  readonly metastore: DynamoDbMetastoreOptions;
  /** Where records go, a line of JSON each. */
  readonly recordFile: string;
}

/** A record as the file keeps it. */
export interface KeptRecord {
  readonly partition: string;
  readonly record: string;
  /** SHA-256 of the plaintext, in base64. */
  readonly digest: string;
}

/** How the load fares so far. */
export interface LoadReport {
  readonly done: Readonly<Record<string, number>>;
  /** By code; all must be retryable. */
  readonly errors: Readonly<Record<string, number>>;
  /** What must not be, in words; the first hundred. */
  readonly wrongs: readonly string[];
  readonly heapBytes: number;
  readonly rssBytes: number;
}

/** How long a request may take. */
export const DEADLINE_MS = 2500;

/** Whose keys they are. */
export const SOAK_NAMES = { service: 'soak', product: 'keyfold' };
