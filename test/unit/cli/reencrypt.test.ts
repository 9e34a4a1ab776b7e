import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient, GetItemCommand, PutItemCommand, type AttributeValue } from '@aws-sdk/client-dynamodb';
import { EncryptCommand, KMSClient } from '@aws-sdk/client-kms';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { encodeCompactRecord, encodeDataRowRecord, type DataRowRecord } from '../../../src/index.ts';
import type { Session } from '../../../src/envelope/session.ts';
import type { Row } from '../../../src/maintenance/reencryption/rows.ts';
import { decryptFields, encryptFields } from '../../../src/operations/session-fields.ts';
import { DynamoDbRows } from '../../../src/rows/dynamodb-rows.ts';
import { readAnyRecord } from '../../../src/cli/any-record.ts';
import { tableOf } from '../../../src/cli/reencrypt-options.ts';
import { DAY_MS } from '../../support/fakes.ts';
import { HealthyService, WEST } from '../../support/healthy-service.ts';
import { killedSource } from '../../support/killed-source.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import { cellsOf, type CliRun } from '../../support/operator.ts';
import { createRowsTable } from '../../support/rows-table.ts';

const PLAINTEXT = 'CANARY-plaintext';

let folder: string;
let world: HealthyService;
/** The settings of `reencrypt`. */
let ownSettings: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-reencrypt-'));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(async () => {
  world = await HealthyService.start();
  ownSettings = { ...world.settings };
});
afterEach(async () => {
  await world.stop();
  for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true });
});

const at = (name: string): string => join(folder, name);

/** Runs the command with a quarantine file. */
function reencrypt(source: string, ...options: string[]): Promise<CliRun> {
  return world.operator.keyfold(['reencrypt', source, '--quarantine', at('quarantine'), ...options], ownSettings);
}

async function countsOf(run: Promise<CliRun>, expectedCode = 0): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await run;
  expect({ code, stderr }).toEqual({ code: expectedCode, stderr: expect.any(String) as string });
  return JSON.parse(stdout) as Record<string, unknown>;
}

async function write(name: string, lines: readonly string[]): Promise<string> {
  await writeFile(at(name), lines.map((line) => `${line}\n`).join(''));
  return at(name);
}

async function linesOf(name: string): Promise<string[]> {
  return (await readFile(at(name), 'utf8')).split('\n').slice(0, -1);
}

const session = (partition = 'tenant-1'): Session => world.sessions().session(partition);
const compact = (record: DataRowRecord): string => encodeCompactRecord(record, 'bytes') ?? '';
const seal = (text = PLAINTEXT, partition = 'tenant-1'): Promise<DataRowRecord> =>
  session(partition).encrypt(Buffer.from(text));

async function open(value: unknown, partition = 'tenant-1'): Promise<string> {
  return (await session(partition).decrypt(readAnyRecord(value).record)).toString();
}

async function* take<T>(pages: AsyncIterable<T>, count: number): AsyncGenerator<T> {
  let taken = 0;
  for await (const page of pages) {
    yield page;
    taken += 1;
    if (taken === count) return;
  }
}

/** A page with one row. */
const pageOf = (cells: Row['cells']): Row[] => [{ id: 'a', cells, partition: undefined, context: undefined }];

async function* pagesOf(...pages: Row[][]): AsyncGenerator<Row[]> {
  yield* pages;
}

const keyOf = (value: unknown): number => readAnyRecord(value).record.key.parent.created;

/** Creates the partition's next Intermediate Key, so that its existing records are under an older key. */
async function rotate(partition = 'tenant-1'): Promise<number> {
  world.operator.clock.advance(120_000);
  const { stdout } = await world.operator.keyfold(
    ['keys', 'rotate', '--partition', partition, '--json'],
    world.settings,
  );
  return (JSON.parse(stdout) as { created: number }[])[0]?.created ?? 0;
}

