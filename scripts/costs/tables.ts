import { billOf, naiveKmsOf, type Assumptions, type Prices } from './bill.ts';
import { monthOf, processesFor } from './fleet.ts';

/**
 * A quota for KMS requests, and the regions to which it applies. If the list is empty, the quota applies to all regions
 * that no other quota names.
 */
export interface KmsQuota {
  readonly quota: number;
  readonly regions: readonly string[];
}

const RATES = [1, 100, 10_000] as const;
const AS_COLUMNS = RATES.map((rate) => `${count(rate)} a second`);

/**
 * A Markdown table of the bill at each request rate. For comparison, it has the costs of calling KMS for every item.
 */
export function costsTable(prices: Prices, assumed: Assumptions): string {
  const bills = RATES.map((rate) => billOf(rate, prices, assumed));
  const sums = bills.map((bill) => Object.values(bill).reduce((sum, cost) => sum + cost, 0));
  const requests = RATES.map((rate) => monthOf(rate, assumed).requests);
  const naive = RATES.map((rate) => naiveKmsOf(rate, prices, assumed));
  const ofKms = bills.map((bill) => (bill['KMS keys'] ?? 0) + (bill['KMS requests'] ?? 0));
  const rows = [
    ...Object.keys(bills[0] ?? {}).map((name) => [name].concat(bills.map((bill) => dollars(bill[name] ?? 0)))),
    ['**total**', ...sums.map((sum) => `**${dollars(sum)}**`)],
    ['for a million requests', ...sums.map((sum, i) => dollars((sum / (requests[i] ?? 1)) * 1e6))],
    [
      'total, with logFormat json and systemLogLevel WARN',
      ...sums.map((sum, i) => dollars(sum - (bills[i]?.["Logs: Lambda's own lines"] ?? 0))),
    ],
    ['total, by direct invocation', ...sums.map((sum, i) => dollars(sum - ofApiGateway(bills[i] ?? {})))],
    ['KMS alone', ...ofKms.map(dollars)],
    ['KMS alone, if it were called for each item', ...naive.map(dollars)],
  ];
  return table(['US dollars a month', ...AS_COLUMNS], rows);
}

/**
 * What a service saves if its callers invoke the functions directly: the price of API Gateway and of writing its log
 * lines. The price of storing these lines is not included.
 */
function ofApiGateway(bill: Readonly<Record<string, number>>): number {
  return (bill['API Gateway'] ?? 0) + (bill["Logs: API Gateway's line"] ?? 0);
}

/** A Markdown table of the assumptions and their reasons. */
export function assumptionsTable(assumptions: Readonly<Record<string, { value: number; why: string }>>): string {
  const rows = Object.entries(assumptions).map(([name, { value, why }]) => [`\`${name}\``, String(value), why]);
  return table(['Assumption', 'Value', 'Meaning'], rows);
}

/**
 * A Markdown table that compares each fleet's KMS calls with each KMS quota, and its requests with API Gateway's quota.
 */
export function quotaTable(assumed: Assumptions, quotas: readonly KmsQuota[], apiGatewayQuota: number): string {
  const processes = RATES.map((rate) => processesFor(rate, assumed));
  const atOnce = processes.map((n) => n * assumed.systemKeysInUse);
  const steady = RATES.map((rate) => monthOf(rate, assumed).kmsCalls / (assumed.hoursInMonth * 3600));
  const rows = [
    ['processes in the busiest second', ...processes.map(count)],
    ['KMS calls a second, on average', ...steady.map((calls) => calls.toPrecision(2))],
    ['KMS calls, if all processes start in one second', ...atOnce.map(count)],
    ...quotas.map(({ quota, regions }) => [
      `share of ${count(quota)} (${regions.length === 0 ? 'all other regions' : regions.join(', ')})`,
      ...atOnce.map((calls) => share(calls / quota)),
    ]),
    ['KMS called for each item, on average', ...RATES.map(count)],
    ['KMS called for each item, in the busiest second', ...RATES.map((rate) => count(rate * assumed.peakFactor))],
    ...quotas.map(({ quota }) => [
      `share of ${count(quota)}`,
      ...RATES.map((rate) => share((rate * assumed.peakFactor) / quota)),
    ]),
    ['API Gateway requests in the busiest second', ...RATES.map((rate) => count(rate * assumed.peakFactor))],
    [
      `share of ${count(apiGatewayQuota)} (all APIs of the account in the region)`,
      ...RATES.map((rate) => share((rate * assumed.peakFactor) / apiGatewayQuota)),
    ],
  ];
  return table(['', ...AS_COLUMNS], rows);
}

function dollars(amount: number): string {
  return amount > 0 && amount < 0.005
    ? '< 0.01'
    : amount.toLocaleString('en-US', { maximumFractionDigits: 2, minimumFractionDigits: 2 });
}

function count(amount: number): string {
  return amount.toLocaleString('en-US');
}

function share(part: number): string {
  return `${(part * 100).toLocaleString('en-US', { maximumSignificantDigits: 2 })} %`;
}

/** Formats a Markdown table as prettier does, with columns as wide as their widest cell. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, i) => Math.max(3, ...[head, ...rows].map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((text, i) => text.padEnd(widths[i] ?? 0)).join(' | ')} |`;
  return [line(head), `| ${widths.map((w) => '-'.repeat(w)).join(' | ')} |`, ...rows.map(line)].join('\n');
}
