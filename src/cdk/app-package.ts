import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NestedStack } from 'aws-cdk-lib';
import { CfnFunction } from 'aws-cdk-lib/aws-lambda';
import { Asset } from 'aws-cdk-lib/aws-s3-assets';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import type { Construct } from 'constructs';

/** The stacks that `npm run package` describes in stacks.json. */
interface Stacks {
  readonly account: string;
  readonly region: string;
  readonly roles: Readonly<Record<string, string>>;
}

interface Template {
  readonly Parameters?: Readonly<Record<string, object>>;
  readonly Resources: Readonly<
    Record<string, { readonly Type: string; readonly Properties?: Readonly<Record<string, unknown>> }>
  >;
  readonly Outputs?: Readonly<Record<string, object>>;
}

/** The package that `npm run package` has written for a region. */
export interface AppPackage extends Stacks {
  readonly folder: string;
  readonly template: Template;
}

/** Matches the logical IDs that a package gives to the queue's resources. */
const OF_THE_QUEUE = /^(?:Input|Output|DeadLetter|Queue|Messages)/;
/**
 * The bucket to which the Serverless Framework uploads code. The nested stack omits this bucket, because the CDK
 * uploads code to its own bucket.
 */
const OF_OSLS = /^ServerlessDeploymentBucket/;

/** @throws TypeError if the folder has no package. The error names the option. */
export function readPackage(folder: string, option: string): AppPackage {
  try {
    const read = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), 'utf8'));
    const stacks = read('stacks.json') as Stacks;
    return { ...stacks, folder, template: read('cloudformation-template-update-stack.json') as Template };
  } catch (cause) {
    throw new TypeError(`${option} must be a region's folder that npm run package has written.`, { cause });
  }
}

/** One part of a package as a nested stack: either the queue or everything else. */
export class AppPart {
  readonly stack: NestedStack;
  readonly include: CfnInclude;

  /**
   * @param parameters the template's parameters that other stacks provide: the ARNs of the roles and of the alarm topic
   */
  constructor(scope: Construct, app: AppPackage, part: 'api' | 'queue', parameters: Readonly<Record<string, string>>) {
    this.stack = new NestedStack(scope, 'Stack');
    const folder = mkdtempSync(join(tmpdir(), 'keyfold-cdk-'));
    try {
      const templateFile = join(folder, 'template.json');
      writeFileSync(templateFile, JSON.stringify(partOf(app, part, parameters)));
      this.include = new CfnInclude(this.stack, 'Template', { templateFile, parameters });
    } finally {
      rmSync(folder, { recursive: true });
    }
    // An empty text makes CloudFormation remove a former policy. The CDK accepts only an object as a policy, so set the
    // empty text with an override.
    if (app.template.Resources['RestApi']?.Properties?.['Policy'] === '' && part === 'api')
      this.include.getResource('RestApi').addPropertyOverride('Policy', '');
    for (const code of this.stack.node.findAll().filter((one) => one instanceof CfnFunction)) {
      const name = (code.code as CfnFunction.CodeProperty).s3Key ?? '';
      const asset = new Asset(this.stack, name, { path: join(app.folder, name) });
      code.code = { s3Bucket: asset.s3BucketName, s3Key: asset.s3ObjectKey };
    }
  }
}

/**
 * Returns one part's template, in which each function's S3 key is the name of its zip file and each role is a
 * parameter.
 */
function partOf(
  { template }: AppPackage,
  part: 'api' | 'queue',
  parameters: Readonly<Record<string, string>>,
): Template {
  const mine = ([name]: readonly [string, unknown]): boolean =>
    !OF_OSLS.test(name) && OF_THE_QUEUE.test(name) === (part === 'queue');
  const { Resources, Outputs = {} } = JSON.parse(JSON.stringify(template), (name, value: unknown) => {
    if (name === 'S3Bucket') return 'replaced';
    if (name === 'Policy' && value === '') return undefined;
    if (name === 'S3Key') return (value as string).split('/').at(-1);
    const imported = (value as Record<string, unknown> | null)?.['Fn::ImportValue'];
    const [, role] = /-(\w+)Arn$/.exec(String(imported)) ?? [];
    return role !== undefined && Object.hasOwn(parameters, role) ? { Ref: role } : value;
  }) as Template;
  return {
    Parameters: Object.fromEntries(Object.keys(parameters).map((name) => [name, { Type: 'String' }])),
    Resources: Object.fromEntries(Object.entries(Resources).filter(mine)),
    Outputs: Object.fromEntries(Object.entries(Outputs).filter(mine)),
  };
}
