/**
 * Compares the fast reader of records with `JSON.parse`, for random texts and for request bodies that contain them.
 * Both must give the same record or refuse the text. A body with two members of the same name must be refused, too.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { readBody } from '../../../src/doors/http-request.ts';
import { dataRowRecordFromValue, decodeDataRowRecord, encodeDataRowRecord, KeyfoldError } from '../../../src/index.ts';
import { locateValues } from '../../../src/operations/json-text.ts';
import { sampleEvent } from '../../support/http-door.ts';

const wire = fc
  .record({ created: fc.nat(), key: fc.uint8Array(), id: fc.string({ unit: 'binary' }), data: fc.uint8Array() })
  .map(({ created, key, id, data }) =>
    encodeDataRowRecord({ key: { created, encryptedKey: key, parent: { id, created } }, data }),
  );

const event = sampleEvent('api-encrypt-iam');

/** Random sequences of JSON fragments around a member called Data. Some of them are valid JSON. */
const crooked = fc
  .array(
    fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      '"',
      ',"Data":"',
      '"Data":',
      '"AAAA"',
      'AAAA',
      '"a":1',
      ',',
      ' ',
      '\\',
      '\\/',
      '\\u0041',
      '\n',
      ',"More":"x"',
      '"__proto__":{}',
      '"record":',
      '"}',
      '{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}}',
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(''));

/** The text of a record with other text after its payload or inside it. */
const behindData = fc
  .tuple(
    wire,
    fc.constantFrom('', ',"More":"x"', ',"Data":"AAAA"', ',"Data":1', ' ', ','),
    fc.constantFrom('', '\\/\\/\\/\\/', '\\u0041', '\\'),
  )
  .map(([text, more, within]) => `${text.slice(0, -2)}${within}"${more}}`);

/** Request bodies that contain a record. */
const around = fc.constantFrom(
  '{"record":RECORD}',
  '{"record":RECORD]',
  '{"record":RECORD',
  '{"record":RECORD}}',
  '{"record":RECORD,"format":"compact"}',
  '{ "record":RECORD}',
  '{"record":1,"record":RECORD}',
);

function outcome(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    if (error instanceof SyntaxError || (error instanceof KeyfoldError && error.code === 'InvalidRequest'))
      return 'refused';
    throw error;
  }
}

function recordOf(value: unknown): unknown {
  return dataRowRecordFromValue((value as { record: unknown }).record);
}

it('decodeDataRowRecord and readBody read a record as JSON.parse does', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        wire,
        crooked,
        behindData,
        fc.tuple(wire, fc.nat(), crooked).map(([text, at, more]) => {
          const place = at % (text.length + 1);
          return text.slice(0, place) + more + text.slice(place);
        }),
        wire.map((text) => JSON.stringify(JSON.parse(text), null, 1)),
        fc
          .tuple(wire, fc.jsonValue())
          .map(([text, more]) => JSON.stringify({ More: more, ...(JSON.parse(text) as object), Data: '' })),
      ),
      around,
      (text, pattern) => {
        expect(outcome(() => decodeDataRowRecord(text))).toEqual(
          outcome(() => dataRowRecordFromValue(JSON.parse(text))),
        );
        const body = pattern.replace('RECORD', () => text);
        expect(outcome(() => recordOf(readBody({ ...event, body }, Infinity).value))).toEqual(
          outcome(() => {
            const value: unknown = JSON.parse(body);
            // Throws if two members have the same name.
            locateValues(body);
            return recordOf(value);
          }),
        );
      },
    ),
    {
      numRuns: 3000,
      // The closing quotation mark of the first payload is missing. The second payload is written with escapes.
      examples: [
        ['{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}},"Data":"}', '{"record":RECORD}'],
        [
          '{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}},"Data":"\\/\\/\\/\\/"}',
          '{"record":RECORD}',
        ],
      ],
    },
  );
});
