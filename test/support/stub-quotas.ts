import { startStub, type StubAnswer, type StubRequest, type StubServer } from './stub-server.ts';

/** The account's quotas by their codes. As in AWS, KMS's quota names the metric that counts its use. */
const QUOTAS: Readonly<Record<string, object>> = {
  'L-6E3AF000': {
    Value: 10_000,
    Unit: 'None',
    Period: { PeriodValue: 1, PeriodUnit: 'SECOND' },
    UsageMetric: {
      MetricNamespace: 'AWS/Usage',
      MetricName: 'CallCount',
      MetricDimensions: { Class: 'None', Resource: 'CryptographicOperationsSymmetric', Service: 'KMS', Type: 'API' },
      MetricStatisticRecommendation: 'Sum',
    },
  },
  'L-CF0CBE56': { Value: 40_000 },
  'L-AB614373': { Value: 40_000 },
};

/** AWS Service Quotas and Amazon CloudWatch in one region, with only the actions that `keyfold doctor` calls. */
export class StubQuotas {
  /**
   * The use of each quota in two minutes of the last day, keyed by region and then by the metric's resource or table.
   */
  readonly sums: Record<string, Record<string, readonly number[]>> = {};
  /** The actions that AWS refuses. */
  readonly refused = new Set<string>();
  /** Whether Service Quotas knows only the defaults of the quotas. */
  knowsOnlyDefaults = false;
  /** The IAM actions of the calls. */
  calls: string[] = [];
  readonly #server: StubServer;

  private constructor(server: StubServer) {
    this.#server = server;
  }

  /** Starts the server. Sets environment variables, so that commands in this process use the server. */
  static async start(): Promise<StubQuotas> {
    const server = await startStub((request) => stub.#answer(request));
    const stub = new StubQuotas(server);
    process.env['AWS_ENDPOINT_URL_SERVICE_QUOTAS'] = server.url;
    process.env['AWS_ENDPOINT_URL_CLOUDWATCH'] = server.url;
    return stub;
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  #answer({ headers, body }: StubRequest): StubAnswer {
    const [, action = ''] = String(headers['x-amz-target']).split('.');
    const [, region = '', service = ''] =
      /Credential=[^/]+\/\d+\/([^/]+)\/([^/]+)\//.exec(headers.authorization ?? '') ?? [];
    const called = `${service === 'monitoring' ? 'cloudwatch' : service}:${action}`;
    this.calls.push(called);
    if (this.refused.has(called)) return failure('AccessDeniedException', `not authorized to perform: ${called}`);
    const input = JSON.parse(body) as { QuotaCode?: string; Dimensions?: { Name: string; Value: string }[] };
    if (action === 'GetMetricStatistics') {
      const named = input.Dimensions?.find(({ Name }) => Name === 'Resource' || Name === 'TableName')?.Value ?? '';
      const sums = this.sums[region]?.[`${named} ${(JSON.parse(body) as { MetricName: string }).MetricName}`] ?? [];
      return answer({ Datapoints: sums.map((Sum, i) => ({ Sum, Timestamp: 60 * i })) });
    }
    const isApplied = action === 'GetServiceQuota';
    const Quota = isApplied && this.knowsOnlyDefaults ? undefined : QUOTAS[input.QuotaCode ?? ''];
    return Quota === undefined ? failure('NoSuchResourceException', 'no such quota') : answer({ Quota });
  }
}

function answer(body: object): StubAnswer {
  return { status: 200, body: JSON.stringify(body) };
}

function failure(__type: string, message: string): StubAnswer {
  return { status: 400, body: JSON.stringify({ __type, message }) };
}
