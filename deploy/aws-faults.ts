import { partition } from '@aws-sdk/core/client';
import { environmentsOf } from './app.ts';
import { keyNameOf, type Deployment } from './deployment.ts';
import { rolesLikely } from './function-roles.ts';
import { apiPolicyOf } from './rest-api.ts';

/** Lambda's limit for all environment variables of a function together, in bytes of JSON. */
const MAX_ENVIRONMENT_BYTES = 4096;

/** CloudFormation's limit for one parameter of a stack. CloudFormation counts bytes, but ARNs contain only ASCII. */
const MAX_PARAMETER_CHARACTERS = 4096;

/** API Gateway's limit for the policy of a REST API, in characters. */
const MAX_API_POLICY_CHARACTERS = 8192;

/** Finds mistakes that AWS would otherwise report only in the middle of a deployment. */
export function faultsForAws(deployment: Deployment): string[] {
  return [
    ...partitionFaults(deployment),
    ...regionalFaults(deployment),
    ...accountFaults(deployment),
    ...logFaults(deployment),
    ...tableKeyFaults(deployment),
    ...strictKeyFaults(deployment),
    ...parameterFaults(deployment),
    ...callerFaults(deployment),
    ...policyFaults(deployment),
    ...environmentFaults(deployment),
  ];
}

/** All regions must be in one AWS partition, because credentials and services do not work across partitions. */
function partitionFaults({ regions }: Deployment): string[] {
  const names = new Set(regions.map((region) => partition(region).name));
  if (names.size <= 1) return [];
  return [`regions are in several AWS partitions (${[...names].join(', ')}), which share nothing`];
}

/** A resource that a function or an alarm uses must be in the same region. */
function regionalFaults({ alarmTopics, api, environmentKeys, http, storageKeys }: Deployment): string[] {
  const maps = {
    alarmTopics,
    environmentKeys,
    storageKeys,
    'api.domain.certificates': api.domain?.certificates ?? {},
    'http.authorizers': http.authorizers ?? {},
  };
  return Object.entries(maps).flatMap(([option, map]) =>
    Object.entries(map).flatMap(([region, arn]) => {
      const [, name = '', , where = ''] = arn.split(':');
      if (where !== region) return [`${option}.${region} is in ${where}: AWS accepts only one in the same region`];
      return partitionFault(`${option}.${region}`, name, region);
    }),
  );
}

/**
 * Key administrators, permissions boundaries, certificates and topics must be in the account of the deployment.
 * EventBridge publishes to a topic in another account only with a role, which the stack of the keys does not make.
 */
function accountFaults({
  account,
  administrators,
  alarmTopics,
  api,
  permissionsBoundary,
  regions: [first = ''],
  tableWriters,
}: Deployment): string[] {
  const named = [
    ...administrators.map((arn, i) => [`administrators.${i}`, arn] as const),
    ...tableWriters.map((arn, i) => [`tableWriters.${i}`, arn] as const),
    ...(permissionsBoundary === undefined ? [] : [['permissionsBoundary', permissionsBoundary] as const]),
  ];
  const inAccount = (option: string, owner: string): string[] =>
    owner === account ? [] : [`${option} is in account ${owner}, but the deployment is in ${account}`];
  const regional = Object.entries({ alarmTopics, 'api.domain.certificates': api.domain?.certificates ?? {} }).flatMap(
    ([option, map]) =>
      Object.entries(map).flatMap(([region, arn]) => inAccount(`${option}.${region}`, arn.split(':')[4] ?? '')),
  );
  const others = named.flatMap(([option, arn]) => {
    const [, name = '', , , owner = ''] = arn.split(':');
    const isOfAws = option === 'permissionsBoundary' && owner === 'aws';
    return (isOfAws ? [] : inAccount(option, owner)).concat(partitionFault(option, name, first));
  });
  return [...regional, ...others];
}

function partitionFault(option: string, name: string, region: string): string[] {
  const expected = partition(region).name;
  return name === expected ? [] : [`${option} is in the partition ${name}, but ${region} is in ${expected}`];
}

function logFaults({ logFormat, applicationLogLevel, systemLogLevel }: Deployment): string[] {
  if (logFormat === 'json') return [];
  return Object.entries({ applicationLogLevel, systemLogLevel })
    .filter(([, level]) => level !== undefined)
    .map(([option]) => `${option} is set without logFormat json, without which Lambda has no log levels`);
}

