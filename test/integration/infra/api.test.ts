/** The entries that deploy.yml may ask for: what each puts into the stack, and what does not go together. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { yamlParse } from 'yaml-cfn';
import { alarmResources } from '../../../deploy/alarms.ts';
import { apiParts, type ApiParts } from '../../../deploy/api.ts';
import { appValues } from '../../../deploy/app.ts';
import type { Deployment } from '../../../deploy/deployment.ts';
import { readDeployment } from '../../../deploy/read-deployment.ts';
import { EXAMPLE } from './aws-cli.ts';
import { COGNITO, ENTRIES } from './package.ts';

const WEST = 'us-west-2';
const ACCOUNT = '111122223333';
const DOMAIN = ENTRIES.http.api.domain;
const ENDPOINTS = ENTRIES.private.api.vpcEndpoints;

let folder: string;
let example: object;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-api-'));
  example = yamlParse(await readFile(EXAMPLE, 'utf8')) as object;
});
afterAll(() => rm(folder, { recursive: true }));

async function read(changed: object): Promise<Deployment> {
  const file = join(folder, 'deploy.yml');
  await writeFile(file, JSON.stringify({ ...example, ...changed }));
  return readDeployment(file);
}

async function faultsOf(changed: object): Promise<string[]> {
  return read(changed).then(
    () => [],
    (error: Error) => error.message.split('\n- ').slice(1),
  );
}

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

describe('api.type', () => {
  it('"http" creates only the routes of an HTTP API, each with its authorizer', async () => {
    const parts = await partsOf({});
    expect(parts.events).toHaveLength(5);
    expect(JSON.stringify(parts.events).match(/"type":"aws_iam"/g)).toHaveLength(5);
    expect([parts.resources, parts.outputs, parts.cors]).toEqual([{}, {}, false]);
  });

  it('"rest" creates a REST API with one catch-all route and IAM authorization', async () => {
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
    expect(propertiesOf(parts, 'RestApi')).toEqual({ Name: 'keyfold', EndpointConfiguration: { Types: ['REGIONAL'] } });
    expect(propertiesOf(parts, 'RestMethod')).toMatchObject({
      HttpMethod: 'ANY',
      AuthorizationType: 'AWS_IAM',
      Integration: { Type: 'AWS_PROXY', IntegrationHttpMethod: 'POST' },
    });
    expect(propertiesOf(parts, 'RestResource')).toMatchObject({ PathPart: '{proxy+}' });
    expect(propertiesOf(parts, 'RestPermission')).toMatchObject({ Principal: 'apigateway.amazonaws.com' });
    expect(JSON.stringify(propertiesOf(parts, 'RestPermission')['SourceArn'])).toContain('${RestApi}/*');
  });

  it('"rest" throttles requests, and logs them without their path to a log group that outlives the stack', async () => {
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

  it('"private" denies calls through other VPC endpoints, and allows other calls itself only if callers use tokens', async () => {
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
    expect(Object.keys(parts.outputs)).toEqual(['ApiUrl']);
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

describe('api.domain', () => {
  it.for([
    ['http', 'HttpApi', 'HttpApiStage'],
    ['rest', 'RestApi', 'RestStage'],
  ] as const)(
    'maps the domain to the stage of an API of the type "%s", and puts its DNS target into the outputs',
    async ([type, api, stage]) => {
      const parts = await partsOf({ api: { type, domain: DOMAIN } });
      expect(propertiesOf(parts, 'ApiDomain')).toEqual({
        DomainName: 'keyfold.example.com',
        DomainNameConfigurations: [
          { CertificateArn: DOMAIN.certificates[WEST], EndpointType: 'REGIONAL', SecurityPolicy: 'TLS_1_2' },
        ],
      });
      expect(propertiesOf(parts, 'ApiDomainMapping')).toMatchObject({ ApiId: { Ref: api }, Stage: { Ref: stage } });
      expect(Object.keys(parts.outputs)).toEqual(['ApiDomainTarget', 'ApiDomainZone']);
    },
  );
});

describe('api.cors', () => {
  const cors = { origins: ['https://app.example.com'] };

  it('allows the origins on an HTTP API, where only preflight requests need no authorization', async () => {
    const parts = await partsOf({ api: { cors } });
    expect(parts.cors).toMatchObject({ allowedOrigins: cors.origins, allowedMethods: ['GET', 'POST'] });
    const open = parts.events.filter((event) => !JSON.stringify(event).includes('aws_iam'));
    expect(open).toEqual([{ httpApi: { method: 'OPTIONS', path: '/{proxy+}' } }]);
  });

  it('allows the origins on a function URL', async () => {
    const parts = await partsOf({ api: { type: 'functionUrl', cors } });
    expect(propertiesOf(parts, 'FunctionUrl')['Cors']).toMatchObject({ AllowOrigins: cors.origins });
  });
});

describe('deploy.yml', () => {
  const [west, east] = [{ 'us-west-2': ENDPOINTS['us-west-2'] }, DOMAIN.certificates['us-east-1']];
  it.for([
    [{ api: { type: 'alb' } }, 'api.type is none of http, rest, private and functionUrl'],
    [{ architecture: 'x86' }, 'architecture is neither arm64 nor x86_64'],
    [{ api: { cors: { origins: ['*'] } } }, 'api.cors.origins.0 is no https origin'],
    [{ api: { cors: { origins: ['http://app.example.com'] } } }, 'api.cors.origins.0 is no https origin'],
    [{ api: { cors: { origins: ['https://app.example.com/'] } } }, 'api.cors.origins.0 is no https origin'],
    [{ api: { cors: { origins: [] } } }, 'api.cors.origins must have at least one entry'],
    [{ api: { domain: { ...DOMAIN, name: 'Keyfold' } } }, 'api.domain.name is no domain'],
    [
      { api: { domain: { ...DOMAIN, certificates: { ...DOMAIN.certificates, 'us-west-2': east } } } },
      'api.domain.certificates.us-west-2 is of another region',
    ],
    [
      { api: { domain: { ...DOMAIN, certificates: { 'us-east-1': east } } } },
      'api.domain.certificates has no entry for us-west-2',
    ],
    [{ api: { type: 'functionUrl', domain: DOMAIN } }, 'api.domain is there with api.type functionUrl, which has none'],
    [
      { api: { type: 'private', domain: DOMAIN, vpcEndpoints: ENDPOINTS } },
      'api.domain is there with api.type private, which has none',
    ],
    [
      { api: { type: 'rest', cors: { origins: ['https://a.example'] } } },
      'api.cors is there with api.type rest, which has none',
    ],
    [{ api: { type: 'private' } }, 'api.vpcEndpoints is not there with api.type private'],
    [{ api: { type: 'rest', vpcEndpoints: ENDPOINTS } }, 'api.vpcEndpoints is there without api.type private'],
    [{ api: { type: 'private', vpcEndpoints: west } }, 'api.vpcEndpoints has no entry for us-east-1'],
    [
      { api: { type: 'private', vpcEndpoints: { ...ENDPOINTS, 'eu-west-1': ['vpce-01234567'] } } },
      'api.vpcEndpoints names eu-west-1, which is not among the regions',
    ],
    [
      { api: { type: 'private', vpcEndpoints: { ...ENDPOINTS, 'us-east-1': ['vpc-1'] } } },
      'api.vpcEndpoints.us-east-1.0 is no id of a VPC endpoint',
    ],
    [
      { api: { type: 'functionUrl' }, http: { ...COGNITO, audience: ['a'] } },
      'http.auth is not iam, and a function URL has no other authorizer',
    ],
    [
      { api: { type: 'rest' }, http: { ...COGNITO, issuer: 'https://login.example.com/' } },
      'http.issuer is no Cognito user pool, and an API of the type rest checks no other tokens',
    ],
    [
      { api: { type: 'rest' }, http: { ...COGNITO, audience: ['a'] } },
      'http.audience is there with api.type rest, which does not check it',
    ],
  ] as const)('is refused with %j, because %s', async ([changed, fault]) => {
    expect(await faultsOf(changed)).toEqual([fault]);
  });
});

it('the functions run on the architecture of deploy.yml', async () => {
  expect(appValues(await read({ architecture: 'x86_64' }), WEST)['architecture']).toBe('x86_64');
});
