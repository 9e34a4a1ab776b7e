import { CloudWatchClient, GetMetricStatisticsCommand } from '@aws-sdk/client-cloudwatch';
import {
  GetAWSDefaultServiceQuotaCommand,
  GetServiceQuotaCommand,
  ServiceQuotasClient,
  type ServiceQuota,
} from '@aws-sdk/client-service-quotas';
import type { Clock } from '../async/clock.ts';
import { foundCredentials } from '../connections/found-credentials.ts';
import { outcomeOf, type Outcome } from '../connections/inspected-calls.ts';
import { errorNameOf } from '../errors.ts';
import type { Quota, QuotaInspector, QuotaName, UsageMetric } from '../maintenance/inspection.ts';

/**
 * The calls to Service Quotas and CloudWatch are optional, and many networks have no route to these services. So
 * `doctor` waits only briefly.
 */
const TIMEOUTS = { connectionTimeout: 1000, requestTimeout: 3000, socketTimeout: 3000, throwOnRequestTimeout: true };
const PERIOD_SECONDS = 60;
/** One period for each minute of the last 24 hours. CloudWatch returns at most 1440 periods. */
const PERIODS = 1440;

/** Reads the quotas of an AWS account in one region, and their use. */
export class AwsQuotaInspector implements QuotaInspector {
  readonly #quotas: ServiceQuotasClient;
  readonly #metrics: CloudWatchClient;
  readonly #now: Clock;

  constructor(region: string, now: Clock) {
    const options = { region, credentials: foundCredentials(), maxAttempts: 2, requestHandler: TIMEOUTS };
    this.#quotas = new ServiceQuotasClient(options);
    this.#metrics = new CloudWatchClient(options);
    this.#now = now;
  }

  quota({ service: ServiceCode, code: QuotaCode }: QuotaName): Promise<Outcome<Quota>> {
    const name = { ServiceCode, QuotaCode };
    return outcomeOf(async () => {
      try {
        return quotaOf(await this.#quotas.send(new GetServiceQuotaCommand(name)));
      } catch (error) {
        // For a quota that was never raised, Service Quotas may know only the default.
        if (errorNameOf(error) !== 'NoSuchResourceException') throw error;
        return quotaOf(await this.#quotas.send(new GetAWSDefaultServiceQuotaCommand(name)));
      }
    });
  }

  peakRate({ namespace, name, dimensions }: UsageMetric): Promise<Outcome<number | undefined>> {
    const end = Math.floor(this.#now() / 1000 / PERIOD_SECONDS) * PERIOD_SECONDS;
    const command = new GetMetricStatisticsCommand({
      Namespace: namespace,
      MetricName: name,
      Dimensions: Object.entries(dimensions).map(([Name, Value]) => ({ Name, Value })),
      StartTime: new Date((end - PERIODS * PERIOD_SECONDS) * 1000),
      EndTime: new Date(end * 1000),
      Period: PERIOD_SECONDS,
      Statistics: ['Sum'],
    });
    return outcomeOf(async () => {
      const { Datapoints = [] } = await this.#metrics.send(command);
      const sums = Datapoints.map(({ Sum = 0 }) => Sum);
      return sums.length === 0 ? undefined : Math.max(...sums) / PERIOD_SECONDS;
    });
  }
}

function quotaOf({ Quota: quota = {} }: { readonly Quota?: ServiceQuota | undefined }): Quota {
  const { MetricNamespace: namespace, MetricName: name, MetricDimensions: dimensions = {} } = quota.UsageMetric ?? {};
  const isNamed = namespace !== undefined && name !== undefined;
  return { value: quota.Value, metric: isNamed ? { namespace, name, dimensions } : undefined };
}
