import { Queue } from './queue.ts';
import { withDefaults, type QueueAttributes } from './queue-attributes.ts';
import { invalid, SqsError } from './sqs-error.ts';

const ACCOUNT = '111122223333';
const REGION = 'us-west-2';

/** All queues of the emulator, in memory. */
export class QueueStore {
  /** The emulator's URL. Empty until the emulator listens. */
  endpoint = '';
  readonly #queues = new Map<string, Queue>();

  /** Creates a queue, or returns the existing one. @throws SqsError `QueueNameExists` if the attributes differ */
  create(name: string, attributes: QueueAttributes): Queue {
    if (!/^(?:[\w-]{1,80}|[\w-]{1,75}\.fifo)$/.test(name))
      throw invalid('A queue name has up to 80 of A-Z a-z 0-9 _ -, and may end in .fifo.');
    if (name.endsWith('.fifo') !== (attributes['FifoQueue'] === 'true'))
      throw invalid('Only FIFO queues end in .fifo.');
    const find = (arn: string): Queue | undefined => [...this.#queues.values()].find((queue) => queue.arn === arn);
    const made = new Queue(name, `arn:aws:sqs:${REGION}:${ACCOUNT}:${name}`, attributes, find);
    const queue = this.#queues.get(name) ?? made;
    const has = withDefaults(queue.attributes, queue.isFifo);
    const other = Object.keys(made.attributes).find((attribute) => made.attributes[attribute] !== has[attribute]);
    if (other !== undefined)
      throw new SqsError('QueueNameExists', `A queue of that name exists with another value for ${other}.`);
    this.#queues.set(name, queue);
    return queue;
  }

  /** The queues whose names begin with `prefix`. */
  startingWith(prefix: string): Queue[] {
    return [...this.#queues.values()].filter(({ name }) => name.startsWith(prefix));
  }

  urlOf({ name }: Queue): string {
    return `${this.endpoint}/${ACCOUNT}/${name}`;
  }

  /** Finds a queue by its name. @throws SqsError `QueueDoesNotExist` */
  named(name: string, account = ACCOUNT): Queue {
    const queue = account === ACCOUNT ? this.#queues.get(name) : undefined;
    if (queue !== undefined) return queue;
    throw new SqsError('QueueDoesNotExist', 'The specified queue does not exist.');
  }

  /** Finds a queue by its URL or by the path of its URL. Ignores the host. @throws SqsError `QueueDoesNotExist` */
  at(url: string): Queue {
    const [, account = '', name = ''] = /^(?:https?:\/\/[^/]+)?\/(\d{12})\/([^/]+)$/.exec(url) ?? [];
    return this.named(name, account);
  }
}
