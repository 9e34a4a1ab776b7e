import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { yamlParse } from 'yaml-cfn';
import type { AppConfig } from '../src/config/app-config.ts';
import { readQueueConfig } from '../src/config/queue-config.ts';
import { readConfig } from '../src/config/read-config.ts';
import { OPERATIONS_TIME_SHARE } from '../src/doors/queue-batch.ts';
import { checkMinimums, cryptoPolicy } from '../src/envelope/crypto-policy.ts';
import { KeyfoldError } from '../src/errors.ts';
import { environmentsOf } from './app.ts';
import { apiFaults, regionFaults, strayRegions } from './api-faults.ts';
import { faultsForAws } from './aws-faults.ts';
import { deploymentSchema, isKeyName, keyNameOf, type Deployment } from './deployment.ts';

/** Settings that follow from other options, so a deployment must not set them. */
const DERIVED =
  /^KEYFOLD_(?:SERVICE|PRODUCT|KMS_KEYS|TABLE|REGION_SUFFIX|AUTH|JWT_.*|OPERATIONS|FIELDS|OUTPUT_QUEUE_URL|DEAD_LETTER_QUEUE_URL|STATIC_.*)$/;

/**
 * Matches the settings that can turn off the metrics of Powertools. Without these metrics, their alarms cannot fire.
 */
const METRICS_OFF = /^POWERTOOLS_(?:METRICS_DISABLED|DEV)$/;

/** The level SILENT would suppress the audit log. Powertools treats some other strings as levels above CRITICAL. */
const LOG_LEVELS: readonly string[] = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'CRITICAL'];

const root = join(import.meta.dirname, '..');

/**
 * The path of the deployment's file. It is the file that KEYFOLD_DEPLOY_FILE names, otherwise deploy.yml if it exists,
 * otherwise the example.
 */
export function deploymentFile(): string {
  const own = process.env['KEYFOLD_DEPLOY_FILE'] ?? join(root, 'deploy.yml');
  return existsSync(own) || own !== join(root, 'deploy.yml') ? own : join(root, 'deploy.example.yml');
}

/**
 * Reads a deployment from a YAML file.
 * @throws Error if the file cannot be read, is not YAML or does not match the schema, or if its options contradict each
 * other, exceed the limits of AWS or would keep a function from starting. The error lists everything that is wrong.
 */
export async function readDeployment(file: string): Promise<Deployment> {
  const content = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    const isMissing = error.code === 'ENOENT';
    const fix = 'copy deploy.example.yml to it and fill it in (docs/tutorial/deploy.md)';
    throw new Error(isMissing ? `${file} does not exist: ${fix}` : `${file} cannot be read: ${error.message}`, {
      cause: error,
    });
  });
  let given: unknown;
  try {
    given = yamlParse(content);
  } catch (error) {
    throw new Error(`${file} is not YAML: ${error instanceof Error ? error.message : ''}`, { cause: error });
  }
  const parsed = v.safeParse(deploymentSchema, given);
  const issues = parsed.issues?.map((issue) => told(issue)) ?? [];
  const faults = parsed.success
    ? [
        ...faultsBetween(parsed.output),
        ...apiFaults(parsed.output),
        ...faultsForAws(parsed.output),
        ...settingFaults(parsed.output),
      ]
    : issues;
  if (!parsed.success || faults.length > 0)
    throw new Error(`${file} is not valid:\n${faults.map((fault) => `- ${fault}`).join('\n')}`);
  return parsed.output;
}

function told(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue);
  return path === null ? 'the file must have options, such as account' : `${path} ${faultOf(issue)}`;
}

function faultOf({ type, expected, message }: v.BaseIssue<unknown>): string {
  if (type === 'strict_object') return expected === 'never' ? 'is not an option' : 'is missing';
  return message.startsWith('Invalid') ? `is not ${expected ?? 'right'}` : message;
}

