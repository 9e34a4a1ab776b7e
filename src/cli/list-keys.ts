import { invalidConfiguration } from '../errors.ts';
import { KeyNaming } from '../records/ids.ts';
import type { OperatorConfig } from '../config/operator-config.ts';
import { viewOf, type KeyView } from './key-view.ts';
import { formatTable, printableJson } from './text.ts';
import type { CliDependencies } from './dependencies.ts';

/** The rows to list: the service's System Keys, one partition's Intermediate Keys, or all rows of the table. */
export interface ListRequest {
  readonly partition?: string | undefined;
  readonly all: boolean;
  readonly json: boolean;
}

/**
 * Runs `keys list`. Rows that cannot be read have the state `unreadable`.
 * @throws KeyfoldError `InvalidConfiguration` if neither `--all` nor the service's names are given, `InvalidRequest` if
 * the partition is invalid, or `MetastoreUnavailable`
 */
export async function listKeys(
  request: ListRequest,
  config: OperatorConfig,
  dependencies: CliDependencies,
): Promise<void> {
  const id = request.all ? undefined : idOf(request, config);
  const table = dependencies.openTable(config.metastore);
  const { table: name, region } = await table.place();
  const rows = await table.list(id);
  const views = rows.map((row) => viewOf(row, config.policy, dependencies.now())).toSorted(byIdLatestFirst);
  const { terminal } = dependencies;
  // Print line by line, because a large table would exceed the maximum length of a string.
  if (request.json) for (const line of jsonLines(views)) terminal.out(line);
  else if (views.length > 0) for (const line of formatTable(HEADER, views.map(cellsOf))) terminal.out(line);
  else terminal.err(`No rows of ${id ?? 'any id'} in table ${name} in ${region}.`);
}

/** Yields the lines of a JSON array with one row per line. */
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
      'set KEYFOLD_SERVICE and KEYFOLD_PRODUCT, or --service and --product, to list the keys of a service; --all lists every row',
    ]);
  }
  const naming = new KeyNaming(names);
  return partition === undefined ? naming.systemKeyId : naming.intermediateKeyId(naming.parsePartition(partition));
}

function byIdLatestFirst(a: KeyView, b: KeyView): number {
  if (a.id !== b.id) return a.id < b.id ? -1 : 1;
  return (b.created ?? 0) - (a.created ?? 0);
}