describe('keyfold reencrypt on a JSON Lines file', () => {
  it('rewraps records in every format, keeps all other text, and quarantines records that do not open', async () => {
    const records = await Promise.all([seal(), seal(), seal(), seal('other', 'tenant-2')]);
    const [one, two, three, other] = records;
    const document = await encryptFields(session(), {
      documentText: '{"n":12345678901234567890,"card":"x"}',
      fields: ['$.card'],
    });
    const created = await rotate();
    const source = await write('rows', [
      `{ "id": 1, "n": 12345678901234567890, "r": ${encodeDataRowRecord(one)} }`,
      `{"id":2,"r":"${compact(two)}"}`,
      `{"id":3,"r":${JSON.stringify(encodeDataRowRecord(three))}}`,
      '',
      `{"id":4,"r":"${compact(other)}"}`,
      `{"id":5,"r":${document}}`,
      '{"id":6,"r":"kf1.CANARY"}',
      `{"id":7,"r":"${compact({ ...one, key: { ...one.key, encryptedKey: Buffer.alloc(60) } })}"}`,
      '{"id":8,"r":null}',
      '{"id":9',
    ]);
    const counts = await countsOf(
      reencrypt(source, '--verb', 'rewrap', '--field', 'r', '--id', 'id', '--output', at('out'), '--json'),
      1,
    );
    expect(counts).toMatchObject({ rows: 8, written: 4, unchanged: 1, quarantined: 3, skipped: 2, malformed: 2 });
    expect(counts['keys']).toEqual(
      expect.arrayContaining([{ id: '_IK_tenant-1_orders_shop', created, records: 4 }]) as unknown,
    );
    const before = await linesOf('rows');
    const after = await linesOf('out');
    expect(after.length).toBe(before.length);
    expect(after.map((line, i) => line === before[i])).toEqual([
      false,
      false,
      false,
      true,
      true,
      false,
      true,
      true,
      true,
      true,
    ]);
    expect(after[0]).toMatch(/^\{ "id": 1, "n": 12345678901234567890, "r": \{"Key":/);
    for (const line of after.slice(0, 3)) {
      const { r } = JSON.parse(line) as { r: unknown };
      expect([keyOf(r), await open(r)]).toEqual([created, PLAINTEXT]);
    }
    expect(after[5]).toContain('"n":12345678901234567890');
    const { r } = JSON.parse(after[5] ?? '') as { r: object };
    expect(await decryptFields(session(), { documentText: JSON.stringify(r), all: true })).toContain('"card":"x"');
    const quarantined = (await linesOf('quarantine')).map((line) => JSON.parse(line) as object);
    expect(quarantined).toHaveLength(3);
    expect(quarantined).toEqual(
      expect.arrayContaining([
        { row: '6', code: 'InvalidRequest' },
        { row: '7', code: 'RecordUnreadable' },
        { row: 'line 10', code: 'InvalidRequest' },
      ]),
    );
  });

  it('reseals a record under a new Data Row Key and a context, even if the record already has that context', async () => {
    const source = await write('rows', [`{"id":"7","r":"${compact(await seal())}"}`]);
    const options = ['--verb', 'reseal', '--field', 'r', '--context', 'table=users', '--context-from', 'row=id'];
    ownSettings['KEYFOLD_UNBOUND_BEFORE'] = String(Math.ceil(world.operator.clock.nowMs / 1000) + 1);
    await countsOf(reencrypt(source, ...options, '--output', at('out'), '--json'));
    delete ownSettings['KEYFOLD_UNBOUND_BEFORE'];
    const [line = ''] = await linesOf('out');
    const { r } = JSON.parse(line) as { r: string };
    const before = readAnyRecord((JSON.parse((await linesOf('rows'))[0] ?? '') as { r: string }).r).record;
    const { record } = readAnyRecord(r);
    expect(Buffer.from(record.key.encryptedKey)).not.toEqual(Buffer.from(before.key.encryptedKey));
    const bound = session().withContext({ row: '7', table: 'users' });
    expect((await bound.decrypt(record)).toString()).toBe(PLAINTEXT);
    // The command also accepts records that are already bound to the context. It opens them with that context.
    const again = await countsOf(reencrypt(at('out'), ...options, '--output', at('again'), '--json'));
    expect(again).toMatchObject({ rows: 1, quarantined: 0 });
    const moved = await countsOf(
      reencrypt(at('out'), '--verb', 'reseal', '--field', 'r', '--output', at('none'), '--json'),
      1,
    );
    expect([moved, await linesOf('quarantine')]).toMatchObject([
      { quarantined: 1 },
      ['{"row":"line 1","code":"ContextRequired"}'],
    ]);
  });

  it.for([
    ['reseal', 'written'],
    ['open', 'written'],
    ['seal', undefined],
  ] as const)(
    'with --verb %s and a context, accepts a record without a proof only if the key of the record is older than KEYFOLD_UNBOUND_BEFORE',
    async ([verb, accepted]) => {
      const old = await seal();
      const unboundBefore = String(await rotate());
      // An attacker strips the proof of a record, and puts it into another row.
      const { proof: _, ...moved } = await session().withContext({ id: '9' }).encrypt(Buffer.from('of row 9'));
      const field = await encryptFields(session(), { documentText: '{"s":1}', fields: ['$.s'] });
      const source = await write('rows', [
        `{"id":"7","r":"${compact(old)}"}`,
        `{"id":"8","r":"${compact(moved)}"}`,
        `{"id":"10","r":${field}}`,
      ]);
      const options = ['--verb', verb, '--field', 'r', '--id', 'id', '--context-from', 'id=id'];
      const partition = verb === 'seal' ? ['--partition', 'tenant-1', '--fields', '$.s'] : [];
      const run = (output: string): Promise<Record<string, unknown>> =>
        countsOf(reencrypt(source, ...options, ...partition, '--output', at(output), '--json'), 1);
      expect(await run('none')).toMatchObject({ written: 0, quarantined: 3 });
      ownSettings['KEYFOLD_UNBOUND_BEFORE'] = unboundBefore;
      expect(await run('out')).toMatchObject(
        accepted === undefined ? { written: 0, quarantined: 3 } : { written: 1, quarantined: 2 },
      );
      const quarantined = (await linesOf('quarantine')).slice(3).map((line) => JSON.parse(line) as object);
      // Rows are processed concurrently, so they may be listed in any order.
      expect(new Set(quarantined)).toEqual(
        new Set(
          ['7', '8', '10'].slice(accepted === undefined ? 0 : 1).map((row) => ({ row, code: 'RecordUnreadable' })),
        ),
      );
    },
  );

  it('seals plaintexts, changes nothing in a second run, and can open the records again', async () => {
    const source = await write('rows', [
      '{"t":"tenant-1","v":"héllo"}',
      '{"t":"tenant-2","v":{"a":1.50}}',
      '{"v":"x"}',
    ]);
    const sealing = ['--verb', 'seal', '--field', 'v', '--partition-field', 't', '--json'];
    const counts = await countsOf(reencrypt(source, ...sealing, '--output', at('sealed')), 1);
    expect(counts).toMatchObject({ rows: 3, written: 2, quarantined: 1, records: 2 });
    const sealed = (await linesOf('sealed')).map((line) => JSON.parse(line) as { v: string });
    expect(await open(sealed[0]?.v)).toBe('héllo');
    expect(sealed[1]?.v).toMatch(/^kf1j\./);
    world.operator.clock.advance(60_000);
    expect(await countsOf(reencrypt(at('sealed'), ...sealing, '--output', at('twice')), 1)).toMatchObject({
      written: 0,
      unchanged: 2,
    });
    const opening = ['--verb', 'open', '--field', 'v', '--json'];
    const opened = await countsOf(reencrypt(at('sealed'), ...opening, '--output', at('open')));
    expect(opened).toMatchObject({ written: 2, unchanged: 1, keys: [] });
    expect(await linesOf('open')).toEqual(await linesOf('rows'));
  });

  it.for([
    ['compact', /^"kf1\./],
    ['json', /^"\{\\"Key\\":/],
    ['object', /^\{"Key":/],
  ] as const)(
    'seals strings in the form %s, and other JSON values always as compact records',
    async ([form, written]) => {
      const source = await write('rows', ['{"v":"text"}', '{"v":{"a":1.50}}']);
      const sealing = ['--verb', 'seal', '--field', 'v', '--partition', 'tenant-1', '--form', form];
      await countsOf(reencrypt(source, ...sealing, '--output', at('sealed'), '--json'));
      const [text = '', value] = (await linesOf('sealed')).map((line) => line.slice('{"v":'.length, -1));
      expect(text).toMatch(written);
      expect(value).toMatch(/^"kf1j\./);
      expect(await open(JSON.parse(text))).toBe('text');
    },
  );

  it.for([
    ['fields[0] has a filter', ['--fields', '$[?@.a]']],
    ['fields[1] repeats [0]', ['--fields', '$.a', '$.a']],
    ['The partition is empty', ['--partition', '']],
    ['context must have names of 1 to 128 bytes', ['--context', `${'n'.repeat(129)}=1`]],
    ['context must have names of 1 to 128 bytes', ['--context-from', `${'n'.repeat(129)}=v`]],
    ['--kms-region is not the name of an AWS region', ['--from', 'kms', '--kms-region', 'oregon']],
  ] as const)('refuses an option that would make every row fail: %s', async ([says, options]) => {
    const source = await write('rows', ['{"v":"4111"}']);
    const sealing = ['--verb', 'seal', '--field', 'v', '--output', at('sealed'), '--partition', 'tenant-1'];
    const { code, stderr } = await reencrypt(source, ...sealing, ...options);
    expect([code, stderr]).toEqual([2, expect.stringContaining(says)]);
    await expect(linesOf('sealed')).rejects.toThrow('ENOENT');
  });

  it('seals fields of the document on each line, and reseals KMS ciphertexts', async () => {
    const source = await write('rows', ['{"t":"tenant-1","card":"4111"}']);
    const fields = ['--verb', 'seal', '--partition-field', 't', '--fields', '$.card', '--output', at('out')];
    await countsOf(reencrypt(source, ...fields, '--json'));
    const [line = ''] = await linesOf('out');
    expect(line).toMatch(/^\{"t":"tenant-1","card":"kf1j\./);
    expect(await decryptFields(session(), { documentText: line, all: true })).toBe('{"t":"tenant-1","card":"4111"}');

    const client = new KMSClient({ region: WEST, credentials: LOCAL_CREDENTIALS, endpoint: world.kms.endpoint });
    const EncryptionContext = { app: 'shop' };
    const command = new EncryptCommand({ KeyId: world.keys[WEST], Plaintext: Buffer.from('old'), EncryptionContext });
    const ciphertext = Buffer.from((await client.send(command)).CiphertextBlob ?? []).toString('base64');
    const old = await write('old', [`{"v":"${ciphertext}"}`, `{"v":"${Buffer.alloc(80).toString('base64')}"}`]);
    const from = ['--from', 'kms', '--kms-region', WEST, '--kms-context', 'app=shop', '--partition', 'tenant-1'];
    const sealing = ['--verb', 'seal', '--field', 'v', ...from, '--output', at('new'), '--json'];
    expect(await countsOf(reencrypt(old, ...sealing), 1)).toMatchObject({ written: 1, quarantined: 1 });
    expect(await open((JSON.parse((await linesOf('new'))[0] ?? '') as { v: string }).v)).toBe('old');
  });

  it('processes no more rows a second than --rate allows', async () => {
    const source = await write('rows', Array<string>(5).fill('{"v":"x"}'));
    const sealing = ['--verb', 'seal', '--field', 'v', '--partition', 'tenant-1', '--rate', '20'];
    const beganMs = performance.now();
    await countsOf(reencrypt(source, ...sealing, '--output', at('sealed'), '--json'));
    // The first row does not wait. Each later row waits until 50 ms after the previous one.
    expect(performance.now() - beganMs).toBeGreaterThan(190);
  });

  it.for([
    ['written', ['--output', 'out']],
    ['would be written', ['--dry-run']],
  ] as const)(
    'prints the number of rows for each outcome, such as "%s", and the number of records for each key',
    async ([written, options]) => {
      const record = await seal();
      const { id, created } = record.key.parent;
      const later = await rotate();
      const keys =
        written === 'written'
          ? [[id, String(later), '2']]
          : [
              [id, String(later), '1'],
              [id, String(created), '1'],
            ];
      const source = await write('rows', [encodeDataRowRecord(record), encodeDataRowRecord(await seal()), '', 'x']);
      const lines = cellsOf(
        await reencrypt(source, '--verb', 'rewrap', ...options.map((o) => (o === 'out' ? at(o) : o))),
      );
      expect(lines).toEqual([
        ['rows', '3'],
        [written, '1'],
        ['unchanged', '1'],
        ['in quarantine', `1: see ${at('quarantine')}`],
        ['skipped', '1'],
        ['KEY', 'CREATED', 'RECORDS'],
        ...keys,
      ]);
    },
  );

  it('does not seal a whole document that has sealed fields, because the keys of those fields would become unknown', async () => {
    const source = await write('rows', [JSON.stringify({ r: { card: compact(await seal()) } }), '{"r":{"card":"1"}}']);
    const options = ['--verb', 'seal', '--partition', 'tenant-1', '--field', 'r', '--output', at('out'), '--json'];
    expect(await countsOf(reencrypt(source, ...options), 1)).toMatchObject({
      written: 1,
      quarantined: 1,
      malformed: 0,
    });
  });

  it('fails and writes no report if a named field occurs in no line, because the name may be misspelled', async () => {
    const source = await write('rows', [JSON.stringify({ r: compact(await seal()) }), '{"r":null}']);
    const options = ['--verb', 'rewrap', '--output', at('out'), '--report', at('report')];
    const { code, stdout, stderr } = await reencrypt(source, ...options, '--field', 'r', 's', '--json');
    expect([code, stderr.split('\n').at(-2)]).toEqual([2, `keyfold: No row of ${source} has a value in the field s.`]);
    expect([stdout, await readFile(at('report'), 'utf8')]).toEqual(['', '']);
  });

  it("makes no key and no report if the table's clock is a day ahead, but still opens records", async () => {
    const file = await write('clock.jsonl', [JSON.stringify(compact(await seal()))]);
    const before = await world.operator.keyfold(['keys', 'list', '--all', '--json'], ownSettings);
    world.moveTableClock(DAY_MS);
    for (const options of [
      ['--verb', 'rewrap'],
      ['--verb', 'reseal'],
      ['--verb', 'seal', '--partition', 'unborn'],
      ['--verb', 'open', '--report', at('report')],
    ]) {
      const { code, stderr } = await reencrypt(file, ...options, '--output', at('out'));
      expect([code, stderr]).toEqual([1, expect.stringContaining("the table's shows")]);
    }
    expect(await readdir(folder)).toEqual(['clock.jsonl']);
    expect(await world.operator.keyfold(['keys', 'list', '--all', '--json'], ownSettings)).toEqual(before);
    expect((await reencrypt(file, '--verb', 'open', '--output', at('out'))).code).toBe(0);
  });

  it('writes nothing in a dry run, but counts the rows to write and the keys of the records', async () => {
    const record = await seal();
    await rotate();
    const source = await write('rows', [encodeDataRowRecord(record)]);
    const counts = await countsOf(reencrypt(source, '--verb', 'rewrap', '--dry-run', '--json'));
    expect(counts).toEqual({
      kind: 'keyfold-records',
      source,
      verb: 'rewrap',
      dryRun: true,
      startedAt: new Date(world.operator.clock.nowMs).toISOString(),
      service: 'orders',
      product: 'shop',
      rows: 1,
      written: 1,
      unchanged: 0,
      quarantined: 0,
      skipped: 0,
      records: 1,
      malformed: 0,
      keys: [{ ...record.key.parent, records: 1 }],
    });
    expect(await readdir(folder)).toEqual(['quarantine', 'rows']);
  });

  it('continues from a checkpoint, and refuses a checkpoint from another run or a changed file', async () => {
    const record = await seal();
    await rotate();
    const text = encodeDataRowRecord(record);
    const source = await write(
      'rows',
      Array.from({ length: 3000 }, () => text),
    );
    const options = ['--verb', 'rewrap', '--output', at('out'), '--checkpoint', at('checkpoint'), '--json'];
    // The test's clock advances during each page, so that the run saves a checkpoint after every page.
    let pages = 0;
    const { clock } = world.operator;
    const isKilled = (): boolean => pages > 1;
    const { openRows } = world.operator.adapters;
    world.operator.adapters.openRows = async (rows) => {
      const inner = await openRows(rows);
      return {
        replace: (row, cells) => inner.replace(row, cells),
        reread: (row) => inner.reread(row),
        position: () => inner.position(),
        pages: async function* (from) {
          for await (const page of inner.pages(from)) {
            pages += 1;
            clock.advance(5000);
            if (isKilled()) throw new Error('killed');
            yield page;
          }
        },
      };
    };
    expect(await reencrypt(source, ...options)).toMatchObject({ code: 1 });
    world.operator.adapters.openRows = openRows;
    const saved = JSON.parse(await readFile(at('checkpoint'), 'utf8')) as { counts: { rows: number } };
    expect(saved.counts.rows).toBeGreaterThan(0);
    expect(saved.counts.rows).toBeLessThan(3000);
    expect(await reencrypt(source, ...options, '--partition', 'another')).toMatchObject({
      code: 2,
      stderr: `keyfold: The checkpoint ${at('checkpoint')} is of another run. Name another file.\n`,
    });
    expect(await countsOf(reencrypt(source, ...options))).toMatchObject({ rows: 3000, written: 3000, records: 3000 });
    expect(await linesOf('out')).toHaveLength(3000);
    expect(existsSync(at('checkpoint'))).toBe(false);
    expect(await readdir(folder)).toEqual(['out', 'quarantine', 'rows']);
  });
});

describe('keyfold reencrypt on a DynamoDB table', () => {
  const TableName = 'Customers';
  let client: DynamoDBClient;

  beforeEach(async () => {
    client = new DynamoDBClient({ endpoint: world.proxy.endpoint, region: WEST, credentials: LOCAL_CREDENTIALS });
    await createRowsTable(client, TableName);
  });
  afterEach(() => client.destroy());

  const put = (id: string, item: Record<string, AttributeValue>): Promise<unknown> =>
    client.send(new PutItemCommand({ TableName, Item: { id: { S: id }, ...item } }));
  const get = async (id: string): Promise<Record<string, AttributeValue>> =>
    (await client.send(new GetItemCommand({ TableName, Key: { id: { S: id } } }))).Item ?? {};

  it('rewraps attributes that contain JSON text or a compact string', async () => {
    const record = await seal();
    await put('json', { r: { S: encodeDataRowRecord(record) } });
    await put('compact', { r: { S: compact(record) } });
    await put('none', { other: { S: 'x' } });
    await put('set', { r: { SS: ['CANARY'] } });
    const created = await rotate();
    const options = ['--verb', 'rewrap', '--field', 'r', '--json'];
    const counts = await countsOf(reencrypt(`dynamodb:${TableName}`, ...options), 1);
    expect(counts).toMatchObject({ written: 2, quarantined: 1, skipped: 1 });
    expect(counts['keys']).toEqual([{ id: '_IK_tenant-1_orders_shop', created, records: 2 }]);
    expect(await linesOf('quarantine')).toEqual([
      JSON.stringify({ row: JSON.stringify({ id: 'set' }), code: 'InvalidRequest' }),
    ]);
    for (const id of ['json', 'compact']) {
      const text = (await get(id))['r']?.S ?? '';
      expect([keyOf(text), await open(text)]).toEqual([created, PLAINTEXT]);
    }
    const again = await countsOf(reencrypt(`dynamodb:${TableName}`, ...options), 1);
    expect(again).toMatchObject({ written: 0, unchanged: 2 });
  });

  it('fails if a named field occurs in no item, because the name may be misspelled', async () => {
    await put('a', { r: { S: compact(await seal()) } });
    const { code, stderr } = await reencrypt(`dynamodb:${TableName}`, '--verb', 'rewrap', '--field', 'r', 's');
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('No row of dynamodb:Customers has a value in the field s'),
    ]);
  });

  it('accepts any field if the table is empty', async () => {
    expect((await reencrypt(`dynamodb:${TableName}`, '--verb', 'rewrap', '--field', 's')).code).toBe(0);
  });

  it('shows the remaining time of a run that takes longer than a second', async () => {
    await put('a', { r: { S: compact(await seal()) } });
    world.table.ItemCount = 5;
    const lines: string[] = [];
    const args = ['reencrypt', `dynamodb:${TableName}`, '--verb', 'rewrap', '--field', 'r'];
    await world.operator.keyfold([...args, '--quarantine', at('quarantine')], ownSettings, {
      // The clock advances when the run writes its audit line, just before the first row. So the first row seems to
      // take 1.5 s.
      audit: async () => world.operator.clock.advance(1500),
      status: (text) => lines.push(text),
    });
    expect(lines).toEqual(['1 rows of about 5, 6 s left, 1/s', '']);
  });

  it('leaves bytes that are not UTF-8 unchanged, except if --verb seal seals the whole attribute', async () => {
    const bytes = Buffer.from('{"name":"Zo\u00eb","card":"x"}', 'latin1');
    await put('a', { r: { B: bytes } });
    const source = `dynamodb:${TableName}`;
    const run = (...options: string[]): Promise<CliRun> => reencrypt(source, '--field', 'r', '--json', ...options);
    const sealing = ['--verb', 'seal', '--partition', 'tenant-1'];
    expect(await countsOf(run(...sealing, '--fields', '$.card'), 1)).toMatchObject({ written: 0, quarantined: 1 });
    expect(await countsOf(run('--verb', 'rewrap'), 1)).toMatchObject({ written: 0, quarantined: 1 });
    expect(await countsOf(run('--verb', 'open'))).toMatchObject({ written: 0, unchanged: 1 });
    expect(Buffer.from((await get('a'))['r']?.B ?? [])).toEqual(bytes);
    expect(await countsOf(run(...sealing))).toMatchObject({ written: 1 });
    expect(await countsOf(run('--verb', 'open'))).toMatchObject({ written: 1 });
    expect(Buffer.from((await get('a'))['r']?.B ?? [])).toEqual(bytes);
  });

  it('reads no page if it continues a run that had already read the last page', async () => {
    await put('a', { r: { S: compact(await seal()) } });
    const table = { tableName: TableName, endpoint: world.proxy.endpoint, region: WEST };
    const units = { readUnits: undefined, writeUnits: undefined };
    const names = { partition: undefined, partitionField: undefined, context: undefined, contextFrom: undefined };
    const options = { table, segment: { index: 0, of: 1 }, ...units, fields: ['r'], ...names };
    const rows = new DynamoDbRows(options, Date.now);
    const pages: number[] = [];
    for await (const page of rows.pages(undefined)) pages.push(page.length);
    const next = new DynamoDbRows(options, Date.now);
    for await (const page of next.pages(await rows.position())) pages.push(page.length);
    expect([pages, await next.position()]).toEqual([[1], await rows.position()]);
  });

  it('reads a row again if another process has changed the row, and overwrites no change', async () => {
    await put('a', { r: { S: compact(await seal('old')) } });
    const newer = compact(await seal('newer'));
    const created = await rotate();
    let isOvertaken = false;
    world.proxy.faultOf = (call) => {
      if (!call.startsWith('Update') || isOvertaken) return world.answerOf(call);
      isOvertaken = true;
      return { kind: 'overtaken', by: () => put('a', { r: { S: newer } }) };
    };
    const counts = await countsOf(reencrypt(`dynamodb:${TableName}`, '--verb', 'rewrap', '--field', 'r', '--json'));
    expect(counts).toMatchObject({ rows: 1, written: 1 });
    const text = (await get('a'))['r']?.S ?? '';
    expect([isOvertaken, keyOf(text), await open(text)]).toEqual([true, created, 'newer']);
  });
});

describe('the checkpoint of a run that was killed', () => {
  const POSTGRES = 'postgres://operator:CANARY-password@db.example.com:5432/shop';

  /** Runs the command on a source that fails after its first page, which has no rows. */
  async function killed(
    source: string,
    options: readonly string[],
    url = POSTGRES,
    more = {},
    meanwhile = async () => {},
  ): Promise<CliRun> {
    world.operator.adapters.openRows = async () =>
      killedSource(() => {
        world.operator.clock.advance(5000);
        return meanwhile();
      });
    const args = ['reencrypt', source, '--quarantine', at('quarantine'), '--checkpoint', at('run.json'), ...options];
    return world.operator.keyfold(args, { ...world.settings, DATABASE_URL: url, ...more });
  }

  const postgres = 'postgres:customers';
  const rewrap = ['--verb', 'rewrap', '--field', 'r'];
  const kms = ['--verb', 'seal', '--field', 'r', '--partition', 'p', '--from', 'kms', '--kms-region', WEST];

  it.for<[string, Parameters<typeof killed>, Parameters<typeof killed>]>([
    ['host', [postgres, rewrap], [postgres, rewrap, POSTGRES.replace('db.', 'db2.')]],
    ['port', [postgres, rewrap], [postgres, rewrap, POSTGRES.replace('5432', '5433')]],
    ['database', [postgres, rewrap], [postgres, rewrap, POSTGRES.replace('shop', 'shop2')]],
    [
      'socket',
      [postgres, rewrap, 'postgres://operator@/shop?host=/run/one'],
      [postgres, rewrap, 'postgres://operator@/shop?host=/run/two'],
    ],
    ['endpoint', ['dynamodb:T', rewrap], ['dynamodb:T', [...rewrap, '--source-endpoint', 'http://127.0.0.1:9']]],
    ['KMS encryption context', [postgres, kms], [postgres, [...kms, '--kms-context', 'app=shop']]],
    ['service', [postgres, rewrap], [postgres, rewrap, POSTGRES, { KEYFOLD_SERVICE: 'other' }]],
  ])('is refused if the next run has another %s', async ([, first, second]) => {
    expect((await killed(...first)).code).toBe(1);
    expect(await readFile(at('run.json'), 'utf8')).not.toContain('CANARY');
    const { code, stderr } = await killed(...second);
    expect([code, stderr]).toEqual([
      2,
      `keyfold: The checkpoint ${at('run.json')} is of another run. Name another file.\n`,
    ]);
  });

  it.for([
    ['r', 0],
    ['s', 2],
  ] as const)('remembers whether a row of the killed run had the field %s', async ([field, expectedCode]) => {
    const run = ['--verb', 'rewrap', '--field', field];
    const cell = { kind: 'text', text: compact(await seal()) } as const;
    const first = killedSource(() => world.operator.clock.advance(5000), pageOf(new Map([['r', cell]])));
    world.operator.adapters.openRows = () => Promise.resolve(first);
    const args = ['dynamodb:T', '--checkpoint', at('run.json'), ...run] as const;
    expect((await reencrypt(...args)).code).toBe(1);
    const rest = { ...first, pages: () => pagesOf(pageOf(new Map())) };
    world.operator.adapters.openRows = () => Promise.resolve(rest);
    expect((await reencrypt(...args)).code).toBe(expectedCode);
  });

  it('lets the next run include the rows of the killed run in its progress line and audit lines', async () => {
    const withField = pageOf(new Map([['r', { kind: 'text', text: compact(await seal()) } as const]]));
    const page = [...withField, ...pageOf(new Map()), ...pageOf(new Map())];
    const first = killedSource(() => world.operator.clock.advance(5000), page);
    world.operator.adapters.openRows = () => Promise.resolve(first);
    const args = ['dynamodb:T', '--checkpoint', at('run.json'), ...rewrap] as const;
    expect((await reencrypt(...args)).code).toBe(1);
    const rest = { ...first, pages: () => pagesOf(withField) };
    world.operator.adapters.openRows = () => Promise.resolve(rest);
    const lines: string[] = [];
    const audited: object[] = [];
    const audit = async (line: string): Promise<void> => {
      audited.push(JSON.parse(line) as object);
      world.operator.clock.advance(1500);
    };
    await world.operator.keyfold(['reencrypt', ...args, '--quarantine', at('quarantine')], ownSettings, {
      audit,
      status: (text) => lines.push(text),
    });
    // Two of the killed run's three rows lack the field, so the run skipped these two.
    expect(lines).toEqual(['4 rows, 1/s', '']);
    const line = {
      action: 'reencrypt',
      source: 'dynamodb:T',
      verb: 'rewrap',
      reason: null,
      caller: expect.any(Object),
    };
    const counts = { dryRun: false, written: 0, quarantined: 0 };
    const { nowMs } = world.operator.clock;
    expect(audited).toEqual([
      { time: new Date(nowMs - 3000).toISOString(), ...line, ...counts, outcome: 'attempting', rows: 1 },
      { time: new Date(nowMs - 1500).toISOString(), ...line, ...counts, outcome: 'done', rows: 2 },
    ]);
  });

  it.for(['PGHOST', 'PGPORT', 'PGDATABASE'])(
    'is refused if the variable %s has changed and the URL does not override this variable',
    async (name) => {
      const url = 'postgres://';
      vi.stubEnv(name, '5432');
      expect((await killed(postgres, rewrap, url)).code).toBe(1);
      vi.stubEnv(name, '5433');
      const { code, stderr } = await killed(postgres, rewrap, url);
      vi.unstubAllEnvs();
      expect([code, stderr]).toEqual([
        2,
        `keyfold: The checkpoint ${at('run.json')} is of another run. Name another file.\n`,
      ]);
    },
  );

  it('cannot be used if the driver refuses DATABASE_URL, and the error does not show that URL', async () => {
    const { code, stderr } = await killed(postgres, rewrap, 'postgres://u:CANARY@[/shop');
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/^keyfold: Keyfold cannot start:\n- the driver refuses DATABASE_URL \(\w+\)\n$/),
    ]);
    expect(stderr).not.toContain('CANARY');
  });

  it('cannot be used if DATABASE_URL has an impossible port', async () => {
    const { code, stderr } = await killed(postgres, rewrap, 'postgres://u@db.example.com/shop?port=99999');
    const fault = 'the port in DATABASE_URL, or in PGPORT, must be a number from 1 to 65535';
    expect([code, stderr]).toEqual([2, `keyfold: Keyfold cannot start:\n- ${fault}\n`]);
  });

  it('is the only file that the run has added to the folder, and no other file has changed', async () => {
    await writeFile(at('run.json.next'), 'precious');
    await killed(postgres, rewrap);
    expect((await readdir(folder)).toSorted()).toEqual(['quarantine', 'run.json', 'run.json.next']);
    expect(await readFile(at('run.json.next'), 'utf8')).toBe('precious');
  });

  it('is named in the error if it cannot be saved, and leaves no other file behind', async () => {
    const { code, stderr } = await killed(postgres, rewrap, POSTGRES, {}, () => mkdir(at('run.json')));
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`The file ${at('run.json')} cannot be written: EISDIR.`) as string,
    });
    expect((await readdir(folder)).toSorted()).toEqual(['quarantine', 'run.json']);
  });

  it('is accepted if only the user and the password have changed', async () => {
    await killed(postgres, rewrap);
    const { code, stderr } = await killed(postgres, rewrap, 'postgres://admin:new@db.example.com:5432/shop');
    expect([code, stderr]).toEqual([1, expect.not.stringContaining('is of another run')]);
  });
});

