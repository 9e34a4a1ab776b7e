import { expect, it } from 'vitest';
import { encryptFields } from '../../../src/index.ts';
import { documentOf, sealedFieldsOf, spliced } from '../../../src/maintenance/reencryption/sealed-fields.ts';
import { memoryService } from '../../support/fakes.ts';

it('the sealed fields of a document are found and replaced in the order in which they appear in the text', async () => {
  const text = await encryptFields(memoryService().session('p'), {
    documentText: '{"a":{"x":1,"y":[2,{"z":3}]},"b":"4","c":5}',
    fields: ['$.b', '$.a.x', '$.a.y[1].z', '$.a.y[0]'],
  });
  const fields = sealedFieldsOf(documentOf(text));
  const replaced = spliced(
    text,
    fields.map(({ value }, index) => [value, `"field ${index}"`]),
  );
  expect(replaced).toBe('{"a":{"x":"field 0","y":["field 1",{"z":"field 2"}]},"b":"field 3","c":5}');
});
