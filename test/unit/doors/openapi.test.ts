/** Compares the API's OpenAPI document with the door, and its examples with real responses. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import document from '../../../docs/openapi.json' with { type: 'json' };
import { MemoryMetastore, SessionFactory, StaticKms } from '../../../src/index.ts';
import { openApiDocument } from '../../../scripts/openapi/document.ts';
import { decodeKeyItem, type KeyItem } from '../../../src/metastore/dynamodb-item.ts';
import { ACTION_OF, OPERATION_NAMES, type OperationName } from '../../../src/operations/operation-name.ts';
import { captureOutput, openDoor, request, sampleEvent, type Event } from '../../support/http-door.ts';
import { mustConform, PATHS, responseOf, type DocumentedOperation } from '../../support/openapi.ts';

/** A time shortly after the latest key of the test vectors was created. */
const NOW_MS = 1_795_344_200_000;

let send: ReturnType<typeof openDoor>;

beforeEach(async () => {
  captureOutput();
  send = openDoor({ keyfold: await vectorsService() });
});
afterEach(() => {
  vi.restoreAllMocks();
});

interface Vectors {
  readonly groups: { readonly name: string; readonly static_master_key: string; readonly metastore_rows: KeyItem[] }[];
}

/** The service that owns the keys in the examples. */
async function vectorsService(): Promise<SessionFactory> {
  const file = new URL('../vectors/asherah-go.json', import.meta.url);
  const { groups } = JSON.parse(readFileSync(file, 'utf8')) as Vectors;
  const group = groups.find(({ name }) => name === 'rotation');
  if (group === undefined) throw new Error('the vectors have changed');
  const metastore = new MemoryMetastore();
  for (const row of group.metastore_rows) await metastore.store(decodeKeyItem(row));
  const kms = new StaticKms(Buffer.from(group.static_master_key), {});
  return new SessionFactory({ service: 'orders', product: 'rot', metastore, kms, now: () => NOW_MS });
}

function exampleOf(operation: DocumentedOperation | undefined): { asked: unknown; answered: unknown } {
  const [, content] = Object.entries(operation?.responses['200']?.content ?? {})[0] ?? [];
  return {
    asked: operation?.requestBody?.content['application/json'].example,
    answered: (content as { example?: unknown } | undefined)?.example,
  };
}

/** The decrypted content of a response. Encrypted responses cannot be compared, because encryption is randomised. */
async function inTheClear(operation: OperationName, answer: unknown): Promise<unknown> {
  if (ACTION_OF[operation] === 'decrypt') return answer;
  if (operation === 'encrypt-fields') {
    return (await send(request('decrypt-fields', { ...(answer as object), all: true }))).body;
  }
  const { results = [answer] } = answer as { results?: unknown[] };
  const items = (results as { record: unknown }[]).map(({ record }) => ({ record }));
  return (await send(request('decrypt-batch', { items }))).body['results'];
}

describe('the OpenAPI example', () => {
  it.for(OPERATION_NAMES)('of %s gets the response that the document gives', async (name) => {
    const { asked, answered } = exampleOf(PATHS[`/v1/partitions/{partition}/${name}`]?.['post']);
    const answer = await send(request(name, asked));
    expect(answer.status).toBe(200);
    const clear = await inTheClear(name, answer.body);
    expect(JSON.stringify(clear)).not.toContain('"kf1');
    expect(clear).toEqual(await inTheClear(name, answered));
    // A rewrap keeps the record's content, so the comparison above cannot show whether the record was rewrapped.
    expect(answer.body['rewrapped']).toBe((answered as typeof answer.body)['rewrapped']);
  });
});