function faultsBetween(deployment: Deployment): string[] {
  const { regions, regionSuffix, settings, queue, alarmEmail, alarmTopics } = deployment;
  const queueShare = deployment.functions.queue.reservedConcurrency;
  const perRegion = { alarmTopics, environmentKeys: deployment.environmentKeys, storageKeys: deployment.storageKeys };
  return [
    ...(new Set(regions).size < regions.length ? ['regions names a region twice'] : []),
    ...(isKeyName(keyNameOf(deployment)) ? [] : ['prefix is not a valid key name, and keyName is missing']),
    ...(regions.length > 1 && !regionSuffix
      ? ['regionSuffix is false with several regions, which lose keys (docs/explanation/global-tables.md)']
      : []),
    // With regionSuffix, the functions' own check refuses the table of another region.
    ...(regionSuffix || regions.includes(settings['KEYFOLD_DYNAMODB_REGION'] ?? regions[0] ?? '')
      ? []
      : ["settings.KEYFOLD_DYNAMODB_REGION is not the functions' region, and their roles may use no table elsewhere"]),
    ...(deployment.vpc === undefined ? [] : regionFaults('vpc', deployment.vpc, regions)),
    ...concurrencyFaults(deployment),
    ...Object.entries(perRegion).flatMap(([name, map]) => strayRegions(name, map, regions)),
    ...(queue.kind !== 'none' && queue.oldestMessageSeconds >= queue.retentionDays * 86_400
      ? ['queue.oldestMessageSeconds is not below queue.retentionDays: messages would be gone before the alarm']
      : []),
    ...(queue.kind === 'none' && queue.operations !== undefined
      ? ['queue.operations is set without a queue.kind']
      : []),
    ...(alarmEmail === undefined && regions.some((region) => alarmTopics[region] === undefined)
      ? ['alarmEmail is missing, and alarmTopics lacks a region: some alarms would notify no address']
      : []),
    ...(queue.kind === 'fifo' && queue.batchSize > 10
      ? ['queue.batchSize is above 10, the maximum for a FIFO queue']
      : []),
    ...(queue.kind !== 'none' && queueShare !== null && queueShare < queue.maximumConcurrency
      ? [
          'functions.queue.reservedConcurrency is below queue.maximumConcurrency, so SQS would count a throttled message as received',
        ]
      : []),
    ...(queue.kind === 'none' && queue.fields !== undefined ? ['queue.fields is set without a queue.kind'] : []),
    ...Object.keys(settings)
      .filter((name) => DERIVED.test(name))
      .map((name) => `settings.${name} is set elsewhere in the file, or must not be set`),
    ...Object.keys(settings)
      .filter((name) => METRICS_OFF.test(name))
      .map((name) => `settings.${name} can turn off the metrics, on which the alarms depend`),
    ...(LOG_LEVELS.includes(settings['POWERTOOLS_LOG_LEVEL'] ?? 'INFO')
      ? []
      : [`settings.POWERTOOLS_LOG_LEVEL must be one of ${LOG_LEVELS.join(', ')}: otherwise there might be no audit`]),
  ];
}

/**
 * Finds functions with more provisioned concurrency than reserved concurrency. The reserved concurrency includes the
 * provisioned concurrency.
 */
function concurrencyFaults({ functions: { api, seal, open } }: Deployment): string[] {
  return Object.entries({ api, seal, open })
    .filter(
      ([, { provisionedConcurrency, reservedConcurrency }]) =>
        provisionedConcurrency > (reservedConcurrency ?? Infinity),
    )
    .map(([name]) => `functions.${name}.provisionedConcurrency is above its reservedConcurrency`);
}

/**
 * Finds settings with which a function would not start. It runs the functions' own check on the environment that each
 * function will have.
 */
function settingFaults(deployment: Deployment): string[] {
  const faults = deployment.regions.flatMap((region) => {
    const runtime = { AWS_REGION: region, AWS_LAMBDA_FUNCTION_NAME: deployment.prefix };
    const { api, queue } = environmentsOf(deployment, region);
    return [
      ...faultsIn(() => {
        const config = readConfig({ ...api, ...runtime });
        checkMinimums(cryptoPolicy(config.policy), Date.now());
        return marginFaults(deployment, config);
      }),
      ...(queue === undefined ? [] : faultsIn(() => readQueueConfig({ ...queue, ...runtime }))),
    ];
  });
  return [...new Set(faults)];
}

/**
 * Finds functions whose timeout leaves no time for operations before the deadline margin. The queue function uses only
 * a part of its timeout for operations, so this check counts only that part.
 */
function marginFaults({ functions }: Deployment, { door }: AppConfig): string[] {
  return Object.entries(functions)
    .filter(([name, { timeoutSeconds }]) => {
      const share = name === 'queue' ? OPERATIONS_TIME_SHARE : 1;
      return timeoutSeconds * 1000 * share <= door.deadlineMarginMs;
    })
    .map(([name]) => `functions.${name}.timeoutSeconds leaves no time beside KEYFOLD_DEADLINE_MARGIN_MS`);
}

function faultsIn(read: () => string[] | object): string[] {
  try {
    const found = read();
    return Array.isArray(found) ? found : [];
  } catch (error) {
    if (!(error instanceof KeyfoldError)) throw error;
    return error.message.split('\n- ').slice(1);
  }
}
