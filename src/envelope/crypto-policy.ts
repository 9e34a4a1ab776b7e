import { numberFaults, withDefaults } from '../input/defaults.ts';
import { invalidConfiguration } from '../errors.ts';
import { secondsOf, type EpochSeconds } from '../records/ids.ts';
import { oneIn2To } from '../crypto/random.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** How often GCM may draw a random nonce under one key (NIST SP 800-38D, 8.3). */
export const MAX_NONCES = 2 ** 32;

/** How much one Data Row Key may seal. */
export interface DataRowKeyBounds {
  /** How many payloads: with 1 each record has a key of its own. */
  readonly dataRowKeyMaxMessages: number;
  /** How many bytes of them together; one payload that is larger has a key of its own. */
  readonly dataRowKeyMaxBytes: number;
  /** For how long. */
  readonly dataRowKeyMaxAgeMs: number;
}

/** How long keys live, how long a process may go on believing what it read of them, and how much a Data Row Key may seal. */
export interface CryptoPolicy extends DataRowKeyBounds {
  /** A key older than this seals nothing new. */
  readonly expireAfterMs: number;
  /** `Created` of a new System Key or Intermediate Key is truncated to this, so that a fleet that starts at once makes one. */
  readonly createDatePrecisionMs: number;
  /** Past this, a cached key is looked up again before it encrypts, to see whether it was revoked. */
  readonly revokeCheckIntervalMs: number;
  /**
   * While the metastore is down, how much longer than `revokeCheckIntervalMs` and than its maximum age a cached key goes on
   * serving. Zero turns that off. A key known to be revoked never seals.
   */
  readonly staleGraceMs: number;
  /** How long a System Key's plaintext is kept. Bounds how long a disabled KMS key goes on being used. */
  readonly systemKeyMaxAgeMs: number;
  /** How long an Intermediate Key's plaintext is kept. */
  readonly intermediateKeyMaxAgeMs: number;
  readonly maxSystemKeys: number;
  readonly maxIntermediateKeys: number;
  /** How long one load of a key may take, for all that wait for it together. */
  readonly flightTimeoutMs: number;
  /**
   * Drawn before each seal under an Intermediate Key: whether that is for a new one to do. GCM allows 2^32 random nonces under one key
   * (NIST SP 800-38D, 8.3) and no process can count a fleet's, so a key retires with a small probability at each.
   */
  readonly wearsOut: () => boolean;
}

/** With 2^-27 a seal, a key passes 2^32 seals with probability e^-32. */
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
 * The default policy with some of it replaced.
 * @throws KeyfoldError `InvalidConfiguration`, listing each value that is not a positive whole number (`staleGraceMs` may be
 * zero), and `dataRowKeyMaxMessages` where it is more than GCM allows, and a
 * `createDatePrecisionMs` of more than `expireAfterMs`
 * @throws TypeError for a value of another type than its default's, and for a name that is not a policy's
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

/** What is wrong with the ages of keys in a policy; the default's stand in for those that are not given. Empty if nothing is. */
export function ageFaults(given: Partial<Pick<CryptoPolicy, 'createDatePrecisionMs' | 'expireAfterMs'>>): string[] {
  const { createDatePrecisionMs = DEFAULTS.createDatePrecisionMs, expireAfterMs = DEFAULTS.expireAfterMs } = given;
  if (createDatePrecisionMs <= expireAfterMs) return [];
  return ['createDatePrecisionMs is more than expireAfterMs: a new key could have expired already'];
}

/** How many seconds ahead of now a new key may be dated. */
const MAX_SECONDS_AHEAD = 60;

/**
 * The `Created` of a key made now: truncated, unless a key of that time or a later one is known. Then it is the first free
 * second from now, so that a key revoked in the very minute it was made is followed by another, and no date is inherited.
 * @param taken of the keys that are known
 * @param exhausted of the key that has reached its usage limit, if one has: its successor is dated later, to be the latest
 * @returns undefined if the next minute has no second free
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
