/**
 * Checks of the arguments that JavaScript callers pass to public functions. A value of the wrong type causes a
 * TypeError that names the parameter and does not show the value. If a value has the right type but is not valid, the
 * public function throws a KeyfoldError with a code.
 */
import { isUint8Array } from 'node:util/types';

/** The type of a parameter or of an option. */
export interface Type {
  /** Completes the sentence "The parameter must be …". */
  readonly called: string;
  readonly holds: (value: unknown) => boolean;
}

/** A type for each member of an object. */
export type Types<T> = { readonly [K in keyof T]-?: Type };

export const STRING: Type = { called: 'a string', holds: (value) => typeof value === 'string' };
/** Accepts NaN and the infinities. They are invalid values, but not values of the wrong type. */
export const NUMBER: Type = { called: 'a number', holds: (value) => typeof value === 'number' };
export const BOOLEAN: Type = { called: 'a boolean', holds: (value) => typeof value === 'boolean' };
export const FUNCTION: Type = { called: 'a function', holds: (value) => typeof value === 'function' };
/**
 * An object with members. Arrays, Maps, Dates and other built-in objects are refused, because their contents are not
 * members.
 */
export const OBJECT: Type = {
  called: 'an object',
  holds: (value) => typeof value === 'object' && Object.prototype.toString.call(value) === '[object Object]',
};
/** A Uint8Array of any realm whose buffer is not detached. */
export const BYTES: Type = { called: 'a Uint8Array whose buffer is not detached', holds: isBytes };
/** An AbortSignal of any realm. */
export const ABORT_SIGNAL: Type = {
  called: 'an AbortSignal',
  holds: (value) =>
    isObjectWith(value, ['addEventListener', 'removeEventListener', 'throwIfAborted']) &&
    typeof (value as AbortSignal).aborted === 'boolean',
};

export const ARRAY: Type = { called: 'an array', holds: Array.isArray };
export const ANYTHING: Type = { called: 'anything', holds: () => true };

/** Makes a type that also accepts undefined. */
export function optional({ called, holds }: Type): Type {
  return { called, holds: (value) => value === undefined || holds(value) };
}

/** An object of any kind, with methods. */
export function having(...methods: readonly string[]): Type {
  const called = methods.length === 0 ? 'an object' : `an object with ${methods.join(', ')}`;
  return { called, holds: (value) => isObjectWith(value, methods) };
}

/** A string from a fixed list. */
export function oneOf(...strings: readonly string[]): Type {
  return {
    called: strings.map((text) => `'${text}'`).join(' or '),
    holds: (value) => strings.includes(value as string),
  };
}

/** @throws TypeError naming the parameter, if its value does not have this type */
export function check(value: unknown, name: string, type: Type): void {
  if (!isOf(type, value, name)) throw new TypeError(`${name} must be ${type.called}, not ${kindOf(value)}.`);
}

/** Whether a value has the given type. @throws TypeError if the value cannot be inspected, such as a revoked proxy */
export function isOf(type: Type, value: unknown, name: string): boolean {
  try {
    return type.holds(value);
  } catch (cause) {
    throw new TypeError(`${name} cannot be read.`, { cause });
  }
}

/**
 * Reads members of a caller's object. It reads each member once, because a getter may return another value later.
 * @returns a new object without the members that are undefined
 * @throws TypeError naming the wrong member
 */
export function membersOf<T extends object>(given: unknown, name: string, types: Types<T>): T {
  check(given, name, OBJECT);
  const members: [string, unknown][] = [];
  for (const member in types) {
    const value = read(given as T, member, name);
    check(value, `${name}.${member}`, types[member]);
    if (value !== undefined) members.push([member, value]);
  }
  // Object.fromEntries keeps a member named `__proto__`. An assignment would set the prototype instead.
  return Object.fromEntries(members) as T;
}

/**
 * Like {@link membersOf}, for options.
 * @throws TypeError also for an unknown option, because otherwise Keyfold would ignore a misspelt option
 */
