import { PutItemCommand, DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DynamoDbMetastore, SessionFactory, StaticKms, type DataRowRecord } from '../../../src/index.ts';
import type { CliDependencies } from '../../../src/cli/dependencies.ts';
import { operatorAdapters } from '../../../src/container.ts';
import type { KeyItem } from '../../../src/metastore/dynamodb-item.ts';
import { DynamoDbProxy } from '../../support/dynamodb-proxy.ts';
import { OperatorFixture, type CliRun } from '../../support/operator.ts';

const STATIC = { KEYFOLD_STATIC_MASTER_KEY_HEX: Buffer.alloc(32, 7).toString('hex') };
const OLD = 'EncryptionKey';
const NEW = 'Copied';
const COPY = ['table', 'copy', '--from', OLD, '--table', NEW];
const PAYLOAD = Buffer.from('payload');

let world: OperatorFixture;
let records: DataRowRecord[];
let proxy: DynamoDbProxy;

beforeEach(async () => {
  world = await OperatorFixture.start();
  await world.createTable(NEW);
  const service = world.service();
  records = [];
  for (const i of Array.from({ length: 10 }).keys()) {
    records.push(await service.session(`tenant-${i}`).encrypt(PAYLOAD));
  }
  proxy = await DynamoDbProxy.start(world.endpoint);
});
afterEach(async () => {
  await proxy.stop();
  await world.stop();
});

function copy(options: readonly string[], more: Parameters<OperatorFixture['keyfold']>[2] = {}): Promise<CliRun> {
  const operator = OperatorFixture.at(proxy.endpoint);
  return operator.keyfold([...COPY, ...options], {}, more);
}

function importFrom(url: string | undefined): Promise<CliRun> {
  return world.keyfold(['table', 'import'], { DATABASE_URL: url });
}

/** The objects that `--json` prints, one per line. */
function linesOf({ stdout }: CliRun): Record<string, unknown>[] {
  return stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Record<string, unknown>]));
}

/** The rows of a table in DynamoDB's format, sorted. */
async function itemsOf(table: string): Promise<KeyItem[]> {
  const client = new DynamoDBClient({ endpoint: world.endpoint, region: 'us-west-2' });
  const { Items: items = [] } = await client.send(new ScanCommand({ TableName: table }));
  return items.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));
}

async function put(item: KeyItem, table: string): Promise<void> {
  const client = new DynamoDBClient({ endpoint: world.endpoint, region: 'us-west-2' });
  await client.send(new PutItemCommand({ TableName: table, Item: item }));
}

/** The number of records that a cold process can open with the copied table. */
async function opens(): Promise<number> {
  const metastore = new DynamoDbMetastore({ endpoint: world.endpoint, region: 'us-west-2', tableName: NEW });
  const kms = new StaticKms(Buffer.alloc(32, 7), {});
  const keyfold = new SessionFactory({ service: 'orders', product: 'shop', kms, metastore });
  const opened = await Promise.allSettled(records.map((record, i) => keyfold.session(`tenant-${i}`).decrypt(record)));
  return opened.filter(({ status }) => status === 'fulfilled').length;
}

