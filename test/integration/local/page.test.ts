import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { extname, join } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JournalCall } from '../../../local/call-journal.ts';
import type { PageRow } from '../../../local/key-rows.ts';
import type { CommandResult } from '../../../local/keyfold-command.ts';
import { startLocalProcess, stopLocalProcess, type LocalProcess } from '../../support/local-process.ts';

interface State {
  readonly regions: readonly { readonly region: string; readonly preferred: boolean; readonly fault: unknown }[];
  readonly keys: readonly PageRow[];
}

/** The members of a response that these tests read. */
interface Answer {
  readonly record: { readonly Key: { readonly ParentKeyMeta: { readonly Created: number } } };
}

/** The content type of each file of the page, by the extension in its path. */
const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** The headers of each file of the page. The policy allows no other origin and no inline script. */
const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
};

let world: LocalProcess;

beforeAll(async () => {
  world = await startLocalProcess();
});
afterAll(() => stopLocalProcess(world));

async function get<T>(path: string): Promise<T> {
  const answer = await fetch(world.url + path);
  expect(answer.status).toBe(200);
  return (await answer.json()) as T;
}

function post(path: string, content: unknown = {}): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return fetch(world.url + path, { method: 'POST', headers, body: JSON.stringify(content) });
}

/** Sends a request and returns its response and its calls, such as `KMS us-west-2 Decrypt ok`. */
async function send(operation: string, content: unknown): Promise<{ answer: Answer; calls: string[] }> {
  const { position } = await get<{ position: number }>('/local/calls');
  const answer = (await (await post(`/v1/partitions/tenant-1/${operation}`, content)).json()) as Answer;
  const { calls } = await get<{ calls: JournalCall[] }>(`/local/calls?since=${position}`);
  const told = calls.map(({ service, region, action, keyId, outcome }) => [service, region, action, keyId, outcome]);
  return { answer, calls: told.map((parts) => parts.filter((part) => part !== null).join(' ')) };
}

/** Sends a request with headers that fetch does not allow, and returns its status. */
async function statusOf(method: string, path: string, headers: Record<string, string>): Promise<number | undefined> {
  return (await answerTo(method, path, headers)).status;
}

/** Sends a request with headers that fetch does not allow, and returns its status and its body. */
function answerTo(
  method: string,
  path: string,
  headers: Record<string, string>,
): Promise<{ status: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(world.url + path, { method, headers }, (answer) => {
      textOf(answer).then((body) => resolve({ status: answer.statusCode, body }), reject);
    });
    sent.once('error', reject);
    sent.end();
  });
}

describe('the local page', () => {
  it('responds to HEAD, which some tools send to find out whether a server is ready', async () => {
    for (const path of ['/', '/local/state']) expect(await statusOf('HEAD', path, {})).toBe(200);
  });

  it('is served with all its files, under a policy that allows no other origin and no inline script', async () => {
    const files = await readdir(join(import.meta.dirname, '..', '..', '..', 'local', 'page'));
    const paths = files.map((file) => (file === 'index.html' ? '/' : `/page/${file}`));
    expect(paths).toContain('/page/main.js');
    for (const path of paths) {
      const answer = await fetch(world.url + path);
      expect([path, answer.status]).toEqual([path, 200]);
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        ...HEADERS,
        'content-type': CONTENT_TYPES[extname(path)],
      });
      const text = (await answer.text()).replace('http://www.w3.org/2000/svg', '');
      expect(text).not.toMatch(/https?:\/\/|innerHTML|<style|style="| on\w+="/);
    }
  });

  it('refers only to files that exist', async () => {
    const page = await (await fetch(world.url)).text();
    const asked = [...page.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path = '']) => path);
    expect(asked.length).toBeGreaterThan(3);
    for (const path of asked) expect((await fetch(world.url + path)).status).toBe(200);
  });

  it.for(['/page/', '/page/none.js', '/page/../start.ts', '/page/%2e%2e/start.ts', '/page/index.html'])(
    'has no file at %s',
    async (path) => {
      expect(await statusOf('GET', path, {})).toBe(404);
    },
  );
});

