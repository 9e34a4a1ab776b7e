/** Tests the entries that deploy.yml can select: what each adds to the stack, and which options conflict. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { alarmResources } from '../../../deploy/alarms.ts';
import { apiParts, type ApiParts } from '../../../deploy/api.ts';
import { appValues, environmentsOf } from '../../../deploy/app.ts';
import { readConfig } from '../../../src/config/read-config.ts';
import { isAllowed } from './account.ts';
import { faultsOf, read } from './changed-example.ts';
import { AUTHORIZER, COGNITO, ENTRIES, VPC } from './package.ts';

const WEST = 'us-west-2';
const EAST = 'us-east-1';
const ACCOUNT = '111122223333';
const DOMAIN = ENTRIES.http.api.domain;
const ENDPOINTS = ENTRIES.private.api.vpcEndpoints;

async function partsOf(changed: object): Promise<ApiParts> {
  return apiParts(await read(changed), WEST);
}

/** The resources of an entry, by type. */
function typesOf({ resources }: ApiParts): string[] {
  return Object.values(resources)
    .map(({ Type }) => Type.replace('AWS::', ''))
    .toSorted();
}

function propertiesOf({ resources }: ApiParts, name: string): Record<string, unknown> {
  return resources[name]?.Properties ?? {};
}

/** The name of the deployment of a REST API. */
async function snapshotOf(changed: object): Promise<string | undefined> {
  return Object.keys((await partsOf(changed)).resources).find((name) => name.startsWith('RestDeployment'));
}

/**
 * The summary of an entry, for comparison with the file that a person has reviewed. It has a line for each resource,
 * route and output.
 */
function reviewOf({ resources, events, ...others }: ApiParts): string {
  const lines = [
    ...Object.entries(resources).map(([name, resource]) => `${name} ${JSON.stringify(resource)}`),
    ...events.map((event) => `route ${JSON.stringify(event)}`),
    ...Object.entries(others).map(([name, part]) => `${name} ${JSON.stringify(part)}`),
  ];
  return `${lines.toSorted().join('\n')}\n`;
}

it.for(Object.entries(ENTRIES))(
  'the resources of the entry point %s equal their reviewed file',
  async ([name, changed]) => {
    await expect(reviewOf(await partsOf(changed))).toMatchFileSnapshot(`reviewed/entry-${name}.txt`);
  },
);

it.for([WEST, EAST] as const)(
  'the app in %s uses only the certificates, keys, authorizers and networks of that region',
  async (region) => {
    const keys = Object.fromEntries([WEST, EAST].map((each) => [each, `arn:aws:kms:${each}:${ACCOUNT}:key/1`]));
    const used = new Set<string>();
    for (const entry of ['http', 'httpWithAuthorizer', 'restWithAuthorizer', 'private'] as const) {
      const deployment = await read({ ...ENTRIES[entry], vpc: VPC, storageKeys: keys, environmentKeys: keys });
      const text = JSON.stringify([appValues(deployment, region), alarmResources(deployment, region)]);
      const named = /arn:aws:(?:acm|lambda):[\w-]+|arn:aws:kms:[\w-]+:\d+:key|(?:vpce|subnet|sg)-\w+/g;
      for (const [name] of text.matchAll(named)) used.add(name);
    }
    expect([...used].toSorted()).toEqual(
      [
        `arn:aws:acm:${region}`,
        `arn:aws:kms:${region}:${ACCOUNT}:key`,
        `arn:aws:lambda:${region}`,
        ...ENDPOINTS[region],
        ...VPC[region].subnets,
        ...VPC[region].securityGroups,
      ].toSorted(),
    );
  },
);

it.for(Object.entries(ENTRIES))(
  'an app with the entry point %s and the prefix "trial" names no stack, function or role with the default prefix',
  async ([, entry]) => {
    const deployment = await read({ ...entry, prefix: 'trial', queue: { kind: 'standard' } });
    const values = appValues(deployment, WEST);
    expect(values).toMatchObject({ prefix: 'trial', stack: 'trial-app', roles: 'trial-roles' });
    expect(JSON.stringify(values)).not.toContain('keyfold-');
  },
);

