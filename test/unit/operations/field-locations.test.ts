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
