import * as v from 'valibot';
import { apiOptions, httpOptions } from './entry-options.ts';
import { arn, REGION, text, whole } from './option-types.ts';

/**
 * IAM allows a comma in a name. CloudFormation separates the names in a list parameter by commas, so this schema
 * refuses a comma.
 */
const ROLE = v.pipe(
  v.string(),
  v.regex(
    /^arn:aws[a-z-]*:iam::\d{12}:(?:role|user)(?:\/[\w+=.@-]+)+$/,
    'is not the ARN of a role or user, or its name has a comma',
  ),
);
/** A role, a user, or the whole of another account. */
const PRINCIPAL = v.pipe(
  v.string(),
  v.regex(
    /^arn:aws[a-z-]*:iam::\d{12}:(?:root|(?:role|user)(?:\/[\w+=.@-]+)+)$/,
    'is not the ARN of a role, a user or the root of an account',
  ),
);
const POLICY = /^arn:aws[a-z-]*:iam::(?:\d{12}|aws):policy\/[\w+=,.@/-]+$/;
/**
 * The ARN of a user or a role. An asterisk at the end matches every role with that prefix, because CloudFormation adds
 * a random suffix to names.
 */
const WRITER = /^arn:aws[a-z-]*:iam::\d{12}:(?:role|user)\/[\w+=.@/-]+\*?$/;
const TOPIC = /^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}$/;
const KMS_KEY = /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/[A-Za-z0-9-]{1,64}$/;
/**
 * The name of the KMS keys, as in keys.yml. Roles and policies also match the aliases NAME-next-N and NAME-retired-N.
 * So a name must not have such an ending, and must not contain a wildcard.
 */
const keyNameSchema = v.pipe(
  v.string(),
  v.regex(/^(?!aws)(?!.*-(?:retired|next)(?:-|$))[A-Za-z][A-Za-z0-9_-]{0,59}$/, 'is not a valid key name'),
);
/**
 * The prefix of a deployment's stacks. Names that CloudFormation generates begin with the name of the stack, in lower
 * case or shortened. The policies in infra/deployers.yml match resources by that beginning. So a prefix must not look
 * like the name of another deployment's stack.
 */
const prefixSchema = v.pipe(
  v.string(),
  v.regex(
    /^[a-z][a-z0-9-]{0,15}$/,
    'must be one to sixteen lower-case letters, digits and hyphens, and begin with a letter',
  ),
  v.regex(/^(?!.*-(?:keys|roles|app)(?:-|$))/, 'looks like the name of a stack: leave out -keys, -roles and -app'),
  v.regex(/^(?!xn--|sthree-|amzn-s3-demo-)/, 'begins with a prefix that S3 reserves'),
);
/**
 * A part of key IDs: the service or the product. It is also a metric dimension, so it must be ASCII without quotation
 * marks. IAM policies match a service's rows by a pattern that contains it. An asterisk, a question mark or a dollar
 * sign would make the pattern match other services' rows.
 */
