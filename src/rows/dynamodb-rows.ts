import {
  DescribeTableCommand,
  GetItemCommand,
  ScanCommand,
  UpdateItemCommand,
  type AttributeValue,
  type DynamoDBClient,
  type ScanCommandOutput,
} from '@aws-sdk/client-dynamodb';
import type { Clock } from '../async/clock.ts';
import { callFaultOf, faultText } from '../connections/call-fault.ts';
import { mayPass } from '../connections/passing-fault.ts';
import { errorNameOf, KeyfoldError } from '../errors.ts';
import { Pace } from '../maintenance/reencryption/pace.ts';
import { retried } from '../maintenance/reencryption/retries.ts';
import {
  keyTableRefused,
  naming,
  namingFields,
  SourceFault,
  type Cells,
  type FieldNames,
  type Position,
  type Row,
  type RowSource,
} from '../maintenance/reencryption/rows.ts';
import { dynamoDbClient } from '../metastore/dynamodb-client.ts';
import type { DynamoDbMetastoreOptions } from '../metastore/dynamodb-options.ts';
import { attributeOfCell, cellOfAttribute } from './attribute-json.ts';

type Item = Record<string, AttributeValue>;

/** The options of {@link DynamoDbRows}. */
export interface DynamoDbRowsOptions extends FieldNames {
  readonly table: Pick<DynamoDbMetastoreOptions, 'region' | 'endpoint'> & { readonly tableName: string };
  /** The part of the table to scan. */
  readonly segment: { readonly index: number; readonly of: number };
  /** The maximum numbers of capacity units that the run may consume per second. Undefined for no limit. */
  readonly readUnits: number | undefined;
  readonly writeUnits: number | undefined;
}

/** An item of the table, with the attributes that were read. */
interface ItemRow extends Row {
  readonly item: Item;
}

/**
 * With small pages, a run that is killed loses little work. With 64 concurrent writes, a page takes well under a
 * second.
 */
const PAGE_ITEMS = 1000;
/** No caller waits for the result of a run, so the run can wait longer for a busy table. */
const REQUEST_TIMEOUT_MS = 30_000;

/** Errors caused by concurrent writers. Another attempt may succeed. */
const CONFLICTS = new Set(['TransactionConflictException', 'ReplicatedWriteConflictException']);

/** Errors that concern one item: the item or its item collection is too large. */
const REFUSALS = new Set(['ValidationException', 'ItemCollectionSizeLimitExceededException']);

/** The items of a DynamoDB table, or of one segment of it. */
export class DynamoDbRows implements RowSource<ItemRow> {
  readonly #options: DynamoDbRowsOptions;
  readonly #client: DynamoDBClient;
  readonly #reads: Pace | undefined;
  readonly #writes: Pace | undefined;
  #signal: AbortSignal | undefined;
  #arn = '';
  #keys: readonly string[] = [];
  #size: number | undefined;
  /**
   * The key of the last item of the current page. It is `end` for the last page, and undefined before the first page.
   */
  #position: Item | 'end' | undefined;

  constructor(options: DynamoDbRowsOptions, now: Clock) {
    const { table, readUnits, writeUnits } = options;
    this.#options = options;
    this.#client = dynamoDbClient({ ...table, requestTimeoutMs: REQUEST_TIMEOUT_MS }).client;
    this.#reads = readUnits === undefined ? undefined : new Pace(readUnits, now);
    this.#writes = writeUnits === undefined ? undefined : new Pace(writeUnits, now);
  }

