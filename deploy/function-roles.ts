import { partition } from '@aws-sdk/core/client';
import { deployedOf, type Intent } from './change-set.ts';
import { stackOf, type Deployment } from './deployment.ts';
import type { FunctionRoles } from './stacks.ts';

/** The random end of a name that CloudFormation generates: a hyphen and up to thirteen characters. */
const RANDOM = '-XXXXXXXXXXXXX';

/**
 * Placeholders for the ARNs of the functions' roles in all regions. Each has the maximum length of a real ARN, so that
 * limits can be checked before the roles exist.
 */
export function rolesLikely(deployment: Deployment): FunctionRoles {
  const { account, queue, regions } = deployment;
  const rolesOf = (functions: readonly string[]): string[] =>
    regions.flatMap((region) =>
      functions.map(
        (name) =>
          `arn:${partition(region).name}:iam::${account}:role/${stackOf(deployment, 'roles')}-${name}Role${RANDOM}`,
      ),
    );
  const encrypting = ['Api', 'Seal', 'Maintenance', ...(queue.kind === 'none' ? [] : ['Queue'])];
  return { encrypt: rolesOf(encrypting), decrypt: rolesOf([...encrypting, 'Open']) };
}

/**
 * The roles of the functions. The policy of a strict key names them. Empty if IAM decides who uses the keys. The roles
 * of a region without the roles stack are absent, because a first deployment makes the keys before the roles.
 */
export async function functionRolesOf(deployment: Deployment, { tell }: Intent): Promise<FunctionRoles> {
  if (deployment.strictKeys === undefined) return { encrypt: [], decrypt: [] };
  const name = stackOf(deployment, 'roles');
  const roles: { readonly OutputKey: string; readonly OutputValue: string }[] = [];
  for (const region of deployment.regions) {
    const { Outputs = [] } = (await deployedOf({ name, region })) ?? {};
    const found = Outputs.filter(({ OutputKey }) => OutputKey.endsWith('RoleArn'));
    if (found.length === 0) tell(`${name} is not in ${region} yet: run deploy:keys again after deploy:roles`);
    roles.push(...found);
  }
  const encrypting = roles.filter(({ OutputKey }) => OutputKey !== 'OpenRoleArn');
  const arnOf = ({ OutputValue }: (typeof roles)[number]): string => OutputValue;
  return { encrypt: encrypting.map(arnOf), decrypt: roles.map(arnOf) };
}
