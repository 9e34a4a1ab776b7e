/** `npm run package`: makes the package of each region from dist/, without calling AWS. */
import { relative } from 'node:path';
import { packageApp, packageFolder } from '../deploy/package.ts';
import { deploymentFile, readDeployment } from '../deploy/read-deployment.ts';

const file = deploymentFile();
const deployment = await readDeployment(file);
console.log(`as ${relative('.', file)} has it:`);
for (const region of deployment.regions) {
  const folder = packageFolder(deployment, region);
  for (const { name, sizeBytes } of await packageApp(file, region, folder)) {
    console.log(`${relative('.', folder)}/${name}  ${Math.ceil(sizeBytes / 1024)} KiB`);
  }
}
