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

/** Types of the port objects: each must have these methods. */
export const METASTORE = having('load', 'loadLatest', 'store');
export const KMS = having('wrap', 'unwrap');
export const EVENTS = having();

/** The members of a key row. `revoked` is required, because a row without it must not count as a valid key. */
const KEY_RECORD: Types<EnvelopeKeyRecord> = {
  id: STRING,
  created: NUMBER,
  encryptedKey: BYTES,
  parent: optional(OBJECT),
  revoked: BOOLEAN,
};
const KEY_META: Types<KeyMeta> = { id: STRING, created: NUMBER };
const STORED = oneOf('stored', 'duplicate');

/** The latest time that a Date can hold, in milliseconds since 1970. */
const LAST_MS = 8.64e15;

/**
 * Checks a key record that a plug-in or a caller gives. Each member is read once, so a getter cannot change its answer
 * later.
 * @throws TypeError naming the member that has the wrong type
 */
export function checkedKeyRecord(given: unknown, name: string): EnvelopeKeyRecord {
  const record = membersOf(given, name, KEY_RECORD);
  checkSeconds(record.created, `${name}.created`);
  if (record.parent === undefined) return record;
  const parent = membersOf(record.parent, `${name}.parent`, KEY_META);
  checkSeconds(parent.created, `${name}.parent.created`);
  return { ...record, parent };
}

/** @throws TypeError for anything but a whole number, because a key with a fractional date could not be found again */
export function checkSeconds(value: number, name: string): void {
  check(value, name, NUMBER);
  if (!Number.isSafeInteger(value)) throw new TypeError(`${name} must be a whole number of seconds.`);
}

/**
 * Wraps a metastore so that its answers are checked. A row that is not a record fails with `KeyRowUnreadable`. An
 * answer of `store` other than `stored` and `duplicate` is a TypeError: a duplicate taken for stored would seal records
 * under a lost key.
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
    throw keyRowUnreadable(row, `metastore.${method} has not returned a key record`, cause);
  }
  if (record.id === id && (created ?? record.created) === record.created) return record;
  throw keyRowUnreadable(row, `metastore.${method} has returned the record of another key`);
}

/**
 * Wraps a KMS so that its answers are checked: a System Key whose wrap is not bytes would be lost with the process. The
 * bytes of keys are zeroed after use, so the wrap and the key are copies that share no memory with the arguments of the
 * KMS.
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

/** Wraps a clock so that its readings are checked: a record with the date NaN could never be opened. */
export function checkedClock(now: Clock = Date.now): Clock {
  if (now === Date.now) return now;
  return () => {
    const ms = now();
    if (typeof ms === 'number' && ms >= 0 && ms <= LAST_MS) return ms;
    throw new TypeError('The answer of options.now must be milliseconds since 1970.');
  };
}
