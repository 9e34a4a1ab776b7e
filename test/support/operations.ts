import type { KeyfoldError, SessionFactory } from '../../src/index.ts';
import type { OperationName } from '../../src/operations/operation-name.ts';
import type { OperationContext } from '../../src/operations/operation.ts';
import { OPERATIONS } from '../../src/operations/operations.ts';
import { FakeDependencies } from './fakes.ts';

/** The members of an operation's result that tests read. */
export type Answer = Record<string, unknown>;

/** Runs operations without a door, on the keys of a process. */
export interface Operator {
  /** Runs an operation and returns its result as JSON text. The body is a value, or the exact JSON text. */
  readonly ask: (operation: OperationName, body: unknown, partition?: string) => Promise<string>;
  /** Like {@link ask}, but returns the parsed result. */
  readonly answer: (operation: OperationName, body: unknown, partition?: string) => Promise<Answer>;
  /** The errors of the batch items that have failed so far. */
  readonly itemFailures: KeyfoldError[];
}

/** @param limits the limits to change from a door's defaults */
export function operate(
  process: SessionFactory = new FakeDependencies().process(),
  limits: Partial<OperationContext> = {},
): Operator {
  const itemFailures: KeyfoldError[] = [];
  const ask = (operation: OperationName, body: unknown, partition = 'tenant-1'): Promise<string> => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return OPERATIONS[operation](
      { value: JSON.parse(text), text: () => text },
      {
        session: process.session(partition),
        limits: {},
        plaintextLimitBytes: 1_048_576,
        maxItems: 1000,
        answerFits: () => true,
        itemsCounted: () => {},
        itemsFailed: (errors) => void itemFailures.push(...errors),
        ...limits,
      },
    );
  };
  return { ask, answer: async (...asked) => JSON.parse(await ask(...asked)) as Answer, itemFailures };
}
