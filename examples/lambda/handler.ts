/** A Lambda function that stores sealed card numbers in a DynamoDB table. */
import { DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { keyfold } from '../keyfold.ts';

interface Customer {
  readonly tenant: string;
  readonly id: string;
}

/** Stores a card if the event has one, and otherwise reads it. */
export type CardEvent = Customer & { readonly card?: string };

const TableName = 'Customers';
const dynamoDb = new DynamoDBClient();

export async function handler({ tenant, id, card }: CardEvent): Promise<{ card: string | undefined }> {
  // The context binds a card to its row. If someone copies a card to another row, it does not open there.
  const session = keyfold.session(tenant).withContext({ table: TableName, id });
  const Key = { tenant: { S: tenant }, id: { S: id } };
  if (card !== undefined) {
    const Item = { ...Key, card: { S: await session.encryptText(card) } };
    await dynamoDb.send(new PutItemCommand({ TableName, Item }));
    return { card };
  }
  const { Item } = await dynamoDb.send(new GetItemCommand({ TableName, Key }));
  return { card: Item?.['card']?.S && (await session.decryptText(Item['card'].S)) };
}
