import { toJsonSchemaDefs, type JsonSchema } from '@valibot/to-json-schema';
import * as v from 'valibot';
import { isRetryable } from '../../src/errors.ts';
import type { RegionState } from '../../src/kms/region-health.ts';
import type { MetastoreState } from '../../src/metastore/dynamodb-metastore.ts';
import {
  compactRecordSchema,
  dataRowRecordSchema,
  envelopeKeySchema,
  keyMetaSchema,
  recordEntry,
  recordSchema,
} from '../../src/operations/record.ts';
import { contextFromSchema, contextSchema } from '../../src/operations/context.ts';
import { bindPathSchema } from '../../src/operations/field-context.ts';
import { ANSWERED_CODES, errorCode } from './codes.ts';
import { OPERATION_SCHEMAS } from './operations.ts';

const milliseconds = v.pipe(v.number(), v.integer(), v.description('In milliseconds since 1970.'));

const faultClass = v.picklist(['throttled', 'unavailable', 'misconfigured', 'corrupt']);
const regionState = v.picklist(['ok', 'unknown', ...faultClass.options]);
const regionFault = v.strictObject({ faultClass, errorName: v.string(), atMs: milliseconds });
const regionHealth: v.GenericSchema<RegionState> = v.strictObject({
  region: v.string(),
  state: regionState,
  atMs: v.exactOptional(milliseconds),
  lastFault: v.exactOptional(regionFault),
  avoidedUntilMs: v.exactOptional(milliseconds),
});

const metastoreState = v.picklist(['ok', 'unknown', 'unavailable']);
const metastoreError = v.strictObject({ errorName: v.string(), atMs: milliseconds });
const metastoreHealth: v.GenericSchema<MetastoreState> = v.strictObject({
  state: metastoreState,
  atMs: v.exactOptional(milliseconds),
  lastError: v.exactOptional(metastoreError),
});

const text = v.exactOptional(v.string());
const problem = v.pipe(
  v.object({
    type: v.exactOptional(v.pipe(v.string(), v.metadata({ format: 'uri' }))),
    title: text,
    status: v.exactOptional(v.pipe(v.number(), v.integer())),
    code: v.exactOptional(errorCode),
    detail: v.exactOptional(v.pipe(v.string(), v.description('For people. It holds none of the data.'))),
    requestId: text,
    retryAfterSeconds: v.exactOptional(
      v.pipe(
        v.number(),
        v.integer(),
        v.minValue(1),
        v.maxValue(5),
        v.description(
          `The same request may succeed after this time. Present if the code is one of ${ANSWERED_CODES.filter(isRetryable).join(', ')}.`,
        ),
      ),
    ),
    message: v.exactOptional(v.pipe(v.string(), v.description('The only member if API Gateway itself answers.'))),
  }),
  v.description(
    'The error of every request that fails. Keyfold answers with a problem (RFC 9457), which has all members but message, and retryAfterSeconds if the request is worth another try. API Gateway itself answers with message alone.',
  ),
);

/** A reference to a schema of the document. */
export function refTo(name: string): { readonly $ref: string } {
  return { $ref: `#/components/schemas/${name}` };
}

/** The schemas of the document, made from the schemas that check requests. */
export function jsonSchemas(): Record<string, JsonSchema> {
  const definitions = {
    SealedRecord: recordSchema,
    DataRowRecord: dataRowRecordSchema,
    EnvelopeKey: envelopeKeySchema,
    KeyMeta: keyMetaSchema,
    CompactRecord: compactRecordSchema,
    RecordContext: contextSchema,
    ContextFrom: contextFromSchema,
    BindPath: bindPathSchema,
    ...OPERATION_SCHEMAS,
    Ready: v.strictObject({ ready: v.literal(true) }),
    Health: v.strictObject({ kms: v.array(regionHealth), metastore: metastoreHealth }),
    RegionHealth: regionHealth,
    RegionState: regionState,
    RegionFault: regionFault,
    FaultClass: faultClass,
    MetastoreHealth: metastoreHealth,
    MetastoreState: metastoreState,
    MetastoreError: metastoreError,
    OpenApiDocument: v.object({ openapi: v.string() }),
    Problem: problem,
    ErrorCode: errorCode,
  };
  return toJsonSchemaDefs(definitions, {
    target: 'draft-2020-12',
    typeMode: 'input',
    overrideRef: ({ referenceId }) => refTo(referenceId).$ref,
    overrideSchema: ({ valibotSchema, jsonSchema }) => {
      if (valibotSchema === recordEntry) return refTo('SealedRecord');
      // Omit defaults, because client generators treat a member with a default as required. Add the types of constants,
      // because generators give a constant without a type the type `any`.
      const { default: _, ...rest } = jsonSchema;
      return 'const' in rest ? { type: typeof rest.const as 'string' | 'boolean', ...rest } : rest;
    },
  });
}
