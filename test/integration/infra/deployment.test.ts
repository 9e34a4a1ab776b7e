/**
 * Tests which values deploy.yml accepts: the limits and the default of each option, and contradictions between options.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { apiParts } from '../../../deploy/api.ts';
import { appValues, environmentOf } from '../../../deploy/app.ts';
import { keyNameOf } from '../../../deploy/deployment.ts';
import { rolesLikely } from '../../../deploy/function-roles.ts';
import { queueFunctions } from '../../../deploy/queues.ts';
import { deploymentFile, readDeployment } from '../../../deploy/read-deployment.ts';
import { faultsOf, OPTIONS, read } from './changed-example.ts';
import { ENTRIES } from './package.ts';

const ROLES = 'arn:aws:iam::111122223333:role';
const USERS = 'arn:aws:iam::111122223333:user';
const JWT = { auth: 'jwt', issuer: 'https://login.example.com/', audience: ['keyfold'], partitionsClaim: 'tenant' };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-deployment-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Sets an option by its path in deploy.yml. */
function withOption(path: string, value: unknown): object {
  const [first = '', second, third] = path.split('.');
  const inner = third === undefined ? value : { [third]: value };
  const queue = path.startsWith('queue.') ? { kind: 'standard' } : {};
  return { [first]: second === undefined ? value : { ...queue, [second]: inner } };
}

/** Sets how long a queue keeps its messages. */
function withQueue(retentionDays: number, oldestMessageSeconds: number): object {
  return { queue: { kind: 'standard', retentionDays, oldestMessageSeconds } };
}

/** A list of five ARNs with this total length, commas included. */
function withArns(option: string, characters: number): object {
  const list = Array.from({ length: 4 }, (_, i) => `${ROLES}/${'p'.repeat(500)}/${'x'.repeat(100)}${i}`);
  const rest = characters - list.join(',').length;
  return { [option]: [...list, `${ROLES}/${'x'.repeat(rest - ROLES.length - 2)}`] };
}

/** Options with an environment variable of this length, for a deployment without a queue. */
function withVariable(characters: number, regions: string[]): object {
  return { regions, settings: { POWERTOOLS_SERVICE_NAME: 'x'.repeat(characters) }, queue: {} };
}

/** The function of the queue, as osls reads it. */
async function queueFunctionOf(queue: object): Promise<object> {
  return queueFunctions(await read({ queue }), false);
}

/** A function with the default options. */
function functionWith(timeoutSeconds: number): object {
  return { memoryMb: 1024, timeoutSeconds, reservedConcurrency: null };
}

describe('a number in deploy.yml', () => {
  it.for([
    ...['api', 'seal', 'open', 'queue', 'maintenance'].flatMap((name) => [
      [`functions.${name}.memoryMb`, 128, 10_240] as const,
      [`functions.${name}.timeoutSeconds`, 1, name === 'api' ? 29 : 900] as const,
    ]),
    ['functions.seal.reservedConcurrency', 1, 100_000],
    ['functions.open.provisionedConcurrency', 0, 100_000],
    ['http.requestsPerSecond', 1, 100_000],
    ['http.burst', 1, 100_000],
    ['queue.batchSize', 1, 10_000],
    ['queue.maximumConcurrency', 2, 1000],
    ['queue.retentionDays', 2, 14],
  ] as const)('named %s must be from %i to %i', async ([path, least, most]) => {
    expect(await faultsOf(withOption(path, least))).toEqual([]);
    expect(await faultsOf(withOption(path, most))).toEqual([]);
    expect(await faultsOf(withOption(path, least - 1))).toEqual([`- ${path} is below ${least}`]);
    expect(await faultsOf(withOption(path, most + 1))).toEqual([`- ${path} is above ${most}`]);
    expect(await faultsOf(withOption(path, least + 0.5))).toEqual([`- ${path} is not a whole number`]);
  });

  it("named queue.oldestMessageSeconds must be at least 60 and less than the queue's retention period", async () => {
    expect(await faultsOf(withQueue(2, 60))).toEqual([]);
    expect(await faultsOf(withQueue(2, 59))).toEqual(['- queue.oldestMessageSeconds is below 60']);
    expect(await faultsOf(withQueue(2, 172_799))).toEqual([]);
    expect(await faultsOf(withQueue(2, 172_800))).toEqual([
      '- queue.oldestMessageSeconds is not below queue.retentionDays: messages would be gone before the alarm',
    ]);
    // Without a queue, the two options do not conflict.
    expect(await faultsOf({ queue: { kind: 'none', retentionDays: 14, oldestMessageSeconds: 1_209_600 } })).toEqual([]);
    expect(await faultsOf(withQueue(14, 1_209_601))).toEqual(['- queue.oldestMessageSeconds is above 1209600']);
  });
});

