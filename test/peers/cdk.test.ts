/** Compares the functions that `keyfold/cdk` synthesizes with the templates that `npm run deploy` deploys. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { AwsSolutionsChecks } from 'cdk-nag';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KeyfoldApi, KeyfoldQueue, KeyTable, SymmetricKey } from '../../src/cdk/index.ts';
import { ENV, normalized, removeOutputs, stackOf, synthesize } from '../support/cdk.ts';
import { ENTRIES, FLIPPED, packageExample, type AppPackage } from '../integration/infra/package.ts';
import { templateOf } from '../integration/infra/template.ts';
import { hostile, withValueAt } from '../support/hostile.ts';
import { isNamed } from '../support/public-function.ts';

const ADMINISTRATOR = 'arn:aws:iam::111122223333:role/key-administrator';
const KEY = { classification: 'confidential', administrators: [ADMINISTRATOR] };
const TABLE = { classification: 'confidential' };

/**
 * The parts of resources that must be the same in both templates. The bucket of osls, the code and references to other
 * parts of the deployment may differ.
 */
function comparable(resources: object): object {
  const kept = Object.entries(resources).filter(([name]) => !name.startsWith('ServerlessDeploymentBucket'));
  return normalized(
    JSON.parse(JSON.stringify(Object.fromEntries(kept)), (name, value: unknown) => {
      if (name === 'Code') return 'the code';
      const isElsewhere = /^\{"Ref":"(?:referenceto\w+|AlarmTopic)"\}$/.test(JSON.stringify(value) ?? '');
      return name === 'Role' || isElsewhere ? 'of another part' : value;
    }),
  ) as object;
}

afterAll(removeOutputs);