describe('the OpenAPI document', () => {
  it('lists every operation and every other route', async () => {
    const operations = OPERATION_NAMES.map((name) => `/v1/partitions/{partition}/${name}`);
    expect(Object.keys(PATHS)).toEqual([...operations, '/v1/health', '/v1/ready', '/v1/openapi.json']);
    const event: Event = {
      ...sampleEvent('api-health-iam'),
      routeKey: 'GET /v1/openapi.json',
      rawPath: '/v1/openapi.json',
    };
    expect((await send(event)).body).toEqual(document);
  });

  it('is generated from the schemas that check requests', () => {
    // Convert the generated document to JSON and back, which removes members that are undefined.
    expect(document).toEqual(JSON.parse(JSON.stringify(openApiDocument())));
  });

  it('is served only to authorized callers, like the health report', async () => {
    const event: Event = {
      ...sampleEvent('api-health-iam'),
      routeKey: 'GET /v1/openapi.json',
      rawPath: '/v1/openapi.json',
    };
    delete event.requestContext.authorizer;
    expect((await send(event)).body['code']).toBe('Unauthenticated');
  });

  it.for(OPERATION_NAMES)('names the scope that the HTTP API requires for %s', async (name) => {
    const { security = [] } = PATHS[`/v1/partitions/{partition}/${name}`]?.['post'] ?? {};
    const { jwt: scopes = [] } = security.find(({ jwt }) => jwt !== undefined) ?? {};
    expect(security).toEqual([{ iam: [] }, { jwt: scopes }]);
    const letIn = openDoor({ auth: { kind: 'jwt', partitionsClaim: 'tenants' } });
    const passed: string[] = [];
    for (const scope of ['keyfold/encrypt', 'keyfold/decrypt', 'keyfold/rewrap']) {
      const event = request(name, {});
      event.requestContext.authorizer = { jwt: { claims: { tenants: 'tenant-1', scope }, scopes: null } };
      if ((await letIn(event)).status !== 403) passed.push(scope);
    }
    expect(passed).toEqual(scopes);
  });

  it.for([
    ...['a', 'A-Z.a_z~0@9', '.', '..', '...', 'a b', 'a/b', 'a%41', 'a:b'].map(
      (name) => [`the name ${name}`, name] as const,
    ),
    ['a name of 128 characters', 'x'.repeat(128)],
    ['a name of 129 characters', 'x'.repeat(129)],
    ['an empty name', ''],
  ] as const)(
    'allows a partition with %s if and only if the HTTP API accepts that partition',
    async ([, partition]) => {
      const { pattern, minLength, maxLength } = document.components.parameters.Partition.schema;
      const { length } = partition;
      const isAllowed = new RegExp(pattern).test(partition) && minLength <= length && length <= maxLength;
      expect((await send(request('encrypt', { plaintext: '' }, partition))).status).toBe(isAllowed ? 200 : 400);
    },
  );

  it.for([
    ['kf1.', {}],
    ['kf2.', { context: { id: '1' } }],
  ] as const)(
    'sets the same minimum length as the HTTP API for a compact record that begins with %s',
    async ([prefix, binding]) => {
      const isAllowed = new RegExp(document.components.schemas.CompactRecord.pattern);
      const { body } = await send(request('encrypt', { plaintext: '', format: 'compact', ...binding }));
      const bytes = Buffer.from(String(body['record']).slice(prefix.length), 'base64url');
      // Replace the key ID, which consists of the bytes from 14 to `end`, with an ID of one byte.
      const end = 14 + bytes.readUInt16BE(12);
      const shortest = Buffer.concat([bytes.subarray(0, 12), Buffer.from([0, 1, 0x69]), bytes.subarray(end)]);
      for (const [given, code] of [
        [bytes, undefined],
        [shortest, 'RecordUnreadable'],
        [shortest.subarray(0, -1), 'InvalidRequest'],
      ] as const) {
        const record = prefix + given.toString('base64url');
        const answer = await send(request('decrypt', { record, ...binding }));
        expect([answer.body['code'], isAllowed.test(record)]).toEqual([code, code !== 'InvalidRequest']);
        const field = record.replace('.', 'j.');
        expect(isAllowed.test(field)).toBe(code !== 'InvalidRequest');
      }
    },
  );

  it.for([0, 31, 32, 33])('allows a proof of %i bytes if and only if the HTTP API accepts that proof', async (size) => {
    const context = { id: '1' };
    const { body } = await send(request('encrypt', { plaintext: '', context }));
    const Proof = Buffer.alloc(size, 0xff).toString('base64');
    const record = { ...(body['record'] as object), Proof };
    const { body: problem } = await send(request('decrypt', { record, context }));
    const isAllowed = new RegExp(document.components.schemas.DataRowRecord.properties.Proof.pattern).test(Proof);
    expect([problem['code'], isAllowed]).toEqual(size === 32 ? ['RecordUnreadable', true] : ['InvalidRequest', false]);
  });

  it('promises Retry-After only for errors after which a retry may help', () => {
    const retryable = new Set(['503', '504']);
    const wrong: string[] = [];
    for (const [path, { post }] of Object.entries(PATHS)) {
      for (const [status, given] of Object.entries(post?.responses ?? {})) {
        const { headers = {}, content = {} } = responseOf(given);
        const problem = JSON.stringify(content['application/problem+json'] ?? {});
        const promises = ['Retry-After' in headers, problem.includes('"retryAfterSeconds":')];
        const isRetryable = retryable.has(status) && problem !== '{}';
        if (promises.some((one) => one !== isRetryable)) wrong.push(`${path} ${status}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it.for(['encrypt-fields', 'decrypt-fields'])('says that %s can fail because a field is missing', async (name) => {
    const answer = await send(request(name, { document: {}, fields: ['$.card'] }));
    expect(answer).toMatchObject({ status: 422, body: { code: 'FieldNotFound' } });
  });

  it('gives no member a default, because client generators would make a member with a default required', () => {
    expect(JSON.stringify(document.components.schemas)).not.toContain('"default":');
  });

  it.for([
    ['an unknown member', { status: 200, headers: {}, body: { plaintext: '', more: 1 } }, /must NOT have additional/],
    ['malformed base64', { status: 200, headers: {}, body: { plaintext: 'a' } }, /must match pattern/],
    ['an undocumented status', { status: 418, headers: {}, body: {} }, /418/],
    ['another content type', { status: 200, headers: { 'content-type': 'text/plain' }, body: {} }, /text\/plain/],
    [
      'no cache-control header',
      { status: 200, headers: { 'cache-control': undefined }, body: { plaintext: '' } },
      /without/,
    ],
    [
      'the error code of another operation',
      { status: 422, headers: {}, body: { code: 'FieldNotFound' } },
      /documented codes/,
    ],
    ['a problem document without a code', { status: 422, headers: {}, body: {} }, /no code/],
    [
      'a problem document that says another status',
      { status: 422, headers: {}, body: { code: 'RecordUnreadable', status: 400 } },
      /says 400/,
    ],
  ] as const)('allows no response with %s', ([, { status, headers, body }, complaint]) => {
    const type = status === 200 ? 'application/json' : 'application/problem+json';
    const problem = { type: 'urn:x', title: '', status, detail: '', requestId: '' };
    const answer = {
      status,
      headers: { 'content-type': type, 'cache-control': 'no-store', ...headers } as Record<string, string>,
      body: status === 200 ? body : { ...problem, ...body },
    };
    expect(() => mustConform(request('decrypt', {}), answer)).toThrow(complaint);
  });
});

const SCHEMA_PLACE = /\/(?:schema|items|additionalProperties|(?:schemas|properties|allOf|anyOf|oneOf)\/[^/]+)$/;

/** Every schema in the document, with its path. A schema in the components has the path `#/components/schemas/NAME`. */
function schemasOf(part: unknown, place = '#'): [place: string, schema: unknown][] {
  // Omits examples, because they are data, and `"additionalProperties": false`, because every generator understands it.
  if (/\/examples?$/.test(place) || (place.endsWith('/additionalProperties') && part === false)) return [];
  const members = typeof part === 'object' && part !== null ? Object.entries(part) : [];
  const inner = members.flatMap(([name, member]) => schemasOf(member, `${place}/${name}`));
  return SCHEMA_PLACE.test(place) ? [[place, part], ...inner] : inner;
}

const keys = (schema: unknown): string[] => Object.keys(schema as object);

describe('the OpenAPI document, as input for client generators,', () => {
  const schemas = schemasOf(document);

  it('has no boolean schema', () => {
    expect(schemas.length).toBeGreaterThan(100);
    expect(schemas.filter(([, schema]) => typeof schema === 'boolean')).toEqual([]);
  });

  it('names every object, union and enumeration', () => {
    const composed = schemas.filter(([, schema]) =>
      keys(schema).some((key) => ['properties', 'anyOf', 'oneOf', 'allOf', 'enum'].includes(key)),
    );
    const named = /^#\/components\/schemas\/\w+$/;
    expect(composed.filter(([place]) => named.test(place)).length).toBeGreaterThan(30);
    expect(composed.map(([place]) => place).filter((place) => !named.test(place))).toEqual([]);
  });

  it('builds unions only from named schemas', () => {
    for (const [place, schema] of schemas) {
      const { anyOf, oneOf, allOf, ...rest } = schema as Record<string, Record<string, unknown>[]>;
      const united = anyOf ?? oneOf ?? allOf;
      if (united === undefined) continue;
      expect([place, united.map(keys)]).toEqual([place, united.map(() => ['$ref'])]);
      expect([place, keys(rest).filter((key) => key !== 'description')]).toEqual([place, []]);
    }
  });

  it('gives each constant and enumeration a type', () => {
    const untyped = schemas.filter(([, schema]) => keys(schema).some((key) => key === 'const' || key === 'enum'));
    expect(untyped.filter(([, schema]) => !('type' in (schema as object)))).toEqual([]);
  });

  it('has only one error type', () => {
    const contents = Object.values(PATHS)
      .flatMap((methods) => Object.values(methods))
      .flatMap(({ responses }) => Object.entries(responses ?? {}))
      .filter(([status]) => status !== '200')
      .flatMap(([, response]) => Object.values(responseOf(response).content ?? {}));
    expect(contents.length).toBeGreaterThan(50);
    for (const content of contents) expect(content).toMatchObject({ schema: { $ref: '#/components/schemas/Problem' } });
  });

  it('gives no schema the name of a built-in type in TypeScript, Python or Java', () => {
    const utilities = ['Record', 'Partial', 'Required', 'Readonly', 'Pick', 'Omit', 'Exclude', 'Extract', 'Awaited'];
    const others = ['Any', 'Exception', 'Integer', 'List', 'Long', 'Override', 'Thread', 'Type', 'Union'];
    const taken = new Set([...Object.getOwnPropertyNames(globalThis), ...utilities, ...others]);
    expect(keys(document.components.schemas).filter((name) => taken.has(name))).toEqual([]);
  });
});
