/** Checks the IAM policies of all templates with cloudsplaining, a linter for least privilege. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ACCOUNT, render } from '../integration/infra/template.ts';
import { pythonOf } from './install.ts';

const REGION = 'us-west-2';
/** The parameters with which each template has all its policies. */
const GIVEN = {
  keys: {
    Classification: 'confidential',
    AdministratorArns: `arn:aws:iam::${ACCOUNT}:role/key-administrator`,
    KeyRegions: REGION,
  },
  roles: {
    KeyRegions: REGION,
    Service: 'orders',
    Product: 'shop',
    TableKeyName: 'table',
    InputQueueName: 'keyfold-input',
    Tracing: 'true',
    InVpc: 'true',
  },
  reencrypt: {
    RowsTableName: 'Customers',
    Fields: '["card"]',
    Verb: 'rewrap',
    Service: 'orders',
    Product: 'shop',
    KmsKeys: '{"us-west-2":"alias"}',
    KeyRegions: REGION,
    TableKeyName: 'table',
  },
  deployers: {},
};
const TEMPLATES = ['keys', 'roles', 'reencrypt', 'deployers'] as const;

/** The findings that we accept, and the reason. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'roles NetworkPolicy network: InfrastructureModification':
    "Lambda makes the network interfaces, whose ARNs are not known before, so AWS's own policy for it also names every resource. The next statement denies the same calls to the functions' code",
};

/**
 * The policies of a template. A policy's name consists of its template, its resource and, inside a role, its own name.
 */
function policiesOf(template: keyof typeof GIVEN): [string, unknown][] {
  const { resources } = render(template, REGION, GIVEN[template]);
  return Object.entries(resources).flatMap(([name, { Type, Properties }]): [string, unknown][] => {
    if (!/^AWS::IAM::(?:Role|Policy|ManagedPolicy)$/.test(Type)) return [];
    const own = (Properties['Policies'] ?? [Properties]) as { PolicyName?: string; PolicyDocument: unknown }[];
    return own.map(({ PolicyName = '', PolicyDocument }) => [
      `${template} ${name} ${PolicyName}`.trim(),
      PolicyDocument,
    ]);
  });
}

/** What cloudsplaining finds in policies: the name of the policy and the kind of finding. */
function findingsIn(policies: Readonly<Record<string, unknown>>): string[] {
  const program = join(import.meta.dirname, 'cloudsplaining_peer.py');
  const { stdout, stderr } = spawnSync(pythonOf('checkov'), [program], { input: JSON.stringify(policies) });
  if (stdout.length === 0) throw new Error(stderr.toString());
  const found = JSON.parse(stdout.toString()) as Record<string, Record<string, unknown[]>>;
  return Object.entries(found).flatMap(([name, kinds]) =>
    Object.entries(kinds).flatMap(([kind, actions]) => (actions.length === 0 ? [] : [`${name}: ${kind}`])),
  );
}

it('cloudsplaining reports nothing about the policies except the findings that we have accepted', () => {
  const policies = TEMPLATES.flatMap(policiesOf);
  expect(policies.length).toBeGreaterThan(10);
  expect(findingsIn(Object.fromEntries(policies)).toSorted()).toEqual(Object.keys(EXCEPTIONS).toSorted());
});

it('cloudsplaining reports a policy that allows everything', () => {
  const all = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] };
  expect(findingsIn({ all })).toContain('all: PrivilegeEscalation');
});
