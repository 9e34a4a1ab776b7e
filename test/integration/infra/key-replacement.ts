import { ACCOUNT, render, type Rendered } from './template.ts';

export const ADMINISTRATOR = `arn:aws:iam::${ACCOUNT}:role/key-administrator`;

/** Renders infra/keys.yml. */
export function keys(parameters: Readonly<Record<string, string>> = {}, region = 'us-west-2'): Rendered {
  return render('keys', region, { Classification: 'confidential', AdministratorArns: ADMINISTRATOR, ...parameters });
}

/** The key to which each alias of a stack points. `Key` is the stack's own key. */
export function aliasesOf({ resources }: Rendered): Record<string, unknown> {
  const aliases = Object.values(resources).filter(({ Type }) => Type === 'AWS::KMS::Alias');
  return Object.fromEntries(aliases.map(({ Properties: p }) => [p['AliasName'], p['TargetKeyId']]));
}

/** The stack and the parameters of one deployment in docs/how-to/replace-a-kms-key.md. */
interface StackChange {
  readonly stack: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/**
 * Reads a `deploy` command of docs/how-to/replace-a-kms-key.md.
 * @param variables the values of the shell variables in the command
 */
export function stackChangeOf(command: string, variables: Readonly<Record<string, string>>): StackChange {
  const [stack = '', , ...given] = command.split(/\s+/).slice(2);
  const parameters = given.map((one) => {
    const [name = '', value = ''] = one.split('=');
    return [name, value.replace(/^\$(\w+)$/, (_, variable: string) => variables[variable] ?? '')] as const;
  });
  return { stack, parameters: Object.fromEntries(parameters) };
}
