import { BOOLEAN, FUNCTION, NUMBER, optional, optionsOf, STRING, type Type, type Types } from './checks.ts';

const TYPE_OF_DEFAULT: Readonly<Record<string, Type>> = {
  boolean: BOOLEAN,
  function: FUNCTION,
  number: NUMBER,
  string: STRING,
};

/**
 * Defaults, and in their place what is given. A member that is undefined is not given.
 * @param name of the parameter that holds what is given
 * @throws TypeError if an option is not of its default's type, or has no default
 */
export function withDefaults<T extends object>(
  defaults: T,
  given: { readonly [K in keyof T]?: T[K] | undefined },
  name: string,
): T {
  const types = Object.entries(defaults).map(([option, value]) => [
    option,
    optional(TYPE_OF_DEFAULT[typeof value] as Type),
  ]);
  return { ...defaults, ...optionsOf<Partial<T>>(given, name, Object.fromEntries(types) as Types<Partial<T>>) };
}

/**
 * What is wrong with the numbers among some options; empty where nothing is.
 * @param defaults says which options are numbers
 * @param mayBeZero those that are
 */
export function numberFaults<T extends object>(
  options: T,
  defaults: T,
  mayBeZero: readonly (keyof T)[] = [],
): string[] {
  const names = (Object.keys(defaults) as (keyof T & string)[]).filter((name) => typeof defaults[name] === 'number');
  return names
    .filter((name) => {
      const value = options[name];
      return !(Number.isSafeInteger(value) && (value as number) >= (mayBeZero.includes(name) ? 0 : 1));
    })
    .map((name) => `${name} must be a positive whole number`);
}
