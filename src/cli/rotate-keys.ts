import type { AppConfig } from '../config/app-config.ts';
import { isDatedAhead } from '../envelope/key-standing.ts';
import { KeyfoldError } from '../errors.ts';
import type { KeyTable } from '../maintenance/key-table.ts';
import { KeyNaming, type KeyId, type KeyMeta } from '../records/ids.ts';
import { auditFailure } from './audit.ts';
import { EXIT, type CliDependencies } from './dependencies.ts';
import { interruptible } from './interrupt.ts';
import { progressOf } from './progress.ts';
import { mustAgreeWithTable } from './table-clock.ts';
import { formatTable, jsonLines } from './text.ts';
import { auditOf, type AuditedRequest } from './write-audit.ts';

/** Options of `keys rotate`. */
export interface RotateRequest extends AuditedRequest {
  /** Rotates the Intermediate Key of this partition instead of the System Key. */
  readonly partition: string | undefined;
  /** Rotates the Intermediate Key of every partition instead. */
  readonly allPartitions: boolean;
  /** With `allPartitions`, leaves out partitions whose latest key was created within this time, in milliseconds. */
  readonly olderThanMs?: number | undefined;
  readonly json: boolean;
}

/** The result for one key ID, as `--json` prints it. */
interface RotationView {
  readonly id: string;
  /** The creation time of the new key in seconds since 1970. Null if this command made none. */
  readonly created: number | null;
  readonly outcome: 'rotated' | 'would-rotate' | 'raced' | 'erased' | 'failed';
  readonly why?: string;
}

/**
 * Runs `keys rotate`. It makes the next key of an ID, and revokes nothing. With `--all-partitions`, the command
 * continues with the other partitions if one fails.
 * @returns the exit code: a failure if a key could not be made
 * @throws KeyfoldError `InvalidRequest` if the partition is invalid. Without `--all-partitions`, also the error of the
 * rotation.
 * @throws Error if this machine's clock and the table's differ
 */
export async function rotateKeys(
  request: RotateRequest,
  config: AppConfig,
  dependencies: CliDependencies,
): Promise<number> {
  const naming = new KeyNaming(config.names);
  await mustAgreeWithTable(config, dependencies);
  const table = dependencies.openTable(config.metastore);
  const place = await table.place();
  const record = await auditOf('keys rotate', request, place, dependencies);
  const rotation = await dependencies.openRotation(config);
  const progress = progressOf('keys', dependencies);
  const views: RotationView[] = [];
  const rotate = async (id: KeyId): Promise<RotationView> => {
    if (request.dryRun) return { id, created: null, outcome: 'would-rotate' };
    await record({ id, created: 'latest' }, 'attempting');
    let made: KeyMeta | undefined;
    try {
      made = await rotation.rotate(id);
    } catch (error) {
      const isErased = error instanceof KeyfoldError && error.code === 'PartitionErased' && request.allPartitions;
      const outcome = isErased ? 'erased' : 'failed';
      await auditFailure(error, () => record({ id, created: 'latest' }, outcome));
      if (!(error instanceof KeyfoldError) || !request.allPartitions) throw error;
      return { id, created: null, outcome, why: `${error.code}: ${error.message}` };
    }
    const outcome = made === undefined ? 'raced' : 'rotated';
    await record({ id, created: made?.created ?? 'latest' }, outcome);
    return { id, created: made?.created ?? null, outcome };
  };
  try {
    await interruptible(dependencies, async (signal) => {
      for await (const id of idsOf(request, naming, table, dependencies.now())) {
        signal.throwIfAborted();
        views.push(await rotate(id));
        progress.advance();
      }
    });
  } catch (error) {
    if (views.length > 0) print(views, request, dependencies);
    throw error;
  } finally {
    progress.end();
  }
  print(views, request, dependencies);
  return views.some(({ outcome }) => outcome === 'failed') ? EXIT.failed : EXIT.ok;
}

async function* idsOf(
  { partition, allPartitions, olderThanMs = Number.NEGATIVE_INFINITY }: RotateRequest,
  naming: KeyNaming,
  table: KeyTable,
  nowMs: number,
): AsyncGenerator<KeyId> {
  if (partition !== undefined) yield naming.intermediateKeyId(naming.parsePartition(partition));
  else if (allPartitions) yield* idsOfPartitions(naming, table, nowMs, nowMs - olderThanMs);
  else yield naming.systemKeyId;
}

/**
 * Yields the IDs of the service's Intermediate Keys that end with the configured region suffix. It first reads the
 * whole table, because an SQL database with a collation that ignores case returns the rows of two IDs mixed.
 * @param beforeMs leaves out the IDs whose latest key was created at this time or later. A row that is dated too far
 * ahead counts only if the ID has no other row, because no process seals under it. An erased partition has only such a
 * row, and needs no key.
 */
async function* idsOfPartitions(
  naming: KeyNaming,
  table: KeyTable,
  nowMs: number,
  beforeMs: number,
): AsyncGenerator<KeyId> {
  const suffix = naming.systemKeyId.slice('_SK'.length);
  const latest = new Map<KeyId, number>();
  for await (const { id, created = 0 } of table.scan()) {
    if (!naming.isIntermediateKey(id) || !id.endsWith(suffix)) continue;
    const known = latest.get(id) ?? created;
    const newer = Math.max(known, created);
    latest.set(id, isDatedAhead(newer, nowMs) ? Math.min(known, created) : newer);
  }
  for (const [id, created] of latest) if (created * 1000 < beforeMs) yield id;
}

function print(
  views: readonly RotationView[],
  { json, olderThanMs }: RotateRequest,
  { terminal }: CliDependencies,
): void {
  if (json) terminal.out(jsonLines(views));
  else if (views.length === 0)
    terminal.err(
      `The table has no Intermediate Key of this service${olderThanMs === undefined ? '' : ' that is old enough'}.`,
    );
  else {
    const cells = views.map(({ id, created, outcome, why = '' }) => [id, String(created ?? ''), outcome, why]);
    for (const line of formatTable(['ID', 'CREATED', 'OUTCOME', 'WHY'], cells)) terminal.out(line);
  }
}
