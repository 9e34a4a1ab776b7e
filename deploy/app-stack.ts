import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { aws } from './aws.ts';
import { queueNamesOf, stackOf, type Deployment } from './deployment.ts';
import { APP_TEMPLATE } from './package.ts';

interface Template {
  readonly Resources: Readonly<Record<string, Resource>>;
}

interface Resource {
  readonly Type: string;
  readonly Properties?: Readonly<Record<string, unknown>>;
}

/**
 * Refuses to update the roles if the deployed app would lose permissions that it still needs. These are the permissions
 * for its queue and for its functions' network interfaces.
 * @throws Error that says what to do first
 */
export async function requireRightsOfApp(deployment: Deployment, region: string): Promise<void> {
  const before = await deployedResources(deployment, region);
  requireSameKind(deployment, region, before);
  const queue = before['InputQueue']?.Properties?.['QueueName'];
  if (queue !== undefined && queueNamesOf(deployment) === undefined)
    throw new Error(`the app in ${region} has the queue ${queue as string}: run deploy before deploy:roles`);
  if (before['ApiLambdaFunction']?.Properties?.['VpcConfig'] !== undefined && deployment.vpc === undefined)
    throw new Error(`the app in ${region} is in a VPC: run deploy before deploy:roles`);
}

/**
 * Lists the changes that a package would make in a region, one line per resource.
 * @throws Error if AWS does not respond, or if the package would replace a queue, because no function would read the
 * messages that are left in the old queue
 */
export async function appChanges(deployment: Deployment, region: string, folder: string): Promise<string[]> {
  const before = await deployedResources(deployment, region);
  requireSameKind(deployment, region, before);
  const packaged = JSON.parse(await readFile(join(folder, APP_TEMPLATE), 'utf8')) as Template;
  const after = packaged.Resources;
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.flatMap((name) => {
    const [was, is] = [before[name], after[name]];
    if (was === undefined) return [`Add ${name} (${is?.Type})`];
    if (is === undefined) return [`Remove ${name} (${was.Type})`];
    const changed = changedIn(was, is);
    return changed.length === 0 ? [] : [`Modify ${name} (${is.Type}): ${changed.join(', ')}`];
  });
}

/** Returns the names of the properties and other attributes that changed in a resource. */
function changedIn(was: Resource, is: Resource): string[] {
  const [before, after] = [partsOf(was), partsOf(is)];
  const names = Object.keys({ ...before, ...after });
  return names.filter((name) => textOf(before[name]) !== textOf(after[name]));
}

function partsOf({ Properties, ...rest }: Resource): Record<string, unknown> {
  return { ...rest, ...Properties };
}

/** A value as JSON text, without the location of a function's code, which changes with each package. */
function textOf(value: unknown): string | undefined {
  return JSON.stringify(value, (name, member: unknown) => (name === 'S3Key' ? undefined : member));
}

function requireSameKind(deployment: Deployment, region: string, before: Template['Resources']): void {
  const [was, is] = [before['InputQueue']?.Properties?.['QueueName'], queueNamesOf(deployment)?.input];
  if (was === undefined || is === undefined || was === is) return;
  throw new Error(
    `the app in ${region} has the queue ${was as string}: to change queue.kind see docs/reference/iam-and-stacks.md`,
  );
}

async function deployedResources(deployment: Deployment, region: string): Promise<Template['Resources']> {
  const args = ['--stack-name', stackOf(deployment, 'app')];
  const { TemplateBody } = await aws<{ TemplateBody?: Template }>(region, 'cloudformation', 'get-template', args).catch(
    (error: Error) => {
      if (/does not exist/.test(error.message)) return { TemplateBody: { Resources: {} } };
      throw error;
    },
  );
  // The result is empty for a stack that was never created, because such a stack has no template.
  return TemplateBody?.Resources ?? {};
}
