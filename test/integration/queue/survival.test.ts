/** Messages survive an outage of KMS and the function's sudden death, over the wire on our own emulator of SQS. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSqsEmulator, type SqsEmulator } from '../../../emulators/sqs/sqs-emulator.ts';
import { liveThrough } from './survival.ts';

let sqs: SqsEmulator;
beforeAll(async () => {
  sqs = await startSqsEmulator();
});
afterAll(() => sqs.close());

describe.concurrent('while KMS is gone and the function is killed', { timeout: 120_000 }, () => {
  it.for(['standard', 'fifo'] as const)(
    'every good message of a %s queue comes out, and the bad ones alone are dead letters',
    async (kind) => {
      const findings = await liveThrough({ endpoint: sqs.endpoint, kind, messages: 200, seed: kind.length });
      expect(findings.faults).toEqual([]);
      expect(findings.kills).toBeGreaterThan(0);
    },
  );

  it('a function that acknowledges before it sends is found out', async () => {
    const ordeal = { endpoint: sqs.endpoint, kind: 'standard', messages: 150, seed: 3, isFlawed: true } as const;
    const { faults } = await liveThrough(ordeal);
    expect(faults.join()).toContain('is lost');
  });

  it('a queue that gives messages up too soon is found out', async () => {
    const ordeal = { endpoint: sqs.endpoint, kind: 'standard', messages: 100, seed: 4, maxReceiveCount: 1 } as const;
    const { faults } = await liveThrough(ordeal);
    expect(faults.join()).toContain('is a dead letter');
  });
});
