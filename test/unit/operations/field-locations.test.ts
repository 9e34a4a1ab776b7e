import { expect, it } from 'vitest';
import { locateFields } from '../../../src/operations/field-locations.ts';
import { locateValues } from '../../../src/operations/json-text.ts';

/** The path to which the only value of an object is bound, if `bindPath` is `exact`. */
function pathBelow(name: string): string | undefined {
  const root = locateValues(JSON.stringify({ [name]: 1 }));
  const value = [...(root.members?.values() ?? [])];
  return locateFields(root, value, 'exact').of.get(value[0] as never)?.path;
}

it.for([
  ['\b', String.raw`\b`],
  ['\t', String.raw`\t`],
  ['\n', String.raw`\n`],
  ['\f', String.raw`\f`],
  ['\r', String.raw`\r`],
  ["'", String.raw`\'`],
  ['\\', String.raw`\\`],
  ['\0', String.raw`\u0000`],
  ['\u000b', String.raw`\u000b`],
  ['\u001f', String.raw`\u001f`],
  [' ', ' '],
  ['"', '"'],
  ['\u007f', '\u007f'],
  ['é', 'é'],
] as const)('a normalized path spells %j in a name as %j (RFC 9535, section 2.7)', ([character, spelled]) => {
  expect(pathBelow(`a${character}b${character}`)).toBe(`$['a${spelled}b${spelled}']`);
});

it('locateFields returns a path with array indexes if bindPath is "exact", with * for each index by default, and an empty path for "none"', () => {
  const root = locateValues('{"a":[0,{"b":1}]}');
  const [array] = [...(root.members?.values() ?? [])];
  const item = array?.items?.[1];
  const [value] = [...(item?.members?.values() ?? [])];
  const locate = (bind: 'exact' | 'none' | undefined) =>
    locateFields(root, [value as never], bind).of.get(value as never);
  expect(locate('exact')).toEqual({ path: "$['a'][1]['b']", element: item });
  expect(locate(undefined)).toEqual({ path: "$['a'][*]['b']", element: item });
  expect(locate('none')).toEqual({ path: '', element: item });
});

it('locateFields returns the element of the innermost array around a value', () => {
  const root = locateValues('[[{"a":1},2],3]');
  const [inner] = root.items ?? [];
  const [object, two] = inner?.items ?? [];
  const [one] = [...(object?.members?.values() ?? [])];
  const { of: located } = locateFields(root, [one as never, two as never], undefined);
  expect(located.get(one as never)?.element).toBe(object);
  expect(located.get(two as never)?.element).toBe(two);
});

it('locateFields accepts paths of exactly 32 MiB in total, but not one path more', () => {
  // Each control character takes six characters, so each path has 6 * 2,457 + 1,634 + 8 = 16,384 characters.
  const name = JSON.stringify('\u0001'.repeat(2457) + 'x'.repeat(1634));
  const locate = (count: number): number => {
    const root = locateValues(`{${name}:[${Array(count).fill(1).join(',')}]}`);
    return locateFields(root, [...(root.members?.values() ?? [])][0]?.items ?? [], undefined).of.size;
  };
  expect(locate(2048)).toBe(2048);
  expect(() => locate(2049)).toThrow('The paths of all fields together have more than 33554432 characters.');
});
