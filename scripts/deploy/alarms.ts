import { queueNamesOf, type Deployment, type FunctionName } from './deployment.ts';
import type { Resources } from './queues.ts';

/** When an alarm rings: at `least` in each of `periods` periods. What is not reported counts as nothing, unless it says otherwise. */
interface Ring {
  readonly least?: number;
  readonly periodSeconds?: number;
  readonly periods?: number;
}

/** A metric of ours: all its dimensions beside `service`, since CloudWatch knows a metric by all of them, and which values are meant. */
interface Own {
  readonly dimensions?: readonly string[];
  readonly where?: Readonly<Record<string, readonly string[]>>;
}

const MINUTES = 60;
const FIVE_MINUTES = 5 * MINUTES;
/** The schedule is a day; a late one is not missing yet. */
const HOURS_WITHOUT_MAINTENANCE = 26;
/** How many failed requests of five minutes are no longer somebody's bad luck. */
const MANY_FAILURES = 10;

/** The functions that a deployment has. */
export function functionsOf({ queue }: Deployment): FunctionName[] {
  return ['api', 'seal', 'open', 'maintenance', ...(queue.kind === 'none' ? [] : ['queue' as const])];
}

/** A query of CloudWatch Metrics Insights: the sum over all metrics of that name, whatever the values of their dimensions. */
export function queryOf(service: string, metric: string, { dimensions = [], where = {} }: Own): string {
  const schema = ['Keyfold', 'service', ...dimensions].map((one) => `"${one}"`).join(', ');
  const conditions = Object.entries({ service: [service], ...where }).map(
    ([name, values]) => `(${values.map((value) => `"${name}" = '${value}'`).join(' OR ')})`,
  );
  return `SELECT SUM("${metric}") FROM SCHEMA(${schema}) WHERE ${conditions.join(' AND ')}`;
}

