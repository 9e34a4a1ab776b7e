import type { CryptoPolicy } from '../envelope/crypto-policy.ts';
import { keyKindOf, type KeyMeta } from '../records/ids.ts';
import type { EnvelopeKeyRecord } from '../envelope/ports.ts';
import type { KeyRow } from '../maintenance/key-table.ts';
import { retirementByDate } from '../envelope/key-standing.ts';
import { decodeKekEnvelope } from '../kms/kek-envelope.ts';
import { decodeWrap } from '../kms/pkcs11/pkcs11-wrap.ts';
import { ciphertextOf, keyVersionOf } from '../kms/vault/vault-ciphertext.ts';
import { isoOf } from './text.ts';

/** The states of a key row. */
export const STATES = [
  'valid',
  'expired',
  'before-minimum',
  'before-opening-minimum',
  'revoked',
  'erased',
  'dated-ahead',
  'unreadable',
] as const;

/** A key row as `--json` prints it. It never contains key bytes, not even sealed ones. */
export interface KeyView {
  readonly id: string;
  readonly kind: 'system' | 'intermediate' | 'other';
  /** The creation time in seconds since 1970. Null if the row's value is not an integer. */
  readonly created: number | null;
  /** The row's value, if it is not an integer. */
  readonly rawCreated?: string;
  readonly createdAt: string | null;
  /**
   * The state of this key alone. An Intermediate Key can be `valid` although its System Key is expired or revoked, but
   * then it cannot seal. Only `before-minimum` and `before-opening-minimum` also depend on the creation time of the
   * System Key.
   */
  readonly state: (typeof STATES)[number];
  readonly parent: KeyMeta | null;
  /** Why the row cannot be read. Absent if it is readable. */
  readonly unreadable?: string;
}

/** The master keys that wrap a System Key. */
export interface WrapsView {
  /**
   * `aws` if the row contains a KMS envelope, `vault` if it contains a ciphertext of a transit engine, and `pkcs11` if
   * an HSM has wrapped the System Key. Otherwise it is `static`, because a static master key leaves no mark in the row.
   */
  readonly kms: 'aws' | 'vault' | 'pkcs11' | 'static';
  /**
   * One KMS key per region, with its ARN from the row. A row that Asherah wrote contains the ARN from Asherah's
   * configuration, which may be an alias.
   */
  readonly wraps: readonly { readonly region: string; readonly arn: string }[];
  /** A description of the master key. Absent if `kms` is `aws`. */
  readonly wrappedBy?: string;
}

/**
 * Returns the view of a row.
 * @param nowMs the time for which to determine the key's state, in milliseconds since 1970
 */
export function viewOf(row: KeyRow, policy: CryptoPolicy, nowMs: number): KeyView {
  const { id, created } = row;
  const view = {
    id,
    kind: keyKindOf(id) ?? ('other' as const),
    created: created ?? null,
    createdAt: isoOf(created) ?? null,
  };
  if ('unreadable' in row) {
    const { rawCreated, unreadable } = row;
    return { ...view, ...(rawCreated !== undefined && { rawCreated }), state: 'unreadable', parent: null, unreadable };
  }
  return { ...view, state: stateOf(row, policy, nowMs), parent: row.parent ?? null };
}

function stateOf(
  { created, parent, revoked, erased }: EnvelopeKeyRecord,
  policy: CryptoPolicy,
  nowMs: number,
): KeyView['state'] {
  if (erased !== undefined) return 'erased';
  const earliest = Math.min(created, parent?.created ?? created);
  if (earliest < policy.minOpeningCreated) return 'before-opening-minimum';
  if (revoked) return 'revoked';
  return earliest < policy.minSealingCreated ? 'before-minimum' : (retirementByDate(policy, created, nowMs) ?? 'valid');
}

/** Describes the minimum dates in the settings, one sentence for each. */
export function minimumsOf({ minSealingCreated, minOpeningCreated }: CryptoPolicy): string[] {
  const sentences = [
    [minSealingCreated, 'seal nothing new (KEYFOLD_MIN_SEALING_CREATED)'],
    [minOpeningCreated, 'open nothing (KEYFOLD_MIN_OPENING_CREATED)'],
  ] as const;
  return sentences
    .filter(([minimum]) => minimum > 0)
    .map(([minimum, what]) => `Keys created before ${isoOf(minimum) ?? minimum} ${what}.`);
}

/**
 * Returns the master keys that wrap a System Key. Returns undefined for other rows and for rows that cannot be read.
 */
export function wrapsOf(row: KeyRow): WrapsView | undefined {
  if ('unreadable' in row || keyKindOf(row.id) !== 'system') return undefined;
  const { encryptedKey } = row;
  const envelope = decodeKekEnvelope(encryptedKey);
  if (envelope !== undefined)
    return { kms: 'aws', wraps: envelope.kmsKeks.map(({ region, arn }) => ({ region, arn })) };
  const ciphertext = ciphertextOf(encryptedKey);
  if (ciphertext !== undefined) {
    return { kms: 'vault', wraps: [], wrappedBy: `version ${keyVersionOf(ciphertext)} of a transit key` };
  }
  const wrap = decodeWrap(encryptedKey);
  if (wrap !== undefined) return { kms: 'pkcs11', wraps: [], wrappedBy: `the key ${wrap.keyLabel} of an HSM` };
  return { kms: 'static', wraps: [], wrappedBy: 'a static master key: there is no KMS envelope' };
}
