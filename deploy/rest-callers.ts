/** The policy of a REST API, and its usage plans. */
import type { Deployment } from './deployment.ts';
import type { Resources } from './queues.ts';

/** The stage of a REST API. */
export const STAGE = 'live';
/** A reference to the REST API, for the resources that belong to it. */
export const API = { Ref: 'RestApi' };

/**
 * Denies requests that do not come through one of the given VPC endpoints. If callers sign with IAM, the policy
 * contains no Allow, because API Gateway would treat it like one in the caller's own policy: every principal of the
 * account could call every route. If callers send tokens, the policy must also allow their requests.
 */
export function endpointStatements(
  endpoints: readonly string[] | undefined,
  auth: Deployment['http']['auth'],
): object[] {
  const all = { Principal: '*', Action: 'execute-api:Invoke', Resource: 'execute-api:/*' };
  return [
    { Effect: 'Deny', ...all, Condition: { StringNotEquals: { 'aws:SourceVpce': endpoints } } },
    ...(auth === 'iam' ? [] : [{ Effect: 'Allow', ...all }]),
  ];
}

/** Lets a principal of another account use its partitions. The IAM policies of that account must allow it too. */
export function callerStatement({ principal, partitions }: NonNullable<Deployment['api']['callers']>[number]): object {
  return {
    Effect: 'Allow',
    Principal: { AWS: principal },
    Action: 'execute-api:Invoke',
    Resource: [
      ...partitions.map((name) => `execute-api:/${STAGE}/POST/v1/partitions/${name}/*`),
      `execute-api:/${STAGE}/GET/v1/*`,
    ],
  };
}

/** Usage plans, each with one API key. A key limits how often its holder may call. It does not authorize requests. */
export function usagePlans({ api, prefix }: Deployment): Resources {
  const plans = Object.entries(api.usagePlans ?? {}).map(([name, { requestsPerSecond, burst, requestsPerDay }]) => ({
    [`UsagePlan${name}`]: {
      Type: 'AWS::ApiGateway::UsagePlan',
      Properties: {
        UsagePlanName: `${prefix}-${name}`,
        ApiStages: [{ ApiId: API, Stage: { Ref: 'RestStage' } }],
        Throttle: { RateLimit: requestsPerSecond, BurstLimit: burst },
        ...(requestsPerDay !== undefined && { Quota: { Limit: requestsPerDay, Period: 'DAY' } }),
      },
    },
    [`ApiKey${name}`]: {
      Type: 'AWS::ApiGateway::ApiKey',
      Properties: { Name: `${prefix}-${name}`, Enabled: true },
    },
    [`UsagePlanKey${name}`]: {
      Type: 'AWS::ApiGateway::UsagePlanKey',
      Properties: { KeyId: { Ref: `ApiKey${name}` }, KeyType: 'API_KEY', UsagePlanId: { Ref: `UsagePlan${name}` } },
    },
  }));
  return Object.assign({}, ...plans) as Resources;
}
