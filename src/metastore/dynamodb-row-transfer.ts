import { isDeepStrictEqual } from 'node:util';
import { GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import type { EnvelopeKeyRecord } from '../envelope/ports.ts';
import type { RowTransfer, TransferredRow } from '../maintenance/row-transfer.ts';
import { readLatest, unlessRefused } from './dynamodb-client.ts';
import { createdOf, readKeyItem, type KeyItem } from './dynamodb-item.ts';
import type { DynamoDbMetastoreOptions } from './dynamodb-options.ts';
import { Replica } from './dynamodb-replica.ts';
import type { KeyRowSource, SourceRow } from './key-row-sources.ts';

/** How many rows are compared or added at the same time. */
const BATCH = 32;

/** Adds the rows of a source to a DynamoDB table. */
export class DynamoDbRowTransfer implements RowTransfer {
  readonly #source: KeyRowSource;
  readonly #target: Replica;

  constructor(source: KeyRowSource, target: DynamoDbMetastoreOptions) {
    this.#source = source;
    this.#target = new Replica(target);
  }

  from(): Promise<string> {
    return this.#source.called();
  }

  compare(): AsyncIterable<TransferredRow> {
    return this.#each((item) => this.#compare(item));
  }

  add(signal: AbortSignal): AsyncIterable<TransferredRow> {
    return this.#each(async (item) => {
      signal.throwIfAborted();
      const found = await this.#compare(item);
      return found.outcome === 'missing' ? this.#add(item) : found;
    });
  }

  close(): Promise<void> {
    return this.#source.close();
  }

  async *#each(work: (item: KeyItem) => Promise<Result>): AsyncGenerator<TransferredRow> {
    const one = async (row: SourceRow): Promise<TransferredRow> => {
      if ('unreadable' in row) {
        const { unreadable: why, ...key } = row;
        return { ...key, outcome: 'unreadable', why };
      }
      const { item } = row;
      return { id: item['Id']?.S ?? '', ...createdOf(item), ...(await work(item)) };
    };
    let batch: SourceRow[] = [];
    for await (const row of this.#source.rows()) {
      batch.push(row);
      if (batch.length < BATCH) continue;
      yield* endedOf(await Promise.allSettled(batch.map(one)));
      batch = [];
    }
    yield* endedOf(await Promise.allSettled(batch.map(one)));
  }

  async #compare(item: KeyItem): Promise<Result> {
    const key = { Id: item['Id'], Created: item['Created'] } as KeyItem;
    const { Item: present } = await this.#target.send((client, TableName) =>
      client.send(new GetItemCommand({ TableName, Key: key, ConsistentRead: true })),
    );
    if (present === undefined) return (await this.#isErased(item)) ? ERASED : { outcome: 'missing' };
    const why = differenceOf(item, present);
    return why === undefined ? { outcome: 'same' } : { outcome: 'differs', why };
  }

  /**
   * Whether the target has a tombstone for the row's ID. False if the row itself has the mark of an erasure. Such a row
   * can be added safely, because its key opens no records.
   */
  async #isErased(item: KeyItem): Promise<boolean> {
    if (item['Erased'] !== undefined) return false;
    const id = item['Id']?.S ?? '';
    const { Items: rows = [] } = await this.#target.send((client, tableName) => client.send(readLatest(tableName, id)));
    return rows[0]?.['Erased'] !== undefined;
  }

  async #add(item: KeyItem): Promise<Result> {
    const condition = 'attribute_not_exists(Id)';
    const isAdded = await this.#target.send((client, TableName) => {
      const command = new PutItemCommand({ TableName, Item: item, ConditionExpression: condition });
      return unlessRefused(client.send(command), true, false);
    });
    return isAdded ? { outcome: 'added' } : this.#compare(item);
  }
}

/** Yields the results of the rows that succeeded, even if another row failed. Then throws the first failure. */
function* endedOf(results: readonly PromiseSettledResult<TransferredRow>[]): Iterable<TransferredRow> {
  for (const result of results) if (result.status === 'fulfilled') yield result.value;
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

type Result = Pick<TransferredRow, 'outcome' | 'why'>;

const ERASED: Result = { outcome: 'erased', why: 'the partition is erased in the target' };

/**
 * Returns what the target's row lacks. Returns undefined if the target's row contains everything that the source's row
 * contains.
 */
function differenceOf(source: KeyItem, target: KeyItem): string | undefined {
  const [from, to] = [readKeyItem(source), readKeyItem(target)];
  if ('unreadable' in from || 'unreadable' in to) {
    return isDeepStrictEqual(source, target) ? undefined : 'one of the two rows is unreadable';
  }
  const isSame = (read: (row: EnvelopeKeyRecord) => unknown): boolean => isDeepStrictEqual(read(from), read(to));
  if (!isSame(({ encryptedKey }) => encryptedKey)) return 'its key differs';
  if (!isSame(({ parent }) => parent)) return 'its System Key differs';
  if (from.revoked && !to.revoked) return 'it is revoked in the source only';
  if (from.proof !== undefined && !isSame(({ proof }) => proof)) return 'its proof differs';
  if (from.erased !== undefined && !isSame(({ erased }) => erased)) return 'its mark of an erasure differs';
  return undefined;
}
