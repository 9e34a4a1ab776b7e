import type { CryptoPolicy } from './crypto-policy.ts';
import type { KeyMeta } from './ids.ts';
import type { EnvelopeKeyRecord } from './ports.ts';

/** What a process knows of a key. One object is shared by all that hang under the key, so that news reaches them at once. */
export interface KeyStanding extends KeyMeta {
  /** Once true it stays so: nothing un-revokes a key. */
  revoked: boolean;
  /** Set when this process drew the key's last seal (CryptoPolicy `wearsOut`). */
  worn: boolean;
  /** When the metastore was last asked, in milliseconds since 1970. */
  checkedAtMs: number;
}

/** The standing of a key that was just read or made. */
export function standingOf(record: EnvelopeKeyRecord, nowMs: number): KeyStanding {
  return { id: record.id, created: record.created, revoked: record.revoked, worn: false, checkedAtMs: nowMs };
}

/** Takes over what the metastore has just said. */
export function refresh(standing: KeyStanding, record: EnvelopeKeyRecord, nowMs: number): void {
  standing.revoked ||= record.revoked;
  standing.checkedAtMs = nowMs;
}

/** Whether a key of that age is too old to seal anything new. */
export function isExpired(policy: CryptoPolicy, created: number, nowMs: number): boolean {
  return nowMs > created * 1000 + policy.expireAfterMs;
}

/** Whether the key, as far as is known, may no longer seal: it still opens what it sealed. */
export function isRetired(policy: CryptoPolicy, standing: KeyStanding, nowMs: number): boolean {
  return standing.revoked || standing.worn || isExpired(policy, standing.created, nowMs);
}

/** Whether what is known was learnt recently enough to seal by. */
export function isFresh(policy: CryptoPolicy, standing: KeyStanding, nowMs: number): boolean {
  return nowMs - standing.checkedAtMs < policy.revokeCheckIntervalMs;
}
