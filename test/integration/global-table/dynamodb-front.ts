import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { DeleteItemCommand, DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import dynalite from 'dynalite';
import { createKeyTable } from '../../../local/dynamodb.ts';
import { readBody } from '../../../emulators/http-body.ts';
import { close, listen } from '../../../emulators/listen.ts';
import { GlobalTable, type Item, type LinkOptions, type Replica } from './global-table.ts';

/** A DynamoDB endpoint that sees every write, and can replicate tables. */
export interface DynamoDbFront {
  readonly endpoint: string;
  /** Creates two key tables with these names. They are replicas of each other. */
  globalTable(names: readonly [string, string], link: LinkOptions): Promise<GlobalTable>;
  readonly close: () => Promise<void>;
}

/** Maps the name of each replicated table to its pair of replicas and to its position in that pair. */
type Replicated = Map<string, { readonly table: GlobalTable; readonly at: number }>;

/** The members of a write request that the proxy reads. PutItem has an `Item`, and the other writes have a `Key`. */
interface Write {
  readonly TableName: string;
  readonly Item?: Item;
  readonly Key?: Item;
}

export interface Answer {
  readonly done: boolean;
  readonly status: number;
  readonly body: Buffer;
}

const MAX_BODY_BYTES = 1024 * 1024;
const WRITES = /\.(?:PutItem|UpdateItem|DeleteItem)$/;
/** The request headers that the proxy forwards to the emulator. */
const HEADERS = ['authorization', 'content-type', 'x-amz-date', 'x-amz-target'];

/** Starts a DynamoDB emulator on 127.0.0.1 behind a proxy that replicates each write to the other table. */
export async function startDynamoDbFront(): Promise<DynamoDbFront> {
  const [emulator] = dynalite({ createTableMs: 0 }).listeners('request') as [RequestListener];
  const back = createServer(emulator);
  const behind = `http://127.0.0.1:${await listen(back, 0)}`;
  const client = new DynamoDBClient({ endpoint: behind, region: 'us-west-2' });
  const tables: Replicated = new Map();
  const front = createServer((request, response) => {
    if (!WRITES.test(String(request.headers['x-amz-target']))) emulator(request, response);
    else write(behind, tables, request, response).catch(() => response.destroy());
  });
  return {
    endpoint: `http://127.0.0.1:${await listen(front, 0)}`,
    globalTable: async (names, link) => {
      await Promise.all(names.map((name) => createKeyTable(behind, name)));
      const table = new GlobalTable([replica(client, names[0]), replica(client, names[1])], link);
      for (const [at, name] of names.entries()) tables.set(name, { table, at });
      return table;
    },
    close: async () => {
      client.destroy();
      await Promise.all([close(front), close(back)]);
    },
  };
}

async function write(
  behind: string,
  tables: Replicated,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = (await readBody(request, MAX_BODY_BYTES)) ?? Buffer.alloc(0);
  const { TableName, Item: item, Key: key = item } = JSON.parse(body.toString('utf8')) as Write;
  const replicated = tables.get(TableName);
  if (replicated === undefined || key === undefined) throw new RangeError(`${TableName} is not replicated`);
  const { status, body: answer } = await replicated.table.write(replicated.at, key, () => send(behind, request, body));
  response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(answer);
}

/** Forwards a call to the emulator unchanged. */
export async function send(behind: string, { headers }: IncomingMessage, body: Buffer): Promise<Answer> {
  const passed = HEADERS.map((name): [string, string] => [name, String(headers[name])]);
  const answer = await fetch(behind, { method: 'POST', headers: passed, body });
  return { done: answer.ok, status: answer.status, body: Buffer.from(await answer.arrayBuffer()) };
}

function replica(client: DynamoDBClient, TableName: string): Replica {
  return {
    read: async ({ Id, Created }) => {
      if (Id === undefined || Created === undefined) throw new TypeError('the row has no primary key');
      const command = new GetItemCommand({ TableName, Key: { Id, Created }, ConsistentRead: true });
      return (await client.send(command)).Item;
    },
    put: async (Item) => {
      await client.send(new PutItemCommand({ TableName, Item }));
    },
    remove: async ({ Id, Created }) => {
      if (Id === undefined || Created === undefined) throw new TypeError('the row has no primary key');
      await client.send(new DeleteItemCommand({ TableName, Key: { Id, Created } }));
    },
  };
}
