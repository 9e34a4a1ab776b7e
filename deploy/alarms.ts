import { cryptoPolicy } from '../src/envelope/crypto-policy.ts';
import { alarm, oneMetric, ownMetric, shareOf, type Ring, type Which } from './alarm.ts';
import { apiMetrics } from './api.ts';
import { queueNamesOf, type Deployment, type FunctionName } from './deployment.ts';
import type { Resources } from './queues.ts';
import { runbookOf } from './runbooks.ts';

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;
/**
 * The alarm for missing maintenance fires if the last run was longer ago than this. Maintenance runs daily, and a run
 * may be late.
 */
const HOURS_WITHOUT_MAINTENANCE = 26;
/** This many failed requests in five minutes show that the service is at fault. */
const MANY = 10;
/** If this share of the invocations or more fails, the function is at fault and not its callers. */
const MOST = 0.5;
/**
 * Fires after two failovers within an hour. Each warm process calls KMS once an hour, so even a small fleet reaches two
 * failovers if its preferred region is down.
 */
const AGAIN_WITHIN_THE_HOUR: Ring = { periodSeconds: HOUR, least: 2 };
/**
 * Fires if messages return to the queue in three of the last fifteen minutes. A single message returns at growing
 * intervals, so it does not fire the alarm.
 */
const FOR_MINUTES: Ring = { periodSeconds: MINUTE, periods: 3, outOf: 15 };

/**
 * Fires if requests fail for fifteen minutes. The service is then at fault, even if it gets only one request per
 * minute.
 */
const FOR_LONG: Ring = { periods: 3 };
/** The error codes that an outage causes. */
const OUTAGES = ['KmsUnavailable', 'KmsThrottled', 'MetastoreUnavailable', 'DeadlineExceeded'];
/** The error code for a key from another region whose row has not reached this region yet. */
const NOT_VISIBLE = 'KeyNotYetVisible';
const UNANSWERED = [...OUTAGES, 'Internal'];

type OwnAlarm = readonly [name: string, metric: string, which: Which, description: string, ring?: Ring];

/** The alarms on Keyfold's metrics (docs/reference/metrics.md). Each alarm specifies all dimensions of its metric. */
const OWN: readonly OwnAlarm[] = [
  [
    'SystemKeysNotCreated',
    'SystemKeysNotCreated',
    {},
    'The maintenance cannot make the next System Key, and the current one grows old',
  ],
  [
    'SystemKeysNotMaintained',
    'SystemKeysNotMaintained',
    {},
    'The maintenance could not read, check or renew a System Key',
  ],
  ['SystemKeysUnopenable', 'SystemKeysUnopenable', { of: ['region'] }, 'A KMS region does not decrypt a System Key'],
  [
    'KmsWrapsMissing',
    'KmsWrapsMissing',
    { of: ['region'] },
    'A System Key was made without a wrap for one of the regions',
  ],
  [
    'KmsRegionRefused',
    'KmsRegionFailures',
    { of: ['region', 'faultClass'], whereNot: { faultClass: ['throttled', 'unavailable'] } },
    'A KMS key is disabled, denied or deleted, or does not decrypt a wrap: an operator must act',
  ],
  [
    'KmsFailovers',
    'KmsFailovers',
    { of: ['region'] },
    'The preferred KMS region has failed to answer more than once',
    AGAIN_WITHIN_THE_HOUR,
  ],
  ['StaleServes', 'StaleServes', {}, 'DynamoDB is down, and processes use their cached keys until the grace ends'],
  [
    'RecordsUnreadable',
    'RequestErrors',
    { where: { code: ['KeyRowUnreadable', 'KmsMisconfigured'] } },
    'Requests fail until an operator acts',
  ],
  [
    'RequestsUnanswered',
    'RequestErrors',
    { where: { code: UNANSWERED } },
    'KMS or DynamoDB does not answer in time',
    { least: MANY },
  ],
  [
    'RequestsUnansweredForLong',
    'RequestErrors',
    { where: { code: UNANSWERED } },
    'KMS or DynamoDB has not answered in time for a quarter of an hour',
    FOR_LONG,
  ],
  [
    'KeysNotVisible',
    'RequestErrors',
    { where: { code: NOT_VISIBLE } },
    'Keys of another region have been missing for a quarter of an hour: the table may no longer replicate',
    FOR_LONG,
  ],
  [
    'KeysRevoked',
    'KeysRetired',
    { of: ['kind'], where: { why: 'revoked' } },
    'A revocation has taken effect: check that it was intended',
  ],
];

