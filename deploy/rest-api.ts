import { createHash } from 'node:crypto';
import { partition } from '@aws-sdk/core/client';
import { apiFunctionOf } from './api-function.ts';
import type { Deployment } from './deployment.ts';
import { KEPT, logKeyOf } from './logs.ts';
import type { Resources } from './queues.ts';
import { API, callerStatement, endpointStatements, STAGE, usagePlans } from './rest-callers.ts';

/** The issuer of a Cognito user pool. A REST API can check tokens only if they come from such an issuer. */
export const USER_POOL = /^https:\/\/cognito-idp\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?\/([\w-]+_[0-9A-Za-z]+)$/;

/**
 * The scopes of a route. API Gateway accepts a token with any of them. The function then checks that the token has the
 * scope of the operation.
 */
export const SCOPES = ['keyfold/encrypt', 'keyfold/decrypt', 'keyfold/rewrap'];

/**
 * The format of the access log. It leaves out the path, because the path names a partition. The audit log records the
 * partition instead.
 */
const LOG_FORMAT = {
  requestId: '$context.requestId',
  lambdaRequestId: '$context.integration.requestId',
  time: '$context.requestTime',
  method: '$context.httpMethod',
  status: '$context.status',
  error: '$context.error.responseType',
  ip: '$context.identity.sourceIp',
  latencyMs: '$context.responseLatency',
};

/** A REST API with one route for all requests, because the function itself routes and authorizes them. */
export function restResources(deployment: Deployment, region: string): Resources {
  const { prefix, http, logRetentionDays, tracing } = deployment;
  const parts = { ...apiAndPolicy(deployment, region), ...routes(deployment, region) };
  // An API Gateway deployment is a snapshot of the API. Its name changes with the API, so that CloudFormation makes a
  // new snapshot.
  const snapshot = createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 12);
  return {
    ...parts,
    [`RestDeployment${snapshot}`]: {
      Type: 'AWS::ApiGateway::Deployment',
      DependsOn: 'RestMethod',
      Properties: { RestApiId: API },
    },
    RestStage: {
      Type: 'AWS::ApiGateway::Stage',
      Properties: {
        RestApiId: API,
        DeploymentId: { Ref: `RestDeployment${snapshot}` },
        StageName: STAGE,
        TracingEnabled: tracing,
        AccessLogSetting: {
          DestinationArn: { 'Fn::GetAtt': ['RestApiLogGroup', 'Arn'] },
          Format: JSON.stringify(LOG_FORMAT),
        },
        MethodSettings: [
          {
            HttpMethod: '*',
            ResourcePath: '/*',
            MetricsEnabled: true,
            LoggingLevel: 'OFF',
            DataTraceEnabled: false,
            ThrottlingRateLimit: http.requestsPerSecond,
            ThrottlingBurstLimit: http.burst,
          },
        ],
      },
    },
    // Only this access log shows which requests the authorizer refused.
    RestApiLogGroup: {
      Type: 'AWS::Logs::LogGroup',
      ...KEPT,
      Properties: {
        LogGroupName: `/aws/vendedlogs/rest-api/${prefix}-app`,
        RetentionInDays: logRetentionDays,
        ...logKeyOf(deployment, region),
      },
    },
    RestPermission: {
      Type: 'AWS::Lambda::Permission',
      Properties: {
        FunctionName: apiFunctionOf(deployment).invoked,
        Action: 'lambda:InvokeFunction',
        Principal: 'apigateway.amazonaws.com',
        SourceArn: {
          'Fn::Sub': 'arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${RestApi}/*',
        },
      },
    },
    ...usagePlans(deployment),
  };
}

/** The policy of the API. It has no statements if callers do not need a policy. */
export function apiPolicyOf({ api, http }: Deployment, region: string): { Version: string; Statement: object[] } {
  return {
    Version: '2012-10-17',
    Statement: [
      ...(api.type === 'private' ? endpointStatements(api.vpcEndpoints?.[region], http.auth) : []),
      ...(api.callers ?? []).map(callerStatement),
    ],
  };
}