describe('the options of deploy.yml', () => {
  it.for([
    ['account', 'twelve digits', '111122223333'],
    ['classification', 'a word of 40 letters', 'c'.repeat(40)],
    ['service', 'a word of 255 letters', 's'.repeat(255)],
    ['product', 'a tilde', '~'],
    ['keyName', 'a capital letter', 'K'],
    ['keyName', 'a name of 60 characters', `K${'_'.repeat(59)}`],
    ['tableKeyName', 'a name that begins with "next-"', 'next-retiredly'],
    ['tableName', 'three characters', 'a.b'],
    ['tableName', 'a name of 255 characters', 'T'.repeat(255)],
    [
      'administrators',
      'roles and users with paths',
      [`${ROLES}/key-administrator`, `${ROLES}/path/of/it`, `${USERS}/ann@example.com`],
    ],
    [
      'tableWriters',
      'an ARN that ends in an asterisk',
      [`${ROLES}/key-revoker`, `${ROLES}/billing-roles-*`, `${USERS}/ann`],
    ],
    ['permissionsBoundary', "one of AWS's policies", 'arn:aws:iam::aws:policy/PowerUserAccess'],
    ['permissionsBoundary', 'an ARN with a comma', 'arn:aws:iam::111122223333:policy/path/bounds,all'],
    [
      'alarmTopics',
      'a topic name of 256 characters',
      { 'us-west-2': `arn:aws:sns:us-west-2:111122223333:${'t'.repeat(256)}` },
    ],
    [
      'environmentKeys',
      'a key ID of 64 characters',
      { 'us-west-2': `arn:aws:kms:us-west-2:111122223333:key/${'k'.repeat(64)}` },
    ],
    ['environmentKeys', 'a multi-Region key', { 'us-west-2': 'arn:aws:kms:us-west-2:111122223333:key/mrk-0' }],
    ['prefix', 'a name that contains "-app"', 'keyfold-apples'],
    [
      'settings',
      'settings of Keyfold and Powertools',
      { KEYFOLD_MAX_ITEMS: '2', POWERTOOLS_LOG_LEVEL: 'WARN', POWERTOOLS_LEVEL_2: '1' },
    ],
    ['http', 'a list of 50 audiences', { ...JWT, audience: Array.from({ length: 50 }, (_, i) => `client-${i}`) }],
    [
      'http',
      'settings for lists, wildcards and scopes',
      { ...JWT, partitionLists: true, partitionWildcards: true, scopeClaim: 'scope' },
    ],
    ['regions', 'four regions', ['us-west-2', 'us-east-1', 'eu-west-1', 'eu-north-1']],
    ...['TRACE', 'DEBUG', 'INFO'].map((level) => ['applicationLogLevel', level, level] as const),
    ...['DEBUG', 'INFO', 'WARN'].map((level) => ['systemLogLevel', level, level] as const),
    ...[30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653].map(
      (days) => ['logRetentionDays', days, days] as const,
    ),
  ] as const)('"%s" accepts %s', async ([option, , value]) => {
    const levels = option.endsWith('LogLevel') ? { logFormat: 'json' } : {};
    expect(await faultsOf({ ...levels, [option]: value })).toEqual([]);
  });

  it.for([
    ['account is not twelve digits', 'account', '1111222233334'],
    ['account is not twelve digits', 'account', '11112222333'],
    [
      'classification must be one to forty lower-case letters, digits and hyphens, and begin with a letter',
      'classification',
      'c'.repeat(41),
    ],
    [
      'classification must be one to forty lower-case letters, digits and hyphens, and begin with a letter',
      'classification',
      '',
    ],
    ['keyName is not a valid key name', 'keyName', 'k'.repeat(61)],
    ['keyName is not a valid key name', 'keyName', '1keyfold'],
    ['tableName is not a valid table name', 'tableName', 'ab'],
    ['tableName is not a valid table name', 'tableName', 'T'.repeat(256)],
    ['prefix begins with a prefix that S3 reserves', 'prefix', 'sthree-keyfold'],
    ['prefix begins with a prefix that S3 reserves', 'prefix', 'amzn-s3-demo-k'],
    ['prefix looks like the name of a stack: leave out -keys, -roles and -app', 'prefix', 'team-roles'],
    ['regions names no region', 'regions', []],
    ...['us-moon-1', 'us-wset-2', 'us-west', 'moon'].map(
      (region) => ['regions.0 is not a region', 'regions', [region]] as const,
    ),
    [
      'alarmTopics.us-west-2 is in account 444455556666, but the deployment is in 111122223333',
      'alarmTopics',
      { 'us-west-2': 'arn:aws:sns:us-west-2:444455556666:oncall' },
    ],
    [
      'regions names more than four regions',
      'regions',
      ['us-west-2', 'us-east-1', 'eu-west-1', 'eu-north-1', 'eu-west-2'],
    ],
    ['regions names a region twice', 'regions', ['us-west-2', 'us-east-1', 'us-west-2']],
    ['administrators must have at least one entry', 'administrators', []],
    ['alarmEmail is not an email address', 'alarmEmail', 'security'],
    [
      'tableWriters.0 is not the ARN of a role or user, or its name has a comma',
      'tableWriters',
      [`${ROLES}/billing-*-roles`],
    ],
    [
      'alarmTopics.us-west-2 is not the ARN of a standard SNS topic',
      'alarmTopics',
      { 'us-west-2': `arn:aws:sns:us-west-2:111122223333:${'t'.repeat(257)}` },
    ],
    [
      'environmentKeys.us-west-2 is not the ARN of a KMS key',
      'environmentKeys',
      { 'us-west-2': `arn:aws:kms:us-west-2:111122223333:key/${'k'.repeat(65)}` },
    ],
    [
      'environmentKeys names eu-west-1, which is not among the regions',
      'environmentKeys',
      { 'eu-west-1': 'arn:aws:kms:eu-west-1:111122223333:key/1' },
    ],
    ['settings.OTHER_SETTING is not a setting', 'settings', { OTHER_SETTING: '1' }],
    ['settings.KEYFOLD_MAX_ITEMS is not text: put it in quotes', 'settings', { KEYFOLD_MAX_ITEMS: 2 }],
    ...['SILENT', ' SILENT ', 'silent', 'LOUD', 'toString', ''].map(
      (level) =>
        [
          'settings.POWERTOOLS_LOG_LEVEL must be one of TRACE, DEBUG, INFO, WARN, ERROR, CRITICAL: otherwise there might be no audit',
          'settings',
          { POWERTOOLS_LOG_LEVEL: level },
        ] as const,
    ),
    ['http.audience must have at least one entry', 'http', { ...JWT, audience: [] }],
    ['http.audience.0 is empty', 'http', { ...JWT, audience: [''] }],
    [
      'logRetentionDays must be one of 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653',
      'logRetentionDays',
      7,
    ],
    ['logFormat is neither text nor json', 'logFormat', 'xml'],
    ['tracing is not boolean', 'tracing', 'yes'],
  ] as const)('is refused because %s', async ([fault, option, value]) => {
    expect(await faultsOf({ [option]: value })).toEqual([`- ${fault}`]);
  });

  it.for([
    ['us-gov-east-1', 'aws-us-gov'],
    ['ap-southeast-9', 'aws'],
    ['xx-northwest-1', 'aws'],
    ['eusc-de-east-1', 'aws-eusc'],
    ['us-isob-east-1', 'aws-iso-b'],
  ])(
    'named `regions` accepts any region with a valid name, such as %s in the partition %s',
    async ([region, partition]) => {
      const administrators = [`arn:${partition}:iam::111122223333:role/key-administrator`];
      expect(await faultsOf({ administrators, regions: [region] })).toEqual([]);
    },
  );

  it.for([
    'SERVICE',
    'PRODUCT',
    'KMS_KEYS',
    'TABLE',
    'REGION_SUFFIX',
    'AUTH',
    'JWT_PARTITIONS_CLAIM',
    'JWT_SCOPE_CLAIM',
    'OPERATIONS',
    'FIELDS',
    'OUTPUT_QUEUE_URL',
    'DEAD_LETTER_QUEUE_URL',
    'STATIC_MASTER_KEY_HEX',
    'STATIC_KMS_OVERRIDE',
  ])('cannot be replaced by settings.KEYFOLD_%s', async (name) => {
    expect(await faultsOf({ settings: { [`KEYFOLD_${name}`]: 'x' } })).toContain(
      `- settings.KEYFOLD_${name} is set elsewhere in the file, or must not be set`,
    );
  });
});

