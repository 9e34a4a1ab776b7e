import {
  ChangeMessageVisibilityBatchCommand,
  GetQueueUrlCommand,
  SendMessageBatchCommand,
  SQSClient,
  SQSServiceException,
} from '@aws-sdk/client-sqs';
import { keptConnections } from '../connections/agents.ts';
import { foundCredentials } from '../connections/found-credentials.ts';
import { retriesOf } from '../connections/retries.ts';
import { Semaphore } from '../async/semaphore.ts';
import { errorNameOf } from '../errors.ts';
import { MAX_CALL_ENTRIES, type OutgoingMessage } from './message.ts';
import type { VisibilityChange, Queues, SendFault } from './queues.ts';

const MAX_ATTEMPTS = 3;
const CONNECTION_TIMEOUT_MS = 1000;
const REQUEST_TIMEOUT_MS = 5000;
/**
 * How long a response may take after a freeze. SQS usually responds within tens of milliseconds, but a process on a
 * busy machine may need longer.
 */
const ANSWER_AFTER_FREEZE_MS = 1000;
/** Limit of concurrent calls that change the visibility of messages. */
const MAX_CONCURRENT_CALLS = 10;

/** Options of {@link SqsQueues}. */
export interface SqsQueuesOptions {
  /**
   * Whether each call goes to the host of the queue's URL, such as a VPC endpoint. If false, the SDK chooses the
   * endpoint, which is a FIPS or dual-stack endpoint if the environment asks for one. The queue URLs that SQS returns
   * contain neither kind of endpoint.
   */
  readonly useQueueUrlAsEndpoint: boolean;
}

/** Queues of Amazon SQS. The SDK's standard retry mode retries throttling, 5xx statuses and network errors. */
export class SqsQueues implements Queues {
  readonly #client: SQSClient;
  /** Queue URLs keyed by ARN, because an SQS event contains only the queue's ARN. */
  readonly #urls = new Map<string, Promise<string>>();

  constructor({ useQueueUrlAsEndpoint }: SqsQueuesOptions = { useQueueUrlAsEndpoint: true }) {
    this.#client = new SQSClient({
      credentials: foundCredentials(),
      useQueueUrlAsEndpoint,
      maxAttempts: MAX_ATTEMPTS,
      retryStrategy: retriesOf(MAX_ATTEMPTS),
      // Do not compare checksums. A result that is sent again has a new ciphertext, but a FIFO queue returns the
      // checksum of the first message.
      md5: false,
      requestHandler: {
        connectionTimeout: CONNECTION_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        throwOnRequestTimeout: true,
        socketTimeout: REQUEST_TIMEOUT_MS,
        ...keptConnections({ answerWithinMs: ANSWER_AFTER_FREEZE_MS }),
      },
    });
  }

  async send(
    queueUrl: string,
    messages: readonly OutgoingMessage[],
    signal: AbortSignal,
  ): Promise<readonly (SendFault | undefined)[]> {
    const command = new SendMessageBatchCommand({
      QueueUrl: queueUrl,
      Entries: messages.map(({ body, attributes, groupId, deduplicationId }, i) => ({
        Id: String(i),
        MessageBody: body,
        MessageAttributes: attributes,
        MessageGroupId: groupId,
        MessageDeduplicationId: deduplicationId,
      })),
    });
    try {
      const { Successful = [], Failed = [] } = await this.#client.send(command, { abortSignal: signal });
      const sent = new Set(Successful.map(({ Id }) => Id));
      const faults = new Map(
        Failed.map(({ Id, Code = 'unknown', SenderFault }) => [Id, faultOf(Code, SenderFault !== true)]),
      );
      // A message that the response does not list counts as not sent.
      return messages.map((_, i) =>
        sent.has(String(i)) ? undefined : (faults.get(String(i)) ?? faultOf('NoAnswer', true)),
      );
    } catch (error) {
      // One invalid message can make SQS reject the whole call, so send each message separately.
      if (messages.length > 1 && isRefusal(error)) {
        return (await Promise.all(messages.map((message) => this.send(queueUrl, [message], signal)))).flat();
      }
      return messages.map(() => faultOf(errorNameOf(error), false));
    }
  }

  async changeVisibility(
    queueArn: string,
    messages: readonly VisibilityChange[],
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    try {
      const queueUrl = await this.#urlOf(queueArn, signal);
      const semaphore = new Semaphore(MAX_CONCURRENT_CALLS);
      const calls = Array.from({ length: Math.ceil(messages.length / MAX_CALL_ENTRIES) }, (_, i) => {
        const some = messages.slice(i * MAX_CALL_ENTRIES, (i + 1) * MAX_CALL_ENTRIES);
        return semaphore.run(() => this.#changeBatch(queueUrl, some, signal));
      });
      return (await Promise.all(calls)).flat();
    } catch (error) {
      return messages.map(() => errorNameOf(error));
    }
  }

  async #changeBatch(queueUrl: string, messages: readonly VisibilityChange[], signal: AbortSignal): Promise<string[]> {
    const command = new ChangeMessageVisibilityBatchCommand({
      QueueUrl: queueUrl,
      Entries: messages.map(({ receiptHandle, delaySeconds }, i) => ({
        Id: String(i),
        ReceiptHandle: receiptHandle,
        VisibilityTimeout: delaySeconds,
      })),
    });
    try {
      const { Failed = [] } = await this.#client.send(command, { abortSignal: signal });
      return Failed.map(({ Code = 'unknown' }) => Code);
    } catch (error) {
      return messages.map(() => errorNameOf(error));
    }
  }

  #urlOf(queueArn: string, signal: AbortSignal): Promise<string> {
    const known = this.#urls.get(queueArn);
    if (known !== undefined) return known;
    const [, , , , account, name] = queueArn.split(':');
    const command = new GetQueueUrlCommand({ QueueName: name, QueueOwnerAWSAccountId: account });
    const asked = this.#client.send(command, { abortSignal: signal }).then(({ QueueUrl = '' }) => QueueUrl);
    this.#urls.set(queueArn, asked);
    asked.catch(() => this.#urls.delete(queueArn));
    return asked;
  }
}

/** Matches SQS's errors for a message's length, characters or attributes, with or without a prefix or a suffix. */
const CONTENT =
  /\b(?:BatchRequestTooLong|MessageTooLong|InvalidMessageContents|InvalidParameterValue|InvalidAttributeValue)/;

function faultOf(errorName: string, isTransient: boolean): SendFault {
  return CONTENT.test(errorName) ? { errorName, isTransient, refusesContent: true } : { errorName, isTransient };
}

/** Whether SQS rejected a call because of its content. Throttling is not such a rejection. */
function isRefusal(error: unknown): boolean {
  return error instanceof SQSServiceException && error.$fault === 'client' && !/throttl/i.test(error.name);
}