function apiAndPolicy(deployment: Deployment, region: string): Resources {
  const { api, prefix } = deployment;
  const isPrivate = api.type === 'private';
  const Policy = apiPolicyOf(deployment, region);
  return {
    RestApi: {
      Type: 'AWS::ApiGateway::RestApi',
      Properties: {
        Name: prefix,
        EndpointConfiguration: {
          Types: [isPrivate ? 'PRIVATE' : 'REGIONAL'],
          ...(isPrivate && { VpcEndpointIds: api.vpcEndpoints?.[region] }),
        },
        // An empty string removes an earlier policy. Without this property, CloudFormation would keep that policy, and
        // callers who are no longer in the file could still call.
        Policy: Policy.Statement.length > 0 ? Policy : '',
      },
    },
  };
}

function routes(deployment: Deployment, region: string): Resources {
  const { api, http } = deployment;
  const authorizer = authorizerOf(deployment, region);
  return {
    RestResource: {
      Type: 'AWS::ApiGateway::Resource',
      Properties: {
        RestApiId: API,
        ParentId: { 'Fn::GetAtt': ['RestApi', 'RootResourceId'] },
        PathPart: '{proxy+}',
      },
    },
    RestMethod: {
      Type: 'AWS::ApiGateway::Method',
      Properties: {
        RestApiId: API,
        ResourceId: { Ref: 'RestResource' },
        HttpMethod: 'ANY',
        ...AUTHORIZATIONS[http.auth],
        ...(api.usagePlans !== undefined && { ApiKeyRequired: true }),
        Integration: {
          Type: 'AWS_PROXY',
          IntegrationHttpMethod: 'POST',
          Uri: {
            'Fn::Sub': [invocationsOf('${Invoked}'), { Invoked: apiFunctionOf(deployment).invoked }],
          },
        },
      },
    },
    ...(authorizer !== undefined && {
      RestAuthorizer: {
        Type: 'AWS::ApiGateway::Authorizer',
        Properties: { RestApiId: API, IdentitySource: 'method.request.header.Authorization', ...authorizer },
      },
    }),
  };
}

/** How the method authorizes callers, by `http.auth`. */
const AUTHORIZATIONS = {
  iam: { AuthorizationType: 'AWS_IAM' },
  jwt: {
    AuthorizationType: 'COGNITO_USER_POOLS',
    AuthorizerId: { Ref: 'RestAuthorizer' },
    AuthorizationScopes: SCOPES,
  },
  authorizer: { AuthorizationType: 'CUSTOM', AuthorizerId: { Ref: 'RestAuthorizer' } },
};

/** The URI with which API Gateway invokes a function, for `Fn::Sub`. */
function invocationsOf(arn: string): string {
  return `arn:\${AWS::Partition}:apigateway:\${AWS::Region}:lambda:path/2015-03-31/functions/${arn}/invocations`;
}

function authorizerOf({ account, http }: Deployment, region: string): object | undefined {
  if (http.auth === 'jwt') {
    const [, poolRegion = '', pool = ''] = USER_POOL.exec(http.issuer ?? '') ?? [];
    const arn = `arn:${partition(poolRegion).name}:cognito-idp:${poolRegion}:${account}:userpool/${pool}`;
    return { Name: 'token', Type: 'COGNITO_USER_POOLS', ProviderARNs: [arn] };
  }
  if (http.auth === 'authorizer') {
    return {
      Name: 'own',
      Type: 'REQUEST',
      AuthorizerResultTtlInSeconds: http.authorizerCacheSeconds ?? 0,
      AuthorizerUri: { 'Fn::Sub': invocationsOf(`${http.authorizers?.[region]}`) },
    };
  }
  return undefined;
}
