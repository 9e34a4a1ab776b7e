import { describe, expect, it } from 'vitest';
import { OPERATION_NAMES, type OperationName } from '../../../src/operations/operation-name.ts';
import { errorOf, FakeDependencies } from '../../support/fakes.ts';
import { operate } from '../../support/operations.ts';

const CANARY = 'CANARY';
const RECORD = { Key: { Created: 1, Key: 'AA==', ParentKeyMeta: { KeyId: 'a', Created: 1 } }, Data: 'AA==' };
const WRAP_RECORD = 'wrap the record: {"record": …}.';
const NO_OBJECT = 'The request must be an object:';
const UNKNOWN = 'The request holds an unknown member. This operation accepts';
const NO_STRINGS = 'must be an object whose values are strings.';
const PATHS_101 = Array.from({ length: 101 }, (_, i) => `$.a${i}`);

/** Malformed requests of each operation, with the exact error message. */
const MESSAGES: readonly (readonly [OperationName, unknown, string])[] = [
  ['encrypt', '"aGVsbG8="', `${NO_OBJECT} wrap the plaintext: {"plaintext": …}.`],
  ['encrypt', null, `${NO_OBJECT} wrap the plaintext: {"plaintext": …}.`],
  ['encrypt', [], `${NO_OBJECT} wrap the plaintext: {"plaintext": …}.`],
  ['encrypt', {}, 'The request has no plaintext.'],
  ['encrypt', { plaintext: 1 }, 'plaintext must be a string.'],
  ['encrypt', { plaintext: null }, 'plaintext must be a string.'],
  ['encrypt', { plaintext: `${CANARY}!` }, 'plaintext must be padded standard base64.'],
  ['encrypt', { plaintext: '', format: 'json' }, 'format must be "compact".'],
  ['encrypt', { plaintext: '', format: null }, 'format must be "compact".'],
  ['encrypt', { plaintext: '', [CANARY]: 1 }, `${UNKNOWN} plaintext, format, context.`],
  ['encrypt', { [CANARY]: 'aGVsbG8=' }, `${UNKNOWN} plaintext, format, context.`],
  ['encrypt', { items: [] }, `${UNKNOWN} plaintext, format, context.`],
  ['encrypt', RECORD, `${UNKNOWN} plaintext, format, context.`],
  ['decrypt', '"kf1.AAAA"', `${NO_OBJECT} ${WRAP_RECORD}`],
  ['decrypt', RECORD, WRAP_RECORD],
  ['decrypt', { ...RECORD, format: 'compact' }, WRAP_RECORD],
  ['decrypt', { Key: RECORD.Key }, `${UNKNOWN} record, context, path.`],
  ['decrypt', { Data: RECORD.Data }, `${UNKNOWN} record, context, path.`],
  ['decrypt', [RECORD.Key, RECORD.Data], `${NO_OBJECT} ${WRAP_RECORD}`],
  ['decrypt', {}, 'The request has no record.'],
  ['decrypt', { record: RECORD, format: 'compact' }, `${UNKNOWN} record, context, path.`],
  ['decrypt', { record: null }, 'record must be the JSON object or the compact string of a record.'],
  ['decrypt', { record: 1 }, 'record must be the JSON object or the compact string of a record.'],
  ['decrypt', { record: JSON.stringify(RECORD) }, 'record must be the JSON object or the compact string of a record.'],
  ['decrypt', { record: CANARY }, 'record must be the JSON object or the compact string of a record.'],
  ['decrypt', { record: 'kf1.A' }, 'The compact record is malformed: it is not unpadded base64url.'],
  ['decrypt', { record: 'kf1.AAAA' }, 'The compact record is malformed: it ends too early.'],
  ['decrypt', { record: [] }, 'The record is malformed: the record is not a JSON object.'],
  ['decrypt', { record: {} }, 'The record is malformed: Key is not a JSON object.'],
  ['decrypt', { record: RECORD, context: { id: 'x', line: 5 } }, `context ${NO_STRINGS}`],
  ['decrypt', { record: RECORD, path: '$' }, 'path must come with a context, and with the compact record of a field.'],
  ['rewrap', RECORD, WRAP_RECORD],
  ['rewrap', { record: RECORD, format: 'object' }, 'format must be "compact".'],
  ['rewrap', { record: RECORD, [CANARY]: 1 }, `${UNKNOWN} record, format.`],
  ['encrypt-batch', [{ plaintext: '' }], `${NO_OBJECT} wrap the items: {"items": …}.`],
  ['encrypt-batch', {}, 'The request has no items.'],
  ['encrypt-batch', { items: {} }, 'items must be an array.'],
  ['encrypt-batch', { items: [], shareDataRowKey: 'yes' }, 'shareDataRowKey must be true or false.'],
  ['encrypt-batch', { items: [{}, {}, {}, {}] }, 'items must have at most 3 entries.'],
  ['encrypt-batch', { items: [], format: 'compact' }, `${UNKNOWN} shareDataRowKey, items.`],
  ['decrypt-batch', [RECORD], `${NO_OBJECT} wrap the items: {"items": …}.`],
  ['rewrap-batch', { records: [RECORD] }, `${UNKNOWN} items.`],
  ['encrypt-fields', [], 'The request must be a JSON object.'],
  ['encrypt-fields', { document: {} }, 'The request has no fields.'],
  ['encrypt-fields', { document: {}, fields: '$.a' }, 'fields must be an array.'],
  ['encrypt-fields', { document: {}, fields: [] }, 'fields must have 1 to 100 entries.'],
  ['encrypt-fields', { document: {}, fields: PATHS_101 }, 'fields must have 1 to 100 entries.'],
  ['encrypt-fields', { document: {}, fields: ['$', 1] }, 'fields[1] must be a string.'],
  ['encrypt-fields', { document: {}, fields: ['$'], allowMissing: 1 }, 'allowMissing must be true or false.'],
  ['encrypt-fields', { document: {}, fields: ['$'], skipSealed: 'true' }, 'skipSealed must be true or false.'],
  ['encrypt-fields', { document: {}, fields: ['$'], shareDataRowKey: 0 }, 'shareDataRowKey must be true or false.'],
  ['encrypt-fields', { document: {}, fields: ['$'], bindPath: CANARY }, 'bindPath must be "exact" or "none".'],
  ['decrypt-fields', { document: {}, all: true, bindPath: null }, 'bindPath must be "exact" or "none".'],
  ['encrypt-fields', { documentText: {}, fields: ['$'] }, 'documentText must be a string.'],
  ['encrypt-fields', { documentText: CANARY, fields: ['$'] }, 'documentText must be JSON.'],
  ['encrypt-fields', { fields: ['$'] }, 'The request must have a document, or its JSON text as documentText.'],
  [
    'encrypt-fields',
    { document: 1, documentText: '1', fields: ['$'] },
    'The request must have either a document or a documentText, not both.',
  ],
  [
    'encrypt-fields',
    { document: {}, fields: ['$'], all: true },
    `${UNKNOWN} document, documentText, fields, allowMissing, skipSealed, shareDataRowKey, context, contextFrom, bindPath.`,
  ],
  ['encrypt-fields', '{"documentText":"\\"\ud800\\"","fields":["$"]}', 'The document is not well-formed Unicode.'],
  [
    'encrypt-fields',
    { document: [1, 2, 3, 4], fields: ['$[*]'] },
    'The request selects more than 3 values of the document.',
  ],
  [
    'encrypt-fields',
    { document: { a: { b: 1 } }, fields: ['$.a', '$.a.b'] },
    'The fields select a value inside another that they select.',
  ],
  ['encrypt-fields', { document: 1, fields: ['$'], context: { id: 'x', line: 5 } }, `context ${NO_STRINGS}`],
  ['encrypt-fields', { document: 1, fields: ['$'], contextFrom: ['$.id'] }, `contextFrom ${NO_STRINGS}`],
  [
    'encrypt-fields',
    { document: 1, fields: ['$'], bindPath: 'none' },
    'bindPath must come with context or contextFrom.',
  ],
  [
    'decrypt-fields',
    { document: { a: 1 }, fields: ['$.a'] },
    'The fields select a value that is not a compact record.',
  ],
  ['decrypt-fields', { document: {}, all: false }, 'all must be true.'],
  ['decrypt-fields', { document: {}, fields: [] }, 'fields must have 1 to 100 entries.'],
  ['decrypt-fields', { document: {} }, 'The request must have either fields or "all": true.'],
  ['decrypt-fields', { document: {}, fields: ['$'], all: true }, 'The request must have either fields or "all": true.'],
  [
    'decrypt-fields',
    { document: {}, all: true, allowMissing: true },
    'allowMissing must come with fields, not with all.',
  ],
  [
    'decrypt-fields',
    { document: {}, all: true, allowMissing: false },
    'allowMissing must come with fields, not with all.',
  ],
  [
    'decrypt-fields',
    { document: {}, fields: ['$'], skipSealed: true },
    `${UNKNOWN} document, documentText, fields, all, allowMissing, context, contextFrom, bindPath.`,
  ],
];

