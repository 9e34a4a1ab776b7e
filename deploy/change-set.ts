import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { yamlParse } from 'yaml-cfn';
import { aws } from './aws.ts';
import { REPLICAS, type Stack } from './stacks.ts';

const infra = join(import.meta.dirname, '..', 'infra');

/** The types of the resources that are needed to read records: they contain keys or refer to keys. */
const KEPT_TYPES: ReadonlySet<string> = new Set(['AWS::KMS::Key', 'AWS::KMS::Alias', 'AWS::DynamoDB::GlobalTable']);

/** The states of a stack that has no resources. */
const UNMADE: ReadonlySet<string> = new Set(['ROLLBACK_COMPLETE', 'REVIEW_IN_PROGRESS']);

/** The states of a stack whose creation failed. In the second state, CloudFormation could not delete a resource. */
export const FAILED_CREATION: readonly string[] = ['ROLLBACK_COMPLETE', 'ROLLBACK_FAILED'];

/** A change that CloudFormation would make to a resource. */
interface Change {
  readonly Action: string;
  readonly LogicalResourceId: string;
  readonly ResourceType: string;
  /** Whether a modification replaces the resource: `True`, `False` or `Conditional`. */
  readonly Replacement?: string;
}

interface Deployed {
  readonly StackId: string;
  readonly StackStatus: string;
  readonly Outputs?: readonly { readonly OutputKey: string; readonly OutputValue: string }[];
  readonly Parameters?: readonly { readonly ParameterKey: string; readonly ParameterValue: string }[];
}

interface StackEvent {
  readonly LogicalResourceId: string;
  readonly ResourceStatus: string;
  readonly ResourceStatusReason?: string;
  readonly ClientRequestToken?: string;
}

interface ChangeSet {
  readonly Status: string;
  readonly StatusReason?: string;
  readonly Changes: readonly { readonly ResourceChange: Change }[];
}

/** A change set that was created and checked. */
export interface Plan {
  readonly stack: Stack;
  readonly changeSet: string;
  readonly changes: readonly Change[];
  readonly isNew: boolean;
}

/** Whether to show changes without making them, and where to report progress. */
export interface Intent {
  readonly isMeant: boolean;
  readonly tell: (line: string) => void;
}

/**
 * Creates a change set for a stack, without executing it. If the stack's creation was rolled back, this function first
 * deletes the stack.
 * @throws Error if the change set would remove or replace a key, an alias, the table or one of its replicas. In that
 * case the change set is deleted.
 */
