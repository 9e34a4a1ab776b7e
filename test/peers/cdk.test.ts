/** Compares the functions that `keyfold/cdk` synthesizes with the templates that `npm run deploy` deploys. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AwsSolutionsChecks } from 'cdk-nag';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KeyfoldApi, KeyfoldQueue, KeyTable, SymmetricKey } from '../../src/cdk/index.ts';
import { normalized, removeOutputs, stackOf, synthesize } from '../support/cdk.ts';
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

describe('the CDK constructs', () => {
  const packages: Record<string, AppPackage> = {};
  const folderOf = (name: string): string => dirname(packages[name]?.template ?? '');

  beforeAll(async () => {
    packages['an HTTP API'] = await packageExample({});
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

  it.for(['an HTTP API', 'every option reversed', 'a REST API', 'no queue'])(
    'have the same resources as the packaged app with %s',
    (name) => {
      const { nested } = synthesize(appOf(name).stack);
      const [api, queue] = [nested['keyfold/Api/Stack'], nested['keyfold/Queue/Stack']];
      expect(comparable({ ...api?.Resources, ...queue?.Resources })).toEqual(
        comparable(packages[name]?.resources ?? {}),
      );
      expect(nested['keyfold/Api/Roles']).toEqual(normalized(templateOf('roles')));
    },
  );

  it('place the resources of KeyfoldQueue only in the stack of KeyfoldQueue', () => {
    const { nested } = synthesize(appOf('an HTTP API').stack);
    const without = Object.keys(comparable(packages['no queue']?.resources ?? {})).toSorted();
    expect(Object.keys(nested['keyfold/Api/Stack']?.Resources ?? {}).toSorted()).toEqual(without);
  });

  it.for(['SymmetricKey', 'KeyTable', 'KeyfoldApi', 'KeyfoldQueue'] as const)(
    'throw an error that names the option if an option of %s has a bad value',
    (name) => {
      const packageFolder = folderOf('an HTTP API');
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

  it.for([
    ['an HTTP API', '"HttpApi","ApiEndpoint"'],
    ['a REST API', 'https://${RestApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/live'],
    ['a function URL', '"FunctionUrl","FunctionUrl"'],
  ] as const)('have the property url, which is the address of %s', ([name, url]) => {
    const { stack, api } = appOf(name);
    expect(JSON.stringify(stack.resolve(api.url))).toContain('Outputs.ApiUrl');
    const { Outputs } = synthesize(stack).nested['keyfold/Api/Stack'] ?? {};
    expect(JSON.stringify(Outputs?.['ApiUrl'])).toContain(url);
  });

  it('cause only the AwsSolutions findings that docs/how-to/deploy-with-the-cdk.md explains', () => {
    const { stack } = appOf('an HTTP API');
    const { violations } = new AwsSolutionsChecks().validateScope(stack.node.root);
    const found = violations.map(({ ruleName }) => ruleName.replace(/\[.*/, ''));
    const page = readFileSync(join(import.meta.dirname, '../../docs/how-to/deploy-with-the-cdk.md'), 'utf8');
    const explained = [...page.matchAll(/^\| `(AwsSolutions-\w+)` /gm)].map(([, rule = '']) => rule);
    expect([...new Set(found)].toSorted()).toEqual(explained.toSorted());
  });
});
