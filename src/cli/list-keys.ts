import { invalidConfiguration } from '../errors.ts';
import { KeyNaming } from '../records/ids.ts';
import type { OperatorConfig } from '../config/operator-config.ts';
import { viewOf, type KeyView } from './key-view.ts';
import { formatTable, printableJson } from './text.ts';
import type { CliDependencies } from './dependencies.ts';

/** Which rows: the service's System Keys, or a partition's Intermediate Keys, or all that the table holds. */
export interface ListRequest {
  readonly partition?: string | undefined;
  readonly all: boolean;
  readonly json: boolean;
}

/**
 * `keys list`. Rows that cannot be read are listed as such.
 * @throws KeyfoldError `InvalidConfiguration` where the service's names are needed and not set; `InvalidRequest` for a
 * partition that cannot be one; `MetastoreUnavailable`
 */
export async function listKeys(request: ListRequest, config: OperatorConfig, world: CliDependencies): Promise<void> {
  const id = request.all ? undefined : idOf(request, config);
  const table = world.openTable(config.metastore);
  const { table: name, region } = await table.place();
  const rows = await table.list(id);
  const views = rows.map((row) => viewOf(row, config.policy, world.now())).toSorted(byIdLatestFirst);
  const { terminal } = world;
  // Line by line: all of a large table is more than one string holds.
  if (request.json) for (const line of jsonLines(views)) terminal.out(line);
  else if (views.length > 0) for (const line of formatTable(HEADER, views.map(cellsOf))) terminal.out(line);
  else terminal.err(`No rows of ${id ?? 'any id'} in table ${name} in ${region}.`);
}

/** A JSON array, each row in a line of its own. */
function* jsonLines(views: readonly KeyView[]): Iterable<string> {
  yield views.length === 0 ? '[]' : '[';
  for (const [i, view] of views.entries()) yield `  ${printableJson(view)}${i + 1 < views.length ? ',' : ''}`;
  if (views.length > 0) yield ']';
}

const HEADER = ['ID', 'KIND', 'CREATED', 'EPOCH', 'STATE', 'PARENT'];

function cellsOf({ id, kind, created, createdAt, state, parent }: KeyView): string[] {
  const parentName = parent === null ? '' : `${parent.id} ${parent.created}`;
  return [id, kind, createdAt ?? '?', String(created ?? '?'), state, parentName];
}

function idOf({ partition }: ListRequest, { names }: OperatorConfig): string {
  if (names === undefined) {
    throw invalidConfiguration([
      'KEYFOLD_SERVICE and KEYFOLD_PRODUCT, or --service and --product, say whose keys to list; --all lists every row',
    ]);
  }
  const naming = new KeyNaming(names);
  return partition === undefined ? naming.systemKeyId : naming.intermediateKeyId(naming.parsePartition(partition));
}

function byIdLatestFirst(a: KeyView, b: KeyView): number {
  if (a.id !== b.id) return a.id < b.id ? -1 : 1;
  return (b.created ?? 0) - (a.created ?? 0);
}