  async *pages(from: Position | undefined, signal?: AbortSignal): AsyncGenerator<readonly ItemRow[]> {
    this.#signal = signal;
    await retried(() => this.#describe(), signal);
    const { tableName } = this.#options.table;
    if (from !== undefined && from['table'] !== this.#arn)
      throw new KeyfoldError('InvalidRequest', `The checkpoint is of another table ${tableName}. Name another file.`);
    if (from?.['end'] === true) {
      this.#position = 'end';
      return;
    }
    const after = from?.['after'] as Parameters<typeof keyFromJson>[0] | undefined;
    const first = after && keyFromJson(after);
    let next: Promise<ScanCommandOutput> | undefined = retried(() => this.#scan(first), signal);
    while (next !== undefined) {
      const { Items = [], LastEvaluatedKey: last }: ScanCommandOutput = await next;
      // Begin to read the next page while the caller processes this page.
      next = last === undefined ? undefined : retried(() => this.#scan(last), signal);
      next?.catch(() => {});
      this.#position = last ?? 'end';
      yield Items.map((item) => this.#rowOf(item));
    }
  }

  async replace({ item }: ItemRow, cells: Cells): Promise<'written' | 'changed'> {
    const { names, placeholderOf } = placeholders();
    const values: Item = {};
    const sets = Array.from(cells, ([field, cell], i) => {
      values[`:n${i}`] = attributeOfCell(cell);
      return `${placeholderOf(field)} = :n${i}`;
    });
    const conditions = this.#fields().map((field, i) => {
      const read = item[field];
      if (read === undefined) return `attribute_not_exists(${placeholderOf(field)})`;
      values[`:o${i}`] = read;
      return `${placeholderOf(field)} = :o${i}`;
    });
    const command = new UpdateItemCommand({
      TableName: this.#options.table.tableName,
      Key: this.#keyOf(item),
      UpdateExpression: `SET ${sets.join(', ')}`,
      ConditionExpression: conditions.join(' AND '),
      ExpressionAttributeNames: names,
      ExpressionAttributeValues: values,
      ReturnConsumedCapacity: 'TOTAL',
    });
    const signal = this.#signal;
    return this.#call(async () => {
      try {
        const { ConsumedCapacity } = await this.#client.send(command);
        await this.#writes?.spend(ConsumedCapacity?.CapacityUnits ?? 1, signal);
        return 'written';
      } catch (error) {
        const name = errorNameOf(error);
        if (REFUSALS.has(name)) throw refusedItem();
        if (name !== 'ConditionalCheckFailedException') throw error;
        // A write whose condition fails also consumes units, but the response does not say how many.
        await this.#writes?.spend(1, signal);
        return 'changed';
      }
    });
  }

  async reread({ item }: ItemRow): Promise<ItemRow | undefined> {
    const { names, placeholderOf } = placeholders();
    const fields = [...this.#keys, ...this.#fields()].map(placeholderOf).join(', ');
    const command = new GetItemCommand({
      TableName: this.#options.table.tableName,
      Key: this.#keyOf(item),
      ConsistentRead: true,
      ProjectionExpression: fields,
      ExpressionAttributeNames: names,
    });
    const { Item: now } = await this.#call(() => this.#client.send(command));
    return now && this.#rowOf(now);
  }

  async position(): Promise<Position> {
    const table = this.#arn;
    if (this.#position === 'end') return { table, end: true };
    return this.#position === undefined ? { table } : { table, after: keyToJson(this.#position) };
  }

  /** The number of items in the whole table. DynamoDB counts them about every six hours. */
  size(): number | undefined {
    return this.#size;
  }

  /** The attributes that are read in addition to the key. An item is written only if none of them has changed. */
  #fields(): string[] {
    const all = new Set([...this.#options.fields, ...namingFields(this.#options)]);
    return [...all].filter((field) => !this.#keys.includes(field));
  }

  async #describe(): Promise<void> {
    const { table, fields } = this.#options;
    const command = new DescribeTableCommand({ TableName: table.tableName });
    const { Table } = await this.#call(() => this.#client.send(command));
    this.#arn = Table?.TableArn ?? '';
    this.#size = Table?.ItemCount;
    this.#keys = (Table?.KeySchema ?? []).map(({ AttributeName = '' }) => AttributeName);
    if (this.#keys.join() === 'Id,Created' && fields.includes('KeyRecord')) throw keyTableRefused(table.tableName);
    const key = fields.find((field) => this.#keys.includes(field));
    if (key === undefined) return;
    throw new KeyfoldError(
      'InvalidRequest',
      `The attribute ${key} is part of the table's key, so it cannot be changed.`,
    );
  }

  async #scan(after: Item | undefined): Promise<ScanCommandOutput> {
    const { table, segment } = this.#options;
    const { names, placeholderOf } = placeholders();
    const fields = [...this.#keys, ...this.#fields()].map(placeholderOf).join(', ');
    const command = new ScanCommand({
      TableName: table.tableName,
      ConsistentRead: true,
      ProjectionExpression: fields,
      ExpressionAttributeNames: names,
      Limit: PAGE_ITEMS,
      ReturnConsumedCapacity: 'TOTAL',
      ...(segment.of > 1 && { Segment: segment.index, TotalSegments: segment.of }),
      ...(after !== undefined && { ExclusiveStartKey: after }),
    });
    const answer = await this.#call(() => this.#client.send(command));
    await this.#reads?.spend(answer.ConsumedCapacity?.CapacityUnits ?? 1, this.#signal);
    return answer;
  }

  #rowOf(given: Item): ItemRow {
    // Without a prototype, an absent attribute is undefined even if its name is `constructor`.
    const item: Item = Object.assign(Object.create(null), given);
    const textOf = (field: string): string | undefined => item[field]?.S ?? item[field]?.N;
    const cells = this.#options.fields.flatMap((field) => {
      const attribute = item[field];
      return attribute === undefined || attribute.NULL === true ? [] : [[field, cellOfAttribute(attribute)] as const];
    });
    const id = JSON.stringify(Object.fromEntries(this.#keys.map((name) => [name, keyText(item[name])])));
    return { id, item, cells: new Map(cells), ...naming(this.#options, textOf) };
  }

  #keyOf(item: Item): Item {
    return Object.fromEntries(this.#keys.map((name) => [name, item[name] as AttributeValue]));
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof KeyfoldError) throw error;
      const fault = callFaultOf(error);
      const { tableName } = this.#options.table;
      throw new SourceFault(
        `The table ${tableName} fails: ${faultText(fault)}`,
        CONFLICTS.has(fault.name) || mayPass(error),
      );
    }
  }
}

/** Makes placeholders for the names of attributes, which could be reserved words. */
function placeholders(): { names: Record<string, string>; placeholderOf: (field: string) => string } {
  const names: Record<string, string> = {};
  const known = new Map<string, string>();
  return {
    names,
    placeholderOf: (field) => {
      const placeholder = known.get(field) ?? `#f${known.size}`;
      known.set(field, placeholder);
      names[placeholder] = field;
      return placeholder;
    },
  };
}

/** The error for an item that DynamoDB refuses to write. */
function refusedItem(): KeyfoldError {
  const message =
    'DynamoDB refuses the changed item. It may be larger than 400 KB, or its item collection larger than 10 GB.';
  return new KeyfoldError('PayloadTooLarge', message);
}

/** Writes a key as JSON. */
function keyToJson(key: Item): Readonly<Record<string, object>> {
  const entries = Object.entries(key).map(([name, { B, ...rest }]) => {
    return [name, B === undefined ? rest : { B: Buffer.from(B).toString('base64') }] as const;
  });
  return Object.fromEntries(entries);
}

/** Reads what {@link keyToJson} wrote. */
function keyFromJson(json: Readonly<Record<string, { readonly B?: string }>>): Item {
  const entries = Object.entries(json).map(([name, { B, ...rest }]) => {
    return [name, B === undefined ? rest : { B: Buffer.from(B, 'base64') }] as const;
  });
  return Object.fromEntries(entries) as Item;
}

function keyText({ S, N, B }: AttributeValue = {} as AttributeValue): string | undefined {
  return S ?? N ?? (B && Buffer.from(B).toString('base64'));
}
