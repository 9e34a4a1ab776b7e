import { randomUUID } from 'node:crypto';
import { bodyMd5, type Content } from './message.ts';
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
}

/** What a queue is created with, as SQS names it; all are strings. */
export type QueueAttributes = Readonly<Record<string, string>>;

const DEDUPLICATION_MS = 5 * 60_000;

/** A standard or a FIFO queue. Of a group nothing is handed out while anything of it is in flight. */
export class Queue {
  readonly name: string;
  readonly arn: string;
  readonly attributes: QueueAttributes;
  readonly isFifo: boolean;
  readonly #deadLetters: (arn: string) => Queue | undefined;
  /** By id, in the order in which they were sent. */
  readonly #messages = new Map<string, Message>();
  readonly #byHandle = new Map<string, Message>();
  /** Of a FIFO queue, by deduplication id: what was sent in the last five minutes, though it may be gone. */
  readonly #sent = new Map<string, Message>();
  #sequence = 10n ** 19n;

  constructor(name: string, arn: string, attributes: QueueAttributes, find: (arn: string) => Queue | undefined) {
    this.name = name;
    this.arn = arn;
    this.attributes = attributes;
    this.isFifo = name.endsWith('.fifo');
    this.#deadLetters = find;
  }

  /** Takes a message in, or, within five minutes, the first of the same deduplication id in its place. */
  send(content: Content): Message {
    const deduplicationId = this.#deduplicationIdOf(content);
    const nowMs = Date.now();
    const first = deduplicationId === undefined ? undefined : this.#sent.get(deduplicationId);
    if (first !== undefined && nowMs - first.sentAtMs < DEDUPLICATION_MS) return first;
    const delaySeconds = content.delaySeconds ?? Number(this.attributes['DelaySeconds'] ?? 0);
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
    };
    this.#messages.set(message.messageId, message);
    if (deduplicationId !== undefined) this.#sent.set(deduplicationId, message);
    return message;
  }

  /** Hands out what there is, at most so many, and hides it. What has come too often goes to the dead-letter queue instead. */
  receive(most: number, visibilitySeconds = Number(this.attributes['VisibilityTimeout'] ?? 30)): Message[] {
    const nowMs = Date.now();
    const { maxReceiveCount, deadLetters } = this.#redrive();
    const held = this.#groupsInFlight(nowMs);
    const received: Message[] = [];
    for (const message of this.#messages.values()) {
      if (received.length === most) break;
      if (message.hiddenUntilMs > nowMs || (this.isFifo && held.has(message.groupId))) continue;
      if (deadLetters !== undefined && message.receiveCount >= maxReceiveCount) {
        this.#remove(message);
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
    const message = this.#byHandle.get(receiptHandle);
    if (message === undefined) return;
    if (this.isFifo && !isInFlight(message, receiptHandle)) throw invalid('The receipt handle has expired.');
    this.#remove(message);
  }

  /** Hides what is in flight from now on for so long. */
  changeVisibility(receiptHandle: string, seconds: number): void {
    const message = this.#byHandle.get(receiptHandle);
    if (message === undefined) throw new SqsError('ReceiptHandleIsInvalid', 'The input receipt handle is invalid.');
    if (!isInFlight(message, receiptHandle)) throw new SqsError('MessageNotInflight', 'The message is not in flight.');
    message.hiddenUntilMs = Date.now() + seconds * 1000;
  }

  /** How many there are to be handed out, in flight, and not yet sent. */
  counts(): { visible: number; inFlight: number; delayed: number } {
    const nowMs = Date.now();
    const hidden = [...this.#messages.values()].filter(({ hiddenUntilMs }) => hiddenUntilMs > nowMs);
    const delayed = hidden.filter(({ receiptHandle }) => receiptHandle === undefined).length;
    return { visible: this.#messages.size - hidden.length, inFlight: hidden.length - delayed, delayed };
  }

  #deduplicationIdOf(content: Content): string | undefined {
    if (!this.isFifo) return undefined;
    if (content.groupId === undefined) {
      throw new SqsError('MissingParameter', 'The request must contain the parameter MessageGroupId.');
    }
    const ofContent = this.attributes['ContentBasedDeduplication'] === 'true' ? bodyMd5(content) : undefined;
    const id = content.deduplicationId ?? ofContent;
    if (id !== undefined) return id;
    throw invalid('The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided.');
  }

  #groupsInFlight(nowMs: number): Set<string | undefined> {
    if (!this.isFifo) return new Set();
    const all = [...this.#messages.values()];
    return new Set(all.filter(({ hiddenUntilMs }) => hiddenUntilMs > nowMs).map(({ groupId }) => groupId));
  }

  #redrive(): { maxReceiveCount: number; deadLetters: Queue | undefined } {
    const policy = JSON.parse(this.attributes['RedrivePolicy'] ?? '{}') as Record<string, unknown>;
    return {
      maxReceiveCount: Number(policy['maxReceiveCount']),
      deadLetters: this.#deadLetters(String(policy['deadLetterTargetArn'])),
    };
  }

  #remove(message: Message): void {
    this.#messages.delete(message.messageId);
    if (message.receiptHandle !== undefined) this.#byHandle.delete(message.receiptHandle);
  }
}

function isInFlight(message: Message, receiptHandle: string): boolean {
  return message.receiptHandle === receiptHandle && message.hiddenUntilMs > Date.now();
}
