import { timerFaults } from '../async/deadline.ts';
import { BOOLEAN, check } from '../input/checks.ts';
import { numberFaults, withDefaults } from '../input/defaults.ts';
import { invalidConfiguration } from '../errors.ts';
import { secondsOf, type EpochSeconds } from '../records/ids.ts';
import { oneIn2To } from '../crypto/random.ts';

const MINUTE_MS = 60_000;

/** A key may seal even if it is dated up to ten minutes ahead of this process's clock, because clocks differ. */
export const MAX_AHEAD_MS = 10 * MINUTE_MS;
const DAY_MS = 86_400_000;

/** The number of random nonces that GCM allows under one key (NIST SP 800-38D, 8.3). */
export const MAX_NONCES = 2 ** 32;

/** Limits on the use of one Data Row Key. */
export interface DataRowKeyBounds {
  /** The number of payloads that one key may seal. With 1, each record has its own key. */
  readonly dataRowKeyMaxMessages: number;
  /** The number of bytes that one key may seal, over all payloads. A larger payload gets its own key. */
  readonly dataRowKeyMaxBytes: number;
  /** How long one key may seal, counted from its creation. */
  readonly dataRowKeyMaxAgeMs: number;
}

/** The lifetimes of keys, the sizes and ages of the caches, and the limits on the use of one Data Row Key. */
export interface CryptoPolicy extends DataRowKeyBounds {
  /** From this age on, a key no longer encrypts. It still decrypts. */
  readonly expireAfterMs: number;
  /**
   * The `Created` of a new key is truncated to a multiple of this time. So processes that start together give their
   * keys the same `Created`, and only the first of these keys is stored.
   */
  readonly createDatePrecisionMs: number;
  /**
   * A key that was created before this time, in seconds since 1970, never seals, even if no operator has revoked it.
   * Zero means no minimum. Set a later time after a leak. The `Created` of a new key is never before this time. An
   * attacker who can write to the key table can change a key's date. The minimum stops such an attacker only if key row
   * proofs are required.
   */
  readonly minSealingCreated: number;
  /**
   * The minimum date for opening. A key that was created before this time neither opens nor seals. See {@link
   * minSealingCreated}.
   */
  readonly minOpeningCreated: number;
  /**
   * Before a key encrypts, its row is read again if the last read is older than this, because an operator may have
   * revoked the key.
   */
  readonly revokeCheckIntervalMs: number;
  /**
   * The grace period. While the metastore is down, a cached key stays in use for this long after the key's next check
   * (`revokeCheckIntervalMs`) is due or its maximum age has passed. Zero turns the grace period off. A key that the
   * process knows to be revoked never encrypts.
   */
  readonly staleGraceMs: number;
  /**
   * How long the cache keeps the plaintext of a System Key. During this time, a process might not notice that an
   * operator has disabled the KMS key.
   */
  readonly systemKeyMaxAgeMs: number;
  /** How long the cache keeps the plaintext of an Intermediate Key. */
  readonly intermediateKeyMaxAgeMs: number;
  readonly maxSystemKeys: number;
  readonly maxIntermediateKeys: number;
  /** The time limit of one load of a key, which all requests for that key share. */
  readonly flightTimeoutMs: number;
  /**
   * Called before each seal under an Intermediate Key. If it returns true, a new key replaces that key. GCM allows 2^32
   * random nonces under one key (NIST SP 800-38D, 8.3). No process can count the seals of a whole fleet, so each seal
   * retires the key with a small probability instead.
   */
  readonly wearsOut: () => boolean;
}

/** Each seal retires its key with the probability 2^-27. So the probability that a key reaches 2^32 seals is e^-32. */
const RETIREMENT_BITS = 27;

/**
 * Processes that start together make their first keys within seconds of each other. With a precision of one minute,
 * these keys have the same date, so only one of them is stored. Keys last for days, so a minute hardly matters to the
 * age of a key.
 */
export const CREATE_DATE_PRECISION_MS = MINUTE_MS;

/** A deployment makes about four System Keys a year, so 100 keys last for 25 years. */
const MAX_SYSTEM_KEYS = 100;

/** A shared Data Row Key seals at most 64 payloads of 1 MiB, far below the limits of GCM. */
const DATA_ROW_KEY_MAX_BYTES = 64 * 1024 * 1024;

const DEFAULTS: CryptoPolicy = {
  expireAfterMs: 90 * DAY_MS,
  createDatePrecisionMs: CREATE_DATE_PRECISION_MS,
  minSealingCreated: 0,
  minOpeningCreated: 0,
  revokeCheckIntervalMs: 60 * MINUTE_MS,
  staleGraceMs: 15 * MINUTE_MS,
  systemKeyMaxAgeMs: 60 * MINUTE_MS,
  intermediateKeyMaxAgeMs: 60 * MINUTE_MS,
  maxSystemKeys: MAX_SYSTEM_KEYS,
  maxIntermediateKeys: 10_000,
  flightTimeoutMs: 30_000,
  dataRowKeyMaxMessages: 1,
  dataRowKeyMaxBytes: DATA_ROW_KEY_MAX_BYTES,
  dataRowKeyMaxAgeMs: MINUTE_MS,
  wearsOut: () => oneIn2To(RETIREMENT_BITS),
};

