import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeleteItemCommand, DynamoDBClient, PutItemCommand, type AttributeValue } from '@aws-sdk/client-dynamodb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { operatorAdapters } from '../../../src/container.ts';
import { encodeCompactRecord, encodeDataRowRecord, parseEpochSeconds, type DataRowRecord } from '../../../src/index.ts';
import type { RegisteredErasure } from '../../../src/maintenance/erasure-table.ts';
import type { Row } from '../../../src/maintenance/reencryption/rows.ts';
import { encryptFields } from '../../../src/operations/session-fields.ts';
import { TOMBSTONE_CREATED } from '../../../src/records/ids.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { DAY_MS } from '../../support/fakes.ts';
import { HealthyService, WEST } from '../../support/healthy-service.ts';
import { killedSource } from '../../support/killed-source.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import { cellsOf, type CliRun } from '../../support/operator.ts';
import { createRowsTable } from '../../support/rows-table.ts';

const INTERMEDIATE_KEY = '_IK_tenant-1_orders_shop';
const SYSTEM_KEY = '_SK_orders_shop';
const PLAINTEXT = 'CANARY-plaintext';

let folder: string;
let world: HealthyService;
let record: DataRowRecord;
let created: number;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-records-'));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(async () => {
  world = await HealthyService.start();
  record = await world.sessions().session('tenant-1').encrypt(Buffer.from(PLAINTEXT));
  ({ created } = record.key.parent);
});
afterEach(() => world.stop());

function keyfold(args: readonly string[], stdin = ''): Promise<CliRun> {
  return world.operator.keyfold(args, world.settings, { stdin });
}

async function fileOf(name: string, lines: readonly string[]): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, lines.map((line) => `${line}\n`).join(''));
  return file;
}

const compact = (of = record): string => encodeCompactRecord(of, 'bytes') ?? '';

/** The record inside this many nested objects, each with the member `record`, as in an API response. */
function nested(depth: number): string {
  return '{"record":'.repeat(depth) + encodeDataRowRecord(record) + '}'.repeat(depth);
}

const dated = (seconds: number): string => new Date(seconds * 1000).toISOString();

