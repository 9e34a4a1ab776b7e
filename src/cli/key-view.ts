import type { CryptoPolicy } from '../envelope/crypto-policy.ts';
import { keyKindOf, type KeyMeta } from '../records/ids.ts';
import type { KeyRow } from '../maintenance/key-table.ts';
import { retirementByDate } from '../envelope/key-standing.ts';
import { decodeKekEnvelope } from '../kms/kek-envelope.ts';
import { isoOf } from './text.ts';

/** What a key row shows of itself, as `--json` prints it; never a key, not even a sealed one. */
export interface KeyView {
  readonly id: string;
  readonly kind: 'system' | 'intermediate' | 'other';
  /** In seconds since 1970; null where the row holds no whole number. */
  readonly created: number | null;
  readonly createdAt: string | null;
  /** The key's own: an Intermediate Key whose System Key is retired seals nothing either. */
  readonly state: 'valid' | 'expired' | 'revoked' | 'dated-ahead' | 'unreadable';
  readonly parent: KeyMeta | null;
  /** Why the row cannot be read; absent where it can. */
  readonly unreadable?: string;
}

/** What wraps a System Key. */
export interface WrapsView {
  /** `static` for a row without a KMS envelope, which a static master key sealed. */
  readonly kms: 'aws' | 'static';
  /** By region, the ARN that the row names: of a key, or where Asherah wrote it of whatever it was configured with. */
  readonly wraps: readonly { readonly region: string; readonly arn: string }[];
}

/** A row for an operator's eyes, at a time in milliseconds since 1970. */
export function viewOf(row: KeyRow, policy: CryptoPolicy, nowMs: number): KeyView {
  const { id, created } = row;
  const view = {
    id,
    kind: keyKindOf(id) ?? ('other' as const),
    created: created ?? null,
    createdAt: isoOf(created) ?? null,
  };
  if ('unreadable' in row) return { ...view, state: 'unreadable', parent: null, unreadable: row.unreadable };
  const aged = retirementByDate(policy, row.created, nowMs) ?? 'valid';
  return { ...view, state: row.revoked ? 'revoked' : aged, parent: row.parent ?? null };
}

/** What wraps a System Key; undefined for a row that is none, or that cannot be read. */
export function wrapsOf(row: KeyRow): WrapsView | undefined {
  if ('unreadable' in row || keyKindOf(row.id) !== 'system') return undefined;
  const envelope = decodeKekEnvelope(row.encryptedKey);
  if (envelope === undefined) return { kms: 'static', wraps: [] };
  return { kms: 'aws', wraps: envelope.kmsKeks.map(({ region, arn }) => ({ region, arn })) };
}
