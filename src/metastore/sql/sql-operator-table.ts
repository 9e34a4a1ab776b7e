import { noDeadline } from '../../async/deadline.ts';
import { viewOf } from '../../input/checks.ts';
import type { EnvelopeKeyRecord } from '../../envelope/ports.ts';
import type { KeyRow, KeyTable, TablePlace } from '../../maintenance/key-table.ts';
import { isPossibleKeyId, type KeyId, type KeyMeta } from '../../records/ids.ts';
import { decodeKeyRow, readKeyRow, withMembers, type SqlKeyRow } from './key-record.ts';
import type { Database } from './open-database.ts';
import { databaseUnavailable } from './sql-faults.ts';
import { findRow, keyRowsOf } from './sql-key-rows.ts';

/** How many times a revocation reads a row if other processes change it at the same time. */
const MAX_ATTEMPTS = 3;

/** An operator's access to Asherah's table in an SQL database. */
export class SqlOperatorTable implements KeyTable {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async place(): Promise<TablePlace> {
    return { table: 'encryption_key', region: this.#database.called };
  }

  async find(id: string, created: number | 'latest'): Promise<KeyRow | undefined> {
    const rows = await this.list(id);
    return created === 'latest' ? rows[0] : rows.find((row) => row.created === created);
  }

  async list(id?: string): Promise<KeyRow[]> {
    const rows: KeyRow[] = [];
    for await (const row of this.scan(id)) rows.push(row);
    return rows;
  }

  async *scan(id?: string): AsyncGenerator<KeyRow> {
    if (id === undefined) yield* keyRowsOf(this.#database.table);
    else for (const row of await this.#rows(id)) yield readKeyRow(id as KeyId, row);
  }

  async revoke(key: KeyMeta): Promise<'revoked' | 'absent'> {
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
      const outcome = await this.#change(key, () => ({ Revoked: true }));
      if (outcome !== 'changed') return outcome === 'absent' ? 'absent' : 'revoked';
    }
    throw databaseUnavailable(this.#database.called, 'other processes keep changing the row');
  }

  async prove(row: EnvelopeKeyRecord, proof: Uint8Array): Promise<'proven' | 'changed'> {
    const outcome = await this.#change(row, (present) => {
      const isSame = present.proof === undefined && Buffer.compare(present.encryptedKey, row.encryptedKey) === 0;
      return isSame ? { Proof: viewOf(proof).toString('base64') } : undefined;
    });
    return outcome === 'written' ? 'proven' : 'changed';
  }

  /**
   * Sets members of a row's `key_record`, if no other process changes the row at the same time.
   * @param membersOf returns undefined if the row must not be changed
   */
  async #change(
    { id, created }: KeyMeta,
    membersOf: (present: EnvelopeKeyRecord) => object | undefined,
  ): Promise<'written' | 'changed' | 'absent'> {
    if (!isPossibleKeyId(id)) return 'absent';
    const row = await findRow(this.#database.table, id, created, (each) => each.created === created);
    if (row === undefined) return 'absent';
    const members = membersOf(decodeKeyRow(id, row));
    if (members === undefined) return 'changed';
    const to = withMembers(row.text as string, members);
    const isWritten = await this.#database.table.replace(id, row, to, noDeadline());
    return isWritten ? 'written' : 'changed';
  }

  async #rows(id: string): Promise<SqlKeyRow[]> {
    if (!isPossibleKeyId(id)) return [];
    return this.#database.table.select({ id }, noDeadline());
  }
}
