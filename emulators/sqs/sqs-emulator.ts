import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { readBody } from '../http-body.ts';
import { close, listen } from '../listen.ts';
import { ACTIONS } from './actions.ts';
import { Input } from './input.ts';
import { errorToXml, queryCode, readForm, toXml } from './query-protocol.ts';
import type { QueueAttributes } from './queue-attributes.ts';
import { QueueStore } from './queue-store.ts';
import { invalid, SqsError } from './sqs-error.ts';

/** A running emulator of Amazon SQS. */
export interface SqsEmulator {
  readonly endpoint: string;
  /**
   * Creates a queue unless it exists. If the name ends in `.fifo`, the queue is a FIFO queue. Returns its URL and ARN.
   */
  ensureQueue(name: string, attributes?: QueueAttributes): { queueUrl: string; queueArn: string };
  /** Stops the emulator at once and closes all connections, including long polls. */
  readonly close: () => Promise<void>;
}

interface Options {
  /** The port to listen on. If it is 0 or in use, the emulator listens on a free port. The default is 0. */
  readonly port?: number;
  /** Called at the start of each SQS call with its action and the name of its queue. */
  readonly onCall?: (action: string, queue: string) => void;
}

const MAX_BODY_BYTES = 8 * 1024 * 1024;
const TARGET = /^AmazonSQS\.(\w+)$/;

const SERIALIZATION = 'SerializationException';
const JSON_1_0 = 'application/x-amz-json-1.0';
const XML = 'text/xml';

/**
 * Starts an SQS emulator on 127.0.0.1. It speaks the JSON protocol and the older query protocol of SQS. It responds in
 * JSON to a form or query without a signature (`Action=SendMessage&…`, as from curl). Use it only for tests and local
 * runs: messages are in memory, and signatures are not checked.
 */
export async function startSqsEmulator({ port = 0, onCall }: Options = {}): Promise<SqsEmulator> {
  const store = new QueueStore();
  const server = createServer((request, response) => {
    answer(store, request, response, onCall).catch(() => response.destroy());
  });
  store.endpoint = `http://127.0.0.1:${await listen(server, port)}`;
  return {
    endpoint: store.endpoint,
    ensureQueue: (name, attributes = {}) => {
      const queue = store.create(name, { ...(name.endsWith('.fifo') && { FifoQueue: 'true' }), ...attributes });
      return { queueUrl: store.urlOf(queue), queueArn: queue.arn };
    },
    close: () => close(server),
  };
}

async function answer(
  store: QueueStore,
  request: IncomingMessage,
  response: ServerResponse,
  onCall: Options['onCall'],
): Promise<void> {
  const requestId = randomUUID();
  response.setHeader('x-amzn-requestid', requestId);
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const readsXml = request.headers['x-amz-target'] === undefined && request.headers.authorization !== undefined;
  try {
    const bytes = await readBody(request, MAX_BODY_BYTES);
    if (bytes === undefined) {
      response.setHeader('connection', 'close');
      throw invalid('The request is too long.');
    }
    const { action, members } = readRequest(request, bytes.toString('utf8'));
    const { QueueName, QueueUrl = '' } = members as { QueueName?: string; QueueUrl?: string };
    onCall?.(action, QueueName ?? QueueUrl.replace(/^.*\//, ''));
    const known = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
    if (known === undefined) throw new SqsError('UnknownOperationException', `The action '${action}' is not emulated`);
    const answered = await known.perform(store, new Input(members, known.members), gone.signal);
    if (readsXml) send(response, 200, XML, toXml(action, answered, requestId));
    else send(response, 200, JSON_1_0, JSON.stringify(answered));
  } catch (error) {
    if (!(error instanceof SqsError)) throw error;
    if (readsXml) {
      send(response, 400, XML, errorToXml(error, requestId));
      return;
    }
    response.setHeader('x-amzn-query-error', `${queryCode(error)};Sender`);
    const namespace = error.type === SERIALIZATION ? 'com.amazon.coral.service' : 'com.amazonaws.sqs';
    const body = { __type: `${namespace}#${error.type}`, message: error.message };
    send(response, 400, JSON_1_0, JSON.stringify(body));
  }
}

/** Makes the error for a body that AWS cannot read. AWS returns it before the request reaches SQS. */
function serialization(message: string): SqsError {
  return new SqsError(SERIALIZATION, message);
}

/**
 * Reads the action and the members of a request. If no member is named `QueueUrl`, the path of the request names the
 * queue.
 */
function readRequest({ url = '/', headers }: IncomingMessage, body: string): { action: string; members: object } {
  const { pathname, searchParams } = new URL(url, 'http://127.0.0.1');
  const queue = pathname === '/' ? {} : { QueueUrl: pathname };
  const target = headers['x-amz-target'];
  if (target !== undefined) {
    return { action: TARGET.exec(String(target))?.[1] ?? '', members: { ...queue, ...parse(body) } };
  }
  const form = new URLSearchParams([...searchParams, ...new URLSearchParams(body)]);
  const { Action: action = '', Version: _, ...members } = readForm(form);
  return { action: String(action), members: { ...queue, ...members } };
}

function parse(body: string): object {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    throw serialization('The body is not JSON');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw serialization('The body is not a JSON object');
  return parsed;
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type }).end(body);
}
