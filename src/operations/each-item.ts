import { KeyfoldError } from '../errors.ts';
import { allEnded } from './operation.ts';

/**
 * Runs the items of a batch concurrently. Items that need the same key share one load of the key.
 * @returns the result or the error of each item, in the order of the items
 * @throws any error that is not a KeyfoldError, after all items have ended
 */
export function eachItem<Item, Result>(
  items: readonly Item[],
  run: (item: Item) => Result | Promise<Result>,
): Promise<(Result | KeyfoldError)[]> {
  return allEnded(
    items.map(async (item) => {
      try {
        return await run(item);
      } catch (error) {
        if (error instanceof KeyfoldError) return error;
        throw error;
      }
    }),
  );
}
