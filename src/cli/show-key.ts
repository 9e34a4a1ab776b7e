import type { OperatorConfig } from '../config/operator-config.ts';
import { viewOf, wrapsOf, type KeyView, type WrapsView } from './key-view.ts';
import { openTableOf, type KeyRequest } from './one-key.ts';
import { formatFields, jsonLines } from './text.ts';
import { EXIT, type CliDependencies } from './dependencies.ts';

/**
 * Runs `keys show`. If the row cannot be read, it shows the reason.
 * @returns the exit code. An absent row is a failure.
 * @throws KeyfoldError `InvalidRequest` or `MetastoreUnavailable`
 */
export async function showKey(
  request: KeyRequest & { readonly json: boolean },
  config: OperatorConfig,
  dependencies: CliDependencies,
): Promise<number> {
  const { terminal, now } = dependencies;
  const table = openTableOf(request, config, dependencies);
  const place = await table.place();
  const row = await table.find(request.id, request.created);
  if (row === undefined) {
    terminal.err(`keyfold: no row ${request.id} ${request.created} in table ${place.table} in ${place.region}`);
    return EXIT.failed;
  }
  const view = viewOf(row, config.policy, now());
  const wraps = wrapsOf(row);
  if (request.json) terminal.out(jsonLines({ ...view, ...place, ...wraps }));
  else terminal.out(formatFields([...fieldsOf(view, wraps), ['table', `${place.table} in ${place.region}`]]));
  return EXIT.ok;
}

function fieldsOf(view: KeyView, wraps: WrapsView | undefined): [string, string][] {
  const { id, kind, created, createdAt, rawCreated, state, parent, unreadable } = view;
  return [
    ['id', id],
    ['kind', kind],
    ['created', `${created ?? rawCreated ?? '?'} (${createdAt ?? '?'})`],
    ['state', unreadable === undefined ? state : `${state}: ${unreadable}`],
    ...(parent === null ? [] : [['parent', `${parent.id} ${parent.created}`] as [string, string]]),
    ...(wraps?.wraps.map(({ region, arn }): [string, string] => [`wrapped in ${region}`, arn]) ?? []),
    ...(wraps?.wrappedBy === undefined ? [] : [['wrapped by', wraps.wrappedBy] as [string, string]]),
  ];
}
