/** `npm start` runs the pipeline: it sends an order, waits until the consumer has stored it, and opens its card. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
import { GetQueueUrlCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { KeyfoldClient } from 'keyfold/client';
import { LambdaTransport } from 'keyfold/client/lambda';
import { startEventSource } from '../../local/event-source.ts';
import { createTable } from '../table.ts';
import { handler } from './consumer.ts';

const { AWS_ENDPOINT_URL_SQS: endpoint = '' } = process.env;
const dynamoDb = new DynamoDBClient();
const sqs = new SQSClient();
await createTable(dynamoDb, 'Orders');

// Act as the sender. The consumer needs the attributes, because Keyfold's result does not name the partition.
const context = { table: 'Orders', id: '7' };
const order = { total: 12.5, card: '4111 1111 1111 1111' };
const input = await sqs.send(new GetQueueUrlCommand({ QueueName: 'keyfold-input' }));
await sqs.send(
  new SendMessageCommand({
    QueueUrl: input.QueueUrl,
    MessageBody: JSON.stringify({ partition: 'tenant-1', document: order, fields: ['$.card'], context }),
    MessageAttributes: {
      tenant: { DataType: 'String', StringValue: 'tenant-1' },
      id: { DataType: 'String', StringValue: '7' },
    },
  }),
);

// Poll Keyfold's output queue and invoke the consumer, as Lambda does on AWS.
const output = await sqs.send(new GetQueueUrlCommand({ QueueName: 'keyfold-output' }));
const queueArn = 'arn:aws:sqs:us-west-2:111122223333:keyfold-output';
const source = startEventSource({ endpoint, queueUrl: output.QueueUrl ?? '', queueArn, invoke: handler });

let stored: string | undefined;
while (stored === undefined) {
  const Key = { tenant: { S: 'tenant-1' }, id: { S: '7' } };
  const { Item } = await dynamoDb.send(new GetItemCommand({ TableName: 'Orders', Key }));
  stored = Item?.['order']?.S;
  await sleep(100);
}
await source.stop();
console.log('stored:', stored);

// Act as a reader that may invoke keyfold-open.
const functions = { seal: 'keyfold-seal', open: 'keyfold-open' };
const tenant = new KeyfoldClient({ lambda: new LambdaTransport({ functions }) }).partition('tenant-1');
const document = JSON.parse(stored) as object;
console.log('opened:', await tenant.decryptFields({ document, fields: ['$.card'], context }));