it('the audit line of a failed run has the counts up to the failure', async () => {
  await rotate();
  const text = encodeDataRowRecord(await seal());
  const source = await write(
    'rows',
    Array.from({ length: 1500 }, () => text),
  );
  const { openRows } = world.operator.adapters;
  world.operator.adapters.openRows = async (rows) => {
    const inner = await openRows(rows);
    return {
      replace: (row, cells) => inner.replace(row, cells),
      reread: (row) => inner.reread(row),
      position: () => inner.position(),
      pages: async function* (from) {
        yield* take(inner.pages(from), 1);
        throw new Error('killed');
      },
    };
  };
  const options = ['--verb', 'reseal', '--output', at('out'), '--audit-file', at('audit')];
  expect(await reencrypt(source, ...options)).toMatchObject({ code: 1 });
  const audit = (await linesOf('audit')).map((line) => JSON.parse(line) as { rows: number; outcome: string });
  expect(audit.map(({ outcome }) => outcome)).toEqual(['attempting', 'failed']);
  expect(audit[1]?.rows).toBeGreaterThan(0);
});

it.for([
  ['a signal has ended the run', 'SIGTERM', 1],
  ['the run has completed', undefined, 0],
] as const)('keyfold reencrypt stops listening to signals after %s', async ([, signal, code]) => {
  const source = await write('rows', [encodeDataRowRecord(await seal())]);
  let isListening = false;
  const run = await world.operator.keyfold(
    ['reencrypt', source, '--verb', 'rewrap', '--quarantine', at('quarantine'), '--output', at('out')],
    world.settings,
    {
      onInterrupt: (stop) => {
        isListening = true;
        if (signal !== undefined) stop(signal);
        return () => (isListening = false);
      },
    },
  );
  expect([run.code, run.stderr.includes('SIGTERM ended the run.')]).toEqual([code, signal !== undefined]);
  expect(isListening).toBe(false);
  expect(existsSync(at('out'))).toBe(signal === undefined);
});

