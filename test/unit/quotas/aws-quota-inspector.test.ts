import { CloudWatchClient } from '@aws-sdk/client-cloudwatch';
import { ServiceQuotasClient } from '@aws-sdk/client-service-quotas';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { AwsQuotaInspector } from '../../../src/quotas/aws-quota-inspector.ts';
import { startStub, type StubAnswer, type StubServer } from '../../support/stub-server.ts';

const NAME = { service: 'kms', code: 'L-1' };
const METRIC = { namespace: 'AWS/Usage', name: 'CallCount', dimensions: { Service: 'KMS', Type: 'API' } };
const NO_QUOTA: StubAnswer = { status: 400, body: '{"__type":"NoSuchResourceException"}' };
const DENIED: StubAnswer = { status: 400, body: '{"__type":"AccessDeniedException"}' };
let stub: StubServer;
let answers: StubAnswer[] = [];

beforeEach(async () => {
  stub = await startStub(() => answers.shift() ?? 'reset');
  vi.stubEnv('AWS_ENDPOINT_URL_SERVICE_QUOTAS', stub.url);
  vi.stubEnv('AWS_ENDPOINT_URL_CLOUDWATCH', stub.url);
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await stub.stop();
});

/** Makes an inspector whose calls get these responses. Its clock shows 15 s after a whole minute. */
function inspector(...next: object[]): AwsQuotaInspector {
  answers = next.map((each) => ('status' in each ? (each as StubAnswer) : { status: 200, body: JSON.stringify(each) }));
  return new AwsQuotaInspector('eu-west-1', () => Date.UTC(2026, 10, 30, 12, 0, 15, 250));
}

/** The calls so far: the action, the region of the signature, and the input. */
function calls(): unknown[] {
  return stub.requests.map(({ headers, body }) => [
    String(headers['x-amz-target']).replace(/.*\./, ''),
    /Credential=[^/]+\/\d+\/([^/]+)/.exec(headers.authorization ?? '')?.[1],
    JSON.parse(body),
  ]);
}

it('AwsQuotaInspector reads a quota and the metric of its use', async () => {
  const UsageMetric = { MetricNamespace: 'AWS/Usage', MetricName: 'CallCount', MetricDimensions: METRIC.dimensions };
  const found = await inspector({ Quota: { Value: 7, UsageMetric } }).quota(NAME);
  expect(found).toEqual({ answer: { value: 7, metric: METRIC }, latencyMs: expect.any(Number) as number });
  expect(calls()).toEqual([['GetServiceQuota', 'eu-west-1', { ServiceCode: 'kms', QuotaCode: 'L-1' }]]);
});

it('AwsQuotaInspector reads the default of a quota that was never raised', async () => {
  const found = await inspector(NO_QUOTA, { Quota: { Value: 5 } }).quota(NAME);
  expect(found).toMatchObject({ answer: { value: 5, metric: undefined } });
  expect(calls()).toEqual(
    ['GetServiceQuota', 'GetAWSDefaultServiceQuota'].map((action) => [
      action,
      'eu-west-1',
      { ServiceCode: 'kms', QuotaCode: 'L-1' },
    ]),
  );
});

it.for([
  ['no quota', {}, { value: undefined, metric: undefined }],
  ['a metric without a name', { Quota: { UsageMetric: { MetricNamespace: 'a' } } }, { metric: undefined }],
  ['a metric without a namespace', { Quota: { UsageMetric: { MetricName: 'b' } } }, { metric: undefined }],
  [
    'a metric without dimensions',
    { Quota: { UsageMetric: { MetricNamespace: 'a', MetricName: 'b' } } },
    { metric: { namespace: 'a', name: 'b', dimensions: {} } },
  ],
] as const)('AwsQuotaInspector accepts a response with %s', async ([, response, answer]) => {
  expect(await inspector(response).quota(NAME)).toMatchObject({ answer });
});

it('AwsQuotaInspector returns the error of a failed call, and does not request the default quota afterwards', async () => {
  expect(await inspector(DENIED).quota(NAME)).toEqual({
    fault: expect.objectContaining({ name: 'AccessDeniedException' }) as unknown,
  });
  expect(stub.requests).toHaveLength(1);
  expect(await inspector(DENIED).peakRate(METRIC)).toEqual({
    fault: expect.objectContaining({ name: 'AccessDeniedException' }) as unknown,
  });
});

it('AwsQuotaInspector tries each call at most twice', async () => {
  answers = [];
  expect(await inspector().quota(NAME)).toHaveProperty('fault');
  expect(stub.requests).toHaveLength(2);
});

it('AwsQuotaInspector waits one second for a connection, and three seconds for a response', async () => {
  const sent = [vi.spyOn(ServiceQuotasClient.prototype, 'send'), vi.spyOn(CloudWatchClient.prototype, 'send')];
  await inspector({}).quota(NAME);
  await inspector({}).peakRate(METRIC);
  const handlers = sent.map(({ mock }) => (mock.contexts[0] as ServiceQuotasClient).config.requestHandler);
  for (const handler of handlers) {
    expect((handler as unknown as { httpHandlerConfigs(): object }).httpHandlerConfigs()).toMatchObject({
      connectionTimeout: 1000,
      requestTimeout: 3000,
      socketTimeout: 3000,
      throwOnRequestTimeout: true,
    });
  }
});

it('AwsQuotaInspector returns the highest rate of any minute of the last day, in calls a second', async () => {
  const Timestamp = 1_700_000_000;
  const Datapoints = [{ Sum: 60, Timestamp }, { Sum: 120, Timestamp }, { Timestamp }, { Sum: 90, Timestamp }];
  expect(await inspector({ Datapoints }).peakRate(METRIC)).toMatchObject({ answer: 2 });
  expect(calls()).toEqual([
    [
      'GetMetricStatistics',
      'eu-west-1',
      {
        Namespace: 'AWS/Usage',
        MetricName: 'CallCount',
        Dimensions: [
          { Name: 'Service', Value: 'KMS' },
          { Name: 'Type', Value: 'API' },
        ],
        StartTime: Date.UTC(2026, 10, 29, 12) / 1000,
        EndTime: Date.UTC(2026, 10, 30, 12) / 1000,
        Period: 60,
        Statistics: ['Sum'],
      },
    ],
  ]);
});

it('AwsQuotaInspector returns no rate if the metric has no data points, and 0 if a data point has no sum', async () => {
  for (const response of [{}, { Datapoints: [] }]) {
    expect(await inspector(response).peakRate(METRIC)).toEqual({
      answer: undefined,
      latencyMs: expect.any(Number) as number,
    });
  }
  expect(await inspector({ Datapoints: [{ Timestamp: 1 }] }).peakRate(METRIC)).toMatchObject({ answer: 0 });
});
