/** The roles that deploy, with what infra/deployers.yml allows each. */
import { OUTSIDERS, type Principal, WEST } from './account.ts';
import { ACCOUNT, render } from './template.ts';

const { resources } = render('deployers', WEST, {});

function deployer(policy: string, arn: string): Principal {
  return { arn, policies: [resources[policy]?.Properties['PolicyDocument']] };
}

/** By what they deploy. */
export const DEPLOYERS = {
  keys: deployer('KeysPolicy', OUTSIDERS['a key administrator without IAM'].arn),
  tableAndRoles: deployer('TableAndRolesPolicy', `arn:aws:iam::${ACCOUNT}:role/deployer`),
  app: deployer('AppPolicy', `arn:aws:iam::${ACCOUNT}:role/deployer`),
} satisfies Record<string, Principal>;
