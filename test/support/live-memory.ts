/** Runs the CLI on many rows in a child process, and measures how much memory the process uses. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { close, listen } from '../../emulators/listen.ts';
import { readBody } from '../../emulators/http-body.ts';
import { MemoryMetastore, SessionFactory, StaticKms } from '../../src/index.ts';
import { encodeKeyItem } from '../../src/metastore/dynamodb-item.ts';
import { keyRecord } from '../../src/testing/key-record.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const MIB = 1024 * 1024;
const PAGE_ROWS = 500;
const MASTER = Buffer.alloc(32, 7);
const NAMES = { service: 'orders', product: 'shop' };

/**
 * Collects garbage every 100 milliseconds. At the end, writes to a file the largest amount of memory that was in use
 * after a collection.
 */
const SAMPLER = `
import { writeFileSync } from 'node:fs';
let most = 0;
setInterval(() => {
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  most = Math.max(most, heapUsed + external);
}, 100).unref();
process.on('exit', () => writeFileSync(process.env.LIVE_MEMORY_FILE, String(most)));
`;

/** The memory, in MiB, that `keyfold verify` uses while it opens a file with this number of records. */
export function memoryOfVerify(records: number): Promise<number> {
  return memoryOfRecords(records, (file) => ['verify', file, '--json'], `"opens":${records},`);
}

/** The memory, in MiB, that `keyfold reencrypt` uses while it reseals a file with this number of records. */
export function memoryOfReencrypt(records: number): Promise<number> {
  return memoryOfRecords(records, resealArgsOf, `"written":${records},`);
}

function resealArgsOf(file: string): string[] {
  const [output, quarantine] = [`${file}.new`, `${file}.bad`];
  return ['reencrypt', file, '--verb', 'reseal', '--output', output, '--quarantine', quarantine, '--json'];
}

/** Runs a command on a file with this number of records. Its standard output must contain the expected text. */
function memoryOfRecords(
  records: number,
  argsOf: (file: string) => readonly string[],
  expected: string,
): Promise<number> {
  return inFolder(async (folder) => {
    const metastore = new MemoryMetastore();
    const keyfold = new SessionFactory({ ...NAMES, metastore, kms: new StaticKms(MASTER, {}) });
    const session = keyfold.session('tenant-1');
    const texts = await Promise.all(Array.from({ length: 100 }, () => session.encryptToJson(randomBytes(64))));
    const file = join(folder, 'records.jsonl');
    await writeLines(file, records, (i) => texts[i % texts.length] ?? '');
    const { id, created, parent } = (await metastore.loadLatest('_IK_tenant-1_orders_shop' as never)) ?? {};
    const rows = [await metastore.load(id as never, created as never)];
    rows.push(await metastore.load(parent?.id as never, parent?.created as never));
    const items = rows.flatMap((row) => (row === undefined ? [] : [encodeKeyItem(row)]));
    const server = answering(({ Key: key, ExpressionAttributeValues: values = {} }) => {
      const ids = new Set([key?.Id.S, ...Object.values(values).map(({ S }) => S)]);
      const Item = items.find((item) => ids.has(item['Id']?.S));
      return key === undefined ? { Items: Item === undefined ? [] : [Item] } : { Item };
    });
    // Wait, because a run skips records that were sealed after it began, and the dates of records are in whole seconds.
    await sleep(1000);
    const { mib, stdout } = await runCli(folder, server, argsOf(file));
    if (!stdout.includes(expected)) throw new Error(`the command says ${stdout.slice(0, 200)}`);
    return mib;
  });
}

/**
 * The memory, in MiB, that `keyfold keys list` uses while it lists a table. The table has this number of rows, one for
 * each partition.
 */
export async function memoryOfKeysList(rows: number): Promise<number> {
  return inFolder(async (folder) => {
    const server = answering(({ ExclusiveStartKey: start }) => {
      const first = start === undefined ? 1 : Number(start.Created.N) + 1;
      const last = Math.min(rows, first + PAGE_ROWS - 1);
      const Items = Array.from({ length: last - first + 1 }, (_, i) => {
        return encodeKeyItem(keyRecord(`_IK_tenant-${first + i}_orders_shop`, first + i));
      });
      const { Id, Created } = Items.at(-1) ?? {};
      return { Items, ...(last < rows && { LastEvaluatedKey: { Id, Created } }) };
    });
    const { mib, lines } = await runCli(folder, server, ['keys', 'list', '--all']);
    // The first line has the names of the columns.
    if (lines !== rows + 1) throw new Error(`keys list printed ${lines} lines`);
    return mib;
  });
}

/** The members of a DynamoDB request that name a row. */
interface RowRequest {
  readonly Key?: { readonly Id: { readonly S: string } };
  readonly ExpressionAttributeValues?: Readonly<Record<string, { readonly S?: string }>>;
  readonly ExclusiveStartKey?: { readonly Created: { readonly N: string } };
}

/** A fake DynamoDB that computes its rows, so that the table needs no memory. */
function answering(answerOf: (request: RowRequest) => object): Server {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = String(await readBody(request, MIB));
    response.end(JSON.stringify(answerOf(JSON.parse(body) as RowRequest), bytesAsBase64));
  };
  return createServer((request, response) => void answer(request, response).catch(() => response.destroy()));
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-memory-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function writeLines(file: string, count: number, lineOf: (i: number) => string): Promise<void> {
  const stream = createWriteStream(file);
  for (let i = 0; i < count; i += 1) if (!stream.write(`${lineOf(i)}\n`)) await once(stream, 'drain');
  stream.end();
  await once(stream, 'close');
}

function bytesAsBase64(_key: string, value: unknown): unknown {
  const { type, data } = (value ?? {}) as { readonly type?: unknown; readonly data?: unknown };
  return type === 'Buffer' && Array.isArray(data) ? Buffer.from(data as number[]).toString('base64') : value;
}

async function runCli(
  folder: string,
  dynamoDb: Server,
  args: readonly string[],
): Promise<{ mib: number; stdout: string; lines: number }> {
  const endpoint = `http://127.0.0.1:${await listen(dynamoDb, 0)}`;
  const measured = join(folder, 'memory');
  const sampler = `data:text/javascript,${encodeURIComponent(SAMPLER)}`;
  const child = spawn(process.execPath, ['--expose-gc', '--import', sampler, 'src/cli/main.ts', ...args], {
    cwd: ROOT,
    env: {
      ...process.env,
      KEYFOLD_SERVICE: NAMES.service,
      KEYFOLD_PRODUCT: NAMES.product,
      KEYFOLD_STATIC_MASTER_KEY_HEX: MASTER.toString('hex'),
      KEYFOLD_DYNAMODB_ENDPOINT: endpoint,
      LIVE_MEMORY_FILE: measured,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let [lines, stdout] = [0, ''];
  child.stdout.on('data', (chunk: Buffer) => {
    for (const byte of chunk) if (byte === 0x0a) lines += 1;
    stdout = (stdout + chunk.toString()).slice(-10_000);
  });
  const [code] = (await once(child, 'close')) as [number];
  await close(dynamoDb);
  if (code !== 0) throw new Error(`keyfold ${args.join(' ')} ended with ${code}`);
  return { mib: Number(await readFile(measured, 'utf8')) / MIB, stdout, lines };
}
