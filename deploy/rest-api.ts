import { createHash } from 'node:crypto';
import { partition } from '@aws-sdk/core/client';
import type { Deployment } from './deployment.ts';
import type { Resources } from './queues.ts';

/** The issuer of a Cognito user pool, which is the only one whose tokens a REST API checks by itself. */
export const USER_POOL = /^https:\/\/cognito-idp\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?\/([\w-]+_[0-9A-Za-z]+)$/;

/** The scopes of a route. API Gateway accepts any of them. The function then checks the scope of the operation. */
export const SCOPES = ['keyfold/encrypt', 'keyfold/decrypt', 'keyfold/rewrap'];

const STAGE = 'live';
const API = { Ref: 'RestApi' };

/**
 * The format of the access log. It leaves out the path, which names a partition, because the audit has the partition.
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

/** A REST API with one route for everything, because the function routes and authorizes by itself. */
export function restResources(deployment: Deployment, region: string): Resources {
  const { prefix, http, logRetentionDays, tracing } = deployment;
  const parts = { ...apiAndPolicy(deployment, region), ...routes(deployment) };
  // A deployment is a snapshot of the API, so its name changes whenever the API does.
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
    // No other log shows which requests the authorizer refused.
    RestApiLogGroup: {
      Type: 'AWS::Logs::LogGroup',
      DeletionPolicy: 'RetainExceptOnCreate',
      UpdateReplacePolicy: 'Retain',
      Properties: { LogGroupName: `/aws/vendedlogs/rest-api/${prefix}-app`, RetentionInDays: logRetentionDays },
    },
    RestPermission: {
      Type: 'AWS::Lambda::Permission',
      Properties: {
        FunctionName: { 'Fn::GetAtt': ['ApiLambdaFunction', 'Arn'] },
        Action: 'lambda:InvokeFunction',
        Principal: 'apigateway.amazonaws.com',
        SourceArn: {
          'Fn::Sub': 'arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${RestApi}/*',
        },
      },
    },
  };
}

function apiAndPolicy({ api, http, prefix }: Deployment, region: string): Resources {
  const isPrivate = api.type === 'private';
  const endpoints = api.vpcEndpoints?.[region];
  return {
    RestApi: {
      Type: 'AWS::ApiGateway::RestApi',
      Properties: {
        Name: prefix,
        EndpointConfiguration: {
          Types: [isPrivate ? 'PRIVATE' : 'REGIONAL'],
          ...(isPrivate && { VpcEndpointIds: endpoints }),
        },
        ...(isPrivate && { Policy: endpointPolicy(endpoints, http.auth) }),
      },
    },
  };
}

/**
 * Denies requests that come through any other VPC endpoint. With IAM, the policy allows nothing: API Gateway would
 * treat an Allow here like one in the caller's own policy, so every principal of the account could call every route.
 * With tokens, the policy must allow requests.
 */
function endpointPolicy(endpoints: readonly string[] | undefined, auth: Deployment['http']['auth']): object {
  const all = { Principal: '*', Action: 'execute-api:Invoke', Resource: 'execute-api:/*' };
  return {
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Deny', ...all, Condition: { StringNotEquals: { 'aws:SourceVpce': endpoints } } },
      ...(auth === 'jwt' ? [{ Effect: 'Allow', ...all }] : []),
    ],
  };
}

function routes({ account, http }: Deployment): Resources {
  const [, poolRegion = '', pool = ''] = USER_POOL.exec(http.issuer ?? '') ?? [];
  const isJwt = http.auth === 'jwt';
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
        ...(isJwt
          ? {
              AuthorizationType: 'COGNITO_USER_POOLS',
              AuthorizerId: { Ref: 'RestAuthorizer' },
              AuthorizationScopes: SCOPES,
            }
          : { AuthorizationType: 'AWS_IAM' }),
        Integration: {
          Type: 'AWS_PROXY',
          IntegrationHttpMethod: 'POST',
          Uri: {
            'Fn::Sub':
              'arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${ApiLambdaFunction.Arn}/invocations',
          },
        },
      },
    },
    ...(isJwt && {
      RestAuthorizer: {
        Type: 'AWS::ApiGateway::Authorizer',
        Properties: {
          RestApiId: API,
          Name: 'token',
          Type: 'COGNITO_USER_POOLS',
          IdentitySource: 'method.request.header.Authorization',
          ProviderARNs: [`arn:${partition(poolRegion).name}:cognito-idp:${poolRegion}:${account}:userpool/${pool}`],
        },
      },
    }),
  };
}
