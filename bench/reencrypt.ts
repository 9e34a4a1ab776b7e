/**
 * Benchmark section: compares a run of `keyfold reencrypt` with a run that reads and writes the same rows without
 * cryptography.
 */
import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'pg';
import { createKeyTable, startDynamoDb } from '../local/dynamodb.ts';
import { MemoryMetastore, SessionFactory, StaticKms } from '../src/index.ts';
import { Reencryption } from '../src/maintenance/reencryption/reencryption.ts';
import type { Cell, RowSource } from '../src/maintenance/reencryption/rows.ts';
import { Verbs } from '../src/maintenance/reencryption/verbs.ts';
import { dynamoDbClient } from '../src/metastore/dynamodb-client.ts';
import { KeyNaming } from '../src/records/ids.ts';
import { DynamoDbRows } from '../src/rows/dynamodb-rows.ts';
import { JsonLinesRows } from '../src/rows/json-lines.ts';
import { PostgresRows } from '../src/rows/postgres-rows.ts';
import { startPostgres } from '../test/peers/databases.ts';
import { installDebian } from '../test/peers/install.ts';
import { race, timesAsLong } from './compare.ts';
import { SIZES, type Figure, type SectionResult } from './figures.ts';

const NAMES = { service: 'bench', product: 'keyfold' };
const ROWS = { file: 5000, dynamoDb: 500, postgres: 2000 };
const FIELDS = { partition: 'tenant', partitionField: undefined, context: undefined, contextFrom: undefined };
const DAY_MS = 86_400_000;

const nothing = async (): Promise<void> => {};

/** Measures the rate of `reseal`, in rows per second, as a share of the rate without cryptography. */
export async function measureReencrypt(): Promise<SectionResult> {
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local' });
  const keyfold = new SessionFactory({
    ...NAMES,
    metastore: new MemoryMetastore(),
    kms: new StaticKms(randomBytes(32), process.env),
  });
  return { figures: [await ofFile(keyfold), await ofDynamoDb(keyfold), await ofPostgres(keyfold)] };
}

async function ofFile(keyfold: SessionFactory): Promise<Figure> {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-bench-'));
  try {
    const file = join(folder, 'rows.jsonl');
    const lines = [];
    for (let id = 0; id < ROWS.file; id += 1) lines.push(JSON.stringify({ id, card: await recordOf(keyfold) }));
    await writeFile(file, `${lines.join('\n')}\n`);
    let outputs = 0;
    const source = (): RowSource => {
      outputs += 1;
      const output = join(folder, `${outputs}.jsonl`);
      return new JsonLinesRows({ ...FIELDS, file, output, fields: ['card'], idField: 'id' });
    };
    return await figureOf('JSON Lines', ROWS.file, source, keyfold);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function ofDynamoDb(keyfold: SessionFactory): Promise<Figure> {
  const dynamoDb = await startDynamoDb('EncryptionKey', 0);
  try {
    const tableName = 'Cards';
    await createKeyTable(dynamoDb.endpoint, tableName);
    const table = { tableName, region: 'us-west-2', endpoint: dynamoDb.endpoint };
    const { client } = dynamoDbClient(table);
    for (let id = 0; id < ROWS.dynamoDb; id += 1) {
      const Item = { Id: { S: `card-${id}` }, Created: { N: '1' }, Card: { S: await recordOf(keyfold) } };
      await client.send(new PutItemCommand({ TableName: tableName, Item }));
    }
    const options = { table, segment: { index: 0, of: 1 }, readUnits: undefined, writeUnits: undefined };
    const source = (): RowSource => new DynamoDbRows({ ...FIELDS, ...options, fields: ['Card'] }, Date.now);
    return await figureOf('DynamoDB', ROWS.dynamoDb, source, keyfold);
  } finally {
    await dynamoDb.close();
  }
}

async function ofPostgres(keyfold: SessionFactory): Promise<Figure> {
  await installDebian('databases', 'debian-packages.txt');
  const server = await startPostgres();
  const pool = new Pool({
    connectionString: `postgres://keyfold@127.0.0.1:${server.port}/postgres`,
    types: { getTypeParser: () => (text: string) => text },
  });
  try {
    await pool.query('CREATE TABLE cards (id INT PRIMARY KEY, card TEXT)');
    for (let id = 0; id < ROWS.postgres; id += 1)
      await pool.query('INSERT INTO cards VALUES ($1, $2)', [id, await recordOf(keyfold)]);
    const source = (): RowSource => new PostgresRows({ ...FIELDS, table: 'cards', fields: ['card'] }, pool);
    return await figureOf('PostgreSQL', ROWS.postgres, source, keyfold);
  } finally {
    await pool.end();
    await server.stop();
  }
}

function recordOf(keyfold: SessionFactory): Promise<string> {
  return keyfold.session('tenant').encryptText(randomBytes(SIZES['64 B'] / 2).toString('hex'));
}

async function figureOf(name: string, rows: number, source: () => RowSource, keyfold: SessionFactory): Promise<Figure> {
  const options = { verb: 'reseal', form: 'compact', plaintext: 'text', paths: undefined } as const;
  const dependencies = { keyfold, naming: new KeyNaming(NAMES), now: Date.now };
  const run = async (verbs: Pick<Verbs, 'apply'>): Promise<void> => {
    const parts = { source: source(), verbs, quarantine: nothing, save: nothing, now: Date.now };
    const { counts } = await new Reencryption(parts).run();
    if (counts.written !== rows) throw new Error(`${name}: ${JSON.stringify(counts)}`);
  };
  const { reencrypt, copy } = await race(
    {
      // Set the start of the run to tomorrow. Every record is then older than the run, so each pass seals it again.
      reencrypt: () => run(new Verbs(options, dependencies, Date.now() + DAY_MS)),
      copy: () => run({ apply: async ({ cells }) => ({ cells: cells as ReadonlyMap<string, Cell>, keys: [] }) }),
    },
    { rounds: 15, roundMs: 500 },
  );
  const byCpu = timesAsLong(copy, reencrypt, 'cpuMs').value;
  return {
    name: `rows of 64 B in ${name} a second, as a share of a copy's`,
    ...timesAsLong(copy, reencrypt),
    byCpu,
    unit: '×',
  };
}
