import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { monthOf } from '../../../scripts/costs/fleet.ts';
import { ASSUMED } from '../../../scripts/costs/given.ts';
import { alarmResources } from '../../../deploy/alarms.ts';
import { apiParts } from '../../../deploy/api.ts';
import { readDeployment } from '../../../deploy/read-deployment.ts';
import { readQueueConfig, type QueueConfig } from '../../../src/config/queue-config.ts';
import { readConfig } from '../../../src/config/read-config.ts';
import { OPERATION_NAMES } from '../../../src/operations/operation-name.ts';
import { EXAMPLE } from './aws-cli.ts';
import { documentedMetrics, FLIPPED, packageExample, type AppPackage, type AppResource } from './package.ts';
import { templateOf } from './template.ts';

const FUNCTIONS = ['Api', 'Seal', 'Open', 'Queue', 'Maintenance'];
const documented = documentedMetrics();

let example: AppPackage;
let flipped: AppPackage;

beforeAll(async () => {
  // Package one app at a time, because osls writes into .serverless/ while it runs.
  example = await packageExample({});
  flipped = await packageExample(FLIPPED);
}, 120_000);
afterAll(() => Promise.all([example.remove(), flipped.remove()]));

function ofType({ resources }: AppPackage, type: string): [string, AppResource][] {
  return Object.entries(resources).filter(([, { Type }]) => Type === type);
}

function functionOf(app: AppPackage, name: string): AppResource['Properties'] {
  return app.resources[`${name}LambdaFunction`]?.Properties ?? {};
}

/** The environment of a function, with a URL in place of each reference to a queue. */
function environmentOf(app: AppPackage, name: string): Record<string, string> {
  const { Variables } = functionOf(app, name)['Environment'] as { Variables: Record<string, string | { Ref: string }> };
  const urlOf = (ref: string): string => {
    const { QueueName } = (app.resources[ref] as AppResource).Properties as { QueueName: string };
    return `https://sqs.us-west-2.amazonaws.com/111122223333/${QueueName}`;
  };
  const values = Object.entries(Variables).map(([key, value]) => [
    key,
    typeof value === 'string' ? value : urlOf(value.Ref),
  ]);
  return { ...Object.fromEntries(values), AWS_REGION: 'us-west-2', AWS_LAMBDA_FUNCTION_NAME: name };
}

/**
 * The summary of a packaged app, for comparison with the file that a person has reviewed. It has a line for each
 * resource and each graph. It omits the location of the code, which differs in each package.
 */
function reviewOf({ resources }: AppPackage): string {
  const lines = Object.entries(resources).flatMap(([name, { Type: _type, Properties: all, ...rest }]) => {
    if (name === 'Dashboard') return graphsOf(all);
    const { Code: _code, ...properties } = all;
    return [`${name} ${JSON.stringify({ ...properties, ...rest })}`];
  });
  return `${lines.toSorted().join('\n')}\n`;
}

function graphsOf({ DashboardName, DashboardBody }: AppResource['Properties']): string[] {
  const { widgets } = JSON.parse(DashboardBody as string) as { widgets: object[] };
  return widgets.map((widget, i) => `${DashboardName as string} graph ${10 + i} ${JSON.stringify(widget)}`);
}

function aliasOf(region: string): string {
  return `arn:aws:kms:${region}:111122223333:alias/keyfold`;
}

function queueNames(app: AppPackage): unknown[] {
  return ofType(app, 'AWS::SQS::Queue').map(([, { Properties }]) => [Properties['QueueName'], Properties['FifoQueue']]);
}

function namesOf(dimensions: { Name: string }[]): string[] {
  return dimensions.map(({ Name }) => Name).toSorted();
}

/** Keyfold's metrics that an alarm watches, each with its dimensions. */
function ownMetrics({ Namespace, MetricName, Dimensions = [], Metrics = [] }: AppResource['Properties']): unknown[] {
  const one = Namespace === 'Keyfold' ? [[MetricName, namesOf(Dimensions)]] : [];
  const others = Metrics.flatMap(
    (part: { MetricStat?: { Metric: AppResource['Properties'] }; Expression?: string }) => {
      const { Metric } = part.MetricStat ?? {};
      if (Metric?.['Namespace'] === 'Keyfold') return [[Metric['MetricName'], namesOf(Metric['Dimensions'])]];
      const query = /^SELECT SUM\("(\w+)"\) FROM SCHEMA\("Keyfold", (.*)\) WHERE/.exec(part.Expression ?? '');
      return query === null ? [] : [[query[1], (query[2] ?? '').replaceAll('"', '').split(', ').toSorted()]];
    },
  );
  return [...one, ...others];
}