describe('a combination of options in deploy.yml', () => {
  it.for<[fault: string, changed: object]>([
    [
      'regionSuffix is false with several regions, which lose keys (docs/explanation/global-tables.md)',
      { regions: ['us-west-2', 'us-east-1'], regionSuffix: false },
    ],
    ...['issuer', 'audience', 'partitionsClaim'].flatMap((name): [string, object][] => [
      [`http.${name} is missing with http.auth jwt`, { http: { ...JWT, [name]: undefined } }],
      [
        `http.${name} is set without http.auth jwt`,
        { http: { [name]: (JWT as Readonly<Record<string, unknown>>)[name] } },
      ],
    ]),
    ['http.scopeClaim is set without http.auth jwt', { http: { auth: 'authorizer', scopeClaim: 'scp' } }],
    ...['partitionLists', 'partitionWildcards'].map((name): [string, object] => [
      `http.${name} is set without http.auth jwt or authorizer`,
      { http: { [name]: true } },
    ]),
    [
      'administrators has one entry with strictKeys: if that role is deleted, only the root user can correct the key',
      { strictKeys: {} },
    ],
    [
      'strictKeys.encrypt.1 is an administrator, and those cannot use the keys',
      { strictKeys: { encrypt: [`${ROLES}/app`, `${ROLES}/key-administrator`] } },
    ],
    [
      'strictKeys.decrypt.0 is this account, in which IAM would decide again',
      { strictKeys: { decrypt: ['arn:aws:iam::111122223333:root'] } },
    ],
    [
      'strictKeys.grant.0 is in the partition aws-cn, but us-west-2 is in aws',
      { strictKeys: { grant: ['arn:aws-cn:iam::111122223333:role/granter'] } },
    ],
    [
      'api.callers.0 is in the partition aws-cn, but us-west-2 is in aws',
      {
        api: { type: 'rest', callers: [{ principal: 'arn:aws-cn:iam::444455556666:role/orders', partitions: ['a'] }] },
      },
    ],
    [
      'storageKeys.us-west-2 is in us-east-1: AWS accepts only one in the same region',
      { storageKeys: { 'us-west-2': 'arn:aws:kms:us-east-1:111122223333:key/1' } },
    ],
    [
      'storageKeys names eu-west-1, which is not among the regions',
      { storageKeys: { 'eu-west-1': 'arn:aws:kms:eu-west-1:111122223333:key/1' } },
    ],
    ['queue.fields is set without a queue.kind', { queue: { kind: 'none', fields: ['$.card'] } }],
    ['queue.batchSize is above 10, the maximum for a FIFO queue', { queue: { kind: 'fifo', batchSize: 11 } }],
    [
      'functions.queue.reservedConcurrency is below queue.maximumConcurrency, so SQS would count a throttled message as received',
      {
        functions: { queue: { reservedConcurrency: 9 } },
        queue: { kind: 'standard', maximumConcurrency: 10 },
      },
    ],
    [
      'alarmEmail is missing, and alarmTopics lacks a region: some alarms would notify no address',
      {
        alarmEmail: undefined,
        alarmTopics: { 'us-west-2': 'arn:aws:sns:us-west-2:111122223333:oncall' },
      },
    ],
    [
      "settings.KEYFOLD_DYNAMODB_REGION is not the functions' region, and their roles may use no table elsewhere",
      { regions: ['us-west-2'], regionSuffix: false, settings: { KEYFOLD_DYNAMODB_REGION: 'us-east-1' } },
    ],
    [
      'functions.open.timeoutSeconds leaves no time beside KEYFOLD_DEADLINE_MARGIN_MS',
      { functions: { open: { timeoutSeconds: 2 } }, settings: { KEYFOLD_DEADLINE_MARGIN_MS: '2000' } },
    ],
    [
      'functions.queue.timeoutSeconds leaves no time beside KEYFOLD_DEADLINE_MARGIN_MS',
      {
        functions: { queue: { timeoutSeconds: 10 } },
        queue: { kind: 'standard' },
        settings: { KEYFOLD_DEADLINE_MARGIN_MS: '7000' },
      },
    ],
    [
      'minSealingCreated is more than ten minutes ahead of the clock',
      { settings: { KEYFOLD_MIN_SEALING_CREATED: '9999-12-31T00:00:00Z' } },
    ],
    [
      'minOpeningCreated is more than ten minutes ahead of the clock',
      { settings: { KEYFOLD_MIN_OPENING_CREATED: '9999-12-31T00:00:00Z' } },
    ],
  ])('is refused because %s', async ([fault, changed]) => {
    expect(await faultsOf(changed)).toContain(`- ${fault}`);
  });

  it.for<[what: string, changed: object]>([
    [
      'keys whose policies name their users, with two administrators',
      {
        administrators: [`${ROLES}/key-administrator`, `${ROLES}/second`],
        strictKeys: { encrypt: [`${ROLES}/app`], decrypt: ['arn:aws:iam::444455556666:root'], grant: [`${ROLES}/g`] },
      },
    ],
    ['one region without a region suffix in key IDs', { regions: ['us-west-2'], regionSuffix: false }],
    ['a FIFO queue that is read in batches of ten', { queue: { kind: 'fifo', batchSize: 10 } }],
    ['a standard queue that is read in batches of more than ten', { queue: { kind: 'standard', batchSize: 11 } }],
    [
      "as much reserved concurrency as the queue's maximum concurrency",
      { functions: { queue: { reservedConcurrency: 10 } }, queue: { kind: 'standard', maximumConcurrency: 10 } },
    ],
    ['a low reserved concurrency, but no queue', { functions: { queue: { reservedConcurrency: 1 } }, queue: {} }],
    ['fields for a FIFO queue', { queue: { kind: 'fifo', fields: ['$.card'] } }],
    [
      'an alarm topic in each region, but no email address',
      {
        alarmEmail: undefined,
        alarmTopics: {
          'us-west-2': 'arn:aws:sns:us-west-2:111122223333:oncall',
          'us-east-1': 'arn:aws:sns:us-east-1:111122223333:oncall',
        },
      },
    ],
    [
      "a deadline margin just below a function's timeout",
      { functions: { open: { timeoutSeconds: 2 } }, settings: { KEYFOLD_DEADLINE_MARGIN_MS: '1999' } },
    ],
  ])('is accepted if it has %s', async ([, changed]) => {
    expect(await faultsOf(changed)).toEqual([]);
  });
});

