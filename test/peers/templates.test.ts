/**
 * Checks all templates with cfn-lint. Deploys only the stacks of a key and of the VPC endpoints to moto, because moto
 * cannot deploy a stack that combines aliases, key tags and Global Tables.
 */
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { GetKeyPolicyCommand, GetKeyRotationStatusCommand, KMSClient } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ENTRIES, FLIPPED, packageExample } from '../integration/infra/package.ts';
import { ACCOUNT, render, templateOf } from '../integration/infra/template.ts';
import { pythonOf } from './install.ts';
import { AWS_ENVIRONMENT, startMoto, type PeerServer } from './processes.ts';

Object.assign(process.env, AWS_ENVIRONMENT);

const infra = join(import.meta.dirname, '..', '..', 'infra');
const templates = readdirSync(infra).filter((name) => name.endsWith('.yml'));
const REGION = 'us-west-2';

/** Runs cfn-lint from Python code, because its package cannot be run as a module. */
async function lint(...args: string[]): Promise<{ code: number; said: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number; said: string }>();
  execFile(join(dirname(pythonOf('moto')), 'cfn-lint'), args, (error, stdout, stderr) =>
    resolve({ code: error === null ? 0 : Number(error.code), said: stdout + stderr }),
  );
  return promise;
}

/** The first value of an element in XML. */
function valueIn(xml: string, element: string): string {
  const [, value = ''] = new RegExp(`<${element}>([^<]*)<`).exec(xml) ?? [];
  return value;
}

/** The items of a list in XML, each of which begins with the same element. */
function itemsIn(xml: string, first: string): string[] {
  return xml
    .replaceAll(/>\s+</g, '><')
    .split(`<item><${first}>`)
    .slice(1)
    .map((rest) => `<${first}>${rest}`);
}

describe('cfn-lint', () => {
  it('finds the templates', () => expect(templates).toEqual(expect.arrayContaining(['keys.yml', 'table.yml'])));

  it.for(templates)('reports nothing about %s', async (name) => {
    expect(await lint(join(infra, name))).toEqual({ code: 0, said: '' });
  });

  it.for([
    ['', {}],
    [' with every option reversed', FLIPPED],
    ...Object.entries(ENTRIES).map(([type, changed]) => [` with the entry ${type}`, changed] as const),
  ] as const)(
    'reports nothing about the packaged app%s, except redundant dependencies that osls writes',
    async ([, changed]) => {
      const app = await packageExample(changed);
      const found = await lint('--ignore-checks', 'W3005', '--', app.template);
      await app.remove();
      expect(found).toEqual({ code: 0, said: '' });
    },
  );

  it('reports an error for a file that is not a template', async () => {
    expect(await lint(join(import.meta.dirname, 'browser-packages.json'))).not.toMatchObject({ code: 0 });
  });
});

