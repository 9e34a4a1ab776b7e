import * as v from 'valibot';
import { KeyfoldError, type ErrorCode } from '../errors.ts';
import {
  allEnded,
  DEFAULT_LIMITS,
  limitPlaintext,
  parseInput,
  type Operation,
  type OperationContext,
} from './operation.ts';

/** An operation on one item, which is offered by itself and in batches. */
export interface ItemOperation<Item> {
  /** @throws KeyfoldError `InvalidRequest`; touches no key */
  parse(input: unknown): Item;
  /** How many bytes of plaintext the item is. */
  sizeBytes(item: Item): number;
  /**
   * Takes the item over, whose memory may be given back at once: none is run twice.
   * @returns the answer as JSON text
   */
  run(item: Item, context: OperationContext): Promise<string>;
}

/** The operation on an item by itself. */
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

/** What a batch takes, of items that are such, besides `more`. */
export function batchInput(item: v.GenericSchema, more: v.ObjectEntries = {}): v.GenericSchema<unknown, BatchRequest> {
  return v.strictObject({
    ...more,
    items: v.pipe(
      v.array(item),
      v.metadata({
        maxItems: DEFAULT_LIMITS.maxItems,
        description:
          'All of one partition. One that is malformed fails by itself. The limit of a plaintext holds for all together.',
      }),
    ),
  });
}

/** What a batch answers with, whose items are answered so or fail with one of those errors. */
export function batchOutput(answer: v.GenericSchema, codes: readonly ErrorCode[]): v.GenericSchema {
  const failure = v.strictObject({ error: v.strictObject({ code: v.picklist(codes), detail: v.string() }) });
  return v.strictObject({
    results: v.pipe(
      v.array(v.union([answer, failure])),
      v.description("In the items' order. One that failed did not keep the others from their answers."),
    ),
  });
}

/**
 * The operation on many items. Answers are in the items' order; one that fails has its error in its place and does not keep
 * the others from theirs. All run at once: those that need the same key share one load of it.
 * @param more see {@link batchInput}
 */
export function batch<Item>(operation: ItemOperation<Item>, more?: v.ObjectEntries): Operation {
  // Each item is checked by itself.
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
    const failures: KeyfoldError[] = [];
    const results = await allEnded(
      parsed.map(async (item) => {
        try {
          if (item instanceof KeyfoldError) throw item;
          return await operation.run(item, within);
        } catch (error) {
          if (!(error instanceof KeyfoldError)) throw error;
          failures.push(error);
          return JSON.stringify({ error: { code: error.code, detail: error.message } });
        }
      }),
    );
    if (failures.length > 0) context.itemsFailed(failures);
    return `{"results":[${results.join(',')}]}`;
  };
}

function orFailure<T>(work: () => T): T | KeyfoldError {
  try {
    return work();
  } catch (error) {
    if (error instanceof KeyfoldError) return error;
    throw error;
  }
}
