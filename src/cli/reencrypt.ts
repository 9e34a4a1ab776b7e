import type { AppConfig } from '../config/app-config.ts';
import { KeyfoldError } from '../errors.ts';
import { checkRun } from '../maintenance/reencryption/check-run.ts';
import { Reencryption, type Checkpoint } from '../maintenance/reencryption/reencryption.ts';
import type { Counts } from '../maintenance/reencryption/tally.ts';
import { Verbs, type VerbOptions } from '../maintenance/reencryption/verbs.ts';
import { KeyNaming } from '../records/ids.ts';
import { postgresPlaceOf } from '../rows/open-postgres.ts';
import type { RowsOptions } from '../rows/rows-options.ts';
import { auditFailure, openAudit, type ReencryptOutcome } from './audit.ts';
import { readCheckpoint, removeCheckpoint, writeCheckpoint } from './checkpoint-file.ts';
import { EXIT, type CliDependencies } from './dependencies.ts';
import { interruptible } from './interrupt.ts';
import { appendLine, checkFiles, prepareFile, replaceContent } from './output-files.ts';
import { progressOf } from './progress.ts';
import { formatKeys, type KeyReport } from './record-report.ts';
import { mustAgreeWithTable } from './table-clock.ts';
import { formatFields, printableJson } from './text.ts';

/** Options of `keyfold reencrypt`. */
export interface ReencryptRequest extends VerbOptions {
  /** The source's name, as the operator gave it. */
  readonly source: string;
  readonly rows: RowsOptions;
  /**
   * The region and the encryption context of the KMS ciphertexts that `seal` reads. Undefined if `seal` reads
   * plaintexts.
   */
  readonly ciphertexts:
    { readonly region: string; readonly encryptionContext: Readonly<Record<string, string>> | undefined } | undefined;
  readonly quarantineFile: string;
  readonly checkpointFile: string | undefined;
  readonly reportFile: string | undefined;
  /** The highest number of rows per second. */
  readonly rate: number | undefined;
  readonly dryRun: boolean;
  readonly reason: string | undefined;
  readonly auditFile: string | undefined;
  readonly json: boolean;
}

/**
 * Finds a field that no row has. If the field's name is misspelled, the report would wrongly say that no record is
 * left. PostgreSQL refuses a column that does not exist.
 * @param seen the fields that at least one row has
 */
function unseenField(
  { rows: { kind, fields = [] } }: ReencryptRequest,
  { rows, skipped }: Counts,
  seen: ReadonlySet<string>,
): string | undefined {
  return kind === 'postgres' || rows + skipped === 0 ? undefined : fields.find((field) => !seen.has(field));
}

/** The report that `--json` prints and `--report` writes. */
type ReencryptReport = KeyReport & Counts & { readonly verb: string; readonly dryRun: boolean };

/**
 * Runs `keyfold reencrypt`: re-encrypts the rows of a source. It resumes from a checkpoint if there is one.
 * @returns the exit code: a failure if a row is in quarantine
 * @throws KeyfoldError `InvalidRequest` if a file is invalid or no row has a field, or the error of KMS or of the
 * metastore
 * @throws SourceFault if the source fails
 * @throws Error if this machine's clock and the table's differ, unless the verb is `open` and there is no report
 */