describe('keyfold inspect', () => {
  it('explains a record in every form, from an argument, a file or standard input', async () => {
    const expected = {
      form: 'object',
      intermediateKey: { id: INTERMEDIATE_KEY, created, createdAt: new Date(created * 1000).toISOString() },
      partition: 'tenant-1',
      dataRowKey: { created: record.key.created, createdAt: new Date(record.key.created * 1000).toISOString() },
      bound: false,
      sealedBytes: record.data.length,
      plaintextBytes: PLAINTEXT.length,
    };
    const json = encodeDataRowRecord(record);
    const file = await fileOf('record.json', [`{"record":${json}}`]);
    const runs: [string[], string | undefined, string][] = [
      [[json], undefined, 'object'],
      [[` ${json}`], undefined, 'object'],
      [[`\n${compact()}\n`], undefined, 'bytes'],
      [[file], undefined, 'object'],
      [['-'], json, 'object'],
      [[compact()], undefined, 'bytes'],
      [['-'], `"${compact()}"\n`, 'bytes'],
      [[encodeCompactRecord(record, 'json') ?? ''], undefined, 'json'],
    ];
    for (const [args, stdin, form] of runs) {
      const { code, stdout } = await keyfold(['inspect', '--json', ...args], stdin);
      expect([code, JSON.parse(stdout)]).toEqual([0, { ...expected, form }]);
    }
  });

  it('prints the record, its key row and its System Key', async () => {
    const [systemKey] = JSON.parse((await keyfold(['keys', 'list', '--json'])).stdout) as [{ created: number }];
    expect(cellsOf(await keyfold(['inspect', compact(), '--chain']))).toEqual([
      ['form', 'compact string of bytes'],
      ['key', `${INTERMEDIATE_KEY} ${created} (${dated(created)})`],
      ['partition', 'tenant-1'],
      ['sealed', `${dated(record.key.created)}, when its Data Row Key was made`],
      ['context', 'none'],
      ['size', `${PLAINTEXT.length} bytes of plaintext, ${record.data.length} sealed`],
      [''],
      ['row', `${INTERMEDIATE_KEY} ${created}`],
      ['state', 'valid'],
      [''],
      ['row', `${SYSTEM_KEY} ${systemKey.created}`],
      ['state', 'valid'],
      ...Object.keys(world.keys).map((region) => [
        `wrapped in ${region}`,
        expect.stringContaining(`arn:aws:kms:${region}:`),
      ]),
    ]);
  });

  it("prints a record's form, and says whether the record's key belongs to another service", async () => {
    const foreign = { ...record, key: { ...record.key, parent: { id: '_IK_tenant-1_billing_shop', created } } };
    const [form, , partition] = cellsOf(await keyfold(['inspect', encodeDataRowRecord(foreign)]));
    expect([form, partition]).toEqual([
      ['form', 'JSON object'],
      ['partition', 'of another service, or no service is set'],
    ]);
    const [ofField] = cellsOf(await keyfold(['inspect', encodeCompactRecord(record, 'json') ?? '']));
    expect(ofField).toEqual(['form', 'compact string of a field of a document']);
  });

  it("says whether a record is bound to a context, and with --chain looks up the record's key rows", async () => {
    const bound = await world.sessions().session('tenant-1').withContext({ row: '7' }).encrypt(Buffer.from('x'));
    const { code, stdout } = await keyfold(['inspect', compact(bound), '--chain']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^context +bound: it opens only with its context$/m);
    expect(stdout).toMatch(new RegExp(`^row +${INTERMEDIATE_KEY} ${created}$`, 'm'));
    expect(stdout).toMatch(/wrapped in us-east-1 +arn:aws:kms:us-east-1/);
    const chain = JSON.parse((await keyfold(['inspect', compact(), '--chain', '--json'])).stdout) as {
      chain: object[];
    };
    expect(chain.chain).toMatchObject([
      { id: INTERMEDIATE_KEY, state: 'valid' },
      { id: SYSTEM_KEY, state: 'valid', kms: 'aws' },
    ]);
  });

  it('says with --chain that a transit key wraps the System Key', async () => {
    const json = (await keyfold(['inspect', compact(), '--chain', '--json'])).stdout;
    const [, systemKey] = (JSON.parse(json) as { chain: [object, { created: number }] }).chain;
    const encryptedKey = Buffer.from(`vault:v3:${Buffer.alloc(60).toString('base64')}`);
    await world.operator.put(keyRecord(SYSTEM_KEY, systemKey.created, { encryptedKey }));
    const { stdout } = await keyfold(['inspect', compact(), '--chain']);
    expect(stdout).toMatch(/^wrapped by +version 3 of a transit key$/m);
  });

  it('fails with --chain if a key row of the record is absent', async () => {
    const lost = { ...record, key: { ...record.key, parent: { id: INTERMEDIATE_KEY, created: 60 } } };
    const run = await keyfold(['inspect', compact(lost), '--chain']);
    expect([run.code, cellsOf(run).slice(-3)]).toEqual([
      1,
      [[''], ['row', `${INTERMEDIATE_KEY} 60`], ['state', 'absent']],
    ]);
    const { chain } = JSON.parse((await keyfold(['inspect', compact(lost), '--chain', '--json'])).stdout) as {
      chain: unknown;
    };
    expect(chain).toEqual([{ id: INTERMEDIATE_KEY, created: 60, state: 'absent' }]);
    await world.operator.put({ Id: { S: INTERMEDIATE_KEY }, Created: { N: '60' }, KeyRecord: { S: 'x' } });
    const unreadable = await keyfold(['inspect', compact(lost), '--chain']);
    expect([unreadable.code, cellsOf(unreadable).slice(-2)]).toEqual([
      1,
      [
        ['row', `${INTERMEDIATE_KEY} 60`],
        ['state', expect.stringMatching(/^unreadable: .*KeyRecord is missing or malformed/)],
      ],
    ]);
  });

  it('refuses an API response that contains another API response, at any depth', async () => {
    expect((await keyfold(['inspect', '-'], nested(1))).code).toBe(0);
    for (const depth of [2, 100_000]) {
      const { code, stderr } = await keyfold(['inspect', '-'], nested(depth));
      expect([code, stderr]).toEqual([2, expect.stringContaining('The record is malformed')]);
    }
  });

  it.for([
    ['a malformed record', '{"Key":"CANARY"}', 'The record is malformed'],
    ['a malformed compact record', 'kf1.CANARY!', 'record'],
    ['a file that does not exist', '/nowhere/CANARY', 'The file /nowhere/CANARY cannot be read: ENOENT'],
  ] as const)('refuses %s', async ([, source, says]) => {
    const { code, stderr } = await keyfold(['inspect', source]);
    expect([code, stderr]).toEqual([2, expect.stringContaining(says)]);
  });
});

/** The results of `verify --json`: the unreadable rows, and the counts. */
async function verified(...args: string[]): Promise<{ code: number; rows: object[]; counts: Record<string, unknown> }> {
  const { code, stdout } = await keyfold(['verify', '--json', ...args]);
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { code, rows: lines.slice(0, -1), counts: lines.at(-1) ?? {} };
}

