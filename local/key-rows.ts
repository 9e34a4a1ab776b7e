import { DynamoDBClient, paginateScan } from '@aws-sdk/client-dynamodb';
import { viewOf, wrapsOf, type KeyView, type WrapsView } from '../src/cli/key-view.ts';
import { cryptoPolicy } from '../src/envelope/crypto-policy.ts';
import { revocationOf, rowsFrom, unlessRefused } from '../src/metastore/dynamodb-client.ts';
import { ONLOOKER } from './dynamodb-watch.ts';

/** A row of the key table. For a System Key, `wraps` lists the regions that wrap the key. For other keys it is null. */
export type PageRow = KeyView & { readonly wraps: WrapsView['wraps'] | null };

/**
 * Reads and revokes key rows for the page, in the format of `keyfold keys`. The journal does not record these calls.
 */
export class KeyRows {
  readonly #client: DynamoDBClient;
  readonly #tableName: string;

  constructor(endpoint: string, tableName: string) {
    const credentials = { accessKeyId: ONLOOKER, secretAccessKey: 'local' };
    this.#client = new DynamoDBClient({ endpoint, region: 'us-west-2', credentials });
    this.#tableName = tableName;
  }

  /** All rows, System Keys before Intermediate Keys, and the newest key of each ID first. */
  async list(): Promise<PageRow[]> {
    const pages = paginateScan({ client: this.#client }, { TableName: this.#tableName, ConsistentRead: true });
    const rows = await rowsFrom(pages);
    return rows
      .map((row) => Object.assign(viewOf(row, cryptoPolicy(), Date.now()), { wraps: wrapsOf(row)?.wraps ?? null }))
      .toSorted((a, b) => (a.id === b.id ? (b.created ?? 0) - (a.created ?? 0) : a.id < b.id ? 1 : -1));
  }

  /** Flags a key as revoked, as `keyfold keys revoke` does. */
  revoke(id: string, created: number): Promise<'revoked' | 'absent'> {
    const command = revocationOf(this.#tableName, id, created);
    return unlessRefused(this.#client.send(command), 'revoked', 'absent');
  }
}
