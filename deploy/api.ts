import { apiFunctionOf } from './api-function.ts';
import type { Deployment } from './deployment.ts';
import { KEPT, logKeyOf } from './logs.ts';
import type { Resources } from './queues.ts';
import { restResources, SCOPES } from './rest-api.ts';
import { STAGE } from './rest-callers.ts';

/** The request headers that CORS must allow, so that a browser can send a signature, a token or a JSON body. */
const CORS_HEADERS = ['authorization', 'content-type', 'x-amz-content-sha256', 'x-amz-date', 'x-amz-security-token'];

/** The routes of an HTTP API. The last route passes all other requests to the function, which reports what is wrong. */
const ROUTES: readonly (readonly [method: string, path: string])[] = [
  ['POST', '/v1/partitions/{partition}/{operation}'],
  ['GET', '/v1/health'],
  ['GET', '/v1/ready'],
  ['GET', '/v1/openapi.json'],
  ['*', '*'],
];

/** A region's entry, in the form that serverless.yml uses. */
export interface ApiParts {
  /** The events of the function. Empty if the entry is not an HTTP API. */
  readonly events: readonly object[];
  readonly authorizers: object;
  readonly cors: object | false;
  readonly resources: Resources;
  readonly outputs: Readonly<Record<string, { readonly Value: unknown }>>;
  /** Overrides of the resources that osls makes for an HTTP API. */
  readonly extensions: Readonly<Record<string, object>>;
}

/** The entry of a deployment in a region: an HTTP API, a REST API or a function URL. */
export function apiParts(deployment: Deployment, region: string): ApiParts {
  const { type } = deployment.api;
  if (type === 'http') return httpApi(deployment, region);
  const none = { events: [], authorizers: {}, cors: false, extensions: {} } as const;
  if (type === 'functionUrl') {
    return { ...none, resources: functionUrl(deployment), outputs: output('ApiUrl', 'FunctionUrl', 'FunctionUrl') };
  }
  const domain = domainResources(deployment, region, { Ref: 'RestApi' }, { Ref: 'RestStage' });
  const ApiUrl = {
    Value: { 'Fn::Sub': `https://\${RestApi}.execute-api.\${AWS::Region}.\${AWS::URLSuffix}/${STAGE}` },
  };
  return {
    ...none,
    resources: { ...restResources(deployment, region), ...domain.resources },
    outputs: { ApiUrl, ...domain.outputs, ...authorizerOutput(deployment, 'RestApi') },
  };
}

/**
 * The metrics that count failed requests and all requests, for the entry's alarm: their namespace, names and
 * dimensions.
 */
export function apiMetrics({ api, prefix }: Deployment): {
  readonly namespace: string;
  readonly names: readonly [failed: string, all: string];
  readonly dimensions: Readonly<Record<string, string | { readonly Ref: string }>>;
} {
  const { type } = api;
  if (type === 'functionUrl') {
    const dimensions = { FunctionName: `${prefix}-api` };
    return { namespace: 'AWS/Lambda', names: ['Url5xxCount', 'UrlRequestCount'], dimensions };
  }
  const namespace = 'AWS/ApiGateway';
  if (type === 'http') return { namespace, names: ['5xx', 'Count'], dimensions: { ApiId: { Ref: 'HttpApi' } } };
  return { namespace, names: ['5XXError', 'Count'], dimensions: { ApiName: prefix } };
}

function httpApi(deployment: Deployment, region: string): ApiParts {
  const { http, api } = deployment;
  const { authorizer, authorizers } = httpAuthorizer(deployment, region);
  const { resources, outputs } = domainResources(deployment, region, { Ref: 'HttpApi' }, { Ref: 'HttpApiStage' });
  return {
    events: [
      ...ROUTES.map(([method, path]) => ({ httpApi: { method, path, authorizer } })),
      // API Gateway itself responds to a preflight request, but only on a route without an authorizer.
      ...(api.cors === undefined ? [] : [{ httpApi: { method: 'OPTIONS', path: '/{proxy+}' } }]),
    ],
    authorizers,
    cors: api.cors !== undefined && {
      allowedOrigins: api.cors.origins,
      allowedHeaders: CORS_HEADERS,
      allowedMethods: ['GET', 'POST'],
      exposedResponseHeaders: ['retry-after'],
    },
    resources,
    outputs: { ...output('ApiUrl', 'HttpApi', 'ApiEndpoint'), ...outputs, ...authorizerOutput(deployment, 'HttpApi') },
    extensions: {
      HttpApiStage: {
        Properties: {
          DefaultRouteSettings: {
            DetailedMetricsEnabled: true,
            ThrottlingRateLimit: http.requestsPerSecond,
            ThrottlingBurstLimit: http.burst,
          },
        },
      },
      // Only this access log shows which requests the authorizer refused.
      HttpApiLogGroup: {
        ...KEPT,
        // A log group whose name does not begin with `/aws/vendedlogs/` would need an entry in the account's resource
        // policy. That policy has room for only about thirty entries.
        Properties: {
          LogGroupName: `/aws/vendedlogs/http-api/${deployment.prefix}-app`,
          ...logKeyOf(deployment, region),
        },
      },
    },
  };
}