describe('api.type', () => {
  it('"http" creates only the routes of an HTTP API, each with its authorizer', async () => {
    const parts = await partsOf({});
    expect(parts.events).toHaveLength(5);
    expect(JSON.stringify(parts.events).match(/"type":"aws_iam"/g)).toHaveLength(5);
    expect([parts.resources, parts.cors]).toEqual([{}, false]);
  });

  it('"rest" creates a REST API with one catch-all route, IAM authorization and an empty policy', async () => {
    const parts = await partsOf({ api: { type: 'rest' } });
    expect([parts.events, parts.extensions, parts.cors]).toEqual([[], {}, false]);
    expect(typesOf(parts)).toEqual([
      'ApiGateway::Deployment',
      'ApiGateway::Method',
      'ApiGateway::Resource',
      'ApiGateway::RestApi',
      'ApiGateway::Stage',
      'Lambda::Permission',
      'Logs::LogGroup',
    ]);
    // An empty policy removes the former policy. Without any policy in the template, CloudFormation would keep the
    // former policy, with callers that deploy.yml no longer names.
    expect(propertiesOf(parts, 'RestApi')).toEqual({
      Name: 'keyfold',
      EndpointConfiguration: { Types: ['REGIONAL'] },
      Policy: '',
    });
    expect(propertiesOf(parts, 'RestMethod')).toMatchObject({
      HttpMethod: 'ANY',
      AuthorizationType: 'AWS_IAM',
      Integration: { Type: 'AWS_PROXY', IntegrationHttpMethod: 'POST' },
    });
    expect(propertiesOf(parts, 'RestResource')).toMatchObject({ PathPart: '{proxy+}' });
    expect(propertiesOf(parts, 'RestPermission')).toMatchObject({ Principal: 'apigateway.amazonaws.com' });
    expect(JSON.stringify(propertiesOf(parts, 'RestPermission')['SourceArn'])).toContain('${RestApi}/*');
  });

  it('"rest" throttles requests, and logs them without their paths in a log group that outlives the stack', async () => {
    const parts = await partsOf({ api: { type: 'rest' }, http: { requestsPerSecond: 7, burst: 3 }, tracing: true });
    const { MethodSettings, AccessLogSetting, TracingEnabled } = propertiesOf(parts, 'RestStage');
    expect(MethodSettings).toMatchObject([
      { ThrottlingRateLimit: 7, ThrottlingBurstLimit: 3, DataTraceEnabled: false },
    ]);
    expect(TracingEnabled).toBe(true);
    const { Format } = AccessLogSetting as { Format: string };
    expect(Format).not.toMatch(/path/i);
    expect(parts.resources['RestApiLogGroup']).toMatchObject({
      DeletionPolicy: 'RetainExceptOnCreate',
      Properties: { LogGroupName: '/aws/vendedlogs/rest-api/keyfold-app', RetentionInDays: 365 },
    });
  });

  it('"rest" creates a new deployment only if the API changes', async () => {
    const rest = await snapshotOf({ api: { type: 'rest' } });
    expect(await snapshotOf({ api: { type: 'rest' }, logRetentionDays: 90 })).toBe(rest);
    expect(await snapshotOf({ api: { type: 'rest' }, http: COGNITO })).not.toBe(rest);
    expect(await snapshotOf(ENTRIES.private)).not.toBe(rest);
  });

  it('"rest" creates the deployment after the method, because API Gateway does not deploy an API without methods', async () => {
    const { resources } = await partsOf({ api: { type: 'rest' } });
    const snapshot = Object.values(resources).find(({ Type }) => Type === 'AWS::ApiGateway::Deployment');
    expect(snapshot).toMatchObject({ DependsOn: 'RestMethod' });
  });

  it('"rest" can authorize callers by tokens from a Cognito user pool', async () => {
    const parts = await partsOf(ENTRIES.rest);
    expect(propertiesOf(parts, 'RestAuthorizer')).toMatchObject({
      Type: 'COGNITO_USER_POOLS',
      ProviderARNs: [`arn:aws:cognito-idp:${WEST}:${ACCOUNT}:userpool/us-west-2_Example01`],
    });
    expect(propertiesOf(parts, 'RestMethod')).toMatchObject({
      AuthorizationType: 'COGNITO_USER_POOLS',
      AuthorizerId: { Ref: 'RestAuthorizer' },
      AuthorizationScopes: ['keyfold/encrypt', 'keyfold/decrypt', 'keyfold/rewrap'],
    });
  });

  it('"http" can have a Lambda authorizer, and outputs the source ARN that the authorizer must allow', async () => {
    const parts = await partsOf({ http: { ...AUTHORIZER, authorizerCacheSeconds: 60 } });
    expect(JSON.stringify(parts.events).match(/{"name":"own","type":"request"}/g)).toHaveLength(5);
    expect(parts.authorizers).toEqual({
      own: {
        type: 'request',
        functionArn: AUTHORIZER.authorizers[WEST],
        identitySource: '$request.header.Authorization',
        payloadVersion: '2.0',
        enableSimpleResponses: true,
        resultTtlInSeconds: 60,
        managedExternally: true,
      },
    });
    expect(JSON.stringify(parts.outputs['AuthorizerSourceArn'])).toContain(':${HttpApi}/authorizers/*');
  });

  it('"rest" can have a Lambda authorizer, whose responses are not cached by default', async () => {
    const parts = await partsOf({ api: { type: 'rest' }, http: AUTHORIZER });
    expect(propertiesOf(parts, 'RestMethod')).toMatchObject({
      AuthorizationType: 'CUSTOM',
      AuthorizerId: { Ref: 'RestAuthorizer' },
    });
    const authorizer = propertiesOf(parts, 'RestAuthorizer');
    expect(authorizer).toMatchObject({ Type: 'REQUEST', AuthorizerResultTtlInSeconds: 0 });
    expect(JSON.stringify(authorizer['AuthorizerUri'])).toContain(`/functions/${AUTHORIZER.authorizers[WEST]}/inv`);
    expect(JSON.stringify(parts.outputs['AuthorizerSourceArn'])).toContain(':${RestApi}/authorizers/*');
  });

  it.for(['http', 'rest'] as const)(
    `"%s" with a Lambda authorizer configures the function to read the authorizer's context`,
    async (type) => {
      const deployment = await read({ api: { type }, http: { ...AUTHORIZER, partitionLists: true } });
      const { api } = environmentsOf(deployment, WEST);
      expect(readConfig({ ...api, AWS_REGION: WEST, AWS_LAMBDA_FUNCTION_NAME: 'keyfold' }).auth).toEqual({
        kind: 'authorizer',
        partitionLists: true,
        partitionWildcards: undefined,
      });
    },
  );

  it('"private" lets a Lambda authorizer decide about calls through its VPC endpoints', async () => {
    const { Policy } = propertiesOf(await partsOf({ ...ENTRIES.private, http: AUTHORIZER }), 'RestApi');
    expect((Policy as { Statement: object[] }).Statement).toMatchObject([{ Effect: 'Deny' }, { Effect: 'Allow' }]);
  });

  it('"private" denies calls through other VPC endpoints, and has an Allow statement for tokens but none for IAM', async () => {
    const { EndpointConfiguration, Policy } = propertiesOf(await partsOf(ENTRIES.private), 'RestApi');
    expect(EndpointConfiguration).toEqual({ Types: ['PRIVATE'], VpcEndpointIds: ENDPOINTS[WEST] });
    const deny = {
      Effect: 'Deny',
      Principal: '*',
      Action: 'execute-api:Invoke',
      Resource: 'execute-api:/*',
      Condition: { StringNotEquals: { 'aws:SourceVpce': ENDPOINTS[WEST] } },
    };
    expect(Policy).toEqual({ Version: '2012-10-17', Statement: [deny] });
    const tokens = propertiesOf(await partsOf({ ...ENTRIES.private, http: COGNITO }), 'RestApi');
    const { Condition: _, ...allow } = { ...deny, Effect: 'Allow' };
    expect(tokens['Policy']).toEqual({ Version: '2012-10-17', Statement: [deny, allow] });
  });

  it('"functionUrl" creates a function URL with IAM authorization, and no permission for other accounts', async () => {
    const parts = await partsOf({ api: { type: 'functionUrl' } });
    expect(typesOf(parts)).toEqual(['Lambda::Url']);
    expect(propertiesOf(parts, 'FunctionUrl')).toEqual({
      AuthType: 'AWS_IAM',
      TargetFunctionArn: { 'Fn::GetAtt': ['ApiLambdaFunction', 'Arn'] },
    });
  });

  it('"functionUrl" with provisioned concurrency creates the function URL for the alias', async () => {
    const functions = { api: { provisionedConcurrency: 1 } };
    const { resources } = await partsOf({ api: { type: 'functionUrl' }, functions });
    expect(resources['FunctionUrl']).toMatchObject({
      DependsOn: 'ApiProvConcLambdaAlias',
      Properties: { TargetFunctionArn: { 'Fn::GetAtt': ['ApiLambdaFunction', 'Arn'] }, Qualifier: 'provisioned' },
    });
  });

  it.for([
    ['http', {}, { 'Fn::GetAtt': ['HttpApi', 'ApiEndpoint'] }],
    [
      'rest',
      { api: { type: 'rest' } },
      { 'Fn::Sub': 'https://${RestApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/live' },
    ],
    [
      'private',
      { api: { type: 'private', vpcEndpoints: ENDPOINTS } },
      { 'Fn::Sub': 'https://${RestApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/live' },
    ],
    ['functionUrl', { api: { type: 'functionUrl' } }, { 'Fn::GetAtt': ['FunctionUrl', 'FunctionUrl'] }],
  ] as const)('"%s" outputs its URL as ApiUrl', async ([, changed, url]) => {
    expect((await partsOf(changed)).outputs).toEqual({ ApiUrl: { Value: url } });
  });

  it.for([
    ['http', 'AWS/ApiGateway', ['5xx', 'Count'], [{ Name: 'ApiId', Value: { Ref: 'HttpApi' } }]],
    ['rest', 'AWS/ApiGateway', ['5XXError', 'Count'], [{ Name: 'ApiName', Value: 'keyfold' }]],
    ['private', 'AWS/ApiGateway', ['5XXError', 'Count'], [{ Name: 'ApiName', Value: 'keyfold' }]],
    ['functionUrl', 'AWS/Lambda', ['Url5xxCount', 'UrlRequestCount'], [{ Name: 'FunctionName', Value: 'keyfold-api' }]],
  ] as const)('"%s" creates an alarm on the share of failed requests', async ([type, namespace, names, dimensions]) => {
    const { ApiCannotServeAlarm } = alarmResources(await read(ENTRIES[type]), WEST);
    const { Metrics } = (ApiCannotServeAlarm?.Properties ?? {}) as { Metrics: { MetricStat?: { Metric: object } }[] };
    expect(Metrics.flatMap(({ MetricStat }) => MetricStat?.Metric ?? [])).toEqual(
      names.map((MetricName) => ({ Namespace: namespace, MetricName, Dimensions: dimensions })),
    );
  });
});

