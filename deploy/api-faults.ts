import type { Deployment } from './deployment.ts';
import { USER_POOL } from './rest-api.ts';

/** Describes the options of an API that cannot be combined. */
export function apiFaults({ api, http, regions }: Deployment): string[] {
  const isRest = api.type === 'rest' || api.type === 'private';
  const { domain, vpcEndpoints } = api;
  return [
    ...(domain !== undefined && (api.type === 'private' || api.type === 'functionUrl')
      ? [`api.domain is there with api.type ${api.type}, which has none`]
      : []),
    ...(domain === undefined ? [] : regionFaults('api.domain.certificates', domain.certificates, regions)),
    ...Object.entries(domain?.certificates ?? {})
      .filter(([region, certificate]) => certificate.split(':')[3] !== region)
      .map(([region]) => `api.domain.certificates.${region} is of another region`),
    ...(api.cors !== undefined && isRest ? [`api.cors is there with api.type ${api.type}, which has none`] : []),
    ...((vpcEndpoints === undefined) === (api.type === 'private')
      ? [`api.vpcEndpoints is ${vpcEndpoints === undefined ? 'not there with' : 'there without'} api.type private`]
      : []),
    ...(vpcEndpoints === undefined ? [] : regionFaults('api.vpcEndpoints', vpcEndpoints, regions)),
    ...(api.type === 'functionUrl' && http.auth !== 'iam'
      ? ['http.auth is not iam, and a function URL has no other authorizer']
      : []),
    ...(isRest && http.auth === 'jwt' && !USER_POOL.test(http.issuer ?? '')
      ? [`http.issuer is no Cognito user pool, and an API of the type ${api.type} checks no other tokens`]
      : []),
    ...(isRest && http.audience !== undefined
      ? [`http.audience is there with api.type ${api.type}, which does not check it`]
      : []),
  ];
}

/** A map by region must have an entry for each region of the deployment, and for no other. */
function regionFaults(option: string, map: Readonly<Record<string, unknown>>, regions: readonly string[]): string[] {
  return [
    ...regions.filter((region) => map[region] === undefined).map((region) => `${option} has no entry for ${region}`),
    ...Object.keys(map)
      .filter((region) => !regions.includes(region))
      .map((region) => `${option} names ${region}, which is not among the regions`),
  ];
}
