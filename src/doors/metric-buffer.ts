import { MetricUnit, type Metrics } from '@aws-lambda-powertools/metrics';

/** What a metric is told apart by besides the service. */
export type Dimensions = Readonly<Record<string, string>>;

type Unit = (typeof MetricUnit)[keyof typeof MetricUnit];

interface Series {
  readonly name: string;
  readonly unit: Unit;
  readonly dimensions: Dimensions;
  /** One for a count; for a time as many as there were. */
  readonly values: number[];
}

/** Powertools writes a line by itself above a hundred values, and forgets the dimensions then. */
const MAX_VALUES = 100;

/** Counts that only grow are written at least this often, if anything is. */
const FLUSH_INTERVAL_MS = 60_000;

/**
 * Gathers metrics until the end of an invocation, and writes one line for each set of dimensions (CloudWatch's embedded metric
 * format) instead of one for each value. They hold no request's data, so it does not matter whose invocation writes them.
 */
export class MetricBuffer {
  readonly #metrics: Metrics;
  readonly #series = new Map<string, Series>();
  /** What every request counts: too much to write a line each time. */
  readonly #tallies = new Map<string, number>();
  #writtenAtMs = Date.now();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** Adds one value, to be written at the end of this invocation. */
  add(name: string, unit: Unit, value: number, dimensions: Dimensions): void {
    const key = `${name} ${JSON.stringify(dimensions)}`;
    const series = this.#series.get(key);
    if (series === undefined) this.#series.set(key, { name, unit, dimensions, values: [value] });
    else if (unit === MetricUnit.Count) series.values[0] = (series.values[0] ?? 0) + value;
    else series.values.push(value);
  }

  /** Counts one, to be written with the next values or within a minute of invocations. */
  tally(name: string): void {
    this.#tallies.set(name, (this.#tallies.get(name) ?? 0) + 1);
  }

  /** Writes what there is to write. */
  flush(): void {
    const nowMs = Date.now();
    if (this.#series.size === 0 && nowMs - this.#writtenAtMs < FLUSH_INTERVAL_MS) return;
    this.#writtenAtMs = nowMs;
    for (const [name, count] of this.#tallies) this.add(name, MetricUnit.Count, count, {});
    this.#tallies.clear();
    for (const group of Map.groupBy(this.#series.values(), ({ dimensions }) => JSON.stringify(dimensions)).values()) {
      const longest = Math.max(...group.map(({ values }) => values.length));
      for (let from = 0; from < longest; from += MAX_VALUES) this.#write(group, from);
    }
    this.#series.clear();
  }

  /** Writes one line: of each series the next hundred values. */
  #write(group: readonly Series[], from: number): void {
    this.#metrics.addDimensions(group[0]?.dimensions ?? {});
    for (const { name, unit, values } of group) {
      for (const value of values.slice(from, from + MAX_VALUES)) this.#metrics.addMetric(name, unit, value);
    }
    this.#metrics.publishStoredMetrics();
  }
}
