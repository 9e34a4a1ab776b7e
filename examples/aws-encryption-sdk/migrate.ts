/**
 * Moves the cards of a table from the AWS Encryption SDK to Keyfold. You can stop it and run it again, while other
 * programs read and write the table.
 */
import { isUtf8 } from 'node:buffer';
import { buildDecrypt, KmsKeyringNode } from '@aws-crypto/client-node';
import { paginateScan, UpdateItemCommand, type AttributeValue, type DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { keyfold } from '../keyfold.ts';

const { AWS_ACCOUNT_ID = '111122223333' } = process.env;
const { decrypt } = buildDecrypt();
// Opens only messages that were encrypted under KMS keys in this account.
const keyring = new KmsKeyringNode({
  discovery: true,
  discoveryFilter: { partition: 'aws', accountIDs: [AWS_ACCOUNT_ID] },
});

/**
 * Moves every row whose card is binary. A card that Keyfold has sealed is a string. Returns the number of moved rows.
 */
export async function migrate(client: DynamoDBClient, table: string): Promise<number> {
  const input = {
    TableName: table,
    FilterExpression: 'attribute_type(card, :bytes)',
    ExpressionAttributeValues: { ':bytes': { S: 'B' } },
  };
  let moved = 0;
  for await (const { Items: rows = [] } of paginateScan({ client }, input)) {
    for (const { tenant, id, card } of rows) {
      if (await moveRow(client, table, tenant?.S ?? '', id?.S ?? '', card?.B ?? new Uint8Array())) moved += 1;
    }
  }
  return moved;
}

/** Moves one row. Returns false if another program has changed the card since it was read. */
async function moveRow(
  client: DynamoDBClient,
  table: string,
  tenant: string,
  id: string,
  card: Uint8Array,
): Promise<boolean> {
  const { plaintext, messageHeader } = await decrypt(keyring, card);
  // The SDK's callers must check the encryption context. Check the same entries here as in your program.
  if (messageHeader.encryptionContext['tenant'] !== tenant) throw new Error(`The card of ${id} is of another tenant.`);
  // Text cannot represent all bytes. Seal bytes with session.encrypt() instead.
  if (!isUtf8(plaintext)) throw new Error(`The card of ${id} is no text.`);
  const session = keyfold.session(tenant).withContext({ table, id });
  const sealed: AttributeValue = { S: await session.encryptText(plaintext.toString()) };
  plaintext.fill(0);
  const update = new UpdateItemCommand({
    TableName: table,
    Key: { tenant: { S: tenant }, id: { S: id } },
    UpdateExpression: 'SET card = :sealed',
    // A card that was written since the scan stays as it is. The next run moves it.
    ConditionExpression: 'card = :card',
    ExpressionAttributeValues: { ':sealed': sealed, ':card': { B: card } },
  });
  try {
    await client.send(update);
    return true;
  } catch (error) {
    if (error instanceof Error && error.name === 'ConditionalCheckFailedException') return false;
    throw error;
  }
}
