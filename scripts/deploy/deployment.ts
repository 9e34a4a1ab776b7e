import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { yamlParse } from 'yaml-cfn';

const REGION = v.pipe(v.string(), v.regex(/^[a-z]{2,}(?:-[a-z]+)+-\d$/, 'is no region'));
const ROLE = v.pipe(v.string(), v.regex(/^arn:aws[a-z-]*:iam::\d{12}:(?:role|user)\/[\w+=,.@/-]+$/, 'is no role'));
const arnOf = (kind: string) => v.pipe(v.string(), v.regex(new RegExp(`^arn:aws[a-z-]*:${kind}`), 'is no such ARN'));
const whole = (least: number, most: number) =>
  v.pipe(
    v.number(),
    v.integer('is no whole number'),
    v.minValue(least, `is below ${least}`),
    v.maxValue(most, `is above ${most}`),
  );
const text = v.pipe(v.string(), v.nonEmpty('is empty'));
/** A dimension of metrics, which queries quote. */
const dimension = v.pipe(v.string(), v.regex(/^[^\s'"\\]+$/, 'is empty, or holds a space, a quote or a backslash'));

/** What CloudWatch Logs takes. */
const RETENTIONS = [30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653] as const;

/** One function's share. `reservedConcurrency` null leaves it to the account's pool. */
const functionOf = (timeoutSeconds: number, mostSeconds: number) =>
  v.optional(
    v.strictObject({
      memoryMb: v.optional(whole(128, 10_240), 1024),
      timeoutSeconds: v.optional(whole(1, mostSeconds), timeoutSeconds),
      reservedConcurrency: v.optional(v.nullable(whole(1, 100_000)), null),
    }),
    {},
  );

const schema = v.strictObject({
  account: v.pipe(v.string('is no text: put it into quotes'), v.regex(/^\d{12}$/, 'is not twelve digits')),
  prefix: v.optional(
    v.pipe(v.string(), v.regex(/^[A-Za-z][A-Za-z0-9-]{0,39}$/, 'is not up to forty letters, digits and hyphens')),
    'keyfold',
  ),
  service: dimension,
  product: dimension,
  regions: v.pipe(v.array(REGION), v.minLength(1, 'names no region'), v.maxLength(4, 'names more than four')),
  classification: v.pipe(
    v.string(),
    v.regex(/^[a-z][a-z0-9-]{0,39}$/, 'is not up to forty small letters, digits and hyphens'),
  ),
  administrators: v.pipe(v.array(ROLE), v.minLength(1, 'names nobody')),
  alarmEmail: v.optional(v.pipe(v.string(), v.email('is no address'))),
  alarmTopics: v.optional(v.record(REGION, arnOf('sns:')), {}),
  keyName: v.optional(text),
  tableName: v.optional(
    v.pipe(v.string(), v.regex(/^[a-zA-Z0-9_.-]{3,255}$/, 'is no name of a table')),
    'EncryptionKey',
  ),
  tableKeyName: v.optional(text),
  regionSuffix: v.optional(v.boolean(), true),
  http: v.optional(
    v.strictObject({
      auth: v.optional(v.picklist(['iam', 'jwt'], 'is neither iam nor jwt'), 'iam'),
      issuer: v.optional(v.pipe(v.string(), v.url('is no URL'))),
      audience: v.optional(v.pipe(v.array(text), v.minLength(1, 'names nobody'))),
      partitionsClaim: v.optional(text),
      requestsPerSecond: v.optional(whole(1, 100_000), 1000),
      burst: v.optional(whole(1, 100_000), 500),
    }),
    {},
  ),
  functions: v.optional(
    v.strictObject({
      api: functionOf(29, 29),
      seal: functionOf(30, 900),
      open: functionOf(30, 900),
      queue: functionOf(120, 900),
      maintenance: functionOf(300, 900),
    }),
    {},
  ),
  queue: v.optional(
    v.strictObject({
      kind: v.optional(v.picklist(['none', 'standard', 'fifo'], 'is none of none, standard and fifo'), 'none'),
      fields: v.optional(v.array(text)),
      operations: v.optional(v.array(text)),
      batchSize: v.optional(whole(1, 10_000), 10),
      maximumConcurrency: v.optional(whole(2, 1000), 10),
      retentionDays: v.optional(whole(2, 14), 14),
      oldestMessageSeconds: v.optional(whole(60, 1_209_600), 3600),
    }),
    {},
  ),
  environmentKeys: v.optional(v.record(REGION, arnOf('kms:')), {}),
  tracing: v.optional(v.boolean(), false),
  logRetentionDays: v.optional(v.picklist(RETENTIONS, `is none of ${RETENTIONS.join(', ')}`), 365),
  settings: v.optional(
    v.record(
      v.pipe(v.string(), v.regex(/^(?:KEYFOLD|POWERTOOLS)_/, 'is no setting')),
      v.string('is no text: put it into quotes'),
    ),
    {},
  ),
});

/** One deployment: everything that docs/deploy.md lists, checked, with its defaults. */
export type Deployment = v.InferOutput<typeof schema>;

/** The functions, by the name behind the prefix. */
export type FunctionName = keyof Deployment['functions'];

/** Settings that the deployment says itself, elsewhere. */
const DERIVED =
  /^KEYFOLD_(?:SERVICE|PRODUCT|KMS_KEYS|TABLE|REGION_SUFFIX|AUTH|JWT_PARTITIONS_CLAIM|OPERATIONS|FIELDS|OUTPUT_QUEUE_URL|DEAD_LETTER_QUEUE_URL|STATIC_.*)$/;

const root = join(import.meta.dirname, '..', '..');

/** Where the deployment is: in the file that KEYFOLD_DEPLOY_FILE names, in deploy.yml, or, where there is none, the example. */
export function deploymentFile(): string {
  const own = process.env['KEYFOLD_DEPLOY_FILE'] ?? join(root, 'deploy.yml');
  return existsSync(own) || own !== join(root, 'deploy.yml') ? own : join(root, 'deploy.example.yml');
}

/**
 * Reads a deployment from a file in YAML.
 * @throws Error that lists every fault at once, where the file is not there, is no YAML or does not fit
 */
export async function readDeployment(file: string): Promise<Deployment> {
  const content = await readFile(file, 'utf8').catch(() => {
    throw new Error(`${file} is not there: copy deploy.example.yml to it and fill it in (docs/deploy.md)`);
  });
  let given: unknown;
  try {
    given = yamlParse(content);
  } catch (error) {
    throw new Error(`${file} is no YAML: ${error instanceof Error ? error.message : ''}`, { cause: error });
  }
  const parsed = v.safeParse(schema, given);
  const issues = parsed.issues?.map((issue) => `${v.getDotPath(issue) ?? 'the file'} ${told(issue)}`) ?? [];
  const faults = parsed.success ? faultsBetween(parsed.output) : issues;
  if (!parsed.success || faults.length > 0)
    throw new Error(`${file} does not do:\n${faults.map((fault) => `- ${fault}`).join('\n')}`);
  return parsed.output;
}

function told({ type, expected, message }: v.BaseIssue<unknown>): string {
  if (type === 'strict_object') return expected === 'never' ? 'is no option' : 'is not there';
  return message.startsWith('Invalid') ? `is not ${expected ?? 'right'}` : message;
}

function faultsBetween(deployment: Deployment): string[] {
  const { http, regions, regionSuffix, settings, queue, alarmEmail, alarmTopics } = deployment;
  const ofJwt = { issuer: http.issuer, audience: http.audience, partitionsClaim: http.partitionsClaim };
  const perRegion = { alarmTopics, environmentKeys: deployment.environmentKeys };
  return [
    ...(new Set(regions).size < regions.length ? ['regions names one twice'] : []),
    ...(regions.length > 1 && !regionSuffix
      ? ['regionSuffix is false with several regions, which lose keys (docs/global-tables.md)']
      : []),
    ...Object.entries(ofJwt)
      .filter(([, value]) => (value === undefined) === (http.auth === 'jwt'))
      .map(([name]) => `http.${name} is ${http.auth === 'jwt' ? 'not there with' : 'there without'} http.auth jwt`),
    ...Object.entries(perRegion).flatMap(([name, map]) =>
      Object.keys(map)
        .filter((region) => !regions.includes(region))
        .map((region) => `${name} names ${region}, which is not among the regions`),
    ),
    ...(alarmEmail === undefined && regions.some((region) => alarmTopics[region] === undefined)
      ? ['alarmEmail is not there, nor an alarmTopics for every region: nobody would hear of an alarm']
      : []),
    ...(queue.kind === 'fifo' && queue.batchSize > 10 ? ['queue.batchSize is above 10 of a FIFO queue'] : []),
    ...(queue.kind === 'none' && queue.fields !== undefined ? ['queue.fields is there without a queue.kind'] : []),
    ...Object.keys(settings)
      .filter((name) => DERIVED.test(name))
      .map((name) => `settings.${name} is said elsewhere in the file, or must not be set`),
  ];
}

/** The name of one of a deployment's stacks. */
export function stackOf({ prefix }: Deployment, stack: 'keys' | 'table' | 'roles' | 'app'): string {
  return `${prefix}-${stack}`;
}

/** The Name of the KMS keys, which their alias has. */
export function keyNameOf({ keyName, prefix }: Deployment): string {
  return keyName ?? prefix;
}

/** The names of a deployment's queues; undefined where it has none. */
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