const OWN_OF_A_QUEUE: readonly OwnAlarm[] = [
  [
    'MessagesDeadLettered',
    'MessagesDeadLettered',
    { of: ['code'] },
    'A producer sends messages that Keyfold cannot process',
  ],
  [
    'MessagesWaitForSomebody',
    'MessagesRetried',
    { where: { code: ['KmsMisconfigured', 'KeyRowUnreadable', 'Internal'] } },
    'Messages are retried until an operator acts',
  ],
  [
    'MessagesUnanswered',
    'MessagesRetried',
    { where: { code: [...OUTAGES, NOT_VISIBLE] } },
    'Messages have been retried for minutes: KMS or DynamoDB does not answer, or the table does not replicate',
    FOR_MINUTES,
  ],
  [
    'MessagesNotSent',
    'MessagesRetried',
    { where: { code: 'NotSent' } },
    'The output or the dead-letter queue has not taken messages for minutes',
    FOR_MINUTES,
  ],
];

/** The functions of a deployment. */
export function functionsOf({ queue }: Deployment): FunctionName[] {
  return ['api', 'seal', 'open', 'maintenance', ...(queue.kind === 'none' ? [] : ['queue' as const])];
}

/** Returns a region's alarms. If the deployment names no topic for them, the result includes a new topic. */
export function alarmResources(deployment: Deployment, region: string): Resources {
  const { alarmTopics, prefix, queue, service, settings } = deployment;
  const expireAfterMs = Number(settings['KEYFOLD_EXPIRE_AFTER_MS'] ?? cryptoPolicy().expireAfterMs);
  const given = alarmTopics[region];
  const topic = given ?? { Ref: 'AlarmTopic' };
  const queues = queueNamesOf(deployment);
  const api = apiMetrics(deployment);
  const maintenance = { FunctionName: `${prefix}-maintenance` };
  // AWS reports the metrics of these alarms continuously, even without requests. So when such an alarm ends, the
  // service has really recovered.
  const ends = { OKActions: [topic] };
  const own = [...OWN, ...(queues === undefined ? [] : OWN_OF_A_QUEUE)];
  const alarms: Resources = {
    ...Object.assign({}, ...functionsOf(deployment).map((name) => functionAlarms(prefix, name, topic))),
    MaintenanceMissing: alarm(
      'The maintenance has not run for more than a day, so no System Key is renewed or replaced',
      topic,
      { periods: HOURS_WITHOUT_MAINTENANCE },
      {
        ...oneMetric('AWS/Lambda', 'Invocations', maintenance, { periodSeconds: HOUR }),
        ComparisonOperator: 'LessThanThreshold',
        // Lambda reports no data for an hour without invocations, so this alarm notifies the topic if data is missing.
        // A new alarm has no data until the first run after the deployment, and does not fire before then.
        TreatMissingData: 'missing',
        InsufficientDataActions: [topic],
        ...ends,
      },
    ),
    ApiCannotServe: alarm(
      'The HTTP API has failed most requests for a quarter of an hour, perhaps before they reached the function',
      topic,
      { least: MOST, ...FOR_LONG },
      shareOf(api.namespace, api.names, api.dimensions, FOR_LONG),
    ),
    SystemKeyOld: alarm(
      'The latest System Key is too old to seal, and the maintenance has not made the next one',
      topic,
      { least: expireAfterMs / 1000 },
      // If a run is repeated within the hour, both runs report the age, so use the maximum and not the sum.
      oneMetric('Keyfold', 'SystemKeyAge', { service }, { periodSeconds: HOUR }, 'Maximum'),
    ),
    ...Object.fromEntries(
      own.map(([name, metric, which, description, ring = {}]) => [
        name,
        alarm(description, topic, ring, ownMetric(service, metric, which, ring)),
      ]),
    ),
    ...(queues !== undefined && {
      DeadLettersWaiting: alarm(
        `${queues.deadLetters} has messages`,
        topic,
        {},
        {
          ...oneMetric(
            'AWS/SQS',
            'ApproximateNumberOfMessagesVisible',
            { QueueName: queues.deadLetters },
            {},
            'Maximum',
          ),
          ...ends,
        },
      ),
      OutputAging: alarm(
        `${queues.output} has had no reader for half of its retention: messages are lost when the retention ends`,
        topic,
        { least: (queue.retentionDays * DAY) / 2 },
        {
          ...oneMetric('AWS/SQS', 'ApproximateAgeOfOldestMessage', { QueueName: queues.output }, {}, 'Maximum'),
          ...ends,
        },
      ),
      MessagesAging: alarm(
        `The oldest message of ${queues.input} has waited for long`,
        topic,
        { least: queue.oldestMessageSeconds },
        {
          ...oneMetric('AWS/SQS', 'ApproximateAgeOfOldestMessage', { QueueName: queues.input }, {}, 'Maximum'),
          ...ends,
        },
      ),
    }),
  };
  const named = Object.entries(alarms).map(([name, { Properties, ...resource }]) => {
    const AlarmDescription = `${Properties?.['AlarmDescription'] as string}. Runbook: ${runbookOf(name)}`;
    return [
      `${name}Alarm`,
      { ...resource, Properties: { AlarmName: `${prefix}-${name}`, ...Properties, AlarmDescription } },
    ];
  });
  return {
    ...(given === undefined && topicResources(deployment, region)),
    ...(Object.fromEntries(named) as Resources),
  };
}

