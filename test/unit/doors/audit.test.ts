import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AuthConfig } from '../../../src/config/app-config.ts';
import { AuditTrail } from '../../../src/doors/audit.ts';
import { principalOf } from '../../../src/doors/authorize.ts';
import { encodeCompactRecord } from '../../../src/index.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { openDirectDoor } from '../../support/direct-door.ts';
import { captureOutput, lambdaContext, openDoor, request, sampleEvent } from '../../support/http-door.ts';
import { openQueueDoor, queueRecord, sealing } from '../../support/queue-door.ts';

const SECRET = 'c2VjcmV0IQ==';
const IAM = 'arn:aws:sts::111122223333:assumed-role/client/session';

let world: FakeDependencies;
let output: ReturnType<typeof captureOutput>;

beforeEach(() => {
  world = new FakeDependencies();
  output = captureOutput();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

/** Returns the audit lines since the last call, without their times. */
let seen = 0;
beforeEach(() => {
  seen = 0;
});
function audit(): Record<string, unknown>[] {
  const lines = output.lines().filter(({ message }) => message === 'audit');
  const fresh = lines.slice(seen).map(({ timestamp, ...line }) => {
    expect(new Date(timestamp as string).toISOString()).toBe(timestamp);
    return line;
  });
  seen = lines.length;
  return fresh;
}

/** The id and creation time of the partition's key. */
function keyOf(partition: string): string {
  const row = world.metastore.latest(`_IK_${partition}_svc_prod`);
  return `${row?.id}@${row?.created}`;
}

const OF_AN_ENCRYPT = {
  level: 'INFO',
  message: 'audit',
  service: 'svc',
  requestId: 'aws-request',
  operation: 'encrypt',
  partition: 'tenant-1',
  result: 'ok',
  context: false,
};

describe('the audit line of an operation', () => {
  it("over HTTP has the caller's IAM identity, the keys used and the result", async () => {
    const send = openDoor({ world });
    const { body } = await send(request('encrypt', { plaintext: SECRET }));
    const line = { ...OF_AN_ENCRYPT, door: 'http', principal: IAM, keys: [keyOf('tenant-1')] };
    expect(audit()).toEqual([line]);
    await send(request('decrypt', body));
    expect(audit()).toEqual([{ ...line, operation: 'decrypt' }]);
    await send(request('decrypt', body, 'tenant-2'));
    expect(audit()).toEqual([
      { ...line, operation: 'decrypt', partition: 'tenant-2', keys: [], result: 'RecordUnreadable' },
    ]);
  });

  it("over HTTP with a token has the token's issuer and subject, even if the claims do not allow the operation", async () => {
    const auth = { kind: 'jwt', partitionsClaim: 'tenants' } as const;
    const send = openDoor({ world, auth });
    const event = sampleEvent('api-encrypt-jwt');
    await send(event);
    const { claims } = (event.requestContext.authorizer as { jwt: { claims: Record<string, string> } }).jwt;
    const principal = `${claims['iss']}#${claims['sub']}`;
    expect(audit()).toMatchObject([{ principal, result: 'ok' }]);
    for (const partition of ['x'.repeat(5000), 'a b/c free text']) {
      await send({ ...event, pathParameters: { partition, operation: 'encrypt' } });
      expect(audit()).toMatchObject([{ principal, partition: null, result: 'Forbidden', keys: [] }]);
    }
    expect(world.log.take().filter((call) => call.includes('x'))).toEqual([]);
  });

  it('by direct invocation has no caller, because CloudTrail records the caller', async () => {
    const invoke = openDirectDoor({ world });
    await invoke({ operation: 'encrypt', partition: 'tenant-1', plaintext: SECRET });
    const line = { ...OF_AN_ENCRYPT, door: 'direct', principal: null, keys: [keyOf('tenant-1')] };
    expect(audit()).toEqual([line]);
    await invoke({ operation: 'encrypt', partition: 'tenant-1', plaintext: 'no base64' });
    expect(audit()).toEqual([{ ...line, keys: [], result: 'InvalidRequest' }]);
  });

  it("for a queue message has the sender's ID", async () => {
    const take = openQueueDoor({ world });
    const bad = { ...(sealing() as Record<string, unknown>), fields: ['$.missing'] };
    await take([queueRecord('m1', sealing()), queueRecord('m2', bad)]);
    const line = {
      ...OF_AN_ENCRYPT,
      door: 'queue',
      operation: 'encrypt-fields',
      principal: queueRecord('m', '').attributes.SenderId,
    };
    expect(audit()).toEqual(
      expect.arrayContaining([
        { ...line, messageId: 'm1', keys: [keyOf('tenant-1')], items: 1 },
        { ...line, messageId: 'm2', keys: [], result: 'FieldNotFound' },
      ]),
    );
  });

  it('says whether the request had a context, even if the request is refused', async () => {
    const context = { table: 'users' };
    const served = { operations: ['encrypt-batch', 'encrypt-fields'] } as const;
    const send = openDoor({ world, config: { serves: served } });
    await send(request('encrypt-batch', { items: [{ plaintext: SECRET, context }, { plaintext: SECRET }] }));
    await send(request('encrypt-batch', { items: [null, 7, { plaintext: SECRET }] }));
    await send(request('encrypt', { plaintext: SECRET, context }));
    await send(request('encrypt', 'no JSON'));
    await openQueueDoor({ world })([queueRecord('m1', { ...sealing(), contextFrom: { id: '$.id' } })]);
    const invoke = openDirectDoor({ world });
    const event = { operation: 'encrypt', partition: 'tenant-1', plaintext: SECRET };
    for (const name of ['table', '__proto_\u0000']) await invoke({ ...event, context: { [name]: 'users' } });
    expect(audit().map((line) => [line['door'], line['result'], line['context']])).toEqual([
      ['http', 'ok', true],
      ['http', 'ok', false],
      ['http', 'Forbidden', true],
      ['http', 'InvalidRequest', false],
      ['queue', expect.any(String), true],
      ['direct', 'ok', true],
      ['direct', 'InvalidRequest', true],
    ]);
  });

  it('is written even after an unexpected error, and even for an unreadable record', async () => {
    const keyfold = {
      session: () => {
        throw new RangeError(SECRET);
      },
    };
    await openDoor({ keyfold: keyfold as never })(request('encrypt', { plaintext: SECRET }));
    expect(audit()).toMatchObject([{ result: 'Internal', keys: [] }]);
    const deep = Buffer.from('['.repeat(200_000) + ']'.repeat(200_000));
    const sealed = encodeCompactRecord(await world.process().session('tenant-1').encrypt(deep), 'json');
    const event = { operation: 'decrypt-fields', partition: 'tenant-1', document: { a: sealed }, all: true };
    expect((await openDirectDoor({ world })(event)).error?.errorType).toBe('RecordUnreadable');
    expect(audit()).toMatchObject([{ result: 'RecordUnreadable', items: 1 }]);
  });

  it('has the numbers of items and failures, and names each key once', async () => {
    const send = openDoor({ world });
    const { body } = await send(request('encrypt-batch', { items: [{ plaintext: SECRET }, { plaintext: '' }, {}] }));
    const [first, second] = body['results'] as object[];
    const key = keyOf('tenant-1');
    expect(audit()).toMatchObject([{ items: 3, failed: 1, keys: [key], result: 'ok' }]);
    world.clock.advance(91 * 86_400_000);
    await send(request('rewrap-batch', { items: [first, second] }));
    const [line] = audit();
    expect(line).toMatchObject({ items: 2, keys: [key, keyOf('tenant-1')] });
    expect(line).not.toHaveProperty('failed');
  });

  it('names both keys if two were created in the same second', () => {
    const trail = new AuditTrail();
    for (const id of ['_IK_p_svc_prod_us-west-2', '_IK_p_svc_prod_us-east-1', '_IK_p_svc_prod_us-west-2']) {
      trail.keyUsed({ id, created: 60 } as never);
    }
    const asked = { door: 'direct', requestId: 'r', principal: null, operation: 'decrypt', partition: 'p' } as const;
    expect(trail.entry(asked, 'ok').keys).toEqual(['_IK_p_svc_prod_us-west-2@60', '_IK_p_svc_prod_us-east-1@60']);
  });

  it('names at most ten keys', async () => {
    const send = openDoor({ world });
    const items: object[] = [];
    for (let i = 0; i < 12; i += 1) {
      items.push((await send(request('encrypt', { plaintext: SECRET }))).body);
      world.clock.advance(91 * 86_400_000);
    }
    audit();
    await send(request('decrypt-batch', { items }));
    expect(audit().map(({ keys }) => (keys as string[]).length)).toEqual([10]);
  });
});

const JWT = { kind: 'jwt', partitionsClaim: 'tenants' } as const;
it.for([
  ['the ARN that signed the request', { kind: 'iam' }, { userArn: IAM, claims: { sub: 's' } }, IAM],
  ['null if IAM names no ARN', { kind: 'iam' }, {}, null],
  ['null if the ARN from IAM is not a string', { kind: 'iam' }, { userArn: 1 }, null],
  ['the issuer and subject of a token', JWT, { claims: { iss: 'i', sub: 's' }, userArn: IAM }, 'i#s'],
  ['only the subject of a token without an issuer', JWT, { claims: { sub: 's' } }, '#s'],
  ['null if the token has no subject', JWT, { claims: { iss: 'i' } }, null],
  ['null if the subject is not a string', JWT, { claims: { iss: 'i', sub: 1 } }, null],
  ['null if there are no claims', JWT, {}, null],
  ['null if no authorizer is configured', { kind: 'none' }, {}, null],
] as readonly (readonly [string, AuthConfig, Record<string, unknown>, string | null])[])(
  'the principal in the audit log is %s',
  ([, auth, found, principal]) => {
    expect(principalOf(auth, found)).toBe(principal);
  },
);

it.for([
  ['writes', 'ERROR', 1],
  ['does not write', 'SILENT', 0],
] as const)('an operation %s an audit line if the log level is %s', async ([, level, lines]) => {
  vi.stubEnv('POWERTOOLS_LOG_LEVEL', level);
  await openDoor({ world })(request('encrypt', { plaintext: SECRET }), lambdaContext());
  expect(audit()).toHaveLength(lines);
});

it('docs/reference/audit.md lists the fields of an audit line in order', async () => {
  const guide = readFileSync(new URL('../../../docs/reference/audit.md', import.meta.url), 'utf8');
  const [, table = ''] = /^\| field .*?\n\|[ -|]*\n(.*?)\n\n/ms.exec(guide) ?? [];
  const fields = [...table.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name);
  const { body } = await openDoor({ world })(request('encrypt-batch', { items: [{}] }));
  expect(body['results']).toHaveLength(1);
  await openQueueDoor({ world })([queueRecord('m1', sealing())]);
  const names = output
    .lines()
    .filter(({ message }) => message === 'audit')
    .map((line) => Object.keys(line));
  expect(names).toHaveLength(2);
  for (const of of names) expect(of).toEqual(fields.filter((name) => of.includes(name ?? '')));
  expect(new Set(names.flat())).toEqual(new Set(fields));
});

it('a request that performs no operation on a partition has no audit line', async () => {
  const send = openDoor({ world });
  await send(sampleEvent('api-health-iam'));
  await send(request('destroy', {}));
  expect(audit()).toEqual([]);
});
