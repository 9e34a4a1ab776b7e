import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import type { Job, Returned, Said } from './job.ts';
import { startProxy, type KillPoint } from './proxy.ts';

/** What a process needs besides its job. */
export interface VictimDependencies {
  /** The addresses of the emulators. */
  readonly emulators: { readonly kms: string; readonly dynamoDb: string };
  /**
   * The bundle of worker.ts. A process that is not killed leaves a compile cache next to the bundle, for the next
   * process.
   */
  readonly worker: string;
}

/** How a process ended, and what it had done before. */
export interface Death {
  /** The records that the process's caller received. */
  readonly returned: readonly Returned[];
  /** The process's requests, named as in {@link startProxy}. */
  readonly steps: readonly string[];
  /**
   * `killed` and the moment, if the process died at the given point. `finished`, if no point was given and the process
   * did its job. In all other cases, a description of what went wrong.
   */
  readonly end: string;
}

/**
 * Runs a job in a child process, and kills the process with SIGKILL at the given point. Without a point, the job runs
 * to its end.
 */
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
      // The process has finished its job without being killed, so let it end.
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