it('the documented policy for a function URL allows calls through the URL, but no direct invocation', async () => {
  const page = readFileSync(new URL('../../../docs/how-to/choose-an-entry.md', import.meta.url), 'utf8');
  const [, block = ''] = /### Policy for a function URL\n[^]*?```json\n([^]*?)```/.exec(page) ?? [];
  const caller = { arn: `arn:aws:iam::${ACCOUNT}:role/caller`, policies: [JSON.parse(block) as object] };
  const arn = `arn:aws:lambda:${WEST}:${ACCOUNT}:function:keyfold-api`;
  const may = (action: string, context: Record<string, string>): Promise<boolean> =>
    isAllowed(caller, `lambda:${action}`, { arn, context });
  expect(await may('InvokeFunctionUrl', { 'lambda:FunctionUrlAuthType': 'AWS_IAM' })).toBe(true);
  expect(await may('InvokeFunction', { 'lambda:InvokedViaFunctionUrl': 'true' })).toBe(true);
  expect(await may('InvokeFunction', {})).toBe(false);
});

describe('api.callers', () => {
  const CALLER = 'arn:aws:iam::444455556666:role/orders';
  const everything = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] };

  /** Whether the API's policy admits a role of another account whose own IAM policies allow everything. */
  async function isLetIn(path: string, arn: string = CALLER, via?: string): Promise<boolean> {
    const { Policy } = propertiesOf(
      await partsOf(
        via === undefined
          ? ENTRIES.restWithCallers
          : { api: { ...ENTRIES.private.api, callers: ENTRIES.restWithCallers.api.callers } },
      ),
      'RestApi',
    );
    const target = `arn:aws:execute-api:${WEST}:${ACCOUNT}:abc123`;
    // In a path that begins with `execute-api:/`, API Gateway replaces this beginning with the ARN of the API.
    const policy = JSON.parse(JSON.stringify(Policy).replaceAll('execute-api:/', `${target}/`)) as unknown;
    const context = via === undefined ? {} : { 'aws:SourceVpce': via };
    return isAllowed({ arn, policies: [everything] }, 'execute-api:Invoke', {
      arn: `${target}/live/${path}`,
      policy,
      context,
    });
  }

  it.for([
    ['allows', 'POST/v1/partitions/tenant-1/encrypt', true],
    ['allows', 'POST/v1/partitions/team-7/decrypt-batch', true],
    ['allows', 'GET/v1/ready', true],
    ['refuses', 'POST/v1/partitions/tenant-2/encrypt', false],
    ['refuses', 'POST/v1/partitions/tenant-10/encrypt', false],
    ['refuses', 'POST/v1/partitions/team/encrypt', false],
  ] as const)("%s %s for another account's role that is limited to some partitions", async ([, path, may]) => {
    expect(await isLetIn(path)).toBe(may);
  });

  it("allows a role of another account only if the list names the role or that account's root", async () => {
    const path = 'POST/v1/partitions/tenant-1/encrypt';
    expect(await isLetIn(path, 'arn:aws:iam::444455556666:role/other')).toBe(false);
    expect(await isLetIn(path, 'arn:aws:iam::555566667777:role/any')).toBe(true);
  });

  it('allows calls to a private API only through its VPC endpoints', async () => {
    const path = 'POST/v1/partitions/tenant-1/encrypt';
    expect(await isLetIn(path, CALLER, ENDPOINTS[WEST][0])).toBe(true);
    expect(await isLetIn(path, CALLER, 'vpce-01234567')).toBe(false);
  });
});

