/** A Lambda function on Keyfold's output queue. It stores each order, whose card Keyfold has sealed, in DynamoDB. */
import { ConditionalCheckFailedException, DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import type { SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';

const TableName = 'Orders';
const dynamoDb = new DynamoDBClient();

/**
 * The event source mapping must set `ReportBatchItemFailures`. Then only the messages that failed return to the queue.
 */
export async function handler({ Records }: SQSEvent): Promise<SQSBatchResponse> {
  const outcomes = await Promise.allSettled(Records.map(store));
  const failed = Records.filter((_, i) => outcomes[i]?.status === 'rejected');
  return { batchItemFailures: failed.map(({ messageId }) => ({ itemIdentifier: messageId })) };
}

async function store({ body, messageAttributes }: SQSRecord): Promise<void> {
  const { document } = JSON.parse(body) as { readonly document: object };
  // Keyfold passes on the attributes of the sender's message.
  const { tenant, id } = messageAttributes;
  const Item = {
    tenant: { S: tenant?.stringValue ?? '' },
    id: { S: id?.stringValue ?? '' },
    order: { S: JSON.stringify(document) },
  };
  // A queue may deliver a message twice. The second delivery changes nothing.
  const put = new PutItemCommand({ TableName, Item, ConditionExpression: 'attribute_not_exists(id)' });
  await dynamoDb.send(put).catch((error: unknown) => {
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
  });
}
