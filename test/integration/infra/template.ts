/**
 * Resolves templates as CloudFormation would, as far as our templates need. No library resolves conditions inside
 * policies.
 */
import { readFileSync } from 'node:fs';
import { partition } from '@aws-sdk/core/client';
import { yamlParse } from 'yaml-cfn';

/** A resource with its parameters and conditions resolved. */
interface Resource {
  readonly Type: string;
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
  readonly Properties: Readonly<Record<string, unknown>>;
}

/** A resolved template, with only those resources and outputs whose conditions are true. */
export interface Rendered {
  readonly resources: Readonly<Record<string, Resource>>;
  readonly outputs: Readonly<Record<string, { readonly Value: unknown }>>;
}

interface Section {
  readonly [name: string]: Record<string, unknown>;
}

/** A template before it is resolved. */
interface Template {
  readonly Parameters: Readonly<Record<string, { Type: string; Default?: unknown; AllowedPattern?: string }>>;
  readonly Rules?: Readonly<
    Record<string, { RuleCondition: unknown; Assertions: { Assert: unknown; AssertDescription: string }[] }>
  >;
  readonly Conditions?: Readonly<Record<string, unknown>>;
  readonly Resources: Section;
  readonly Outputs: Section;
}

/** The account that owns everything in these tests. */
export const ACCOUNT = '111122223333';

const NO_VALUE = Symbol('AWS::NoValue');

/** Reads the template of a stack by the name of its file, without `.yml`. */
export function templateOf(name: string): Template {
  const file = new URL(`../../../infra/${name}.yml`, import.meta.url);
  return yamlParse(readFileSync(file, 'utf8')) as Template;
}

/**
 * Renders a template. A reference to another resource becomes its logical name or `Name.Attribute`.
 * @throws Error if a parameter is missing or not allowed, or if the parameters violate a rule
 */
export function render(name: string, region: string, given: Readonly<Record<string, string>>): Rendered {
  const template = templateOf(name);
  const resolve = new Resolver(template, region, parametersOf(template, given));
  for (const { RuleCondition, Assertions } of Object.values(template.Rules ?? {})) {
    if (resolve.value(RuleCondition) !== true) continue;
    const broken = Assertions.find(({ Assert }) => resolve.value(Assert) !== true);
    if (broken !== undefined) throw new Error(broken.AssertDescription);
  }
  return { resources: resolve.section(template.Resources), outputs: resolve.section(template.Outputs) };
}

function parametersOf({ Parameters }: Template, given: Readonly<Record<string, string>>): Map<string, unknown> {
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(Parameters, name));
  if (unknown.length > 0) throw new Error(`no such parameters: ${unknown.join(', ')}`);
  const values = Object.entries(Parameters).map(([name, { Type, Default, AllowedPattern = '.*' }]) => {
    const value = given[name] ?? (Default as string | number | undefined)?.toString();
    if (value === undefined) throw new Error(`${name} is not given`);
    const items = Type === 'CommaDelimitedList' ? value.split(',').map((item) => item.trim()) : [value];
    if (!items.every((item) => new RegExp(`^(?:${AllowedPattern})$`, 's').test(item)))
      throw new Error(`${name} does not match its pattern`);
    return [name, Type === 'CommaDelimitedList' ? items : value] as const;
  });
  return new Map<string, unknown>(values);
}

class Resolver {
  readonly #template: Template;
  readonly #values: Map<string, unknown>;

  constructor(template: Template, region: string, parameters: Map<string, unknown>) {
    this.#template = template;
    this.#values = new Map<string, unknown>([
      ...parameters,
      ['AWS::Region', region],
      ['AWS::AccountId', ACCOUNT],
      ['AWS::Partition', partition(region).name],
      ['AWS::URLSuffix', partition(region).dnsSuffix],
      ['AWS::StackName', 'stack'],
      ['AWS::NoValue', NO_VALUE],
      ...Object.keys(template.Resources).map((name) => [name, name] as const),
    ]);
  }

  /** The entries of a section that have no condition, or whose condition is true. */
  section<T>(section: Section): Record<string, T> {
    const deployed = Object.entries(section).filter(
      ([, { Condition }]) => Condition === undefined || this.#condition(Condition),
    );
    return Object.fromEntries(deployed.map(([name, one]) => [name, this.value({ ...one, Condition: NO_VALUE }) as T]));
  }

  value(node: unknown): unknown {
    if (Array.isArray(node)) return node.map((item) => this.value(item)).filter((item) => item !== NO_VALUE);
    if (typeof node !== 'object' || node === null) return node;
    const [[name, argument] = ['', undefined]] = Object.entries(node) as [string, unknown][];
    if (Object.keys(node).length === 1 && (/^Fn::|^Ref$/.test(name) || (name === 'Condition' && isName(argument)))) {
      return this.#call(name, argument);
    }
    const members = Object.entries(node).map(([key, member]) => [key, this.value(member)] as const);
    return Object.fromEntries(members.filter(([, member]) => member !== NO_VALUE));
  }

  #call(name: string, argument: unknown): unknown {
    const list = (): unknown[] => this.value(argument) as unknown[];
    switch (name) {
      case 'Ref':
        return this.#ref(String(argument));
      case 'Condition':
        return this.#condition(argument);
      case 'Fn::GetAtt':
        return (argument as string[]).join('.');
      case 'Fn::Sub':
        return String(argument).replace(/\$\{([^}]+)\}/g, (_, ref: string) => String(this.#ref(ref)));
      case 'Fn::If': {
        const [condition, then, otherwise] = argument as unknown[];
        return this.value(this.#condition(condition) ? then : otherwise);
      }
      case 'Fn::Join': {
        const [separator, items] = list() as [string, string[]];
        return items.join(separator);
      }
      case 'Fn::Equals': {
        const [a, b] = list();
        return String(a) === String(b);
      }
      case 'Fn::Not':
        return list()[0] === false;
      case 'Fn::And':
        return list().every((item) => item === true);
      default:
        throw new Error(`${name} is not resolved here`);
    }
  }

  #ref(name: string): unknown {
    if (!this.#values.has(name)) throw new Error(`${name} refers to nothing`);
    return this.#values.get(name);
  }

  #condition(name: unknown): boolean {
    return this.value(this.#template.Conditions?.[String(name)]) === true;
  }
}

function isName(argument: unknown): boolean {
  return typeof argument === 'string';
}