describe('api.usagePlans', () => {
  it("limits each API key's requests, and refuses requests without an API key", async () => {
    const parts = await partsOf(ENTRIES.restWithCallers);
    expect(propertiesOf(parts, 'RestMethod')).toMatchObject({ AuthorizationType: 'AWS_IAM', ApiKeyRequired: true });
    expect(propertiesOf(parts, 'UsagePlanbusy')).toEqual({
      UsagePlanName: 'keyfold-busy',
      ApiStages: [{ ApiId: { Ref: 'RestApi' }, Stage: { Ref: 'RestStage' } }],
      Throttle: { RateLimit: 20, BurstLimit: 10 },
      Quota: { Limit: 100_000, Period: 'DAY' },
    });
    expect(propertiesOf(parts, 'UsagePlanothers')).not.toHaveProperty('Quota');
    for (const name of ['busy', 'others']) {
      expect(propertiesOf(parts, `ApiKey${name}`)).toEqual({ Name: `keyfold-${name}`, Enabled: true });
      expect(propertiesOf(parts, `UsagePlanKey${name}`)).toMatchObject({
        KeyId: { Ref: `ApiKey${name}` },
        UsagePlanId: { Ref: `UsagePlan${name}` },
      });
    }
  });
});

describe('api.domain', () => {
  it.for([
    ['http', 'HttpApi', 'HttpApiStage'],
    ['rest', 'RestApi', 'RestStage'],
  ] as const)(
    'maps the domain to the stage of an API of the type "%s", and outputs the DNS target of the domain',
    async ([type, api, stage]) => {
      const parts = await partsOf({ api: { type, domain: DOMAIN } });
      expect(propertiesOf(parts, 'ApiDomain')).toEqual({
        DomainName: 'keyfold.example.com',
        DomainNameConfigurations: [
          { CertificateArn: DOMAIN.certificates[WEST], EndpointType: 'REGIONAL', SecurityPolicy: 'TLS_1_2' },
        ],
      });
      expect(propertiesOf(parts, 'ApiDomainMapping')).toMatchObject({ ApiId: { Ref: api }, Stage: { Ref: stage } });
      expect(Object.keys(parts.outputs)).toEqual(['ApiUrl', 'ApiDomainTarget', 'ApiDomainZone']);
    },
  );
});

