import { buildQueue } from '../src/container.ts';
import { queueDoor } from '../src/doors/queue.ts';

/** Handles messages of a standard or FIFO queue. The event source mapping must set `ReportBatchItemFailures`. */
export const handler = queueDoor(await buildQueue());
