import {
  BOOLEAN,
  byteLengthOf,
  BYTES,
  check,
  FUNCTION,
  having,
  itemsOf,
  membersOf,
  NUMBER,
  OBJECT,
  oneOf,
  optional,
  STRING,
  type Type,
  type Types,
} from '../input/checks.ts';
import { keyRowUnreadable } from '../errors.ts';
import type { KeyMeta } from '../records/ids.ts';
import type { Deadline } from '../async/deadline.ts';
import { KEY_BYTES } from '../crypto/random.ts';
import type {
  EnvelopeKeyRecord,
  ErasureMark,
  KeyManagementService,
  Metastore,
  RowProofBasis,
  Wrapped,
} from './ports.ts';
import type { Clock } from '../async/clock.ts';

/** The methods that each port object must have. */
const REQUIRED_OF_METASTORE = having('load', 'loadLatest', 'store');
export const METASTORE: Type = {
  called: `${REQUIRED_OF_METASTORE.called}, and loadRecent if it is given`,
  holds: (value) =>
    REQUIRED_OF_METASTORE.holds(value) && optional(FUNCTION).holds((value as Partial<Metastore>).loadRecent),
};
export const KMS = having('wrap', 'unwrap');
export const EVENTS = having();

/** The members of a key row. `revoked` is required, because a row without that member must not count as a valid key. */
const KEY_RECORD: Types<EnvelopeKeyRecord> = {
  id: STRING,
  created: NUMBER,
  encryptedKey: BYTES,
  parent: optional(OBJECT),
  proof: optional(BYTES),
  erased: optional(OBJECT),
  revoked: BOOLEAN,
};
const KEY_META: Types<KeyMeta> = { id: STRING, created: NUMBER };
const ERASURE_MARK: Types<ErasureMark> = { erase: STRING, at: NUMBER, due: NUMBER, proof: BYTES };
const STORED = oneOf('stored', 'duplicate');

const WRAPPED: Types<Partial<Wrapped>> = { wrapped: BYTES, rowProof: optional(OBJECT) };
const BASIS: Types<RowProofBasis> = { key: BYTES, sealed: BYTES };

/** A {@link KeyManagementService} with a `wrap` that always resolves with an object. */
export interface CheckedKms extends KeyManagementService {
  wrap(key: Uint8Array, deadline: Deadline): Promise<Wrapped>;
}

/** The latest time that a Date can hold, in milliseconds since 1970. */
const LAST_MS = 8.64e15;

/**
 * Checks a key record from a plug-in or a caller. Each member is read once, so that a getter cannot return another
 * value later.
 * @throws TypeError naming the member that has the wrong type
 */
export function checkedKeyRecord(given: unknown, name: string): EnvelopeKeyRecord {
  const record = membersOf(given, name, KEY_RECORD);
  checkSeconds(record.created, `${name}.created`);
  const erased = record.erased && checkedMark(record.erased, `${name}.erased`);
  const marked = erased === undefined ? record : { ...record, erased };
  if (record.parent === undefined) return marked;
  const parent = membersOf(record.parent, `${name}.parent`, KEY_META);
  checkSeconds(parent.created, `${name}.parent.created`);
  return { ...marked, parent };
}

function checkedMark(given: ErasureMark, name: string): ErasureMark {
  const mark = membersOf(given, name, ERASURE_MARK);
  for (const member of ['at', 'due'] as const) checkSeconds(mark[member], `${name}.${member}`);
  return mark;
}

/**
 * @throws TypeError if the value is not a whole number, because a search would not find a key with a fractional date
 */
export function checkSeconds(value: number, name: string): void {
  if (!Number.isSafeInteger(value)) throw new TypeError(`${name} must be a whole number of seconds.`);
}

/**
 * Wraps a metastore to check what it returns. A row that is not a record fails with `KeyRowUnreadable`. If `store`
 * returns anything but `stored` or `duplicate`, the wrapper throws a TypeError. If Keyfold mistook a duplicate for a
 * stored key, it would seal records under a key that is lost. `store` gets a copy of the record, so it may change it.
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
      const outcome = await metastore.store(checkedKeyRecord(record, 'record'), deadline);
      check(outcome, 'The answer of metastore.store', STORED);
      return outcome;
    },
  };
}

function found(answer: unknown, method: string, id: string, created?: number): EnvelopeKeyRecord | undefined {
  return answer === undefined ? undefined : foundOne(answer, method, id, created);
}

function foundOne(answer: unknown, method: string, id: string, created?: number): EnvelopeKeyRecord {
  const row = { id, created: created ?? 'at an unknown time' };
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
 * Wraps a KMS to check what it returns. If Keyfold accepted a wrap that is not bytes, the System Key would be lost when
 * the process ends. Keyfold zeroes key bytes after use, so the wrapper copies each wrap, in case the KMS lets a wrap
 * and a key share memory.
 */
export function checkedKms(kms: KeyManagementService): CheckedKms {
  return {
    wrap: async (key, deadline) => {
      const answer: unknown = await kms.wrap(key, deadline);
      const { wrapped, rowProof } = BYTES.holds(answer)
        ? { wrapped: answer }
        : membersOf<Partial<Wrapped>>(answer, 'The answer of kms.wrap', WRAPPED);
      if (byteLengthOf(wrapped as Uint8Array) === 0) throw new TypeError('The answer of kms.wrap must not be empty.');
      checkBasis(rowProof, 'kms.wrap');
      return { wrapped: new Uint8Array(wrapped as Uint8Array), rowProof };
    },
    unwrap: async (wrapped, deadline) => {
      const unwrapped = await kms.unwrap(new Uint8Array(wrapped), deadline);
      check(unwrapped, 'The answer of kms.unwrap', OBJECT);
      if ('key' in unwrapped) {
        check(unwrapped.key, 'The key of kms.unwrap', BYTES);
        checkBasis(unwrapped.rowProof, 'kms.unwrap');
      } else check(unwrapped.unreadable, 'The reason of kms.unwrap', STRING);
      return unwrapped;
    },
  };
}

/** @throws TypeError if a member of the proof basis has the wrong type */
function checkBasis(basis: RowProofBasis | undefined, method: string): void {
  if (basis === undefined) return;
  const { key } = membersOf(basis, `The rowProof of ${method}`, BASIS);
  if (byteLengthOf(key) !== KEY_BYTES) throw new TypeError(`The rowProof of ${method} must have a key of 32 bytes.`);
}

/** Wraps a clock to check its readings, because a record with the date NaN could never be opened. */
export function checkedClock(now: Clock = Date.now): Clock {
  if (now === Date.now) return now;
  return () => {
    const ms = now();
    if (typeof ms === 'number' && ms >= 0 && ms <= LAST_MS) return ms;
    throw new TypeError('The answer of options.now must be milliseconds since 1970.');
  };
}