describe('api.cors', () => {
  const cors = { origins: ['https://app.example.com'] };

  it('allows the configured origins on an HTTP API, where only preflight requests need no authorization', async () => {
    const parts = await partsOf({ api: { cors } });
    expect(parts.cors).toMatchObject({ allowedOrigins: cors.origins, allowedMethods: ['GET', 'POST'] });
    const open = parts.events.filter((event) => !JSON.stringify(event).includes('aws_iam'));
    expect(open).toEqual([{ httpApi: { method: 'OPTIONS', path: '/{proxy+}' } }]);
  });

  it('allows the configured origins on a function URL', async () => {
    const parts = await partsOf({ api: { type: 'functionUrl', cors } });
    expect(propertiesOf(parts, 'FunctionUrl')['Cors']).toMatchObject({ AllowOrigins: cors.origins });
  });
});

describe('deploy.yml', () => {
  const authorizer = AUTHORIZER.authorizers[WEST];
  const { callers } = ENTRIES.restWithCallers.api;
  const [{ principal } = { principal: '' }] = callers;
  const [west, east] = [{ 'us-west-2': ENDPOINTS['us-west-2'] }, DOMAIN.certificates['us-east-1']];
  it.for([
    ['api.type must be http, rest, private or functionUrl', { api: { type: 'alb' } }],
    ['architecture is neither arm64 nor x86_64', { architecture: 'x86' }],
    ['api.cors.origins.0 is not an https origin', { api: { cors: { origins: ['*'] } } }],
    ['api.cors.origins.0 is not an https origin', { api: { cors: { origins: ['http://app.example.com'] } } }],
    ['api.cors.origins.0 is not an https origin', { api: { cors: { origins: ['https://app.example.com/'] } } }],
    ['api.cors.origins must have at least one entry', { api: { cors: { origins: [] } } }],
    ['api.domain.name is not a domain name', { api: { domain: { ...DOMAIN, name: 'Keyfold' } } }],
    ['api.domain.name is not a domain name', { api: { domain: { ...DOMAIN, name: `${'a.'.repeat(125)}test` } } }],
    [
      'api.domain.certificates.us-west-2 is in us-east-1: AWS accepts only one in the same region',
      { api: { domain: { ...DOMAIN, certificates: { ...DOMAIN.certificates, 'us-west-2': east } } } },
    ],
    [
      'api.domain.certificates has no entry for us-west-2',
      { api: { domain: { ...DOMAIN, certificates: { 'us-east-1': east } } } },
    ],
    [
      'api.domain is set with api.type functionUrl: only the types http and rest can have one here',
      { api: { type: 'functionUrl', domain: DOMAIN } },
    ],
    [
      'api.domain is set with api.type private: only the types http and rest can have one here',
      { api: { type: 'private', domain: DOMAIN, vpcEndpoints: ENDPOINTS } },
    ],
    [
      'api.cors is set with api.type rest: only the types http and functionUrl can have it here',
      { api: { type: 'rest', cors: { origins: ['https://a.example'] } } },
    ],
    [
      'api.domain.certificates.us-east-1 is in account 444455556666, but the deployment is in 111122223333',
      {
        api: {
          domain: {
            ...DOMAIN,
            certificates: { ...DOMAIN.certificates, 'us-east-1': east.replace(ACCOUNT, '444455556666') },
          },
        },
      },
    ],
    ['api.usagePlans has no plan, so no request could have an API key', { api: { type: 'rest', usagePlans: {} } }],
    [
      'api.usagePlans has both busy and Keybusy, which share a name in the template: rename one',
      {
        api: {
          type: 'rest',
          usagePlans: { ...ENTRIES.restWithCallers.api.usagePlans, Keybusy: { requestsPerSecond: 1, burst: 1 } },
        },
      },
    ],
    ['api.vpcEndpoints is missing with api.type private', { api: { type: 'private' } }],
    ['api.vpcEndpoints is set without api.type private', { api: { type: 'rest', vpcEndpoints: ENDPOINTS } }],
    ['api.vpcEndpoints has no entry for us-east-1', { api: { type: 'private', vpcEndpoints: west } }],
    [
      'api.vpcEndpoints names eu-west-1, which is not among the regions',
      { api: { type: 'private', vpcEndpoints: { ...ENDPOINTS, 'eu-west-1': ['vpce-01234567'] } } },
    ],
    [
      'api.vpcEndpoints.us-east-1.0 is not the ID of a VPC endpoint',
      { api: { type: 'private', vpcEndpoints: { ...ENDPOINTS, 'us-east-1': ['vpc-1'] } } },
    ],
    [
      'api.vpcEndpoints.us-east-1 must have at least one entry',
      { api: { type: 'private', vpcEndpoints: { ...ENDPOINTS, 'us-east-1': [] } } },
    ],
    [
      'http.auth is not iam, and a function URL has no other authorizer',
      { api: { type: 'functionUrl' }, http: { ...COGNITO, audience: ['a'] } },
    ],
    [
      'http.issuer is not a Cognito user pool, and an API of the type rest accepts no other tokens',
      { api: { type: 'rest' }, http: { ...COGNITO, issuer: 'https://login.example.com/' } },
    ],
    [
      'http.audience is set with api.type rest, which does not check it',
      { api: { type: 'rest' }, http: { ...COGNITO, audience: ['a'] } },
    ],
    ['http.auth must be iam, jwt or authorizer', { http: { auth: 'cognito' } }],
    ['http.authorizers is missing with http.auth authorizer', { http: { auth: 'authorizer' } }],
    [
      'http.authorizers has no entry for us-east-1',
      { http: { ...AUTHORIZER, authorizers: { 'us-west-2': authorizer } } },
    ],
    [
      'http.authorizers.us-east-1 is in us-west-2: AWS accepts only one in the same region',
      { http: { ...AUTHORIZER, authorizers: { ...AUTHORIZER.authorizers, 'us-east-1': authorizer } } },
    ],
    [
      'http.authorizers.us-west-2 is not the ARN of a Lambda function',
      { http: { ...AUTHORIZER, authorizers: { 'us-west-2': 'authorizer', 'us-east-1': authorizer } } },
    ],
    ['http.authorizerCacheSeconds is above 3600', { http: { ...AUTHORIZER, authorizerCacheSeconds: 3601 } }],
    ['http.authorizers is set without http.auth authorizer', { http: { authorizers: AUTHORIZER.authorizers } }],
    ['http.authorizerCacheSeconds is set without http.auth authorizer', { http: { authorizerCacheSeconds: 0 } }],
    [
      'http.auth is not iam, and a function URL has no other authorizer',
      { api: { type: 'functionUrl' }, http: AUTHORIZER },
    ],
    [
      'api.callers is set with api.type http: let them assume a role of this account, or use a REST API',
      { api: { callers } },
    ],
    [
      'api.callers is set with api.type functionUrl: let them assume a role of this account, or use a REST API',
      { api: { type: 'functionUrl', callers } },
    ],
    ['api.callers is set without http.auth iam', { api: { type: 'rest', callers }, http: COGNITO }],
    [
      "api.callers.0 is in the deployment's own account, where the caller's own policy is enough",
      { api: { type: 'rest', callers: [{ principal: `arn:aws:iam::${ACCOUNT}:role/a`, partitions: ['a'] }] } },
    ],
    [
      'api.callers.0.principal is not the ARN of a role, a user or the root of an account',
      { api: { type: 'rest', callers: [{ principal: '*', partitions: ['a'] }] } },
    ],
    ...['', '.', '..', 'a*b', '${aws:x}', 'a/b', 'a?', 'ü', 'a'.repeat(129)].map(
      (partition) =>
        [
          'api.callers.0.partitions.0 is not a valid partition',
          { api: { type: 'rest', callers: [{ principal, partitions: [partition] }] } },
        ] as const,
    ),
    ['api.callers must have at least one entry', { api: { type: 'rest', callers: [] } }],
    [
      'api.callers.0.partitions must have at least one entry',
      { api: { type: 'rest', callers: [{ principal, partitions: [] }] } },
    ],
    ['api.callers.0.partitions is missing', { api: { type: 'rest', callers: [{ principal }] } }],
    [
      'api.usagePlans is set with api.type http, which has none: only REST APIs do',
      { api: { usagePlans: { busy: { requestsPerSecond: 1, burst: 1 } } } },
    ],
    [
      'api.usagePlans.a-b must have only letters and digits, and begin with a letter',
      { api: { type: 'rest', usagePlans: { 'a-b': { requestsPerSecond: 1, burst: 1 } } } },
    ],
    [
      'api.usagePlans.busy.requestsPerSecond is above 10000',
      { api: { type: 'rest', usagePlans: { busy: { requestsPerSecond: 10_001, burst: 1 } } } },
    ],
    ['vpc has no entry for us-east-1', { vpc: { 'us-west-2': VPC['us-west-2'] } }],
    [
      'vpc.us-east-1.subnets.0 is not the ID of a subnet',
      { vpc: { ...VPC, 'us-east-1': { subnets: ['subnet-1'], securityGroups: ['sg-01234567'] } } },
    ],
    [
      'vpc.us-east-1.securityGroups must have at least one entry',
      { vpc: { ...VPC, 'us-east-1': { subnets: ['subnet-01234567'], securityGroups: [] } } },
    ],
    [
      'vpc.us-east-1.subnets names more than Lambda takes, 16',
      { vpc: { ...VPC, 'us-east-1': { subnets: Array(17).fill('subnet-01234567'), securityGroups: ['sg-01234567'] } } },
    ],
    ['endpoints.fips is not boolean', { endpoints: { fips: 'yes' } }],
    [
      'functions.api.provisionedConcurrency is above its reservedConcurrency',
      { functions: { api: { provisionedConcurrency: 3, reservedConcurrency: 2 } } },
    ],
    [
      'functions.queue.provisionedConcurrency is not an option',
      { functions: { queue: { provisionedConcurrency: 1 } } },
    ],
  ] as const)('is refused because %s', async ([fault, changed]) => {
    expect(await faultsOf(changed)).toEqual([`- ${fault}`]);
  });
});

it('the functions run in the VPC and use the endpoint type that deploy.yml selects', async () => {
  const deployment = await read({ vpc: VPC, endpoints: { fips: true, dualStack: true } });
  const vpc = {
    subnetIds: VPC[WEST].subnets,
    securityGroupIds: VPC[WEST].securityGroups,
    ipv6AllowedForDualStack: true,
  };
  expect(appValues(deployment, WEST)).toMatchObject({ vpc, queueFunctions: { queue: { vpc } } });
  expect(environmentsOf(deployment, WEST)['seal']).toMatchObject({
    AWS_USE_FIPS_ENDPOINT: 'true',
    AWS_USE_DUALSTACK_ENDPOINT: 'true',
  });
  const usual = await read({ vpc: VPC });
  expect(appValues(usual, WEST)['vpc']).not.toHaveProperty('ipv6AllowedForDualStack');
  expect(JSON.stringify(environmentsOf(usual, WEST))).not.toMatch(/FIPS|DUALSTACK/);
});

it('the functions run on the architecture that deploy.yml selects', async () => {
  expect(appValues(await read({ architecture: 'x86_64' }), WEST)['architecture']).toBe('x86_64');
});
