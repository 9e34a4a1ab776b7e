import { BOOLEAN, FUNCTION, NUMBER, optional, optionsOf, STRING, type Type, type Types } from './checks.ts';

const TYPE_OF_DEFAULT: Readonly<Record<string, Type>> = {
  boolean: BOOLEAN,
  function: FUNCTION,
  number: NUMBER,
  string: STRING,
};

/**
 * The defaults with the given options in their place. An option that is undefined keeps its default.
 * @param name the name of the parameter with the given options, for error messages
 * @throws TypeError if an option has another type than its default, or has no default
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
 * The faults of the numbers among some options; empty if there are none.
 * @param defaults the defaults; an option is checked if its default is a number
 * @param mayBeZero the options that may be zero
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