describe('the size limits of AWS', () => {
  it.for(['administrators', 'tableWriters'])('allow at most 4096 characters for all %s together', async (option) => {
    expect(await faultsOf(withArns(option, 4096))).toEqual([]);
    expect(await faultsOf(withArns(option, 4097))).toEqual([
      `- ${option} have 4097 characters together, but CloudFormation accepts only 4096`,
    ]);
  });

  it('allow at most 4096 bytes for all variables of a function together', async () => {
    const message = 'the variables of the function queue are 4097 bytes, but Lambda accepts only 4096';
    for (const [length, faults] of [
      [3592, []],
      [3593, [`- ${message}: shorten settings or queue.fields`]],
    ] as const) {
      expect(await faultsOf({ settings: { POWERTOOLS_SERVICE_NAME: 'x'.repeat(length) } })).toEqual(faults);
    }
  });

  it.for([
    ['encrypt', 'standard', 8],
    ['decrypt', 'standard', 10],
    ['encrypt', 'none', 6],
    ['decrypt', 'none', 8],
    ['grant', 'standard', 0],
  ] as const)(
    "allow at most 4096 characters for strictKeys.%s and the functions' roles together (queue.kind %s)",
    async ([list, kind, roles]) => {
      const changed = { administrators: [`${ROLES}/a`, `${ROLES}/b`], queue: { kind } };
      const isNamed = (name: string): boolean =>
        (name !== 'Queue' || kind !== 'none') && (name !== 'Open' || list !== 'encrypt');
      // The roles' names have the maximum length, because CloudFormation adds at most thirteen random characters. Each
      // name counts twice, because the example has two regions.
      const names = ['Api', 'Seal', 'Maintenance', 'Queue', 'Open'].filter((name) => roles > 0 && isNamed(name));
      expect(2 * names.length).toBe(roles);
      const taken = 2 * names.map((name) => `${ROLES}/keyfold-roles-${name}Role-0123456789abc,`).join('').length;
      expect(await faultsOf({ ...changed, strictKeys: withArns(list, 4096 - taken) })).toEqual([]);
      const what = `strictKeys.${list}${roles > 0 ? " and the functions' roles" : ''}`;
      expect(await faultsOf({ ...changed, strictKeys: withArns(list, 4097 - taken) })).toEqual([
        `- ${what} have 4097 characters together, but CloudFormation accepts only 4096`,
      ]);
    },
  );

  it.for(['rest', 'private'] as const)('allow 8192 characters for the policy of an API of type %s', async (type) => {
    const withName = (characters: number): { api: object } => {
      const partitions = Array.from({ length: 50 }, (_, i) => `${'x'.repeat(100)}${i}`);
      const callers = [{ principal: `arn:aws:iam::444455556666:role/${'y'.repeat(characters)}`, partitions }];
      return { api: { ...ENTRIES[type].api, domain: undefined, callers } };
    };
    const { resources } = apiParts(await read(withName(1)), 'us-west-2');
    const room = 8193 - JSON.stringify(resources['RestApi']?.Properties['Policy']).length;
    expect(await faultsOf(withName(room))).toEqual([]);
    expect(await faultsOf(withName(room + 1))).toEqual([
      '- api.callers make a policy of 8193 characters, but API Gateway accepts only 8192',
    ]);
  });

  it('allow a function 4096 bytes of environment variables, even in the region with the longest variables', async () => {
    const deployment = await read({ regions: ['us-west-2'], settings: { POWERTOOLS_SERVICE_NAME: '' }, queue: {} });
    // The function `seal` has the longest variables, because of its list of operations. The API comes next, because it
    // has one variable more than most functions.
    const variables = {
      ...environmentOf(deployment, 'us-west-2'),
      KEYFOLD_OPERATIONS: 'encrypt,rewrap,encrypt-batch,rewrap-batch,encrypt-fields',
    };
    const room = 4096 - Buffer.byteLength(JSON.stringify(variables));
    expect(await faultsOf(withVariable(room, ['us-west-2']))).toEqual([]);
    expect(await faultsOf(withVariable(room + 1, ['us-west-2']))).toEqual([
      '- the variables of the function seal are 4097 bytes, but Lambda accepts only 4096: shorten settings or queue.fields',
    ]);
    // The first region's name is five characters longer than the second's.
    const [long, short] = ['ap-southeast-1', 'us-west-2'];
    const bytesOf = async (regions: string[]): Promise<number[]> =>
      (await faultsOf(withVariable(4000, regions))).map((fault) => Number(/are (\d+) bytes/.exec(fault)?.[1]));
    expect(await bytesOf([long, short])).toEqual(await bytesOf([short, long]));
  });
});