const namePart = v.pipe(
  v.string(),
  v.regex(/^[^\s'"\\]+$/, 'is empty, or holds a space, a quote or a backslash'),
  v.regex(/^[\x20-\x7e]*$/, 'holds a character that is not ASCII, which CloudWatch refuses'),
  v.regex(/^(?!:)[^*?$]*$/, 'begins with a colon, or holds an asterisk, a question mark or a dollar sign'),
  v.maxLength(255, 'is longer than 255 characters'),
);

/** The retention periods that CloudWatch Logs accepts, in days. */
const RETENTIONS = [30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653] as const;

/**
 * The log levels that keep metrics and audit lines. Audit lines have the level INFO, and Lambda treats lines without a
 * level, such as metrics, as INFO. A higher level would drop both.
 */
const APPLICATION_LEVELS = ['TRACE', 'DEBUG', 'INFO'] as const;
const applicationLevelFault =
  `must be one of ${APPLICATION_LEVELS.join(', ')}: above INFO Lambda drops the audit and the metrics ` +
  '(settings.POWERTOOLS_LOG_LEVEL leaves them)';
const SYSTEM_LEVELS = ['DEBUG', 'INFO', 'WARN'] as const;

/** The limits of one function. If `reservedConcurrency` is null, the function shares the account's concurrency. */
const limitsOf = (timeoutSeconds: number, mostSeconds: number) => ({
  memoryMb: v.optional(whole(128, 10_240), 1024),
  timeoutSeconds: v.optional(whole(1, mostSeconds), timeoutSeconds),
  reservedConcurrency: v.optional(v.nullable(whole(1, 100_000)), null),
});
const functionOf = (timeoutSeconds: number) => v.optional(v.strictObject(limitsOf(timeoutSeconds, 900)), {});
/**
 * A function whose callers wait for its response. If the function has provisioned concurrency, callers use its alias
 * `provisioned`.
 */
const promptFunctionOf = (timeoutSeconds: number, mostSeconds: number) =>
  v.optional(
    v.strictObject({
      ...limitsOf(timeoutSeconds, mostSeconds),
      provisionedConcurrency: v.optional(whole(0, 100_000), 0),
    }),
    {},
  );
const idsOf = (kind: string, most: number) =>
  v.pipe(
    v.array(v.pipe(v.string(), v.regex(new RegExp(`^${kind}-[0-9a-f]{8,17}$`), `is not the ID of a ${kind}`))),
    v.minLength(1, 'must have at least one entry'),
    v.maxLength(most, `names more than Lambda takes, ${most}`),
  );

/** The schema of deploy.yml. */
export const deploymentSchema = v.strictObject({
  account: v.pipe(v.string('is not text: put it in quotes'), v.regex(/^\d{12}$/, 'is not twelve digits')),
  prefix: v.optional(prefixSchema, 'keyfold'),
  service: namePart,
  product: namePart,
  regions: v.pipe(v.array(REGION), v.minLength(1, 'names no region'), v.maxLength(4, 'names more than four regions')),
  classification: v.pipe(
    v.string(),
    v.regex(
      /^[a-z][a-z0-9-]{0,39}$/,
      'must be one to forty lower-case letters, digits and hyphens, and begin with a letter',
    ),
  ),
  administrators: v.pipe(v.array(ROLE), v.minLength(1, 'must have at least one entry')),
  strictKeys: v.optional(
    v.strictObject({
      encrypt: v.optional(v.array(PRINCIPAL), []),
      decrypt: v.optional(v.array(PRINCIPAL), []),
      grant: v.optional(v.array(ROLE), []),
    }),
  ),
  alarmEmail: v.optional(v.pipe(v.string(), v.email('is not an email address'))),
  alarmTopics: v.optional(v.record(REGION, arn(TOPIC, 'is not the ARN of a standard SNS topic')), {}),
  keyName: v.optional(keyNameSchema),
  tableName: v.optional(
    v.pipe(v.string(), v.regex(/^[a-zA-Z0-9_.-]{3,255}$/, 'is not a valid table name')),
    'EncryptionKey',
  ),
  tableKeyName: v.optional(keyNameSchema),
  tableWriters: v.optional(v.array(arn(WRITER, 'is not the ARN of a role or user, or its name has a comma')), []),
  permissionsBoundary: v.optional(arn(POLICY, 'is not the ARN of a policy')),
  regionSuffix: v.optional(v.boolean(), true),
  http: httpOptions,
  api: apiOptions,
  vpc: v.optional(v.record(REGION, v.strictObject({ subnets: idsOf('subnet', 16), securityGroups: idsOf('sg', 5) }))),
  endpoints: v.optional(
    v.strictObject({ fips: v.optional(v.boolean(), false), dualStack: v.optional(v.boolean(), false) }),
    {},
  ),
  architecture: v.optional(v.picklist(['arm64', 'x86_64'], 'is neither arm64 nor x86_64'), 'arm64'),
  functions: v.optional(
    v.strictObject({
      api: promptFunctionOf(29, 29),
      seal: promptFunctionOf(30, 900),
      open: promptFunctionOf(30, 900),
      queue: functionOf(120),
      maintenance: functionOf(300),
    }),
    {},
  ),
  queue: v.optional(
    v.strictObject({
      kind: v.optional(v.picklist(['none', 'standard', 'fifo'], 'must be none, standard or fifo'), 'none'),
      fields: v.optional(v.array(text)),
      operations: v.optional(v.array(text)),
      batchSize: v.optional(whole(1, 10_000), 10),
      maximumConcurrency: v.optional(whole(2, 1000), 10),
      retentionDays: v.optional(whole(2, 14), 14),
      oldestMessageSeconds: v.optional(whole(60, 1_209_600), 3600),
    }),
    {},
  ),
  environmentKeys: v.optional(v.record(REGION, arn(KMS_KEY, 'is not the ARN of a KMS key')), {}),
  storageKeys: v.optional(v.record(REGION, arn(KMS_KEY, 'is not the ARN of a KMS key')), {}),
  tracing: v.optional(v.boolean(), false),
  logFormat: v.optional(v.picklist(['text', 'json'], 'is neither text nor json'), 'text'),
  applicationLogLevel: v.optional(v.picklist(APPLICATION_LEVELS, applicationLevelFault)),
  systemLogLevel: v.optional(v.picklist(SYSTEM_LEVELS, `must be one of ${SYSTEM_LEVELS.join(', ')}`)),
  logRetentionDays: v.optional(v.picklist(RETENTIONS, `must be one of ${RETENTIONS.join(', ')}`), 365),
  settings: v.optional(
    v.record(
      v.pipe(v.string(), v.regex(/^(?:KEYFOLD|POWERTOOLS)_[A-Z0-9_]+$/, 'is not a setting')),
      v.string('is not text: put it in quotes'),
    ),
    {},
  ),
});

/** A checked deployment: all options of docs/reference/iam-and-stacks.md, with their defaults. */
export type Deployment = v.InferOutput<typeof deploymentSchema>;

/** Whether a string is allowed as the name of the KMS keys. */
export function isKeyName(name: string): boolean {
  return v.is(keyNameSchema, name);
}

/** The names of a deployment's functions, without the prefix. */
export type FunctionName = keyof Deployment['functions'];

/** The name of one of a deployment's stacks. */
export function stackOf({ prefix }: Deployment, stack: 'keys' | 'table' | 'roles' | 'app'): string {
  return `${prefix}-${stack}`;
}

/** The name of the KMS keys, which is also the name of their alias. */
export function keyNameOf({ keyName, prefix }: Deployment): string {
  return keyName ?? prefix;
}

/** The names of a deployment's queues. Undefined if it has no queues. */
export function queueNamesOf({
  prefix,
  queue,
}: Deployment): Record<'input' | 'output' | 'deadLetters', string> | undefined {
  if (queue.kind === 'none') return undefined;
  const suffix = queue.kind === 'fifo' ? '.fifo' : '';
  return {
    input: `${prefix}-input${suffix}`,
    output: `${prefix}-output${suffix}`,
    deadLetters: `${prefix}-dead-letters${suffix}`,
  };
}
