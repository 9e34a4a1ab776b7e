import { createHash } from 'node:crypto';
import { withDeadline } from '../async/deadline.ts';
import type { Clock } from '../async/clock.ts';
import { Semaphore } from '../async/semaphore.ts';
import { checkedKms } from '../envelope/checked-ports.ts';
import type { CryptoPolicy } from '../envelope/crypto-policy.ts';
import { EnvelopeKey } from '../envelope/envelope-key.ts';
import { isDatedAhead, isExpired, standingOf } from '../envelope/key-standing.ts';
import type { EnvelopeKeyRecord, KeyManagementService } from '../envelope/ports.ts';
import { proofOfSystemKey } from '../envelope/row-proofs.ts';
import { isEqual } from '../crypto/hkdf.ts';
import { KEY_BYTES } from '../crypto/random.ts';
import { keyName, TOMBSTONE_CREATED, type KeyMeta, type KeyNaming } from '../records/ids.ts';
import type { KeyRow } from './key-table.ts';

/** A row of the key table, and whether an operator may add a proof to it. */
export interface RowCheck {
  readonly row: KeyRow;
  /**
   * - `proven`: the row's proof is valid.
   * - `provable`: the row has no proof, and an operator may add `proof`.
   * - `refused`: the row's proof is invalid, or the row has no proof and failed a check. `why` gives the reason.
   */
  readonly state: 'proven' | 'provable' | 'refused';
  /** The proof to add. Present if, and only if, the state is `provable`. */
  readonly proof?: Buffer;
  readonly why?: string;
}

/** The service whose rows {@link checkRows} checks. */
export interface RowChecks {
  readonly naming: KeyNaming;
  readonly kms: KeyManagementService;
  readonly policy: CryptoPolicy;
  readonly now: Clock;
  /**
   * The rows of a restored backup. Every row without a proof must equal its row in the backup. Undefined if there is no
   * backup.
   */
  readonly backup?: readonly KeyRow[] | undefined;
}

/** How many System Keys KMS unwraps at the same time, and how long each may take. */
const CONCURRENCY = 8;
const UNWRAP_TIMEOUT_MS = 30_000;

/**
 * Opens every key of a service and decides which rows may get a proof. If a row has a proof, only that proof counts.
 * The function refuses a row without a proof if an attacker who can write to the table could have made it. It looks for
 * three signs: the key also appears in another row, is older than its System Key, or was made after its System Key had
 * expired.
 * @param rows the rows of the whole table. The result has no rows of other services.
 * @returns the System Keys first
 * @throws KeyfoldError `KmsThrottled`, `KmsUnavailable` or `KmsMisconfigured`, if it is unknown whether KMS can open a
 * System Key
 */
export async function checkRows(rows: readonly KeyRow[], checks: RowChecks): Promise<RowCheck[]> {
  const opened = new OpenedKeys();
  const openings = await openAll(rows, checks, opened);
  const kept = new OpenedKeys();
  if (checks.backup !== undefined) await openAll(checks.backup, checks, kept);
  const refused = new Set<string>();
  const judging = { now: checks.now, backup: checks.backup && kept, refused };
  return openings.map((opening) => {
    const check = judged(opening, opened, judging);
    const { row, state } = check;
    if (state === 'refused' && !('unreadable' in row)) refused.add(keyName(row));
    return check;
  });
}

/** The inputs of the checks, such as the clock and the keys in the backup. */
interface Judging {
  readonly now: Clock;
  readonly backup: OpenedKeys | undefined;
  /** The names of the keys whose rows are refused. System Keys are checked before the keys under them. */
  readonly refused: ReadonlySet<string>;
}

async function openAll(rows: readonly KeyRow[], checks: RowChecks, opened: OpenedKeys): Promise<Opening[]> {
  const { naming } = checks;
  const systems = rows.filter((row) => naming.isSystemKey(row.id));
  // A tombstone has no key.
  const intermediates = rows.filter((row) => naming.isIntermediateKey(row.id) && row.created !== TOMBSTONE_CREATED);
  const calls = new Semaphore(CONCURRENCY);
  const openings = await Promise.all(systems.map((row) => calls.run(() => openSystemKey(row, checks, opened))));
  const parents = new Map(openings.flatMap(({ key }) => (key === undefined ? [] : [[keyName(key.standing), key]])));
  const ofIntermediates = intermediates.map((row) => openIntermediateKey(row, parents, checks, opened));
  return [...openings, ...ofIntermediates];
}