/** The alarms of a region, and the topic that they tell unless there is one. */
export function alarmResources(deployment: Deployment, region: string): Resources {
  const { prefix, service, alarmEmail } = deployment;
  const given = deployment.alarmTopics[region];
  const topic = given ?? { Ref: 'AlarmTopic' };
  const alarms: Resources = {};
  const alarm = (name: string, description: string, ring: Ring, properties: object): void => {
    const { least = 1, periods = 1 } = ring;
    alarms[`${name}Alarm`] = {
      Type: 'AWS::CloudWatch::Alarm',
      Properties: {
        AlarmName: `${prefix}-${name}`,
        AlarmDescription: description,
        ComparisonOperator: 'GreaterThanOrEqualToThreshold',
        Threshold: least,
        EvaluationPeriods: periods,
        DatapointsToAlarm: periods,
        TreatMissingData: 'notBreaching',
        AlarmActions: [topic],
        OKActions: [topic],
        ...properties,
      },
    };
  };
  const aws = (Namespace: string, MetricName: string, dimensions: object, ring: Ring, Statistic = 'Sum'): object => ({
    Namespace,
    MetricName,
    Dimensions: Object.entries(dimensions).map(([Name, Value]) => ({ Name, Value: Value as unknown })),
    Statistic,
    Period: ring.periodSeconds ?? FIVE_MINUTES,
  });
  // No alarm can search, and one of a metric must name its dimensions with their values: a query need not.
  const own = (name: string, metric: string, what: Own, description: string, ring: Ring = {}): void => {
    const Period = ring.periodSeconds ?? FIVE_MINUTES;
    const query = { Id: 'sum', Expression: queryOf(service, metric, what), Period, ReturnData: true };
    const one = what.dimensions === undefined ? aws('Keyfold', metric, { service }, ring) : { Metrics: [query] };
    alarm(name, description, ring, one);
  };

  for (const name of functionsOf(deployment)) {
    const dimensions = { FunctionName: `${prefix}-${name}` };
    // A direct invocation fails by throwing, a caller's mistake too.
    const least = name === 'seal' || name === 'open' ? MANY_FAILURES : 1;
    alarm(
      idOf(name, 'Errors'),
      `${prefix}-${name} fails, or cannot start: see its log`,
      { least },
      aws('AWS/Lambda', 'Errors', dimensions, {}),
    );
    alarm(
      idOf(name, 'Throttles'),
      `Lambda turns invocations of ${prefix}-${name} away: its concurrency is used up`,
      {},
      aws('AWS/Lambda', 'Throttles', dimensions, {}),
    );
  }
  alarm(
    'MaintenanceMissing',
    'The maintenance has not run for a day and more: nobody looks after the System Keys',
    { periods: HOURS_WITHOUT_MAINTENANCE },
    {
      ...aws('AWS/Lambda', 'Invocations', { FunctionName: `${prefix}-maintenance` }, { periodSeconds: 60 * MINUTES }),
      ComparisonOperator: 'LessThanThreshold',
      TreatMissingData: 'breaching',
    },
  );
  own(
    'SystemKeysNotCreated',
    'SystemKeysNotCreated',
    {},
    'The next System Key is not made although the present one is near its end',
  );
  own('SystemKeysNotMaintained', 'SystemKeysNotMaintained', {}, 'A System Key could not be read or looked after');
  own(
    'SystemKeysUnopenable',
    'SystemKeysUnopenable',
    { dimensions: ['region'] },
    'A region does not open a System Key that it should',
  );
  own(
    'KmsWrapsMissing',
    'KmsWrapsMissing',
    { dimensions: ['region'] },
    'A System Key was made without one of the regions, until the maintenance mends it',
  );
  own(
    'KmsRegionMustBeMended',
    'KmsRegionFailures',
    { dimensions: ['region', 'faultClass'], where: { faultClass: ['misconfigured', 'corrupt'] } },
    'A KMS key is disabled, denied or gone, or a wrap does not open: somebody must act',
  );
  own(
    'KmsFailovers',
    'KmsFailovers',
    { dimensions: ['region'] },
    'The preferred KMS region has not answered for minutes; another does',
    { periodSeconds: MINUTES, periods: 5 },
  );
  own('StaleServes', 'StaleServes', {}, 'DynamoDB is down, and cached keys serve for their grace only');
  own(
    'RecordsUnreadable',
    'RequestErrors',
    { dimensions: ['code'], where: { code: ['KeyRowUnreadable', 'KmsMisconfigured'] } },
    'Records cannot be opened, whatever the caller does',
  );
  own(
    'RequestsUnanswered',
    'RequestErrors',
    {
      dimensions: ['code'],
      where: { code: ['KmsUnavailable', 'KmsThrottled', 'MetastoreUnavailable', 'DeadlineExceeded', 'Internal'] },
    },
    'No region of KMS, or no DynamoDB, answers in time',
    { least: MANY_FAILURES },
  );
  own(
    'KeysRevoked',
    'KeysRetired',
    { dimensions: ['kind', 'why'], where: { why: ['revoked'] } },
    'A revocation has taken effect: was it one of yours?',
  );

  const queues = queueNamesOf(deployment);
  if (queues !== undefined) {
    own(
      'MessagesDeadLettered',
      'MessagesDeadLettered',
      { dimensions: ['code'] },
      'A producer sends what cannot be done',
    );
    own(
      'MessagesMustBeMended',
      'MessagesRetried',
      { dimensions: ['code'], where: { code: ['KmsMisconfigured', 'KeyRowUnreadable', 'Internal'] } },
      'Messages wait for somebody to act',
    );
    own(
      'MessagesNotSent',
      'MessagesRetried',
      { dimensions: ['code'], where: { code: ['NotSent'] } },
      'The output or dead-letter queue has not taken messages for minutes',
      { periodSeconds: MINUTES, periods: 5 },
    );
    alarm(
      'DeadLettersWaiting',
      `${queues.deadLetters} has messages`,
      {},
      aws('AWS/SQS', 'ApproximateNumberOfMessagesVisible', { QueueName: queues.deadLetters }, {}, 'Maximum'),
    );
    alarm(
      'MessagesAging',
      `The oldest message of ${queues.input} has waited for long`,
      { least: deployment.queue.oldestMessageSeconds },
      aws('AWS/SQS', 'ApproximateAgeOfOldestMessage', { QueueName: queues.input }, {}, 'Maximum'),
    );
  }
  return given === undefined ? { ...topicResources(prefix, alarmEmail), ...alarms } : alarms;
}

function idOf(name: FunctionName, metric: string): string {
  return `${name.slice(0, 1).toUpperCase()}${name.slice(1)}${metric}`;
}

function topicResources(prefix: string, email: string | undefined): Resources {
  return {
    AlarmTopic: {
      Type: 'AWS::SNS::Topic',
      Properties: {
        DisplayName: `Keyfold ${prefix}`,
        ...(email !== undefined && { Subscription: [{ Protocol: 'email', Endpoint: email }] }),
      },
    },
    AlarmTopicPolicy: {
      Type: 'AWS::SNS::TopicPolicy',
      Properties: {
        Topics: [{ Ref: 'AlarmTopic' }],
        PolicyDocument: {
          Version: '2012-10-17',
          Statement: [
            {
              Sid: 'AlarmsOfThisAccountTell',
              Effect: 'Allow',
              Principal: { Service: 'cloudwatch.amazonaws.com' },
              Action: 'sns:Publish',
              Resource: { Ref: 'AlarmTopic' },
              Condition: { StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } } },
            },
          ],
        },
      },
    },
  };
}
