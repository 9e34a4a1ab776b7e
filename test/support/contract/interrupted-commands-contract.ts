/**
 * The contract of commands that a signal ends between two writes: what they leave behind, and how the next run
 * continues.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import {
  CreateTableCommand,
  DynamoDBClient,
  paginateScan,
  PutItemCommand,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb';
import { beforeEach, expect, it } from 'vitest';
import { startDynamoDb } from '../../../local/dynamodb.ts';
import { operatorAdapters } from '../../../src/container.ts';
import { cryptoPolicy } from '../../../src/envelope/crypto-policy.ts';
import {
  DynamoDbMetastore,
  encodeCompactRecord,
  SessionFactory,
  StaticKms,
  type EnvelopeKeyRecord,
  type KeyId,
  type Metastore,
} from '../../../src/index.ts';
import { PartitionErasure } from '../../../src/maintenance/partition-erasure.ts';
import type { ErasureTables } from '../../../src/maintenance/erasure-table.ts';
import { decodeCompactRecord } from '../../../src/records/compact-record.ts';
import { TOMBSTONE_CREATED, type EpochSeconds } from '../../../src/records/ids.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { DynamoDbProxy } from '../dynamodb-proxy.ts';
import { codeOf, DAY_MS, noDeadline } from '../fakes.ts';
import { ForgetfulProxy } from '../forgetful-proxy.ts';
import { auditOf, runCommand, runInterrupted, type Watched } from '../interrupted-command.ts';
import { databaseAt, type SqlDatabase } from '../sql-database.ts';

const NAMES = { service: 'orders', product: 'shop' };
const MASTER_KEY = Buffer.alloc(32, 7);
const REGION = 'us-west-2';
const SYSTEM_KEY = '_SK_orders_shop' as KeyId;
const idOf = (partition: string): KeyId => `_IK_${partition}_orders_shop` as KeyId;
/** The number of key rows of the partition that the test erases. */
const KEYS = 20;
/** The number of rows that the tests import or re-encrypt. */
const ROWS = 100;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGKILL'] as const;
const PLAINTEXT = Buffer.from('plaintext');

const AUDIT = ['--audit-file', 'audit'];
const FINISH = ['partitions', 'erase', 'tenant-1', '--finish', '--confirm', 'tenant-1', ...AUDIT];
const IMPORT = ['table', 'import', '--yes', '--json', ...AUDIT];
const REWRAP = [
  '--verb',
  'rewrap',
  '--field',
  'card',
  '--quarantine',
  'bad',
  '--checkpoint',
  'run',
  '--json',
  ...AUDIT,
];

/**
 * The audit lines of an interrupted run. After SIGKILL, the last line is missing, because the process cannot write it.
 */
function auditAfter(signal: NodeJS.Signals, last: object): object[] {
  return signal === 'SIGKILL'
    ? [{ outcome: 'attempting' }]
    : [{ outcome: 'attempting' }, { outcome: 'failed', ...last }];
}

const keyOf = (text: string): number => decodeCompactRecord(text).record.key.parent.created;

/**
 * The expected outcome of a process that a signal has killed. After SIGKILL, stderr is empty, because the process
 * cannot write anything.
 */
function endedBy(signal: NodeJS.Signals, says: string): object {
  const stderr = signal === 'SIGKILL' ? '' : `${says}keyfold: ${signal} ended the run.\n`;
  return { code: null, by: signal, stdout: expect.any(String) as string, stderr };
}

/** A store of rows, and the commands' settings for it. */
interface Place {
  readonly settings: Readonly<Record<string, string>>;
  readonly metastore: Metastore & Pick<DynamoDbMetastore, 'rows'>;
  openErasureTables(): Promise<ErasureTables>;
  /** The source of `keyfold reencrypt`. */
  readonly source: string;
  addCards(cards: ReadonlyMap<string, string>): Promise<void>;
  readCards(): Promise<Map<string, string>>;
  close(): Promise<void>;
}

