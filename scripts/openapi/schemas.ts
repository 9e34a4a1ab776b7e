import { toJsonSchemaDefs, type JsonSchema } from '@valibot/to-json-schema';
import * as v from 'valibot';
import { KeyfoldError, type ErrorCode } from '../../src/errors.ts';
import type { RegionState } from '../../src/kms/region-health.ts';
import type { MetastoreState } from '../../src/metastore/dynamodb-metastore.ts';
import { OPERATION_NAMES, type OperationName } from '../../src/operations/operation-name.ts';
import { compactRecordSchema, dataRowRecordSchema, recordEntry, recordSchema } from '../../src/operations/record.ts';
import { SCHEMAS } from '../../src/operations/schemas.ts';

/** When each code is answered with; every code there is. One that no request is answered with is undefined. */
export const CODES: Readonly<Record<ErrorCode, string | undefined>> = {
  InvalidConfiguration: undefined,
  InvalidRequest: 'not JSON, wrong shape, two members of one name, bad base64, bad partition, bad path, too many items',
  Unauthenticated: 'the request has not passed the authorizer that is configured',
  Forbidden: 'the caller may not do this, or this function does not serve it',
  NotFound: 'there is nothing at this path',
  MethodNotAllowed: 'the path takes another method, which Allow names',
  UnsupportedMediaType: 'the body is not application/json in UTF-8, or has a Content-Encoding',
  PayloadTooLarge: 'the body, the plaintexts together, or the answer that there would be',
  FieldNotFound: 'a path selects nothing',
  ContextRequired: 'the record is bound to a context, or the configuration requires one, and the request has none',
  RecordUnreadable: "tampered with, another partition's, or its key is gone: one answer for all",
  KeyNotYetVisible: 'a key under 15 minutes old that may not have been replicated here yet',
  KmsThrottled: 'KMS throttles in every region',
  KmsUnavailable: 'no region of KMS answered, and one may later',
  KmsMisconfigured: 'every region of KMS refused',
  KeyRowUnreadable: 'a row of the key table does not parse, or its key opens nowhere',
  MetastoreUnavailable: 'DynamoDB does not answer, or refuses',
  NotReady: 'the latest System Key does not open, or the table does not answer',
  DeadlineExceeded: 'there was no time left',
  Internal: 'anything else; no detail goes out',
};

/** The codes that requests are answered with. */
const ANSWERED = (Object.keys(CODES) as ErrorCode[]).filter((code) => CODES[code] !== undefined);

const milliseconds = v.pipe(v.number(), v.integer(), v.description('In milliseconds since 1970.'));
const faultClass = v.picklist(['throttled', 'unavailable', 'misconfigured', 'corrupt']);

const region: v.GenericSchema<RegionState> = v.strictObject({
  region: v.string(),
  state: v.picklist(['ok', 'unknown', ...faultClass.options]),
  atMs: v.exactOptional(milliseconds),
  lastFault: v.exactOptional(v.strictObject({ faultClass, errorName: v.string(), atMs: milliseconds })),
  avoidedUntilMs: v.exactOptional(milliseconds),
});

const metastore: v.GenericSchema<MetastoreState> = v.strictObject({
  state: v.picklist(['ok', 'unknown', 'unavailable']),
  atMs: v.exactOptional(milliseconds),
  lastError: v.exactOptional(v.strictObject({ errorName: v.string(), atMs: milliseconds })),
});

const problem = v.pipe(
  v.object({
    type: v.pipe(v.string(), v.metadata({ format: 'uri' })),
    title: v.string(),
    status: v.pipe(v.number(), v.integer()),
    code: v.pipe(
      v.picklist(ANSWERED),
      v.description(ANSWERED.map((code) => `${code}: ${CODES[code] ?? ''}.`).join('\n')),
    ),
    detail: v.pipe(v.string(), v.description('For people. It holds none of the data.')),
    requestId: v.string(),
    retryAfterSeconds: v.exactOptional(
      v.pipe(
        v.number(),
        v.integer(),
        v.minValue(1),
        v.maxValue(5),
        v.description(`Where the same request may succeed later: ${ANSWERED.filter(isRetryable).join(', ')}.`),
      ),
    ),
  }),
  v.description('A problem (RFC 9457).'),
);

const gatewayError = v.pipe(
  v.object({ message: v.string() }),
  v.description('As API Gateway answers where it does not ask the function.'),
);

/** The name of an operation's schema: `EncryptBatchRequest`. */
export function schemaName(operation: OperationName, of: 'Request' | 'Answer' | ''): string {
  return operation.replaceAll(/(?:^|-)(\w)/g, (_, letter: string) => letter.toUpperCase()) + of;
}

/** Whether the same request may succeed later. */
export function isRetryable(code: ErrorCode): boolean {
  return new KeyfoldError(code, '').retryable;
}

/** Where a schema of the document is. */
export function refTo(name: string): { readonly $ref: string } {
  return { $ref: `#/components/schemas/${name}` };
}

/** The document's schemas, from those that requests are checked with. */
export function jsonSchemas(): Record<string, JsonSchema> {
  const ofOperations = OPERATION_NAMES.flatMap((name) => [
    [schemaName(name, 'Request'), SCHEMAS[name].input] as const,
    [schemaName(name, 'Answer'), SCHEMAS[name].output] as const,
  ]);
  const definitions = {
    Record: recordSchema,
    DataRowRecord: dataRowRecordSchema,
    CompactRecord: compactRecordSchema,
    ...Object.fromEntries(ofOperations),
    Health: v.strictObject({ kms: v.array(region), metastore }),
    Problem: problem,
    GatewayError: gatewayError,
  };
  return toJsonSchemaDefs(definitions, {
    target: 'draft-2020-12',
    typeMode: 'input',
    overrideRef: ({ referenceId }) => refTo(referenceId).$ref,
    overrideSchema: ({ valibotSchema, jsonSchema }) => {
      if (valibotSchema === recordEntry) return refTo('Record');
      // Makers of clients take a member with a default for one that must be there.
      const { default: _, ...rest } = jsonSchema;
      return rest;
    },
  });
}
