/** An HTTP service that seals two fields of each customer before it stores the customer in DynamoDB. */
import { DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import Fastify, { type FastifyInstance } from 'fastify';
import { decryptFields, encryptFields, KeyfoldError } from 'keyfold';
import { keyfold } from '../keyfold.ts';

const TableName = 'Customers';
const FIELDS = ['$.card', '$.iban'];
const dynamoDb = new DynamoDBClient();

interface Customer {
  Params: { id: string };
  Body: object;
}

/** Makes the service. The caller starts it with `listen`. */
export function createServer(): FastifyInstance {
  const server = Fastify();

  server.put<Customer>('/customers/:id', { schema: { body: { type: 'object' } } }, async (request, reply) => {
    const tenant = tenantOf(request.headers);
    const { id } = request.params;
    const binding = { fields: FIELDS, allowMissing: true, context: { table: TableName, id } };
    const sealed = await encryptFields(keyfold.session(tenant), { document: request.body, ...binding });
    const Item = { tenant: { S: tenant }, id: { S: id }, customer: { S: JSON.stringify(sealed) } };
    await dynamoDb.send(new PutItemCommand({ TableName, Item }));
    return reply.code(204).send();
  });

  server.get<Customer>('/customers/:id', async (request, reply) => {
    const tenant = tenantOf(request.headers);
    const { id } = request.params;
    const Key = { tenant: { S: tenant }, id: { S: id } };
    const { Item } = await dynamoDb.send(new GetItemCommand({ TableName, Key }));
    if (Item?.['customer']?.S === undefined) return reply.code(404).send({ error: 'NotFound' });
    const sealed = JSON.parse(Item['customer'].S) as object;
    const binding = { fields: FIELDS, allowMissing: true, context: { table: TableName, id } };
    return decryptFields(keyfold.session(tenant), { document: sealed, ...binding });
  });

  // Respond with 503 to a temporary failure, so that callers try again. The error code says what failed, and contains
  // no data.
  server.setErrorHandler((error, _request, reply) => {
    if (!(error instanceof KeyfoldError)) return reply.send(error);
    return reply.code(error.retryable ? 503 : 500).send({ error: error.code });
  });
  return server;
}

/** In a real service, take the tenant from a verified token, never from a header that callers choose. */
function tenantOf(headers: Readonly<Record<string, unknown>>): string {
  const { 'x-tenant': tenant } = headers;
  if (typeof tenant !== 'string') throw Object.assign(new Error('x-tenant is missing'), { statusCode: 401 });
  return tenant;
}
