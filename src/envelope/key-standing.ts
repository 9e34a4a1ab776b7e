import type { CryptoPolicy } from './crypto-policy.ts';
import type { KeyMeta } from '../records/ids.ts';
import type { EnvelopeKeyRecord, Retirement } from './ports.ts';

/** What a process knows of a key. All keys under a System Key share its standing, so a change reaches them all at once. */
export interface KeyStanding extends KeyMeta {
  /** Never becomes false again: a revocation is final. */
  revoked: boolean;
  /** Set when `wearsOut` of the CryptoPolicy has ended the use of this key in this process. */
  exhausted: boolean;
  /** When this process last read the row of the key, on the clock of ages. */
  checkedAtMs: number;
  /** Until when the standing counts as fresh although the metastore has just failed; on the clock of ages. */
  staleUntilMs: number;
}

/**
 * The standing of a key whose row was just read or stored.
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

/** Updates a standing from a row that was just read. */
export function refresh(standing: KeyStanding, record: EnvelopeKeyRecord, agedMs: number): void {
  standing.revoked ||= record.revoked;
  standing.checkedAtMs = agedMs;
}

/** Whether a key with this creation time is too old to seal. */
export function isExpired(policy: CryptoPolicy, created: number, nowMs: number): boolean {
  return nowMs > created * 1000 + policy.expireAfterMs;
}

/** How far in the future the creation time of a key may lie. It allows for the different clocks of the processes that make keys. */
export const MAX_AHEAD_MS = 10 * 60_000;

/** Whether a key is dated too far in the future to seal. */
export function isDatedAhead(created: number, nowMs: number): boolean {
  return created * 1000 > nowMs + MAX_AHEAD_MS;
}

/** Why a key with this creation time may not seal; undefined if it may. */
export function retirementByDate(
  policy: CryptoPolicy,
  created: number,
  nowMs: number,
): 'dated-ahead' | 'expired' | undefined {
  if (isDatedAhead(created, nowMs)) return 'dated-ahead';
  return isExpired(policy, created, nowMs) ? 'expired' : undefined;
}

/** Why a key may not seal, as far as this process knows; undefined if it may. A retired key still opens records. */
export function retirementOf(policy: CryptoPolicy, standing: KeyStanding, nowMs: number): Retirement | undefined {
  if (standing.revoked) return 'revoked';
  if (standing.exhausted) return 'worn';
  return retirementByDate(policy, standing.created, nowMs);
}

/** Whether a key may not seal, as far as this process knows. */
export function isRetired(policy: CryptoPolicy, standing: KeyStanding, nowMs: number): boolean {
  return retirementOf(policy, standing, nowMs) !== undefined;
}

/** Whether a standing is recent enough to seal with the key. */
export function isFresh(policy: CryptoPolicy, standing: KeyStanding, agedMs: number): boolean {
  return agedMs - standing.checkedAtMs < policy.revokeCheckIntervalMs || agedMs < standing.staleUntilMs;
}

/** Counts a standing as fresh for a few seconds while the metastore is down, so that not every request waits for it. The grace limits this. */
export function extend(policy: CryptoPolicy, standing: KeyStanding, untilMs: number): void {
  const graceEndsAtMs = standing.checkedAtMs + policy.revokeCheckIntervalMs + policy.staleGraceMs;
  standing.staleUntilMs = Math.min(untilMs, graceEndsAtMs);
}

/** Whether a standing is recent enough to seal with the key while the metastore is down. */
export function isInGrace(policy: CryptoPolicy, standing: KeyStanding, agedMs: number): boolean {
  return agedMs - standing.checkedAtMs < policy.revokeCheckIntervalMs + policy.staleGraceMs;
}