describe('the error message for a malformed request', () => {
  it.for(MESSAGES)('for %s says what is wrong with %j', async ([operation, body, message]) => {
    const world = new FakeDependencies();
    const { answer } = operate(world.process(), { maxItems: 3 });
    const error = await errorOf(answer(operation, body));
    expect(error).toMatchObject({ code: 'InvalidRequest', message });
    expect(String(error)).not.toContain(CANARY);
    expect(world.log.take()).toEqual([]);
  });

  it.for(OPERATION_NAMES)(
    'for %s comes from a rejected promise, and not from a synchronous throw',
    async (operation) => {
      const asked = operate().ask(operation, { [CANARY]: 1 });
      expect(await errorOf(asked)).toMatchObject({ code: 'InvalidRequest' });
    },
  );

  it.for([
    ['encrypt-batch', 'aGVsbG8=', `${NO_OBJECT} wrap the plaintext: {"plaintext": …}.`],
    ['encrypt-batch', { plaintext: '', [CANARY]: 1 }, `${UNKNOWN} plaintext, format, context.`],
    ['decrypt-batch', RECORD, WRAP_RECORD],
    ['rewrap-batch', 'kf1.AAAA', `${NO_OBJECT} ${WRAP_RECORD}`],
  ] as const)(
    "of an item in %s is in the item's result, and says what is wrong (%j)",
    async ([operation, item, detail]) => {
      const { results } = await operate().answer(operation, { items: [item] });
      expect(results).toEqual([{ error: { code: 'InvalidRequest', detail } }]);
    },
  );
});