describe('keyfold table copy', () => {
  it('adds every row unchanged, including unknown attributes, unreadable rows and erasure marks', async () => {
    await put({ Id: { S: 'guard' }, Created: { N: '1' }, Anything: { SS: ['a', 'b'] } }, OLD);
    const [item = {}] = await itemsOf(OLD);
    await put({ ...item, Note: { S: 'kept' } }, OLD);
    const erasing = ['partitions', 'erase', 'tenant-7', '--reason', 'x', '--confirm', 'tenant-7'];
    expect((await world.keyfold(erasing, STATIC)).code).toBe(0);
    const run = await copy(['--yes', '--json']);
    const rows = (await itemsOf(OLD)).length;
    expect(linesOf(run)).toEqual([
      { dryRun: false, rows, same: rows, missing: 0, differs: 0, erased: 0, unreadable: 0 },
    ]);
    expect(run.code).toBe(0);
    expect(await itemsOf(NEW)).toEqual(await itemsOf(OLD));
    expect(await opens()).toBe(9);
  });

  it('writes audit lines before and after it adds rows', async () => {
    const { stderr } = await copy(['--yes', '--reason', 'new account']);
    const audit = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const line = {
      action: 'table copy',
      from: `DynamoDB table ${OLD} in us-west-2`,
      table: NEW,
      region: 'us-west-2',
      reason: 'new account',
      dryRun: false,
    };
    expect(audit).toMatchObject([
      { ...line, outcome: 'attempting', missing: 11, added: 0 },
      { ...line, outcome: 'transferred', missing: 0, added: 11 },
    ]);
  });

  it('writes nothing in a dry run, without confirmation, or after any answer but "yes"', async () => {
    const dry = await copy(['--dry-run', '--json']);
    expect([dry.code, linesOf(dry)]).toMatchObject([0, [{ dryRun: true, rows: 11, missing: 11, same: 0 }]]);
    expect(await copy([])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^keyfold: not confirmed: nothing was written; --yes goes ahead$/m) as string,
    });
    const questions: string[] = [];
    const asked = (answer: string) => (question: string) => (questions.push(question), Promise.resolve(answer));
    expect((await copy([], { ask: asked('no') })).code).toBe(1);
    expect(await itemsOf(NEW)).toEqual([]);
    expect((await copy([], { ask: asked('yes') })).code).toBe(0);
    expect(questions).toEqual(['Type yes to add 11 rows: ', 'Type yes to add 11 rows: ']);
    expect(await opens()).toBe(10);
  });

  it('continues where an interrupted run stopped', async () => {
    let puts = 0;
    proxy.faultOf = (call) => {
      if (!call.startsWith('Put')) return undefined;
      puts += 1;
      return puts > 5 ? { kind: 'error', name: 'ResourceNotFoundException', status: 400 } : undefined;
    };
    const broken = await copy(['--yes']);
    expect([broken.code, broken.stderr]).toEqual([1, expect.stringContaining('"outcome":"failed"') as string]);
    expect((await itemsOf(NEW)).length).toBe(5);
    proxy.faultOf = () => undefined;
    proxy.calls = [];
    expect((await copy(['--yes'])).code).toBe(0);
    expect(proxy.calls.filter((call) => call.startsWith('Put'))).toHaveLength(6);
    expect(await opens()).toBe(10);
  });

  it('overwrites no row, and names each row that differs', async () => {
    await copy(['--yes']);
    const { id, created } = records[0]?.key.parent ?? { id: '', created: 0 };
    const at = (name: string): KeyItem => ({ Id: { S: name }, Created: { N: String(created) } });
    const own = (await itemsOf(OLD)).find((item) => item['Id']?.S === id) ?? {};
    const record = own['KeyRecord']?.M ?? {};
    const others: readonly KeyItem[] = [
      { ...own, KeyRecord: { M: { ...record, Key: { S: Buffer.alloc(60).toString('base64') } } } },
      {
        ...own,
        KeyRecord: { M: { ...record, ParentKeyMeta: { M: { KeyId: { S: '_SK_x' }, Created: { N: '60' } } } } },
      },
      { ...own, Proof: { B: new Uint8Array(32) } },
      { ...own, KeyRecord: { S: 'x' } },
      { ...own, KeyRecord: { M: { ...record, Revoked: { BOOL: true } } } },
    ];
    const found: unknown[] = [];
    for (const item of others) {
      await put(item, NEW);
      const run = await copy(['--yes', '--json']);
      found.push([run.code, ...linesOf(run).slice(0, -1)]);
      expect((await itemsOf(NEW)).find((row) => row['Id']?.S === id)).toEqual(item);
    }
    const differs = (why: string) => [1, { id, created, outcome: 'differs', why }];
    // The last copy succeeds, because a key that is revoked only in the target may stay revoked there.
    expect(found).toEqual([
      differs('its key differs'),
      differs('its System Key differs'),
      differs('its proof differs'),
      differs('one of the two rows is unreadable'),
      [0],
    ]);
    await put(own, NEW);
    await put({ ...own, KeyRecord: { M: { ...record, Revoked: { BOOL: true } } } }, OLD);
    expect(linesOf(await copy(['--json']))[0]).toEqual(differs('it is revoked in the source only')[1]);
    expect((await copy([])).stdout).toContain(`differs     ${id}`);
    await put({ ...at(id), ...own, Erased: { M: {} } }, OLD);
    expect(linesOf(await copy(['--json']))[0]).toMatchObject({ why: 'its mark of an erasure differs' });
  });

  it('does not bring back the keys of a partition that is erased in the target', async () => {
    await copy(['--yes']);
    const erasing = ['partitions', 'erase', 'tenant-7', '--reason', 'x', '--confirm', 'tenant-7', '--table', NEW];
    expect((await world.keyfold(erasing, STATIC)).code).toBe(0);
    world.clock.advance(8 * 86_400_000);
    expect((await world.keyfold([...erasing, '--finish'], STATIC)).code).toBe(0);
    const rows = await itemsOf(NEW);
    const run = await copy(['--yes', '--json']);
    expect(linesOf(run)).toMatchObject([
      { id: '_IK_tenant-7_orders_shop', outcome: 'erased', why: 'the partition is erased in the target' },
      { rows: 11, same: 10, erased: 1 },
    ]);
    expect(run.code).toBe(1);
    expect(await itemsOf(NEW)).toEqual(rows);
  });

  it('does not overwrite a row that another process adds during the copy', async () => {
    const [first = {}] = await itemsOf(OLD);
    const theirs = { ...first, KeyRecord: { M: { ...first['KeyRecord']?.M, Key: { S: 'AAAA' } } } };
    let isOvertaken = false;
    proxy.faultOf = (call) => {
      if (isOvertaken || !call.startsWith('Put')) return undefined;
      isOvertaken = true;
      return { kind: 'overtaken', by: () => put(theirs, NEW) };
    };
    const run = await copy(['--yes', '--json']);
    expect([run.code, linesOf(run)[0]]).toMatchObject([1, { outcome: 'differs', why: 'its key differs' }]);
    expect(await itemsOf(NEW)).toContainEqual(theirs);
  });

  it('refuses to copy a table to itself, and names a missing table in its error', async () => {
    const self = await copy(['--table', OLD]);
    expect([self.code, self.stderr]).toEqual([2, 'keyfold: The table cannot be copied to itself.\n']);
    const absent = await copy(['--from', 'NoSuchTable']);
    expect([absent.code, absent.stderr]).toEqual([1, expect.stringContaining('NoSuchTable') as string]);
  });

  it('does not read a table in another region at the AWS endpoint of the key table', async () => {
    const opened: unknown[] = [];
    const openCopy: CliDependencies['openCopy'] = (source, target) => {
      opened.push(source, target);
      throw new Error('enough');
    };
    Object.assign(world.adapters, { openCopy });
    const endpoint = 'https://vpce-1.dynamodb.us-west-2.vpce.amazonaws.com';
    const place = ['--region', 'us-west-2', '--endpoint', endpoint];
    await world.keyfold([...COPY, ...place]);
    await world.keyfold([...COPY, ...place, '--from-region', 'us-east-1']);
    const target = { tableName: NEW, region: 'us-west-2', endpoint };
    expect(opened).toEqual([{ ...target, tableName: OLD }, target, { tableName: OLD, region: 'us-east-1' }, target]);
  });

  it('imports the rows of the database that DATABASE_URL names, and closes its connections', async () => {
    const calls: string[] = [];
    const openImport: CliDependencies['openImport'] = async (url, target) => {
      calls.push(url);
      const transfer = operatorAdapters.openCopy({ ...target, tableName: OLD }, target);
      transfer.close = async () => void calls.push('closed');
      return transfer;
    };
    Object.assign(world.adapters, { openImport });
    const args = ['table', 'import', '--table', NEW, '--yes', '--reason', 'move'];
    const run = await world.keyfold(args, { DATABASE_URL: 'postgres://u@h/d' });
    expect([run.code, calls]).toEqual([0, ['postgres://u@h/d', 'closed']]);
    expect(await itemsOf(NEW)).toEqual(await itemsOf(OLD));
    const [attempting, transferred] = run.stderr.split('\n').map((line) => JSON.parse(line || '{}') as unknown);
    const audited = { action: 'table import', reason: 'move', table: NEW };
    expect([attempting, transferred]).toMatchObject([
      { ...audited, outcome: 'attempting', missing: 11, added: 0 },
      { ...audited, outcome: 'transferred', missing: 0, added: 11 },
    ]);
  });

  it('fails if DATABASE_URL is missing or names no SQL database, and does not show its value', async () => {
    expect(await importFrom(undefined)).toMatchObject({ code: 2, stderr: expect.stringContaining('set DATABASE_URL') });
    for (const url of ['postgres://', 'sqlite://u:secret@h/d', 'u:secret@h', 'https://u:secret@h']) {
      const { code, stderr } = await importFrom(url);
      expect([code, stderr]).toEqual([2, expect.stringContaining('DATABASE_URL must begin with postgres://')]);
      expect(stderr).not.toContain('secret');
    }
  });
});