export async function plan(stack: Stack, intent: Intent): Promise<Plan | undefined> {
  const deployed = await deleteUnmade(stack, FAILED_CREATION, intent);
  const isNew = deployed === undefined || deployed.StackStatus === 'REVIEW_IN_PROGRESS';
  requireReplicas(stack, deployed);
  const changeSet = `keyfold-${Date.now()}`;
  const given = ['--stack-name', stack.name, '--change-set-name', changeSet];
  await aws(stack.region, 'cloudformation', 'create-change-set', [
    ...given,
    '--change-set-type',
    isNew ? 'CREATE' : 'UPDATE',
    '--template-body',
    `file://${join(infra, stack.template)}`,
    '--capabilities',
    'CAPABILITY_IAM',
    'CAPABILITY_NAMED_IAM',
    '--parameters',
    JSON.stringify(parametersOf(stack, isNew ? undefined : deployed)),
  ]);
  // The command `wait` also fails if there is nothing to change. Only the change set's status reason distinguishes this
  // case from a real failure.
  await aws(stack.region, 'cloudformation', 'wait', ['change-set-create-complete', ...given]).catch(() => undefined);
  const set = await aws<ChangeSet>(stack.region, 'cloudformation', 'describe-change-set', given);
  const changes = set.Changes.map(({ ResourceChange }) => ResourceChange);
  const planned = { stack, changeSet, changes, isNew };
  if (set.Status !== 'CREATE_COMPLETE') {
    await discard(planned);
    if (/didn't contain changes|No updates/i.test(set.StatusReason ?? '')) return undefined;
    throw new Error(`${stack.name} in ${stack.region}: ${set.StatusReason ?? set.Status}`);
  }
  const destroyed = changes.filter(wouldDestroy);
  if (destroyed.length > 0) {
    await discard(planned);
    const what = destroyed.map((change) => describe(change)).join(', ');
    throw new Error(
      `${stack.name} in ${stack.region} is refused: ${what}. docs/how-to/replace-a-kms-key.md says how keys are replaced.`,
    );
  }
  return planned;
}

/** Deletes a change set that will not be executed. */
export async function discard({ stack, changeSet }: Plan): Promise<void> {
  const given = ['--stack-name', stack.name, '--change-set-name', changeSet];
  await aws(stack.region, 'cloudformation', 'delete-change-set', given);
}

/**
 * Executes a change set, and waits until CloudFormation has finished.
 * @throws Error with the first failure, after which CloudFormation has rolled back all changes
 */
export async function execute({ stack, changeSet, isNew }: Plan): Promise<void> {
  const given = ['--stack-name', stack.name];
  const call = (command: string, args: readonly string[]): Promise<unknown> =>
    aws(stack.region, 'cloudformation', command, args);
  await call('execute-change-set', [...given, '--change-set-name', changeSet, '--client-request-token', changeSet]);
  await call('wait', [isNew ? 'stack-create-complete' : 'stack-update-complete', ...given]).catch(
    async (error: Error) => {
      // If the events cannot be read either, the error of the waiter is what went wrong.
      const why = (await firstFailure(stack, changeSet).catch(() => undefined)) ?? error.message;
      throw new Error(`${stack.name} in ${stack.region} failed: ${why}`, { cause: error });
    },
  );
}

/**
 * The resources that CloudFormation must neither replace nor delete, by template. Aliases other than `Alias` are
 * created and deleted when a key is replaced.
 */
const KEPT_RESOURCES: Readonly<Record<Stack['template'], readonly string[]>> = {
  'keys.yml': ['Key', 'Alias'],
  'table.yml': ['Table'],
  'roles.yml': [],
};

/** Protects a stack from deletion, and its key or table from updates that would replace or delete it. */
export async function protect({ name, region, template }: Stack): Promise<void> {
  const named = ['--stack-name', name];
  await aws(region, 'cloudformation', 'update-termination-protection', [...named, '--enable-termination-protection']);
  const everyone = { Principal: '*' };
  const kept = KEPT_RESOURCES[template].map((id) => `LogicalResourceId/${id}`);
  const Statement = [
    { Effect: 'Allow', Action: 'Update:*', ...everyone, Resource: '*' },
    { Effect: 'Deny', Action: ['Update:Replace', 'Update:Delete'], ...everyone, Resource: kept },
  ];
  const body = JSON.stringify({ Statement });
  await aws(region, 'cloudformation', 'set-stack-policy', [...named, '--stack-policy-body', body]);
}

/** Describes a change on one line. */
export function describe({ Action, LogicalResourceId, ResourceType, Replacement }: Change): string {
  const replaces =
    Replacement === 'True' ? ', by a new one' : Replacement === 'Conditional' ? ', maybe by a new one' : '';
  return `${Action} ${LogicalResourceId} (${ResourceType})${replaces}`;
}

function wouldDestroy({ Action, ResourceType, Replacement }: Change): boolean {
  if (!KEPT_TYPES.has(ResourceType)) return false;
  return Action === 'Remove' || (Action === 'Modify' && (Replacement === 'True' || Replacement === 'Conditional'));
}

async function firstFailure({ name, region }: Stack, token: string): Promise<string | undefined> {
  const args = ['--stack-name', name];
  const { StackEvents } = await aws<{ StackEvents: StackEvent[] }>(
    region,
    'cloudformation',
    'describe-stack-events',
    args,
  );
  // The latest event is the first in the list.
  const failed = StackEvents.findLast(
    ({ ClientRequestToken, ResourceStatus }) => ClientRequestToken === token && ResourceStatus.endsWith('_FAILED'),
  );
  return failed && `${failed.LogicalResourceId}: ${failed.ResourceStatusReason}`;
}

/**
 * Deletes a stack if its creation failed, because CloudFormation refuses to change such a stack.
 * @param states the states that show a failed creation
 * @returns the stack, unchanged, if it is in another state. Undefined if there is no stack, or if it was deleted.
 * @throws Error if the stack must be deleted, but still has resources, or if the program only shows changes
 */
export async function deleteUnmade(
  stack: Pick<Stack, 'name' | 'region'>,
  states: readonly string[],
  { isMeant, tell }: Intent,
): Promise<Deployed | undefined> {
  const { name, region } = stack;
  const deployed = await deployedOf(stack);
  if (deployed === undefined || !states.includes(deployed.StackStatus)) return deployed;
  const given = ['--stack-name', deployed.StackId];
  const listed = await aws<{ StackResourceSummaries: StackEvent[] }>(
    region,
    'cloudformation',
    'list-stack-resources',
    given,
  );
  const left = listed.StackResourceSummaries.filter(({ ResourceStatus }) => ResourceStatus !== 'DELETE_COMPLETE');
  const what = `${name} in ${region} could not be made, and`;
  if (left.length > 0) {
    throw new Error(
      `${what} has left ${left.map((one) => one.LogicalResourceId).join(', ')}: see docs/how-to/recover-a-deployment.md`,
    );
  }
  if (!isMeant) throw new Error(`${what} is empty: --yes deletes it first`);
  tell(`${name} in ${region}: could not be made, is empty, and is deleted first`);
  await aws(region, 'cloudformation', 'delete-stack', given);
  await aws(region, 'cloudformation', 'wait', ['stack-delete-complete', ...given]);
  return undefined;
}

/**
 * Checks that no other region has a stack of the table. Otherwise the deployment would make a second table with its own
 * replicas.
 * @returns the regions other than the stack's that already have a replica
 * @throws Error that names the region of the existing table
 */
export async function replicasOf(
  { name, region }: Pick<Stack, 'name' | 'region'>,
  regions: readonly string[],
): Promise<string[]> {
  const deployed = await deployedOf({ name, region });
  if (deployed !== undefined) return UNMADE.has(deployed.StackStatus) ? [] : replicaParametersOf(deployed);
  for (const other of regions.filter((one) => one !== region)) {
    if ((await deployedOf({ name, region: other })) !== undefined)
      throw new Error(`${name} is in ${other}: that must stay the first of the regions`);
  }
  return [];
}

/** The deployed stack. Undefined if there is none. */
export async function deployedOf({ name, region }: Pick<Stack, 'name' | 'region'>): Promise<Deployed | undefined> {
  const answer = await aws<{ Stacks: Deployed[] }>(region, 'cloudformation', 'describe-stacks', [
    '--stack-name',
    name,
  ]).catch((error: Error) => {
    if (/does not exist/.test(error.message)) return { Stacks: [] };
    throw error;
  });
  return answer.Stacks[0];
}

function replicaParametersOf(deployed: Deployed | undefined): string[] {
  return (deployed?.Parameters ?? [])
    .filter(({ ParameterKey, ParameterValue }) => {
      return ParameterValue !== '' && REPLICAS.includes(ParameterKey as 'ReplicaRegion1');
    })
    .map(({ ParameterValue }) => ParameterValue);
}

/**
 * Finds replicas that would be removed. CloudFormation reports the removal of a replica as a modification of the table.
 */
function requireReplicas({ name, parameters, template }: Stack, deployed: Deployed | undefined): void {
  if (template !== 'table.yml') return;
  const after = new Set(REPLICAS.map((replica) => parameters[replica]));
  const lost = replicaParametersOf(deployed).filter((region) => !after.has(region));
  if (lost.length > 0)
    throw new Error(`${name} is refused: it would take away the table's replica in ${lost.join(', ')}`);
}

/** A parameter that `parameters` does not contain, such as the key behind an alias, keeps its value. */
function parametersOf({ parameters, template }: Stack, deployed: Deployed | undefined): object[] {
  const { Parameters } = yamlParse(readFileSync(join(infra, template), 'utf8')) as { Parameters: object };
  const kept = (deployed?.Parameters ?? [])
    .map(({ ParameterKey }) => ParameterKey)
    .filter((key) => Object.hasOwn(Parameters, key) && !Object.hasOwn(parameters, key));
  return [
    ...Object.entries(parameters).map(([ParameterKey, ParameterValue]) => ({ ParameterKey, ParameterValue })),
    ...kept.map((ParameterKey) => ({ ParameterKey, UsePreviousValue: true })),
  ];
}
