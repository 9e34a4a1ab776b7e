/**
 * Checks the templates with cfn-lint, and deploys the key stack to moto. moto cannot deploy aliases, key tags and
 * Global Tables in one stack.
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

  it('reports an error that this test adds', async () => {
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
   * Calls CloudFormation. A client library would be a needless dependency.
   * @returns the response as XML
   */
  const call = async (parameters: Record<string, string>): Promise<string> => {
    const authorization = `AWS4-HMAC-SHA256 Credential=local/20260101/${REGION}/cloudformation/aws4_request`;
    const body = new URLSearchParams({ Version: '2010-05-15', StackName: 'keys', ...parameters });
    const answer = await fetch(moto.endpoint, { method: 'POST', headers: { authorization }, body });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    return text;
  };

  it('the key stack deploys a rotating key under the rendered policy', async () => {
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
    const parameters = Object.entries(given).flatMap(([name, value], i) => [
      [`Parameters.member.${i + 1}.ParameterKey`, name],
      [`Parameters.member.${i + 1}.ParameterValue`, value],
    ]);
    await call({
      Action: 'CreateStack',
      TemplateBody: JSON.stringify(template),
      'Capabilities.member.1': 'CAPABILITY_NAMED_IAM',
      ...(Object.fromEntries(parameters) as Record<string, string>),
    });
    const stack = await call({ Action: 'DescribeStacks' });
    expect(stack).toContain('<StackStatus>CREATE_COMPLETE<');
    const [, KeyId] = /<OutputKey>KeyArn<.OutputKey>\s*<OutputValue>([^<]*)</.exec(stack) ?? [];
    const kms = new KMSClient({ endpoint: moto.endpoint, region: REGION });
    expect(await kms.send(new GetKeyRotationStatusCommand({ KeyId }))).toMatchObject({ KeyRotationEnabled: true });
    const { Policy } = await kms.send(new GetKeyPolicyCommand({ KeyId, PolicyName: 'default' }));
    const { resources } = render('keys', REGION, given);
    // moto has its own account. It returns the policy of a CloudFormation key as an object, not as text.
    const deployed = JSON.stringify(Policy).replaceAll('123456789012', ACCOUNT);
    expect(JSON.parse(deployed)).toEqual(resources['Key']?.Properties['KeyPolicy']);
  });
});