/**
 * Completes a policy with the defaults.
 * @param changes the values that differ from the defaults. If a member is undefined, its default applies.
 * @throws KeyfoldError `InvalidConfiguration`, listing every wrong value. Each must be a positive whole number;
 * `staleGraceMs` and the minimum dates may be zero. `dataRowKeyMaxMessages` is at most 2^32, `flightTimeoutMs` at most
 * 2^31 - 1, and `createDatePrecisionMs` at most `expireAfterMs`.
 * @throws TypeError for a value of the wrong type, and for an unknown name
 * @example
 * const policy = cryptoPolicy({ expireAfterMs: 30 * 24 * 60 * 60 * 1000 });
 */
export function cryptoPolicy(changes: Partial<CryptoPolicy> = {}): CryptoPolicy {
  const policy = withDefaults(DEFAULTS, changes, 'policy');
  const faults = numberFaults(policy, DEFAULTS, ['staleGraceMs', 'minSealingCreated', 'minOpeningCreated']);
  faults.push(...timerFaults(policy, ['flightTimeoutMs']));
  if (policy.dataRowKeyMaxMessages > MAX_NONCES)
    faults.push(`dataRowKeyMaxMessages must not be more than ${MAX_NONCES}`);
  if (policy.createDatePrecisionMs > policy.expireAfterMs)
    faults.push('createDatePrecisionMs is more than expireAfterMs: a new key could have expired already');
  if (faults.length > 0) throw invalidConfiguration(faults);
  return policy.wearsOut === DEFAULTS.wearsOut ? policy : { ...policy, wearsOut: checkedAnswers(policy.wearsOut) };
}

/**
 * Checks what a caller's function returns. An async function returns a promise, which counts as true. Without this
 * check, each seal would retire a key.
 */
function checkedAnswers(wearsOut: CryptoPolicy['wearsOut']): CryptoPolicy['wearsOut'] {
  return () => {
    const answer = wearsOut();
    check(answer, 'The answer of policy.wearsOut', BOOLEAN);
    return answer;
  };
}

/**
 * @throws KeyfoldError `InvalidConfiguration` if a minimum date is more than ten minutes ahead, because no new key
 * could meet it
 */
export function checkMinimums(policy: CryptoPolicy, nowMs: number): void {
  const faults = (['minSealingCreated', 'minOpeningCreated'] as const)
    .filter((name) => policy[name] * 1000 > nowMs + MAX_AHEAD_MS)
    .map((name) => `${name} is more than ten minutes ahead of the clock`);
  if (faults.length > 0) throw invalidConfiguration(faults);
}

/** A new key is dated at most this many seconds after the current time. */
const MAX_SECONDS_AHEAD = 60;

/**
 * Chooses the `Created` of a new key: the current time, truncated to `createDatePrecisionMs`. If a known key has that
 * date or a later date, the new key gets the first free second from now on. So a key that is revoked within its first
 * minute can be replaced immediately. Even if a known key is dated far ahead, the new key is not.
 * @param taken the dates of the known keys
 * @param exhausted the date of the known key that has reached its usage limit, if any. The new key gets a later date,
 * so that all processes use it as the latest.
 * @returns undefined if every second of the next minute is taken
 * @throws TypeError if `nowMs` is not a number of milliseconds since 1970
 */
export function createdNow(
  policy: CryptoPolicy,
  nowMs: number,
  taken: readonly EpochSeconds[],
  exhausted?: EpochSeconds,
): EpochSeconds | undefined {
  const earliest = Math.max(policy.minSealingCreated, policy.minOpeningCreated) as EpochSeconds;
  const truncated = secondsOf(nowMs - (nowMs % policy.createDatePrecisionMs));
  if (truncated < earliest) return firstFree(Math.max(secondsOf(nowMs), earliest), taken, exhausted);
  if (taken.every((created) => created < truncated)) return truncated;
  return firstFree(secondsOf(nowMs), taken, exhausted);
}

function firstFree(now: number, taken: readonly EpochSeconds[], exhausted?: EpochSeconds): EpochSeconds | undefined {
  const latest = now + MAX_SECONDS_AHEAD;
  const first = exhausted !== undefined && exhausted < latest ? Math.max(exhausted, now) : now;
  for (let created = first; created <= latest; created += 1) {
    if (!taken.includes(created as EpochSeconds)) return created as EpochSeconds;
  }
  return undefined;
}
