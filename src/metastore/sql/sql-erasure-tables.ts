import { isDeepStrictEqual } from 'node:util';
import { noDeadline } from '../../async/deadline.ts';
import { faultText } from '../../connections/call-fault.ts';
import type { EnvelopeKeyRecord, ErasureMark } from '../../envelope/ports.ts';
import type {
  ErasureRegister,
  ErasureTable,
  ErasureTables,
  KeyCopy,
  RowSelection,
} from '../../maintenance/erasure-table.ts';
import { KeyfoldError } from '../../errors.ts';
import type { KeyRow } from '../../maintenance/key-table.ts';
import type { KeyId, ServiceNames } from '../../records/ids.ts';
import { encodeKeyRecord, erasedMember, readKeyRow, withMembers, type SqlKeyRow } from './key-record.ts';
import type { Database } from './open-database.ts';
import { databaseUnavailable } from './sql-faults.ts';
import { SqlErasureRegister } from './sql-erasure-register.ts';
import { findRow, keyRowsOf } from './sql-key-rows.ts';

/** Asherah's table in an SQL database, and the erasures of one service. The database's address is its only region. */
export class SqlErasureTables implements ErasureTables {
  readonly register: ErasureRegister;
  readonly #database: Database;

  constructor(database: Database, names: ServiceNames) {
    this.#database = database;
    this.register = new SqlErasureRegister(database, names);
  }

  async regions(): Promise<readonly string[]> {
    return [this.#database.called];
  }

  async clockOffsetMs(): Promise<number> {
    const { inspect, called } = this.#database;
    const outcome = await inspect();
    if ('fault' in outcome) throw databaseUnavailable(called, faultText(outcome.fault));
    return outcome.answer.clockOffsetMs;
  }

  at(): ErasureTable {
    return new SqlErasureTable(this.#database);
  }

  async copies(region: string): Promise<KeyCopy[]> {
    return [{ kind: 'unknown', region, text: 'the backups, logs and replicas of a database cannot be listed' }];
  }
}

class SqlErasureTable implements ErasureTable {
  readonly #table: Database['table'];

  constructor({ table }: Database) {
    this.#table = table;
  }

  async rows(selection: RowSelection): Promise<KeyRow[]> {
    if ('id' in selection) {
      const { id } = selection;
      const rows = await this.#table.select({ id }, noDeadline());
      return rows.map((row) => readKeyRow(id as KeyId, row));
    }
    const found: KeyRow[] = [];
    for await (const row of keyRowsOf(this.#table)) {
      if (selection.prefixes.some((prefix) => row.id.startsWith(prefix))) found.push(row);
    }
    return found;
  }

  async store(record: EnvelopeKeyRecord, replaced?: KeyRow): Promise<void> {
    const { id, created, erased } = record;
    const text = encodeKeyRecord(record);
    const marked = erased === undefined ? text : withMembers(text, erasedMember(erased));
    if (replaced !== undefined) {
      const present = await this.#unchanged(replaced);
      if (present !== undefined) await this.#table.replace(id, present, marked, noDeadline());
      return;
    }
    const outcome = await this.#table.insert(id, created, marked, noDeadline());
    if (outcome === 'stored' || (await this.rows({ id })).some((row) => row.created === created)) return;
    // The primary key compares IDs by their column's collation, and all tombstones have the same date. So the tombstone
    // of another ID can have the same primary key.
    throw new KeyfoldError(
      'InvalidRequest',
      'The collation of the column id treats the partition as equal to another one, which is erased: use utf8mb4_bin.',
    );
  }

  async mark(row: EnvelopeKeyRecord, mark: ErasureMark | undefined): Promise<void> {
    const present = await this.#unchanged(row);
    if (present === undefined) return;
    const members = mark === undefined ? { Erased: undefined } : { Revoked: true, ...erasedMember(mark) };
    await this.#table.replace(row.id, present, withMembers(present.text as string, members), noDeadline());
  }

  async remove(row: KeyRow): Promise<void> {
    const present = await this.#unchanged(row);
    if (present !== undefined) await this.#table.remove(row.id, present, noDeadline());
  }

  /** The row as the database holds it, if its sealed key and its mark have not changed since it was read. */
  async #unchanged(row: KeyRow): Promise<SqlKeyRow | undefined> {
    const isIt = (present: SqlKeyRow): boolean => isSame(row, readKeyRow(row.id as KeyId, present));
    return findRow(this.#table, row.id, row.created, isIt);
  }
}

/** Whether two reads have found the same row, with the same key and the same mark. */
function isSame(before: KeyRow, now: KeyRow): boolean {
  if ('unreadable' in before || 'unreadable' in now) return isDeepStrictEqual(before, now);
  const { created, encryptedKey, erased } = now;
  if (created !== before.created || erased?.erase !== before.erased?.erase) return false;
  return Buffer.compare(encryptedKey, before.encryptedKey) === 0;
}