it('the app can be packaged for an AWS partition that osls does not support', async () => {
  const region = 'eusc-de-east-1';
  const administrators = [`arn:aws-eusc:iam::${ACCOUNT}:role/key-administrator`];
  const app = await packageExample({ regions: [region], administrators }, region);
  await app.remove();
  const arns = JSON.stringify(app.resources).match(/arn:aws[a-z-]*:[^"\\]*/g) ?? [];
  expect(new Set(arns)).toEqual(new Set([`arn:aws-eusc:kms:${region}:${ACCOUNT}:alias/keyfold`]));
});

describe('on moto', () => {
  let moto: PeerServer;

  beforeAll(async () => {
    moto = await startMoto();
  });
  afterAll(() => moto.stop());

  /**
   * Calls a service that uses XML. A client library would be a needless dependency.
   * @returns the response as XML
   */
  const call = async (service: string, parameters: Record<string, string>): Promise<string> => {
    const authorization = `AWS4-HMAC-SHA256 Credential=local/20260101/${REGION}/${service}/aws4_request`;
    const answer = await fetch(moto.endpoint, {
      method: 'POST',
      headers: { authorization },
      body: new URLSearchParams(parameters),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    return text;
  };
  const callEc2 = (Action: string, parameters: Record<string, string> = {}): Promise<string> =>
    call('ec2', { Action, Version: '2016-11-15', ...parameters });

  /**
   * Deploys a stack.
   * @returns the description of the stack as XML
   */
  const deploy = async (StackName: string, template: object, given: Record<string, string>): Promise<string> => {
    const stack = { Version: '2010-05-15', StackName };
    const parameters = Object.entries(given).flatMap(([name, value], i) => [
      [`Parameters.member.${i + 1}.ParameterKey`, name],
      [`Parameters.member.${i + 1}.ParameterValue`, value],
    ]);
    await call('cloudformation', {
      ...stack,
      Action: 'CreateStack',
      TemplateBody: JSON.stringify(template),
      'Capabilities.member.1': 'CAPABILITY_NAMED_IAM',
      ...(Object.fromEntries(parameters) as Record<string, string>),
    });
    const description = await call('cloudformation', { ...stack, Action: 'DescribeStacks' });
    expect(description).toContain('<StackStatus>CREATE_COMPLETE<');
    return description;
  };

  it('the key stack deploys a key that has rotation and the rendered policy', async () => {
    const given = {
      Classification: 'confidential',
      AdministratorArns: `arn:aws:iam::${ACCOUNT}:role/key-administrator`,
      // With these parameters, the policy has all its statements. moto leaves null in place of a statement whose
      // condition is false.
      ViaServices: 'dynamodb.us-west-2.amazonaws.com',
      EncryptingPrincipalArns: 'arn:aws:iam::444455556666:role/writer',
      DecryptingPrincipalArns: 'arn:aws:iam::444455556666:root',
      GrantingPrincipalArns: `arn:aws:iam::${ACCOUNT}:role/granter`,
      KeyRegions: 'us-west-2,us-east-1',
    };
    const template = templateOf('keys');
    const properties = template.Resources['Key']?.['Properties'] as { Tags?: unknown };
    delete properties.Tags;
    const stack = await deploy('keys', template, given);
    const [, KeyId] = /<OutputKey>KeyArn<.OutputKey>\s*<OutputValue>([^<]*)</.exec(stack) ?? [];
    const kms = new KMSClient({ endpoint: moto.endpoint, region: REGION });
    expect(await kms.send(new GetKeyRotationStatusCommand({ KeyId }))).toMatchObject({ KeyRotationEnabled: true });
    const { Policy } = await kms.send(new GetKeyPolicyCommand({ KeyId, PolicyName: 'default' }));
    const { resources } = render('keys', REGION, given);
    // moto uses its own account ID. It returns the policy of a CloudFormation key as an object, not as text.
    const deployed = JSON.stringify(Policy).replaceAll('123456789012', ACCOUNT);
    expect(JSON.parse(deployed)).toEqual(resources['Key']?.Properties['KeyPolicy']);
  });

  describe('the stack of the endpoints', () => {
    let given: Record<string, string>;
    let stack: string;

    beforeAll(async () => {
      const VpcId = valueIn(await callEc2('CreateVpc', { CidrBlock: '10.0.0.0/16' }), 'vpcId');
      const subnetIn = async (zone: string, CidrBlock: string): Promise<string> =>
        valueIn(await callEc2('CreateSubnet', { VpcId, CidrBlock, AvailabilityZone: `${REGION}${zone}` }), 'subnetId');
      const lists = itemsIn(await callEc2('DescribeManagedPrefixLists'), 'prefixListId');
      const list = lists.find((one) => valueIn(one, 'prefixListName') === `com.amazonaws.${REGION}.dynamodb`) ?? '';
      given = {
        VpcId,
        SubnetIds: `${await subnetIn('a', '10.0.0.0/24')},${await subnetIn('b', '10.0.1.0/24')}`,
        RouteTableIds: valueIn(await callEc2('CreateRouteTable', { VpcId }), 'routeTableId'),
        DynamoDbPrefixListId: valueIn(list, 'prefixListId'),
        HasQueue: 'true',
        OtherKmsRegion1: 'us-east-1',
        OtherKmsRegion2: 'eu-west-1',
        OtherKmsRegion3: 'ap-southeast-2',
      };
      stack = await deploy('endpoints', templateOf('endpoints'), given);
    });

    it('deploys each endpoint with its policy, and with private DNS if it is an interface endpoint', async () => {
      const deployed = itemsIn(await callEc2('DescribeVpcEndpoints'), 'vpcEndpointId').map((endpoint) => ({
        name: /<key>aws:cloudformation:logical-id<.key>\s*<value>([^<]*)</.exec(endpoint)?.[1],
        service: valueIn(endpoint, 'serviceName'),
        privateDns: valueIn(endpoint, 'privateDnsEnabled'),
        at: [...endpoint.matchAll(/<item>((?:subnet|rtb)-[^<]*)</g)].map(([, id]) => id).join(),
        // moto uses its own account ID. It returns the policy as a Python dictionary.
        policy: JSON.parse(
          valueIn(endpoint, 'policyDocument').replaceAll("'", '"').replaceAll('123456789012', ACCOUNT),
        ) as unknown,
      }));
      const { resources } = render('endpoints', REGION, given);
      const of = (name: string, service: string): object => {
        const isGateway = service.endsWith('.dynamodb');
        const [privateDns, at] = isGateway ? ['', given['RouteTableIds']] : ['true', given['SubnetIds']];
        return { name, service, privateDns, at, policy: resources[name]?.Properties['PolicyDocument'] };
      };
      expect(deployed).toEqual([
        of('DynamoDbEndpoint', 'com.amazonaws.us-west-2.dynamodb'),
        of('KmsEndpoint', 'com.amazonaws.us-west-2.kms'),
        of('OtherKmsEndpoint1', 'com.amazonaws.us-east-1.kms'),
        of('OtherKmsEndpoint2', 'com.amazonaws.eu-west-1.kms'),
        of('OtherKmsEndpoint3', 'com.amazonaws.ap-southeast-2.kms'),
        of('SqsEndpoint', 'com.amazonaws.us-west-2.sqs'),
      ]);
    });

    // moto ignores the groups' outbound rules.
    it("accepts connections only from the functions' security group, and only on port 443", async () => {
      const groups = itemsIn(await callEc2('DescribeSecurityGroups'), 'groupId');
      const open = groups.filter((one) => one.includes('<fromPort>443<'));
      expect(open.map((one) => valueIn(one, 'groupDescription'))).toEqual(['VPC endpoints of Keyfold']);
      const [, ...sources] = (open[0] ?? '').matchAll(/<groupId>([^<]*)</g);
      expect(sources.map(([, id]) => id)).toEqual([valueIn(stack, 'OutputValue')]);
    });
  });
});
