import type { CryptoPolicy } from '../envelope/crypto-policy.ts';
import type { KeyCopy } from '../maintenance/erasure-table.ts';
import type { ErasureState } from '../maintenance/partition-erasure.ts';
import { viewOf } from './key-view.ts';
import { formatFields, formatTable, isoOf } from './text.ts';

/** What `partitions erase` does. `begin` also continues an erasure that was interrupted. */
export type EraseStep = 'begin' | 'cancel' | 'finish' | 'status';

/** The partition's rows in one replica. */
interface ReplicaView {
  readonly region: string;
  readonly rows: number;
  readonly tombstones: number;
}

/** What `--status` shows in addition to the state of the erasure. */
export interface StatusFacts {
  readonly replicas: readonly ReplicaView[];
  readonly copies: readonly KeyCopy[];
  /** When the last row was deleted, in seconds since 1970. Undefined if rows are left. */
  readonly deletedAt: number | undefined;
  readonly policy: CryptoPolicy;
}

/** The status of an erasure as `--json` prints it. */
interface StatusView {
  /**
   * - `none`: no erasure is under way.
   * - `waiting`: the rows are marked, and must not be deleted yet.
   * - `due`: an operator may delete the rows. Rows are left, or a tombstone is missing or to be replaced.
   * - `deleted`: no replica has a row any more, but copies still hold the keys.
   * - `complete`: Keyfold knows of no copy of the keys.
   */
  readonly state: 'none' | 'waiting' | 'due' | 'deleted' | 'complete';
  readonly erase?: string;
  readonly at?: number;
  readonly due?: number;
  readonly deletedAt?: number | undefined;
  readonly rows: number;
  readonly unmarked: number;
  readonly replicas: readonly ReplicaView[];
  readonly copies: readonly KeyCopy[];
}

/**
 * Copies that the command cannot list. The output mentions them, so that operators look for such copies by other means.
 */
const UNLISTED = [
  'backups in the vaults of AWS Backup: see aws backup list-recovery-points-by-resource',
  'a table from which the rows were imported, and exports older than 90 days',
  'clients that keep data keys or plaintext of their own',
];

/** Returns the lines that tell an operator what a step will do. */
export function* erasurePlan(
  partition: string,
  step: EraseStep,
  due: number | undefined,
  { erasure, ids, rows }: ErasureState,
  { copies, policy }: Pick<StatusFacts, 'copies' | 'policy'>,
  nowMs: number,
): Iterable<string> {
  const cells = rows.map(({ row, region, marked }) => {
    const { id, createdAt, rawCreated, state } = viewOf(row, policy, nowMs);
    return [id, createdAt ?? rawCreated ?? '?', region, state, marked ? 'yes' : 'no'];
  });
  if (cells.length > 0) yield* formatTable(['ID', 'CREATED', 'REGION', 'STATE', 'MARKED'], cells);
  const deletes = step === 'finish' ? 'now' : (isoOf(due) ?? '?');
  yield* formatFields([
    [step, partition],
    ...(erasure === undefined ? [] : ([['erasure', erasure.erase]] as [string, string][])),
    ...ids.map((of) => fieldOfTombstone(of, step)),
    ...(step === 'cancel' ? [] : ([['deletion', deletes]] as [string, string][])),
    ...(step === 'begin' ? boundsOf(policy, nowMs) : []),
    ...copies.map(fieldOfCopy),
  ]);
}

/** Returns the status of an erasure, as lines and for `--json`. */
export function erasureStatus(
  { erasure, rows, ids }: ErasureState,
  { replicas, copies, deletedAt: registered, policy }: StatusFacts,
  nowMs: number,
): { readonly view: StatusView; readonly lines: readonly string[] } {
  const unmarked = rows.filter(({ marked }) => !marked).length;
  const left = copies.filter(({ until = Infinity }) => until * 1000 > nowMs);
  const counts = { rows: rows.length, unmarked, replicas, copies: left };
  if (erasure === undefined) {
    return { view: { state: 'none', ...counts }, lines: ['No erasure of this partition is under way.'] };
  }
  const { erase, at, due } = erasure;
  const unburied = ids.filter(({ buried }) => !buried);
  const isGone =
    unburied.length === 0 && replicas.every((replica) => replica.rows === 0 && replica.tombstones === ids.length);
  const deletedAt = isGone ? registered : undefined;
  const waiting = due * 1000 > nowMs ? 'waiting' : 'due';
  const gone = left.length === 0 ? 'complete' : 'deleted';
  const state = deletedAt === undefined ? waiting : gone;
  const view: StatusView = { state, erase, at, due, ...(deletedAt !== undefined && { deletedAt }), ...counts };
  const fields: [string, string][] = [
    ['state', state],
    ['erasure', erase],
    ['began', isoOf(at) ?? '?'],
    ['deletion', deletedAt === undefined ? `from ${isoOf(due) ?? '?'}` : `done ${isoOf(deletedAt) ?? '?'}`],
    ['rows', `${rows.length}, of which ${unmarked} have no mark`],
    ...replicas.map(({ region, rows: count, tombstones }): [string, string] => [
      `replica ${region}`,
      `${count} rows, ${tombstones} of ${ids.length} tombstones`,
    ]),
    ...unburied.map((of) => fieldOfTombstone(of, 'status')),
    ...boundsOf(policy, (deletedAt ?? at) * 1000),
    ...left.map(fieldOfCopy),
    ...UNLISTED.map((text): [string, string] => ['not listed', text]),
  ];
  return { view, lines: formatFields(fields) };
}

function fieldOfTombstone(
  { id, region, buried, invalid }: ErasureState['ids'][number],
  step: EraseStep,
): [string, string] {
  const replaced = step === 'cancel' ? '' : ', to be replaced';
  const unburied = invalid === undefined ? ', not written yet' : replaced;
  return ['tombstone', `${id} in ${region}${buried ? '' : unburied}`];
}

/** Describes how long warm processes may still use the keys. */
function boundsOf(policy: CryptoPolicy, fromMs: number): [string, string][] {
  const { revokeCheckIntervalMs, intermediateKeyMaxAgeMs, staleGraceMs } = policy;
  const seal = isoOf((fromMs + revokeCheckIntervalMs) / 1000) ?? '?';
  const open = isoOf((fromMs + intermediateKeyMaxAgeMs + staleGraceMs) / 1000) ?? '?';
  return [['warm processes', `seal until ${seal}, and open until ${open} at the latest`]];
}

function fieldOfCopy({ region, text, until }: KeyCopy): [string, string] {
  return [`copy in ${region}`, until === undefined ? text : `${text}, until ${isoOf(until) ?? '?'}`];
}
