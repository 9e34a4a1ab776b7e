import { DynamoDBClient, paginateScan } from '@aws-sdk/client-dynamodb';
import { viewOf, wrapsOf, type KeyView, type WrapsView } from '../src/cli/key-view.ts';
import { cryptoPolicy } from '../src/envelope/crypto-policy.ts';
import { rowsFrom } from '../src/metastore/dynamodb-client.ts';
import { registerIdOf, TOMBSTONE_CREATED, type ServiceNames } from '../src/records/ids.ts';
import { ONLOOKER } from './dynamodb-watch.ts';

/**
 * A row of the key table. An erasure also writes rows that contain no key: tombstones, and the register of erasures.
 * For a System Key, `wraps` lists the regions that wrap the key. For other rows it is null.
 */
export interface PageRow extends Omit<KeyView, 'kind'> {
  readonly kind: KeyView['kind'] | 'tombstone' | 'register';
  readonly wraps: WrapsView['wraps'] | null;
  /**
   * A description of the master key that wraps a System Key, if the master key is not in AWS KMS. Null for other rows.
   */
  readonly wrappedBy: string | null;
}

/**
 * Reads key rows for the page, in the format of `keyfold keys`. The journal does not record the calls of this class.
 */
export class KeyRows {
  readonly #client: DynamoDBClient;
  readonly #tableName: string;
  readonly #registerId: string;

  constructor(endpoint: string, tableName: string, names: ServiceNames) {
    const credentials = { accessKeyId: ONLOOKER, secretAccessKey: 'local' };
    this.#client = new DynamoDBClient({ endpoint, region: 'us-west-2', credentials });
    this.#tableName = tableName;
    this.#registerId = registerIdOf(names);
  }

  /** All rows, System Keys before Intermediate Keys, and the newest key of each ID first. */
  async list(): Promise<PageRow[]> {
    const pages = paginateScan({ client: this.#client }, { TableName: this.#tableName, ConsistentRead: true });
    const rows = await rowsFrom(pages);
    return rows
      .map((row): PageRow => {
        const view = viewOf(row, cryptoPolicy(), Date.now());
        const tombstone = row.created === TOMBSTONE_CREATED ? 'tombstone' : view.kind;
        const kind = row.id === this.#registerId ? 'register' : tombstone;
        const { wraps = null, wrappedBy = null } = wrapsOf(row) ?? {};
        return Object.assign(view, { kind, wraps, wrappedBy });
      })
      .toSorted((a, b) => (a.id === b.id ? (b.created ?? 0) - (a.created ?? 0) : a.id < b.id ? 1 : -1));
  }
}