/** A row with an opened key and the correct proof, or the reason why its key cannot be opened. */
interface Opening {
  readonly row: KeyRow;
  readonly key?: EnvelopeKey;
  readonly proof?: Buffer;
  readonly fault?: string;
  /** The reason why a row must not get a proof, although its key opens. */
  readonly doubt?: string | undefined;
}

/** Remembers the digest of each key, to find keys that are in several rows. */
class OpenedKeys {
  readonly #rows = new Map<string, Set<string>>();
  readonly #digests = new Map<string, string>();

  add(row: EnvelopeKeyRecord, key: Uint8Array): void {
    const digest = createHash('sha256').update(key).digest('base64');
    this.#digests.set(keyName(row), digest);
    this.#rows.set(digest, (this.#rows.get(digest) ?? new Set()).add(keyName(row)));
  }

  digestOf(row: EnvelopeKeyRecord): string | undefined {
    return this.#digests.get(keyName(row));
  }

  isLent(row: EnvelopeKeyRecord): boolean {
    return (this.#rows.get(this.digestOf(row) ?? '')?.size ?? 0) > 1;
  }
}

async function openSystemKey(row: KeyRow, { kms, now }: RowChecks, opened: OpenedKeys): Promise<Opening> {
  if ('unreadable' in row) return { row, fault: row.unreadable };
  const limits = { deadlineAtMs: now() + UNWRAP_TIMEOUT_MS };
  const unwrapped = await withDeadline(limits, now, (deadline) => checkedKms(kms).unwrap(row.encryptedKey, deadline));
  if ('unreadable' in unwrapped) return { row, fault: unwrapped.unreadable };
  return keep(row, unwrapped.key, opened, () => proofOfSystemKey(row, unwrapped.key, unwrapped.rowProof));
}

function openIntermediateKey(
  row: KeyRow,
  parents: ReadonlyMap<string, EnvelopeKey>,
  { policy }: RowChecks,
  opened: OpenedKeys,
): Opening {
  if ('unreadable' in row) return { row, fault: row.unreadable };
  if (row.parent === undefined) return { row, fault: 'it names no System Key' };
  const parent = parents.get(keyName(row.parent));
  if (parent === undefined) return { row, fault: 'its System Key is absent, or does not open' };
  const bytes = parent.open(row.encryptedKey);
  if (bytes === undefined) return { row, fault: 'its key does not open under its System Key' };
  const doubt = whyUnlikely(row, parent.standing.created, policy);
  return { ...keep(row, bytes, opened, () => parent.proofOfRow(row)), doubt };
}

/**
 * Compares the date of an Intermediate Key with the date of its System Key. Returns the reason why no process could
 * have made the Intermediate Key under its System Key. Returns undefined if the dates show no such reason.
 */
function whyUnlikely({ created }: KeyMeta, parentCreated: number, policy: CryptoPolicy): string | undefined {
  if (parentCreated > created) return 'its System Key is younger than the key';
  return isExpired(policy, parentCreated, created * 1000) ? 'it was made after its System Key had expired' : undefined;
}

function keep(row: EnvelopeKeyRecord, bytes: Buffer, opened: OpenedKeys, proofOf: () => Buffer): Opening {
  try {
    if (bytes.length !== KEY_BYTES) return { row, fault: 'its key does not have 256 bits' };
    opened.add(row, bytes);
    const proof = proofOf();
    return { row, proof, key: new EnvelopeKey(bytes, 0, standingOf(row, 0)) };
  } finally {
    bytes.fill(0);
  }
}

function judged({ row, proof, fault, doubt }: Opening, opened: OpenedKeys, judging: Judging): RowCheck {
  if ('unreadable' in row || proof === undefined) return { row, state: 'refused', why: fault ?? 'it does not open' };
  if (row.proof !== undefined) {
    const holds = row.proof.length === proof.length && isEqual(row.proof, proof);
    return holds ? { row, state: 'proven' } : { row, state: 'refused', why: 'its proof does not hold' };
  }
  const why = doubt ?? whyUnprovable(row, opened, judging);
  return why === undefined ? { row, state: 'provable', proof } : { row, state: 'refused', why };
}

function whyUnprovable(row: EnvelopeKeyRecord, opened: OpenedKeys, judging: Judging): string | undefined {
  const { now, backup, refused } = judging;
  if (row.parent !== undefined && refused.has(keyName(row.parent))) return 'its System Key is refused';
  if (isDatedAhead(row.created, now())) return 'it is dated too far ahead';
  if (opened.isLent(row)) return 'its key stands in another row, too';
  if (backup === undefined) return undefined;
  const kept = backup.digestOf(row);
  if (kept === undefined) return 'the backup does not have it';
  return kept === opened.digestOf(row) ? undefined : 'its key differs from that of the backup';
}
