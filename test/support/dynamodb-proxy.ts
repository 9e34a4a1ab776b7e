import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { readBody } from '../../emulators/http-body.ts';
import { close, listen } from '../../emulators/listen.ts';

/** The fault to inject into one call. With some of these faults, the emulator still carries out the call. */
export type DynamoDbFault =
  /** The connection ends before any response. */
  | { readonly kind: 'refuse' }
  | { readonly kind: 'hang' }
  /** The response begins but never ends. */
  | { readonly kind: 'stall' }
  | { readonly kind: 'garbage' }
  | { readonly kind: 'error'; readonly name: string; readonly status: number }
  /** The emulator carries out the call. Then the connection ends or hangs, so the caller gets no response. */
  | { readonly kind: 'answer lost' }
  | { readonly kind: 'answer held back' }
  /** The proxy runs `by`, which plays the part of another process, before it passes the call to the emulator. */
  | { readonly kind: 'overtaken'; readonly by: () => Promise<unknown> }
  /** The proxy changes the text of the emulator's response, and sends these headers with it. */
  | {
      readonly kind: 'edited';
      readonly edit: (answer: string) => string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** The proxy itself responds, because the emulator does not support the action. */
  | { readonly kind: 'answered'; readonly answer: object; readonly headers?: Readonly<Record<string, string>> };

/** Returns the fault for a call such as `Put SK`. Undefined for no fault. */
export type FaultOf = (call: string) => DynamoDbFault | undefined;

const MAX_BODY_BYTES = 1024 * 1024;
const JSON_TYPE = { 'content-type': 'application/x-amz-json-1.0' };

/** A proxy in front of a DynamoDB emulator. It records the calls, and causes faults that the emulator cannot cause. */
export class DynamoDbProxy {
  faultOf: FaultOf = () => undefined;
  /** Returns a response to an action that the emulator does not support, such as `ListBackups`. */
  answerOf: (action: string) => object | undefined = () => undefined;
  /** The calls so far, oldest first: `Query IK`, `Get SK`, `Put IK`. */
  calls: string[] = [];
  /** The key id of each call. */
  ids: string[] = [];
  /** The table of each call. */
  tables: string[] = [];
  readonly endpoint: string;
  readonly stop: () => Promise<void>;

  private constructor(endpoint: string, stop: () => Promise<void>) {
    this.endpoint = endpoint;
    this.stop = stop;
  }

  static async start(emulator: string): Promise<DynamoDbProxy> {
    const server = createServer((request, response) => {
      proxy.#answer(emulator, request, response).catch(() => response.destroy());
    });
    const port = await listen(server, 0);
    const proxy: DynamoDbProxy = new DynamoDbProxy(`http://127.0.0.1:${port}`, () => close(server));
    return proxy;
  }

  async #answer(emulator: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = (await readBody(request, MAX_BODY_BYTES)) ?? Buffer.alloc(0);
    const id = idOf(body);
    const call = `${actionOf(request)} ${id.startsWith('_SK_') ? 'SK' : 'IK'}`;
    this.calls.push(call);
    this.ids.push(id);
    this.tables.push(tableOf(body));
    const own = this.answerOf(actionOf(request));
    if (own !== undefined) {
      response.writeHead(200, JSON_TYPE).end(JSON.stringify(own));
      return;
    }
    const fault = this.faultOf(call);
    switch (fault?.kind) {
      case 'refuse':
        request.socket.destroy();
        return;
      case 'hang':
        return;
      case 'stall':
        response.writeHead(200, { ...JSON_TYPE, 'content-length': '1000' }).write('{');
        return;
      case 'garbage':
        response.writeHead(200, JSON_TYPE).end('<html>not DynamoDB</html>');
        return;
      case 'error':
        response.writeHead(fault.status, JSON_TYPE).end(JSON.stringify({ __type: fault.name, message: 'asked for' }));
        return;
      case 'answered':
        response.writeHead(200, { ...JSON_TYPE, ...fault.headers }).end(JSON.stringify(fault.answer));
        return;
      case 'overtaken':
        await fault.by();
        break;
      case 'answer lost':
      case 'answer held back':
      case 'edited':
      case undefined:
        break;
    }
    const { status, text } = await forward(emulator, request, body);
    if (fault?.kind === 'answer held back') return;
    if (fault?.kind === 'answer lost') request.socket.destroy();
    else if (fault?.kind === 'edited')
      response.writeHead(status, { ...JSON_TYPE, ...fault.headers }).end(fault.edit(text));
    else response.writeHead(status, JSON_TYPE).end(text);
  }
}

function actionOf({ headers }: IncomingMessage): string {
  return String(headers['x-amz-target']).replace(/^.*\./, '').replace('Item', '');
}

function tableOf(body: Buffer): string {
  return (JSON.parse(body.toString()) as { TableName?: string }).TableName ?? '';
}

/** The partition key of the rows that a call names. */
function idOf(body: Buffer): string {
  const parsed = JSON.parse(body.toString()) as Record<string, Record<string, { S?: string }> | undefined>;
  return (parsed['Item'] ?? parsed['Key'])?.['Id']?.S ?? parsed['ExpressionAttributeValues']?.[':id']?.S ?? '';
}

function forward(
  emulator: string,
  { url, method, headers }: IncomingMessage,
  body: Buffer,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const onward = httpRequest(new URL(url ?? '/', emulator), { method, headers }, (answer) => {
      readBody(answer, MAX_BODY_BYTES).then(
        (bytes) => resolve({ status: answer.statusCode ?? 500, text: bytes?.toString() ?? '' }),
        reject,
      );
    });
    onward.once('error', reject);
    onward.end(body);
  });
}
