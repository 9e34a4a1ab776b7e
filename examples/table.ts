/** Creates the table that an example writes to. On AWS your own template does that. */
import {
  CreateTableCommand,
  ResourceInUseException,
  waitUntilTableExists,
  type DynamoDBClient,
} from '@aws-sdk/client-dynamodb';

/** Creates a table with the keys `tenant` and `id`, unless it exists. */
export async function createTable(client: DynamoDBClient, TableName: string): Promise<void> {
  const table = {
    TableName,
    AttributeDefinitions: [
      { AttributeName: 'tenant', AttributeType: 'S' as const },
      { AttributeName: 'id', AttributeType: 'S' as const },
    ],
    KeySchema: [
      { AttributeName: 'tenant', KeyType: 'HASH' as const },
      { AttributeName: 'id', KeyType: 'RANGE' as const },
    ],
    BillingMode: 'PAY_PER_REQUEST' as const,
  };
  await client.send(new CreateTableCommand(table)).catch((error: unknown) => {
    if (!(error instanceof ResourceInUseException)) throw error;
  });
  await waitUntilTableExists({ client, minDelay: 1, maxWaitTime: 60 }, { TableName });
}
