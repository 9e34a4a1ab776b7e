import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Outcomes, Round } from './freeze-worker.ts';

/** A child process that a test can freeze, as Lambda freezes a function's process. */
export class FrozenProcess {
  readonly #child: ChildProcess;
  /** Rejects when the child process ends. */
  readonly #ended: Promise<never>;
  #rounds = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, 'exit').then(() => Promise.reject(new Error('the process has ended')));
    this.#ended.catch(() => {});
  }

  /**
   * @param worker the path of the child's module, such as freeze-worker.ts after `buildWorker` has bundled it
   * @param role the child's environment variable `ROLE`
   */
  static async start(worker: string, role: string, settings: Readonly<Record<string, string>>): Promise<FrozenProcess> {
    const child = fork(worker, {
      env: { ...process.env, ROLE: role, ...settings },
      stdio: ['ignore', 'ignore', 2, 'ipc'],
    });
    const one = new FrozenProcess(child);
    await Promise.race([once(child, 'message'), one.#ended]);
    return one;
  }

  /** Makes this number of concurrent requests in the child process. */
  async serve(requests: number): Promise<Outcomes> {
    this.#rounds += 1;
    const answered = once(this.#child, 'message');
    this.#child.send({ round: this.#rounds, requests } satisfies Round);
    const [outcomes] = (await Promise.race([answered, this.#ended])) as [Outcomes];
    return outcomes;
  }

  /**
   * Suspends the child process for `ms` milliseconds. Commands that arrive in this time wait until the process
   * continues.
   */
  async freeze(ms: number): Promise<void> {
    const endsAtMs = performance.now() + ms;
    this.#child.kill('SIGSTOP');
    // Node counts a timer's delay from the start of the event loop's turn, even if a busy turn sets the timer late.
    // Such a timer fires too early, so check the time again.
    while (performance.now() < endsAtMs) await sleep(1);
    this.#child.kill('SIGCONT');
  }

  async end(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended.catch(() => {});
  }
}
