import { join } from 'node:path';
import { type CfnResource, type CfnStack, Fn, NestedStack, type Stack, Token } from 'aws-cdk-lib';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import { Construct } from 'constructs';
import { STRING, check, checked, itemsOf, type Type } from '../input/checks.ts';

/** The folder of the templates. Its path is the same in the repository and in the package. */
const INFRA = join(import.meta.dirname, '..', '..', 'infra');

/** CloudFormation's limit for one parameter of a stack, in characters. */
const MAX_PARAMETER = 4096;

const SCOPE: Type = { called: 'a construct', holds: (value) => Construct.isConstruct(value) };

/** A construct's option, and the template parameter that receives its value. */
export interface Given {
  readonly option: string;
  readonly parameter: string;
  readonly value: string | number | boolean | readonly string[] | undefined;
}

/**
 * A template of infra/ as a nested stack in the caller's stack. CloudFormation checks the template's own rules. The
 * construct passes options as parameter values. It does not change the defaults of parameters, because a deployed stack
 * ignores a changed default.
 */
export class InfraTemplate {
  readonly #stack: NestedStack;
  readonly #include: CfnInclude;

  /** @throws TypeError if the template does not allow the value of an option. The error names the option. */
  constructor(scope: Construct, id: string, file: string, given: readonly Given[]) {
    const set = given.filter(({ value }) => value !== undefined);
    const parameters = Object.fromEntries(
      set.map(({ parameter, value }) => [parameter, Array.isArray(value) ? value.join(',') : String(value)]),
    );
    this.#stack = new NestedStack(scope, id, { parameters });
    const template = new CfnInclude(this.#stack, 'Template', { templateFile: join(INFRA, file) });
    this.#include = template;
    for (const { option, parameter, value } of set) {
      const { allowedPattern = '.*', constraintDescription, type } = template.getParameter(parameter);
      const pattern = new RegExp(`^(?:${allowedPattern})$`, 's');
      const allows = (item: string): boolean => Token.isUnresolved(item) || pattern.test(item);
      const text = String(value);
      if (!Token.isUnresolved(text) && text.length > MAX_PARAMETER)
        throw new TypeError(`${option} must have at most ${MAX_PARAMETER} characters together, including commas.`);
      const items = type === 'CommaDelimitedList' ? text.split(',') : [text];
      if (Token.isUnresolved(value) || items.every(allows)) continue;
      throw new TypeError(`${option} must match ${constraintDescription ?? allowedPattern}.`);
    }
  }

  /** The CloudFormation resource of the nested stack. */
  get resource(): CfnStack {
    return this.#stack.nestedStackResource as CfnStack;
  }

  /** Returns a resource of the template. */
  included(name: string): CfnResource {
    return this.#include.getResource(name);
  }

  /** Returns a token for an output of the template. */
  output(name: string): string {
    return outputOf(this.#stack, name);
  }
}

/** Returns a token for a nested stack's output. The parent stack can use it. */
export function outputOf({ nestedStackResource }: NestedStack, name: string): string {
  return (nestedStackResource as CfnStack).getAtt(`Outputs.${name}`).toString();
}

/** @throws TypeError if the scope or the id has the wrong type. The error names the parameter. */
export function checkedScope(scope: Construct, id: string): Construct {
  check(scope, 'scope', SCOPE);
  check(id, 'id', STRING);
  return scope;
}

/**
 * @throws TypeError if the region or account in an ARN differs from the stack's. The check skips a region or account
 * that is not known yet.
 */
export function requirePlaceOf(
  stack: Stack,
  part: 'region' | 'account',
  option: string,
  arn: string | undefined,
): void {
  if (arn === undefined || Token.isUnresolved(arn) || Token.isUnresolved(stack[part])) return;
  const [, , , region, account] = arn.split(':');
  if ({ region, account }[part] !== stack[part]) throw new TypeError(`${option} must be in the ${part} of the stack.`);
}

/**
 * Returns a list of strings, or undefined if the option is absent.
 * @throws TypeError if an item is not a string. The error names the item.
 */
export function stringsOf(given: unknown, name: string): readonly string[] | undefined {
  return given === undefined ? undefined : (itemsOf(given, name, checked(STRING)) as string[]);
}

/**
 * Like {@link stringsOf}. A list that is not known before the deployment, such as a parameter of the stack, becomes one
 * string with commas.
 */
export function textsOf(given: unknown, name: string): readonly string[] | undefined {
  const strings = stringsOf(given, name);
  return Token.isUnresolved(given) ? [Fn.join(',', given as string[])] : strings;
}
