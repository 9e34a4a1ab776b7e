import { monthOf, type FleetAssumptions } from './fleet.ts';

/** One price of a tiered price list. `price` applies to each unit up to `upTo`. The last tier has no `upTo`. */
export interface Tier {
  readonly upTo?: number;
  readonly price: number;
}

/** Prices in US dollars. prices.json also gives their date. */
export interface Prices {
  readonly kmsKeyMonth: number;
  readonly kmsPerMillionRequests: number;
  readonly dynamoDbPerMillionReads: number;
  readonly dynamoDbPerMillionReplicatedWrites: number;
  readonly dynamoDbStorageGbMonth: number;
  readonly dynamoDbPointInTimeRecoveryGbMonth: number;
  readonly lambdaPerMillionRequests: number;
  readonly lambdaPerGbSecond: readonly Tier[];
  readonly apiGatewayPerMillionRequests: readonly Tier[];
  readonly logsPerGb: readonly Tier[];
  readonly logsStorageGbMonth: number;
  readonly customMetricMonth: number;
  readonly alarmMonth: number;
  readonly dashboardMonth: number;
}

/** The assumptions of a bill, including those about the fleet. */
export interface Assumptions extends FleetAssumptions {
  readonly memoryMb: number;
  readonly initMs: number;
  readonly keyVersions: number;
  readonly keyRowsPerPartition: number;
  readonly keyRowBytes: number;
  readonly auditLineBytes: number;
  readonly accessLogBytes: number;
  readonly lambdaLines: number;
  readonly lambdaLinesBytes: number;
  readonly eventOverheadBytes: number;
  readonly coldLines: number;
  readonly coldLinesBytes: number;
  readonly tallyLineBytes: number;
  readonly logCompression: number;
  readonly logRetentionMonths: number;
  readonly customMetrics: number;
  readonly alarms: number;
  readonly dashboards: number;
}

const GB = 2 ** 30;
const MILLION = 1e6;
/** The KMS calls per request if a service has no key hierarchy. */
const NAIVE_CALLS_PER_REQUEST = 1;

/** A month's costs in US dollars for each purpose, in the order of the bill. */
export function billOf(ratePerSecond: number, prices: Prices, assumed: Assumptions): Record<string, number> {
  const month = monthOf(ratePerSecond, assumed);
  const { regions, partitions, eventOverheadBytes: overhead } = assumed;
  const memoryGb = assumed.memoryMb / 1024;
  const seconds = (month.requests * assumed.durationMs + month.coldStarts * assumed.initMs) / 1000;
  const tableGb = (partitions * assumed.keyRowsPerPartition * assumed.keyRowBytes) / GB;
  const tableGbPrice = prices.dynamoDbStorageGbMonth + prices.dynamoDbPointInTimeRecoveryGbMonth;
  const minutes = Math.min(month.requests, month.processes * assumed.hoursInMonth * 60);
  const auditGb = (month.requests * (assumed.auditLineBytes + overhead)) / GB;
  const accessGb = (month.requests * (assumed.accessLogBytes + overhead)) / GB;
  const lambdaGb = (month.requests * (assumed.lambdaLinesBytes + assumed.lambdaLines * overhead)) / GB;
  const metricsGb =
    (month.partitionReads * (assumed.coldLinesBytes + assumed.coldLines * overhead) +
      minutes * (assumed.tallyLineBytes + overhead)) /
    GB;
  const logsGb = auditGb + accessGb + lambdaGb + metricsGb;
  const perGb = tiered(logsGb, prices.logsPerGb) / logsGb;
  return {
    'KMS keys': regions * assumed.keyVersions * prices.kmsKeyMonth,
    'KMS requests': (month.kmsCalls / MILLION) * prices.kmsPerMillionRequests,
    'DynamoDB reads': ((month.partitionReads + month.systemKeyReads) / MILLION) * prices.dynamoDbPerMillionReads,
    'DynamoDB writes': ((month.keysMade * regions) / MILLION) * prices.dynamoDbPerMillionReplicatedWrites,
    'DynamoDB storage and recovery': tableGb * regions * tableGbPrice,
    'Lambda requests': (month.requests / MILLION) * prices.lambdaPerMillionRequests,
    'Lambda compute': tiered(seconds * memoryGb, prices.lambdaPerGbSecond),
    'API Gateway': tiered(month.requests / MILLION, prices.apiGatewayPerMillionRequests),
    'Logs: the audit line': auditGb * perGb,
    "Logs: API Gateway's line": accessGb * perGb,
    "Logs: Lambda's own lines": lambdaGb * perGb,
    'Logs: metrics': metricsGb * perGb,
    'Logs: kept': logsGb * assumed.logCompression * assumed.logRetentionMonths * prices.logsStorageGbMonth,
    'Metrics, alarms, dashboard':
      assumed.customMetrics * prices.customMetricMonth +
      assumed.alarms * prices.alarmMonth +
      assumed.dashboards * prices.dashboardMonth,
  };
}

/** The monthly KMS costs of a service that calls KMS for every item. */
export function naiveKmsOf(ratePerSecond: number, prices: Prices, assumed: Assumptions): number {
  const { requests } = monthOf(ratePerSecond, assumed);
  return ((requests * NAIVE_CALLS_PER_REQUEST) / MILLION) * prices.kmsPerMillionRequests;
}

/** The cost of an amount under tiered prices. */
export function tiered(amount: number, tiers: readonly Tier[]): number {
  let from = 0;
  let cost = 0;
  for (const { upTo = Infinity, price } of tiers) {
    if (amount <= from) break;
    cost += (Math.min(amount, upTo) - from) * price;
    from = upTo;
  }
  return cost;
}