describe('deploy.yml', () => {
  it('has the documented default for each option', async () => {
    const { account, service, product, regions, classification, administrators, alarmEmail } = OPTIONS;
    const file = join(folder, 'least.yml');
    const least = { account, service, product, regions, classification, administrators, alarmEmail };
    await writeFile(file, JSON.stringify(least));
    expect(await readDeployment(file)).toEqual({
      ...least,
      prefix: 'keyfold',
      api: { type: 'http' },
      endpoints: { fips: false, dualStack: false },
      architecture: 'arm64',
      alarmTopics: {},
      tableName: 'EncryptionKey',
      tableWriters: [],
      regionSuffix: true,
      http: { auth: 'iam', requestsPerSecond: 1000, burst: 500 },
      functions: {
        api: { ...functionWith(29), provisionedConcurrency: 0 },
        seal: { ...functionWith(30), provisionedConcurrency: 0 },
        open: { ...functionWith(30), provisionedConcurrency: 0 },
        queue: functionWith(120),
        maintenance: functionWith(300),
      },
      queue: {
        kind: 'none',
        batchSize: 10,
        maximumConcurrency: 10,
        retentionDays: 14,
        oldestMessageSeconds: 3600,
      },
      environmentKeys: {},
      storageKeys: {},
      tracing: false,
      logFormat: 'text',
      logRetentionDays: 365,
      settings: {},
    });
  });

  it('allows the app to be deployed only to the regions that the file names', async () => {
    const deployment = await read({});
    expect(appValues(deployment, 'us-east-1')).toMatchObject({ region: 'us-east-1', stack: 'keyfold-app' });
    expect(() => appValues(deployment, 'eu-west-1')).toThrow(
      'eu-west-1 is not among the regions of the deployment: us-west-2, us-east-1',
    );
  });

  it('sets a batching window of one second for batches of more than ten messages, as AWS requires', async () => {
    const more = await queueFunctionOf({ kind: 'standard', batchSize: 11 });
    expect(more).toMatchObject({ queue: { events: [{ sqs: { batchSize: 11, maximumBatchingWindow: 1 } }] } });
    const ten = await queueFunctionOf({ kind: 'standard', batchSize: 10 });
    expect(ten).toMatchObject({ queue: { events: [{ sqs: { batchSize: 10 } }] } });
    expect(JSON.stringify(ten)).not.toContain('maximumBatchingWindow');
    const operations = ['encrypt-fields', 'decrypt-fields'];
    expect(await queueFunctionOf({ kind: 'fifo', operations })).toMatchObject({
      queue: { environment: { KEYFOLD_OPERATIONS: 'encrypt-fields,decrypt-fields' } },
    });
    expect(await queueFunctionOf({ kind: 'none' })).toEqual({});
  });

  it('sets the names of the keys, which by default come from the prefix', async () => {
    expect(keyNameOf(await read({ prefix: 'trial' }))).toBe('trial');
    expect(keyNameOf(await read({ prefix: 'trial', keyName: 'orders' }))).toBe('orders');
  });

  it('is named in the error if it is missing or not valid YAML', async () => {
    const file = join(folder, 'broken.yml');
    await writeFile(file, 'a: [');
    await expect(readDeployment(file)).rejects.toMatchObject({
      message: expect.stringContaining(`${file} is not YAML: `) as string,
      cause: { name: 'YAMLException' },
    });
    const missing = join(folder, 'missing.yml');
    const why = 'copy deploy.example.yml to it and fill it in (docs/tutorial/deploy.md)';
    await expect(readDeployment(missing)).rejects.toThrow(new Error(`${missing} does not exist: ${why}`));
    await expect(readDeployment(folder)).rejects.toMatchObject({
      message: `${folder} cannot be read: EISDIR: illegal operation on a directory, read`,
      cause: { code: 'EISDIR' },
    });
  });

  it.for(['', '# account: 111122223333', 'account'])('is refused if it has no options: %j', async (content) => {
    const file = join(folder, 'empty.yml');
    await writeFile(file, content);
    const why = `${file} is not valid:\n- the file must have options, such as account`;
    await expect(readDeployment(file)).rejects.toThrow(new Error(why));
  });

  it('is not read if KEYFOLD_DEPLOY_FILE names another file, even if the other file is missing', ({
    onTestFinished,
  }) => {
    const missing = join(folder, 'missing.yml');
    process.env['KEYFOLD_DEPLOY_FILE'] = missing;
    onTestFinished(() => {
      delete process.env['KEYFOLD_DEPLOY_FILE'];
    });
    expect(deploymentFile()).toBe(missing);
  });
});

/** The functions whose names are in placeholders for the ARNs of roles. */
function namesOf(arns: readonly string[]): (string | undefined)[] {
  return arns.map((arn) => /^arn:aws:iam::111122223333:role\/keyfold-roles-(\w+)Role-X{13}$/.exec(arn)?.[1]);
}

it.for([
  ['none', []],
  ['standard', ['Queue']],
] as const)('rolesLikely returns the roles of the functions for the queue kind "%s"', async ([kind, ofQueue]) => {
  const { encrypt, decrypt } = rolesLikely(await read({ queue: { kind } }));
  const encrypting = ['Api', 'Seal', 'Maintenance', ...ofQueue];
  expect(namesOf(encrypt)).toEqual([...encrypting, ...encrypting]);
  expect(namesOf(decrypt)).toEqual([...encrypting, 'Open', ...encrypting, 'Open']);
});
