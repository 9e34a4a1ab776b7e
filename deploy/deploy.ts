import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { appChanges, requireRightsOfApp } from './app-stack.ts';
import { requireAccount, requireAdministrator } from './aws.ts';
import {
  deleteUnmade,
  describe,
  discard,
  execute,
  FAILED_CREATION,
  plan,
  protect,
  replicasOf,
  type Intent,
} from './change-set.ts';
import { stackOf, type Deployment } from './deployment.ts';
import { requireHosts } from './endpoint-hosts.ts';
import { functionRolesOf } from './function-roles.ts';
import { maintain } from './maintenance.ts';
import { deployPackage, packageApp, packageFolder, requireOslsPartition } from './package.ts';
import { deploymentFile, readDeployment } from './read-deployment.ts';
import { keyStacks, roleStacks, tableStacks, type Stack } from './stacks.ts';

const STACKS: Readonly<Record<string, (deployment: Deployment, intent: Intent) => Stack[] | Promise<Stack[]>>> = {
  keys: async (deployment, intent) => keyStacks(deployment, await functionRolesOf(deployment, intent)),
  table: async (deployment, { isMeant }) => {
    const [region = ''] = deployment.regions;
    const existing = await replicasOf({ name: stackOf(deployment, 'table'), region }, deployment.regions);
    // Without --yes, show only the last of the table's updates, because it includes the changes of the earlier one.
    return tableStacks(deployment, existing).slice(isMeant ? 0 : -1);
  },
  roles: roleStacks,
};

const HELP = `npm run deploy:keys|deploy:table|deploy:roles|deploy -- [options]
Shows what would change in the stacks that deploy.yml describes.

  --yes            makes these changes
  --region REGION  deploys only the stack of this region`;

/**
 * Runs the deployment program, which reports each step in a line.
 * @param args the command line arguments
 * @throws Error that says what is wrong or what failed
 */
export async function deploy(args: readonly string[], tell: (line: string) => void): Promise<void> {
  const { positionals, values } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      yes: { type: 'boolean', default: false },
      region: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    tell(HELP);
    return;
  }
  const [what = ''] = positionals;
  const stacksOf = STACKS[what];
  if (stacksOf === undefined && what !== 'app') throw new Error('name what to deploy: keys, table, roles or app');
  const file = deploymentFile();
  if (basename(file) === 'deploy.example.yml') {
    throw new Error(
      'there is no deploy.yml: copy deploy.example.yml to deploy.yml and fill it in (docs/tutorial/deploy.md)',
    );
  }
  const deployment = await readDeployment(file);
  const regions = regionsIn(deployment, values.region);
  const caller = await requireAccount(deployment.account, deployment.regions[0] as string);
  if (what === 'keys' && values.yes) requireAdministrator(deployment.administrators, caller);
  const intent = { isMeant: values.yes, tell };
  if (stacksOf === undefined) await deployApps(deployment, regions, file, intent);
  else {
    for (const stack of inRegions(await stacksOf(deployment, intent), regions)) {
      if (what === 'roles') await requireRightsOfApp(deployment, stack.region);
      await deployStack(stack, intent);
    }
  }
  if (!values.yes) tell('Nothing was changed. The same with -- --yes does it.');
}

/** The regions to deploy to: all of the deployment, or the one that the caller names. */
function regionsIn({ regions }: Deployment, only: string | undefined): readonly string[] {
  if (only === undefined) return regions;
  if (regions.includes(only)) return [only];
  throw new Error(`${only} is not among the regions of the deployment: ${regions.join(', ')}`);
}

function inRegions(stacks: readonly Stack[], regions: readonly string[]): readonly Stack[] {
  const found = stacks.filter(({ region }) => regions.includes(region));
  const [{ name, region } = { name: '', region: '' }] = stacks;
  if (found.length === 0) throw new Error(`${name} is in ${region}, and not in ${regions.join(', ')}`);
  return found;
}

async function deployStack(stack: Stack, intent: Intent): Promise<void> {
  const { isMeant, tell } = intent;
  const where = `${stack.name} in ${stack.region}`;
  const planned = await plan(stack, intent);
  tell(`${where}:${planned === undefined ? ' nothing to change' : ''}`);
  for (const change of planned?.changes ?? []) tell(`  ${describe(change)}`);
  if (!isMeant) return planned && discard(planned);
  if (planned !== undefined) await execute(planned);
  if (stack.isKept) await protect(stack);
  if (planned !== undefined) tell(`${where}: done`);
}

async function deployApps(
  deployment: Deployment,
  regions: readonly string[],
  file: string,
  intent: Intent,
): Promise<void> {
  const { isMeant, tell } = intent;
  for (const region of regions) requireOslsPartition(region);
  await requireHosts(deployment);
  for (const region of regions) {
    const folder = packageFolder(deployment, region);
    await packageApp(file, region, folder);
    // osls refuses to deploy to a stack in one of the states below, so delete such a stack first.
    const app = { name: stackOf(deployment, 'app'), region };
    await deleteUnmade(app, [...FAILED_CREATION, 'REVIEW_IN_PROGRESS'], intent);
    tell(`${deployment.prefix}-app in ${region}: beside the functions' code`);
    for (const change of await appChanges(deployment, region, folder)) tell(`  ${change}`);
    if (!isMeant) continue;
    await deployPackage(file, region, folder);
    await maintain(deployment, region, folder);
    tell(`${deployment.prefix}-app in ${region}: done, and every region opens every System Key`);
  }
}
