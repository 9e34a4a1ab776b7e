/** Checks the IAM policies of all templates with cloudsplaining, a linter for least privilege. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ACCOUNT, render } from '../integration/infra/template.ts';
import { pythonOf } from './install.ts';

const REGION = 'us-west-2';
const GIVEN = {
  keys: {
    Classification: 'confidential',
    AdministratorArns: `arn:aws:iam::${ACCOUNT}:role/key-administrator`,
    KeyRegions: REGION,
  },
  roles: { KeyRegions: REGION, Service: 'orders', Product: 'shop', InputQueueName: 'keyfold-input', Tracing: 'true' },
  deployers: {},
};

/** The policies of a template by the name of their resource. */
function policiesOf(template: keyof typeof GIVEN): [string, unknown][] {
  const { resources } = render(template, REGION, GIVEN[template]);
  return Object.entries(resources).flatMap(([name, { Properties }]): [string, unknown][] => {
    const own = Properties['Policies'] as { PolicyDocument: unknown }[] | undefined;
    const document = Properties['PolicyDocument'] ?? own?.[0]?.PolicyDocument;
    return /Role$|Policy$/.test(name) && document !== undefined ? [[`${template} ${name}`, document]] : [];
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

it('cloudsplaining finds nothing in the policies', () => {
  const policies = Object.fromEntries((['keys', 'roles', 'deployers'] as const).flatMap(policiesOf));
  expect(Object.keys(policies).length).toBeGreaterThan(10);
  expect(findingsIn(policies)).toEqual([]);
});

it('cloudsplaining finds the fault of a policy that allows everything', () => {
  const all = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] };
  expect(findingsIn({ all })).toContain('all: PrivilegeEscalation');
});
