import { MetricUnit, type Metrics } from '@aws-lambda-powertools/metrics';

/** The dimensions of a metric, other than the service. */
export type Dimensions = Readonly<Record<string, string>>;

type Unit = (typeof MetricUnit)[keyof typeof MetricUnit];

interface Series {
  readonly name: string;
  readonly unit: Unit;
  readonly dimensions: Dimensions;
  /** A count has one value, which is the sum. A latency has one value for each measurement. */
  readonly values: number[];
}

/**
 * The most values of a metric in one line. At the hundredth value, Powertools would write the line by itself, and then
 * the other metrics of the line would have no dimensions.
 */
const MAX_VALUES = 99;

/** How long {@link MetricBuffer.flush} may hold back tallies, in milliseconds. */
const FLUSH_INTERVAL_MS = 60_000;

/**
 * Collects metrics until the end of an invocation. Then it writes one line per set of dimensions, instead of one line
 * per value, in CloudWatch's embedded metric format. Metrics contain no request data, so an invocation may write the
 * metrics of an earlier invocation.
 */
export class MetricBuffer {
  readonly #metrics: Metrics;
  readonly #series = new Map<string, Series>();
  /** Counts that change with every request. Writing them after each invocation would cost too much. */
  readonly #tallies = new Map<string, number>();
  #writtenAtMs = Date.now();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** Adds a value. The flush at the end of the invocation writes it. The values of a count are summed. */
  add(name: string, unit: Unit, value: number, dimensions: Dimensions): void {
    const key = `${name} ${JSON.stringify(dimensions)}`;
    const series = this.#series.get(key);
    if (series === undefined) this.#series.set(key, { name, unit, dimensions, values: [value] });
    else if (unit === MetricUnit.Count) series.values[0] = (series.values[0] ?? 0) + value;
    else series.values.push(value);
  }

  /** Adds one to a count. The flush at the end of the invocation writes it. */
  count(name: string, dimensions: Dimensions): void {
    this.add(name, MetricUnit.Count, 1, dimensions);
  }

  /**
   * Adds one to a tally. The next flush that has other values also writes the tally. If there is no such flush for a
   * minute, the first flush after that minute writes it.
   */
  tally(name: string): void {
    this.#tallies.set(name, (this.#tallies.get(name) ?? 0) + 1);
  }

  /** Writes all values and tallies. If there are only tallies, it writes at most once a minute. */
  flush(): void {
    const nowMs = Date.now();
    // Use the absolute value, because a clock may be set back.
    if (this.#series.size === 0 && Math.abs(nowMs - this.#writtenAtMs) < FLUSH_INTERVAL_MS) return;
    this.#writtenAtMs = nowMs;
    for (const [name, count] of this.#tallies) this.add(name, MetricUnit.Count, count, {});
    this.#tallies.clear();
    for (const group of Map.groupBy(this.#series.values(), ({ dimensions }) => JSON.stringify(dimensions)).values()) {
      const longest = Math.max(...group.map(({ values }) => values.length));
      for (let from = 0; from < longest; from += MAX_VALUES) this.#write(group, from);
    }
    this.#series.clear();
  }

  /** Writes one line with up to 99 values of each series, beginning at index `from`. */
  #write(group: readonly Series[], from: number): void {
    this.#metrics.addDimensions(group[0]?.dimensions ?? {});
    for (const { name, unit, values } of group) {
      for (const value of values.slice(from, from + MAX_VALUES)) this.#metrics.addMetric(name, unit, value);
    }
    this.#metrics.publishStoredMetrics();
  }
}