describe('keyfold verify', () => {
  it('removes its progress line from the terminal at the end, even if the key table fails meanwhile', async () => {
    const other = await world.sessions().session('tenant-2').encrypt(Buffer.from(PLAINTEXT));
    const file = await fileOf('progress.jsonl', [
      ...Array<string>(256).fill(encodeDataRowRecord(record)),
      encodeDataRowRecord(other),
    ]);
    for (const fault of [undefined, { kind: 'error', name: 'ResourceNotFoundException', status: 400 }] as const) {
      const lines: string[] = [];
      world.proxy.faultOf = () => {
        world.operator.clock.advance(1100);
        return lines.length > 0 ? fault : undefined;
      };
      const run = await world.operator.keyfold(['verify', file], world.settings, {
        status: (text) => lines.push(text),
      });
      expect(run.stdout === '').toBe(fault !== undefined);
      const failed = /^keyfold: Row line 257: The metastore does not answer\.\n.*ResourceNotFoundException/;
      expect(run.stderr).toMatch(fault === undefined ? /^$/ : failed);
      expect(lines[0]).toMatch(/^256 records /);
      expect(lines.at(-1)).toBe('');
    }
  });

  it('estimates from the size of the file how many records are left', async () => {
    const { clock } = world.operator;
    vi.spyOn(clock, 'now').mockImplementation(() => (clock.nowMs += 2000));
    const lines: string[] = [];
    const file = await fileOf('progress.jsonl', Array<string>(300).fill(compact()));
    await world.operator.keyfold(['verify', file], world.settings, { status: (text) => lines.push(text) });
    expect(lines[0]).toMatch(/^256 records of about 300, \d+ s left, /);
  });

  describe('of a DynamoDB table', () => {
    const TableName = 'Customers';
    const SOURCE = `dynamodb:${TableName}`;
    let client: DynamoDBClient;

    beforeEach(async () => {
      client = new DynamoDBClient({ endpoint: world.proxy.endpoint, region: WEST, credentials: LOCAL_CREDENTIALS });
      await createRowsTable(client, TableName);
    });
    afterEach(() => client.destroy());

    const put = (id: string, card?: AttributeValue): Promise<unknown> =>
      client.send(new PutItemCommand({ TableName, Item: { id: { S: id }, ...(card && { card }) } }));

    it('opens records in every form, including records in the fields of documents, and writes nothing', async () => {
      const session = world.sessions().session('tenant-1');
      const request = { documentText: '{"a":1,"b":[2],"c":3}', fields: ['$.a', '$.b[0]'] };
      const json = encodeDataRowRecord(record);
      const { Key, Data } = JSON.parse(json) as { Key: { Created: number; Key: string }; Data: string };
      await put('compact', { S: compact() });
      await put('bytes', { B: Buffer.from(compact()) });
      await put('json', { S: json });
      await put('map', {
        M: {
          Key: {
            M: {
              Created: { N: String(Key.Created) },
              Key: { S: Key.Key },
              ParentKeyMeta: { M: { KeyId: { S: INTERMEDIATE_KEY }, Created: { N: String(created) } } },
            },
          },
          Data: { S: Data },
        },
      });
      await put('document', { S: await encryptFields(session, request) });
      await put('document without sealed fields', { S: '{"a":1}' });
      await put('none');
      world.proxy.calls = [];
      const { code, counts, rows } = await verified(SOURCE, '--field', 'card', '--report', join(folder, 'report'));
      expect([code, rows]).toEqual([0, []]);
      const expected = { source: SOURCE, records: 6, opens: 6, keys: [{ id: INTERMEDIATE_KEY, created, records: 6 }] };
      expect(counts).toMatchObject(expected);
      expect(JSON.parse(await readFile(join(folder, 'report'), 'utf8'))).toEqual(counts);
      expect(world.proxy.calls.filter((call) => /Put|Update|Delete/.test(call))).toEqual([]);
    });

    it('names each row that holds no record, or a record that does not open', async () => {
      const bound = await world.sessions().session('tenant-1').withContext({ row: '7' }).encrypt(Buffer.from('x'));
      await put('bound', { S: compact(bound) });
      await put('broken', { S: compact({ ...record, data: Buffer.alloc(60) }) });
      await put('plain', { S: 'CANARY' });
      await put('set', { SS: ['CANARY'] });
      await put('hidden', { S: JSON.stringify({ a: encodeDataRowRecord(record) }) });
      await put('base64', { S: JSON.stringify({ a: Buffer.from(compact()).toString('base64') }) });
      const { code, counts, rows } = await verified(SOURCE, '--field', 'card');
      expect([code, counts]).toMatchObject([1, { records: 6, opens: 0, needsContext: 1, unreadable: 5, malformed: 4 }]);
      const codes = rows.map((row) => Object.values(row) as string[]).map(([id = '', why]) => [JSON.parse(id).id, why]);
      expect(Object.fromEntries(codes)).toEqual({
        broken: 'RecordUnreadable',
        plain: 'InvalidRequest',
        set: 'InvalidRequest',
        hidden: 'InvalidRequest',
        base64: 'InvalidRequest',
      });
    });

    it.for([
      ['a table needs --field', [SOURCE]],
      ['--id goes with a file', [SOURCE, '--field', 'card', '--id', 'id']],
      ['--read-units goes with a table in DynamoDB', ['postgres:customers', '--field', 'card', '--read-units', '5']],
      ['--source-region goes with a table in DynamoDB', ['rows.jsonl', '--source-region', WEST]],
      ['set DATABASE_URL', ['postgres:customers', '--field', 'card']],
    ] as const)('refuses a wrong combination of options and settings, and says "%s"', async ([says, args]) => {
      const { code, stderr } = await keyfold(['verify', ...args]);
      expect([code, stderr]).toEqual([2, expect.stringContaining(says)]);
    });

    it('stops if no item has the field, because the name of the field may be misspelled', async () => {
      await put('sealed', { S: encodeDataRowRecord(record) });
      const { code, stdout, stderr } = await keyfold(['verify', SOURCE, '--field', 'crad']);
      const says = `keyfold: No item of ${SOURCE} has a value in the attribute crad.\n`;
      expect([code, stdout, stderr]).toEqual([2, '', says]);
    });

    it.for([
      ['stops if no item has the field and the last page is empty', [['other'], []], 2],
      ['accepts a last page without the field', [['card'], ['other']], 0],
      ['accepts an empty table', [[]], 0],
    ] as const)('%s', async ([, pages, expectedCode]) => {
      const cell = { kind: 'text', text: compact() } as const;
      const rowsOf = (names: readonly string[]): Row[] =>
        names.map((name) => ({
          id: name,
          cells: new Map(name === 'card' ? [[name, cell]] : []),
          partition: undefined,
          context: undefined,
        }));
      world.operator.adapters.openRows = async () => ({
        ...killedSource(() => {}),
        pages: async function* () {
          yield* pages.map(rowsOf);
        },
      });
      expect((await keyfold(['verify', SOURCE, '--field', 'card'])).code).toBe(expectedCode);
    });

    it('stops if the table does not exist', async () => {
      const { code, stdout, stderr } = await keyfold(['verify', 'dynamodb:Absent', '--field', 'card']);
      expect([code, stdout, stderr]).toEqual([1, '', expect.stringContaining('The table Absent fails')]);
    });
  });

  it('lists a record whose key is not visible in this region yet, and checks the other records', async () => {
    const now = Math.floor(world.operator.clock.nowMs / 1000);
    const young = { id: `${INTERMEDIATE_KEY}_eu-west-1`, created: now };
    const file = await fileOf('rows.jsonl', [
      encodeDataRowRecord({ ...record, key: { ...record.key, parent: young } }),
      encodeDataRowRecord(record),
    ]);
    const settings = { ...world.settings, KEYFOLD_REGION_SUFFIX: WEST };
    const run = await world.operator.keyfold(['verify', file], settings);
    expect([run.code, run.stdout]).toEqual([1, expect.stringContaining('unreadable  line 1  KeyNotYetVisible')]);
    expect(cellsOf(run)).toEqual(expect.arrayContaining([['open', '1']]));
  });

  it('counts the records for each outcome and for each key', async () => {
    const bound = await world.sessions().session('tenant-1').withContext({ row: '7' }).encrypt(Buffer.from('x'));
    const other = await world.sessions().session('tenant-2').encrypt(Buffer.from(PLAINTEXT));
    const broken = { ...record, data: Buffer.alloc(60) };
    const lost = { ...record, key: { ...record.key, parent: { id: INTERMEDIATE_KEY, created: 60 } } };
    const foreign = { ...record, key: { ...record.key, parent: { id: '_IK_tenant-1_billing_shop', created } } };
    const file = await fileOf('rows.jsonl', [
      encodeDataRowRecord(record),
      `"${compact(other)}"`,
      '',
      encodeDataRowRecord(bound),
      encodeDataRowRecord(broken),
      encodeDataRowRecord(lost),
      encodeDataRowRecord(foreign),
      '{"Key":"CANARY"',
    ]);
    const { code, rows, counts } = await verified(file);
    expect(code).toBe(1);
    expect(rows).toEqual([
      { row: 'line 5', code: 'RecordUnreadable' },
      { row: 'line 6', code: 'RecordUnreadable' },
      { row: 'line 7', code: 'RecordUnreadable' },
      { row: 'line 8', code: 'InvalidRequest' },
    ]);
    expect(counts).toEqual({
      kind: 'keyfold-records',
      source: file,
      startedAt: new Date(world.operator.clock.nowMs).toISOString(),
      service: 'orders',
      product: 'shop',
      records: 7,
      opens: 2,
      needsContext: 1,
      unreadable: 4,
      malformed: 1,
      keys: [
        { id: INTERMEDIATE_KEY, created, records: 3 },
        { id: '_IK_tenant-2_orders_shop', created: other.key.parent.created, records: 1 },
        { id: INTERMEDIATE_KEY, created: 60, records: 1 },
        { id: '_IK_tenant-1_billing_shop', created, records: 1 },
      ],
    });
  });

  it('prints the unreadable rows, the counts, and the keys of the records', async () => {
    const bound = await world.sessions().session('tenant-1').withContext({ row: '7' }).encrypt(Buffer.from('x'));
    const file = await fileOf('printed.jsonl', [encodeDataRowRecord(record), encodeDataRowRecord(bound), 'CANARY']);
    expect(cellsOf(await keyfold(['verify', file]))).toEqual([
      ['unreadable', 'line 3', 'InvalidRequest'],
      ['records', '3'],
      ['open', '1'],
      ['need a context', '1'],
      ['unreadable', '1'],
      ['KEY', 'CREATED', 'RECORDS'],
      [INTERMEDIATE_KEY, String(created), '2'],
    ]);
  });

  it('counts a line that is not UTF-8 as malformed, so that the key of the record in that line does not look retired', async () => {
    const text = await world.sessions().session('tenant-é').encryptToJson(Buffer.from(PLAINTEXT));
    const file = join(folder, 'latin.jsonl');
    await writeFile(file, Buffer.from(text, 'latin1'));
    const { rows, counts } = await verified(file);
    expect(rows).toEqual([{ row: 'line 1', code: 'InvalidRequest' }]);
    expect(counts).toMatchObject({ unreadable: 1, malformed: 1, keys: [] });
  });

  it("reads each line's record and row name from the members that --field and --id name", async () => {
    const file = await fileOf('named.jsonl', [
      JSON.stringify({ pk: 'customer-1', card: compact() }),
      JSON.stringify({ pk: 'customer-2', card: 'CANARY' }),
      JSON.stringify({ pk: 'customer-3' }),
    ]);
    const { rows, counts } = await verified(file, '--field', 'card', '--id', 'pk');
    expect(rows).toEqual([
      { row: 'customer-2', code: 'InvalidRequest' },
      { row: 'customer-3', code: 'InvalidRequest' },
    ]);
    expect(counts).toMatchObject({ opens: 1, unreadable: 2 });
  });

  it('finds members despite a bug of JSON.parse that confuses names, and keeps every digit of an ID', async () => {
    // These texts trigger a bug of `JSON.parse` in Node 24.21: see test/unit/doors/confused-names.test.ts.
    for (const text of ['{"x":0,"\\\\":0}', '{"x":0,"\\n":0}', '{"x":0,"caf\\\\":0}', '{"x":0,"caf\\n":0}'])
      JSON.parse(text);
    const lines = [
      `{"x":0,"caf\\u00e9":${JSON.stringify(compact())}}`,
      '{"x":12345678901234567890,"caf\\u00e9":"CANARY"}',
    ];
    const { rows, counts } = await verified(await fileOf('names.jsonl', lines), '--field', 'café', '--id', 'x');
    expect(rows).toEqual([{ row: '12345678901234567890', code: 'InvalidRequest' }]);
    expect(counts).toMatchObject({ opens: 1, unreadable: 1 });
  });

  it('refuses a line that repeats the record member, and accepts other members of any size and depth', async () => {
    const card = JSON.stringify(compact());
    const many = JSON.stringify(Array.from({ length: 100_001 }, () => 0));
    const deep = '['.repeat(101) + ']'.repeat(101);
    const lines = [`{"card":${card},"card":${card}}`, `{"card":${card},"a":${many}}`, `{"a":${deep},"card":${card}}`];
    const { rows, counts } = await verified(await fileOf('members.jsonl', lines), '--field', 'card');
    expect(rows).toEqual([{ row: 'line 1', code: 'InvalidRequest' }]);
    expect(counts).toMatchObject({ opens: 2, unreadable: 1 });
  });

  it('reads lines of any length with either line ending, and a last line without a line ending', async () => {
    const large = await world.sessions().session('tenant-1').encryptToJson(Buffer.alloc(600_000));
    const file = join(folder, 'endings.jsonl');
    await writeFile(file, `${large}\r\n\n${encodeDataRowRecord(record)}\r\n${large}\n"${compact()}"`);
    const run = await keyfold(['verify', file, '--json']);
    expect(JSON.parse(run.stdout)).toMatchObject({ records: 4, opens: 4 });
    const fromInput = await keyfold(['verify', '-', '--json'], await readFile(file, 'utf8'));
    expect(JSON.parse(fromInput.stdout)).toMatchObject({ records: 4, opens: 4 });
  });

  it('reads a file that begins with a byte order mark', async () => {
    const file = await fileOf('marked.jsonl', [`\ufeff${encodeDataRowRecord(record)}`, `"${compact()}"`]);
    const { code, counts } = await verified(file);
    expect([code, counts]).toEqual([0, expect.objectContaining({ records: 2, opens: 2 })]);
  });

  it('does not let the name of a row add a line to the output', async () => {
    const file = await fileOf('forged.jsonl', [JSON.stringify({ pk: 'x  RecordUnreadable\nopen  9', card: '' })]);
    const { stdout } = await keyfold(['verify', file, '--field', 'card', '--id', 'pk']);
    expect(stdout.split('\n')[0]).toBe(String.raw`unreadable  x  RecordUnreadable\x0aopen  9  InvalidRequest`);
  });

  it('reads standard input, and shows neither plaintext nor the lines that it reads', async () => {
    const { code, stdout, stderr } = await keyfold(['verify', '-'], `${compact()}\n"${compact()}"\nCANARY\n`);
    expect(code).toBe(1);
    expect(stdout).toMatch(/unreadable {2}line 1 {2}InvalidRequest\nunreadable {2}line 3/);
    expect(stdout).toMatch(/records +3\nopen +1\n/);
    expect(stdout + stderr).not.toContain('CANARY');
  });

  it('stops if KMS is down, because without KMS the command cannot tell whether a record is unreadable', async () => {
    for (const region of Object.keys(world.keys)) {
      world.kms.setFault(region, { kind: 'error', name: 'DisabledException' });
    }
    const file = await fileOf('one.jsonl', [encodeDataRowRecord(record)]);
    const { code, stdout, stderr } = await keyfold(['verify', file]);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(
      /^keyfold: Row line 1: Every KMS region refused: .*\nDecrypt in us-west-2: .*; Decrypt in us-east-1: .*\n?$/,
    );
  });

  it('stops if DynamoDB refuses a call, and says why', async () => {
    world.proxy.faultOf = () => ({ kind: 'error', name: 'AccessDeniedException', status: 400 });
    const { code, stderr } = await keyfold(['verify', await fileOf('one.jsonl', [encodeDataRowRecord(record)])]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^keyfold: Row line 1: .*\nDynamoDB table EncryptionKey in us-west-2: AccessDeniedException/,
    );
  });

  it('keeps the lines in order, and looks up each key once for a thousand records', async () => {
    const lines = Array.from({ length: 1000 }, (_, i) => (i % 300 === 299 ? '{}' : encodeDataRowRecord(record)));
    world.proxy.calls = [];
    const { rows, counts } = await verified(await fileOf('many.jsonl', lines));
    expect(counts).toMatchObject({ records: 1000, opens: 997, unreadable: 3 });
    expect(rows.map((row) => (row as { row: string }).row)).toEqual(['line 300', 'line 600', 'line 900']);
    expect(world.proxy.calls).toEqual(['Get IK', 'Get SK']);
  });
});

