import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Passage } from './fleet.ts';
import type { OurChanges, PolicyName } from './policies.ts';

/** A simulation to run: one scenario, under one policy, with one seed. */
export interface Job {
  readonly scenarioId: string;
  readonly policy: PolicyName;
  readonly seed: number;
  readonly scale: number;
  readonly changes: OurChanges;
}

const THREADS = 2;

/** Runs jobs in two threads, and starts them in order. Calls `done` with the outcome of each job when it ends. */
export async function runJobs<J extends Job>(
  jobs: readonly J[],
  done: (job: J, passage: Omit<Passage, 'scenario'>) => void,
): Promise<void> {
  const left = [...jobs];
  await Promise.all(
    Array.from({ length: THREADS }, async () => {
      const worker = new Worker(new URL('worker.ts', import.meta.url));
      for (let job = left.shift(); job !== undefined; job = left.shift()) {
        const { scenarioId, policy, seed, scale, changes } = job;
        worker.postMessage({ scenarioId, policy, seed, scale, changes });
        const [passage] = (await once(worker, 'message')) as [Omit<Passage, 'scenario'>];
        done(job, passage);
      }
      await worker.terminate();
    }),
  );
}
