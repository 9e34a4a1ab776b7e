import { invalidConfiguration, KeyfoldError } from '../errors.ts';
import { KeyNaming } from '../records/ids.ts';
import type { OperatorConfig } from '../config/operator-config.ts';
import type { KeyRow } from '../maintenance/key-table.ts';
import { minimumsOf, viewOf, type KeyView } from './key-view.ts';
import { formatRow, formatTable, printableJson, widthsOf } from './text.ts';
import type { CliDependencies } from './dependencies.ts';

export interface ListRequest {
  /** Lists a partition's Intermediate Keys instead of the service's System Keys. */
  readonly partition?: string | undefined;
  /** Lists the service's Intermediate Keys of every partition whose name begins with this prefix. */
  readonly partitionPrefix?: string | undefined;
  /** Lists all rows of the table. */
  readonly all: boolean;
  /** Lists only keys in one of these states. Undefined for every state. */
  readonly states?: readonly KeyView['state'][] | undefined;
  /** Lists only keys that were created longer ago than this, in milliseconds. */
  readonly olderThanMs?: number | undefined;
  readonly json: boolean;
}

/** The command reads this many rows before it prints any, to choose the widths of the columns. */
const ROWS_FOR_WIDTHS = 1000;

/**
 * Runs `keys list`. Rows that cannot be read have the state `unreadable`. The command prints rows while it reads the
 * table, so its memory does not grow with the table. It also prints the minimum dates from the settings.
 * @throws KeyfoldError `InvalidConfiguration` if neither `--all` nor the service's names are given, `InvalidRequest` if
 * the partition is invalid, or `MetastoreUnavailable`
 */
export async function listKeys(
  request: ListRequest,
  config: OperatorConfig,
  dependencies: CliDependencies,
): Promise<void> {
  const { id, isWanted, called } = selectionOf(request, config);
  const table = dependencies.openTable(config.metastore);
  const { table: name, region } = await table.place();
  const { now, terminal } = dependencies;
  const nowMs = now();
  const isListed = ({ state, created }: KeyView): boolean => {
    if (request.states !== undefined && !request.states.includes(state)) return false;
    return request.olderThanMs === undefined || (created !== null && created * 1000 < nowMs - request.olderThanMs);
  };
  async function* views(): AsyncGenerator<KeyView> {
    for await (const rows of byId(table.scan(id))) {
      for (const row of rows) {
        const view = isWanted(row) ? viewOf(row, config.policy, nowMs) : undefined;
        if (view !== undefined && isListed(view)) yield view;
      }
    }
  }
  const lines = request.json ? jsonLines(views()) : tableLines(views());
  let isEmpty = true;
  for await (const line of lines) {
    terminal.out(line);
    isEmpty = false;
  }
  // With a filter, the table may have other rows of this ID.
  const isFiltered = request.states !== undefined || request.olderThanMs !== undefined;
  const filtered = isFiltered ? ' pass the filter' : '';
  if (isEmpty) terminal.err(`No rows of ${called} in table ${name} in ${region}${filtered}.`);
  for (const sentence of minimumsOf(config.policy)) terminal.err(sentence);
}

/** Groups the rows by ID, latest first. A scan returns the rows of an ID one after another, but oldest first. */
async function* byId(rows: AsyncIterable<KeyRow>): AsyncGenerator<KeyRow[]> {
  let group: KeyRow[] = [];
  const sorted = (): KeyRow[] => group.toSorted((a, b) => (b.created ?? 0) - (a.created ?? 0));
  for await (const row of rows) {
    if (group.length > 0 && group[0]?.id !== row.id) {
      yield sorted();
      group = [];
    }
    group.push(row);
  }
  yield sorted();
}

/** Yields the lines of a JSON array with one row per line. */
async function* jsonLines(views: AsyncIterable<KeyView>): AsyncGenerator<string> {
  let previous: string | undefined;
  for await (const view of views) {
    yield previous === undefined ? '[' : `${previous},`;
    previous = `  ${printableJson(view)}`;
  }
  if (previous === undefined) {
    yield '[]';
    return;
  }
  yield previous;
  yield ']';
}

const HEADER = ['ID', 'KIND', 'CREATED', 'EPOCH', 'STATE', 'PARENT'];

async function* tableLines(views: AsyncIterable<KeyView>): AsyncGenerator<string> {
  let first: string[][] | undefined = [];
  let widths: readonly number[] = [];
  for await (const view of views) {
    if (first === undefined) {
      yield formatRow(cellsOf(view), widths);
      continue;
    }
    first.push(cellsOf(view));
    if (first.length < ROWS_FOR_WIDTHS) continue;
    widths = widthsOf([HEADER, ...first]);
    yield* formatTable(HEADER, first);
    first = undefined;
  }
  if (first !== undefined && first.length > 0) yield* formatTable(HEADER, first);
}

function cellsOf({ id, kind, created, createdAt, rawCreated, state, parent }: KeyView): string[] {
  const parentName = parent === null ? '' : `${parent.id} ${parent.created}`;
  return [id, kind, createdAt ?? rawCreated ?? '?', String(created ?? '?'), state, parentName];
}

/** The rows that a request selects. `called` is how messages name these rows. */
interface Selection {
  /** The id of the rows. Undefined if the command must read the whole table. */
  readonly id: string | undefined;
  readonly isWanted: (row: KeyRow) => boolean;
  readonly called: string;
}

function selectionOf({ all, partition, partitionPrefix }: ListRequest, { names }: OperatorConfig): Selection {
  if (all) return { id: undefined, isWanted: () => true, called: 'any id' };
  if (names === undefined) {
    throw invalidConfiguration([
      'set KEYFOLD_SERVICE and KEYFOLD_PRODUCT, or --service and --product, to list the keys of a service; --all lists every row',
    ]);
  }
  const naming = new KeyNaming(names);
  if (partitionPrefix !== undefined) {
    if (partitionPrefix === '') throw new KeyfoldError('InvalidRequest', 'The prefix of the partitions is empty.');
    const begin = `_IK_${partitionPrefix}`;
    const isWanted = ({ id }: KeyRow): boolean => id.startsWith(begin) && naming.isIntermediateKey(id);
    return { id: undefined, isWanted, called: `${begin}…` };
  }
  const id = partition === undefined ? naming.systemKeyId : naming.intermediateKeyId(naming.parsePartition(partition));
  return { id, isWanted: () => true, called: id };
}