/** Verifies the lines, and returns the file of the report. */
async function report(name: string, lines: readonly string[]): Promise<string> {
  const file = join(folder, name);
  await keyfold(['verify', await fileOf(`${name}.jsonl`, lines), '--report', file]);
  return file;
}

/** The exit code and the output of `keys retire-check`. */
async function check(id: string, date: number, ...reports: string[]): Promise<object> {
  const { code, stdout } = await keyfold(['keys', 'retire-check', id, String(date), '--report', ...reports, '--json']);
  const { id: ofId, created: ofDate, ...found } = JSON.parse(stdout) as Record<string, unknown>;
  expect([ofId, ofDate]).toEqual([id, date]);
  return { code, ...found };
}

describe('keys retire-check', () => {
  it('prints how many of the known records are under the key', async () => {
    const used = await report('printed-used', [encodeDataRowRecord(record)]);
    const none = await report('printed-none', []);
    const printed = async (file: string) =>
      (await keyfold(['keys', 'retire-check', INTERMEDIATE_KEY, String(created), '--report', file, none])).stdout;
    const many = await report('printed-many', [
      encodeDataRowRecord(record),
      encodeDataRowRecord({ ...record, key: { ...record.key, parent: { id: INTERMEDIATE_KEY, created: 60 } } }),
    ]);
    const sealing = '- it still seals: revoke it, or wait until it expires\n';
    expect(await printed(used)).toBe(`In use: 1 of 1 known records are under it.\n${sealing}`);
    expect(await printed(many)).toBe(`In use: 1 of 2 known records are under it.\n${sealing}`);
    expect(await printed(none)).toBe(`Not known to be retired.\n${sealing}`);
    await keyfold(['keys', 'revoke', INTERMEDIATE_KEY, String(created), '--yes']);
    expect(await printed(none)).toBe('Retired: none of 0 known records is under it.\n');
  });

  it('counts the records under an Intermediate Key, and under all Intermediate Keys of a System Key', async () => {
    const used = await report('used', [encodeDataRowRecord(record), encodeDataRowRecord(record)]);
    const none = await report('none', []);
    const [systemKey] = JSON.parse((await keyfold(['keys', 'list', '--json'])).stdout) as [{ created: number }];
    for (const [id, date] of [
      [INTERMEDIATE_KEY, created],
      [SYSTEM_KEY, systemKey.created],
    ] as const) {
      await keyfold(['keys', 'revoke', id, String(date), '--yes']);
      expect(await check(id, date, used, none)).toEqual({ code: 1, outcome: 'in-use', records: 2, why: [] });
      expect(await check(id, date, none)).toEqual({ code: 0, outcome: 'retired', records: 0, why: [] });
    }
  });

  it('does not count the records under a key of the same ID with another date', async () => {
    const other = parseEpochSeconds(created - 60);
    const parent = { id: INTERMEDIATE_KEY, created: other };
    const used = await report('other-date', [encodeDataRowRecord({ ...record, key: { ...record.key, parent } })]);
    await keyfold(['keys', 'revoke', INTERMEDIATE_KEY, String(created), '--yes']);
    expect(await check(INTERMEDIATE_KEY, created, used)).toEqual({ code: 0, outcome: 'retired', records: 0, why: [] });
    const [systemKey] = JSON.parse((await keyfold(['keys', 'list', '--json'])).stdout) as [{ created: number }];
    const older = parseEpochSeconds(systemKey.created - 60);
    await world.operator.put(keyRecord(SYSTEM_KEY, older, { revoked: true }));
    const latest = await report('latest-date', [encodeDataRowRecord(record)]);
    expect(await check(SYSTEM_KEY, older, latest)).toEqual({ code: 0, outcome: 'retired', records: 0, why: [] });
  });

  it('does not report a System Key as retired if known records are under an Intermediate Key with an unreadable row', async () => {
    const used = await report('under-unreadable', [encodeDataRowRecord(record)]);
    const [systemKey] = JSON.parse((await keyfold(['keys', 'list', '--json'])).stdout) as [{ created: number }];
    await keyfold(['keys', 'revoke', SYSTEM_KEY, String(systemKey.created), '--yes']);
    const row = { Id: { S: INTERMEDIATE_KEY }, Created: { N: String(created) }, KeyRecord: { S: 'CANARY' } };
    await world.operator.put(row);
    expect(await check(SYSTEM_KEY, systemKey.created, used)).toEqual({
      code: 1,
      outcome: 'unknown',
      records: 0,
      why: [`1 records are under ${INTERMEDIATE_KEY} ${created}, whose row cannot be read: its System Key is unknown`],
    });
    expect(await check(SYSTEM_KEY, systemKey.created, await report('none', []))).toMatchObject({ outcome: 'retired' });
  });

  it('does not report a System Key as retired if known records are under an Intermediate Key without a row', async () => {
    const used = await report('under-absent', [encodeDataRowRecord(record)]);
    const [systemKey] = JSON.parse((await keyfold(['keys', 'list', '--json'])).stdout) as [{ created: number }];
    await keyfold(['keys', 'revoke', SYSTEM_KEY, String(systemKey.created), '--yes']);
    const client = new DynamoDBClient({ endpoint: world.operator.endpoint, region: 'us-west-2' });
    const Key = { Id: { S: INTERMEDIATE_KEY }, Created: { N: String(created) } };
    await client.send(new DeleteItemCommand({ TableName: 'EncryptionKey', Key }));
    expect(await check(SYSTEM_KEY, systemKey.created, used)).toEqual({
      code: 1,
      outcome: 'unknown',
      records: 0,
      why: [`1 records are under ${INTERMEDIATE_KEY} ${created}, whose row is absent: its System Key is unknown`],
    });
    const foreign = { ...record, key: { ...record.key, parent: { id: '_IK_tenant-1_billing_shop', created } } };
    const others = await report('under-foreign', [encodeDataRowRecord(foreign)]);
    expect(await check(SYSTEM_KEY, systemKey.created, others)).toMatchObject({ outcome: 'retired' });
    // A tombstone does not count, because it can be forged, and because the erasure may not have ended. Only the
    // register shows whether the erasure has ended.
    const proof = Buffer.alloc(32);
    const erasure = { erase: 'x', at: parseEpochSeconds(1), due: parseEpochSeconds(2) };
    await world.operator.put({ ...keyRecord(INTERMEDIATE_KEY, TOMBSTONE_CREATED), erased: { ...erasure, proof } });
    const names = { service: 'orders', product: 'shop' };
    const table = { endpoint: world.operator.endpoint, region: 'us-west-2' };
    const { register } = operatorAdapters.openErasureTables(table, names);
    const entry = { ...erasure, partition: 'tenant-1' } as RegisteredErasure;
    await register.add(entry);
    expect(await check(SYSTEM_KEY, systemKey.created, used)).toMatchObject({ outcome: 'unknown' });
    await register.update({ ...entry, deletedAt: 3 });
    expect(await check(SYSTEM_KEY, systemKey.created, used)).toMatchObject({ outcome: 'retired' });
  });

  it('counts records that name the System Key itself', async () => {
    const [systemKey] = JSON.parse((await keyfold(['keys', 'list', '--json'])).stdout) as [{ created: number }];
    await keyfold(['keys', 'revoke', SYSTEM_KEY, String(systemKey.created), '--yes']);
    const parent = { id: SYSTEM_KEY, created: systemKey.created };
    const used = await report('under-system', [encodeDataRowRecord({ ...record, key: { ...record.key, parent } })]);
    expect(await check(SYSTEM_KEY, systemKey.created, used)).toMatchObject({ outcome: 'in-use', records: 1 });
  });

  it('does not report a key as retired if the key still seals or does not exist', async () => {
    const none = await report('none', []);
    expect(await check(INTERMEDIATE_KEY, created, none)).toEqual({
      code: 1,
      outcome: 'unknown',
      records: 0,
      why: ['it still seals: revoke it, or wait until it expires'],
    });
    expect(await check(INTERMEDIATE_KEY, 60, none)).toMatchObject({ code: 1, why: ['there is no such key row'] });
  });

  it('does not report a key as retired if the date of the key is in the future, because the key will seal later', async () => {
    const none = await report('none', []);
    const ahead = created + 91 * 86_400;
    await world.operator.put(keyRecord(INTERMEDIATE_KEY, parseEpochSeconds(ahead)));
    for (const date of [String(ahead), 'latest']) {
      const args = ['keys', 'retire-check', INTERMEDIATE_KEY, date, '--report', none, '--json'];
      const { code, stdout } = await keyfold(args);
      const why = ['it is dated ahead, and will seal once its date is near: revoke it'];
      expect([code, JSON.parse(stdout)]).toMatchObject([1, { outcome: 'unknown', why }]);
    }
    await keyfold(['keys', 'revoke', INTERMEDIATE_KEY, String(ahead), '--yes']);
    expect(await check(INTERMEDIATE_KEY, ahead, none)).toMatchObject({ code: 0, outcome: 'retired' });
  });

  it('does not report a key as retired because of a mark of an erasure, which may have an invalid proof', async () => {
    const none = await report('unproven', []);
    const date = parseEpochSeconds(created);
    const erased = { erase: 'e', at: date, due: date, proof: Buffer.alloc(32) };
    await world.operator.put({ ...keyRecord(INTERMEDIATE_KEY, date), erased });
    const found = await check(INTERMEDIATE_KEY, created, none);
    expect(found).toMatchObject({ code: 1, why: ['it still seals: revoke it, or wait until it expires'] });
  });

  it("gets no report from keyfold verify if this machine's clock is a day ahead of the table's", async () => {
    const file = join(folder, 'ahead');
    const source = await fileOf('ahead.jsonl', [encodeDataRowRecord(record)]);
    world.moveTableClock(-DAY_MS);
    const { code, stderr } = await keyfold(['verify', source, '--report', file]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("the table's shows")]);
    expect(await readFile(file, 'utf8').catch(() => 'absent')).toBe('absent');
    expect((await keyfold(['verify', source])).code).toBe(0);
  });

  it("does not report a key as retired if the table's clock differs from this machine's", async () => {
    const none = await report('none', []);
    await keyfold(['keys', 'revoke', INTERMEDIATE_KEY, String(created), '--yes']);
    world.moveTableClock(-91 * DAY_MS);
    const found = await check(INTERMEDIATE_KEY, created, none);
    expect(found).toMatchObject({ code: 1, outcome: 'unknown', why: [expect.stringContaining("the table's shows")] });
  });

  it("does not trust a report that predates the key's expiry, covers another service, or has records that do not parse", async () => {
    const early = await report('early', []);
    const malformed = await report('malformed', ['{}']);
    const foreign = join(folder, 'foreign');
    await writeFile(foreign, (await readFile(early, 'utf8')).replace('"orders"', '"billing"'));
    const product = join(folder, 'product');
    await writeFile(product, (await readFile(early, 'utf8')).replace('"shop"', '"store"'));
    world.operator.clock.advance(91 * DAY_MS);
    const late = await report('late', []);
    const sourceOf = (name: string): string => join(folder, `${name}.jsonl`);
    const expired = `the report on ${sourceOf('early')} began before the key expired`;
    expect(await check(INTERMEDIATE_KEY, created, late)).toMatchObject({ code: 0, outcome: 'retired' });
    for (const [file, why] of [
      [early, [expired]],
      [
        malformed,
        [
          `${sourceOf('malformed')} has 1 records that do not parse, so their keys are unknown`,
          `the report on ${sourceOf('malformed')} began before the key expired`,
        ],
      ],
      [foreign, [`the report on ${sourceOf('early')} is of the service billing and the product shop`, expired]],
      [product, [`the report on ${sourceOf('early')} is of the service orders and the product store`, expired]],
    ] as const) {
      const found = await check(INTERMEDIATE_KEY, created, late, file);
      expect(found).toEqual({ code: 1, outcome: 'unknown', records: 0, why });
    }
  });

  it.for(['rewrap', 'reseal', 'open', 'seal', 'seal --fields $..number'])(
    'does not report a key as retired if keyfold reencrypt --verb %s found a record in an unknown form',
    async (verbs) => {
      const [verb = '', ...fields] = verbs.split(' ');
      await keyfold(['keys', 'revoke', INTERMEDIATE_KEY, String(created), '--yes']);
      const text = encodeDataRowRecord(record);
      const base64 = Buffer.from(text).toString('base64');
      const cards = [
        ['base64', base64],
        ['compact in base64', Buffer.from(compact()).toString('base64')],
        ['in quotes', JSON.stringify(text)],
        ['compact in quotes', JSON.stringify(compact())],
        ['compact behind white space', ` ${compact()}`],
        ['in a document', { number: text }],
        ['in a string of a string', { order: JSON.stringify({ number: compact() }) }],
        ['in base64 in a document', { list: [1, { number: base64 }] }],
        ['compact behind a prefix in a document', { number: `v2:${compact()}` }],
      ] as const;
      for (const [i, [name, card]] of cards.entries()) {
        const at = (suffix: string): string => join(folder, `${verbs}-${i}-${suffix}`);
        const source = await fileOf(`${verbs}-${i}.jsonl`, [JSON.stringify({ card })]);
        const options = ['--verb', verb, '--field', 'card', '--quarantine', at('quarantine'), '--output', at('out')];
        if (verb === 'seal') options.push('--partition', 'tenant-2', ...fields);
        await keyfold(['reencrypt', source, ...options, '--report', at('report')]);
        const found = await check(INTERMEDIATE_KEY, created, at('report'));
        expect([name, found]).toMatchObject([name, { code: 1, outcome: 'unknown' }]);
      }
    },
  );

  it('refuses a file that is not a report', async () => {
    const file = await fileOf('other.json', ['{"kind":"CANARY"}']);
    const { code, stderr } = await keyfold(['keys', 'retire-check', SYSTEM_KEY, '60', '--report', file]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('is not a report of keyfold verify')]);
  });
});
