import { createHash, randomUUID } from 'node:crypto';
import { agingClock } from '../../src/async/clock.ts';
import type { Content } from './message.ts';
import { checkAttributes, numberOf, redrivePolicyOf, type QueueAttributes } from './queue-attributes.ts';
import { invalid, missing, SqsError, unsupported } from './sqs-error.ts';

/** A message in a queue, with its delivery state. */
export interface Message extends Content {
  readonly messageId: string;
  /** In milliseconds since 1970, like `firstReceivedAtMs`. The other times are on the `elapsedMs` clock. */
  readonly sentAtMs: number;
  /** When the message entered its queue. Its retention period begins at that time. */
  storedAtMs: number;
  readonly sequenceNumber: string | undefined;
  firstReceivedAtMs: number | undefined;
  /** When the message was last received. */
  receivedAtMs: number;
  receiveCount: number;
  /** Until this time the message is delayed or in flight, and `receive` skips it. */
  hiddenUntilMs: number;
  /** The handle of the last receive. Undefined if no client has received the message. */
  receiptHandle: string | undefined;
  /** The handles of all receives. */
  readonly handles: string[];
  /**
   * The ARN of the queue that moved the message to this dead-letter queue. Undefined if the message came here directly.
   */
  deadLetterSourceArn: string | undefined;
}

const DEDUPLICATION_MS = 5 * 60_000;
/** A clock that never goes back. With `Date.now`, a message would stay hidden for too long after a step back. */
const elapsedMs = agingClock(() => Date.now(), 0);
/** The maximum visibility timeout, counted from the receipt of a message. */
export const MAX_VISIBILITY_TIMEOUT_SECONDS = 43_200;

/**
 * A standard or FIFO queue. While a message of a group is in flight, a FIFO queue delivers no other message of that
 * group.
 */
export class Queue {
  readonly name: string;
  readonly arn: string;
  readonly createdSeconds = Math.floor(Date.now() / 1000);
  readonly isFifo: boolean;
  readonly #deadLetters: (arn: string) => Queue | undefined;
  /** The messages by message ID, in the order in which they were sent. */
  readonly #messages = new Map<string, Message>();
  readonly #byHandle = new Map<string, Message>();
  /**
   * The prefix of this queue's receipt handles. It distinguishes an invalid handle, which `delete` refuses, from the
   * handle of a deleted message, which `delete` ignores.
   */
  readonly #handlePrefix = `${randomUUID()}/`;
  /**
   * Messages that were sent to a FIFO queue in the last five minutes, keyed by deduplication ID. They stay here after
   * their deletion, to detect duplicates.
   */
  readonly #sent = new Map<string, { readonly message: Message; readonly atMs: number }>();
  #sequence = 10n ** 19n;
  #attributes: QueueAttributes = {};
  #modifiedSeconds = this.createdSeconds;

  /**
   * @param find looks up a dead-letter queue by its ARN
   * @throws SqsError if SQS would refuse the attributes
   */
  constructor(name: string, arn: string, attributes: QueueAttributes, find: (arn: string) => Queue | undefined) {
    this.name = name;
    this.arn = arn;
    this.isFifo = name.endsWith('.fifo');
    this.#deadLetters = find;
    this.setAttributes(attributes);
  }

  /** The attributes that were set, without defaults. */
  get attributes(): QueueAttributes {
    return this.#attributes;
  }

  get modifiedSeconds(): number {
    return this.#modifiedSeconds;
  }

