import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { aws } from './aws.ts';
import { stackOf, type Deployment } from './deployment.ts';
import { APP_TEMPLATE } from './package.ts';

interface Template {
  readonly Resources: Readonly<Record<string, { readonly Type: string }>>;
}

/** What a package would change in a region, a resource a line. @throws Error where AWS does not say what there is */
export async function appChanges(deployment: Deployment, region: string, folder: string): Promise<string[]> {
  const before = await deployedResources(deployment, region);
  const packaged = JSON.parse(await readFile(join(folder, APP_TEMPLATE), 'utf8')) as Template;
  const after = packaged.Resources;
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.flatMap((name) => {
    const [was, is] = [before[name], after[name]];
    if (was === undefined) return [`Add ${name} (${is?.Type})`];
    if (is === undefined) return [`Remove ${name} (${was.Type})`];
    return JSON.stringify(was) === JSON.stringify(is) ? [] : [`Modify ${name} (${is.Type})`];
  });
}

async function deployedResources(deployment: Deployment, region: string): Promise<Template['Resources']> {
  const args = ['--stack-name', stackOf(deployment, 'app')];
  const { TemplateBody } = await aws<{ TemplateBody: Template }>(region, 'cloudformation', 'get-template', args).catch(
    (error: Error) => {
      if (/does not exist/.test(error.message)) return { TemplateBody: { Resources: {} } };
      throw error;
    },
  );
  return TemplateBody.Resources;
}