export async function reencrypt(
  request: ReencryptRequest,
  config: AppConfig,
  dependencies: CliDependencies,
): Promise<number> {
  const { now, terminal } = dependencies;
  const { checkpointFile, quarantineFile, reportFile, dryRun, rate } = request;
  await checkFiles({
    ...(request.rows.kind === 'file' && { 'The source': request.rows.file, '--output': request.rows.output }),
    '--quarantine': quarantineFile,
    '--report': reportFile,
    '--checkpoint': checkpointFile,
    '--audit-file': request.auditFile,
  });
  const naming = new KeyNaming(config.names);
  checkRun(request.rows, request.paths, naming);
  // Every verb except `open` may make keys.
  if (request.verb !== 'open' || reportFile !== undefined) await mustAgreeWithTable(config, dependencies);
  const run = await identityOf(request, config);
  const saved = checkpointFile === undefined ? undefined : await readCheckpoint(checkpointFile, run);
  const startedAtMs = saved?.startedAtMs ?? now();
  const record = await auditOf(request, dependencies);
  const { region, encryptionContext } = request.ciphertexts ?? {};
  const ciphertexts = region === undefined ? undefined : dependencies.openCiphertexts(region, encryptionContext);
  const keyfold = await dependencies.openSessions(config);
  const verbs = new Verbs(request, { keyfold, naming, ciphertexts, now }, startedAtMs);
  for (const file of [quarantineFile, reportFile]) if (file !== undefined) await prepareFile(file);
  const save =
    checkpointFile === undefined
      ? undefined
      : (checkpoint: Checkpoint) => writeCheckpoint(checkpointFile, { ...checkpoint, run, startedAtMs });
  const source = await dependencies.openRows(request.rows);
  const { rows = 0, skipped = 0 } = saved?.counts ?? {};
  const progress = progressOf('rows', dependencies, () => source.size?.(), rows + skipped);
  const { counts, unseen } = await interruptible(dependencies, async (signal) => {
    await record('attempting', saved?.counts);
    const reencryption = new Reencryption({
      source,
      verbs,
      quarantine: (row) => appendLine(quarantineFile, printableJson(row)),
      save,
      advanced: (count) => progress.advance(count),
      dryRun,
      rate,
      now,
      signal,
    });
    const ended = await reencryption.run(saved).catch(async (error: unknown) => {
      await auditFailure(error, () => record('failed', reencryption.counts()));
      throw error;
    });
    await record(dryRun ? 'would-write' : 'done', ended.counts);
    return { ...ended, unseen: unseenField(request, ended.counts, reencryption.fields) };
  }).finally(() => progress.end());
  const { service, product } = config.names;
  const startedAt = new Date(startedAtMs).toISOString();
  const { source: name, verb } = request;
  const report = {
    kind: 'keyfold-records',
    source: name,
    verb,
    dryRun,
    startedAt,
    service,
    product,
    ...counts,
  } as const;
  if (checkpointFile !== undefined) await removeCheckpoint(checkpointFile);
  if (unseen !== undefined)
    throw new KeyfoldError('InvalidRequest', `No row of ${name} has a value in the field ${unseen}.`);
  terminal.out(request.json ? printableJson(report) : linesOf(report, quarantineFile));
  if (reportFile !== undefined) await replaceContent(reportFile, printableJson(report, 2));
  return counts.quarantined > 0 ? EXIT.failed : EXIT.ok;
}

/** Describes what a run does. A checkpoint is valid only for a run with the same description. */
async function identityOf(
  { source, rows, verb, form, plaintext, paths, ciphertexts, dryRun }: ReencryptRequest,
  { names: service }: AppConfig,
): Promise<string> {
  const { fields, partition, partitionField, context, contextFrom } = rows;
  const names = { fields, partition, partitionField, context, contextFrom };
  const place = await placeOf(rows);
  return JSON.stringify({ source, place, service, verb, form, plaintext, paths, ciphertexts, dryRun, ...names });
}

/**
 * Describes a table's location. The password is left out, because it must not get into the checkpoint. For DynamoDB,
 * the endpoint is enough, because a position contains the account, the region and the table.
 */
async function placeOf(rows: RowsOptions): Promise<object | undefined> {
  if (rows.kind === 'file') return undefined;
  return rows.kind === 'dynamodb' ? { endpoint: rows.table.endpoint } : postgresPlaceOf(rows.url);
}

async function auditOf(
  { source, verb, reason, auditFile, dryRun }: ReencryptRequest,
  { terminal, now, caller }: CliDependencies,
): Promise<(outcome: ReencryptOutcome, counts?: Counts) => Promise<void>> {
  const audit = await openAudit(auditFile, terminal);
  return (outcome, counts) => {
    const { rows = 0, written = 0, quarantined = 0 } = counts ?? {};
    const time = new Date(now()).toISOString();
    const counted = { rows, written, quarantined };
    return audit({
      time,
      action: 'reencrypt',
      source,
      verb,
      reason: reason ?? null,
      caller,
      dryRun,
      ...counted,
      outcome,
    });
  };
}

function linesOf(report: ReencryptReport, quarantineFile: string): string[] {
  const { rows, written, unchanged, quarantined, skipped, dryRun, keys } = report;
  const summary = formatFields([
    ['rows', String(rows)],
    [dryRun ? 'would be written' : 'written', String(written)],
    ['unchanged', String(unchanged)],
    ['in quarantine', quarantined === 0 ? '0' : `${quarantined}: see ${quarantineFile}`],
    ['skipped', String(skipped)],
  ]);
  return [...summary, ...formatKeys(keys)];
}
