import { expect, it } from 'vitest';
import { naming, namingFields, type FieldNames } from '../../../src/maintenance/reencryption/rows.ts';

const NONE = { fields: ['card'], partitionField: undefined, partition: undefined, context: undefined } as const;
const FIELDS: Readonly<Record<string, string>> = { tenant: 'p', id: '42' };
const named = (names: Partial<FieldNames>): ReturnType<typeof naming> =>
  naming({ ...NONE, contextFrom: undefined, ...names }, (field) => FIELDS[field]);

it.for<[string, Partial<FieldNames>, string | undefined]>([
  ['undefined if neither a field nor the operator names it', {}, undefined],
  ['the one that the operator names', { partition: 'q' }, 'q'],
  ['the text of the field', { partitionField: 'tenant' }, 'p'],
  // If the partition were undefined, the row's record would name it. No record is of the empty partition.
  ['empty if the row lacks the field', { partitionField: 'absent' }, ''],
])("a row's partition is %s", ([, names, partition]) => {
  expect(named(names)).toStrictEqual({ partition, context: undefined });
});

it.for<[string, Partial<FieldNames>, object]>([
  ['entries from the operator', { context: { table: 'cards' } }, { table: 'cards' }],
  ['entries from fields', { contextFrom: { row: 'id' } }, { row: '42' }],
  ['both', { context: { table: 'cards' }, contextFrom: { row: 'id' } }, { table: 'cards', row: '42' }],
  ['an entry without a value if the row lacks the field', { contextFrom: { row: 'absent' } }, { row: undefined }],
  ['no entries if the operator names none', { context: {} }, {}],
])("a row's context has %s", ([, names, context]) => {
  expect(named(names)).toStrictEqual({ partition: undefined, context });
});

it("a row's context may have an entry named __proto__", () => {
  const { context = {} } = named({ contextFrom: JSON.parse('{"__proto__":"id"}') as Record<string, string> });
  expect(Object.entries(context)).toEqual([['__proto__', '42']]);
});

it('namingFields lists each field of the partition and the context only once', () => {
  const names = { ...NONE, partitionField: 'id', contextFrom: { a: 'id', b: 'at', c: 'at' } };
  expect(namingFields(names)).toEqual(['id', 'at']);
  expect(namingFields({ ...NONE, contextFrom: undefined })).toEqual([]);
});