/** A service process with a cold cache, whose clock is behind by `ageMs`. */
function service(metastore: Metastore, ageMs = 0): SessionFactory {
  const kms = new StaticKms(MASTER_KEY, {});
  return new SessionFactory({ ...NAMES, kms, metastore, now: () => Date.now() - ageMs });
}

async function inDynamoDb(endpoint: string): Promise<Place> {
  const client = new DynamoDBClient({ endpoint, region: REGION });
  const TableName = 'Cards';
  return {
    settings: { KEYFOLD_DYNAMODB_ENDPOINT: endpoint },
    metastore: new DynamoDbMetastore({ endpoint, region: REGION }),
    openErasureTables: async () => operatorAdapters.openErasureTables({ endpoint, region: REGION }, NAMES),
    source: `dynamodb:${TableName}`,
    addCards: async (cards) => {
      const AttributeDefinitions = [{ AttributeName: 'id', AttributeType: 'S' }] as const;
      const KeySchema = [{ AttributeName: 'id', KeyType: 'HASH' }] as const;
      const table = { TableName, AttributeDefinitions: [...AttributeDefinitions], KeySchema: [...KeySchema] };
      await client.send(new CreateTableCommand({ ...table, BillingMode: 'PAY_PER_REQUEST' }));
      await waitUntilTableExists({ client, maxWaitTime: 30, minDelay: 0.05 }, { TableName });
      for (const [id, text] of cards)
        await client.send(new PutItemCommand({ TableName, Item: { id: { S: id }, card: { S: text } } }));
    },
    readCards: async () => {
      const cards = new Map<string, string>();
      for await (const { Items = [] } of paginateScan({ client }, { TableName, ConsistentRead: true }))
        for (const { id, card } of Items) cards.set(id?.S ?? '', card?.S ?? '');
      return cards;
    },
    close: async () => client.destroy(),
  };
}

async function inPostgres(port: number): Promise<Place> {
  const database = databaseAt('PostgreSQL', port);
  const url = `postgres://keyfold@127.0.0.1:${port}/postgres`;
  const { metastore } = database.open();
  const closing: (() => Promise<void>)[] = [() => database.close()];
  await database.createTable();
  return {
    settings: { KEYFOLD_METASTORE_URL: url, DATABASE_URL: url },
    metastore,
    openErasureTables: async () => {
      const { openErasureTables, close } = await operatorAdapters.openDatabase(url, 'KEYFOLD_METASTORE_URL');
      closing.push(close);
      return openErasureTables({}, NAMES);
    },
    source: 'postgres:cards',
    addCards: async (cards) => {
      await database.run('DROP TABLE IF EXISTS cards');
      await database.run('CREATE TABLE cards (id TEXT PRIMARY KEY, card TEXT NOT NULL)');
      await database.run('INSERT INTO cards SELECT key, value FROM jsonb_each_text($1::jsonb)', [
        JSON.stringify(Object.fromEntries(cards)),
      ]);
    },
    readCards: async () => new Map((await database.run('SELECT id, card FROM cards')) as [string, string][]),
    close: async () => void (await Promise.all(closing.map((close) => close()))),
  };
}

/** Reads until two reads agree. A server may still run the last write of a process that was killed. */
async function settled<T>(read: () => Promise<T>): Promise<T> {
  for (let last = await read(); ;) {
    await setTimeout(500);
    const next = await read();
    if (isDeepStrictEqual(last, next)) return next;
    last = next;
  }
}

