import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { readBody } from '../http-body.ts';
import { close, listen } from '../listen.ts';
import { ACTIONS } from './actions.ts';
import { Input } from './input.ts';
import type { QueueAttributes } from './queue.ts';
import { QueueStore } from './queue-store.ts';
import { invalid, SqsError } from './sqs-error.ts';

/** A running emulator of Amazon SQS. */
export interface SqsEmulator {
  readonly endpoint: string;
  /** Makes sure that there is a queue of that name. */
  ensureQueue(name: string, attributes?: QueueAttributes): { queueUrl: string; queueArn: string };
  /** Ends it at once, with whatever waits. */
  readonly close: () => Promise<void>;
}

interface Options {
  /** The one wished for; a free one is taken where it is in use, or for 0. */
  readonly port?: number;
  /** Is told of each call as it comes: its action, and the queue's name. */
  readonly onCall?: (action: string, queue: string) => void;
}

const LARGEST_BODY_BYTES = 8 * 1024 * 1024;
const TARGET = 'AmazonSQS.';

/**
 * Starts an emulator on 127.0.0.1. It speaks SQS's JSON protocol to the AWS SDK of any language, and takes a form or a query
 * (`Action=SendMessage&…`) from curl. It is for tests and local runs only: messages are in memory, and signatures not checked.
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
  const body = (await readBody(request, LARGEST_BODY_BYTES))?.toString('utf8') ?? '';
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  try {
    const { action, members } = readRequest(request, body);
    const { QueueName, QueueUrl = '' } = members as { QueueName?: string; QueueUrl?: string };
    onCall?.(action, QueueName ?? QueueUrl.replace(/^.*\//, ''));
    const act = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
    if (act === undefined) throw new SqsError('UnknownOperationException', `${action} is not emulated`);
    send(response, 200, await act(store, new Input(members), gone.signal));
  } catch (error) {
    if (!(error instanceof SqsError)) throw error;
    send(response, 400, { __type: `com.amazonaws.sqs#${error.type}`, message: error.message });
  }
}

/** The URL that a request was sent to is the queue's where it names none. */
function readRequest({ url = '/', headers }: IncomingMessage, body: string): { action: string; members: object } {
  const { pathname, searchParams } = new URL(url, 'http://127.0.0.1');
  const target = headers['x-amz-target'];
  if (target !== undefined) {
    return { action: String(target).replace(TARGET, ''), members: { QueueUrl: pathname, ...parse(body) } };
  }
  const form = { ...Object.fromEntries(searchParams), ...Object.fromEntries(new URLSearchParams(body)) };
  const { Action: action = '', ...members } = form;
  return { action, members: { QueueUrl: pathname, ...members } };
}

function parse(body: string): object {
  try {
    return JSON.parse(body) as object;
  } catch {
    throw invalid('The body is no JSON');
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body));
}
