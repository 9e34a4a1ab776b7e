import type { AwsKmsOptions, DynamoDbMetastoreOptions } from '../../src/index.ts';

/** The options of the load process, which it gets as JSON in its first argument. */
export interface LoadOptions {
  readonly seed: number;
  readonly kms: AwsKmsOptions;
  readonly metastore: DynamoDbMetastoreOptions;
  /** The file to which records are appended, one line of JSON each. */
  readonly recordFile: string;
}

/** One line in the file of records. */
export interface KeptRecord {
  readonly partition: string;
  readonly record: string;
  /** SHA-256 of the plaintext, in base64. */
  readonly digest: string;
}

/** What the load has done since its start. */
export interface LoadReport {
  readonly done: Readonly<Record<string, number>>;
  /** The number of errors by code. All of them must be retryable. */
  readonly errors: Readonly<Record<string, number>>;
  /** Descriptions of the first 100 violations, such as a wrong plaintext. */
  readonly wrongs: readonly string[];
  readonly heapBytes: number;
  readonly rssBytes: number;
}

/** The deadline of a request. */
export const DEADLINE_MS = 2500;

/** The service and the product that own the keys. */
export const SOAK_NAMES = { service: 'soak', product: 'keyfold' };
