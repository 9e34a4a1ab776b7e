import type { OperatorConfig } from '../config/operator-config.ts';
import type { EnvelopeKeyRecord } from '../envelope/ports.ts';
import { KeyfoldError } from '../errors.ts';
import { keyKindOf, regionOfKeyId } from '../records/ids.ts';
import type { KeyRow, TablePlace } from '../maintenance/key-table.ts';
import { auditFailure, openAudit, type RevokeOutcome } from './audit.ts';
import { interruptible } from './interrupt.ts';
import { viewOf } from './key-view.ts';
import { openTableOf, type KeyRequest } from './one-key.ts';
import { latestBy, latestByInWords, reachOf, type CacheBounds } from './reach.ts';
import { formatFields, jsonLines } from './text.ts';
import { EXIT, type CliDependencies } from './dependencies.ts';

/** Arguments and options of `keys revoke`. */
export interface RevokeRequest extends KeyRequest {
  readonly dryRun: boolean;
  /** Revokes the key without asking the operator. */
  readonly yes: boolean;
  readonly reason: string | undefined;
  readonly auditFile: string | undefined;
  readonly json: boolean;
}

/** The outcome of an attempt, and the message for the operator. */
interface RevokeResult {
  readonly outcome: RevokeOutcome;
  readonly says: string;
  /** When the revocation begins to take effect, in milliseconds since 1970. Absent if nothing changes. */
  readonly fromMs?: number;
}

/**
 * Runs `keys revoke`. It shows which encrypt requests the revocation stops and by when, and asks for confirmation. Then
 * it flags the row and writes to the audit log.
 * @returns the exit code. A key that is already revoked is a success. An absent row or a refusal is a failure.
 * @throws KeyfoldError `InvalidRequest`, or `MetastoreUnavailable`, after which the row may or may not be flagged
 */
export async function revokeKey(
  request: RevokeRequest,
  config: OperatorConfig,
  dependencies: CliDependencies,
): Promise<number> {
  if (keyKindOf(request.id) === undefined) {
    throw new KeyfoldError('InvalidRequest', `${request.id} is not the ID of a System Key or an Intermediate Key.`);
  }
  const { terminal, now, caller } = dependencies;
  const table = openTableOf(request, config, dependencies);
  const place = await table.place();
  const audit = await openAudit(request.auditFile, terminal);
  // If the operator asked for `latest`, this stays `latest` until the row is found.
  let { created } = request;
  const record = (outcome: RevokeOutcome): Promise<void> => {
    const { id, reason = null, dryRun } = request;
    const time = new Date(now()).toISOString();
    return audit({ time, action: 'keys revoke', id, created, reason, ...place, caller, dryRun, outcome });
  };
  const failing = async (error: unknown): Promise<never> => {
    await auditFailure(error, () => record('failed'));
    throw error;
  };
  const decide = async (): Promise<RevokeResult | EnvelopeKeyRecord> => {
    const row = await table.find(request.id, request.created);
    created = row?.created ?? created;
    return decisionOn(row, request, config, dependencies, place);
  };
  const revoke = async (row: EnvelopeKeyRecord): Promise<RevokeResult> => {
    if ((await table.revoke(row)) === 'absent') return absent(request, place);
    const writtenMs = now();
    const by = latestByInWords(config.policy, writtenMs);
    return { outcome: 'revoked', says: `Revoked. The last warm process stops by ${by}.`, fromMs: writtenMs };
  };
  const attempt = async (row: EnvelopeKeyRecord): Promise<RevokeResult> => {
    // Write to the audit log first, so that even after a crash every revoked key has an audit line.
    await record('attempting');
    return revoke(row).catch(failing);
  };
  const decision = await decide().catch(failing);
  const result = await interruptible(dependencies, async () => {
    const ended = 'outcome' in decision ? decision : await attempt(decision);
    await record(ended.outcome);
    return ended;
  });
  const { outcome, says, fromMs } = result;
  const failed = fromMs === undefined && outcome !== 'already-revoked';
  if (request.json) {
    const { id, dryRun } = request;
    const { revokeCheckIntervalMs, staleGraceMs }: CacheBounds = config.policy;
    const reach =
      fromMs === undefined
        ? undefined
        : { revokeCheckIntervalMs, staleGraceMs, latestBy: latestBy(config.policy, fromMs) };
    terminal.out(jsonLines({ id, created, ...place, dryRun, outcome, says, reach }));
  } else if (failed) terminal.err(`keyfold: ${says}`);
  else terminal.out(says);
  return failed ? EXIT.failed : EXIT.ok;
}

function absent({ id, created }: KeyRequest, { table, region }: TablePlace): RevokeResult {
  return { outcome: 'absent', says: `no row ${id} ${created} in table ${table} in ${region}` };
}

/** Shows what the revocation of a row would do, and asks for confirmation. Returns the row if the operator agrees. */
async function decisionOn(
  row: KeyRow | undefined,
  request: RevokeRequest,
  config: OperatorConfig,
  { terminal, now }: CliDependencies,
  place: TablePlace,
): Promise<RevokeResult | EnvelopeKeyRecord> {
  if (row === undefined) return absent(request, place);
  if ('unreadable' in row) return { outcome: 'refused', says: row.unreadable };
  if (row.revoked) return { outcome: 'already-revoked', says: 'It is revoked already: nothing was written.' };

  const { state, createdAt } = viewOf(row, config.policy, now());
  if (state === 'dated-ahead' && request.created === 'latest') {
    return {
      outcome: 'refused',
      says: `the latest row, ${row.created}, is dated too far ahead to seal: name the key's date`,
    };
  }
  const plan = formatFields([
    ['revoke', `${row.id} ${row.created} (${createdAt ?? '?'})`],
    ['table', `${place.table} in ${place.region}`],
    ['state', `${state}, then revoked for good`],
    ...reachOf(row.id, regionOfKeyId(row.id, config.names), config.policy, now()),
  ]);
  // With --json, standard output must contain only the JSON of the outcome.
  if (request.json) terminal.err(plan);
  else terminal.out(plan);

  if (request.dryRun) return { outcome: 'would-revoke', says: 'Dry run: nothing was written.', fromMs: now() };
  if (!request.yes) {
    if (terminal.ask === undefined) {
      return {
        outcome: 'refused',
        says: 'there is no terminal for the confirmation: nothing was written; --yes revokes without one',
      };
    }
    const answer = (await terminal.ask(`Type ${row.created} or yes to revoke it: `)).trim();
    if (answer !== 'yes' && answer !== String(row.created)) {
      return { outcome: 'declined', says: 'not confirmed: nothing was written' };
    }
  }
  return row;
}
