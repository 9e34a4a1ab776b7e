import type { OperatorConfig } from '../config/operator-config.ts';
import { KeyfoldError } from '../errors.ts';
import { regionOfKeyId } from '../records/ids.ts';
import type { KeyTable } from '../maintenance/key-table.ts';
import { replicaIn } from '../metastore/dynamodb-options.ts';
import type { CliDependencies } from './dependencies.ts';

/** The row that a command inspects or changes. */
export interface KeyRequest {
  readonly id: string;
  /** The creation time of the key in seconds since 1970, or `latest` for the latest row of the ID. */
  readonly created: number | 'latest';
  /** The value of `--region`. Undefined if the option is absent. */
  readonly region: string | undefined;
}

/**
 * Opens the table in which a command writes a key's row. If the key's ID ends with a region, the function opens the
 * replica in that region. In a Global Table the last writer of a row wins, so one region must make all writes to a row.
 * For other IDs, the settings name the table.
 * @throws KeyfoldError `InvalidRequest` if `--region` differs from the region in the ID
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
  return dependencies.openTable(replicaIn(own, config.metastore));
}
