import { DeleteItemCommand, paginateQuery, PutItemCommand } from '@aws-sdk/client-dynamodb';
import type { ErasureRegister, RegisteredErasure } from '../maintenance/erasure-table.ts';
import { registerIdOf, type EpochSeconds, type PartitionId, type ServiceNames } from '../records/ids.ts';
import { rowsOf, unlessRefused } from './dynamodb-client.ts';
import { keyAttribute, keyOfItem, wholeNumber, type KeyItem } from './dynamodb-item.ts';
import type { DynamoDbMetastoreOptions } from './dynamodb-options.ts';
import { Replica } from './dynamodb-replica.ts';

/** The register of the erasures of one service, as rows of its key table. */
export class DynamoDbErasureRegister implements ErasureRegister {
  readonly #replica: Replica;
  readonly #id: string;

  constructor(options: DynamoDbMetastoreOptions, names: ServiceNames) {
    this.#replica = new Replica(options);
    this.#id = registerIdOf(names);
  }

  async list(): Promise<RegisteredErasure[]> {
    const entries: RegisteredErasure[] = [];
    const items = this.#replica.items((config, tableName) => paginateQuery(config, rowsOf(tableName, this.#id)));
    for await (const item of items) {
      const entry = decode(item);
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  }

  async add(entry: RegisteredErasure): Promise<boolean> {
    const put = { Item: encode(this.#id, entry), ConditionExpression: 'attribute_not_exists(Id)' };
    return this.#replica.send((client, TableName) =>
      unlessRefused(client.send(new PutItemCommand({ TableName, ...put })), true, false),
    );
  }

  async update(entry: RegisteredErasure): Promise<void> {
    const put = { Item: encode(this.#id, entry), ConditionExpression: 'attribute_exists(Id)' };
    await this.#replica.send((client, TableName) =>
      unlessRefused(client.send(new PutItemCommand({ TableName, ...put })), true, false),
    );
  }

  async remove({ at }: RegisteredErasure): Promise<void> {
    const Key = keyOfItem(this.#id, at);
    await this.#replica.send((client, TableName) => client.send(new DeleteItemCommand({ TableName, Key })));
  }
}

/** A placeholder that makes an entry a readable row for `keys list --all`. It holds no key. */
const NO_KEY = keyAttribute(Buffer.alloc(1));

function encode(id: string, { partition, erase, at, due, deletedAt }: RegisteredErasure): KeyItem {
  return {
    ...keyOfItem(id, at),
    KeyRecord: { M: { Created: { N: String(at) }, Key: NO_KEY, Revoked: { BOOL: true } } },
    Partition: { S: partition },
    Erase: { S: erase },
    Due: { N: String(due) },
    ...(deletedAt !== undefined && { DeletedAt: { N: String(deletedAt) } }),
  };
}

/** Returns undefined for a malformed entry, because an entry is only a note for operators. */
function decode(item: KeyItem): RegisteredErasure | undefined {
  const { S: partition } = item['Partition'] ?? {};
  const { S: erase } = item['Erase'] ?? {};
  const at = wholeNumber(item['Created']);
  const due = wholeNumber(item['Due']);
  if (partition === undefined || erase === undefined || at === undefined || due === undefined) return undefined;
  const dates = { at: at as EpochSeconds, due: due as EpochSeconds, deletedAt: wholeNumber(item['DeletedAt']) };
  return { partition: partition as PartitionId, erase, ...dates };
}