it('a report that cannot be written stops the run before it changes a row', async () => {
  const source = await write('rows', [encodeDataRowRecord(await seal())]);
  const options = ['--verb', 'rewrap', '--output', at('out'), '--report', join(folder, 'none', 'report')];
  expect(await reencrypt(source, ...options)).toMatchObject({ code: 2 });
  expect(await readdir(folder)).toEqual(['quarantine', 'rows']);
});

it('a source table in another region is not read at the AWS endpoint that is set for the key table', () => {
  const metastore = { region: WEST, endpoint: `https://vpce-1.dynamodb.${WEST}.vpce.amazonaws.com` };
  const tableIn = (sourceRegion: string | undefined): unknown =>
    tableOf('dynamodb:T', { field: ['r'], ...(sourceRegion && { sourceRegion }) }, { metastore }, {});
  expect(tableIn(undefined)).toMatchObject({ table: { tableName: 'T', ...metastore } });
  expect(tableIn('eu-west-1')).toHaveProperty('table', { tableName: 'T', region: 'eu-west-1' });
});

it('keyfold reencrypt and keyfold verify pass the options for the source to the reader of that source', async () => {
  const opened: unknown[] = [];
  world.operator.adapters.openRows = async (options) => {
    opened.push(options);
    throw new Error('enough');
  };
  const names = ['--field', 'r', 's', '--partition-field', 't'];
  const units = ['--read-units', '5', '--write-units', '2.5'];
  const place = ['--source-region', 'eu-west-1', '--source-endpoint', 'http://127.0.0.1:9'];
  await reencrypt('dynamodb:T', '--verb', 'rewrap', ...names, ...units, ...place);
  ownSettings['KEYFOLD_DYNAMODB_REGION'] = WEST;
  const context = ['--context', 'a=b=c', '__proto__=d', '--context-from', 'e=f'];
  await reencrypt('dynamodb:T', '--verb', 'open', '--field', 'r', '--partition', 'p', ...context);
  ownSettings['DATABASE_URL'] = 'postgres://127.0.0.1:9/shop';
  await reencrypt('postgres:x.y', '--verb', 'rewrap', ...names);
  const file = ['--verb', 'open', '--field', 'r', '--id', 'i'];
  await reencrypt('rows', ...file, '--output', at('out'));
  await reencrypt('rows', ...file, '--output', at('out'), '--dry-run');
  await world.operator.keyfold(['verify', 'dynamodb:T', '--field', 'r', ...units.slice(0, 2), ...place], ownSettings);
  const endpoint = world.proxy.endpoint;
  const dynamodb = { kind: 'dynamodb', segment: { index: 0, of: 1 } };
  const elsewhere = { tableName: 'T', region: 'eu-west-1', endpoint: 'http://127.0.0.1:9' };
  const ofFile = { kind: 'file', file: 'rows', fields: ['r'], idField: 'i' };
  expect(opened).toEqual([
    { ...dynamodb, table: elsewhere, readUnits: 5, writeUnits: 2.5, fields: ['r', 's'], partitionField: 't' },
    {
      ...dynamodb,
      table: { tableName: 'T', region: WEST, endpoint },
      fields: ['r'],
      partition: 'p',
      context: Object.fromEntries([
        ['a', 'b=c'],
        ['__proto__', 'd'],
      ]),
      contextFrom: { e: 'f' },
    },
    {
      kind: 'postgres',
      url: 'postgres://127.0.0.1:9/shop',
      table: 'x.y',
      fields: ['r', 's'],
      partitionField: 't',
    },
    { ...ofFile, output: at('out') },
    ofFile,
    { ...dynamodb, table: elsewhere, readUnits: 5, fields: ['r'] },
  ]);
});

