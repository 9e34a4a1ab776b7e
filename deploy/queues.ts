import { queueNamesOf, stackOf, type Deployment } from './deployment.ts';
import { KEPT } from './logs.ts';

/** Resources of a CloudFormation template, keyed by logical name. */
export type Resources = Record<string, { Type: string; Properties: Record<string, unknown> } & Record<string, unknown>>;

/**
 * The number of receives after which a message becomes a dead letter. Retry delays grow to a random value between 7.5
 * and 15 minutes. A hundred of them take 17.5 hours on average, so an outage of 16 hours produces no dead letters.
 */
const MAX_RECEIVE_COUNT = 100;
/** The queue's visibility timeout is this many times the function's timeout, as Lambda recommends. */
const VISIBILITY_PER_TIMEOUT = 6;
/** The function that handles the queue, in the form that osls expects. Empty if the deployment has no queue. */
export function queueFunctions(deployment: Deployment, vpc: object | false): Record<string, object> {
  const { queue, prefix, functions } = deployment;
  if (queue.kind === 'none') return {};
  return {
    queue: {
      name: `${prefix}-queue`,
      handler: 'dist/handlers/queue/index.handler',
      role: { 'Fn::ImportValue': `${stackOf(deployment, 'roles')}-QueueRoleArn` },
      package: { patterns: ['dist/handlers/queue/**'] },
      memorySize: functions.queue.memoryMb,
      timeout: functions.queue.timeoutSeconds,
      vpc,
      environment: {
        KEYFOLD_OUTPUT_QUEUE_URL: { Ref: 'OutputQueue' },
        KEYFOLD_DEAD_LETTER_QUEUE_URL: { Ref: 'DeadLetterQueue' },
        ...queueEnvironmentOf(deployment),
      },
      events: [
        {
          sqs: {
            arn: { 'Fn::GetAtt': ['InputQueue', 'Arn'] },
            batchSize: queue.batchSize,
            // Lambda requires a batching window for batches of more than ten messages.
            ...(queue.batchSize > 10 && { maximumBatchingWindow: 1 }),
            functionResponseType: 'ReportBatchItemFailures',
            maximumConcurrency: queue.maximumConcurrency,
          },
        },
      ],
    },
  };
}

/** The settings of the queue's function, without the URLs of the queues. */
export function queueEnvironmentOf({ queue }: Deployment): Record<string, string> {
  return {
    ...(queue.fields !== undefined && { KEYFOLD_FIELDS: JSON.stringify(queue.fields) }),
    ...(queue.operations !== undefined && { KEYFOLD_OPERATIONS: queue.operations.join(',') }),
  };
}

/** The three queues of a region. They are encrypted, and accept only TLS. Empty if the deployment has no queue. */
export function queueResources(deployment: Deployment): Resources {
  const names = queueNamesOf(deployment);
  if (names === undefined) return {};
  const { queue, functions, classification } = deployment;
  const queueOf = (name: string, properties: object): Resources[string] => ({
    Type: 'AWS::SQS::Queue',
    ...KEPT,
    Properties: {
      QueueName: name,
      ...(queue.kind === 'fifo' && { FifoQueue: true }),
      SqsManagedSseEnabled: true,
      MessageRetentionPeriod: queue.retentionDays * 86_400,
      Tags: [{ Key: 'Classification', Value: classification }],
      ...properties,
    },
  });
  return {
    InputQueue: queueOf(names.input, {
      VisibilityTimeout: VISIBILITY_PER_TIMEOUT * functions.queue.timeoutSeconds,
      RedrivePolicy: {
        deadLetterTargetArn: { 'Fn::GetAtt': ['DeadLetterQueue', 'Arn'] },
        maxReceiveCount: MAX_RECEIVE_COUNT,
      },
    }),
    OutputQueue: queueOf(names.output, {}),
    DeadLetterQueue: queueOf(names.deadLetters, {
      // In a standard queue, SQS counts a message's retention from the time when the message was first sent. So a
      // dead-letter queue needs a longer retention than its source queue.
      MessageRetentionPeriod: 14 * 86_400,
      RedriveAllowPolicy: {
        redrivePermission: 'byQueue',
        sourceQueueArns: [
          { 'Fn::Sub': `arn:\${AWS::Partition}:sqs:\${AWS::Region}:\${AWS::AccountId}:${names.input}` },
        ],
      },
    }),
    ...Object.fromEntries(
      ['InputQueue', 'OutputQueue', 'DeadLetterQueue'].map((queueId) => [`${queueId}Policy`, tlsPolicyOf(queueId)]),
    ),
  };
}

function tlsPolicyOf(queueId: string): Resources[string] {
  return {
    Type: 'AWS::SQS::QueuePolicy',
    Properties: {
      Queues: [{ Ref: queueId }],
      PolicyDocument: {
        Version: '2012-10-17',
        Statement: [
          {
            Sid: 'NobodyWithoutTls',
            Effect: 'Deny',
            Principal: '*',
            Action: 'sqs:*',
            Resource: { 'Fn::GetAtt': [queueId, 'Arn'] },
            Condition: { Bool: { 'aws:SecureTransport': 'false' } },
          },
        ],
      },
    },
  };
}
