import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import type { Job, Returned, Said } from './job.ts';
import { startProxy, type KillPoint } from './proxy.ts';

/** What processes need of the world, beside their job. */
export interface VictimDependencies {
  /** Where the emulators are. */
  readonly emulators: { readonly kms: string; readonly dynamoDb: string };
  /** worker.ts, bundled. A process that ends by itself leaves what it has compiled of it to the next, beside it. */
  readonly worker: string;
}

/** How a process came to its end, and what it had done by then. */
export interface Death {
  /** Each record that its caller was given. */
  readonly returned: readonly Returned[];
  /** Each request that it made, as {@link startProxy} tells them. */
  readonly steps: readonly string[];
  /**
   * `killed` and the moment, at the point; `finished` where the job was done and there was none; else what went wrong.
   */
  readonly end: string;
}

/** Does a job in a process of its own, and ends that with SIGKILL at a point; without one it may finish. */
export async function runVictim(
  job: Omit<Job, 'endpoint'>,
  { emulators, worker }: VictimDependencies,
  point?: KillPoint,
): Promise<Death> {
  let isStruck = false;
  let child: ChildProcessWithoutNullStreams | undefined = undefined;
  const proxy = await startProxy(emulators, ({ request, moment }) => {
    if (request === point?.request && moment === point.moment) isStruck = child?.kill('SIGKILL') ?? false;
    return isStruck ? 'killed' : 'alive';
  });
  const argument = JSON.stringify({ ...job, endpoint: proxy.endpoint } satisfies Job);
  const env = { ...process.env, NODE_COMPILE_CACHE: dirname(worker) };
  child = spawn(process.execPath, [worker, argument], { env });
  const { stdin } = child;
  try {
    const returned: Returned[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => {
      const said = JSON.parse(line) as Said;
      if ('record' in said) returned.push(said);
      // To live to the end is not to have been killed at the point.
      else stdin.end();
    });
    const [stderr, [code, signal]] = await Promise.all([text(child.stderr), once(child, 'close')]);
    const otherwise = code === 0 && point === undefined ? 'finished' : `ended with ${code}: ${stderr}`;
    const isKilled = isStruck && signal === 'SIGKILL';
    return { returned, steps: proxy.steps, end: isKilled ? `killed ${point?.moment}` : otherwise };
  } finally {
    child.kill('SIGKILL');
    await proxy.stop();
  }
}
