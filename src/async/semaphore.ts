/** Lets a fixed number of tasks run at the same time. Other tasks wait in order of arrival. */
export class Semaphore {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  /** @param permits how many tasks may run at the same time */
  constructor(permits: number) {
    this.#free = permits;
  }

  /** Runs a task as soon as a permit is free. Returns the task's result, or throws its error. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
