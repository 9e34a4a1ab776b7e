import { Queue } from './queue.ts';
import { withDefaults, type QueueAttributes } from './queue-attributes.ts';
import { invalid, SqsError } from './sqs-error.ts';

const ACCOUNT = '111122223333';
const REGION = 'us-west-2';

/** All queues, in memory. */
export class QueueStore {
  /** Where the emulator is; known once it listens. */
  endpoint = '';
  readonly #queues = new Map<string, Queue>();

  /** Makes a queue. One that is there already stays as it is. @throws SqsError if that one has other attributes */
  create(name: string, attributes: QueueAttributes): Queue {
    if (!/^(?:[\w-]{1,80}|[\w-]{1,75}\.fifo)$/.test(name))
      throw invalid('A queue name has up to 80 of A-Z a-z 0-9 _ -, and may end in .fifo.');
    if (name.endsWith('.fifo') !== (attributes['FifoQueue'] === 'true'))
      throw invalid('Only FIFO queues end in .fifo.');
    const find = (arn: string): Queue | undefined => [...this.#queues.values()].find((queue) => queue.arn === arn);
    const made = new Queue(name, `arn:aws:sqs:${REGION}:${ACCOUNT}:${name}`, attributes, find);
    const queue = this.#queues.get(name) ?? made;
    const has = withDefaults(queue.attributes);
    const other = Object.keys(attributes).find((attribute) => attributes[attribute] !== has[attribute]);
    if (other !== undefined)
      throw new SqsError('QueueNameExists', `A queue of that name exists with another value for ${other}.`);
    this.#queues.set(name, queue);
    return queue;
  }

  /** All whose name begins so. */
  startingWith(prefix: string): Queue[] {
    return [...this.#queues.values()].filter(({ name }) => name.startsWith(prefix));
  }

  urlOf({ name }: Queue): string {
    return `${this.endpoint}/${ACCOUNT}/${name}`;
  }

  /** @throws SqsError `QueueDoesNotExist` */
  named(name: string, account = ACCOUNT): Queue {
    const queue = account === ACCOUNT ? this.#queues.get(name) : undefined;
    if (queue !== undefined) return queue;
    throw new SqsError('QueueDoesNotExist', 'The specified queue does not exist.');
  }

  /** By its URL, or the path of it. The host may be any name of this machine. @throws SqsError `QueueDoesNotExist` */
  at(url: string): Queue {
    const [, account = '', name = ''] = /^(?:https?:\/\/[^/]+)?\/(\d{12})\/([^/]+)$/.exec(url) ?? [];
    return this.named(name, account);
  }
}
