/**
 * `npm run package`: makes the package of each region from dist/, without calling AWS. With `--zips` it writes only the
 * zips, for users who deploy with other tools.
 */
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describePackage, packageApp, packageFolder, type Artefact } from '../deploy/package.ts';
import { deploymentFile, readDeployment } from '../deploy/read-deployment.ts';
import { readOptions } from './read-options.ts';

const root = join(import.meta.dirname, '..');
const HELP = `npm run package -- [options]
Writes the package of each region, without calling AWS.

  --zips  writes only the zips, for users who deploy with other tools`;

const values = readOptions(HELP, { zips: { type: 'boolean', default: false } });

function tell(folder: string, { name, sizeBytes }: Artefact): void {
  console.log(`${relative('.', folder)}/${name}  ${Math.ceil(sizeBytes / 1024)} KiB`);
}

async function packageRegions(): Promise<void> {
  const file = deploymentFile();
  const deployment = await readDeployment(file);
  console.log(`as ${relative('.', file)} has it:`);
  for (const region of deployment.regions) {
    const folder = packageFolder(deployment, region);
    for (const artefact of await packageApp(file, region, folder)) tell(folder, artefact);
    await describePackage(deployment, region, folder);
  }
}

/** Writes the zips of all functions into `.keyfold/zips`. They are the same for every deployment. */
async function packageZips(): Promise<void> {
  const file = join(root, 'deploy.example.yml');
  const { regions } = await readDeployment(file);
  const [folder, made] = [join(root, '.keyfold', 'zips'), join(root, '.keyfold', 'zips-package')];
  const artefacts = await packageApp(file, regions[0] as string, made);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const artefact of artefacts.filter(({ name }) => name.endsWith('.zip'))) {
    await copyFile(join(made, artefact.name), join(folder, artefact.name));
    tell(folder, artefact);
  }
  await rm(made, { recursive: true });
}

await (values.zips ? packageZips() : packageRegions());