function functionAlarms(prefix: string, name: FunctionName, topic: unknown): Resources {
  const id = `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`;
  const functionName = `${prefix}-${name}`;
  // A direct invocation also fails if its caller makes a mistake. So the alarm on errors requires many failures.
  const isDirect = name === 'seal' || name === 'open';
  const [errors, throttles] = ['Errors', 'Throttles'].map((metric) =>
    oneMetric('AWS/Lambda', metric, { FunctionName: functionName }),
  );
  return {
    [`${id}Errors`]: alarm(
      `${functionName} fails, or cannot start: see its log`,
      topic,
      isDirect ? { least: MANY } : {},
      errors as object,
    ),
    ...(isDirect && {
      [`${id}CannotServe`]: alarm(
        `${functionName} has failed for most who asked for a quarter of an hour: see its log`,
        topic,
        { least: MOST, ...FOR_LONG },
        shareOf('AWS/Lambda', ['Errors', 'Invocations'], { FunctionName: functionName }, FOR_LONG),
      ),
    }),
    [`${id}Throttles`]: alarm(`Lambda turns invocations of ${functionName} away`, topic, {}, throttles as object),
  };
}

function topicResources({ alarmEmail, prefix, storageKeys }: Deployment, region: string): Resources {
  const KmsMasterKeyId = storageKeys[region];
  const Statement = {
    Sid: 'AlarmsOfThisAccountTell',
    Effect: 'Allow',
    Principal: { Service: 'cloudwatch.amazonaws.com' },
    Action: 'sns:Publish',
    Resource: { Ref: 'AlarmTopic' },
    Condition: { StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } } },
  };
  return {
    AlarmTopic: {
      Type: 'AWS::SNS::Topic',
      Properties: {
        DisplayName: `Keyfold ${prefix}`,
        ...(KmsMasterKeyId !== undefined && { KmsMasterKeyId }),
        ...(alarmEmail !== undefined && { Subscription: [{ Protocol: 'email', Endpoint: alarmEmail }] }),
      },
    },
    AlarmTopicPolicy: {
      Type: 'AWS::SNS::TopicPolicy',
      Properties: {
        Topics: [{ Ref: 'AlarmTopic' }],
        PolicyDocument: { Version: '2012-10-17', Statement: [Statement] },
      },
    },
  };
}
