import type { AppConfig } from '../config/app-config.ts';
import { KeyfoldError } from '../errors.ts';
import type { KeyTable } from '../maintenance/key-table.ts';
import { KeyNaming, type KeyId } from '../records/ids.ts';
import { EXIT, type CliDependencies } from './dependencies.ts';
import { progressOf } from './progress.ts';
import { formatTable, jsonLines } from './text.ts';
import { auditOf, type AuditedRequest } from './write-audit.ts';

/** Options of `keys rotate`. */
export interface RotateRequest extends AuditedRequest {
  /** Rotates the Intermediate Key of this partition instead of the System Key. */
  readonly partition: string | undefined;
  /** Rotates the Intermediate Key of every partition instead. */
  readonly allPartitions: boolean;
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
 */
export async function rotateKeys(
  request: RotateRequest,
  config: AppConfig,
  dependencies: CliDependencies,
): Promise<number> {
  const naming = new KeyNaming(config.names);
  const table = dependencies.openTable(config.metastore);
  const place = await table.place();
  const record = await auditOf('keys rotate', request, place, dependencies);
  const rotation = await dependencies.openRotation(config);
  const progress = progressOf('keys', dependencies);
  const views: RotationView[] = [];
  for await (const id of idsOf(request, naming, table)) {
    if (request.dryRun) {
      views.push({ id, created: null, outcome: 'would-rotate' });
      continue;
    }
    await record({ id, created: 'latest' }, 'attempting');
    try {
      const made = await rotation.rotate(id);
      const outcome = made === undefined ? 'raced' : 'rotated';
      await record({ id, created: made?.created ?? 'latest' }, outcome);
      views.push({ id, created: made?.created ?? null, outcome });
    } catch (error) {
      const isErased = error instanceof KeyfoldError && error.code === 'PartitionErased' && request.allPartitions;
      const outcome = isErased ? 'erased' : 'failed';
      await record({ id, created: 'latest' }, outcome);
      if (!(error instanceof KeyfoldError) || !request.allPartitions) throw error;
      views.push({ id, created: null, outcome, why: `${error.code}: ${error.message}` });
    }
    progress.advance();
  }
  progress.end();
  print(views, request, dependencies);
  return views.some(({ outcome }) => outcome === 'failed') ? EXIT.failed : EXIT.ok;
}

async function* idsOf(
  { partition, allPartitions }: RotateRequest,
  naming: KeyNaming,
  table: KeyTable,
): AsyncGenerator<KeyId> {
  if (partition !== undefined) yield naming.intermediateKeyId(naming.parsePartition(partition));
  else if (allPartitions) yield* idsOfPartitions(naming, table);
  else yield naming.systemKeyId;
}

/**
 * Yields the IDs of the service's Intermediate Keys that end with the configured region suffix. A scan returns the rows
 * of an ID one after another, so it is enough to compare each ID with the last one.
 */
async function* idsOfPartitions(naming: KeyNaming, table: KeyTable): AsyncGenerator<KeyId> {
  const suffix = naming.systemKeyId.slice('_SK'.length);
  let last: string | undefined;
  for await (const { id } of table.scan()) {
    if (id === last || !naming.isIntermediateKey(id) || !id.endsWith(suffix)) continue;
    last = id;
    yield id;
  }
}

function print(views: readonly RotationView[], { json }: RotateRequest, { terminal }: CliDependencies): void {
  if (json) terminal.out(jsonLines(views));
  else if (views.length === 0) terminal.err('The table has no Intermediate Key of this service.');
  else {
    const cells = views.map(({ id, created, outcome, why = '' }) => [id, String(created ?? ''), outcome, why]);
    for (const line of formatTable(['ID', 'CREATED', 'OUTCOME', 'WHY'], cells)) terminal.out(line);
  }
}
