import { deployedOf, type Intent } from './change-set.ts';
import { stackOf, type Deployment } from './deployment.ts';
import type { FunctionRoles } from './stacks.ts';

/**
 * The functions' roles, which the policy of a strict key names. Empty if IAM decides who uses the keys. Also empty in a
 * region without the roles stack, because a first deployment makes the keys before the roles.
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
