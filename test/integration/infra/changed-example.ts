import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { yamlParse } from 'yaml-cfn';
import type { Deployment } from '../../../deploy/deployment.ts';
import { readDeployment } from '../../../deploy/read-deployment.ts';
import { EXAMPLE } from './aws-cli.ts';

/** The options in deploy.example.yml. */
export const OPTIONS = yamlParse(readFileSync(EXAMPLE, 'utf8')) as Readonly<Record<string, unknown>>;

/** Changes options of deploy.example.yml, and reads the result as a deployment. */
export async function read(changed: object): Promise<Deployment> {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-deployment-'));
  try {
    const file = join(folder, 'deploy.yml');
    await writeFile(file, JSON.stringify({ ...OPTIONS, ...changed }));
    return await readDeployment(file);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The errors that {@link read} reports, one per entry. Empty if it reports none. */
export async function faultsOf(changed: object): Promise<string[]> {
  return read(changed).then(
    () => [],
    (error: Error) => error.message.split('\n').slice(1),
  );
}
