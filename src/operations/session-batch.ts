import { checkLimits, LIMITS, type RequestLimits } from '../async/deadline.ts';
import type { Session } from '../envelope/session.ts';
import { KeyfoldError } from '../errors.ts';
import {
  BOOLEAN,
  BYTES,
  check,
  checked,
  having,
  itemsOf,
  optional,
  optionsOf,
  type Type,
  type Types,
} from '../input/checks.ts';
import { checkedRecord, type DataRowRecord } from '../records/data-row-record.ts';
import { eachItem } from './each-item.ts';
import type { SharingOptions } from './fields-request.ts';

/** A session that `SessionFactory.session` has returned. */
export const SESSION: Type = { ...having('encrypt', 'decrypt', 'rewrap', 'batch'), called: 'a Session' };
const OPTIONS: Types<RequestLimits & SharingOptions> = { ...LIMITS, shareDataRowKey: optional(BOOLEAN) };

/**
 * Encrypts several payloads, with one load of the key. If one payload fails, the others still succeed.
 * @param options the time limit of the call, and whether all records share one Data Row Key
 * @returns one record or error per payload, in the same order
 * @throws TypeError if an argument has the wrong type, before any key is used. The error names the argument, such as
 * `plaintexts[3]`
 * @example
 * const session = keyfold.session('tenant-1');
 * const records = await encryptBatch(session, [Buffer.from('one'), Buffer.from('two')]);
 * const failed = records.filter((record) => record instanceof KeyfoldError);
 */
export async function encryptBatch(
  session: Session,
  plaintexts: readonly Uint8Array[],
  options: RequestLimits & SharingOptions = {},
): Promise<(DataRowRecord | KeyfoldError)[]> {
  check(session, 'session', SESSION);
  const payloads = itemsOf(plaintexts, 'plaintexts', checked(BYTES)) as Uint8Array[];
  const { shareDataRowKey = false, ...limits } = optionsOf<RequestLimits & SharingOptions>(options, 'options', OPTIONS);
  const batch = session.batch({ shareDataRowKey });
  return eachItem(payloads, (payload) => batch.encrypt(payload, limits));
}

/**
 * Decrypts several records of one partition. Failed items are handled as in {@link encryptBatch}.
 * @returns one payload or error per record, in the same order. The caller owns the payloads.
 * @throws TypeError if an argument has the wrong type, before any key is used. The error names the argument
 * @example
 * const [first, second] = await decryptBatch(session, records);
 */
export async function decryptBatch(
  session: Session,
  records: readonly DataRowRecord[],
  limits: RequestLimits = {},
): Promise<(Buffer | KeyfoldError)[]> {
  check(session, 'session', SESSION);
  const given = itemsOf(records, 'records', recordNamed);
  checkLimits(limits);
  const batch = session.batch({ shareDataRowKey: false });
  return eachItem(given, (record) => batch.decrypt(orThrown(record), limits));
}

/**
 * Moves several records to the latest Intermediate Key of the partition. Failed items are handled as in {@link
 * encryptBatch}.
 * @returns one result or error per record, in the same order. If a record does not need to move, its result has
 * `rewrapped: false`.
 * @throws TypeError if an argument has the wrong type, before any key is used. The error names the argument
 * @example
 * for (const result of await rewrapBatch(session, records)) {
 *   if (!(result instanceof KeyfoldError) && result.rewrapped) await replace(result.record);
 * }
 */
export async function rewrapBatch(
  session: Session,
  records: readonly DataRowRecord[],
  limits: RequestLimits = {},
): Promise<({ record: DataRowRecord; rewrapped: boolean } | KeyfoldError)[]> {
  check(session, 'session', SESSION);
  const given = itemsOf(records, 'records', recordNamed);
  checkLimits(limits);
  const batch = session.batch({ shareDataRowKey: false });
  return eachItem(given, (record) => batch.rewrap(orThrown(record), limits));
}

/**
 * Checks a record of an array. Single records do not use this function, so that a decrypt does not have to build the
 * record's name for errors.
 * @returns the record, or the error of a wrong value, which concerns only this record
 * @throws TypeError for a member of the wrong type
 */
function recordNamed(record: unknown, name: string): DataRowRecord | KeyfoldError {
  try {
    return checkedRecord(record as DataRowRecord);
  } catch (cause) {
    if (cause instanceof KeyfoldError) return cause;
    throw new TypeError((cause as TypeError).message.replace(/^record/, name), { cause });
  }
}

function orThrown(record: DataRowRecord | KeyfoldError): DataRowRecord {
  if (record instanceof KeyfoldError) throw record;
  return record;
}
