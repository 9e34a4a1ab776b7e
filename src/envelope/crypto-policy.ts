import { numberFaults, withDefaults } from '../input/defaults.ts';
import { invalidConfiguration } from '../errors.ts';
import { secondsOf, type EpochSeconds } from '../records/ids.ts';
import { oneIn2To } from '../crypto/random.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** How many random nonces AES-GCM may use under one key (NIST SP 800-38D, 8.3). */
export const MAX_NONCES = 2 ** 32;

/** The limits of one Data Row Key. */
export interface DataRowKeyBounds {
  /** How many payloads one Data Row Key may seal. With 1, each record has its own key. */
  readonly dataRowKeyMaxMessages: number;
  /** How many bytes one Data Row Key may seal in total. A larger payload gets its own key. */
  readonly dataRowKeyMaxBytes: number;
  /** How long one Data Row Key may be used, in milliseconds. */
  readonly dataRowKeyMaxAgeMs: number;
}

/** How long keys live, how long a process trusts what it has read of them, and how much one Data Row Key may seal. */
export interface CryptoPolicy extends DataRowKeyBounds {
  /** The age after which a key seals nothing new. */
  readonly expireAfterMs: number;
  /** The creation time of a new key is rounded down to a multiple of this. Processes that start together then make one key. */
  readonly createDatePrecisionMs: number;
  /** How long a process trusts that a key is not revoked. After that, it reads the key's row again before it encrypts. */
  readonly revokeCheckIntervalMs: number;
  /**
   * How much longer a cached key is used while the metastore is down, beyond `revokeCheckIntervalMs` and beyond its maximum age.
   * Zero turns this off. A key that is known to be revoked never seals.
   */
  readonly staleGraceMs: number;
  /** How long the plaintext of a System Key is cached. After a KMS key is disabled, processes use it for this long at most. */
  readonly systemKeyMaxAgeMs: number;
  /** How long the plaintext of an Intermediate Key is cached. */
  readonly intermediateKeyMaxAgeMs: number;
  readonly maxSystemKeys: number;
  readonly maxIntermediateKeys: number;
  /** How long one load of a key may take, whatever the deadlines of the requests that wait for it. */
  readonly flightTimeoutMs: number;
  /**
   * Called before each seal under an Intermediate Key. If it returns true, the key is exhausted and a new one seals instead.
   * AES-GCM allows 2^32 random nonces under one key (NIST SP 800-38D, 8.3). No process can count the seals of a whole fleet, so by
   * default each seal retires the key with a probability of 2^-27.
   */
  readonly wearsOut: () => boolean;
}

/** With a probability of 2^-27 per seal, a key exceeds 2^32 seals with a probability of e^-32. */
const WEAR_OUT_BITS = 27;

const DEFAULTS: CryptoPolicy = {
  expireAfterMs: 90 * DAY_MS,
  createDatePrecisionMs: MINUTE_MS,
  revokeCheckIntervalMs: 60 * MINUTE_MS,
  staleGraceMs: 15 * MINUTE_MS,
  systemKeyMaxAgeMs: 60 * MINUTE_MS,
  intermediateKeyMaxAgeMs: 60 * MINUTE_MS,
  maxSystemKeys: 100,
  maxIntermediateKeys: 10_000,
  flightTimeoutMs: 30_000,
  dataRowKeyMaxMessages: 1,
  dataRowKeyMaxBytes: 64 * 1024 * 1024,
  dataRowKeyMaxAgeMs: MINUTE_MS,
  wearsOut: () => oneIn2To(WEAR_OUT_BITS),
};

/**
 * The default policy with the given members replaced.
 * @throws KeyfoldError `InvalidConfiguration`, listing each value that is not a positive whole number (`staleGraceMs` may be
 * zero), a `dataRowKeyMaxMessages` above 2^32, and a `createDatePrecisionMs` above `expireAfterMs`
 * @throws TypeError for a value of another type than its default, or a member that does not exist
 */
export function cryptoPolicy(changes: Partial<CryptoPolicy> = {}): CryptoPolicy {
  const policy = withDefaults(DEFAULTS, changes, 'policy');
  const faults = numberFaults(policy, DEFAULTS, ['staleGraceMs']);
  if (policy.dataRowKeyMaxMessages > MAX_NONCES)
    faults.push(`dataRowKeyMaxMessages must not be more than ${MAX_NONCES}`);
  faults.push(...ageFaults(policy));
  if (faults.length > 0) throw invalidConfiguration(faults);
  return policy;
}

/** The faults of the ages in a policy; empty if there are none. Ages that are not given have their defaults. */
export function ageFaults(given: Partial<Pick<CryptoPolicy, 'createDatePrecisionMs' | 'expireAfterMs'>>): string[] {
  const { createDatePrecisionMs = DEFAULTS.createDatePrecisionMs, expireAfterMs = DEFAULTS.expireAfterMs } = given;
  if (createDatePrecisionMs <= expireAfterMs) return [];
  return ['createDatePrecisionMs is more than expireAfterMs: a new key could have expired already'];
}

/** How many seconds in the future the creation time of a new key may lie. */
const MAX_SECONDS_AHEAD = 60;

/**
 * The creation time of a new key: the current time, rounded down to `createDatePrecisionMs`. If a known key has that time or a later
 * one, it is the first free second from now instead. A key that is revoked in the minute of its creation can so be replaced.
 * @param taken the creation times of the known keys
 * @param exhausted the creation time of the key that has reached its usage limit, if any. The new key is dated after it.
 * @returns undefined if no second of the next minute is free
 * @throws TypeError if the clock does not give milliseconds since 1970
 */
export function createdNow(
  policy: CryptoPolicy,
  nowMs: number,
  taken: readonly EpochSeconds[],
  exhausted?: EpochSeconds,
): EpochSeconds | undefined {
  const truncated = secondsOf(nowMs - (nowMs % policy.createDatePrecisionMs));
  if (taken.every((created) => created < truncated)) return truncated;
  const now = secondsOf(nowMs);
  const latest = now + MAX_SECONDS_AHEAD;
  const first = exhausted !== undefined && exhausted >= now && exhausted < latest ? exhausted + 1 : now;
  for (let created = first; created <= latest; created += 1) {
    if (!taken.includes(created as EpochSeconds)) return created as EpochSeconds;
  }
  return undefined;
}
