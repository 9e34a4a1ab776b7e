import * as v from 'valibot';
import { KeyfoldError } from '../errors.ts';
import { eachItem } from './each-item.ts';
import { DEFAULT_LIMITS, limitPlaintext, parseInput, type Operation, type OperationContext } from './operation.ts';

/** An operation on one item. The API offers it both for single items and for batches. */
export interface ItemOperation<Item> {
  /**
   * Parses an item. Does not use any key.
   * @throws KeyfoldError `InvalidRequest`
   */
  parse(input: unknown): Item;
  /** The size of the item's plaintext in bytes. */
  sizeBytes(item: Item): number;
  /**
   * Runs the operation. The operation takes ownership of the item and may free its buffers, so an item must not be run
   * twice.
   * @returns the response as JSON text
   */
  run(item: Item, context: OperationContext): Promise<string>;
}

/** Makes the operation for requests with a single item. */
export function single<Item>(operation: ItemOperation<Item>): Operation {
  return async ({ value }, context) => {
    const item = operation.parse(value);
    limitPlaintext([operation.sizeBytes(item)], context);
    return operation.run(item, context);
  };
}

interface BatchRequest {
  readonly items: readonly unknown[];
  readonly shareDataRowKey?: boolean;
}

/**
 * The input schema of a batch.
 * @param item the schema of each item
 * @param more the schemas of other request members
 */
export function batchInput(item: v.GenericSchema, more: v.ObjectEntries = {}): v.GenericSchema<unknown, BatchRequest> {
  return v.strictObject({
    ...more,
    items: v.pipe(
      v.array(item),
      v.metadata({
        maxItems: DEFAULT_LIMITS.maxItems,
        description:
          'Items of one partition. A malformed item does not fail the others. The plaintext limit applies to the sum of all items.',
      }),
    ),
  });
}

/**
 * Makes the batch operation. Results are in the order of the items. If an item fails, its result is its error, and the
 * other items continue. All items run concurrently. Items that need the same key share one load of the key.
 * @param more as for {@link batchInput}
 */
export function batch<Item>(operation: ItemOperation<Item>, more?: v.ObjectEntries): Operation {
  // This schema accepts any item. The code below parses each item separately, so that a malformed item fails alone.
  const uncheckedItems = batchInput(v.unknown(), more);
  return async ({ value }, context) => {
    const { items, shareDataRowKey = false } = parseInput(uncheckedItems, value);
    if (items.length > context.maxItems) {
      throw new KeyfoldError('InvalidRequest', `items must have at most ${context.maxItems} entries.`);
    }
    context.itemsCounted(items.length);
    const parsed = items.map((item) => orFailure(() => operation.parse(item)));
    const sizes = parsed.map((item) => (item instanceof KeyfoldError ? 0 : operation.sizeBytes(item)));
    limitPlaintext(sizes, context);
    const within = { ...context, session: context.session.batch({ shareDataRowKey }) };
    const results = await eachItem(parsed, (item) => {
      if (item instanceof KeyfoldError) throw item;
      return operation.run(item, within);
    });
    const failures = results.filter((result) => result instanceof KeyfoldError);
    if (failures.length > 0) context.itemsFailed(failures);
    return `{"results":[${results.map(textOf).join(',')}]}`;
  };
}

function textOf(result: string | KeyfoldError): string {
  if (typeof result === 'string') return result;
  return JSON.stringify({ error: { code: result.code, detail: result.message } });
}

function orFailure<T>(work: () => T): T | KeyfoldError {
  try {
    return work();
  } catch (error) {
    if (error instanceof KeyfoldError) return error;
    throw error;
  }
}
