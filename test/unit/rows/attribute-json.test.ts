import { expect, it } from 'vitest';
import { attributeOfCell, cellOfAttribute } from '../../../src/rows/attribute-json.ts';

it('a map of DynamoDB keeps its values when it is read as JSON and written again', () => {
  const map = {
    text: { S: 'é"' },
    number: { N: '12345678901234567890.50' },
    yes: { BOOL: true },
    no: { BOOL: false },
    none: { NULL: true as const },
    list: { L: [{ NULL: true as const }, { N: '1' }, { L: [] }, { M: {} }] },
  };
  const cell = cellOfAttribute({ M: map });
  expect(cell).toEqual({
    kind: 'json',
    text: '{"text":"é\\"","number":12345678901234567890.50,"yes":true,"no":false,"none":null,"list":[null,1,[],{}]}',
  });
  expect(attributeOfCell(cell as never)).toEqual({ M: map });
});

it('a string and bytes of DynamoDB keep their kind when they are read and written again', () => {
  const bytes = Buffer.from([0, 255]);
  expect(cellOfAttribute({ S: '{"a":1}' })).toEqual({ kind: 'text', text: '{"a":1}' });
  expect(attributeOfCell({ kind: 'text', text: '{"a":1}' })).toEqual({ S: '{"a":1}' });
  expect(cellOfAttribute({ B: bytes })).toEqual({ kind: 'bytes', bytes });
  expect(attributeOfCell({ kind: 'bytes', bytes })).toEqual({ B: bytes });
});

it('a map with a set or bytes cannot be read as JSON', () => {
  for (const value of [{ SS: ['a'] }, { B: new Uint8Array(1) }]) {
    expect(cellOfAttribute({ M: { value } })).toEqual({ kind: 'unreadable' });
    expect(cellOfAttribute({ L: [value] as never })).toEqual({ kind: 'unreadable' });
  }
});

it('a JSON text with a lone surrogate cannot be written, because DynamoDB would not keep it', () => {
  for (const text of ['"\\ud800"', '[{"a":"\\udfffx"}]', '{"\\ud83d":1}']) {
    expect(() => attributeOfCell({ kind: 'json', text })).toThrow(
      expect.objectContaining({
        code: 'InvalidRequest',
        message: 'A string of the JSON text is not well-formed Unicode.',
      }),
    );
  }
  expect(attributeOfCell({ kind: 'json', text: '"\\ud83d\\udd11"' })).toEqual({ S: '\u{1f511}' });
});
