import type { Deployment } from './deployment.ts';
import { USER_POOL } from './rest-api.ts';

/** Describes the API options that cannot be combined. */
export function apiFaults(deployment: Deployment): string[] {
  const { api, http, regions } = deployment;
  const isRest = api.type === 'rest' || api.type === 'private';
  const { domain, vpcEndpoints } = api;
  return [
    ...(domain !== undefined && (api.type === 'private' || api.type === 'functionUrl')
      ? [`api.domain is set with api.type ${api.type}: only the types http and rest can have one here`]
      : []),
    ...(domain === undefined ? [] : regionFaults('api.domain.certificates', domain.certificates, regions)),
    ...(api.cors !== undefined && isRest
      ? [`api.cors is set with api.type ${api.type}: only the types http and functionUrl can have it here`]
      : []),
    ...((vpcEndpoints === undefined) === (api.type === 'private')
      ? [`api.vpcEndpoints is ${vpcEndpoints === undefined ? 'missing with' : 'set without'} api.type private`]
      : []),
    ...(vpcEndpoints === undefined ? [] : regionFaults('api.vpcEndpoints', vpcEndpoints, regions)),
    ...(api.type === 'functionUrl' && http.auth !== 'iam'
      ? ['http.auth is not iam, and a function URL has no other authorizer']
      : []),
    ...tokenFaults(deployment, isRest),
    ...authorizerFaults(http, regions),
    ...callerFaults(deployment),
    ...(api.usagePlans !== undefined && !isRest
      ? [`api.usagePlans is set with api.type ${api.type}, which has none: only REST APIs do`]
      : []),
    ...planFaults(api.usagePlans),
  ];
}

/** Checks the options about tokens, and those about the partitions that a token or an authorizer grants. */
function tokenFaults({ api, http }: Deployment, isRest: boolean): string[] {
  const { auth, issuer, audience, partitionsClaim, partitionLists, partitionWildcards, scopeClaim } = http;
  const required = { issuer, ...(!isRest && { audience }), partitionsClaim };
  const faults = [
    ...Object.entries(required)
      .filter(([, value]) => (value === undefined) === (auth === 'jwt'))
      .map(([name]) => `http.${name} is ${auth === 'jwt' ? 'missing with' : 'set without'} http.auth jwt`),
    ...(scopeClaim !== undefined && auth !== 'jwt' ? ['http.scopeClaim is set without http.auth jwt'] : []),
    ...Object.entries({ partitionLists, partitionWildcards })
      .filter(([, value]) => value !== undefined && auth === 'iam')
      .map(([name]) => `http.${name} is set without http.auth jwt or authorizer`),
  ];
  if (!isRest) return faults;
  return [
    ...faults,
    ...(auth === 'jwt' && issuer !== undefined && !USER_POOL.test(issuer)
      ? [`http.issuer is not a Cognito user pool, and an API of the type ${api.type} accepts no other tokens`]
      : []),
    ...(audience === undefined ? [] : [`http.audience is set with api.type ${api.type}, which does not check it`]),
  ];
}

function authorizerFaults(
  { auth, authorizers, authorizerCacheSeconds }: Deployment['http'],
  regions: string[],
): string[] {
  if (auth !== 'authorizer') {
    return Object.entries({ authorizers, authorizerCacheSeconds })
      .filter(([, value]) => value !== undefined)
      .map(([name]) => `http.${name} is set without http.auth authorizer`);
  }
  if (authorizers === undefined) return ['http.authorizers is missing with http.auth authorizer'];
  return regionFaults('http.authorizers', authorizers, regions);
}

/**
 * Checks the callers in other accounts. They need a resource policy on the API, and IAM authorization to identify them.
 */
function callerFaults({ account, api, http }: Deployment): string[] {
  const { callers = [], type } = api;
  if (callers.length === 0) return [];
  if (type === 'http' || type === 'functionUrl') {
    return [`api.callers is set with api.type ${type}: let them assume a role of this account, or use a REST API`];
  }
  if (http.auth !== 'iam') return ['api.callers is set without http.auth iam'];
  return callers.flatMap(({ principal }, i) =>
    principal.split(':')[4] === account
      ? [`api.callers.${i} is in the deployment's own account, where the caller's own policy is enough`]
      : [],
  );
}

/**
 * If `usagePlans` is set, every request needs an API key, and each plan has one. So there must be a plan. Two resources
 * must not share a logical ID: the plan `KeyNAME` has the same ID as the key of the plan `NAME`.
 */
function planFaults(plans: Deployment['api']['usagePlans']): string[] {
  if (plans === undefined) return [];
  const names = Object.keys(plans);
  if (names.length === 0) return ['api.usagePlans has no plan, so no request could have an API key'];
  return names
    .filter((name) => names.includes(`Key${name}`))
    .map((name) => `api.usagePlans has both ${name} and Key${name}, which share a name in the template: rename one`);
}

/** A per-region map must have an entry for each region of the deployment, and for no other region. */
export function regionFaults(
  option: string,
  map: Readonly<Record<string, unknown>>,
  regions: readonly string[],
): string[] {
  return [
    ...regions.filter((region) => map[region] === undefined).map((region) => `${option} has no entry for ${region}`),
    ...strayRegions(option, map, regions),
  ];
}

/** A per-region map must not have an entry for a region that the deployment does not have. */
export function strayRegions(
  option: string,
  map: Readonly<Record<string, unknown>>,
  regions: readonly string[],
): string[] {
  return Object.keys(map)
    .filter((region) => !regions.includes(region))
    .map((region) => `${option} names ${region}, which is not among the regions`);
}