/** @param openSql returns a running PostgreSQL. If undefined, the key rows and the other rows are in DynamoDB. */
export function interruptedCommandsContract(openSql?: () => SqlDatabase): void {
  let folder: string;
  let place: Place;
  let dynamoDb: DynamoDbProxy;
  /**
   * The server or proxy that receives the commands' writes. `onWrite` is called before each update or deletion of a
   * row.
   */
  let watched: Watched;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keyfold-interrupt-'));
    watched = { onWrite: () => {} };
    const emulator = await startDynamoDb('EncryptionKey', 0);
    dynamoDb = await DynamoDbProxy.start(emulator.endpoint);
    dynamoDb.faultOf = (call) => {
      if (/^(?:Update|Delete|Put)/.test(call)) watched.onWrite();
      return undefined;
    };
    const relay = openSql && (await ForgetfulProxy.start(openSql().port));
    if (relay !== undefined)
      relay.onRequest = (text) => {
        if (/\b(?:UPDATE|DELETE FROM) /.test(text)) watched.onWrite();
      };
    place = await (relay === undefined ? inDynamoDb(dynamoDb.endpoint) : inPostgres(relay.port));
    return async () => {
      await place.close();
      await relay?.stop();
      await dynamoDb.stop();
      await emulator.close();
      await rm(folder, { recursive: true });
    };
  });

  function options(settings = place.settings): { env: NodeJS.ProcessEnv; cwd: string } {
    const env = {
      ...process.env,
      KEYFOLD_SERVICE: NAMES.service,
      KEYFOLD_PRODUCT: NAMES.product,
      KEYFOLD_STATIC_MASTER_KEY_HEX: MASTER_KEY.toString('hex'),
      AWS_REGION: REGION,
      ...settings,
    };
    return { env, cwd: folder };
  }

  const audit = (): Promise<Record<string, unknown>[]> => auditOf(join(folder, 'audit'));

  it.for(SIGNALS)('after %s, partitions erase --finish deletes the remaining rows in the next run', async (signal) => {
    const { metastore } = place;
    // The keys and the erasure are old enough for the keys to be deleted now.
    const old = service(metastore, 10 * DAY_MS);
    const record = await old.session('tenant-1').encrypt(PLAINTEXT);
    const other = await old.session('tenant-10').encrypt(PLAINTEXT);
    const key = (await metastore.loadLatest(idOf('tenant-1'), noDeadline())) as EnvelopeKeyRecord;
    for (let i = 1; i < KEYS; i += 1)
      await metastore.store({ ...key, created: (key.created + 60 * i) as EpochSeconds }, noDeadline());
    const kms = new StaticKms(MASTER_KEY, {});
    const tables = await place.openErasureTables();
    const erasing = { names: NAMES, partition: 'tenant-1', tables, kms, policy: cryptoPolicy() };
    const erasure = new PartitionErasure({ ...erasing, now: () => Date.now() - 2 * DAY_MS });
    await erasure.begin(await erasure.read(), DAY_MS / 1000);
    const others = (): Promise<unknown> =>
      Promise.all([SYSTEM_KEY, idOf('tenant-10')].map((id) => metastore.rows(id, noDeadline())));
    const before = await others();
    const dates = async (): Promise<unknown[]> =>
      (await metastore.rows(idOf('tenant-1'), noDeadline())).map(({ created }) => created);

    const says = 'The step has not ended. Run it again to continue it, or see --status.\n';
    expect(await runInterrupted(FINISH, options(), signal, watched)).toEqual(endedBy(signal, says));
    const left = await settled(dates);
    expect(left[0]).toBe(TOMBSTONE_CREATED);
    expect(left.length).toBeGreaterThan(1);
    expect(left.length).toBeLessThan(KEYS);
    expect(await audit()).toMatchObject(auditAfter(signal, { rows: KEYS }));
    expect(await codeOf(service(metastore).session('tenant-1').decrypt(record))).toBe('PartitionErased');

    expect(await runCommand(FINISH, options())).toMatchObject({ code: 0, stderr: '' });
    expect(await dates()).toEqual([TOMBSTONE_CREATED]);
    expect(await audit()).toMatchObject([
      ...auditAfter(signal, {}),
      { outcome: 'attempting', rows: left.length - 1 },
      { outcome: 'deleted', rows: 0 },
    ]);
    expect(await others()).toEqual(before);
    expect(await service(metastore).session('tenant-10').decrypt(other)).toEqual(PLAINTEXT);
  });

  it.for(SIGNALS)('after %s, keyfold reencrypt continues in the next run, and loses no row', async (signal) => {
    const { metastore, source } = place;
    const session = service(metastore, DAY_MS).session('tenant-1');
    const cards = new Map<string, string>();
    for (let i = 0; i < ROWS; i += 1) {
      const record = await session.encrypt(Buffer.from(`card ${i}`));
      cards.set(String(i), encodeCompactRecord(record, 'bytes') ?? '');
    }
    await place.addCards(cards);
    expect(await runCommand(['keys', 'rotate', '--partition', 'tenant-1'], options())).toMatchObject({ code: 0 });
    const { created } = (await metastore.loadLatest(idOf('tenant-1'), noDeadline())) as EnvelopeKeyRecord;

    const rewrap = ['reencrypt', source, ...REWRAP];
    const interrupted = await runInterrupted([...rewrap, '--rate', '100'], options(), signal, watched);
    expect(interrupted).toEqual(endedBy(signal, ''));
    const half = await settled(() => place.readCards());
    const written = [...half].filter(([id, text]) => text !== cards.get(id));
    expect(written.length).toBeGreaterThan(1);
    expect(written.length).toBeLessThan(ROWS);
    expect(written.filter(([, text]) => keyOf(text) !== created)).toEqual([]);
    const count = written.length;
    expect(await audit()).toMatchObject(auditAfter(signal, { rows: count, written: count, quarantined: 0 }));

    const { code, stdout } = await runCommand(rewrap, options());
    const report = { rows: ROWS, quarantined: 0, skipped: 0, keys: [{ created, records: ROWS }] };
    expect({ code, report: JSON.parse(stdout) as unknown }).toMatchObject({ code: 0, report });
    const fresh = service(metastore).session('tenant-1');
    const after = await place.readCards();
    expect(after.size).toBe(ROWS);
    for (const [id, text] of after) {
      expect(keyOf(text)).toBe(created);
      expect((await fresh.decrypt(decodeCompactRecord(text).record)).toString()).toBe(`card ${id}`);
    }
    const [, ...last] = (await audit()).slice(-2);
    expect(last).toMatchObject([{ outcome: 'done', rows: ROWS }]);
    expect((await readdir(folder)).toSorted()).toEqual(['audit', 'bad']);
    expect(await readFile(join(folder, 'bad'), 'utf8')).toBe('');
  });

  if (openSql === undefined) return;
  it.for(SIGNALS)('after %s, keyfold table import adds the remaining rows in the next run', async (signal) => {
    const records = Array.from({ length: ROWS }, (_, i) => keyRecord(idOf(`tenant-${i % 7}`), 60 * (i + 1)));
    await Promise.all(records.map((record) => place.metastore.store(record, noDeadline())));
    const target = await inDynamoDb(dynamoDb.endpoint);
    const into = options({ DATABASE_URL: place.settings['DATABASE_URL'] ?? '', ...target.settings });
    const present = async (): Promise<EnvelopeKeyRecord[]> => {
      const found = await Promise.all(
        records.map(({ id, created }) => target.metastore.load(id, created, noDeadline())),
      );
      return found.filter((row) => row !== undefined);
    };

    const interrupted = await runInterrupted(IMPORT, into, signal, watched);
    const added = (await settled(present)).length;
    const { stderr, ...ended } = interrupted;
    expect(ended).toEqual({ code: null, by: signal, stdout: '' });
    const says = `Added ${added} of ${ROWS} missing rows.\nkeyfold: ${signal} ended the run.\n`;
    expect(stderr.split('\n').slice(1).join('\n')).toBe(signal === 'SIGKILL' ? '' : says);
    expect(added).toBeGreaterThan(1);
    expect(added).toBeLessThan(ROWS);
    expect(records).toEqual(expect.arrayContaining(await present()));
    expect(await audit()).toMatchObject(auditAfter(signal, { added, missing: ROWS - added }));

    const { code, stdout } = await runCommand(IMPORT, into);
    expect({ code, report: JSON.parse(stdout) as unknown }).toMatchObject({
      code: 0,
      report: { rows: ROWS, same: ROWS },
    });
    expect(await present()).toEqual(records);
    expect(await audit()).toMatchObject([
      ...auditAfter(signal, {}),
      { outcome: 'attempting', missing: ROWS - added },
      { outcome: 'transferred', added: ROWS - added },
    ]);
    await target.close();
  });
}
