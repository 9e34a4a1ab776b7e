import type { OperatorConfig } from '../config/operator-config.ts';
import { invalidConfiguration } from '../errors.ts';
import type { ErasureRegister } from '../maintenance/erasure-table.ts';
import type { KeyRow, KeyTable } from '../maintenance/key-table.ts';
import { keyKindOf, keyName, KeyNaming, type KeyMeta } from '../records/ids.ts';
import { EXIT, type CliDependencies } from './dependencies.ts';
import { textOf } from './input.ts';
import { viewOf } from './key-view.ts';
import { openTableOf, type KeyRequest } from './one-key.ts';
import { progressOf } from './progress.ts';
import { parseRecordReport, type KeyReport } from './record-report.ts';
import { clockFaultOf } from './table-clock.ts';
import { jsonLines } from './text.ts';

/** Options of `keys retire-check`. */
export interface RetireRequest extends KeyRequest {
  /**
   * The files that `keyfold verify` or `keyfold reencrypt` wrote with `--report`. Together they must cover every place
   * that stores records.
   */
  readonly reports: readonly string[];
  readonly json: boolean;
}

/** The report as `--json` prints it. */
interface RetireView {
  readonly id: string;
  readonly created: number | 'latest';
  /** It is `unknown` if a record may still be sealed under the key. `why` gives the reasons. */
  readonly outcome: 'retired' | 'in-use' | 'unknown';
  /** The number of known records that are sealed under the key. */
  readonly records: number;
  readonly why: readonly string[];
}

/**
 * Runs `keys retire-check`. It reports whether any known record is still sealed under a key. It changes nothing.
 * @returns the exit code: a success only if the key is retired
 * @throws KeyfoldError `InvalidRequest` if a file is not a report, `MetastoreUnavailable` if the table fails
 */
export async function retireCheck(
  request: RetireRequest,
  config: OperatorConfig,
  dependencies: CliDependencies,
): Promise<number> {
  const { names } = config;
  if (names === undefined) throw invalidConfiguration(['set KEYFOLD_SERVICE and KEYFOLD_PRODUCT to check their keys']);
  const reports: KeyReport[] = [];
  for (const file of request.reports) reports.push(parseRecordReport(await textOf(file, dependencies), file));
  const table = openTableOf(request, config, dependencies);
  const row = await table.find(request.id, request.created);
  const why: string[] = [];
  let records = 0;
  if (row === undefined || row.created === undefined) why.push('there is no such key row');
  else {
    const key = { id: row.id, created: row.created } as KeyMeta;
    const reported = reports.flatMap(({ keys }) => keys) as (KeyMeta & { readonly records: number })[];
    const tables = dependencies.openErasureTables(config.metastore, names);
    const { register } = tables;
    const relationOf = await relationsTo(
      key,
      reported,
      { table, register, naming: new KeyNaming(names) },
      dependencies,
    );
    for (const { id, created, records: count } of reported) {
      const relation = relationOf({ id, created });
      if (relation === 'under') records += count;
      const unknown = UNKNOWN[relation];
      if (unknown !== undefined)
        why.push(`${count} records are under ${id} ${created}, whose row ${unknown}: its System Key is unknown`);
    }
    // Ignore a mark of an erasure. With an invalid proof it stops no process, and a real erasure also revokes the key.
    const unmarked = 'unreadable' in row ? row : { ...row, erased: undefined };
    const { state } = viewOf(unmarked, config.policy, dependencies.now());
    // With a wrong clock, a key that still seals could look expired.
    const clockFault = await clockFaultOf(tables, dependencies.now);
    if (clockFault !== undefined) why.push(clockFault);
    if (state === 'valid') why.push('it still seals: revoke it, or wait until it expires');
    if (state === 'dated-ahead') why.push('it is dated ahead, and will seal once its date is near: revoke it');
    why.push(...reports.flatMap((report) => faultsOf(report, { ...names, endsAtMs: endOf(key, state, config) })));
  }
  const { id, created } = request;
  const outcome = records > 0 ? 'in-use' : why.length > 0 ? 'unknown' : 'retired';
  print({ id, created, outcome, records, why }, request.json, reports, dependencies);
  return outcome === 'retired' ? EXIT.ok : EXIT.failed;
}

