import type { DynamoDbRowsOptions } from './dynamodb-rows.ts';
import type { JsonLinesOptions } from './json-lines.ts';
import type { PostgresRowsOptions } from './postgres-rows.ts';

/** The options of a source, which depend on the kind of the source. */
export type RowsOptions =
  | ({ readonly kind: 'dynamodb' } & DynamoDbRowsOptions)
  | ({ readonly kind: 'file' } & JsonLinesOptions)
  | ({ readonly kind: 'postgres'; readonly url: string } & PostgresRowsOptions);