describe('the routes under /local/', () => {
  const routes = [
    ['GET', '/local/state'],
    ['GET', '/local/calls'],
    ['PUT', '/local/regions/us-west-2/fault'],
    ['DELETE', '/local/regions/us-west-2/fault'],
    ['POST', '/local/keys/revoke'],
    ['POST', '/local/keys/rotate'],
    ['POST', '/local/partitions/erase'],
    ['POST', '/local/cold-start'],
    ['POST', '/local/maintenance'],
  ] as const;

  it.for(routes)("refuse %s %s if the origin or host name is not this machine's", async ([method, path]) => {
    expect(await statusOf(method, path, { origin: 'https://example.com' })).toBe(403);
    expect(await statusOf(method, path, { origin: 'null' })).toBe(403);
    expect(await statusOf(method, path, { host: 'example.com' })).toBe(403);
  });

  it('say why they refuse a request from another machine, and a body that is not JSON', async () => {
    expect(await answerTo('GET', '/local/state', { host: 'example.com' })).toEqual({
      status: 403,
      body: '{"error":"Only requests from this machine may control the local world."}',
    });
    for (const path of ['/local/keys/revoke', '/local/keys/rotate', '/local/partitions/erase']) {
      const body = '{"error":"The body is not JSON."}';
      expect(await answerTo('POST', path, {})).toEqual({ status: 400, body });
    }
    expect(await answerTo('GET', '/page/none.js', {})).toEqual({ status: 404, body: 'The file does not exist.\n' });
  });

  it('respond with JSON that browsers do not cache, even if the result is empty', async () => {
    const answer = await fetch(`${world.url}/local/regions/us-east-1/fault`, { method: 'DELETE' });
    expect([answer.status, await answer.text()]).toEqual([200, '{}']);
    const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' };
    expect(Object.fromEntries(answer.headers)).toMatchObject(headers);
    const { position, calls } = await get<{ position: number; calls: unknown[] }>('/local/calls');
    expect([position >= 0, calls]).toEqual([true, []]);
  });

  it('refuse a fault for a region that does not exist', async () => {
    const put = { method: 'PUT', body: '{"kind":"down"}' };
    const answer = await fetch(`${world.url}/local/regions/us-west-3/fault`, put);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toEqual({
      error: "Region 'us-west-3' has no key. Regions with keys: us-east-1, us-west-2",
    });
    expect((await fetch(`${world.url}/local/regions/us-west-3/fault`, { method: 'DELETE' })).status).toBe(400);
  });

  it('refuse an invalid fault and an invalid key', async () => {
    const put = { method: 'PUT', body: '{"kind":"flood"}' };
    expect((await fetch(`${world.url}/local/regions/us-west-2/fault`, put)).status).toBe(400);
    for (const content of [{}, { id: '_SK_local_keyfold' }, { id: 1, created: 2 }, { id: '--all', created: 2 }]) {
      expect((await post('/local/keys/revoke', content)).status).toBe(400);
    }
  });

  it('refuse an invalid rotation and an invalid erasure', async () => {
    for (const content of [{ partition: 1 }, { key: 'x' }])
      expect((await post('/local/keys/rotate', content)).status).toBe(400);
    for (const content of [{}, { partition: 'a', step: 'none' }, { partition: '-x', step: 'begin' }]) {
      const answer = await post('/local/partitions/erase', content);
      expect(answer.status).toBe(400);
      expect(await answer.json()).toEqual({
        error: expect.stringContaining(
          'must be a JSON object with a partition, without a hyphen at its start',
        ) as unknown,
      });
    }
  });

  it('return 404 for an unknown path', async () => {
    expect(await statusOf('GET', '/local/none', {})).toBe(404);
    expect(await statusOf('GET', '/local/calls?since=-1', {})).toBe(404);
  });
});

