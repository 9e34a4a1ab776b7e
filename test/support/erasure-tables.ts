import type { Clock, EnvelopeKeyRecord, KeyRow, RegisteredErasure } from '../../src/index.ts';
import { cryptoPolicy, StaticKms, type KeyManagementService } from '../../src/index.ts';
import type { ErasureTable, ErasureTables } from '../../src/maintenance/erasure-table.ts';
import { PartitionErasure } from '../../src/maintenance/partition-erasure.ts';

const NAMES = { service: 'svc', product: 'prod' };

function name({ id, created }: KeyRow): string {
  return `${id} ${created}`;
}

/** A key table in one region whose rows are in memory, by id and creation time. */
class MemoryErasureTables implements ErasureTables {
  readonly #rows: Map<string, EnvelopeKeyRecord>;
  readonly #entries: RegisteredErasure[];

  constructor(rows: Map<string, EnvelopeKeyRecord>, entries: RegisteredErasure[]) {
    this.#rows = rows;
    this.#entries = entries;
  }

  readonly register = {
    list: async () => [...this.#entries],
    add: async (entry: RegisteredErasure) => this.#entries.push(entry) > 0,
    update: async (entry: RegisteredErasure) => void this.#entries.splice(this.#indexOf(entry), 1, entry),
    remove: async (entry: RegisteredErasure) => void this.#entries.splice(this.#indexOf(entry), 1),
  };

  #indexOf({ at }: RegisteredErasure): number {
    return this.#entries.findIndex((entry) => entry.at === at);
  }

  async regions(): Promise<string[]> {
    return ['us-west-2'];
  }

  async clockOffsetMs(): Promise<number> {
    return 0;
  }

  at(): ErasureTable {
    const put = (row: EnvelopeKeyRecord): boolean => this.#rows.set(name(row), row).size > 0;
    return {
      rows: async (selection) =>
        [...this.#rows.values()].filter(({ id }) =>
          'id' in selection ? id === selection.id : selection.prefixes.some((prefix) => id.startsWith(prefix)),
        ),
      store: async (row, replaced) => void ((replaced === undefined && this.#rows.has(name(row))) || put(row)),
      mark: async (row, erased) => void put({ ...row, erased, revoked: true }),
      remove: async (row) => void this.#rows.delete(name(row)),
    };
  }

  async copies(): Promise<never[]> {
    return [];
  }
}

/** Erases the partitions of `svc` and `prod`. A test keeps the rows and the entries of the register in memory. */
export function erasureOf(
  rows: Map<string, EnvelopeKeyRecord>,
  now: Clock,
  partition = 'p',
  kms: KeyManagementService = new StaticKms(Buffer.alloc(32, 7), {}),
  entries: RegisteredErasure[] = [],
  policy = cryptoPolicy(),
): PartitionErasure {
  const tables = new MemoryErasureTables(rows, entries);
  return new PartitionErasure({ names: NAMES, partition, tables, kms, policy, now });
}