/** The probability that an alarm fires within these hours, if this many events occur at random times in each hour. */
function chanceToRing(alarm: AppResource['Properties'], perHour: number, hours: number): number {
  const { Threshold, EvaluationPeriods, Metrics } = alarm as {
    Threshold: number;
    EvaluationPeriods: number;
    Metrics: { Period: number }[];
  };
  const periodHours = (Metrics[0]?.Period ?? 0) / 3600;
  const mean = perHour * periodHours;
  let [below, term] = [0, Math.exp(-mean)];
  for (let count = 0; count < Threshold; count += 1) {
    below += term;
    term *= mean / (count + 1);
  }
  return 1 - (1 - (1 - below) ** EvaluationPeriods) ** (hours / periodHours / EvaluationPeriods);
}

/** The periods of an alarm's metric, or of all metrics that the alarm sums. */
function periodsOf({ Period, Metrics = [] }: AppResource['Properties']): unknown[] {
  const metrics = (Metrics as { MetricStat?: { Period: number } }[]).flatMap(
    ({ MetricStat }) => MetricStat?.Period ?? [],
  );
  return Period === undefined ? metrics : [Period];
}

/** The codes in docs/reference/errors.md except those that report a caller's mistake. */
function documentedFaults(): string[] {
  const docs = readFileSync(new URL('../../../docs/reference/errors.md', import.meta.url), 'utf8');
  return [...docs.matchAll(/^\|([^|]*)\|\s*5\d\d\s*\|/gm)].flatMap(([, codes = '']) =>
    [...codes.matchAll(/`(\w+)`/g)].map(([, code = '']) => code),
  );
}

/** How long each queue keeps a message. */
function daysKept(app: AppPackage): unknown[] {
  return ['InputQueue', 'OutputQueue', 'DeadLetterQueue'].map(
    (id) => app.resources[id]?.Properties['MessageRetentionPeriod'] / 86_400,
  );
}

/** The error codes for which an alarm watches this Keyfold metric. */
function codesRungFor(metric: string): Set<unknown> {
  const counted = ofType(example, 'AWS::CloudWatch::Alarm').flatMap(([, { Properties }]) => {
    const terms = (Properties['Metrics'] ?? []) as AppResource['Properties'][];
    return terms.map(({ MetricStat }) => MetricStat?.Metric ?? {}).concat(Properties);
  });
  const dimensions = counted
    .filter(({ MetricName }) => MetricName === metric)
    .flatMap(({ Dimensions }) => (Dimensions as { Name: string; Value: string }[]) ?? []);
  return new Set(dimensions.filter(({ Name }) => Name === 'code').map(({ Value }) => Value));
}

/**
 * The minutes in which SQS delivers a message, again and again, because the function cannot send to any queue. The
 * first delivery is at `startSeconds`.
 */
function minutesTried({ retryDelaySeconds, longestRetryDelaySeconds }: QueueConfig, startSeconds: number): number[] {
  let at = startSeconds;
  const tries = Array.from({ length: 12 }, (_, i) => {
    const tried = at;
    at += Math.min(longestRetryDelaySeconds, retryDelaySeconds * 2 ** i);
    return Math.floor(tried / 60);
  });
  return [...new Set(tries)];
}

