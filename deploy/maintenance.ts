import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MaintenanceReport } from '../src/maintenance/system-key-maintenance.ts';
import { aws } from './aws.ts';
import type { Deployment } from './deployment.ts';

/**
 * Invokes the maintenance function of a region, which makes the first System Key and reports whether each region opens
 * each key.
 * @param folder a folder for the function's response
 * @throws Error that says which region cannot open a key, and why
 */
export async function maintain(deployment: Deployment, region: string, folder: string): Promise<void> {
  const name = `${deployment.prefix}-maintenance`;
  let report = await invoke(name, region, folder);
  // The function lists the keys before it creates a new one. So a run that created a key has not tested this key. Run
  // the function again.
  if (report.created !== undefined || report.systemKeys.length === 0) report = await invoke(name, region, folder);
  const faults = faultsIn(report);
  if (faults.length === 0) return;
  throw new Error(
    `the app is deployed in ${region}, but ${name} finds:\n${faults.map((fault) => `- ${fault}`).join('\n')}\n` +
      'KMS heeds a new alias within five minutes. After that the keys, the table or the roles are wrong; then run the same again.',
  );
}

async function invoke(name: string, region: string, folder: string): Promise<MaintenanceReport> {
  const answer = join(folder, 'maintenance.json');
  // The function may take longer than the CLI's default timeout. After the timeout, the CLI would invoke it again.
  const args = ['--cli-read-timeout', '0', '--function-name', name, answer];
  const { FunctionError } = await aws<{ FunctionError?: string }>(region, 'lambda', 'invoke', args);
  const said = await readFile(answer, 'utf8');
  if (FunctionError !== undefined) throw new Error(`${name} fails in ${region}: ${said}`);
  return JSON.parse(said) as MaintenanceReport;
}

function faultsIn({ systemKeys, createFault }: MaintenanceReport): string[] {
  return [
    ...(createFault === undefined ? [] : [`the next System Key cannot be made: ${createFault}`]),
    ...(systemKeys.length === 0 ? ['there is no System Key'] : []),
    ...systemKeys.flatMap(({ id, created, fault, regions }) => {
      const key = `${id}, created ${created}`;
      return [
        ...(fault === undefined ? [] : [`${key}: ${fault}`]),
        ...regions
          .filter((region) => !region.opens || region.fault !== undefined)
          .map((region) => `${key}: ${region.region} does not open or wrap it (${region.fault ?? 'it has no wrap'})`),
      ];
    }),
  ];
}
