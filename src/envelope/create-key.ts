import type { Deadline } from '../async/deadline.ts';
import { randomKeyBytes } from '../crypto/random.ts';
import { KeyfoldError } from '../errors.ts';
import { escapeHidden } from '../input/hidden-characters.ts';
import { metaOf, type EpochSeconds, type KeyId, type KeyMeta } from '../records/ids.ts';
import { createdNow } from './crypto-policy.ts';
import { EnvelopeKey } from './envelope-key.ts';
import { findKey, type KeySearch } from './find-key.ts';
import type { KeyDependencies } from './key-dependencies.ts';
import type { EnvelopeKeyRecord, KeyKind, Retirement } from './ports.ts';

/** A process gives up after it has lost this many races to create a key. */
const CREATE_ATTEMPTS = 3;

/**
 * The functions that {@link findOrCreateKey} uses to find an ID's key, or to make one if no existing key may seal.
 */
export interface KeySource extends KeySearch<EnvelopeKey> {
  readonly id: KeyId;
  /**
   * Makes a key, or returns the record of the key that another process stored first.
   * @param rows the rows of this id whose keys must not be used for sealing, latest first
   */
  readonly create: (rows: readonly EnvelopeKeyRecord[]) => Promise<EnvelopeKey | EnvelopeKeyRecord>;
}

/**
 * Returns the newest key that may seal, or a new key. After losing a race, the function uses the winner's key if that
 * key may seal.
 * @throws KeyfoldError `MetastoreUnavailable` if the function lost three races in a row, and none of the winning keys
 * may seal
 */
export async function findOrCreateKey(source: KeySource): Promise<EnvelopeKey> {
  const found = await findKey(source);
  if ('key' in found) return found.key;
  const rows = [...found.rows];
  for (let attempt = 0; attempt < CREATE_ATTEMPTS; attempt += 1) {
    const made = await source.create(rows);
    if (made instanceof EnvelopeKey) return made;
    const key = await source.use(made);
    if (key !== undefined) return key;
    rows.unshift(made);
  }
  throw noUsableKey(source.id);
}

export interface NewKey {
  readonly kind: KeyKind;
  readonly id: KeyId;
  /** The rows of this id whose keys must not seal, latest first. */
  readonly rows: readonly EnvelopeKeyRecord[];
  /** The creation time of the key that has reached its usage limit. Undefined if no key has reached its limit. */
  readonly exhausted?: EpochSeconds | undefined;
  /** Wraps or seals the bytes of the key, without keeping them. */
  readonly protect: (
    bytes: Buffer,
    meta: KeyMeta,
  ) => Promise<Pick<EnvelopeKeyRecord, 'encryptedKey' | 'parent' | 'proof'>>;
  /** Why the key of the latest row must not seal. Undefined if that key may seal. */
  readonly whyRetired: (latest: EnvelopeKeyRecord) => Retirement | undefined;
  /** Makes the key from the stored record, and takes ownership of the bytes. */
  readonly toKey: (bytes: Buffer, record: EnvelopeKeyRecord) => EnvelopeKey;
}

/**
 * Makes a key and stores its record, or returns the record of the key that another process stored first.
 * @throws KeyfoldError `MetastoreUnavailable` if every second of the next minute already has a key, or if the metastore
 * does not return the winner's record
 */
export async function createKey(
  { kind, id, rows, exhausted, protect, whyRetired, toKey }: NewKey,
  { metastore, policy, now, events }: KeyDependencies,
  deadline: Deadline,
): Promise<EnvelopeKey | EnvelopeKeyRecord> {
  const taken = rows.map((row) => row.created);
  const created = createdNow(policy, now(), taken, exhausted);
  if (created === undefined) throw noUsableKey(id);
  const bytes = randomKeyBytes();
  try {
    const record: EnvelopeKeyRecord = { id, created, ...(await protect(bytes, { id, created })), revoked: false };
    if ((await metastore.store(record, deadline)) === 'duplicate') {
      const winner = await metastore.load(id, created, deadline);
      if (winner !== undefined) return winner;
      throw new KeyfoldError(
        'MetastoreUnavailable',
        'The metastore refused a key row as a duplicate, but does not have it.',
      );
    }
    events.keyCreated(kind, metaOf(record));
    const [latest] = rows;
    const why = latest && whyRetired(latest);
    if (latest !== undefined && why !== undefined) events.keyRetired(kind, metaOf(latest), why);
    return toKey(bytes, record);
  } finally {
    bytes.fill(0);
  }
}

function noUsableKey(id: KeyId): KeyfoldError {
  return new KeyfoldError(
    'MetastoreUnavailable',
    `No usable key of ${escapeHidden(id)} could be created, because every key found was retired.`,
  );
}
