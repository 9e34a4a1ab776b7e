/** `npm start` runs the service: it puts a customer, shows what the table holds, and gets the customer. */
import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
import { createTable } from '../table.ts';
import { createServer } from './server.ts';

const dynamoDb = new DynamoDBClient();
await createTable(dynamoDb, 'Customers');
const server = createServer();
const customer = `${await server.listen({ host: '127.0.0.1', port: 0 })}/customers/grace`;

const headers = { 'x-tenant': 'tenant-1', 'content-type': 'application/json' };
const body = JSON.stringify({ name: 'Grace', card: '4111 1111 1111 1111' });
await fetch(customer, { method: 'PUT', headers, body });

const Key = { tenant: { S: 'tenant-1' }, id: { S: 'grace' } };
const { Item } = await dynamoDb.send(new GetItemCommand({ TableName: 'Customers', Key }));
console.log('stored:', Item?.['customer']?.S);
console.log('got:', await (await fetch(customer, { headers })).text());
const strangers = await fetch(customer, { headers: { ...headers, 'x-tenant': 'tenant-2' } });
console.log('as another tenant:', strangers.status);
await server.close();
