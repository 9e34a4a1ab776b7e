import { GetQueueAttributesCommand, ReceiveMessageCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { expect, it } from 'vitest';
import { startQueues } from '../../../local/queues.ts';

it('a message in the local input queue moves to the dead-letter queue after 100 attempts', async () => {
  const queues = await startQueues(0);
  const client = new SQSClient({ endpoint: queues.endpoint, region: 'us-west-2' });
  const urlOf = (name: string): string => queues.environment['KEYFOLD_OUTPUT_QUEUE_URL']?.replace(/[^/]+$/, name) ?? '';
  const receive = async (QueueUrl: string): Promise<(string | undefined)[]> => {
    const { Messages = [] } = await client.send(new ReceiveMessageCommand({ QueueUrl, VisibilityTimeout: 0 }));
    return Messages.map(({ Body }) => Body);
  };
  const QueueUrl = urlOf(queues.input);
  const AttributeNames = ['VisibilityTimeout' as const, 'RedrivePolicy' as const];
  const { Attributes } = await client.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames }));
  expect(Attributes).toEqual({
    VisibilityTimeout: '180',
    RedrivePolicy:
      '{"maxReceiveCount":100,"deadLetterTargetArn":"arn:aws:sqs:us-west-2:111122223333:keyfold-dead-letters"}',
  });
  expect(queues).toMatchObject({
    names: ['keyfold-input', 'keyfold-output', 'keyfold-dead-letters'],
    input: 'keyfold-input',
    environment: {
      AWS_ENDPOINT_URL_SQS: queues.endpoint,
      KEYFOLD_OUTPUT_QUEUE_URL: `${queues.endpoint}/111122223333/keyfold-output`,
      KEYFOLD_DEAD_LETTER_QUEUE_URL: `${queues.endpoint}/111122223333/keyfold-dead-letters`,
      KEYFOLD_OPERATIONS: 'encrypt-fields,decrypt-fields',
    },
  });
  await client.send(new SendMessageCommand({ QueueUrl: urlOf(queues.input), MessageBody: 'x' }));
  for (let i = 0; i < 100; i += 1) expect(await receive(urlOf(queues.input))).toEqual(['x']);
  expect(await receive(urlOf(queues.input))).toEqual([]);
  const received = await Promise.all(queues.names.map((name) => receive(urlOf(name))));
  expect(received).toEqual([[], [], ['x']]);
  client.destroy();
  await queues.close();
});
