import { checkDeadline, type Deadline } from '../../async/deadline.ts';
import { checkedKeyRecord, checkSeconds } from '../../envelope/checked-ports.ts';
import type { EnvelopeKeyRecord, Metastore } from '../../envelope/ports.ts';
import { BYTES, check, NUMBER, STRING } from '../../input/checks.ts';
import type { KeyRow } from '../../maintenance/key-table.ts';
import type { SystemKeyStore } from '../../maintenance/system-key-maintenance.ts';
import { isPossibleKeyId, type EpochSeconds, type KeyId } from '../../records/ids.ts';
import {
  decodeKeyRow,
  encodeKeyRecord,
  MAX_KEY_RECORD_CHARACTERS,
  readKeyRow,
  withKey,
  type SqlKeyRow,
} from './key-record.ts';
import { rowDoesNotFit } from './sql-faults.ts';

/** Which rows of an id to read. */
export interface SqlSelection {
  readonly id: string;
  /** Only the row with this date, in seconds since 1970. */
  readonly created?: number;
  /** Only rows up to this date, in seconds since 1970. */
  readonly notAfter?: number;
  /** Default: all rows. */
  readonly limit?: number;
}

/** Asherah's table `encryption_key` in one kind of database. The methods throw the same errors as {@link Metastore}. */
export interface SqlKeyTable {
  /** Reads rows, latest first. */
  select(selection: SqlSelection, deadline: Deadline): Promise<SqlKeyRow[]>;
  /** @throws KeyfoldError `InvalidRequest` if a column cannot hold its value */
  insert(id: string, created: number, text: string, deadline: Deadline): Promise<'stored' | 'duplicate'>;
  /** Replaces the text of a row if it has not changed since it was read. Resolves to true if it replaced the text. */
  replace(id: string, row: SqlKeyRow, to: string, deadline: Deadline): Promise<boolean>;
  /**
   * Deletes a row if it has not changed since it was read. Compares only the part of its text that was read.
   * @returns true if it deleted the row
   */
  remove(id: string, row: SqlKeyRow, deadline: Deadline): Promise<boolean>;
}

/** The end of the year 9999. Databases write later times differently, and no key has such a date. */
const LAST_SECOND = 253_402_300_799;
const RECENT = 10;

/** Key records in an SQL table with Asherah's schema. */
export class SqlMetastore implements Metastore, SystemKeyStore {
  readonly #table: SqlKeyTable;

  constructor(table: SqlKeyTable) {
    this.#table = table;
  }

  async load(id: KeyId, created: EpochSeconds, deadline: Deadline): Promise<EnvelopeKeyRecord | undefined> {
    check(id, 'id', STRING);
    check(created, 'created', NUMBER);
    checkDeadline(deadline);
    if (!isPossibleKeyId(id) || !isPossibleDate(created)) return undefined;
    const [row] = await this.#table.select({ id, created, limit: 1 }, deadline);
    return row && decodeKeyRow(id, row);
  }

  async loadLatest(id: KeyId, deadline: Deadline): Promise<EnvelopeKeyRecord | undefined> {
    check(id, 'id', STRING);
    checkDeadline(deadline);
    if (!isPossibleKeyId(id)) return undefined;
    const [row] = await this.#table.select({ id, limit: 1 }, deadline);
    return row && decodeKeyRow(id, row);
  }

  async loadRecent(id: KeyId, notAfter: EpochSeconds, deadline: Deadline): Promise<EnvelopeKeyRecord[]> {
    check(id, 'id', STRING);
    checkSeconds(notAfter, 'notAfter');
    checkDeadline(deadline);
    if (!isPossibleKeyId(id) || notAfter < 0) return [];
    const upTo = Math.min(notAfter, LAST_SECOND);
    const rows = await this.#table.select({ id, notAfter: upTo, limit: RECENT }, deadline);
    const records: EnvelopeKeyRecord[] = [];
    for (const row of rows) {
      const read = readKeyRow(id, row);
      if (!('unreadable' in read)) records.push(read);
      // End the list before an unreadable row. With older rows in the list, the unreadable row would look absent. If
      // the latest row is unreadable, throw.
      else if (records.length === 0) decodeKeyRow(id, row);
      else break;
    }
    return records;
  }

  async store(record: EnvelopeKeyRecord, deadline: Deadline): Promise<'stored' | 'duplicate'> {
    const given = checkedKeyRecord(record, 'record');
    checkDeadline(deadline);
    const text = encodeKeyRecord(given);
    const fits = text.length <= MAX_KEY_RECORD_CHARACTERS && isPossibleKeyId(given.id) && isPossibleDate(given.created);
    if (!fits) throw rowDoesNotFit();
    return this.#table.insert(given.id, given.created, text, deadline);
  }

  async rows(id: KeyId, deadline: Deadline): Promise<KeyRow[]> {
    check(id, 'id', STRING);
    checkDeadline(deadline);
    if (!isPossibleKeyId(id)) return [];
    const rows = await this.#table.select({ id }, deadline);
    return rows.map((row) => readKeyRow(id, row));
  }

  async replaceKey(
    record: EnvelopeKeyRecord,
    encryptedKey: Uint8Array,
    deadline: Deadline,
  ): Promise<'replaced' | 'changed'> {
    const { id, created, encryptedKey: expected } = checkedKeyRecord(record, 'record');
    check(encryptedKey, 'encryptedKey', BYTES);
    checkDeadline(deadline);
    if (!isPossibleKeyId(id) || !isPossibleDate(created)) return 'changed';
    // Copy both keys, because the caller may overwrite them while the database answers.
    const [from, renewed] = [new Uint8Array(expected), new Uint8Array(encryptedKey)];
    const [row] = await this.#table.select({ id, created, limit: 1 }, deadline);
    if (row === undefined) return 'changed';
    const present = decodeKeyRow(id, row);
    if (Buffer.compare(present.encryptedKey, from) !== 0) return 'changed';
    const to = withKey(row.text as string, renewed);
    if (to.length > MAX_KEY_RECORD_CHARACTERS) throw rowDoesNotFit();
    return (await this.#table.replace(id, row, to, deadline)) ? 'replaced' : 'changed';
  }
}

/** Whether a row can have this date. */
function isPossibleDate(created: number): boolean {
  return Number.isSafeInteger(created) && created >= 0 && created <= LAST_SECOND;
}
