import { describe, expect, it } from 'vitest';
import type { Environment } from '../../../src/config/app-config.ts';
import { areQueuesOfAws, readQueueConfig } from '../../../src/config/queue-config.ts';
import { readConfig, vaultReaderOf } from '../../../src/config/read-config.ts';

const QUEUES = 'https://sqs.us-west-2.amazonaws.com/111122223333';
const minimal: Environment = {
  KEYFOLD_SERVICE: 'svc',
  KEYFOLD_PRODUCT: 'prod',
  KEYFOLD_KMS_KEYS: '{"us-west-2":"arn:aws:kms:us-west-2:111122223333:alias/keyfold"}',
  KEYFOLD_OUTPUT_QUEUE_URL: `${QUEUES}/out`,
  KEYFOLD_DEAD_LETTER_QUEUE_URL: `${QUEUES}/dead`,
  AWS_REGION: 'us-west-2',
};

function faultsOf(changes: Environment): string[] {
  try {
    readQueueConfig({ ...minimal, ...changes });
  } catch (error) {
    return (error as Error).message.split('\n- ').slice(1);
  }
  return [];
}

describe('readQueueConfig', () => {
  it('allows only the operation encrypt-fields by default', () => {
    const { door, ...config } = readConfig(minimal);
    expect(readQueueConfig(minimal)).toStrictEqual({
      ...config,
      door: { ...door, serves: { operations: ['encrypt-fields'], partitions: undefined } },
      queue: {
        outputUrl: `${QUEUES}/out`,
        deadLetterUrl: `${QUEUES}/dead`,
        fields: undefined,
        retryDelaySeconds: 5,
        longestRetryDelaySeconds: 900,
      },
    });
  });

  it.for([
    'https://us-west-2.queue.amazonaws.com/111122223333/out',
    'https://sqs-fips.us-west-2.api.aws/111122223333/out',
    'https://vpce-1.sqs.us-west-2.vpce.amazonaws.com/111122223333/out',
    'http://127.0.0.1:9324/111122223333/out',
    'https://sqs.us-east-1.amazonaws.com.proxy.example/111122223333/out',
  ])('accepts the queue %s', (url) => {
    expect(faultsOf({ KEYFOLD_OUTPUT_QUEUE_URL: url })).toEqual([]);
  });

  it('does not require AWS_REGION, and accepts KEYFOLD_FIELDS with encrypt-fields or decrypt-fields', () => {
    expect(
      faultsOf({
        AWS_REGION: undefined,
        KEYFOLD_PREFERRED_REGION: 'us-west-2',
        KEYFOLD_FIELDS: '["$.a"]',
        KEYFOLD_OPERATIONS: 'decrypt,decrypt-fields',
      }),
    ).toEqual([]);
    expect(faultsOf({ KEYFOLD_FIELDS: '["$.a"]' })).toEqual([]);
  });

  it('reads the settings of Vault if the caller passes a function that reads these settings', async () => {
    const { KEYFOLD_KMS_KEYS: _, ...others } = minimal;
    const environment = {
      ...others,
      KEYFOLD_KMS: 'vault',
      KEYFOLD_VAULT_ADDRESSES: 'https://vault.example.com:8200',
      KEYFOLD_VAULT_TRANSIT_KEY: 'keyfold',
      KEYFOLD_VAULT_ROLE: 'orders',
    };
    const config = readQueueConfig(environment, await vaultReaderOf(environment));
    expect(config.kms).toMatchObject({ kind: 'vault', transitKey: 'keyfold' });
  });

  it('accepts KEYFOLD_OPERATIONS without an operation on fields if KEYFOLD_FIELDS is not set', () => {
    expect(faultsOf({ KEYFOLD_OPERATIONS: 'encrypt,decrypt' })).toEqual([]);
  });

  it.for(['["$.a","$.b"]', '["$.a[0]","$.a[1]","$.a[-1]"]', '["$.a","$.b","$.*"]', '["$.a","$.b","$..a"]'])(
    'accepts KEYFOLD_FIELDS=%s if KEYFOLD_MAX_ITEMS is 2, because some documents have only two such values',
    (KEYFOLD_FIELDS) => expect(faultsOf({ KEYFOLD_FIELDS, KEYFOLD_MAX_ITEMS: '2' })).toEqual([]),
  );

  it('reads every setting', () => {
    const config = readQueueConfig({
      ...minimal,
      KEYFOLD_FIELDS: '["$.card", "$..secret"]',
      KEYFOLD_OPERATIONS: 'decrypt-fields',
      KEYFOLD_PARTITIONS: 'tenant-*',
      KEYFOLD_LONGEST_RETRY_DELAY_SECONDS: '2',
    });
    expect(config.door.serves).toStrictEqual({ operations: ['decrypt-fields'], partitions: ['tenant-*'] });
    expect(config.queue).toStrictEqual({
      outputUrl: `${QUEUES}/out`,
      deadLetterUrl: `${QUEUES}/dead`,
      fields: ['$.card', '$..secret'],
      retryDelaySeconds: 5,
      longestRetryDelaySeconds: 2,
    });
  });

  it('accepts a maximum retry delay of 42,300 seconds for FIFO queues', () => {
    const queues = { KEYFOLD_OUTPUT_QUEUE_URL: `${QUEUES}/a.fifo`, KEYFOLD_DEAD_LETTER_QUEUE_URL: `${QUEUES}/b.fifo` };
    expect(faultsOf({ ...queues, KEYFOLD_LONGEST_RETRY_DELAY_SECONDS: '42300' })).toEqual([]);
  });

  it('reports missing queue URLs together with all other errors', () => {
    const faults = faultsOf({
      KEYFOLD_OUTPUT_QUEUE_URL: undefined,
      KEYFOLD_DEAD_LETTER_QUEUE_URL: undefined,
      KEYFOLD_AUTH: 'jwt',
      KEYFOLD_TYPO: 'x',
    });
    expect(faults).toEqual([
      'KEYFOLD_TYPO is not a setting',
      'KEYFOLD_OUTPUT_QUEUE_URL is not set',
      'KEYFOLD_DEAD_LETTER_QUEUE_URL is not set',
      'KEYFOLD_JWT_PARTITIONS_CLAIM must be set with KEYFOLD_AUTH=jwt',
    ]);
  });

  it.for([
    ['KEYFOLD_OUTPUT_QUEUE_URL is not a URL', { KEYFOLD_OUTPUT_QUEUE_URL: 'out' }],
    [
      'KEYFOLD_DEAD_LETTER_QUEUE_URL is not a URL',
      { KEYFOLD_DEAD_LETTER_QUEUE_URL: 'arn:aws:sqs:us-west-2:111122223333:dead' },
    ],
    [
      'KEYFOLD_OUTPUT_QUEUE_URL and KEYFOLD_DEAD_LETTER_QUEUE_URL are the same queue',
      { KEYFOLD_OUTPUT_QUEUE_URL: `${QUEUES}/dead`.replace('https://sqs', 'https://SQS') },
    ],
    ...[
      'us-west-2.queue.amazonaws.com',
      'sqs-fips.us-west-2.amazonaws.com',
      'vpce-0-x.sqs.us-west-2.vpce.amazonaws.com',
    ].map(
      (host) =>
        [
          'KEYFOLD_OUTPUT_QUEUE_URL and KEYFOLD_DEAD_LETTER_QUEUE_URL are the same queue',
          { KEYFOLD_OUTPUT_QUEUE_URL: `${QUEUES}/dead`.replace('sqs.us-west-2.amazonaws.com', host) },
        ] as const,
    ),
    ['KEYFOLD_OUTPUT_QUEUE_URL is not a URL', { KEYFOLD_OUTPUT_QUEUE_URL: `${QUEUES}/out\n` }],
    [
      'KEYFOLD_DEAD_LETTER_QUEUE_URL is the URL of a queue in another region than the function',
      { KEYFOLD_DEAD_LETTER_QUEUE_URL: 'https://sqs.us-east-1.amazonaws.com/111122223333/dead' },
    ],
    [
      'KEYFOLD_FIELDS is set, and KEYFOLD_OPERATIONS lists no operation on fields',
      { KEYFOLD_FIELDS: '["$.a"]', KEYFOLD_OPERATIONS: 'encrypt,decrypt' },
    ],
    ['KEYFOLD_FIELDS[0] selects nothing in any document', { KEYFOLD_FIELDS: JSON.stringify([`$${'.a'.repeat(101)}`]) }],
    ['KEYFOLD_OUTPUT_QUEUE_URL is not a URL', { KEYFOLD_OUTPUT_QUEUE_URL: `${QUEUES}/out name` }],
    [
      'KEYFOLD_OUTPUT_QUEUE_URL and KEYFOLD_DEAD_LETTER_QUEUE_URL are the same queue',
      { KEYFOLD_OUTPUT_QUEUE_URL: `${QUEUES}/dead` },
    ],
    [
      'one of KEYFOLD_OUTPUT_QUEUE_URL and KEYFOLD_DEAD_LETTER_QUEUE_URL is a FIFO queue and the other is not',
      { KEYFOLD_OUTPUT_QUEUE_URL: `${QUEUES}/out.fifo` },
    ],
    [
      'one of KEYFOLD_OUTPUT_QUEUE_URL and KEYFOLD_DEAD_LETTER_QUEUE_URL is a FIFO queue and the other is not',
      { KEYFOLD_DEAD_LETTER_QUEUE_URL: `${QUEUES}/dead.fifo` },
    ],
    ['KEYFOLD_OUTPUT_QUEUE_URL is not set', { KEYFOLD_OUTPUT_QUEUE_URL: undefined }],
    ['KEYFOLD_DEAD_LETTER_QUEUE_URL is not set', { KEYFOLD_DEAD_LETTER_QUEUE_URL: undefined }],
    [
      'KEYFOLD_LONGEST_RETRY_DELAY_SECONDS is not a positive whole number',
      { KEYFOLD_LONGEST_RETRY_DELAY_SECONDS: '0' },
    ],
    ['KEYFOLD_LONGEST_RETRY_DELAY_SECONDS is more than 42300', { KEYFOLD_LONGEST_RETRY_DELAY_SECONDS: '42301' }],
    [
      'KEYFOLD_FIELDS has 101 paths, and a request may have 100',
      { KEYFOLD_FIELDS: JSON.stringify(Array.from({ length: 101 }, (_, i) => `$.f${i}`)) },
    ],
    ['KEYFOLD_FIELDS[1] selects only values inside those of [0]', { KEYFOLD_FIELDS: '["$.a", "$.a.b"]' }],
    [
      'KEYFOLD_FIELDS[1] selects only values inside those of [0]',
      { KEYFOLD_FIELDS: '["$.a", "$.a.b", "$.c"]', KEYFOLD_MAX_ITEMS: '1' },
    ],
    ['KEYFOLD_MAX_ITEMS is not a positive whole number', { KEYFOLD_FIELDS: '["$.a"]', KEYFOLD_MAX_ITEMS: '0' }],
    ['KEYFOLD_OPERATIONS lists an unknown operation', { KEYFOLD_FIELDS: '["$.a"]', KEYFOLD_OPERATIONS: 'decrypt,x' }],
    [
      'KEYFOLD_FIELDS selects more values than KEYFOLD_MAX_ITEMS allows in a document',
      { KEYFOLD_FIELDS: '["$.a", "$.b[0]", "$.c"]', KEYFOLD_MAX_ITEMS: '2' },
    ],
  ] as const)('reports the error "%s"', ([fault, changes]) => {
    expect(faultsOf(changes)).toEqual([fault]);
  });

  it.for([
    'https://sqs.us-east-1.amazonaws.com/111122223333/out',
    'https://us-east-1.queue.amazonaws.com/111122223333/out',
    'https://sqs-fips.us-east-1.amazonaws.com/111122223333/out',
    'https://sqs.us-east-1.api.aws/111122223333/out',
    'https://sqs.cn-north-1.amazonaws.com.cn/111122223333/out',
  ])('refuses the output queue %s, which is in another region', (url) => {
    expect(faultsOf({ KEYFOLD_OUTPUT_QUEUE_URL: url })).toEqual([
      'KEYFOLD_OUTPUT_QUEUE_URL is the URL of a queue in another region than the function',
    ]);
  });

  it.for([
    ['no account', 'https://sqs.us-west-2.amazonaws.com/out'],
    ['a query', `${QUEUES}/out?x=1`],
    ['too long a path', `${QUEUES}/out/more`],
    ['too long a name', `${QUEUES}/${'a'.repeat(81)}`],
    ['a password', 'https://user:pass@sqs.us-west-2.amazonaws.com/111122223333/out'],
  ] as const)('refuses a queue URL with %s', ([, url]) => {
    expect(faultsOf({ KEYFOLD_OUTPUT_QUEUE_URL: url })).toEqual([
      'KEYFOLD_OUTPUT_QUEUE_URL is not the URL of a queue: …/ACCOUNT/NAME',
    ]);
  });

  it.for([
    ['text', 'card'],
    ['an empty array', '[]'],
    ['an array with a number', '[1]'],
    ['a JSON string', '"$.a"'],
  ] as const)('refuses %s as KEYFOLD_FIELDS', ([, fields]) => {
    expect(faultsOf({ KEYFOLD_FIELDS: fields, KEYFOLD_OPERATIONS: 'encrypt' })).toEqual([
      'KEYFOLD_FIELDS is not a JSON array of strings',
    ]);
  });

  it('reports every invalid queue URL and every invalid path', () => {
    expect(faultsOf({ KEYFOLD_OUTPUT_QUEUE_URL: 'queue', KEYFOLD_DEAD_LETTER_QUEUE_URL: 'queue' })).toEqual([
      'KEYFOLD_OUTPUT_QUEUE_URL is not a URL',
      'KEYFOLD_DEAD_LETTER_QUEUE_URL is not a URL',
    ]);
    expect(faultsOf({ KEYFOLD_FIELDS: '["card", "$.a[?@.b]"]' })).toEqual([
      expect.stringMatching(/^KEYFOLD_FIELDS\[0\] is not a JSONPath/),
      expect.stringMatching(/^KEYFOLD_FIELDS\[1\] has a filter/),
    ]);
  });
});

describe('areQueuesOfAws', () => {
  const VPC = 'https://vpce-1.sqs.us-west-2.vpce.amazonaws.com/111122223333';

  it.for([
    [true, QUEUES, QUEUES],
    [true, 'https://us-west-2.queue.amazonaws.com/111122223333', QUEUES],
    [false, VPC, QUEUES],
    [false, QUEUES, VPC],
    [false, 'http://127.0.0.1:8083/111122223333', 'http://127.0.0.1:8083/111122223333'],
  ] as const)('returns %s for the output queue %s and the dead-letter queue %s', ([expected, outputs, deadLetters]) => {
    const { queue } = readQueueConfig({
      ...minimal,
      KEYFOLD_OUTPUT_QUEUE_URL: `${outputs}/out`,
      KEYFOLD_DEAD_LETTER_QUEUE_URL: `${deadLetters}/dead`,
    });
    expect(areQueuesOfAws(queue)).toBe(expected);
  });
});
