/** Defaults, and in their place what is given. A member that is undefined is not given. */
export function overDefaults<T extends object>(defaults: T, given: { readonly [K in keyof T]?: T[K] | undefined }): T {
  const present = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(present) };
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
