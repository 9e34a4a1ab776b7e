import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SQSEvent } from 'aws-lambda';
import type { Invocation, Outcome } from './queue-worker.ts';

interface Environment {
  readonly process: ChildProcess;
  /** Resolves when the child process is ready. Rejects if it ends before that. */
  readonly loaded: Promise<unknown>;
}

/** The queue function in a child process. After the process has ended, the next event starts a new one. */
export class FunctionProcess {
  readonly #worker: string;
  readonly #environment: Readonly<Record<string, string>>;
  #child: Environment | undefined;
  #kills = 0;

  /** @param worker the path of the bundle that {@link buildWorker} made */
  constructor(worker: string, environment: Readonly<Record<string, string>>) {
    this.#worker = worker;
    this.#environment = environment;
  }

  /** How often the process was killed in the middle of an invocation. */
  get kills(): number {
    return this.#kills;
  }

  /**
   * Runs one event at a time. As in Lambda, the process is killed if the event exceeds the function's timeout.
   * @param killAfterMs kills the process this many milliseconds after it is ready, unless it has responded by then
   */
  async invoke(event: SQSEvent, timeoutMs: number, killAfterMs?: number): Promise<unknown> {
    const child = (this.#child ??= this.#start());
    await child.loaded;
    const answered = new AbortController();
    const work = this.#ask(child.process, { event, timeoutMs }).finally(() => answered.abort());
    void this.#endAfter(killAfterMs ?? timeoutMs, killAfterMs !== undefined, answered.signal);
    const answer = await work;
    if ('error' in answer) throw new Error(answer.error);
    return answer.result;
  }

  /** Kills the process. The next event starts a new one. */
  end(): void {
    this.#child?.process.kill('SIGKILL');
    this.#child = undefined;
  }

  async #endAfter(delayMs: number, isKill: boolean, signal: AbortSignal): Promise<void> {
    await sleep(delayMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
    if (isKill) this.#kills += 1;
    this.end();
  }

  #ask(child: ChildProcess, invocation: Invocation): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const end = (): void => reject(new Error('the environment has ended'));
      child.once('exit', end).once('message', (message) => {
        child.off('exit', end);
        resolve(message as Outcome);
      });
      child.send(invocation);
    });
  }

  #start(): Environment {
    const child = fork(this.#worker, { env: { ...this.#environment }, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    const ended = once(child, 'exit').then(() => Promise.reject(new Error('the environment has ended')));
    ended.catch(() => {});
    return { process: child, loaded: Promise.race([once(child, 'message'), ended]) };
  }
}
