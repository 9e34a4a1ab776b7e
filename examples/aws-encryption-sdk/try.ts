/** `npm start` writes cards with the AWS Encryption SDK, moves them to Keyfold, and reads one. */
import { buildEncrypt, KmsKeyringNode } from '@aws-crypto/client-node';
import { DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { keyfold } from '../keyfold.ts';
import { createTable } from '../table.ts';
import { migrate } from './migrate.ts';

const TableName = 'Former';
const client = new DynamoDBClient();
await createTable(client, TableName);

const { AWS_REGION = 'us-west-2', KMS_KEYS = '{}' } = process.env;
const { [AWS_REGION]: generatorKeyId = '' } = JSON.parse(KMS_KEYS) as Record<string, string>;
const keyring = new KmsKeyringNode({ generatorKeyId });
const { encrypt } = buildEncrypt();
for (const id of ['ada', 'grace']) {
  const { result } = await encrypt(keyring, '4111 1111 1111 1111', { encryptionContext: { tenant: 'tenant-1' } });
  const Item = { tenant: { S: 'tenant-1' }, id: { S: id }, card: { B: result } };
  await client.send(new PutItemCommand({ TableName, Item }));
}

console.log('moved:', await migrate(client, TableName));
console.log('moved by a second run:', await migrate(client, TableName));

const Key = { tenant: { S: 'tenant-1' }, id: { S: 'ada' } };
const { Item } = await client.send(new GetItemCommand({ TableName, Key }));
const card = Item?.['card']?.S ?? '';
console.log('stored:', card);
const session = keyfold.session('tenant-1').withContext({ table: TableName, id: 'ada' });
console.log('read:', await session.decryptText(card));