const SEAL = ['--verb', 'seal', '--partition', 'p', '--output', 'x'];

/** The error for options that exclude each other. */
const together = (what: string): string => `keyfold: The options do not go together: ${what}.`;
const goes = (option: string, needed: string): string => together(`${option} goes with ${needed}`);
const OF_DYNAMODB = 'a table in DynamoDB';
const POSITIVE = 'It must be a positive number.';
const TO_SEAL = together('--fields and --from go with --verb seal');
const NO_CONTEXT = together('--verb rewrap needs no context');
const invalid = (option: string, value: string, why: string): string =>
  `error: option '${option}' argument '${value}' is invalid. ${why}`;

it.for([
  [
    '--verb seal without a partition',
    ['--verb', 'seal', '--output', 'x'],
    together('--verb seal needs --partition or --partition-field'),
  ],
  ['a file without an output', ['--verb', 'rewrap'], together('a file needs --output')],
  [
    'a context for several fields',
    ['--verb', 'open', '--field', 'a', 'b', '--context', 'a=b'],
    together('a context goes with one --field, because a field needs a context of its own'),
  ],
  ['a context for rewrap', ['--verb', 'rewrap', '--context', 'a=b', '--output', 'x'], NO_CONTEXT],
  [
    'KMS ciphertexts without a region',
    ['--verb', 'seal', '--partition', 'p', '--from', 'kms'],
    together('--from kms needs --kms-region'),
  ],
  ['a region of KMS ciphertexts for plaintexts', [...SEAL, '--kms-region', WEST], goes('--kms-region', '--from kms')],
  ['a KMS encryption context for plaintexts', [...SEAL, '--kms-context', 'a=b'], goes('--kms-context', '--from kms')],
  ['read units for a file', [...SEAL, '--read-units', '5'], goes('--read-units', OF_DYNAMODB)],
  ['write units for a file', [...SEAL, '--write-units', '5'], goes('--write-units', OF_DYNAMODB)],
  ['a region for a file', [...SEAL, '--source-region', WEST], goes('--source-region', OF_DYNAMODB)],
  ['an endpoint for a file', [...SEAL, '--source-endpoint', 'http://x'], goes('--source-endpoint', OF_DYNAMODB)],
  ['a form for rewrap', ['--verb', 'rewrap', '--output', 'x', '--form', 'json'], goes('--form', '--verb seal')],
  [
    'a form of the plaintexts for reseal',
    ['--verb', 'reseal', '--output', 'x', '--plaintext', 'base64'],
    goes('--plaintext', '--verb seal or open'),
  ],
  [
    'a form for fields of documents',
    [...SEAL, '--fields', '$.a', '--form', 'json'],
    goes('--form', 'whole fields, not with --fields'),
  ],
  [
    'a form of the plaintexts for fields of documents',
    [...SEAL, '--fields', '$.a', '--plaintext', 'text'],
    goes('--plaintext', 'whole fields, not with --fields'),
  ],
  [
    'KMS ciphertexts in fields of documents',
    [...SEAL, '--fields', '$.a', '--from', 'kms', '--kms-region', WEST],
    goes('--from', 'whole fields, not with --fields'),
  ],
  ['fields of documents for rewrap', ['--verb', 'rewrap', '--fields', '$.a'], TO_SEAL],
  ['KMS ciphertexts for reseal', ['--verb', 'reseal', '--from', 'kms', '--kms-region', WEST], TO_SEAL],
  ['fields of the context for rewrap', ['--verb', 'rewrap', '--context-from', 'a=b', '--output', 'x'], NO_CONTEXT],
  [
    'a form of the plaintexts for rewrap',
    ['--verb', 'rewrap', '--output', 'x', '--plaintext', 'text'],
    goes('--plaintext', '--verb seal or open'),
  ],
  [
    'both --partition and --partition-field',
    [...SEAL, '--partition-field', 't'],
    "error: option '--partition-field <name>' cannot be used with option '--partition <partition>'",
  ],
  [
    'a context without a value',
    [...SEAL, '--context', 'a'],
    invalid('--context <name=value...>', 'a', 'It must be NAME=VALUE.'),
  ],
  [
    'a context without a name',
    [...SEAL, '--context', '=a'],
    invalid('--context <name=value...>', '=a', 'It must be NAME=VALUE.'),
  ],
  ['a rate that is not a number', [...SEAL, '--rate', 'x'], invalid('--rate <rows>', 'x', POSITIVE)],
  ['infinite read units', [...SEAL, '--read-units', 'Infinity'], invalid('--read-units <units>', 'Infinity', POSITIVE)],
  ['a rate of zero', [...SEAL, '--rate', '0'], invalid('--rate <rows>', '0', POSITIVE)],
  [
    'a context name that is given twice',
    [...SEAL, '--context', 'a=b', 'a=c'],
    invalid('--context <name=value...>', 'a=c', 'The name a is given twice.'),
  ],
  [
    'a name in both --context and --context-from',
    [...SEAL, '--context', 'a=b', '--context-from', 'a=c'],
    together('a name is in both --context and --context-from'),
  ],
  [
    'standard output as the output',
    [...SEAL.slice(0, -1), '-'],
    together('--output must be a file, which is renamed when it is complete'),
  ],
  ['an empty name of a field', [...SEAL, '--field', ''], 'keyfold: --field names no field.'],
] as const)('keyfold reencrypt refuses %s', async ([, options, says]) => {
  expect(await reencrypt('rows', ...options)).toEqual({ code: 2, stdout: '', stderr: `${says}\n` });
});

