import type { Resources } from './queues.ts';

/**
 * The condition under which an alarm fires: the value is at least `least` in each of the last `periods` periods. With
 * `outOf`, it is enough if this is true in any `periods` of the last `outOf` periods. A period without data counts as
 * zero.
 */
export interface Ring {
  readonly least?: number;
  readonly periodSeconds?: number;
  readonly periods?: number;
  readonly outOf?: number;
}

/**
 * Selects the series of a metric whose dimensions have certain values. The dimension `service` is added automatically.
 */
export interface Which {
  /** The dimensions that may have any value. */
  readonly of?: readonly string[];
  readonly where?: Readonly<Record<string, string | readonly string[]>>;
  readonly whereNot?: Readonly<Record<string, readonly string[]>>;
}

/** The default period of a metric: five minutes, in seconds. */
const PERIOD_SECONDS = 300;

/**
 * An alarm that notifies `topic` when it fires. By default, it sends no notification when it ends, because it also ends
 * if no more requests arrive.
 */
export function alarm(description: string, topic: unknown, ring: Ring, metric: object): Resources[string] {
  const { least = 1, periods = 1, outOf = periods } = ring;
  return {
    Type: 'AWS::CloudWatch::Alarm',
    Properties: {
      AlarmDescription: description,
      ComparisonOperator: 'GreaterThanOrEqualToThreshold',
      Threshold: least,
      EvaluationPeriods: outOf,
      DatapointsToAlarm: periods,
      TreatMissingData: 'notBreaching',
      AlarmActions: [topic],
      ...metric,
    },
  };
}

/** A metric with all its dimensions, in the form that an alarm requires. */
export function oneMetric(
  namespace: string,
  name: string,
  dimensions: Dimensions,
  { periodSeconds = PERIOD_SECONDS }: Ring = {},
  statistic = 'Sum',
): object {
  return { ...metricOf(namespace, name, dimensions), Statistic: statistic, Period: periodSeconds };
}

/** The ratio of one metric to another. */
export function shareOf(
  namespace: string,
  [failed, all]: readonly [string, string],
  dimensions: Dimensions,
  ring: Ring,
): object {
  return {
    Metrics: [
      term('failed', namespace, failed, dimensions, ring),
      term('asked', namespace, all, dimensions, ring),
      { Id: 'share', Expression: 'failed / asked', ReturnData: true },
    ],
  };
}

function metricOf(namespace: string, name: string, dimensions: Dimensions): object {
  return {
    Namespace: namespace,
    MetricName: name,
    Dimensions: Object.entries(dimensions).map(([Name, Value]) => ({ Name, Value })),
  };
}

/** The sum of a metric, for use in an expression. */
function term(
  Id: string,
  namespace: string,
  name: string,
  dimensions: Dimensions,
  { periodSeconds = PERIOD_SECONDS }: Ring,
): Term {
  const MetricStat = { Metric: metricOf(namespace, name, dimensions), Period: periodSeconds, Stat: 'Sum' };
  return { Id, MetricStat, ReturnData: false };
}

/**
 * The sum of one of Keyfold's metrics. CloudWatch identifies a metric by the values of all its dimensions. If some of
 * these values, such as the regions, are not known in advance, the result is a Metrics Insights query. Such a query has
 * no OR, so this function adds one term for each known value.
 */
export function ownMetric(service: string, name: string, which: Which, ring: Ring): object {
  const { of = [], where = {}, whereNot = {} } = which;
  const Period = ring.periodSeconds ?? PERIOD_SECONDS;
  const lists = Object.entries(where).filter(([, value]) => Array.isArray(value));
  if (of.length === 0 && lists.length === 0) {
    return oneMetric('Keyfold', name, { service, ...(where as Record<string, string>) }, ring);
  }
  if (of.length === 0) {
    const [[dimension, values] = ['', []]] = lists;
    const summed = (values as readonly string[]).map((value, i) =>
      term(`m${i}`, 'Keyfold', name, { service, [dimension]: value }, ring),
    );
    const all = { Id: 'sum', Expression: `SUM([${summed.map(({ Id }) => Id).join(', ')}])`, ReturnData: true };
    return { Metrics: [...summed, all] };
  }
  const schema = ['Keyfold', 'service', ...new Set([...of, ...Object.keys(where)])].map((one) => `"${one}"`).join(', ');
  const conditions = [
    ...Object.entries({ service, ...where }).map(([dimension, value]) => `"${dimension}" = '${value}'`),
    ...Object.entries(whereNot).flatMap(([dimension, values]) => values.map((value) => `"${dimension}" != '${value}'`)),
  ];
  const Expression = `SELECT SUM("${name}") FROM SCHEMA(${schema}) WHERE ${conditions.join(' AND ')}`;
  return { Metrics: [{ Id: 'sum', Expression, Period, ReturnData: true }] };
}

type Dimensions = Readonly<Record<string, string | { readonly Ref: string }>>;

interface Term {
  readonly Id: string;
  readonly MetricStat: object;
  readonly ReturnData: boolean;
}
