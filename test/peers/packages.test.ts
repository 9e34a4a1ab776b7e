import { rm } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { packageFolder } from '../../deploy/package.ts';
import { namesOf as commandsOf, startCli } from '../integration/infra/aws-cli.ts';
import { FLIPPED, packageExample, VPC } from '../integration/infra/package.ts';

describe('provisioned concurrency', () => {
  it.for([
    ['http', 'ApiLambdaPermissionHttpApi', 'HttpApiIntegrationApi'],
    ['rest', 'RestPermission', 'RestMethod'],
    ['functionUrl', 'FunctionUrl', 'FunctionUrl'],
  ] as const)('of the api function serves callers through the entry point %s', async ([type, one, other]) => {
    const functions = { api: { provisionedConcurrency: 2 } };
    const app = await packageExample({ api: { type }, functions });
    await app.remove();
    const { Properties } = app.resources['ApiProvConcLambdaAlias'] ?? {};
    expect(Properties).toMatchObject({
      Name: 'provisioned',
      ProvisionedConcurrencyConfig: { ProvisionedConcurrentExecutions: 2 },
    });
    for (const name of [one, other]) {
      expect(JSON.stringify(app.resources[name])).toMatch(/ApiProvConcLambdaAlias|"provisioned"/);
      expect(JSON.stringify(app.resources[name]?.Properties)).toMatch(/ApiProvConcLambdaAlias|"provisioned"/);
    }
    const version = Object.keys(app.resources).find((name) => name.startsWith('ApiLambdaVersion'));
    expect(Properties?.['FunctionVersion']).toEqual({ 'Fn::GetAtt': [version, 'Version'] });
    expect(Object.keys(app.resources).filter((name) => /^(?:Seal|Open)(?:LambdaVersion|Prov)/.test(name))).toEqual([]);
  });

  it('publishes a new version if the VPC or the environment key changes, even if the code does not', async () => {
    const versions = await [{}, { vpc: VPC }, { environmentKeys: FLIPPED.environmentKeys }].reduce<Promise<string[]>>(
      async (before, changed) => {
        const found = await before;
        const app = await packageExample({ ...changed, functions: { seal: { provisionedConcurrency: 1 } } });
        await app.remove();
        return [...found, ...Object.keys(app.resources).filter((name) => name.startsWith('SealLambdaVersion'))];
      },
      Promise.resolve([]),
    );
    expect(new Set(versions).size).toBe(3);
  });
});

describe('npm run deploy without --yes', () => {
  it('packages the app, and prints what a deployment would change', async () => {
    const cli = await startCli();
    const there = { Resources: { HttpApi: { Type: 'AWS::ApiGatewayV2::Api' }, Gone: { Type: 'AWS::SNS::Topic' } } };
    const outcome = await cli.deploy(
      ['app'],
      {
        'cloudformation describe-stacks': { Stacks: [{ StackStatus: 'UPDATE_COMPLETE' }] },
        'cloudformation get-template': { TemplateBody: there },
      },
      { regions: ['us-west-2'], prefix: 'trial' },
    );
    await Promise.all([cli.remove(), rm(packageFolder({ prefix: 'trial' }, '.'), { recursive: true })]);
    expect(outcome.said).toContain('trial-app in us-west-2:');
    expect(outcome.said).toContain('Modify HttpApi (AWS::ApiGatewayV2::Api)');
    expect(outcome.said).toContain('Remove Gone (AWS::SNS::Topic)');
    expect(outcome.said).toContain('Add SealLambdaFunction (AWS::Lambda::Function)');
    expect(commandsOf(outcome)).toEqual([
      'sts get-caller-identity',
      'cloudformation describe-stacks',
      'cloudformation get-template',
    ]);
  });
});
