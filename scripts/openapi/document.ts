import packageJson from '../../package.json' with { type: 'json' };
import { bodyLimitBytes } from '../../src/doors/http-request.ts';
import { HTTP_PARTITION } from '../../src/operations/http-partition.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { ACTION_OF, OPERATION_NAMES, type OperationName } from '../../src/operations/operation-name.ts';
import { DEFAULT_LIMITS } from '../../src/operations/operation.ts';
// The records in these examples are constants, so that the document does not change. They open with the keys of the
// group `rotation` in test/unit/vectors/asherah-go.json.
import examples from './examples.json' with { type: 'json' };
import { OPERATIONS, schemaName } from './operations.ts';
import { HEADERS, NO_STORE, Responses, type Part } from './responses.ts';
import { jsonSchemas, refTo } from './schemas.ts';

const ABOUT = `Encrypts payloads into records, and decrypts records. The service stores neither. Records have Asherah's format.

For a path that is not listed here, the answer is NotFound. For another method on a listed path, the answer is MethodNotAllowed with the header Allow.
The answer to HEAD is that to GET, without the body. In a request, no object may have two members with the same name. The limits shown are the defaults: \`KEYFOLD_PLAINTEXT_LIMIT_BYTES\` and \`KEYFOLD_MAX_ITEMS\` change them.`;

const SUMMARIES: Readonly<Record<OperationName, string>> = {
  encrypt: 'Seal a payload',
  decrypt: 'Open a record',
  rewrap: "Move a record under the partition's latest key",
  'encrypt-batch': 'Seal payloads',
  'decrypt-batch': 'Open records',
  'rewrap-batch': "Move records under the partition's latest key",
  'encrypt-fields': 'Seal values of a JSON document',
  'decrypt-fields': 'Open values of a JSON document',
};

const TAGS: Part = {
  Items: 'One payload or record.',
  Batches: 'Many payloads or records, each as the operation on one takes and answers it.',
  Fields: 'Values of a JSON document, each replaced by a compact record.',
  Service: 'About the service itself.',
};

/** The errors that a request with a body can cause before its operation begins. */
const OF_REQUESTS: readonly ErrorCode[] = ['InvalidRequest', 'Forbidden', 'PayloadTooLarge', 'UnsupportedMediaType'];

/** The API's OpenAPI 3.1 document. */
export function openApiDocument(): Part {
  const responses = new Responses();
  const paths = {
    ...Object.fromEntries(
      OPERATION_NAMES.map((name) => [`/v1/partitions/{partition}/${name}`, pathOf(name, responses)]),
    ),
    '/v1/health': { get: health(responses) },
    '/v1/ready': { get: ready(responses) },
    '/v1/openapi.json': { get: ownDocument(responses) },
  };
  return {
    openapi: '3.1.1',
    info: { title: 'Keyfold', version: packageJson.version, summary: packageJson.description, description: ABOUT },
    servers: [
      {
        url: 'https://{api}.execute-api.{region}.amazonaws.com',
        description: 'An HTTP API in API Gateway. For a REST API, add the stage.',
        variables: { api: { default: 'abc123' }, region: { default: 'us-west-2' } },
      },
      {
        url: 'https://{id}.lambda-url.{region}.on.aws',
        description: 'A function URL. Requests to it are signed for the service lambda.',
        variables: { id: { default: 'abc123' }, region: { default: 'us-west-2' } },
      },
      { url: 'http://127.0.0.1:8080', description: 'npm start' },
    ],
    security: [{ iam: [] }, { jwt: [] }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      securitySchemes: {
        iam: {
          type: 'apiKey',
          in: 'header',
          name: 'Authorization',
          description:
            'AWS Signature Version 4 for execute-api, where a policy on the path says who may do what, or for lambda.',
          'x-amazon-apigateway-authtype': 'awsSigv4',
        },
        jwt: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description:
            'A token with the scope of the operation, and a claim that names the partition; or whatever a Lambda authorizer accepts.',
        },
      },
      parameters: {
        Partition: {
          name: 'partition',
          in: 'path',
          required: true,
          description:
            'The partition of the keys and the record, usually a tenant. Not percent-encoded, except that @ may be %40.',
          schema: { type: 'string', minLength: 1, maxLength: 128, pattern: HTTP_PARTITION.source },
          example: 'tenant-1',
        },
      },
      headers: HEADERS,
      responses: responses.described,
      schemas: jsonSchemas(),
    },
  };
}

function pathOf(name: OperationName, responses: Responses): Part {
  const { request, answer } = examples[name];
  const limitBytes = bodyLimitBytes(name, DEFAULT_LIMITS.plaintextLimitBytes);
  return {
    parameters: [{ $ref: '#/components/parameters/Partition' }],
    post: {
      operationId: schemaName(name, '').replace(/^./, (first) => first.toLowerCase()),
      summary: SUMMARIES[name],
      tags: [tagOf(name)],
      security: [{ iam: [] }, { jwt: [`keyfold/${ACTION_OF[name]}`] }],
      requestBody: {
        required: true,
        description: `At most ${limitBytes} bytes, and ${DEFAULT_LIMITS.plaintextLimitBytes} of plaintext.`,
        content: { 'application/json': { schema: refTo(schemaName(name, 'Request')), example: request } },
      },
      responses: {
        200: success('Done.', refTo(schemaName(name, 'Answer')), answer),
        ...responses.ofFailures([...OF_REQUESTS, ...OPERATIONS[name].codes]),
      },
    },
  };
}

function health(responses: Responses): Part {
  const example = {
    kms: [{ region: 'us-west-2', state: 'ok', atMs: 1_795_447_000_031 }],
    metastore: { state: 'ok', atMs: 1_795_446_999_990 },
  };
  return {
    operationId: 'health',
    summary: 'The last known state of the KMS regions and the metastore. Makes no call.',
    tags: ['Service'],
    responses: { 200: success('The last known state.', refTo('Health'), example), ...responses.ofFailures([]) },
  };
}

function ready(responses: Responses): Part {
  return {
    operationId: 'ready',
    summary: 'Whether requests can be served: the latest System Key opens, and the table answers.',
    description: 'A process checks this at most once in five seconds, and answers from the last check until then.',
    tags: ['Service'],
    responses: { 200: success('They can.', refTo('Ready'), { ready: true }), ...responses.ofFailures(['NotReady']) },
  };
}

function ownDocument(responses: Responses): Part {
  return {
    operationId: 'openApi',
    summary: 'This document',
    tags: ['Service'],
    responses: { 200: success('This document.', refTo('OpenApiDocument')), ...responses.ofFailures([]) },
  };
}

function success(description: string, schema: Part, example?: unknown): Part {
  const content = { 'application/json': { schema, ...(example !== undefined && { example }) } };
  return { description, headers: NO_STORE, content };
}

function tagOf(name: OperationName): string {
  if (name.endsWith('-batch')) return 'Batches';
  return name.endsWith('-fields') ? 'Fields' : 'Items';
}
