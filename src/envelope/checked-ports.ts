import {
  BOOLEAN,
  byteLengthOf,
  BYTES,
  check,
  having,
  itemsOf,
  membersOf,
  NUMBER,
  OBJECT,
  oneOf,
  optional,
  STRING,
  type Types,
} from '../input/checks.ts';
import { keyRowUnreadable } from '../errors.ts';
import type { KeyMeta } from '../records/ids.ts';
import type { EnvelopeKeyRecord, KeyManagementService, Metastore } from './ports.ts';
import type { Clock } from '../async/clock.ts';

/** The methods that each port must have. */
export const METASTORE = having('load', 'loadLatest', 'store');
export const KMS = having('wrap', 'unwrap');
export const EVENTS = having('keyCreated', 'keyRetired', 'cacheUsed', 'servedStale');

/** The members of a row; a row that says nothing of a revocation must not pass for a valid one. */
const KEY_RECORD: Types<EnvelopeKeyRecord> = {
  id: STRING,
  created: NUMBER,
  encryptedKey: BYTES,
  parent: optional(OBJECT),
  revoked: BOOLEAN,
};
const KEY_META: Types<KeyMeta> = { id: STRING, created: NUMBER };
const STORED = oneOf('stored', 'duplicate');

/** The last millisecond that a Date has. */
const LAST_MS = 8.64e15;

/**
 * A key record from outside, its members read once.
 * @throws TypeError naming the member that is not of a record's type
 */
export function checkedKeyRecord(given: unknown, name: string): EnvelopeKeyRecord {
  const record = membersOf(given, name, KEY_RECORD);
  checkSeconds(record.created, `${name}.created`);
  if (record.parent === undefined) return record;
  const parent = membersOf(record.parent, `${name}.parent`, KEY_META);
  checkSeconds(parent.created, `${name}.parent.created`);
  return { ...record, parent };
}

/** @throws TypeError for anything but a whole number, by which alone a key is found again */
export function checkSeconds(value: number, name: string): void {
  check(value, name, NUMBER);
  if (!Number.isSafeInteger(value)) throw new TypeError(`${name} must be a whole number of seconds.`);
}

/**
 * The metastore, whose answers are checked. A row that is not of a record's type is `KeyRowUnreadable`. If `store` did not
 * answer with one of its two words, a duplicate could pass for stored, and records would be sealed under a lost key.
 */
export function checkedMetastore(metastore: Metastore): Metastore {
  const recent: Metastore['loadRecent'] = async (id, notAfter, deadline) => {
    const rows = await metastore.loadRecent?.(id, notAfter, deadline);
    return itemsOf(rows, 'The answer of metastore.loadRecent', (row) => foundOne(row, 'loadRecent', id));
  };
  return {
    load: async (id, created, deadline) => found(await metastore.load(id, created, deadline), 'load', id, created),
    loadLatest: async (id, deadline) => found(await metastore.loadLatest(id, deadline), 'loadLatest', id),
    ...(metastore.loadRecent !== undefined && { loadRecent: recent }),
    store: async (record, deadline) => {
      const outcome = await metastore.store(record, deadline);
      check(outcome, 'The answer of metastore.store', STORED);
      return outcome;
    },
  };
}

function found(answer: unknown, method: string, id: string, created?: number): EnvelopeKeyRecord | undefined {
  return answer === undefined ? undefined : foundOne(answer, method, id, created);
}

function foundOne(answer: unknown, method: string, id: string, created?: number): EnvelopeKeyRecord {
  const row = { id, created: created ?? Number.NaN };
  let record: EnvelopeKeyRecord;
  try {
    record = checkedKeyRecord(answer, `The answer of metastore.${method}`);
  } catch (cause) {
    throw keyRowUnreadable(row, `metastore.${method} has not answered with a record`, cause);
  }
  if (record.id === id && (created ?? record.created) === record.created) return record;
  throw keyRowUnreadable(row, `metastore.${method} has answered with the record of another key`);
}

/**
 * The KMS, whose answers are checked: a System Key whose wrap is not bytes would be lost with the process. Keys are zeroed after
 * use, so neither the stored wrap nor the key shares memory with what the KMS was given.
 */
export function checkedKms(kms: KeyManagementService): KeyManagementService {
  return {
    wrap: async (key, deadline) => {
      const wrapped = await kms.wrap(key, deadline);
      check(wrapped, 'The answer of kms.wrap', BYTES);
      if (byteLengthOf(wrapped) === 0) throw new TypeError('The answer of kms.wrap must not be empty.');
      return new Uint8Array(wrapped);
    },
    unwrap: async (wrapped, deadline) => {
      const unwrapped = await kms.unwrap(new Uint8Array(wrapped), deadline);
      check(unwrapped, 'The answer of kms.unwrap', OBJECT);
      if ('key' in unwrapped) check(unwrapped.key, 'The key of kms.unwrap', BYTES);
      else check(unwrapped.unreadable, 'The reason of kms.unwrap', STRING);
      return unwrapped;
    },
  };
}

/** The clock, whose readings are checked: a record that is dated NaN would never open. */
export function checkedClock(now: Clock = Date.now): Clock {
  if (now === Date.now) return now;
  return () => {
    const ms = now();
    if (typeof ms === 'number' && ms >= 0 && ms <= LAST_MS) return ms;
    throw new TypeError('The answer of options.now must be milliseconds since 1970.');
  };
}
