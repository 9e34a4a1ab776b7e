/** Tests on the SQS emulator, over HTTP, that messages survive a KMS outage and kills of the function. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSqsEmulator, type SqsEmulator } from '../../../emulators/sqs/sqs-emulator.ts';
import { liveThrough } from './survival.ts';

let sqs: SqsEmulator;
beforeAll(async () => {
  sqs = await startSqsEmulator();
});
afterAll(() => sqs.close());

describe.concurrent('while KMS is down and the queue function is killed', { timeout: 120_000 }, () => {
  it.for(['standard', 'fifo'] as const)(
    'every valid message in a %s queue gets a result, and only invalid messages become dead letters',
    async (kind) => {
      const findings = await liveThrough({ endpoint: sqs.endpoint, kind, messages: 200, seed: kind.length });
      expect(findings.faults).toEqual([]);
      expect(findings.kills).toBeGreaterThan(0);
    },
  );

  it('the test notices a function that acknowledges messages before it sends their results', async () => {
    const ordeal = { endpoint: sqs.endpoint, kind: 'standard', messages: 150, seed: 3, isFlawed: true } as const;
    const { faults } = await liveThrough(ordeal);
    expect(faults.join()).toContain('is lost');
  });

  it('the test notices a queue whose maxReceiveCount is too low', async () => {
    const ordeal = { endpoint: sqs.endpoint, kind: 'standard', messages: 100, seed: 4, maxReceiveCount: 1 } as const;
    const { faults } = await liveThrough(ordeal);
    expect(faults.join()).toContain('is a dead letter');
  });
});
