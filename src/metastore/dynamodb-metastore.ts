import {
  ConditionalCheckFailedException,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
} from '@aws-sdk/client-dynamodb';
import { orAborted } from '../envelope/deadline.ts';
import { KeyfoldError } from '../envelope/errors.ts';
import type { EpochSeconds, KeyId } from '../envelope/ids.ts';
import type { Deadline, EnvelopeKeyRecord, Metastore } from '../envelope/ports.ts';
import { decodeKeyItem, encodeKeyItem, keyOfItem } from './dynamodb-item.ts';

/** Where the key table is. */
export interface DynamoDbMetastoreOptions {
  /** `EncryptionKey` unless said otherwise, as Asherah's. */
  readonly tableName?: string;
  /** The table's region; the SDK's own choice unless said. */
  readonly region?: string;
  /** Replaces AWS's endpoint, for an emulator. */
  readonly endpoint?: string;
  readonly connectionTimeoutMs?: number;
  /** For one attempt, of which the SDK makes up to three. */
  readonly requestTimeoutMs?: number;
}

/** The table as it was when last spoken to. */
export interface MetastoreState {
  /** `unknown` until the first call ends. */
  readonly state: 'ok' | 'unknown' | 'unavailable';
  /** Why the last call failed; absent after one that did not. */
  readonly lastError?: string;
  /** When, in milliseconds since 1970; absent before the first call. */
  readonly atMs?: number;
}

/** Key records in a DynamoDB table of Asherah's shape. Throttling and 5xx are retried by the SDK's standard mode. */
export class DynamoDbMetastore implements Metastore {
  readonly #client: DynamoDBClient;
  readonly #tableName: string;
  #state: MetastoreState = { state: 'unknown' };

  constructor(options: DynamoDbMetastoreOptions = {}) {
    const { tableName = 'EncryptionKey', region, endpoint } = options;
    this.#tableName = tableName;
    this.#client = new DynamoDBClient({
      ...(region === undefined ? {} : { region }),
      ...(endpoint === undefined ? {} : { endpoint }),
      requestHandler: {
        connectionTimeout: options.connectionTimeoutMs ?? 1000,
        requestTimeout: options.requestTimeoutMs ?? 3000,
        throwOnRequestTimeout: true,
      },
    });
  }

  /** What the last call found; makes none. */
  get state(): MetastoreState {
    return this.#state;
  }

  async load(id: KeyId, created: EpochSeconds, deadline: Deadline): Promise<EnvelopeKeyRecord | undefined> {
    const command = new GetItemCommand({
      TableName: this.#tableName,
      Key: keyOfItem(id, created),
      ConsistentRead: true,
    });
    const { Item } = await this.#call(deadline, (abortSignal) => this.#client.send(command, { abortSignal }));
    return Item && decodeKeyItem(Item);
  }

  async loadLatest(id: KeyId, deadline: Deadline): Promise<EnvelopeKeyRecord | undefined> {
    const command = new QueryCommand({
      TableName: this.#tableName,
      KeyConditionExpression: 'Id = :id',
      ExpressionAttributeValues: { ':id': { S: id } },
      ScanIndexForward: false,
      Limit: 1,
      ConsistentRead: true,
    });
    const { Items } = await this.#call(deadline, (abortSignal) => this.#client.send(command, { abortSignal }));
    const latest = Items?.[0];
    return latest && decodeKeyItem(latest);
  }

  async store(record: EnvelopeKeyRecord, deadline: Deadline): Promise<'stored' | 'duplicate'> {
    const command = new PutItemCommand({
      TableName: this.#tableName,
      Item: encodeKeyItem(record),
      ConditionExpression: 'attribute_not_exists(Id)',
    });
    return this.#call(deadline, async (abortSignal) => {
      try {
        await this.#client.send(command, { abortSignal });
        return 'stored';
      } catch (error) {
        if (error instanceof ConditionalCheckFailedException) return 'duplicate';
        throw error;
      }
    });
  }

  async #call<T>(deadline: Deadline, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      const answer = await orAborted(send(deadline.signal), deadline.signal);
      this.#state = { state: 'ok', atMs: Date.now() };
      return answer;
    } catch (error) {
      deadline.signal.throwIfAborted();
      const name = error instanceof Error ? error.name : 'UnknownError';
      this.#state = { state: 'unavailable', lastError: name, atMs: Date.now() };
      // The error itself is left behind: the SDK quotes answers in some.
      throw new KeyfoldError('MetastoreUnavailable', 'The metastore does not answer.', {
        cause: new Error(`DynamoDB table ${this.#tableName}: ${name}`),
      });
    }
  }
}
