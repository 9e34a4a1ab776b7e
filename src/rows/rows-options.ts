import type { DynamoDbRowsOptions } from './dynamodb-rows.ts';
import type { JsonLinesOptions } from './json-lines.ts';
import type { PostgresRowsOptions } from './postgres-rows.ts';

/** The options of a source. They depend on its kind. */
export type RowsOptions =
  | ({ readonly kind: 'dynamodb' } & DynamoDbRowsOptions)
  | ({ readonly kind: 'file' } & JsonLinesOptions)
  | ({ readonly kind: 'postgres'; readonly url: string } & PostgresRowsOptions);
