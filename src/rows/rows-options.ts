import type { DynamoDbRowsOptions } from './dynamodb-rows.ts';
import type { JsonLinesOptions } from './json-lines.ts';

/** The options of a source, by its kind. */
export type RowsOptions =
  ({ readonly kind: 'dynamodb' } & DynamoDbRowsOptions) | ({ readonly kind: 'file' } & JsonLinesOptions);
