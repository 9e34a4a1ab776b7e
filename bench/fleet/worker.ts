/** A worker thread that runs the simulations from `run-jobs.ts` one after the other. */
import { parentPort } from 'node:worker_threads';
import type { Job } from './run-jobs.ts';
import { sendFleet } from './fleet.ts';
import { scenarios } from './scenarios.ts';

parentPort?.on('message', ({ scenarioId, policy, seed, scale, changes }: Job) => {
  const scenario = scenarios(scale).find(({ id }) => id === scenarioId);
  if (scenario === undefined) throw new Error(`no scenario ${scenarioId}`);
  void sendFleet(scenario, policy, seed, changes).then(({ wishes, calls }) =>
    parentPort?.postMessage({ wishes, calls }),
  );
});