/** How a key of a report relates to the key that is checked. */
type Relation = 'under' | 'elsewhere' | 'unreadable' | 'absent';

const UNKNOWN: Partial<Record<Relation, string>> = { unreadable: 'cannot be read', absent: 'is absent' };

/**
 * Finds out which keys of the reports are under a key. For a System Key, the function scans the table, because only the
 * rows of Intermediate Keys name their System Key.
 *
 * An absent row may come back, for example from a backup, and its key opens only under its System Key. The rows of a
 * partition whose erasure has ended do not come back.
 */
async function relationsTo(
  key: KeyMeta,
  reported: readonly KeyMeta[],
  {
    table,
    register,
    naming,
  }: { readonly table: KeyTable; readonly register: ErasureRegister; readonly naming: KeyNaming },
  dependencies: CliDependencies,
): Promise<(reported: KeyMeta) => Relation> {
  const checked = keyName(key);
  if (keyKindOf(key.id) !== 'system') return (one) => (keyName(one) === checked ? 'under' : 'elsewhere');
  const erasures = await register.list();
  const erased = new Set(erasures.flatMap(({ partition, deletedAt }) => (deletedAt === undefined ? [] : partition)));
  const mayReturn = ({ id }: KeyMeta): boolean => {
    const partition = naming.partitionOf(id);
    return partition !== undefined && !erased.has(partition);
  };
  const wanted = new Set(reported.map((one) => keyName(one)));
  const rows = new Map<string, KeyRow>();
  const progress = progressOf('rows', dependencies);
  try {
    for await (const row of table.scan()) {
      progress.advance();
      const name = keyName(row as KeyMeta);
      if (wanted.has(name)) rows.set(name, row);
    }
  } finally {
    progress.end();
  }
  return (one) => {
    if (keyName(one) === checked) return 'under';
    const row = rows.get(keyName(one));
    if (row === undefined) return mayReturn(one) ? 'absent' : 'elsewhere';
    if ('unreadable' in row) return 'unreadable';
    return row.parent !== undefined && keyName(row.parent) === checked ? 'under' : 'elsewhere';
  };
}

/**
 * Returns when the key stopped sealing, in milliseconds since 1970. Returns undefined if it stopped only because it was
 * revoked.
 */
function endOf({ created }: KeyMeta, state: string, { policy }: OperatorConfig): number | undefined {
  return state === 'expired' ? created * 1000 + policy.expireAfterMs : undefined;
}

function faultsOf(
  report: KeyReport,
  { service, product, endsAtMs }: { service: string; product: string; endsAtMs: number | undefined },
): string[] {
  const { source, startedAt, malformed } = report;
  const faults: string[] = [];
  if (report.service !== service || report.product !== product)
    faults.push(`the report on ${source} is of the service ${report.service} and the product ${report.product}`);
  if (malformed > 0) faults.push(`${source} has ${malformed} records that do not parse, so their keys are unknown`);
  if (endsAtMs !== undefined && Date.parse(startedAt) < endsAtMs)
    faults.push(`the report on ${source} began before the key expired`);
  return faults;
}

function print(view: RetireView, json: boolean, reports: readonly KeyReport[], { terminal }: CliDependencies): void {
  if (json) {
    terminal.out(jsonLines(view));
    return;
  }
  const { outcome, records, why } = view;
  const total = reports.reduce((sum, report) => sum + report.records, 0);
  if (outcome === 'retired') terminal.out(`Retired: none of ${total} known records is under it.`);
  if (outcome === 'in-use') terminal.out(`In use: ${records} of ${total} known records are under it.`);
  if (outcome === 'unknown') terminal.out('Not known to be retired.');
  for (const reason of why) terminal.out(`- ${reason}`);
}
