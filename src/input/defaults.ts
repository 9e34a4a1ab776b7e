import {
  BOOLEAN,
  check,
  FUNCTION,
  having,
  NUMBER,
  optional,
  optionsOf,
  read,
  STRING,
  type Type,
  type Types,
} from './checks.ts';

const TYPE_OF_DEFAULT: Readonly<Record<string, Type>> = {
  boolean: BOOLEAN,
  function: FUNCTION,
  number: NUMBER,
  string: STRING,
};

/**
 * Returns a copy of the given options in which a default replaces each option that is absent or undefined.
 * @param name what error messages call `given`
 * @throws TypeError if an option's type differs from the type of its default, or if there is no option of that name
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
 * Lists what is wrong with the options that are numbers. Empty if they are all valid.
 * @param defaults the defaults. An option is checked if its default is a number.
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

const LISTENER = optional(FUNCTION);

/**
 * Returns the caller's listeners. An absent listener is replaced by a listener that does nothing. Other members are
 * ignored, so that one object can implement several listener interfaces. If a listener throws or rejects, the error is
 * ignored.
 * @param silent a listener that does nothing, for every event
 * @param name the name of the parameter with the given listeners, for error messages
 * @throws TypeError if a listener is not a function
 */
export function listening<T extends object>(silent: T, given: Partial<T> | undefined, name: string): T {
  if (given === undefined) return silent;
  check(given, name, having());
  const listeners = { ...silent };
  for (const event in silent) {
    const listener = read(given, event, name);
    check(listener, `${name}.${event}`, LISTENER);
    if (listener === undefined) continue;
    // Call the listener on its object, because it may be a method.
    const told = given as Readonly<Record<string, (...values: readonly unknown[]) => Promise<unknown> | undefined>>;
    listeners[event] = ((...values: unknown[]) => {
      try {
        told[event]?.(...values)?.catch?.(() => {});
      } catch {
        // What a listener does with an event must not change the outcome of a request.
      }
    }) as T[typeof event];
  }
  return listeners;
}
