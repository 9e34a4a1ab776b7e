import { Queue, type QueueAttributes } from './queue.ts';
import { invalid, SqsError } from './sqs-error.ts';

const ACCOUNT = '111122223333';
const REGION = 'us-west-2';

/** All queues, in memory. */
export class QueueStore {
  /** Where the emulator is; known once it listens. */
  endpoint = '';
  readonly #queues = new Map<string, Queue>();

  /** Makes a queue; the one that there is already stays as it is. */
  create(name: string, attributes: QueueAttributes): Queue {
    if (!/^[\w-]{1,75}(?:\.fifo)?$/.test(name))
      throw invalid('A queue name is of A-Z a-z 0-9 _ -, with .fifo behind it.');
    if (name.endsWith('.fifo') !== (attributes['FifoQueue'] === 'true'))
      throw invalid('Only FIFO queues end in .fifo.');
    const find = (arn: string): Queue | undefined => [...this.#queues.values()].find((queue) => queue.arn === arn);
    const queue =
      this.#queues.get(name) ?? new Queue(name, `arn:aws:sqs:${REGION}:${ACCOUNT}:${name}`, attributes, find);
    this.#queues.set(name, queue);
    return queue;
  }

  urlOf({ name }: Queue): string {
    return `${this.endpoint}/${ACCOUNT}/${name}`;
  }

  /** @throws SqsError `QueueDoesNotExist` */
  named(name: string): Queue {
    const queue = this.#queues.get(name);
    if (queue !== undefined) return queue;
    throw new SqsError('QueueDoesNotExist', 'The specified queue does not exist.');
  }

  /** By its URL, or the path of it. @throws SqsError `QueueDoesNotExist` */
  at(url: string): Queue {
    return this.named(url.replace(/^.*\//, ''));
  }
}
