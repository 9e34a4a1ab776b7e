import type { AppConfig } from '../config/app-config.ts';
import type { MaintenanceReport } from '../maintenance/system-key-maintenance.ts';
import { KeyNaming } from '../records/ids.ts';
import { auditFailure } from './audit.ts';
import { EXIT, type CliDependencies } from './dependencies.ts';
import { interruptible } from './interrupt.ts';
import { mustAgreeWithTable } from './table-clock.ts';
import { formatTable, isoOf, jsonLines } from './text.ts';
import { auditOf, type AuditedRequest } from './write-audit.ts';

/** Options of `keyfold maintain`. */
export interface MaintainRequest extends AuditedRequest {
  readonly json: boolean;
}

/** A manual run has the same time limit as a scheduled run. */
const TIMEOUT_MS = 5 * 60_000;

/**
 * Runs the scheduled maintenance now, for `keyfold maintain`.
 * @returns the exit code: a failure if a key has a fault, if the next System Key could not be made, or if the erasures
 * could not be read
 * @throws KeyfoldError if the run cannot list the keys
 * @throws Error if this machine's clock and the table's differ
 */
export async function maintain(
  request: MaintainRequest,
  config: AppConfig,
  dependencies: CliDependencies,
): Promise<number> {
  const { json, dryRun } = request;
  const maintenance = await dependencies.openMaintenance(config, dryRun);
  const place = await dependencies.openTable(config.metastore).place();
  const record = await auditOf('maintain', request, place, dependencies);
  const key = { id: new KeyNaming(config.names).systemKeyId, created: 'latest' } as const;
  const { report, isFaulty } = await interruptible(dependencies, async (signal) => {
    await record(key, 'attempting');
    const ended = await mustAgreeWithTable(config, dependencies)
      .then(() => maintenance.run({ deadlineAtMs: Date.now() + TIMEOUT_MS, signal }))
      .catch(async (error: unknown) => {
        await auditFailure(error, () => record(key, 'failed'));
        throw error;
      });
    const hasFault = isFaultyReport(ended);
    const done = dryRun ? 'would-maintain' : 'maintained';
    await record({ ...key, created: ended.created?.created ?? 'latest' }, hasFault ? 'failed' : done);
    return { report: ended, isFaulty: hasFault };
  });
  if (json) dependencies.terminal.out(jsonLines(report));
  else for (const line of linesOf(report, dryRun)) dependencies.terminal.out(line);
  return isFaulty ? EXIT.failed : EXIT.ok;
}

function isFaultyReport({ createFault, erasuresFault, systemKeys }: MaintenanceReport): boolean {
  const faults = systemKeys.flatMap(({ fault, regions }) => [fault, ...regions.map((one) => one.fault)]);
  return [createFault, erasuresFault, ...faults].some((fault) => fault !== undefined);
}

function* linesOf(
  { systemKeys, created, createFault, erasuresDue = [], erasuresFault }: MaintenanceReport,
  dryRun: boolean,
): Iterable<string> {
  const cells = systemKeys.flatMap(({ created: date, state, regions, fault }) => {
    const key = [String(date ?? '?'), state];
    if (regions.length === 0) return [[...key, '', '', '', fault ?? '']];
    return regions.map((one) => [
      ...key,
      one.region,
      one.opens ? 'opens' : 'does not open',
      one.renewed ? 'renewed' : '',
      one.fault ?? fault ?? '',
    ]);
  });
  if (cells.length > 0) yield* formatTable(['CREATED', 'STATE', 'REGION', 'OPENS', 'WRAP', 'FAULT'], cells);
  if (created !== undefined) yield `Made the System Key ${created.id} ${created.created}.`;
  for (const { partition, due } of erasuresDue)
    yield `The keys of ${partition} are due for deletion since ${isoOf(due) ?? '?'}.`;
  if (erasuresFault !== undefined) yield `The erasures could not be read: ${erasuresFault}`;
  if (createFault !== undefined) yield `The next System Key could not be made: ${createFault}`;
  if (dryRun) yield 'Dry run: nothing was written.';
}
