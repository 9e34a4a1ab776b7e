import { KeyfoldError } from '../../errors.ts';
import { fieldPathFaults } from '../../operations/field-path-faults.ts';
import type { KeyNaming } from '../../records/ids.ts';
import { bindingOf } from '../../records/record-proof.ts';
import type { FieldNames } from './rows.ts';

/**
 * Checks the options of a run that are the same for every row. If one of them is invalid, every row would fail, and the
 * run would put the whole source into quarantine.
 * @param paths the JSONPaths of the values to seal, if there are any
 * @throws KeyfoldError `InvalidRequest`
 */
export function checkRun(
  { partition, context, contextFrom }: Partial<Pick<FieldNames, 'partition' | 'context' | 'contextFrom'>>,
  paths: readonly string[] = [],
  naming: KeyNaming,
): void {
  if (partition !== undefined) naming.parsePartition(partition);
  if (context !== undefined || contextFrom !== undefined) {
    const fromRow = Object.keys(contextFrom ?? {}).map((name) => [name, ''] as const);
    bindingOf(Object.fromEntries([...Object.entries(context ?? {}), ...fromRow]));
  }
  const [fault] = fieldPathFaults(paths);
  if (fault !== undefined) throw new KeyfoldError('InvalidRequest', `The list of JSONPaths is wrong: fields${fault}.`);
}
