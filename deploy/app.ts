import { partition } from '@aws-sdk/core/client';
import { alarmResources } from './alarms.ts';
import { apiParts } from './api.ts';
import { dashboardResources } from './dashboard.ts';
import { keyNameOf, queueNamesOf, stackOf, type Deployment } from './deployment.ts';
import { KEPT, logKeyOf } from './logs.ts';
import { queueEnvironmentOf, queueFunctions, queueResources } from './queues.ts';

/**
 * The operations of the two functions for direct invocation. Both functions share a handler, and IAM decides which
 * callers may invoke which function.
 */
const OPERATIONS = {
  seal: 'encrypt,rewrap,encrypt-batch,rewrap-batch,encrypt-fields',
  open: 'decrypt,decrypt-batch,decrypt-fields',
};

/** The values of `custom` in serverless.yml, for one region of a deployment. */
export function appValues(deployment: Deployment, region: string): Record<string, unknown> {
  const { prefix, regions, functions } = deployment;
  if (!regions.includes(region))
    throw new Error(`${region} is not among the regions of the deployment: ${regions.join(', ')}`);
  const { resources, outputs, extensions, ...api } = apiParts(deployment, region);
  const vpc = vpcOf(deployment, region);
  return {
    prefix,
    region,
    stack: stackOf(deployment, 'app'),
    roles: stackOf(deployment, 'roles'),
    tags: { Classification: deployment.classification },
    logRetentionDays: deployment.logRetentionDays,
    logging: loggingOf(deployment),
    tracing: deployment.tracing ? 'Active' : 'PassThrough',
    functions,
    vpc,
    environmentKey: deployment.environmentKeys[region],
    storageKey: deployment.storageKeys[region],
    bucketEncryption: deployment.storageKeys[region] === undefined ? 'AES256' : 'aws:kms',
    environment: environmentOf(deployment, region),
    apiEnvironment: apiEnvironmentOf(deployment),
    operations: OPERATIONS,
    architecture: deployment.architecture,
    api,
    queueFunctions: queueFunctions(deployment, vpc),
    outputs,
    resources: {
      ...resources,
      ...queueResources(deployment),
      ...alarmResources(deployment, region),
      ...dashboardResources(deployment, region),
    },
    extensions: { ...functionExtensions(deployment, region), ...bucketExtension(deployment, region), ...extensions },
  };
}

/** The settings that all functions of a region share. */
export function environmentOf(deployment: Deployment, region: string): Record<string, string> {
  const { endpoints, regions, regionSuffix } = deployment;
  return {
    KEYFOLD_SERVICE: deployment.service,
    KEYFOLD_PRODUCT: deployment.product,
    KEYFOLD_KMS_KEYS: JSON.stringify(Object.fromEntries(regions.map((one) => [one, aliasArnOf(deployment, one)]))),
    KEYFOLD_TABLE: deployment.tableName,
    ...(regionSuffix && { KEYFOLD_REGION_SUFFIX: region }),
    ...(endpoints.fips && { AWS_USE_FIPS_ENDPOINT: 'true' }),
    ...(endpoints.dualStack && { AWS_USE_DUALSTACK_ENDPOINT: 'true' }),
    ...deployment.settings,
  };
}

/** The settings that only the API function has. */
function apiEnvironmentOf({ http }: Deployment): Record<string, string> {
  const settings = {
    KEYFOLD_AUTH: http.auth,
    KEYFOLD_JWT_PARTITIONS_CLAIM: http.partitionsClaim,
    KEYFOLD_JWT_PARTITION_LISTS: http.partitionLists,
    KEYFOLD_JWT_PARTITION_WILDCARDS: http.partitionWildcards,
    KEYFOLD_JWT_SCOPE_CLAIM: http.scopeClaim,
  };
  return Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  );
}

/** All environment variables of each function in a region, including the URLs of the queues. */
export function environmentsOf(deployment: Deployment, region: string): Record<string, Record<string, string>> {
  const common = environmentOf(deployment, region);
  const names = queueNamesOf(deployment);
  const urlOf = (queue: string): string =>
    `https://sqs.${region}.${partition(region).dnsSuffix}/${deployment.account}/${queue}`;
  return {
    api: { ...common, ...apiEnvironmentOf(deployment) },
    seal: { ...common, KEYFOLD_OPERATIONS: OPERATIONS.seal },
    open: { ...common, KEYFOLD_OPERATIONS: OPERATIONS.open },
    maintenance: common,
    ...(names !== undefined && {
      queue: {
        ...common,
        ...queueEnvironmentOf(deployment),
        KEYFOLD_OUTPUT_QUEUE_URL: urlOf(names.output),
        KEYFOLD_DEAD_LETTER_QUEUE_URL: urlOf(names.deadLetters),
      },
    }),
  };
}

/** The VPC settings of a region's functions, in the form that osls expects. False if the functions are not in a VPC. */
function vpcOf({ endpoints, vpc }: Deployment, region: string): object | false {
  const network = vpc?.[region];
  if (network === undefined) return false;
  return {
    subnetIds: network.subnets,
    securityGroupIds: network.securityGroups,
    ...(endpoints.dualStack && { ipv6AllowedForDualStack: true }),
  };
}

/** The logging configuration of the functions, in the form that osls expects. */
function loggingOf({ logFormat, applicationLogLevel, systemLogLevel }: Deployment): Record<string, string> {
  return {
    logFormat: logFormat === 'json' ? 'JSON' : 'Text',
    ...(applicationLogLevel !== undefined && { applicationLogLevel }),
    ...(systemLogLevel !== undefined && { systemLogLevel }),
  };
}

/** Sets or removes properties of the generated functions and log groups for which osls has no options. */
function functionExtensions(deployment: Deployment, region: string): Record<string, object> {
  const { functions, queue } = deployment;
  const there = Object.entries(functions).filter(([name]) => name !== 'queue' || queue.kind !== 'none');
  return Object.fromEntries(
    there.flatMap(([name, { reservedConcurrency }]) => {
      const id = `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`;
      const Properties = {
        ...(reservedConcurrency !== null && { ReservedConcurrentExecutions: reservedConcurrency }),
      };
      return [
        [`${id}LambdaFunction`, { Properties }],
        [`${id}LogGroup`, { ...KEPT, Properties: logKeyOf(deployment, region) }],
      ];
    }),
  );
}

/** The customer's KMS key for the bucket that holds the functions' code, if the deployment names one. */
function bucketExtension({ storageKeys }: Deployment, region: string): Record<string, object> {
  const KMSMasterKeyID = storageKeys[region];
  if (KMSMasterKeyID === undefined) return {};
  const rule = { ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms', KMSMasterKeyID }, BucketKeyEnabled: true };
  const BucketEncryption = { ServerSideEncryptionConfiguration: [rule] };
  return { ServerlessDeploymentBucket: { Properties: { BucketEncryption } } };
}

function aliasArnOf(deployment: Deployment, region: string): string {
  return `arn:${partition(region).name}:kms:${region}:${deployment.account}:alias/${keyNameOf(deployment)}`;
}
