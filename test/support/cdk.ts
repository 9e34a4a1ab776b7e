/** Synthesizes the constructs of `keyfold/cdk`. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, Stack } from 'aws-cdk-lib';

/** A synthesized template. */
interface Synthesized {
  readonly Parameters?: Readonly<Record<string, unknown>>;
  readonly Resources: Readonly<Record<string, { Type: string; Properties?: Record<string, unknown> }>>;
  readonly Outputs?: Readonly<Record<string, unknown>>;
}

/** The stack of an app, and the nested templates by their construct paths. */
export interface SynthesizedApp {
  readonly stack: Synthesized;
  readonly nested: Readonly<Record<string, Synthesized>>;
}

/** The account and region of the example. */
export const ENV = { account: '111122223333', region: 'us-west-2' };

/** The folder of the apps' outputs. The CDK makes an output folder even for an app that is never synthesized. */
let outputs: string | undefined;

/** Removes what the apps have written. */
export function removeOutputs(): void {
  if (outputs !== undefined) rmSync(outputs, { recursive: true });
  outputs = undefined;
}

/** A stack as in a user's app. */
export function stackOf(stackName = 'keyfold', env: { account?: string; region?: string } = ENV): Stack {
  // The CDK's own validation takes seconds. cfn-lint validates the same templates in templates.test.ts.
  process.env['CDK_VALIDATION'] = 'false';
  outputs ??= mkdtempSync(join(tmpdir(), 'keyfold-cdk-test-'));
  const outdir = mkdtempSync(join(outputs, 'app-'));
  return new Stack(new App({ outdir }), stackName, { env });
}

/** Synthesizes the app of a stack. */
export function synthesize(stack: Stack): SynthesizedApp {
  const app = stack.node.root as App;
  const { directory } = app.synth();
  const read = (name: string): Synthesized =>
    normalized(JSON.parse(readFileSync(join(directory, name), 'utf8'))) as Synthesized;
  const nested = stack.node.findAll().filter((one): one is Stack => Stack.isStack(one) && one !== stack);
  return {
    stack: read(stack.templateFile),
    nested: Object.fromEntries(nested.map((one) => [one.node.path, read(one.templateFile)])),
  };
}

/** Converts each `Fn::GetAtt` and each `DependsOn` to one form, because CloudFormation accepts two forms of each. */
export function normalized(template: unknown): unknown {
  return JSON.parse(JSON.stringify(template), (name, value: unknown) => {
    if (name === 'DependsOn' && Array.isArray(value) && value.length === 0) return undefined;
    if (typeof value !== 'string') return value;
    if (name === 'Fn::GetAtt') return value.split(/\.(.*)/, 2);
    return name === 'DependsOn' ? [value] : value;
  });
}