describe('the functions of the app', () => {
  it.for(FUNCTIONS)('get their roles from the roles stack (%s)', (name) => {
    expect(functionOf(example, name)['Role']).toEqual({ 'Fn::ImportValue': `keyfold-roles-${name}RoleArn` });
  });

  it("name only ARNs in the deployment's AWS partition", () => {
    const arns = JSON.stringify(example.resources).match(/arn:aws[a-z-]*:[^"\\]*/g) ?? [];
    expect(new Set(arns)).toEqual(new Set([aliasOf('us-west-2'), aliasOf('us-east-1')]));
  });

  it('are all in the packaged app, which has no IAM roles', () => {
    expect(
      ofType(example, 'AWS::Lambda::Function')
        .map(([id]) => id)
        .toSorted(),
    ).toEqual(FUNCTIONS.map((name) => `${name}LambdaFunction`).toSorted());
    expect(ofType(example, 'AWS::IAM::Role')).toEqual([]);
  });

  it.for(FUNCTIONS)(
    'run on Arm under Node 24, with the configured log format, log levels and retention (%s)',
    (name) => {
      const found = functionOf(example, name);
      expect(found).toMatchObject({ Runtime: 'nodejs24.x', Architectures: ['arm64'] });
      expect(found).toMatchObject({
        FunctionName: `keyfold-${name.toLowerCase()}`,
        LoggingConfig: { LogFormat: 'Text' },
      });
      expect(functionOf(flipped, name)['LoggingConfig']).toEqual({
        LogFormat: 'JSON',
        ApplicationLogLevel: 'DEBUG',
        SystemLogLevel: 'WARN',
      });
      const group = example.resources[`${name}LogGroup`];
      expect(group?.Properties).toEqual({
        LogGroupName: `/aws/lambda/keyfold-${name.toLowerCase()}`,
        RetentionInDays: 365,
      });
    },
  );

  it('have zip files that each contain only the build folder of the function', () => {
    const folders = Object.entries(example.zips).map(([zip, names]) => [
      zip,
      [...new Set(names.map((name) => name.slice(0, name.lastIndexOf('/'))))],
    ]);
    expect(Object.fromEntries(folders)).toEqual({
      'api.zip': ['dist/handlers/api'],
      'seal.zip': ['dist/handlers/invoke'],
      'open.zip': ['dist/handlers/invoke'],
      'queue.zip': ['dist/handlers/queue'],
      'maintenance.zip': ['dist/handlers/maintenance'],
    });
  });

  it.for(['Api', 'Seal', 'Open', 'Maintenance'])('have environment variables that the code accepts (%s)', (name) => {
    for (const app of [example, flipped]) {
      const { names, kms } = readConfig(environmentOf(app, name));
      expect(names).toMatchObject({ service: 'orders', product: 'shop', regionSuffix: 'us-west-2' });
      expect(kms).toMatchObject({ keys: { 'us-west-2': aliasOf('us-west-2'), 'us-east-1': aliasOf('us-east-1') } });
    }
  });

  it('use the authorizer that deploy.yml selects for the routes', () => {
    expect(readConfig(environmentOf(example, 'Api')).auth).toEqual({ kind: 'iam' });
    expect(readConfig(environmentOf(flipped, 'Api')).auth).toEqual({
      kind: 'jwt',
      partitionsClaim: 'tenants',
      partitionLists: true,
      partitionWildcards: false,
      scopeClaim: 'scp',
    });
  });

  it('get the extra settings in deploy.yml', () => {
    expect(environmentOf(flipped, 'Open')['KEYFOLD_ON_KEY_REFUSED']).toBe('fail');
  });

  it('divide the operations: the function Open has every operation that decrypts, and the function Seal has the rest', () => {
    const [seal = [], open = []] = ['Seal', 'Open'].map(
      (name) => readConfig(environmentOf(example, name)).door.serves.operations,
    );
    expect([...seal, ...open].toSorted()).toEqual([...OPERATION_NAMES].toSorted());
    expect(open.every((operation) => operation.startsWith('decrypt'))).toBe(true);
    expect(seal.some((operation) => operation.startsWith('decrypt'))).toBe(false);
  });

  it('can have a customer managed key for their logs, their alarm topic and their code', async () => {
    const KmsKeyId = FLIPPED.storageKeys['us-west-2'];
    const logs = ofType(flipped, 'AWS::Logs::LogGroup');
    expect(logs.map(([id]) => id).toSorted()).toEqual(
      [...FUNCTIONS.map((name) => `${name}LogGroup`), 'HttpApiLogGroup'].toSorted(),
    );
    for (const [id, { Properties }] of logs) expect([id, Properties['KmsKeyId']]).toEqual([id, KmsKeyId]);
    expect(flipped.resources['ServerlessDeploymentBucket']?.Properties['BucketEncryption']).toEqual({
      ServerSideEncryptionConfiguration: [
        {
          ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: KmsKeyId },
          BucketKeyEnabled: true,
        },
      ],
    });
    const deployment = await readDeployment(EXAMPLE);
    const keyed = { ...deployment, storageKeys: FLIPPED.storageKeys };
    expect(alarmResources(keyed, 'us-west-2')['AlarmTopic']?.Properties).toMatchObject({ KmsMasterKeyId: KmsKeyId });
    const { resources } = apiParts({ ...keyed, api: { type: 'rest' } }, 'us-west-2');
    expect(resources['RestApiLogGroup']?.Properties).toMatchObject({ KmsKeyId });
    expect(JSON.stringify(example.resources)).not.toMatch(/KmsKeyId|KmsMasterKeyId|"aws:kms"/);
  });

  it('can have tracing, a customer managed key for their environment variables, and reserved concurrency', () => {
    for (const name of FUNCTIONS) {
      expect(functionOf(flipped, name)).toMatchObject({
        TracingConfig: { Mode: 'Active' },
        KmsKeyArn: FLIPPED.environmentKeys['us-west-2'],
      });
      expect(functionOf(example, name)).toMatchObject({ TracingConfig: { Mode: 'PassThrough' } });
      expect(functionOf(example, name)).not.toHaveProperty('KmsKeyArn');
      expect(functionOf(example, name)).not.toHaveProperty('ReservedConcurrentExecutions');
    }
    expect(functionOf(flipped, 'Seal')).toMatchObject({ ReservedConcurrentExecutions: 7 });
  });
});

describe('the HTTP API', () => {
  it('has four routes and a catch-all route, each with an authorizer', () => {
    const routes = ofType(example, 'AWS::ApiGatewayV2::Route').map(([, { Properties }]) => Properties);
    expect(routes.map(({ RouteKey }) => RouteKey as string)).toEqual([
      'POST /v1/partitions/{partition}/{operation}',
      'GET /v1/health',
      'GET /v1/ready',
      'GET /v1/openapi.json',
      '$default',
    ]);
    for (const route of routes) expect(route['AuthorizationType']).toBe('AWS_IAM');
  });

  it('accepts only tokens with the issuer, audience and scope that deploy.yml names', () => {
    const [[id, authorizer] = []] = ofType(flipped, 'AWS::ApiGatewayV2::Authorizer');
    expect(authorizer?.Properties).toMatchObject({
      AuthorizerType: 'JWT',
      JwtConfiguration: { Issuer: 'https://login.example.com/', Audience: ['keyfold'] },
    });
    const routes = ofType(flipped, 'AWS::ApiGatewayV2::Route');
    expect(routes).toHaveLength(5);
    for (const [, { Properties }] of routes) {
      expect(Properties).toMatchObject({ AuthorizationType: 'JWT', AuthorizerId: { Ref: id } });
      expect(Properties['AuthorizationScopes']).toEqual(['keyfold/encrypt', 'keyfold/decrypt', 'keyfold/rewrap']);
    }
  });

  it('may invoke only the api function, and the schedule may invoke only the maintenance function', () => {
    const permissions = ofType(example, 'AWS::Lambda::Permission').map(([, { Properties }]) => Properties);
    expect(permissions).toHaveLength(2);
    const [ofApi, ofSchedule] = ['Api', 'Maintenance'].map((name) =>
      permissions.find(({ FunctionName }) => JSON.stringify(FunctionName).includes(`"${name}LambdaFunction"`)),
    );
    expect(ofApi).toMatchObject({ Principal: 'apigateway.amazonaws.com', Action: 'lambda:InvokeFunction' });
    expect(JSON.stringify(ofApi?.['SourceArn'])).toMatch(/:execute-api:.*\{"Ref":"HttpApi"\},"\/\*"/);
    expect(ofSchedule).toMatchObject({ Principal: 'events.amazonaws.com' });
    expect(ofSchedule?.['SourceArn']).toEqual({ 'Fn::GetAtt': ['MaintenanceEventsRuleSchedule1', 'Arn'] });
  });

  it("is in a stack with termination protection and the deployment's tags", () => {
    const tags = { Classification: 'confidential' };
    for (const { stack } of [example, flipped]) {
      expect(stack).toMatchObject({ deletionProtection: true, stackTags: tags });
    }
  });

  it('throttles requests, and logs refused callers without the path of the request', () => {
    const { DefaultRouteSettings, AccessLogSettings } = example.resources['HttpApiStage']?.Properties ?? {};
    expect(DefaultRouteSettings).toMatchObject({ ThrottlingRateLimit: 1000, ThrottlingBurstLimit: 500 });
    expect(JSON.parse((AccessLogSettings as { Format: string }).Format)).not.toHaveProperty('path');
    expect(example.resources['HttpApiLogGroup']?.Properties).toMatchObject({
      RetentionInDays: 365,
      // For a log group with another prefix, AWS adds an entry to a resource policy of the account. That policy holds
      // at most 5,120 characters.
      LogGroupName: '/aws/vendedlogs/http-api/keyfold-app',
    });
  });

  it('has a log group that outlives the stack, like the log group of each function', () => {
    for (const app of [example, flipped]) {
      const groups = ofType(app, 'AWS::Logs::LogGroup');
      expect(groups.map(([id]) => id).toSorted()).toEqual(
        [...FUNCTIONS, 'HttpApi'].map((name) => `${name}LogGroup`).toSorted(),
      );
      for (const [, group] of groups) {
        expect(group).toMatchObject({ DeletionPolicy: 'RetainExceptOnCreate', UpdateReplacePolicy: 'Retain' });
      }
    }
  });
});

describe('the queues of the app', () => {
  it("have a visibility timeout of six times the function's timeout, and deliver a message at most a hundred times", () => {
    for (const app of [example, flipped]) {
      const { VisibilityTimeout, RedrivePolicy, MessageRetentionPeriod } =
        app.resources['InputQueue']?.Properties ?? {};
      expect(VisibilityTimeout).toBeGreaterThanOrEqual(6 * (functionOf(app, 'Queue')['Timeout'] as number));
      expect(RedrivePolicy.maxReceiveCount).toBeGreaterThanOrEqual(100);
      expect(RedrivePolicy.deadLetterTargetArn).toEqual({ 'Fn::GetAtt': ['DeadLetterQueue', 'Arn'] });
      expect(MessageRetentionPeriod).toBeGreaterThanOrEqual(2 * 86_400);
    }
  });

  it('keep dead letters for fourteen days, because SQS counts from the time the message was first sent', () => {
    expect(daysKept(example)).toEqual([14, 14, 14]);
    expect(daysKept(flipped)).toEqual([2, 2, 14]);
  });

  it('are encrypted, accept only TLS, and outlive the stack', () => {
    const queues = ofType(example, 'AWS::SQS::Queue');
    expect(queues.map(([id]) => id)).toEqual(['InputQueue', 'OutputQueue', 'DeadLetterQueue']);
    for (const [id, { DeletionPolicy, Properties }] of queues) {
      expect(DeletionPolicy).toBe('RetainExceptOnCreate');
      expect(Properties['SqsManagedSseEnabled']).toBe(true);
      const { PolicyDocument } = (example.resources[`${id}Policy`] as AppResource).Properties;
      const [statement] = PolicyDocument.Statement as object[];
      expect(statement).toMatchObject({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } });
    }
  });

  it('are polled with the configured concurrency, and get back only the messages that failed', () => {
    const [[, mapping] = []] = ofType(example, 'AWS::Lambda::EventSourceMapping');
    expect(mapping?.Properties).toMatchObject({
      EventSourceArn: { 'Fn::GetAtt': ['InputQueue', 'Arn'] },
      FunctionResponseTypes: ['ReportBatchItemFailures'],
      ScalingConfig: { MaximumConcurrency: 10 },
    });
  });

  it('are all standard or all FIFO, and the function accepts either kind', () => {
    expect(queueNames(example)).toEqual([
      ['keyfold-input', undefined],
      ['keyfold-output', undefined],
      ['keyfold-dead-letters', undefined],
    ]);
    expect(queueNames(flipped)).toEqual([
      ['keyfold-input.fifo', true],
      ['keyfold-output.fifo', true],
      ['keyfold-dead-letters.fifo', true],
    ]);
    expect(readQueueConfig(environmentOf(example, 'Queue')).queue.outputUrl).toMatch(/keyfold-output$/);
    expect(readQueueConfig(environmentOf(flipped, 'Queue')).queue).toMatchObject({ fields: ['$.card'] });
  });
});

