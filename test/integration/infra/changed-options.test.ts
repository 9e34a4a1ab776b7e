/**
 * Changes each option of deploy.yml, and compares the stacks that change with the commands that
 * docs/reference/iam-and-stacks.md names for the option.
 */
import { expect, it } from 'vitest';
import { appValues } from '../../../deploy/app.ts';
import { deploymentSchema, type Deployment } from '../../../deploy/deployment.ts';
import { keyStacks, roleStacks, tableStacks } from '../../../deploy/stacks.ts';
import { read as readPage } from '../../support/documents.ts';
import { read } from './changed-example.ts';

const NO_ROLES = { encrypt: [], decrypt: [] };
const ROLE = 'arn:aws:iam::111122223333:role/other';
const KEY = 'arn:aws:kms:us-west-2:111122223333:key/1';
const NETWORK = { subnets: ['subnet-0123456789abcdef0'], securityGroups: ['sg-0123456789abcdef0'] };

/** The names of deployed resources contain these options, so the options cannot change. */
const FIXED = ['account', 'prefix', 'service', 'product', 'keyName', 'tableName', 'regionSuffix'];

const CHANGES: Readonly<Record<string, object>> = {
  regions: { regions: ['us-west-2', 'us-east-1', 'eu-west-1'] },
  administrators: { administrators: [ROLE, `${ROLE}-2`] },
  strictKeys: { administrators: [ROLE, `${ROLE}-2`], strictKeys: { encrypt: [`${ROLE}-3`] } },
  alarmEmail: { alarmEmail: 'other@example.com' },
  alarmTopics: { alarmTopics: { 'us-west-2': 'arn:aws:sns:us-west-2:111122223333:oncall' } },
  storageKeys: { storageKeys: { 'us-west-2': KEY } },
  classification: { classification: 'private' },
  tableWriters: { tableWriters: [ROLE] },
  tableKeyName: { tableKeyName: 'table' },
  permissionsBoundary: { permissionsBoundary: 'arn:aws:iam::111122223333:policy/boundary' },
  'queue.kind': { queue: { kind: 'fifo' } },
  'queue.batchSize': { queue: { kind: 'standard', batchSize: 9 } },
  tracing: { tracing: true },
  vpc: { vpc: { 'us-west-2': NETWORK, 'us-east-1': NETWORK } },
  http: { http: { burst: 1 } },
  api: { api: { type: 'rest' } },
  endpoints: { endpoints: { fips: true } },
  architecture: { architecture: 'x86_64' },
  functions: { functions: { api: { memoryMb: 512 } } },
  environmentKeys: { environmentKeys: { 'us-west-2': KEY } },
  logFormat: { logFormat: 'json' },
  applicationLogLevel: { logFormat: 'json', applicationLogLevel: 'DEBUG' },
  systemLogLevel: { logFormat: 'json', systemLogLevel: 'WARN' },
  logRetentionDays: { logRetentionDays: 30 },
  settings: { settings: { POWERTOOLS_LOG_LEVEL: 'ERROR' } },
};

/** For each option, the commands that docs/reference/iam-and-stacks.md names. */
const DOCUMENTED = new Map(
  [...readPage('docs/reference/iam-and-stacks.md').matchAll(/^\| (`[\w.`, ]+`|any other option) +\| (`deploy[^;|]*)/gm)]
    .map(([, options = '', commands = '']) => ({
      options: options.replaceAll('`', '').split(', '),
      commands: [...commands.matchAll(/`([\w:]+)`/g)].map(([, name]) => name),
    }))
    .flatMap(({ options, commands }) => options.map((option) => [option, commands] as const)),
);

/** What each command would deploy. */
function stacksOf(deployment: Deployment): Record<string, unknown> {
  return {
    'deploy:keys': keyStacks(deployment, NO_ROLES),
    'deploy:table': tableStacks(deployment, deployment.regions),
    'deploy:roles': roleStacks(deployment),
    deploy: deployment.regions.map((region) => appValues(deployment, region)),
  };
}

it('every option of deploy.yml is in this test', () => {
  const options = Object.keys(CHANGES).map((option) => option.split('.')[0]);
  expect(new Set([...FIXED, ...options])).toEqual(new Set(Object.keys(deploymentSchema.entries)));
});

it('every option that docs/reference/iam-and-stacks.md names is in this test', () => {
  expect([...DOCUMENTED.keys()].filter((option) => !Object.hasOwn(CHANGES, option))).toEqual(['any other option']);
});

it.for(Object.entries(CHANGES))(
  'docs/reference/iam-and-stacks.md names the commands to run after a change of %s',
  async ([option, changed]) => {
    const [before, after] = [stacksOf(await read({})), stacksOf(await read(changed))];
    const commands = Object.keys(after).filter((name) => JSON.stringify(after[name]) !== JSON.stringify(before[name]));
    expect(commands).toEqual(DOCUMENTED.get(option) ?? DOCUMENTED.get('any other option'));
  },
);
