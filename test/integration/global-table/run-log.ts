import { KeyfoldError } from '../../../src/index.ts';

const LAST_STEPS = 25;

/** Records the steps, events and failures of a run. */
export class RunLog {
  readonly faults: string[] = [];
  /** The number of events of each kind. */
  readonly counts: Record<string, number> = {};
  readonly #steps: string[] = [];

  step(text: string): void {
    this.#steps.push(text);
  }

  count(what: string, times = 1): void {
    this.counts[what] = (this.counts[what] ?? 0) + times;
  }

  fault(what: string): void {
    this.faults.push(`after step ${this.#steps.length}: ${what}`);
  }

  /** Performs work that must not fail. If the work fails, records the failure and returns undefined. */
  async without<T>(what: string, work: Promise<T>): Promise<T | undefined> {
    try {
      return await work;
    } catch (error) {
      this.fault(`${what}: ${codeAndWhy(error)}`);
      return undefined;
    }
  }

  /** The last steps of the run. They help to find out why the run failed. */
  tail(): string {
    const first = Math.max(0, this.#steps.length - LAST_STEPS);
    return this.#steps
      .slice(first)
      .map((text, i) => `${first + i + 1}. ${text}`)
      .join('\n');
  }
}

/** The code of a KeyfoldError with its message, for the log. */
export function codeAndWhy(error: unknown): string {
  if (!(error instanceof KeyfoldError)) return String(error);
  const { cause } = error;
  return `${error.code}: ${error.message}${cause instanceof Error ? ` (${cause.message})` : ''}`;
}
