/** `npm run deploy:keys`, `deploy:table`, `deploy:roles` and `deploy`: say what they would do, and with `--yes` do it. */
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { appChanges, requireQueueOfApp } from './deploy/app-stack.ts';
import { requireAccount, requireAdministrator } from './deploy/aws.ts';
import { describe, discard, execute, plan, protect } from './deploy/change-set.ts';
import type { Deployment } from './deploy/deployment.ts';
import { maintain } from './deploy/maintenance.ts';
import { deployPackage, packageApp, packageFolder } from './deploy/package.ts';
import { deploymentFile, readDeployment } from './deploy/read-deployment.ts';
import { keyStacks, roleStacks, tableStacks, type Stack } from './deploy/stacks.ts';

const STACKS: Readonly<Record<string, (deployment: Deployment) => Stack[]>> = {
  keys: keyStacks,
  table: tableStacks,
  roles: roleStacks,
};

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { yes: { type: 'boolean', default: false } },
  });
  const [what = ''] = positionals;
  const stacksOf = STACKS[what];
  if (stacksOf === undefined && what !== 'app') throw new Error('deploy what: keys, table, roles or app?');
  const file = deploymentFile();
  if (basename(file) === 'deploy.example.yml') {
    throw new Error('there is no deploy.yml: copy deploy.example.yml to it and put your own in (docs/deploy.md)');
  }
  const deployment = await readDeployment(file);
  const caller = await requireAccount(deployment.account, deployment.regions[0] as string);
  if (what === 'keys' && values.yes) requireAdministrator(deployment.administrators, caller);
  if (stacksOf === undefined) await deployApps(deployment, file, values.yes);
  else {
    for (const stack of stacksOf(deployment)) {
      if (what === 'roles') await requireQueueOfApp(deployment, stack.region);
      await deployStack(stack, values.yes);
    }
  }
  if (!values.yes) console.log('Nothing was changed. The same with -- --yes does it.');
}

async function deployStack(stack: Stack, isMeant: boolean): Promise<void> {
  const where = `${stack.name} in ${stack.region}`;
  const planned = await plan(stack);
  console.log(`${where}:${planned === undefined ? ' nothing to change' : ''}`);
  for (const change of planned?.changes ?? []) console.log(`  ${describe(change)}`);
  if (!isMeant) return planned && discard(planned);
  if (planned !== undefined) await execute(planned);
  if (stack.isKept) await protect(stack);
  if (planned !== undefined) console.log(`${where}: done`);
}

async function deployApps(deployment: Deployment, file: string, isMeant: boolean): Promise<void> {
  for (const region of deployment.regions) {
    const folder = packageFolder(deployment, region);
    await packageApp(file, region, folder);
    console.log(`${deployment.prefix}-app in ${region}: beside the functions' code`);
    for (const change of await appChanges(deployment, region, folder)) console.log(`  ${change}`);
    if (!isMeant) continue;
    await deployPackage(file, region, folder);
    await maintain(deployment, region, folder);
    console.log(`${deployment.prefix}-app in ${region}: done, and every region opens every System Key`);
  }
}