it('keyfold reencrypt refuses to seal the keys of a key table', async () => {
  const run = reencrypt('dynamodb:EncryptionKey', '--verb', 'seal', '--partition', 'p', '--field', 'KeyRecord');
  const says = 'The table EncryptionKey is a key table: its rows hold keys, not records.';
  expect(await run).toMatchObject({ code: 2, stderr: expect.stringContaining(says) as string });
  expect(await readFile(at('quarantine'), 'utf8')).toBe('');
});

it.for([
  ['region', 'region is not the name of an AWS region'],
  ['endpoint', 'endpoint is not a URL'],
] as const)(
  'keyfold reencrypt refuses an empty %s of the table, which an unset shell variable can cause',
  async ([name, says]) => {
    const { code, stderr } = await reencrypt(
      'dynamodb:Orders',
      '--verb',
      'open',
      '--field',
      'a',
      `--source-${name}`,
      '',
    );
    expect([code, stderr]).toEqual([2, expect.stringContaining(says)]);
  },
);

it('keyfold reencrypt refuses the malformed PostgreSQL table name a.b.c before it writes a file', async () => {
  const options = ['--verb', 'open', '--field', 'a', '--quarantine', at('never-made')];
  const settings = { ...world.settings, DATABASE_URL: 'postgres://127.0.0.1:9/shop' };
  const { code, stderr } = await world.operator.keyfold(['reencrypt', 'postgres:a.b.c', ...options], settings);
  expect([code, stderr]).toEqual([2, expect.stringContaining('it must be table or schema.table')]);
  expect(existsSync(at('never-made'))).toBe(false);
});

it.for(['dynamodb:Orders', 'postgres:orders'])(
  'keyfold reencrypt refuses --output and --id for %s, because it changes the table in place',
  async (source) => {
    for (const option of ['--output', '--id']) {
      const { code, stderr } = await reencrypt(source, '--verb', 'open', '--field', 'a', option, 'x');
      expect([code, stderr]).toEqual([2, expect.stringContaining(`${option} goes with a file`)]);
    }
  },
);
