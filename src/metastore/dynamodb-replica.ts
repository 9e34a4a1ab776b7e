import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { callFaultOf, faultText } from '../connections/call-fault.ts';
import { invalidConfiguration } from '../errors.ts';
import { dynamoDbClient, metastoreUnavailable } from './dynamodb-client.ts';
import type { DynamoDbMetastoreOptions } from './dynamodb-options.ts';

/** The key table in one region. Its calls throw `MetastoreUnavailable` if DynamoDB refuses or fails. */
export class Replica {
  readonly #client: DynamoDBClient;
  readonly #tableName: string;

  constructor(options: DynamoDbMetastoreOptions) {
    const { tableName, client } = dynamoDbClient(options);
    this.#tableName = tableName;
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
      return await call(this.#client, this.#tableName);
    } catch (error) {
      throw await metastoreUnavailable(this.#client, this.#tableName, faultText(callFaultOf(error)));
    }
  }
}
