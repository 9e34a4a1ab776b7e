import { MAX_AHEAD_MS, type CryptoPolicy } from './crypto-policy.ts';
import type { KeyMeta } from '../records/ids.ts';
import type { EnvelopeKeyRecord, Retirement } from './ports.ts';

/**
 * The last known state of a key. The key and all keys under it share one object. So when one load finds a revocation,
 * the revocation immediately applies to all these keys.
 */
export interface KeyStanding extends KeyMeta {
  /** Never changes from true to false: a revocation is final. */
  revoked: boolean;
  /** True if this process has retired the key at its usage limit (`wearsOut` of CryptoPolicy). */
  exhausted: boolean;
  /** When the key's row was last read: the time in milliseconds on the `checkAges` clock. */
  checkedAtMs: number;
  /** While the metastore is down, the state counts as fresh until this time on the `checkAges` clock. */
  staleUntilMs: number;
}

/**
 * The standing of a key whose row was just read or stored.
 * @param agedMs the current time on the `checkAges` clock
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

export function refresh(standing: KeyStanding, record: EnvelopeKeyRecord, agedMs: number): void {
  standing.revoked ||= record.revoked;
  standing.checkedAtMs = agedMs;
}

/** Whether a key with this creation time is too old to seal. */
export function isExpired(policy: CryptoPolicy, created: number, nowMs: number): boolean {
  return nowMs > created * 1000 + policy.expireAfterMs;
}

/**
 * Whether a key is dated too far ahead to seal. A date that is not a safe integer counts as too far ahead, because no
 * record could name that key.
 */
export function isDatedAhead(created: number, nowMs: number): boolean {
  return created * 1000 > nowMs + MAX_AHEAD_MS;
}

/** Why a key with this creation time must not seal. Undefined if its date allows it to seal. */
export function retirementByDate(
  policy: CryptoPolicy,
  created: number,
  nowMs: number,
): 'dated-ahead' | 'expired' | 'before-minimum' | undefined {
  if (created < Math.max(policy.minSealingCreated, policy.minOpeningCreated)) return 'before-minimum';
  if (isDatedAhead(created, nowMs)) return 'dated-ahead';
  return isExpired(policy, created, nowMs) ? 'expired' : undefined;
}

/**
 * Why a key must not seal, according to its last known state. Undefined if the key may seal. A retired key still opens
 * records.
 */
export function retirementOf(policy: CryptoPolicy, standing: KeyStanding, nowMs: number): Retirement | undefined {
  if (standing.revoked) return 'revoked';
  if (standing.exhausted) return 'worn';
  return retirementByDate(policy, standing.created, nowMs);
}

/** Whether a key must not seal, according to its last known state. */
export function isRetired(policy: CryptoPolicy, standing: KeyStanding, nowMs: number): boolean {
  return retirementOf(policy, standing, nowMs) !== undefined;
}

/** Whether a key may seal without reading its row again, because the last read was recent enough. */
export function isFresh(policy: CryptoPolicy, standing: KeyStanding, agedMs: number): boolean {
  return agedMs - standing.checkedAtMs < policy.revokeCheckIntervalMs || agedMs < standing.staleUntilMs;
}

/**
 * Treats a key's standing as fresh until `untilMs`, but not beyond the key's grace period. Otherwise, every request
 * would wait for the metastore while the metastore is down.
 */
export function extend(policy: CryptoPolicy, standing: KeyStanding, untilMs: number): void {
  const graceEndsAtMs = standing.checkedAtMs + policy.revokeCheckIntervalMs + policy.staleGraceMs;
  standing.staleUntilMs = Math.min(untilMs, graceEndsAtMs);
}

/** Whether a key may seal while the metastore is down, because its row was read recently enough. */
export function isInGrace(policy: CryptoPolicy, standing: KeyStanding, agedMs: number): boolean {
  return agedMs - standing.checkedAtMs < policy.revokeCheckIntervalMs + policy.staleGraceMs;
}