/**
 * The table must not use the functions' KMS keys. DynamoDB creates a grant for the table's key, but the policy of the
 * functions' keys forbids grants.
 */
function tableKeyFaults(deployment: Deployment): string[] {
  if (deployment.tableKeyName !== keyNameOf(deployment)) return [];
  return [
    "tableKeyName is the name of the functions' keys, which DynamoDB may not use: the table needs a key of its own",
  ];
}

/**
 * With strict keys, only the named principals can use the keys, so an IAM policy cannot correct a mistake in this list.
 * Only the administrators can correct it, in the key policy.
 */
function strictKeyFaults({ account, administrators, regions: [first = ''], strictKeys }: Deployment): string[] {
  if (strictKeys === undefined) return [];
  const named = Object.entries(strictKeys).flatMap(([list, arns]) =>
    arns.map((arn, i) => [`strictKeys.${list}.${i}`, arn] as const),
  );
  return [
    ...(administrators.length < 2
      ? [
          'administrators has one entry with strictKeys: if that role is deleted, only the root user can correct the key',
        ]
      : []),
    ...named.flatMap(([option, arn]) => partitionFault(option, arn.split(':')[1] ?? '', first)),
    ...named
      .filter(([, arn]) => administrators.includes(arn))
      .map(([option]) => `${option} is an administrator, and those cannot use the keys`),
    ...named
      .filter(([, arn]) => arn.endsWith(`:${account}:root`))
      .map(([option]) => `${option} is this account, in which IAM would decide again`),
  ];
}

/** Finds lists of ARNs that are too long. Each list becomes one parameter of a stack. */
function parameterFaults(deployment: Deployment): string[] {
  const { administrators, strictKeys, tableWriters } = deployment;
  const roles = rolesLikely(deployment);
  const users =
    strictKeys === undefined
      ? []
      : ([
          ["strictKeys.encrypt and the functions' roles", [...roles.encrypt, ...strictKeys.encrypt]],
          ["strictKeys.decrypt and the functions' roles", [...roles.decrypt, ...strictKeys.decrypt]],
          ['strictKeys.grant', strictKeys.grant],
        ] as const);
  return [['administrators', administrators] as const, ['tableWriters', tableWriters] as const, ...users]
    .filter(([, arns]) => arns.join(',').length > MAX_PARAMETER_CHARACTERS)
    .map(
      ([option, arns]) =>
        `${option} have ${arns.join(',').length} characters together, but CloudFormation accepts only ${MAX_PARAMETER_CHARACTERS}`,
    );
}

/** API Gateway refuses a policy that names a principal of another AWS partition. */
function callerFaults({ api, regions: [first = ''] }: Deployment): string[] {
  return (api.callers ?? []).flatMap(({ principal }, i) =>
    partitionFault(`api.callers.${i}`, principal.split(':')[1] ?? '', first),
  );
}

/** The API's policy lists the callers in other accounts with their partitions, so it can become too long. */
function policyFaults(deployment: Deployment): string[] {
  const lengths = deployment.regions.map((region) => JSON.stringify(apiPolicyOf(deployment, region)).length);
  const longest = Math.max(...lengths);
  if (longest <= MAX_API_POLICY_CHARACTERS) return [];
  return [
    `api.callers make a policy of ${longest} characters, but API Gateway accepts only ${MAX_API_POLICY_CHARACTERS}`,
  ];
}

function environmentFaults(deployment: Deployment): string[] {
  const largest = new Map<string, number>();
  for (const region of deployment.regions) {
    for (const [name, variables] of Object.entries(environmentsOf(deployment, region))) {
      const bytes = Buffer.byteLength(JSON.stringify(variables));
      largest.set(name, Math.max(bytes, largest.get(name) ?? 0));
    }
  }
  return [...largest]
    .filter(([, bytes]) => bytes > MAX_ENVIRONMENT_BYTES)
    .map(
      ([name, bytes]) =>
        `the variables of the function ${name} are ${bytes} bytes, but Lambda accepts only ${MAX_ENVIRONMENT_BYTES}: shorten settings or queue.fields`,
    );
}
