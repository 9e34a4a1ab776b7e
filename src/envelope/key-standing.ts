import type { CryptoPolicy } from './crypto-policy.ts';
import type { KeyMeta } from '../records/ids.ts';
import type { EnvelopeKeyRecord, Retirement } from './ports.ts';

/** What a process knows of a key. One object is shared by all that hang under the key, so that news reaches them at once. */
export interface KeyStanding extends KeyMeta {
  /** Once true it stays so: nothing un-revokes a key. */
  revoked: boolean;
  /** Set when this process drew the key's last seal (CryptoPolicy `wearsOut`). */
  exhausted: boolean;
  /** When the metastore last answered, on the clock of ages. */
  checkedAtMs: number;
  /** Until when what is known is taken for fresh, since the metastore has just failed to say; on the clock of ages. */
  staleUntilMs: number;
}

/**
 * The standing of a key that was just read or made.
 * @param agedMs the time on the clock of ages
 */
export function standingOf(record: EnvelopeKeyRecord, agedMs: number): KeyStanding {
  return {
    id: record.id,
    created: record.created,
    revoked: record.revoked,
    exhausted: false,
    checkedAtMs: agedMs,
    staleUntilMs: 0,
  };
}

/** Takes over what the metastore has just said. */
export function refresh(standing: KeyStanding, record: EnvelopeKeyRecord, agedMs: number): void {
  standing.revoked ||= record.revoked;
  standing.checkedAtMs = agedMs;
}

/** Whether a key of that age is too old to seal anything new. */
export function isExpired(policy: CryptoPolicy, created: number, nowMs: number): boolean {
  return nowMs > created * 1000 + policy.expireAfterMs;
}

/** How far ahead of this process's clock a key may be dated and still seal: clocks differ, those of other writers too. */
export const MAX_AHEAD_MS = 10 * 60_000;

/** Whether a key is dated too far ahead to seal. */
export function isDatedAhead(created: number, nowMs: number): boolean {
  return created * 1000 > nowMs + MAX_AHEAD_MS;
}

/** Why a key of that date may not seal; undefined if it may. */
export function retirementByDate(
  policy: CryptoPolicy,
  created: number,
  nowMs: number,
): 'dated-ahead' | 'expired' | undefined {
  if (isDatedAhead(created, nowMs)) return 'dated-ahead';
  return isExpired(policy, created, nowMs) ? 'expired' : undefined;
}

/** Why the key, as far as is known, may no longer seal; undefined where it may. It still opens what it sealed. */
export function retirementOf(policy: CryptoPolicy, standing: KeyStanding, nowMs: number): Retirement | undefined {
  if (standing.revoked) return 'revoked';
  if (standing.exhausted) return 'worn';
  return retirementByDate(policy, standing.created, nowMs);
}

/** Whether the key, as far as is known, may no longer seal. */
export function isRetired(policy: CryptoPolicy, standing: KeyStanding, nowMs: number): boolean {
  return retirementOf(policy, standing, nowMs) !== undefined;
}

/** Whether what is known was learnt recently enough to seal by. */
export function isFresh(policy: CryptoPolicy, standing: KeyStanding, agedMs: number): boolean {
  return agedMs - standing.checkedAtMs < policy.revokeCheckIntervalMs || agedMs < standing.staleUntilMs;
}

/** Takes what is known for fresh for a moment, within the grace, so that not every request waits for a metastore that is down. */
export function extend(policy: CryptoPolicy, standing: KeyStanding, untilMs: number): void {
  const graceEndsAtMs = standing.checkedAtMs + policy.revokeCheckIntervalMs + policy.staleGraceMs;
  standing.staleUntilMs = Math.min(untilMs, graceEndsAtMs);
}

/** Whether what is known is recent enough to seal by while the metastore is down. */
export function isInGrace(policy: CryptoPolicy, standing: KeyStanding, agedMs: number): boolean {
  return agedMs - standing.checkedAtMs < policy.revokeCheckIntervalMs + policy.staleGraceMs;
}