describe('the alarms of the app', () => {
  it('watch only metrics that the code writes, with all their dimensions', () => {
    const alarms = ofType(example, 'AWS::CloudWatch::Alarm');
    const own = alarms.flatMap(([, { Properties }]) => ownMetrics(Properties)) as [string, string[]][];
    for (const [metric, dimensions] of own) expect([metric, dimensions]).toEqual([metric, documented.get(metric)]);
    expect([...new Set(own.map(([metric]) => metric))].toSorted()).toEqual([
      'KeysRetired',
      'KmsFailovers',
      'KmsRegionFailures',
      'KmsWrapsMissing',
      'MessagesDeadLettered',
      'MessagesRetried',
      'RequestErrors',
      'StaleServes',
      'SystemKeyAge',
      'SystemKeysNotCreated',
      'SystemKeysNotMaintained',
      'SystemKeysUnopenable',
    ]);
  });

  it('fire when the System Key reaches the maximum age in deploy.yml', () => {
    const [byDefault, shorter] = [example, flipped].map(({ resources }) => resources['SystemKeyOldAlarm']?.Properties);
    expect(byDefault).toMatchObject({ MetricName: 'SystemKeyAge', Statistic: 'Maximum', Threshold: 90 * 86_400 });
    expect(shorter).toMatchObject({ Threshold: 30 * 86_400 });
  });

  it('name an existing runbook in each description', () => {
    const alarms = [...ofType(example, 'AWS::CloudWatch::Alarm'), ...ofType(flipped, 'AWS::CloudWatch::Alarm')];
    const texts = alarms.map(([, { Properties }]) => Properties['AlarmDescription'] as string);
    texts.push(
      ...readFileSync(new URL('../../../infra/keys.yml', import.meta.url), 'utf8')
        .split('AlarmDescription')
        .slice(1),
    );
    expect(texts.length).toBeGreaterThan(60);
    const named = texts.map((text) => /docs\/runbooks\/[a-z-]+\.md/.exec(text)?.[0] ?? `none in ${text}`);
    expect(named.filter((page) => !existsSync(new URL(`../../../${page}`, import.meta.url)))).toEqual([]);
  });

  it('each name a runbook that docs/runbooks/README.md lists for the alarm', () => {
    const docs = readFileSync(new URL('../../../docs/runbooks/README.md', import.meta.url), 'utf8');
    const rows = [...docs.matchAll(/^\| \[.*?\]\(([a-z-]+)\.md\) *\| (.*?) \|/gm)];
    const pagesOf = (name: string): string[] =>
      rows.filter(([, , names = '']) => names.includes(`\`${name}\``)).map(([, page = '']) => page);
    for (const [id, { Properties }] of ofType(example, 'AWS::CloudWatch::Alarm')) {
      const name = id.replace(/Alarm$/, '');
      const named = pagesOf(name);
      const pages = named.length > 0 ? named : pagesOf(name.replace(/^[A-Z][a-z]+/, '…'));
      const [, page] =
        /^(?!undefined).+\. Runbook: docs\/runbooks\/([a-z-]+)\.md$/.exec(Properties['AlarmDescription'] as string) ??
        [];
      expect([name, pages]).toEqual([name, expect.arrayContaining([page])]);
    }
  });

  it('watch as many metrics as docs/explanation/costs.md assumes for the bill', () => {
    const app = ofType(example, 'AWS::CloudWatch::Alarm').map(([, { Properties }]) =>
      ((Properties['Metrics'] ?? []) as object[]).filter((part) => 'MetricStat' in part),
    );
    const keys = Object.values(templateOf('keys').Resources).filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm');
    const metrics = app.map((counted) => Math.max(1, counted.length)).reduce((sum, count) => sum + count, keys.length);
    expect(metrics).toBe(ASSUMED.alarms);
    const docs = readFileSync(new URL('../../../docs/reference/iam-and-stacks.md', import.meta.url), 'utf8');
    expect(docs).toContain(`An app with queues has ${app.length} alarms`);
  });

  it("watch every function's errors and throttles, and the dead-letter queues", () => {
    const watched = ofType(example, 'AWS::CloudWatch::Alarm').flatMap(([, { Properties }]) =>
      (Properties['Dimensions'] ?? []).map(({ Value }: { Value: string }) => `${Properties['MetricName']} ${Value}`),
    );
    for (const name of FUNCTIONS) {
      expect(watched).toContain(`Errors keyfold-${name.toLowerCase()}`);
      expect(watched).toContain(`Throttles keyfold-${name.toLowerCase()}`);
    }
    expect(watched).toContain('ApproximateNumberOfMessagesVisible keyfold-dead-letters');
  });

  it('treat missing data as healthy, except the alarm that fires if maintenance has not run for 26 hours', () => {
    for (const [id, { Properties }] of ofType(example, 'AWS::CloudWatch::Alarm')) {
      const isMaintenance = id === 'MaintenanceMissingAlarm';
      expect([id, Properties['TreatMissingData']]).toEqual([id, isMaintenance ? 'missing' : 'notBreaching']);
      expect('InsufficientDataActions' in Properties).toBe(isMaintenance);
    }
  });

  it('fire if maintenance stops running, but not before its first run in a new deployment', () => {
    expect(example.resources['MaintenanceMissingAlarm']?.Properties).toMatchObject({
      // A new alarm is in the state INSUFFICIENT_DATA. It sends no notification until its state changes.
      TreatMissingData: 'missing',
      InsufficientDataActions: [{ Ref: 'AlarmTopic' }],
      MetricName: 'Invocations',
      Period: 3600,
      EvaluationPeriods: 26,
      ComparisonOperator: 'LessThanThreshold',
      Threshold: 1,
    });
  });

  it('also notify when the problem is over, except the alarms that count failures', () => {
    const told = ofType(example, 'AWS::CloudWatch::Alarm').filter(([, { Properties }]) => 'OKActions' in Properties);
    expect(told.map(([id]) => id)).toEqual([
      'MaintenanceMissingAlarm',
      'DeadLettersWaitingAlarm',
      'OutputAgingAlarm',
      'MessagesAgingAlarm',
    ]);
    for (const [, { Properties }] of told) expect(Properties['OKActions']).toEqual([{ Ref: 'AlarmTopic' }]);
  });

  it.for(['Seal', 'Open'])('fire if most calls to %s fail, however few calls there are', (name) => {
    const { Properties } = example.resources[`${name}CannotServeAlarm`] as AppResource;
    const dimensions = [{ Name: 'FunctionName', Value: `keyfold-${name.toLowerCase()}` }];
    const counted = ([Id, MetricName]: string[]): object => ({
      Id,
      MetricStat: {
        Metric: { Namespace: 'AWS/Lambda', MetricName, Dimensions: dimensions },
        Period: 300,
        Stat: 'Sum',
      },
      ReturnData: false,
    });
    expect(Properties['Metrics']).toEqual([
      counted(['failed', 'Errors']),
      counted(['asked', 'Invocations']),
      { Id: 'share', Expression: 'failed / asked', ReturnData: true },
    ]);
    expect(Properties).toMatchObject({ Threshold: 0.5, EvaluationPeriods: 3, DatapointsToAlarm: 3 });
  });

  it('fire on every error code that is not the caller’s fault, both for requests and for retried messages', () => {
    // These alarms do not need these two codes. With `InvalidConfiguration`, the function does not start, and its own
    // alarm fires. `NotReady` comes only from the readiness check, which only monitors call.
    const elsewhere = new Set(['InvalidConfiguration', 'NotReady']);
    const codes = documentedFaults().filter((code) => !elsewhere.has(code));
    expect(codes).toContain('KeyNotYetVisible');
    expect(codes.filter((code) => !codesRungFor('RequestErrors').has(code))).toEqual([]);
    expect([...codes, 'NotSent'].filter((code) => !codesRungFor('MessagesRetried').has(code))).toEqual([]);
  });

  it('fire if requests fail in API Gateway, before they reach the function', () => {
    const { Properties } = example.resources['ApiCannotServeAlarm'] as AppResource;
    expect(Properties).toMatchObject({ Threshold: 0.5, EvaluationPeriods: 3, DatapointsToAlarm: 3 });
    const counted = (Properties['Metrics'] as AppResource['Properties'][]).flatMap(
      ({ MetricStat }) => MetricStat ?? [],
    );
    expect(counted.map(({ Metric }) => Metric)).toEqual(
      ['5xx', 'Count'].map((MetricName) => ({
        Namespace: 'AWS/ApiGateway',
        MetricName,
        Dimensions: [{ Name: 'ApiId', Value: { Ref: 'HttpApi' } }],
      })),
    );
  });

  it('fire if a message waits longer than deploy.yml allows', () => {
    const [byDefault, own] = [example, flipped].map(({ resources }) => resources['MessagesAgingAlarm']?.Properties);
    expect(byDefault).toMatchObject({ Threshold: 3600, Statistic: 'Maximum' });
    expect(own).toMatchObject({ Threshold: FLIPPED.queue.oldestMessageSeconds, Statistic: 'Maximum' });
  });

  it('fire before the output queue drops results that no consumer reads', () => {
    const days = [example, flipped].map((app) => app.resources['OutputAgingAlarm']?.Properties['Threshold'] / 86_400);
    expect(days).toEqual([7, 1]);
  });

  it('fire if a few requests get no response in each of three five-minute periods', () => {
    const [many, long] = ['RequestsUnanswered', 'RequestsUnansweredForLong'].map(
      (name) => example.resources[`${name}Alarm`]?.Properties,
    );
    expect(many).toMatchObject({ Threshold: 10, EvaluationPeriods: 1, DatapointsToAlarm: 1 });
    expect(long).toMatchObject({ Threshold: 1, EvaluationPeriods: 3, DatapointsToAlarm: 3 });
    expect(long?.['Metrics']).toEqual(many?.['Metrics']);
  });

  it.for([
    ['12 hours', '1 request', 1, 12],
    ['an hour', '100 requests', 100, 1],
    ['an hour', '10,000 requests', 10_000, 1],
  ] as const)('fire within %s if a fleet with %s per second loses its preferred region', ([, , rate, hours]) => {
    const unwrapsPerHour = monthOf(rate, ASSUMED).unwraps / ASSUMED.hoursInMonth;
    const { Properties } = example.resources['KmsFailoversAlarm'] as AppResource;
    expect(chanceToRing(Properties, unwrapsPerHour, hours)).toBeGreaterThan(0.99);
    // A single failover must not page an operator.
    expect(Properties['Threshold']).toBeGreaterThan(1);
  });

  it.for(
    ['MessagesNotSent', 'MessagesUnanswered'].flatMap((name) => [0, 30, 59].map((start) => [name, start] as const)),
  )(
    'include %s, which fires if one message keeps returning to the queue for ten minutes (first attempt at second %i)',
    ([name, start]) => {
      const { Properties } = example.resources[`${name}Alarm`] as AppResource;
      const { EvaluationPeriods, DatapointsToAlarm } = Properties;
      for (const period of periodsOf(Properties)) expect(period).toBe(60);
      expect(EvaluationPeriods).toBeGreaterThanOrEqual(10);
      const { queue } = readQueueConfig(environmentOf(example, 'Queue'));
      const tried = minutesTried(queue, start).filter((minute) => minute < 10);
      expect(tried.length).toBeGreaterThanOrEqual(DatapointsToAlarm as number);
      // A short outage of a queue must not page an operator.
      expect(DatapointsToAlarm).toBeGreaterThan(2);
    },
  );

  it("notify a topic of the app's stack, or the topic that deploy.yml names", () => {
    for (const [, { Properties }] of ofType(example, 'AWS::CloudWatch::Alarm')) {
      expect(Properties['AlarmActions']).toEqual([{ Ref: 'AlarmTopic' }]);
    }
    for (const [, { Properties }] of ofType(flipped, 'AWS::CloudWatch::Alarm')) {
      expect(Properties['AlarmActions']).toEqual([FLIPPED.alarmTopics['us-west-2']]);
    }
    expect(flipped.resources).not.toHaveProperty('AlarmTopic');
  });
});

describe('the dashboard of the app', () => {
  it('shows every metric in docs/reference/metrics.md, with all dimensions', () => {
    const body = JSON.parse(example.resources['Dashboard']?.Properties['DashboardBody'] as string) as {
      widgets: { properties: { metrics: [string | { expression: string }][] } }[];
    };
    const lines = body.widgets.flatMap(({ properties }) => properties.metrics.map(([first]) => first));
    const searches = lines.flatMap((line) => (typeof line === 'string' ? [] : [line.expression]));
    const shown = new Map(
      searches.map((expression) => {
        const [, schema = '', metric = ''] = /^SEARCH\('\{Keyfold,([\w,]+)\} MetricName="(\w+)"/.exec(expression) ?? [];
        return [metric, schema.split(',').toSorted()];
      }),
    );
    expect(Object.fromEntries(shown)).toEqual(Object.fromEntries(documented));
  });
});

describe('the packaged app', () => {
  it.for(['example', 'flipped'] as const)('matches the snapshot reviewed/%s.txt', async (name) => {
    const app = { example, flipped }[name];
    await expect(reviewOf(app)).toMatchFileSnapshot(`reviewed/${name}.txt`);
  });
});
