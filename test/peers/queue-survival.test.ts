/**
 * Messages survive an outage of KMS and the function's sudden death, over the wire on moto: 1,000 of a standard queue
 * and 300 of a FIFO queue, or as many of each as `QUEUE_MESSAGES` says.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { liveThrough } from '../integration/queue/survival.ts';
import { AWS_ENVIRONMENT, startMoto, type PeerServer } from './processes.ts';

Object.assign(process.env, AWS_ENVIRONMENT);

const wanted = process.env['QUEUE_MESSAGES'];
const TIMEOUT_MS = 120_000 + 400 * Number(wanted ?? 0);

let sqs: PeerServer;
beforeAll(async () => {
  sqs = await startMoto();
});
afterAll(() => sqs.stop());

describe('while KMS is gone and the function is killed', { timeout: TIMEOUT_MS }, () => {
  it.for([
    { kind: 'standard', usual: 1000 },
    // moto gives the second of a group before the first when both come back, and hands a group out to two at once when
    // they ask at once: here no event has two of a group, and one alone asks.
    { kind: 'fifo', usual: 300, receivedAtOnce: 1, environments: 1 },
  ] as const)(
    'every good message of a $kind queue comes out, and the bad ones alone are dead letters',
    async (ordeal) => {
      const { endpoint } = sqs;
      const messages = Number(wanted ?? ordeal.usual);
      const { faults, kills } = await liveThrough({ ...ordeal, endpoint, messages, seed: messages });
      expect(faults).toEqual([]);
      expect(kills).toBeGreaterThan(messages / 100);
    },
  );
});
