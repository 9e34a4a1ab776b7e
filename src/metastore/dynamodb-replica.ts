import type { DynamoDBClient, DynamoDBPaginationConfiguration } from '@aws-sdk/client-dynamodb';
import { callFaultOf, faultText } from '../connections/call-fault.ts';
import { invalidConfiguration } from '../errors.ts';
import { dynamoDbClient, metastoreUnavailable } from './dynamodb-client.ts';
import type { KeyItem } from './dynamodb-item.ts';
import type { DynamoDbMetastoreOptions } from './dynamodb-options.ts';

/** The key table in one region. Its calls throw `MetastoreUnavailable` if DynamoDB refuses the call or fails. */
export class Replica {
  readonly tableName: string;
  readonly #client: DynamoDBClient;

  constructor(options: DynamoDbMetastoreOptions) {
    const { tableName, client } = dynamoDbClient(options);
    this.tableName = tableName;
    this.#client = client;
  }

  async region(): Promise<string> {
    try {
      return await this.#client.config.region();
    } catch {
      throw invalidConfiguration(['no region is set: --region, KEYFOLD_DYNAMODB_REGION or AWS_REGION']);
    }
  }

  async send<T>(call: (client: DynamoDBClient, tableName: string) => Promise<T>): Promise<T> {
    try {
      return await call(this.#client, this.tableName);
    } catch (error) {
      throw await metastoreUnavailable(this.#client, this.tableName, faultText(callFaultOf(error)));
    }
  }

  /** Reads all items of a query or a scan, page by page. */
  async *items(
    open: (
      config: DynamoDBPaginationConfiguration,
      tableName: string,
    ) => AsyncGenerator<{ readonly Items?: KeyItem[] | undefined }>,
  ): AsyncGenerator<KeyItem> {
    const pages = open({ client: this.#client }, this.tableName);
    for (;;) {
      const page = await this.send(() => pages.next());
      if (page.done === true) return;
      yield* page.value.Items ?? [];
    }
  }

  close(): void {
    this.#client.destroy();
  }
}
