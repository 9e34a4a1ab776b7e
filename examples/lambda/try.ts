/** `npm start` runs the function: it stores a card, shows what the table holds, and reads the card. */
import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
import { createTable } from '../table.ts';
import { handler } from './handler.ts';

const dynamoDb = new DynamoDBClient();
const ada = { tenant: 'tenant-1', id: 'ada' };
await createTable(dynamoDb, 'Customers');

await handler({ ...ada, card: '4111 1111 1111 1111' });
const Key = { tenant: { S: ada.tenant }, id: { S: ada.id } };
const { Item } = await dynamoDb.send(new GetItemCommand({ TableName: 'Customers', Key }));
console.log('stored:', Item?.['card']?.S);
console.log('read:', await handler(ada));
