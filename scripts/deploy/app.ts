import { alarmResources } from './alarms.ts';
import { dashboardResources } from './dashboard.ts';
import { keyNameOf, stackOf, type Deployment } from './deployment.ts';
import { queueFunctions, queueResources } from './queues.ts';

/** Any of them opens the route: which operation needs which is for the function to say, that knows the operation. */
const SCOPES = ['keyfold/encrypt', 'keyfold/decrypt', 'keyfold/rewrap'];

/** What serverless.yml takes from a deployment for one of its regions, as its `custom`. */
export function appValues(deployment: Deployment, region: string): Record<string, unknown> {
  const { http, prefix, regions, functions } = deployment;
  if (!regions.includes(region))
    throw new Error(`${region} is not among the regions of the deployment: ${regions.join(', ')}`);
  const isJwt = http.auth === 'jwt';
  return {
    prefix,
    region,
    stack: stackOf(deployment, 'app'),
    roles: stackOf(deployment, 'roles'),
    tags: { Classification: deployment.classification },
    logRetentionDays: deployment.logRetentionDays,
    tracing: deployment.tracing ? 'Active' : 'PassThrough',
    functions,
    environment: environmentOf(deployment, region),
    apiEnvironment: apiEnvironmentOf(deployment),
    authorizers: isJwt
      ? {
          token: {
            type: 'jwt',
            identitySource: '$request.header.Authorization',
            issuerUrl: http.issuer,
            audience: http.audience,
          },
        }
      : {},
    authorizer: isJwt ? { name: 'token', type: 'jwt', scopes: SCOPES } : { type: 'aws_iam' },
    throttling: { ThrottlingRateLimit: http.requestsPerSecond, ThrottlingBurstLimit: http.burst },
    queueFunctions: queueFunctions(deployment),
    resources: {
      ...queueResources(deployment),
      ...alarmResources(deployment, region),
      ...dashboardResources(deployment, region),
    },
    extensions: functionExtensions(deployment, region),
  };
}

/** The settings of every function of a region. */
export function environmentOf(deployment: Deployment, region: string): Record<string, string> {
  const { regions, regionSuffix } = deployment;
  return {
    KEYFOLD_SERVICE: deployment.service,
    KEYFOLD_PRODUCT: deployment.product,
    KEYFOLD_KMS_KEYS: JSON.stringify(Object.fromEntries(regions.map((one) => [one, aliasArnOf(deployment, one)]))),
    KEYFOLD_TABLE: deployment.tableName,
    ...(regionSuffix && { KEYFOLD_REGION_SUFFIX: region }),
    ...deployment.settings,
  };
}

/** The API's further settings. */
export function apiEnvironmentOf({ http }: Deployment): Record<string, string> {
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

/** What osls's own settings cannot leave out where it is not asked for. */
function functionExtensions({ functions, queue, environmentKeys }: Deployment, region: string): Record<string, object> {
  const KmsKeyArn = environmentKeys[region];
  const there = Object.entries(functions).filter(([name]) => name !== 'queue' || queue.kind !== 'none');
  return Object.fromEntries(
    there.flatMap(([name, { reservedConcurrency }]) => {
      const id = `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`;
      const Properties = {
        ...(KmsKeyArn !== undefined && { KmsKeyArn }),
        ...(reservedConcurrency !== null && { ReservedConcurrentExecutions: reservedConcurrency }),
      };
      return [
        [`${id}LambdaFunction`, { Properties }],
        // The audit is in it.
        [`${id}LogGroup`, { DeletionPolicy: 'RetainExceptOnCreate', UpdateReplacePolicy: 'Retain' }],
      ];
    }),
  );
}

function aliasArnOf(deployment: Deployment, region: string): string {
  return `arn:${partitionOf(region)}:kms:${region}:${deployment.account}:alias/${keyNameOf(deployment)}`;
}

/** AWS's partition of a region. */
function partitionOf(region: string): string {
  if (region.startsWith('cn-')) return 'aws-cn';
  return region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws';
}
