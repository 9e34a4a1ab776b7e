import { noDeadline } from '../../async/deadline.ts';
import type { ErasureRegister, RegisteredErasure } from '../../maintenance/erasure-table.ts';
import { registerIdOf, type EpochSeconds, type PartitionId, type ServiceNames } from '../../records/ids.ts';
import { parsed, wholeNumber, type SqlKeyRow } from './key-record.ts';
import type { Database } from './open-database.ts';

/** The register of the erasures of one service, as rows of its key table. */
export class SqlErasureRegister implements ErasureRegister {
  readonly #table: Database['table'];
  readonly #id: string;

  constructor({ table }: Database, names: ServiceNames) {
    this.#table = table;
    this.#id = registerIdOf(names);
  }

  async list(): Promise<RegisteredErasure[]> {
    return (await this.#rows()).flatMap((row) => decode(row) ?? []);
  }

  async add(entry: RegisteredErasure): Promise<boolean> {
    const outcome = await this.#table.insert(this.#id, entry.at, encode(entry), noDeadline());
    return outcome === 'stored';
  }

  async update(entry: RegisteredErasure): Promise<void> {
    const row = await this.#rowAt(entry.at);
    if (row !== undefined) await this.#table.replace(this.#id, row, encode(entry), noDeadline());
  }

  async remove({ at }: RegisteredErasure): Promise<void> {
    const row = await this.#rowAt(at);
    if (row !== undefined) await this.#table.remove(this.#id, row, noDeadline());
  }

  async #rowAt(at: number): Promise<SqlKeyRow | undefined> {
    return (await this.#rows()).find(({ created }) => created === at);
  }

  #rows(): Promise<SqlKeyRow[]> {
    return this.#table.select({ id: this.#id }, noDeadline());
  }
}

/** A placeholder that makes an entry a row that Asherah can parse. It holds no key. */
const NO_KEY = Buffer.alloc(1).toString('base64');

function encode({ partition, erase, at, due, deletedAt }: RegisteredErasure): string {
  const entry = { Partition: partition, Erase: erase, Due: due, DeletedAt: deletedAt };
  return JSON.stringify({ Created: at, Key: NO_KEY, Revoked: true, ...entry });
}

/** Returns undefined for a malformed entry, because an entry is only a note for operators. */
function decode({ created, text }: SqlKeyRow): RegisteredErasure | undefined {
  const { Partition: partition, Erase: erase, Due, DeletedAt } = parsed(text) ?? {};
  const due = wholeNumber(Due);
  if (typeof partition !== 'string' || typeof erase !== 'string') return undefined;
  if (created === undefined || due === undefined) return undefined;
  const dates = { at: created as EpochSeconds, due: due as EpochSeconds, deletedAt: wholeNumber(DeletedAt) };
  return { partition: partition as PartitionId, erase, ...dates };
}
