import { functionsOf } from './alarms.ts';
import { queueNamesOf, type Deployment } from './deployment.ts';
import type { Resources } from './queues.ts';

type Line = readonly unknown[];

const WIDTH = 8;
const HEIGHT = 6;
const PER_ROW = 3;

/**
 * The dashboard's graphs of Keyfold's metrics. Each has a title. Each metric has a name, its dimensions without
 * `service`, and a statistic.
 */
const OWN: readonly (readonly [string, readonly (readonly [string, readonly string[], string])[]])[] = [
  ['Requests that failed', [['RequestErrors', ['code'], 'Sum']]],
  ['KMS calls', [['KmsCalls', ['region', 'action'], 'Sum']]],
  ['KMS latency, p99 (ms)', [['KmsLatency', ['region'], 'p99']]],
  ['KMS failures', [['KmsRegionFailures', ['region', 'faultClass'], 'Sum']]],
  [
    'KMS failovers and cool-downs',
    [
      ['KmsFailovers', ['region'], 'Sum'],
      ['KmsCoolDowns', ['region'], 'Sum'],
    ],
  ],
  ['Key table, p99 (ms)', [['MetastoreLatency', ['action'], 'p99']]],
  [
    'Key table, failures',
    [
      ['MetastoreFailures', ['action'], 'Sum'],
      ['StaleServes', [], 'Sum'],
    ],
  ],
  [
    'System Keys in the cache',
    [
      ['SystemKeyCacheHits', [], 'Sum'],
      ['SystemKeyCacheMisses', [], 'Sum'],
      ['SystemKeyCacheEvictions', [], 'Sum'],
    ],
  ],
  [
    'Intermediate Keys in the cache',
    [
      ['IntermediateKeyCacheHits', [], 'Sum'],
      ['IntermediateKeyCacheMisses', [], 'Sum'],
      ['IntermediateKeyCacheEvictions', [], 'Sum'],
    ],
  ],
  [
    'Keys made and retired',
    [
      ['KeysCreated', ['kind'], 'Sum'],
      ['KeysRetired', ['kind', 'why'], 'Sum'],
    ],
  ],
  [
    'System Keys, looked after',
    [
      ['WrapsRenewed', ['region'], 'Sum'],
      ['SystemKeysUnopenable', ['region'], 'Sum'],
      ['KmsWrapsMissing', ['region'], 'Sum'],
      ['SystemKeysNotCreated', [], 'Sum'],
      ['SystemKeysNotMaintained', [], 'Sum'],
      ['SystemKeysDatedAhead', [], 'Maximum'],
    ],
  ],
  [
    'Erasures',
    [
      ['ErasuresDue', [], 'Maximum'],
      ['ErasureMarksIgnored', [], 'Sum'],
    ],
  ],
  ['Records that opened with a context, but are bound to none', [['UnboundOpened', [], 'Sum']]],
  ['Age of the latest System Key, in seconds', [['SystemKeyAge', [], 'Maximum']]],
];
const OF_A_QUEUE: typeof OWN = [
  [
    'Messages',
    [
      ['MessagesDone', [], 'Sum'],
      ['MessagesRetried', ['code'], 'Sum'],
      ['MessagesDeadLettered', ['code'], 'Sum'],
    ],
  ],
];

/** The dashboard of a region. */
export function dashboardResources(deployment: Deployment, region: string): Resources {
  const { prefix, service } = deployment;
  const queues = queueNamesOf(deployment);
  const lambda = (metric: string, stat: string): Line[] =>
    functionsOf(deployment).map((name) => [
      'AWS/Lambda',
      metric,
      'FunctionName',
      `${prefix}-${name}`,
      { stat, label: name },
    ]);
  // A search expression draws a line for each value of a dimension.
  const own = ([metric, dimensions, stat]: (typeof OWN)[number][1][number]): Line => {
    const schema = ['Keyfold', 'service', ...dimensions].join(',');
    const found = `SEARCH('{${schema}} MetricName="${metric}" AND service="${service}"', '${stat}')`;
    return [
      { expression: found, label: dimensions.length === 0 ? metric : `${metric} \${PROP('Dim.${dimensions[0]}')}` },
    ];
  };
  const graphs: [string, Line[]][] = [
    ['Invocations', lambda('Invocations', 'Sum')],
    ['Errors', lambda('Errors', 'Sum')],
    ['Throttles', lambda('Throttles', 'Sum')],
    ['Duration, p99 (ms)', lambda('Duration', 'p99')],
    ['At once', lambda('ConcurrentExecutions', 'Maximum')],
    ...[...OWN, ...(queues === undefined ? [] : OF_A_QUEUE)].map(([title, metrics]): [string, Line[]] => [
      title,
      metrics.map(own),
    ]),
    ...(queues === undefined
      ? []
      : [
          [
            'In the queues',
            Object.values(queues).map((name) => [
              'AWS/SQS',
              'ApproximateNumberOfMessagesVisible',
              'QueueName',
              name,
              { stat: 'Maximum', label: name },
            ]),
          ] satisfies [string, Line[]],
        ]),
  ];
  const widgets = graphs.map(([title, metrics], i) => ({
    type: 'metric',
    x: (i % PER_ROW) * WIDTH,
    y: Math.floor(i / PER_ROW) * HEIGHT,
    width: WIDTH,
    height: HEIGHT,
    properties: { title, metrics, region, period: 300, view: 'timeSeries' },
  }));
  return {
    Dashboard: {
      Type: 'AWS::CloudWatch::Dashboard',
      // Dashboards belong to the account and not to a region, so the name contains the region.
      Properties: { DashboardName: `${prefix}-${region}`, DashboardBody: JSON.stringify({ widgets }) },
    },
  };
}