describe('the call journal on the local page', () => {
  it('shows the calls of a first encrypt, and no calls for a warm encrypt', async () => {
    const first = await send('encrypt', { plaintext: 'aGVsbG8=' });
    expect(first.calls.filter((call) => call.startsWith('KMS')).toSorted()).toEqual([
      'KMS us-east-1 Encrypt ok',
      'KMS us-west-2 GenerateDataKey ok',
    ]);
    expect(first.calls.filter((call) => call.startsWith('DynamoDB'))).toEqual([
      'DynamoDB Query _IK_tenant-1_local_keyfold ok',
      'DynamoDB Query _SK_local_keyfold ok',
      'DynamoDB PutItem _SK_local_keyfold ok',
      'DynamoDB PutItem _IK_tenant-1_local_keyfold ok',
    ]);
    expect((await send('encrypt', { plaintext: 'aGVsbG8=' })).calls).toEqual([]);
    expect((await send('decrypt', first.answer)).calls).toEqual([]);
  });

  it('shows that a cold decrypt tries the failing region and then the next region', async () => {
    const { answer } = await send('encrypt', { plaintext: 'aGVsbG8=' });
    const fault = `${world.url}/local/regions/us-west-2/fault`;
    expect((await fetch(fault, { method: 'PUT', body: '{"kind":"down"}' })).status).toBe(200);
    expect(await get<State>('/local/state')).toMatchObject({
      regions: [
        { region: 'us-west-2', preferred: true, fault: { kind: 'down' } },
        { region: 'us-east-1', preferred: false, fault: null },
      ],
    });
    expect((await post('/local/cold-start')).status).toBe(204);
    expect(await send('decrypt', answer)).toEqual({
      answer: { plaintext: 'aGVsbG8=' },
      calls: [
        'DynamoDB GetItem _IK_tenant-1_local_keyfold ok',
        'DynamoDB GetItem _SK_local_keyfold ok',
        'KMS us-west-2 Decrypt down',
        'KMS us-east-1 Decrypt ok',
      ],
    });
    await fetch(fault, { method: 'DELETE' });
    expect((await get<State>('/local/state')).regions[0]).toMatchObject({ fault: null });
  });

  it('shows a call that the client aborted', async () => {
    const { answer } = await send('encrypt', { plaintext: 'aGVsbG8=' });
    const fault = `${world.url}/local/regions/us-west-2/fault`;
    await fetch(fault, { method: 'PUT', body: '{"kind":"latency","ms":20000}' });
    await post('/local/cold-start');
    expect((await send('decrypt', answer)).calls.slice(2).toSorted()).toEqual([
      'KMS us-east-1 Decrypt ok',
      'KMS us-west-2 Decrypt latency',
    ]);
    await fetch(fault, { method: 'DELETE' });
  });
});

describe('the key table on the local page', () => {
  it('shows which regions wrap each System Key, and a new key after a revocation and a cold start', async () => {
    const before = await send('encrypt', { plaintext: '' });
    const created = before.answer.record.Key.ParentKeyMeta.Created;
    const { keys } = await get<State>('/local/state');
    const intermediate = keys.find((row) => row.id === '_IK_tenant-1_local_keyfold' && row.created === created);
    expect(intermediate).toMatchObject({ kind: 'intermediate', state: 'valid', parent: { id: '_SK_local_keyfold' } });
    expect(keys[0]).toMatchObject({ id: '_SK_local_keyfold', kind: 'system', state: 'valid', parent: null });
    expect(keys[0]?.wraps?.map(({ region }) => region).toSorted()).toEqual(['us-east-1', 'us-west-2']);
    expect(JSON.stringify(keys)).not.toContain('encryptedK');

    expect(await run('/local/keys/revoke', { id: '_IK_tenant-1_local_keyfold', created })).toMatchObject({
      command: `keyfold keys revoke _IK_tenant-1_local_keyfold ${created} --yes`,
      audit: { action: 'keys revoke', caller: { user: 'page', host: 'npm start' }, outcome: 'revoked' },
      exitCode: 0,
      printed: { outcome: 'revoked' },
    });
    await post('/local/cold-start');
    expect(await send('rewrap', before.answer)).toMatchObject({ answer: { rewrapped: true } });
    const states = (await get<State>('/local/state')).keys.filter((row) => row.kind === 'intermediate');
    expect(states.map(({ state }) => state)).toEqual(['valid', 'revoked']);
  });
});

/** A command of `keyfold`, its exit code, the JSON that it printed, and its last audit line, if it changed a key. */
interface Ran {
  readonly command: string;
  readonly exitCode: number;
  readonly printed: unknown;
  readonly audit?: unknown;
}

/** Runs a command of `keyfold`, as the page does. */
async function run(path: string, content: unknown): Promise<Ran> {
  const answer = await post(path, content);
  expect(answer.status).toBe(200);
  const { command, exitCode, stdout, stderr } = (await answer.json()) as CommandResult & { command: string };
  const last = stderr.split('\n').at(-1) ?? '';
  const audit = last.startsWith('{') ? { audit: JSON.parse(last) as unknown } : {};
  return { command, exitCode, printed: stdout === '' ? stderr : JSON.parse(stdout), ...audit };
}

function erase(step: string, more = {}): ReturnType<typeof run> {
  return run('/local/partitions/erase', { partition: 'tenant-2', step, ...more });
}

