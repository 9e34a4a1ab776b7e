import { createHash, randomUUID } from 'node:crypto';
import type { Content } from './message.ts';
import { checkAttributes, numberOf, redrivePolicyOf, type QueueAttributes } from './queue-attributes.ts';
import { invalid, SqsError } from './sqs-error.ts';

/** A message in a queue. */
export interface Message extends Content {
  readonly messageId: string;
  readonly sentAtMs: number;
  readonly sequenceNumber: string | undefined;
  firstReceivedAtMs: number | undefined;
  receiveCount: number;
  /** Until when it is not handed out. */
  hiddenUntilMs: number;
  /** Of the last time that it was handed out. */
  receiptHandle: string | undefined;
  /** The ARN of the queue that it was redriven from. */
  deadLetterSourceArn: string | undefined;
}

const DEDUPLICATION_MS = 5 * 60_000;
/** The form of a receipt handle. */
const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/;

/** A standard or a FIFO queue. Of a group nothing is handed out while anything of it is in flight. */
export class Queue {
  readonly name: string;
  readonly arn: string;
  readonly createdSeconds = Math.floor(Date.now() / 1000);
  readonly isFifo: boolean;
  readonly #deadLetters: (arn: string) => Queue | undefined;
  /** By id, in the order in which they were sent. */
  readonly #messages = new Map<string, Message>();
  readonly #byHandle = new Map<string, Message>();
  /** Of a FIFO queue, by deduplication id: what was sent in the last five minutes, though it may be gone. */
  readonly #sent = new Map<string, Message>();
  #sequence = 10n ** 19n;
  #attributes: QueueAttributes = {};
  #modifiedSeconds = this.createdSeconds;

  /** @throws SqsError for attributes that SQS would not take */
  constructor(name: string, arn: string, attributes: QueueAttributes, find: (arn: string) => Queue | undefined) {
    this.name = name;
    this.arn = arn;
    this.isFifo = name.endsWith('.fifo');
    this.#deadLetters = find;
    this.setAttributes(attributes);
  }

  /** Those that were given, without defaults. */
  get attributes(): QueueAttributes {
    return this.#attributes;
  }

  get modifiedSeconds(): number {
    return this.#modifiedSeconds;
  }