export function optionsOf<T extends object>(given: unknown, name: string, types: Types<T>): T {
  const options = membersOf(given, name, types);
  refuseUnknown(given, name, types);
  return options;
}

/**
 * Reads the own members of an object with arbitrary names, as `JSON.stringify` does. It reads each member once.
 * @throws TypeError if a member does not have this type
 */
export function recordOf<T>(given: unknown, name: string, type: Type): Record<string, T> {
  check(given, name, OBJECT);
  const names = Object.keys(given as object).map((member) => [member, type]);
  return membersOf<Record<string, T>>(given, name, Object.fromEntries(names) as Record<string, Type>);
}

/** @throws TypeError if an object has a member that the types do not list */
export function refuseUnknown<T>(given: unknown, name: string, types: Types<T>): void {
  for (const member in given as object) {
    if (Object.hasOwn(types, member)) continue;
    const unknown = /^\w{1,64}$/.test(member) ? `option ${member}` : 'such option as one of those given';
    throw new TypeError(`${name} has no ${unknown}. Its options are ${Object.keys(types).join(', ')}.`);
  }
}

/** @throws TypeError naming the wrong item, or saying that the value is not an array */
export function itemsOf<T>(given: unknown, name: string, itemOf: (item: unknown, name: string) => T): T[] {
  check(given, name, ARRAY);
  const { length } = given as readonly unknown[];
  const items: T[] = [];
  // Check one item at a time, so that the first hole of a sparse array ends the loop, even if the array is very long.
  for (let i = 0; i < length; i += 1) items.push(itemOf(read(given as readonly unknown[], i, name), `${name}[${i}]`));
  return items;
}

/** Checks a value like {@link check}, and returns it, so that the function can be passed to {@link itemsOf}. */
export function checked(type: Type): (value: unknown, name: string) => unknown {
  return (value, name) => {
    check(value, name, type);
    return value;
  };
}

/**
 * The built-in getters of typed arrays. Neither a subclass nor an own property of an array can change their results.
 */
const [byteLength, byteOffset, buffer] = ['byteLength', 'byteOffset', 'buffer'].map((name) => {
  const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;
  // oxlint-disable-next-line typescript/unbound-method -- each is called with the array as its `this`
  return Object.getOwnPropertyDescriptor(typedArray, name)?.get as () => unknown;
}) as [() => number, () => number, () => ArrayBuffer];

/** The true number of bytes of an array, even if the array overrides `length`. */
export function byteLengthOf(bytes: Uint8Array): number {
  return byteLength.call(bytes);
}

/** A Buffer over the true bytes of an array. It shares the memory of the array, but none of its properties. */
export function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(buffer.call(bytes), byteOffset.call(bytes), byteLength.call(bytes));
}

/** A view of a part of the true bytes of an array. It is faster than {@link viewOf}. */
export function partOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(buffer.call(bytes), byteOffset.call(bytes) + start, end - start);
}

/**
 * Copies a few bytes from one array to another. For fewer than about 64 bytes, this loop takes less time than `copy`
 * or `set`, which check their arguments or need a view.
 */
export function copyBytes(from: Uint8Array, at: number, to: Uint8Array, toAt: number, length: number): void {
  for (let i = 0; i < length; i += 1) to[toAt + i] = from[at + i] as number;
}

function isBytes(value: unknown): boolean {
  if (!isUint8Array(value)) return false;
  if (byteLength.call(value) > 0) return true;
  // The length is also 0 if the array's buffer is detached, or was shrunk below the start of the array. In both cases,
  // reading an item throws.
  try {
    Uint8Array.prototype.at.call(value, 0);
    return true;
  } catch {
    return false;
  }
}

function isObjectWith(value: unknown, methods: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function');
}

/** Reads a member of a caller's object. @throws TypeError if its getter throws */
export function read<T extends object>(object: T, member: keyof T & (string | number), name: string): unknown {
  try {
    return object[member];
  } catch (cause) {
    throw new TypeError(`${name}.${member} cannot be read.`, { cause });
  }
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return typeof value === 'object' ? 'another object' : `a ${typeof value}`;
}
