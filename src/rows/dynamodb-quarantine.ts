import { createHash } from 'node:crypto';
import { PutItemCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { callFaultOf, faultText } from '../connections/call-fault.ts';
import { mayPass } from '../connections/passing-fault.ts';
import { SourceFault } from '../maintenance/reencryption/rows.ts';
import type { QuarantinedRow } from '../maintenance/reencryption/reencryption.ts';
import { dynamoDbClient } from '../metastore/dynamodb-client.ts';
import type { DynamoDbMetastoreOptions } from '../metastore/dynamodb-options.ts';

/**
 * A DynamoDB table for the rows that runs could not process. Its primary key is `Run` and `Row`, so it contains each
 * row of a run only once.
 */
export class DynamoDbQuarantine {
  readonly #tableName: string;
  readonly #client: DynamoDBClient;

  constructor(options: DynamoDbMetastoreOptions) {
    const { tableName, client } = dynamoDbClient(options);
    this.#tableName = tableName;
    this.#client = client;
  }

  /** @throws SourceFault if the table fails */
  async add(run: string, { row, code }: QuarantinedRow): Promise<void> {
    // The sort key is a hash, because a row's key can be longer than DynamoDB allows for a sort key.
    const Row = { S: createHash('sha256').update(row).digest('hex') };
    const Item = { Run: { S: run }, Row, Key: { S: row }, Code: { S: code } };
    try {
      await this.#client.send(new PutItemCommand({ TableName: this.#tableName, Item }));
    } catch (error) {
      throw new SourceFault(`The table ${this.#tableName} fails: ${faultText(callFaultOf(error))}`, mayPass(error));
    }
  }
}