  /** The largest message that it takes. */
  get mostBytes(): number {
    return numberOf(this.#attributes, 'MaximumMessageSize');
  }

  /** Changes those that are given. @throws SqsError for what SQS would not take; then none is changed */
  setAttributes(attributes: QueueAttributes): void {
    checkAttributes(attributes, this.isFifo);
    const policy = redrivePolicyOf(attributes);
    if (policy !== undefined) {
      const target = this.#deadLetters(policy.deadLetterTargetArn);
      if (target === undefined) throw invalid('The RedrivePolicy is invalid: the dead-letter target does not exist.');
      if (target.isFifo !== this.isFifo)
        throw invalid('The RedrivePolicy is invalid: the dead-letter queue must be of the same type.');
    }
    this.#attributes = { ...this.#attributes, ...attributes };
    this.#modifiedSeconds = Math.floor(Date.now() / 1000);
  }

  /** Takes a message in, or, within five minutes, the first of the same deduplication id in its place. */
  send(content: Content): Message {
    const deduplicationId = this.#deduplicationIdOf(content);
    const nowMs = Date.now();
    const first = deduplicationId === undefined ? undefined : this.#sent.get(deduplicationId);
    if (first !== undefined && nowMs - first.sentAtMs < DEDUPLICATION_MS) return first;
    const delaySeconds = content.delaySeconds ?? numberOf(this.#attributes, 'DelaySeconds');
    const message: Message = {
      ...content,
      deduplicationId,
      messageId: randomUUID(),
      sentAtMs: nowMs,
      sequenceNumber: this.isFifo ? String((this.#sequence += 1n)) : undefined,
      firstReceivedAtMs: undefined,
      receiveCount: 0,
      hiddenUntilMs: nowMs + delaySeconds * 1000,
      receiptHandle: undefined,
      deadLetterSourceArn: undefined,
    };
    this.#messages.set(message.messageId, message);
    if (deduplicationId !== undefined) this.#sent.set(deduplicationId, message);
    return message;
  }

  /** Hands out what there is, at most so many, and hides it. What has come too often goes to the dead-letter queue instead. */
  receive(most: number, visibilitySeconds = numberOf(this.#attributes, 'VisibilityTimeout')): Message[] {
    const nowMs = Date.now();
    this.#expire(nowMs);
    const policy = redrivePolicyOf(this.#attributes);
    const deadLetters = policy && this.#deadLetters(policy.deadLetterTargetArn);
    const held = this.#groupsInFlight(nowMs);
    const received: Message[] = [];
    for (const message of this.#messages.values()) {
      if (received.length === most) break;
      if (message.hiddenUntilMs > nowMs || (this.isFifo && held.has(message.groupId))) continue;
      if (policy && deadLetters && message.receiveCount >= policy.maxReceiveCount) {
        this.#remove(message);
        message.deadLetterSourceArn = this.arn;
        deadLetters.#messages.set(message.messageId, message);
        continue;
      }
      message.receiveCount += 1;
      message.firstReceivedAtMs ??= nowMs;
      message.hiddenUntilMs = nowMs + visibilitySeconds * 1000;
      message.receiptHandle = randomUUID();
      this.#byHandle.set(message.receiptHandle, message);
      received.push(message);
    }
    return received;
  }

  /** Deletes what was handed out under that handle; nothing where it is gone. */
  delete(receiptHandle: string): void {
    if (!UUID.test(receiptHandle)) throw invalidHandle();
    const message = this.#byHandle.get(receiptHandle);
    if (message === undefined) return;
    if (this.isFifo && !isInFlight(message, receiptHandle)) throw invalid('The receipt handle has expired.');
    this.#remove(message);
  }

  /** Hides what is in flight from now on for so long. */
  changeVisibility(receiptHandle: string, seconds: number): void {
    const message = this.#byHandle.get(receiptHandle);
    if (message === undefined) throw invalidHandle();
    if (!isInFlight(message, receiptHandle)) throw new SqsError('MessageNotInflight', 'The message is not in flight.');
    message.hiddenUntilMs = Date.now() + seconds * 1000;
  }

  /** How many there are to be handed out, in flight, and not yet sent. */
  counts(): { visible: number; inFlight: number; delayed: number } {
    const nowMs = Date.now();
    this.#expire(nowMs);
    const hidden = [...this.#messages.values()].filter(({ hiddenUntilMs }) => hiddenUntilMs > nowMs);
    const delayed = hidden.filter(({ receiptHandle }) => receiptHandle === undefined).length;
    return { visible: this.#messages.size - hidden.length, inFlight: hidden.length - delayed, delayed };
  }

  #deduplicationIdOf(content: Content): string | undefined {
    if (!this.isFifo) return undefined;
    if (content.groupId === undefined) {
      throw new SqsError('MissingParameter', 'The request must contain the parameter MessageGroupId.');
    }
    const ofContent = this.#attributes['ContentBasedDeduplication'] === 'true' ? bodySha256(content) : undefined;
    const id = content.deduplicationId ?? ofContent;
    if (id !== undefined) return id;
    throw invalid('The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided.');
  }

  #groupsInFlight(nowMs: number): Set<string | undefined> {
    if (!this.isFifo) return new Set();
    const all = [...this.#messages.values()];
    return new Set(all.filter(({ hiddenUntilMs }) => hiddenUntilMs > nowMs).map(({ groupId }) => groupId));
  }

  /** Forgets what is older than the queue keeps messages. */
  #expire(nowMs: number): void {
    const oldestMs = nowMs - numberOf(this.#attributes, 'MessageRetentionPeriod') * 1000;
    for (const message of this.#messages.values()) if (message.sentAtMs < oldestMs) this.#remove(message);
  }

  #remove(message: Message): void {
    this.#messages.delete(message.messageId);
    if (message.receiptHandle !== undefined) this.#byHandle.delete(message.receiptHandle);
  }
}

function isInFlight(message: Message, receiptHandle: string): boolean {
  return message.receiptHandle === receiptHandle && message.hiddenUntilMs > Date.now();
}

function invalidHandle(): SqsError {
  return new SqsError('ReceiptHandleIsInvalid', 'The input receipt handle is invalid.');
}

/** What a queue with content-based deduplication tells messages apart by. */
function bodySha256({ body }: Content): string {
  return createHash('sha256').update(body).digest('hex');
}