describe('KeyfoldApi and KeyfoldQueue', () => {
  const packages: Record<string, AppPackage> = {};
  const folderOf = (name: string): string => dirname(packages[name]?.template ?? '');

  beforeAll(async () => {
    packages['the example'] = await packageExample({});
    packages['every option reversed'] = await packageExample(FLIPPED);
    const { functions } = ENTRIES.restWithCallers;
    packages['a REST API'] = await packageExample({ ...ENTRIES.rest, functions });
    packages['a function URL'] = await packageExample(ENTRIES.functionUrl);
    packages['no queue'] = await packageExample({ queue: { kind: 'none' } });
  }, 120_000);
  afterAll(() => Promise.all(Object.values(packages).map((one) => one.remove())));

  /** A stack with both constructs, and with the key and the table. */
  function appOf(name: string): { readonly stack: ReturnType<typeof stackOf>; readonly api: KeyfoldApi } {
    const stack = stackOf();
    const key = new SymmetricKey(stack, 'Key', KEY);
    const table = new KeyTable(stack, 'Table', {
      ...TABLE,
      ...(name === 'every option reversed' && { tableName: 'Keys' }),
    });
    const api = new KeyfoldApi(stack, 'Api', { packageFolder: folderOf(name), key, table });
    if (name !== 'no queue') new KeyfoldQueue(stack, 'Queue', { api });
    return { stack, api };
  }

  it.for(['the example', 'every option reversed', 'a REST API', 'no queue'])(
    'together have the same resources as the package with %s',
    (name) => {
      const { nested } = synthesize(appOf(name).stack);
      const [api, queue] = [nested['keyfold/Api/Stack'], nested['keyfold/Queue/Stack']];
      expect(comparable({ ...api?.Resources, ...queue?.Resources })).toEqual(
        comparable(packages[name]?.resources ?? {}),
      );
      expect(nested['keyfold/Api/Roles']).toEqual(normalized(templateOf('roles')));
    },
  );

  it('give every function its own role, and the code from its zip', () => {
    const { nested, stack } = synthesize(appOf('the example').stack);
    const functions = Object.values(nested).flatMap(({ Resources }) =>
      Object.values(Resources).filter(({ Type }) => Type === 'AWS::Lambda::Function'),
    );
    const roles = functions.map(({ Properties = {} }) => {
      const { Ref = '' } = Properties['Role'] as { Ref?: string };
      return `${Properties['FunctionName'] as string} ${/Outputs(\w+)$/.exec(Ref)?.[1]}`;
    });
    expect(roles.toSorted()).toEqual([
      'keyfold-api ApiRoleArn',
      'keyfold-maintenance MaintenanceRoleArn',
      'keyfold-open OpenRoleArn',
      'keyfold-queue QueueRoleArn',
      'keyfold-seal SealRoleArn',
    ]);
    const codes = functions.map(({ Properties = {} }) => Properties['Code'] as { S3Bucket: unknown; S3Key: string });
    expect(codes.every(({ S3Key }) => /^[0-9a-f]{64}\.zip$/.test(S3Key))).toBe(true);
    // seal and open have the same code.
    expect(new Set(codes.map(({ S3Key }) => S3Key)).size).toBe(4);
    expect(Object.keys(stack.Resources)).toContain('Roles');
  });

  it("place the queue's resources only in the queue's stack", () => {
    const { nested } = synthesize(appOf('the example').stack);
    const without = Object.keys(comparable(packages['no queue']?.resources ?? {})).toSorted();
    expect(Object.keys(nested['keyfold/Api/Stack']?.Resources ?? {}).toSorted()).toEqual(without);
  });

  it('let a role invoke the alias of a function that has provisioned concurrency', () => {
    const { stack, api } = appOf('a REST API');
    const writer = new Role(stack, 'Writer', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    api.sealFunction.grantInvoke(writer);
    api.openFunction.grantInvoke(writer);
    const { Resources } = synthesize(stack).stack;
    const policies = JSON.stringify(Object.values(Resources).filter(({ Type }) => Type === 'AWS::IAM::Policy'));
    expect(policies).toContain('SealProvConcLambdaAlias');
    expect(policies).not.toContain('SealLambdaFunction');
    expect(policies).toContain('OpenLambdaFunction');
  });

  it('can let a role encrypt but not decrypt', () => {
    const { stack, api } = appOf('no queue');
    const writer = new Role(stack, 'Writer', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    api.sealFunction.grantInvoke(writer);
    const { Resources } = synthesize(stack).stack;
    const policies = JSON.stringify(Object.values(Resources).filter(({ Type }) => Type === 'AWS::IAM::Policy'));
    expect(policies).toContain('SealLambdaFunction');
    expect(policies).not.toContain('OpenLambdaFunction');
  });

  it('refuse a package that does not fit the stack', () => {
    const packageFolder = folderOf('no queue');
    const apiIn = (stack: ReturnType<typeof stackOf>, more: object = {}): KeyfoldApi =>
      new KeyfoldApi(stack, 'Api', { packageFolder, ...more });
    expect(() => apiIn(stackOf('keyfold', { ...ENV, region: 'eu-west-1' }))).toThrow('is for another region');
    expect(() => apiIn(stackOf('keyfold', { ...ENV, account: '444455556666' }))).toThrow('is for another account');
    expect(() => apiIn(stackOf('keyfold-in-production'))).toThrow("The stack's name must have at most 20 characters");
    const stack = stackOf();
    const key = new SymmetricKey(stack, 'Key', { ...KEY, name: 'private' });
    expect(() => apiIn(stack, { key })).toThrow('is for another key than the stack');
    const table = new KeyTable(stack, 'Table', { ...TABLE, tableName: 'Keys' });
    expect(() => new KeyfoldApi(stack, 'Api2', { packageFolder, table })).toThrow('is for another table');
    expect(() => apiIn(stackOf(), { packageFolder: import.meta.dirname })).toThrow(
      "props.packageFolder must be a region's folder that npm run package has written.",
    );
    expect(() => apiIn(stackOf(), { key: 'keyfold' })).toThrow('props.key must be a SymmetricKey');
    expect(() => apiIn(undefined as never)).toThrow('scope must be a construct');
    const full = stackOf();
    apiIn(full);
    expect(() => new KeyfoldApi(full, 'Api2', { packageFolder })).toThrow('A stack can contain only one KeyfoldApi');
    const api = apiIn(stackOf());
    expect(() => new KeyfoldQueue(api, 'Queue', { api })).toThrow('props.api has no queue: set queue.kind');
    expect(() => new KeyfoldQueue(api, 'Queue2', { api: 'api' as never })).toThrow('props.api must be a KeyfoldApi');
  });

  it.for(['SymmetricKey', 'KeyTable', 'KeyfoldApi', 'KeyfoldQueue'] as const)(
    '%s either works or throws an error that names the option, whatever one option is',
    (name) => {
      const packageFolder = folderOf('the example');
      const valid = {
        SymmetricKey: { ...KEY, policyRegions: ['us-west-2'], viaServices: [], keyNumber: 1, standing: 'current' },
        KeyTable: { ...TABLE, tableName: 'Keys', replicaRegions: ['us-east-1'], writers: [ADMINISTRATOR] },
        KeyfoldApi: { packageFolder, key: undefined, table: undefined },
        KeyfoldQueue: { api: undefined },
      }[name];
      const construct = { SymmetricKey, KeyTable, KeyfoldApi, KeyfoldQueue }[name];
      const property = fc.property(fc.nat(), hostile, (at, make) => {
        const [props] = withValueAt([valid], at, make()) as [never];
        try {
          return new construct(stackOf(), 'Made', props).node.id === 'Made';
        } catch (error) {
          isNamed(error);
          return error instanceof TypeError;
        }
      });
      fc.assert(property, { numRuns: 60 });
    },
  );

  it('work in a stack without an account or a region', () => {
    const stack = stackOf('keyfold', {});
    const api = new KeyfoldApi(stack, 'Api', { packageFolder: folderOf('the example') });
    expect(JSON.stringify(stack.resolve(api.url))).toContain('Outputs.ApiUrl');
  });

  it.for([
    ['the example', '"HttpApi","ApiEndpoint"'],
    ['a REST API', 'https://${RestApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/live'],
    ['a function URL', '"FunctionUrl","FunctionUrl"'],
  ] as const)('know the URL of the entry of %s', ([name, url]) => {
    const { stack, api } = appOf(name);
    expect(JSON.stringify(stack.resolve(api.url))).toContain('Outputs.ApiUrl');
    const { Outputs } = synthesize(stack).nested['keyfold/Api/Stack'] ?? {};
    expect(JSON.stringify(Outputs?.['ApiUrl'])).toContain(url);
  });

  it('cause only the AwsSolutions findings that the page explains', () => {
    const { stack } = appOf('the example');
    const { violations } = new AwsSolutionsChecks().validateScope(stack.node.root);
    const found = violations.map(({ ruleName }) => ruleName.replace(/\[.*/, ''));
    const page = readFileSync(join(import.meta.dirname, '../../docs/how-to/deploy-with-the-cdk.md'), 'utf8');
    const explained = [...page.matchAll(/^\| `(AwsSolutions-\w+)` /gm)].map(([, rule = '']) => rule);
    expect([...new Set(found)].toSorted()).toEqual(explained.toSorted());
  });
});
