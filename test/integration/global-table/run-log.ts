import { KeyfoldError } from '../../../src/index.ts';

const LAST_STEPS = 25;

/** What happened in a run, and what of it must not be. */
export class RunLog {
  readonly faults: string[] = [];
  /** How often what happened. */
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

  /** Does what must not fail; undefined, with a fault, where it does. */
  async without<T>(what: string, work: Promise<T>): Promise<T | undefined> {
    try {
      return await work;
    } catch (error) {
      this.fault(`${what}: ${codeAndWhy(error)}`);
      return undefined;
    }
  }

  /** The last steps, to be read where a run has failed. */
  tail(): string {
    const first = Math.max(0, this.#steps.length - LAST_STEPS);
    return this.#steps
      .slice(first)
      .map((text, i) => `${first + i + 1}. ${text}`)
      .join('\n');
  }
}

/** The code of an error of ours, with what is in it for the log. */
export function codeAndWhy(error: unknown): string {
  if (!(error instanceof KeyfoldError)) return String(error);
  const { cause } = error;
  return `${error.code}: ${error.message}${cause instanceof Error ? ` (${cause.message})` : ''}`;
}