  /** The maximum size of a message in the queue, in bytes. */
  get maxBytes(): number {
    return numberOf(this.#attributes, 'MaximumMessageSize');
  }

  /** Changes the given attributes. @throws SqsError if SQS would refuse one of them. In that case none is changed. */
  setAttributes(attributes: QueueAttributes): void {
    checkAttributes(attributes, this.isFifo);
    const policy = redrivePolicyOf(attributes);
    if (policy !== undefined) {
      const target = this.#deadLetters(policy.deadLetterTargetArn);
      if (target === undefined) throw invalid('The RedrivePolicy is invalid: the dead-letter target does not exist.');
      // If a queue were its own dead-letter queue, `receive` would move a message to the end of the same queue again
      // and again, and might never return.
      if (target === this) throw unsupported('a queue that is its own dead-letter queue');
      if (target.isFifo !== this.isFifo)
        throw invalid('The RedrivePolicy is invalid: the dead-letter queue must be of the same type.');
    }
    const { RedrivePolicy = '', ...others } = { ...this.#attributes, ...attributes };
    this.#attributes = RedrivePolicy === '' ? others : { ...others, RedrivePolicy };
    this.#modifiedSeconds = Math.floor(Date.now() / 1000);
    // As in SQS, a new delay also applies to the messages that are already in a queue, but only in a FIFO queue.
    if (this.isFifo && attributes['DelaySeconds'] !== undefined) this.#applyDelay();
  }

  /**
   * Adds a message. If a message with the same deduplication ID was sent in the last 5 minutes, returns that message
   * instead.
   */
  send(content: Content): Message {
    const deduplicationId = this.#deduplicationIdOf(content);
    const nowMs = elapsedMs();
    this.#forgetSent(nowMs);
    const first = deduplicationId === undefined ? undefined : this.#sent.get(deduplicationId);
    if (first !== undefined) return first.message;
    // As in SQS, only the queue's own delay applies in a FIFO queue, even if the message has a DelaySeconds of 0.
    const delaySeconds = (this.isFifo ? undefined : content.delaySeconds) ?? this.#delaySeconds;
    const message: Message = {
      ...content,
      deduplicationId,
      messageId: randomUUID(),
      sentAtMs: Date.now(),
      storedAtMs: nowMs,
      receivedAtMs: 0,
      sequenceNumber: this.isFifo ? String((this.#sequence += 1n)) : undefined,
      firstReceivedAtMs: undefined,
      receiveCount: 0,
      hiddenUntilMs: nowMs + delaySeconds * 1000,
      receiptHandle: undefined,
      handles: [],
      deadLetterSourceArn: undefined,
    };
    this.#messages.set(message.messageId, message);
    if (deduplicationId !== undefined) this.#sent.set(deduplicationId, { message, atMs: nowMs });
    return message;
  }

  /**
   * Receives up to `max` messages, with a visibility timeout of `visibilitySeconds`. A message that has reached
   * `maxReceiveCount` moves to the dead-letter queue instead. As in SQS, a FIFO queue delivers all messages of one
   * group before it continues with the next group.
   */
  receive(max: number, visibilitySeconds = numberOf(this.#attributes, 'VisibilityTimeout')): Message[] {
    const nowMs = elapsedMs();
    this.#expire(nowMs);
    const policy = redrivePolicyOf(this.#attributes);
    const deadLetters = policy && this.#deadLetters(policy.deadLetterTargetArn);
    const held = this.#groupsInFlight(nowMs);
    const received: Message[] = [];
    for (const message of this.isFifo ? this.#byGroup() : this.#messages.values()) {
      if (received.length === max) break;
      if (message.hiddenUntilMs > nowMs || (this.isFifo && held.has(message.groupId))) continue;
      if (policy && deadLetters && message.receiveCount >= policy.maxReceiveCount) {
        this.#remove(message);
        message.deadLetterSourceArn = this.arn;
        // As in SQS, a message begins a new retention period in the dead-letter queue only if the queues are FIFO.
        if (this.isFifo) message.storedAtMs = nowMs;
        deadLetters.#messages.set(message.messageId, message);
        continue;
      }
      message.receiveCount += 1;
      message.firstReceivedAtMs ??= Date.now();
      message.receivedAtMs = nowMs;
      message.hiddenUntilMs = nowMs + visibilitySeconds * 1000;
      message.receiptHandle = this.#handlePrefix + randomUUID();
      message.handles.push(message.receiptHandle);
      this.#byHandle.set(message.receiptHandle, message);
      received.push(message);
    }
    return received;
  }

  /** The error for a message without an ID that a FIFO queue requires. Undefined if there is no such error. */
  idFault(groupId: unknown, deduplicationId: unknown): SqsError | undefined {
    if (!this.isFifo) return undefined;
    if (groupId === undefined) return missing('MessageGroupId');
    if (deduplicationId !== undefined || this.#attributes['ContentBasedDeduplication'] === 'true') return undefined;
    return invalid(
      'The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided.',
    );
  }

  /** Deletes the message that was received with this handle. Does nothing if the message is gone already. */
  delete(receiptHandle: string): void {
    if (!receiptHandle.startsWith(this.#handlePrefix)) throw invalidHandle();
    const message = this.#byHandle.get(receiptHandle);
    if (message === undefined) return;
    if (this.isFifo && !isHeldBy(message, receiptHandle)) throw invalid('The receipt handle has expired.');
    this.#remove(message);
  }

  /** Makes a message in flight visible again in `seconds` seconds. */
  changeVisibility(receiptHandle: string, seconds: number): void {
    if (!receiptHandle.startsWith(this.#handlePrefix)) throw invalidHandle();
    const message = this.#byHandle.get(receiptHandle);
    if (message?.receiptHandle !== receiptHandle)
      throw invalid('The message does not exist or is not available for a change of its visibility timeout.');
    if (!isHeldBy(message, receiptHandle)) throw new SqsError('MessageNotInflight', 'The message is not in flight.');
    const hiddenUntilMs = elapsedMs() + seconds * 1000;
    if (hiddenUntilMs - message.receivedAtMs > MAX_VISIBILITY_TIMEOUT_SECONDS * 1000) {
      throw invalid(`The total VisibilityTimeout is beyond the limit of ${MAX_VISIBILITY_TIMEOUT_SECONDS} seconds.`);
    }
    message.hiddenUntilMs = hiddenUntilMs;
  }

  /** Counts the messages that are visible, in flight, and delayed. */
  counts(): { visible: number; inFlight: number; delayed: number } {
    const nowMs = elapsedMs();
    this.#expire(nowMs);
    const hidden = [...this.#messages.values()].filter(({ hiddenUntilMs }) => hiddenUntilMs > nowMs);
    const inFlight = hidden.filter((message) => isInFlight(message, nowMs)).length;
    return { visible: this.#messages.size - hidden.length, inFlight, delayed: hidden.length - inFlight };
  }

  #deduplicationIdOf(content: Content): string | undefined {
    const fault = this.idFault(content.groupId, content.deduplicationId);
    if (fault !== undefined) throw fault;
    return this.isFifo ? (content.deduplicationId ?? bodySha256(content)) : undefined;
  }

  #groupsInFlight(nowMs: number): Set<string | undefined> {
    if (!this.isFifo) return new Set();
    const all = [...this.#messages.values()];
    return new Set(all.filter((message) => isInFlight(message, nowMs)).map(({ groupId }) => groupId));
  }

  /** The messages of each group, in the order in which they were sent. */
  #byGroup(): Message[] {
    return [...Map.groupBy(this.#messages.values(), ({ groupId }) => groupId).values()].flat();
  }

  get #delaySeconds(): number {
    return numberOf(this.#attributes, 'DelaySeconds');
  }

  /** Applies the delay of the queue to the messages that no client has received. */
  #applyDelay(): void {
    for (const message of this.#messages.values()) {
      if (message.receiptHandle !== undefined) continue;
      message.hiddenUntilMs = message.storedAtMs + this.#delaySeconds * 1000;
    }
  }

  /** Deletes messages that are older than `MessageRetentionPeriod`. */
  #expire(nowMs: number): void {
    const oldestMs = nowMs - numberOf(this.#attributes, 'MessageRetentionPeriod') * 1000;
    for (const message of this.#messages.values()) if (message.storedAtMs < oldestMs) this.#remove(message);
  }

  #remove(message: Message): void {
    this.#messages.delete(message.messageId);
    for (const handle of message.handles) this.#byHandle.delete(handle);
  }

  /** Forgets the deduplication IDs that were sent five minutes ago or earlier. */
  #forgetSent(nowMs: number): void {
    for (const [id, { atMs }] of this.#sent) {
      if (nowMs - atMs < DEDUPLICATION_MS) break;
      this.#sent.delete(id);
    }
  }
}

/**
 * Whether a client has received the message and its visibility timeout has not ended. A delayed message is not in
 * flight.
 */
function isInFlight({ receiptHandle, hiddenUntilMs }: Message, nowMs: number): boolean {
  return receiptHandle !== undefined && hiddenUntilMs > nowMs;
}

/** Whether the message is in flight, and the handle is that of its last receive. */
function isHeldBy(message: Message, receiptHandle: string): boolean {
  return message.receiptHandle === receiptHandle && isInFlight(message, elapsedMs());
}

function invalidHandle(): SqsError {
  return new SqsError('ReceiptHandleIsInvalid', 'The input receipt handle is invalid.');
}

/** The deduplication ID that a queue with content-based deduplication gives a message. */
function bodySha256({ body }: Content): string {
  return createHash('sha256').update(body).digest('hex');
}
