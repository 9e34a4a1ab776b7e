import type { OperatorConfig } from '../config/operator-config.ts';
import { KeyfoldError } from '../errors.ts';
import { regionOfKeyId } from '../records/ids.ts';
import type { KeyTable } from '../maintenance/key-table.ts';
import type { CliDependencies } from './dependencies.ts';

/** The row that a command inspects or changes. */
export interface KeyRequest {
  readonly id: string;
  /** The key's creation time in seconds since 1970, or the latest row of the ID. */
  readonly created: number | 'latest';
  /** The value of `--region`. Undefined if the option is absent. */
  readonly region: string | undefined;
}

/**
 * Opens the table in which a key's row is written. If the key's ID ends with a region, that is the replica in this
 * region: a Global Table resolves conflicts by the last writer of a row, so one region must do all writes. Otherwise
 * the settings decide.
 * @throws KeyfoldError `InvalidRequest` if `--region` names another region than the ID
 */
export function openTableOf(
  { id, region }: KeyRequest,
  config: OperatorConfig,
  dependencies: CliDependencies,
): KeyTable {
  const own = regionOfKeyId(id, config.names);
  if (own === undefined) return dependencies.openTable(config.metastore);
  if (region !== undefined && region !== own) {
    throw new KeyfoldError(
      'InvalidRequest',
      `The row of ${id} is written in ${own}, so --region ${region} is not allowed.`,
    );
  }
  return dependencies.openTable({ ...config.metastore, region: own });
}