async function rowsOf(id: string): Promise<string[]> {
  const { keys } = await get<State>('/local/state');
  return keys.filter((row) => row.id === id).map(({ state }) => state);
}

describe('the commands that the local page runs', () => {
  it('do not revoke a key if the CLI refuses the revocation', async () => {
    const absent = { id: '_IK_none_local_keyfold', created: 1 };
    expect(await run('/local/keys/revoke', absent)).toMatchObject({ exitCode: 1, printed: { outcome: 'absent' } });
    expect(await run('/local/keys/revoke', { ...absent, id: 'none' })).toMatchObject({
      exitCode: 2,
      printed: expect.stringContaining('not the ID of a System Key or an Intermediate Key') as string,
    });
  });

  it('rotate a key without revoking the old key, so that old records still decrypt', async () => {
    const { answer } = await send('encrypt', { plaintext: 'aGVsbG8=' });
    for (const [content, command, id] of [
      [{ partition: 'tenant-1' }, 'keyfold keys rotate --partition tenant-1', '_IK_tenant-1_local_keyfold'],
      [{}, 'keyfold keys rotate', '_SK_local_keyfold'],
    ] as const) {
      const before = await rowsOf(id);
      const printed = [{ id, created: expect.any(Number) as number, outcome: 'rotated' }];
      expect(await run('/local/keys/rotate', content)).toEqual({
        command,
        exitCode: 0,
        printed,
        audit: expect.objectContaining({ outcome: 'rotated' }) as object,
      });
      expect(await rowsOf(id)).toEqual(['valid', ...before]);
    }
    await post('/local/cold-start');
    expect((await send('decrypt', answer)).answer).toEqual({ plaintext: 'aGVsbG8=' });
    expect((await send('rewrap', answer)).answer).toMatchObject({ rewrapped: true });
  });

  it("mark a partition's keys for erasure, cancel the erasure, and delete the keys after a second erasure", async () => {
    const id = '_IK_tenant-2_local_keyfold';
    const path = '/v1/partitions/tenant-2/decrypt';
    const record = await (await post('/v1/partitions/tenant-2/encrypt', { plaintext: 'aGVsbG8=' })).json();
    const statusOfDecrypt = async (): Promise<number> => {
      await post('/local/cold-start');
      return (await post(path, record)).status;
    };

    expect(await erase('finish')).toMatchObject({ exitCode: 1, printed: { outcome: 'refused' } });
    expect(await erase('begin')).toMatchObject({ exitCode: 2, printed: expect.stringContaining('needs a --reason') });
    expect(await erase('begin', { reason: "it's over", wait: '24h' })).toMatchObject({
      command: String.raw`keyfold partitions erase tenant-2 --confirm tenant-2 --reason 'it'\''s over' --wait 24h`,
      exitCode: 0,
      printed: { outcome: 'begun' },
    });
    expect([await rowsOf(id), await statusOfDecrypt()]).toEqual([['erased', 'erased'], 410]);
    expect(await erase('cancel')).toMatchObject({ exitCode: 0, printed: { outcome: 'cancelled' } });
    expect([await rowsOf(id), await statusOfDecrypt()]).toEqual([['revoked'], 200]);
    expect(await erase('begin', { reason: 'over' })).toMatchObject({ exitCode: 0, printed: { outcome: 'begun' } });
    expect(await erase('finish')).toMatchObject({ exitCode: 0, printed: { outcome: 'deleted' } });
    const { keys } = await get<State>('/local/state');
    const kinds = keys.map(({ id: one, kind, created }) => [one, kind, created ?? 0] as const);
    expect(new Set(kinds.map(([one, kind]) => `${one} ${kind}`))).toEqual(
      new Set([
        '_SK_local_keyfold system',
        '_IK_tenant-2_local_keyfold tombstone',
        '_IK_tenant-1_local_keyfold intermediate',
        '_EP_local_keyfold register',
      ]),
    );
    // The newest row of each ID comes first.
    expect(kinds).toEqual(kinds.toSorted(([a, , c], [b, , d]) => (a === b ? d - c : a < b ? 1 : -1)));
    expect(keys.every(({ wrappedBy }) => wrappedBy === null)).toBe(true);
    // The only row that remains is the tombstone.
    expect([await rowsOf(id), await statusOfDecrypt()]).toEqual([['erased'], 410]);
  });
});
