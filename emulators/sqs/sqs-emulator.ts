import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { onlyFromThisMachine, readBody } from '../http-body.ts';
import { close, listen } from '../listen.ts';
import { ACTIONS } from './actions.ts';
import { Input } from './input.ts';
import { errorToXml, queryCode, readForm, textOf, toXml } from './query-protocol.ts';
import type { QueueAttributes } from './queue-attributes.ts';
import { QueueStore } from './queue-store.ts';
import { invalid, serialization, SqsError } from './sqs-error.ts';

/** A running emulator of Amazon SQS. */
export interface SqsEmulator {
  readonly endpoint: string;
  /**
   * Creates a queue unless it exists. If the name ends in `.fifo`, the queue is a FIFO queue. Returns its URL and ARN.
   */
  ensureQueue(name: string, attributes?: QueueAttributes): { queueUrl: string; queueArn: string };
  /** Stops the emulator immediately and closes all connections, including long polls. */
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

/** The types, in the JSON protocol, of the errors that are common to AWS services. */
const COMMON_TYPES = new Map([
  ['InvalidParameterValue', 'com.amazon.coral.service#InvalidParameterValueException'],
  ['MissingParameter', 'com.amazon.coral.service#MissingRequiredParameterException'],
  ['SerializationException', 'com.amazon.coral.service#SerializationException'],
  ['UnknownOperationException', 'com.amazon.coral.service#UnknownOperationException'],
]);
const JSON_1_0 = 'application/x-amz-json-1.0';
const XML = 'text/xml';

/**
 * Starts an SQS emulator on 127.0.0.1. It speaks the JSON protocol and the older query protocol of SQS. It responds in
 * JSON to a form or query without a signature (`Action=SendMessage&…`, as from curl). Use it only for tests and local
 * runs: messages are in memory, and signatures are not checked.
 */
export async function startSqsEmulator({ port = 0, onCall }: Options = {}): Promise<SqsEmulator> {
  const store = new QueueStore();
  const server = createServer(
    onlyFromThisMachine((request, response) => {
      answer(store, request, response, onCall).catch(() => response.destroy());
    }),
  );
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
    const { action, members } = readRequest(request, bytes);
    const { QueueName, QueueUrl = '' } = members as { QueueName?: unknown; QueueUrl?: unknown };
    onCall?.(action, textOf(QueueName ?? QueueUrl).replace(/^.*\//, ''));
    const known = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
    if (known === undefined) throw new SqsError('UnknownOperationException', `The action '${action}' is not emulated`);
    const answered = await known.perform(store, new Input(members, known.members), gone.signal);
    if (readsXml) send(response, 200, XML, toXml(action, answered, requestId));
    else send(response, 200, JSON_1_0, JSON.stringify(answered));
  } catch (error) {
    if (!(error instanceof SqsError)) throw error;
    if (readsXml) {
      send(response, error.status, XML, errorToXml(error, requestId));
      return;
    }
    response.setHeader('x-amzn-query-error', `${queryCode(error)};Sender`);
    const body = { __type: COMMON_TYPES.get(error.type) ?? `com.amazonaws.sqs#${error.type}`, message: error.message };
    send(response, error.status, JSON_1_0, JSON.stringify(body));
  }
}

/**
 * Reads the action and the members of a request. If no member is named `QueueUrl`, the path of the request names the
 * queue.
 */
function readRequest({ url = '/', headers }: IncomingMessage, body: Buffer): { action: string; members: object } {
  const path = url.replace(/^(?:https?:\/\/[^/]*)?\/?/i, '');
  const { pathname, search } = new URL(`http://127.0.0.1/${path}`);
  const queue = pathname === '/' ? {} : { QueueUrl: pathname };
  const target = headers['x-amz-target'];
  if (target !== undefined) {
    return { action: TARGET.exec(String(target))?.[1] ?? '', members: { ...queue, ...parse(body) } };
  }
  const text = `${search}&${body.toString()}`;
  if (!isUtf8(body) || !isUtf8(percentDecoded(text))) throw invalid('The request is not UTF-8.');
  const { Action: action = '', Version: _, ...members } = readForm(new URLSearchParams(text));
  return { action: textOf(action), members: { ...queue, ...members } };
}

/** The bytes of a query or form, with its percent-encoding decoded. */
function percentDecoded(form: string): Buffer {
  const bytes = Buffer.from(form).toString('latin1');
  return Buffer.from(bytes.replaceAll(/%([\da-f]{2})/gi, byteOf), 'latin1');
}

function byteOf(_: string, hex: string): string {
  return String.fromCharCode(Number.parseInt(hex, 16));
}

function parse(body: Buffer): object {
  if (!isUtf8(body)) throw serialization('The body is not UTF-8');
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString());
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
