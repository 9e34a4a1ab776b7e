import { EventEmitter } from 'node:events';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import {
  CreateTableCommand,
  DynamoDBClient,
  ResourceInUseException,
  type CreateTableCommandInput,
} from '@aws-sdk/client-dynamodb';
import dynalite from 'dynalite';
import type { JournalCall } from './call-journal.ts';
import { watchDynamoDb } from './dynamodb-watch.ts';
import { onlyFromThisMachine, readBody } from '../emulators/http-body.ts';
import { close, listen } from '../emulators/listen.ts';

/** A running DynamoDB emulator. */
export interface LocalDynamoDb {
  readonly endpoint: string;
  readonly close: () => Promise<void>;
}

/**
 * Starts a DynamoDB emulator and creates the key table.
 * @param port the port to listen on. If it is 0 or in use, the emulator listens on a free port.
 * @param dataFolder the folder that keeps the tables across restarts. If undefined, they are in memory.
 * @param onCall called at the end of each call
 */
export async function startDynamoDb(
  tableName: string,
  port: number,
  dataFolder?: string,
  onCall?: (call: JournalCall) => void,
): Promise<LocalDynamoDb> {
  const server = dynalite({ createTableMs: 0, ...(dataFolder === undefined ? {} : { path: dataFolder }) });
  // dynalite would let the web pages of every site read and change the tables.
  const [answer] = server.listeners('request') as RequestListener[];
  const whole = onlyWholeRequests(answer as RequestListener);
  server.removeAllListeners('request').on('request', onlyFromThisMachine(whole));
  if (onCall !== undefined) watchDynamoDb(server, onCall);
  const endpoint = `http://127.0.0.1:${await listen(server, port)}`;
  await createKeyTable(endpoint, tableName);
  return { endpoint, close: () => close(server) };
}

/** DynamoDB's limit for a request. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/**
 * The most nested parentheses in an expression. If an expression has a syntax error, each of them triples the time that
 * dynalite's parser takes.
 */
const MAX_PARENTHESES = 4;

/**
 * Makes a request handler that passes a request to dynalite when its whole body has arrived. By itself, dynalite would
 * end the process if a client left in the middle of a request, or if a request had a `null` that dynalite cannot read.
 */
function onlyWholeRequests(answer: RequestListener): RequestListener {
  return (request, response) => {
    answerWhole(answer, request, response).catch(() => response.destroy());
  };
}

async function answerWhole(answer: RequestListener, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await readBody(request, MAX_BODY_BYTES);
  if (body === undefined) {
    response.writeHead(413, { connection: 'close' }).end();
    return;
  }
  const nested = nestedExpressionIn(body);
  if (nested !== undefined) {
    const message = `Invalid ${nested}: the emulator supports at most ${MAX_PARENTHESES} nested parentheses`;
    refuse(response, { __type: 'com.amazon.coral.validate#ValidationException', message });
    return;
  }
  const { method, url, headers } = request;
  const arrived = Object.assign(new EventEmitter(), { method, url, headers });
  try {
    answer(arrived as IncomingMessage, response);
    arrived.emit('data', body);
    arrived.emit('end');
  } catch {
    refuse(response, { __type: 'com.amazon.coral.service#SerializationException' });
  }
}

function refuse(response: ServerResponse, answer: object): void {
  response.writeHead(400, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(answer));
}

/** The name of a member that is an expression with too many nested parentheses. Undefined if there is none. */
function nestedExpressionIn(body: Buffer): string | undefined {
  try {
    const members = Object.entries(JSON.parse(body.toString()) as Readonly<Record<string, unknown>>);
    return members.find(([name, value]) => name.endsWith('Expression') && isNested(String(value)))?.[0];
  } catch {
    // dynalite refuses a body that is not a JSON object.
    return undefined;
  }
}

function isNested(expression: string): boolean {
  let depth = 0;
  for (const character of expression) {
    if (character === '(') depth += 1;
    if (character === ')') depth -= 1;
    if (depth > MAX_PARENTHESES) return true;
  }
  return false;
}

/** The schema of Asherah's key table, with on-demand billing. */
export const KEY_TABLE: Omit<CreateTableCommandInput, 'TableName'> = {
  BillingMode: 'PAY_PER_REQUEST',
  AttributeDefinitions: [
    { AttributeName: 'Id', AttributeType: 'S' },
    { AttributeName: 'Created', AttributeType: 'N' },
  ],
  KeySchema: [
    { AttributeName: 'Id', KeyType: 'HASH' },
    { AttributeName: 'Created', KeyType: 'RANGE' },
  ],
};

/** Creates the key table if it does not exist. */
export async function createKeyTable(endpoint: string, tableName: string): Promise<void> {
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  const client = new DynamoDBClient({ endpoint, region: 'us-west-2', credentials });
  const command = new CreateTableCommand({ TableName: tableName, ...KEY_TABLE });
  try {
    await client.send(command);
  } catch (error) {
    if (!(error instanceof ResourceInUseException)) throw error;
  } finally {
    client.destroy();
  }
}
