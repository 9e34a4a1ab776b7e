/**
 * Tests on moto that messages survive a KMS outage and killed functions. It sends 1,000 messages to a standard queue
 * and 300 to a FIFO queue. `QUEUE_MESSAGES` replaces both numbers.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { liveThrough } from '../system/queue/survival.ts';
import { AWS_ENVIRONMENT, startMoto, type PeerServer } from './processes.ts';

Object.assign(process.env, AWS_ENVIRONMENT);

const wanted = process.env['QUEUE_MESSAGES'];
const TIMEOUT_MS = 120_000 + 400 * Number(wanted ?? 0);

let sqs: PeerServer;
beforeAll(async () => {
  sqs = await startMoto();
});
afterAll(() => sqs.stop());

describe('while KMS is down and the function is killed', { timeout: TIMEOUT_MS }, () => {
  it.for([
    { kind: 'standard', usual: 1000 },
    // moto changes the order of two returned messages of a group, and gives a group to two readers at the same time. So
    // each event here has at most one message of a group, and there is only one reader.
    { kind: 'fifo', usual: 300, receivedAtOnce: 1, environments: 1 },
  ] as const)(
    'every valid message in the $kind queue gets a result, and only invalid messages become dead letters',
    async (ordeal) => {
      const { endpoint } = sqs;
      const messages = Number(wanted ?? ordeal.usual);
      const { faults, kills } = await liveThrough({ ...ordeal, endpoint, messages, seed: messages });
      expect(faults).toEqual([]);
      expect(kills).toBeGreaterThan(messages / 100);
    },
  );
});
