import type { OperatorConfig } from '../config/operator-config.ts';
import { KeyfoldError } from '../errors.ts';
import { regionOfKeyId } from '../records/ids.ts';
import type { KeyTable } from '../maintenance/key-table.ts';
import type { CliDependencies } from './dependencies.ts';

/** Which row. */
export interface KeyRequest {
  readonly id: string;
  /** In seconds since 1970. */
  readonly created: number | 'latest';
  /** The region that the command line asks for; undefined where it does not. */
  readonly region: string | undefined;
}

/**
 * The table that a key's row is written in: of a Global Table the replica in the region that ends the id, since whole rows
 * are resolved by their last writer; else the table that the settings name.
 * @throws KeyfoldError `InvalidRequest` where another region was asked for
 */
export function openTableOf({ id, region }: KeyRequest, config: OperatorConfig, world: CliDependencies): KeyTable {
  const own = regionOfKeyId(id, config.names);
  if (own === undefined) return world.openTable(config.metastore);
  if (region !== undefined && region !== own) {
    throw new KeyfoldError('InvalidRequest', `The row of ${id} is written in ${own}: --region ${region} is refused.`);
  }
  return world.openTable({ ...config.metastore, region: own });
}
