import { buildQueue } from '../src/container.ts';
import { queueDoor } from '../src/doors/queue.ts';

/** An SQS queue, standard or FIFO, with ReportBatchItemFailures. */
export const handler = queueDoor(await buildQueue());