/** The authorizer of each route, and its definition, in the form that osls expects. */
function httpAuthorizer({ http }: Deployment, region: string): { authorizer: object; authorizers: object } {
  const identitySource = '$request.header.Authorization';
  if (http.auth === 'jwt') {
    const token = { type: 'jwt', identitySource, issuerUrl: http.issuer, audience: http.audience };
    return { authorizer: { name: 'token', type: 'jwt', scopes: SCOPES }, authorizers: { token } };
  }
  if (http.auth === 'authorizer') {
    const own = {
      type: 'request',
      functionArn: http.authorizers?.[region],
      identitySource,
      payloadVersion: '2.0',
      enableSimpleResponses: true,
      resultTtlInSeconds: http.authorizerCacheSeconds ?? 0,
      // The authorizer's owner must allow this API to invoke the authorizer. The deployment role has no permission to
      // grant that.
      managedExternally: true,
    };
    return { authorizer: { name: 'own', type: 'request' }, authorizers: { own } };
  }
  return { authorizer: { type: 'aws_iam' }, authorizers: {} };
}

/** Outputs the source ARN that the authorizer's owner must allow to invoke the Lambda authorizer. */
function authorizerOutput({ http }: Deployment, api: string): ApiParts['outputs'] {
  if (http.auth !== 'authorizer') return {};
  const arn = `arn:\${AWS::Partition}:execute-api:\${AWS::Region}:\${AWS::AccountId}:\${${api}}/authorizers/*`;
  return { AuthorizerSourceArn: { Value: { 'Fn::Sub': arn } } };
}

/**
 * The function URL. The function has no resource policy: callers in the same account need none, and no others may call.
 */
function functionUrl(deployment: Deployment): Resources {
  const { arn, alias } = apiFunctionOf(deployment);
  const { cors } = deployment.api;
  return {
    FunctionUrl: {
      Type: 'AWS::Lambda::Url',
      ...(alias !== undefined && { DependsOn: alias.id }),
      Properties: {
        AuthType: 'AWS_IAM',
        TargetFunctionArn: arn,
        ...(alias !== undefined && { Qualifier: alias.name }),
        ...(cors !== undefined && {
          Cors: {
            AllowOrigins: cors.origins,
            AllowHeaders: CORS_HEADERS,
            AllowMethods: ['GET', 'POST'],
            ExposeHeaders: ['retry-after'],
          },
        }),
      },
    },
  };
}

/** The custom domain of an API, and its target for DNS. Empty if the deployment has none. */
function domainResources(
  { api }: Deployment,
  region: string,
  ApiId: object,
  Stage: object,
): Pick<ApiParts, 'resources' | 'outputs'> {
  if (api.domain === undefined) return { resources: {}, outputs: {} };
  const CertificateArn = api.domain.certificates[region];
  return {
    resources: {
      ApiDomain: {
        Type: 'AWS::ApiGatewayV2::DomainName',
        Properties: {
          DomainName: api.domain.name,
          DomainNameConfigurations: [{ CertificateArn, EndpointType: 'REGIONAL', SecurityPolicy: 'TLS_1_2' }],
        },
      },
      ApiDomainMapping: {
        Type: 'AWS::ApiGatewayV2::ApiMapping',
        Properties: { DomainName: { Ref: 'ApiDomain' }, ApiId, Stage },
      },
    },
    outputs: {
      ...output('ApiDomainTarget', 'ApiDomain', 'RegionalDomainName'),
      ...output('ApiDomainZone', 'ApiDomain', 'RegionalHostedZoneId'),
    },
  };
}

function output(name: string, resource: string, attribute: string): ApiParts['outputs'] {
  return { [name]: { Value: { 'Fn::GetAtt': [resource, attribute] } } };
}
