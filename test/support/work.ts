import { Session, type Profiler } from 'node:inspector';
import { join } from 'node:path';

const SOURCES = join(import.meta.dirname, '..', '..', 'src');

/**
 * Measures work with V8's coverage: how often each block of our own source runs, including each pass of a loop. The
 * counts are the same on every machine. They do not include built-in functions and regular expressions.
 */
export class WorkMeter {
  readonly #session = new Session();

  /** Starts to count how often each function runs. `stop` ends the count. */
  static async start(): Promise<WorkMeter> {
    const meter = new WorkMeter();
    meter.#session.connect();
    await meter.#post('Profiler.enable');
    await meter.#post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    return meter;
  }

  /** Returns the work of some synchronous code. */
  async workOf(work: () => void): Promise<number> {
    await this.#take();
    work();
    const ranges = (await this.#take()).flatMap(({ functions }) => functions.flatMap((one) => one.ranges));
    return ranges.reduce((sum, { count }) => sum + count, 0);
  }

  stop(): void {
    this.#session.disconnect();
  }

  async #take(): Promise<Profiler.ScriptCoverage[]> {
    const { result } = await this.#post<Profiler.TakePreciseCoverageReturnType>('Profiler.takePreciseCoverage');
    return result.filter(({ url }) => url.includes(SOURCES));
  }

  #post<T>(method: string, params?: object): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#session.post(method, params, (error, result) => (error === null ? resolve(result as T) : reject(error)));
    });
  }
}
