import { Agent, createServer, request as send, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { close, listen } from '../../../emulators/listen.ts';

/**
 * When a process can be killed during a request: before the server acts, after it has acted, or after it has responded.
 */
export const MOMENTS = ['before', 'done', 'answered'] as const;

/**
 * The point at which a process is killed: the number of a request, counted from 1, and a moment during that request.
 */
export interface KillPoint {
  readonly request: number;
  readonly moment: (typeof MOMENTS)[number];
}

/** A proxy between a process and the emulators of KMS and DynamoDB. */
export interface Proxy {
  readonly endpoint: string;
  /** The requests so far, in the order of their arrival: `Encrypt us-east-1` for KMS, `PutItem` for DynamoDB. */
  readonly steps: readonly string[];
  /** Waits for requests that the proxy has forwarded, and then stops the proxy. */
  stop(): Promise<void>;
}

const CREDENTIAL_REGION = /Credential=[^/]+\/\d{8}\/([a-z0-9-]+)\//;

/**
 * Starts a proxy that calls `at` before it forwards a request, when the request is done, and after it has answered.
 * If `at` returns `killed`, the proxy drops the request.
 */
export async function startProxy(
  emulators: { readonly kms: string; readonly dynamoDb: string },
  at: (point: KillPoint) => 'killed' | 'alive',
): Promise<Proxy> {
  const agent = new Agent({ keepAlive: true });
  const steps: string[] = [];
  const underWay = new Set<Promise<void>>();

  const pass = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await buffer(request);
    const { service, step } = stepOf(request);
    const number = steps.push(step);
    if (at({ request: number, moment: 'before' }) === 'killed') return;
    const answer = await forward(emulators[service], agent, request, body);
    if (at({ request: number, moment: 'done' }) === 'killed') return;
    response.writeHead(answer.status, answer.headers);
    response.end(answer.body, () => at({ request: number, moment: 'answered' }));
  };

  const server = createServer((request, response) => {
    const passing = pass(request, response)
      .catch(() => void response.destroy())
      .finally(() => underWay.delete(passing));
    underWay.add(passing);
  });
  const endpoint = `http://127.0.0.1:${await listen(server, 0)}`;
  return {
    endpoint,
    steps,
    stop: async () => {
      await Promise.all(underWay);
      await close(server);
      agent.destroy();
    },
  };
}

function stepOf({ headers }: IncomingMessage): { service: 'kms' | 'dynamoDb'; step: string } {
  const [api = '', action = ''] = String(headers['x-amz-target']).split('.');
  if (api.startsWith('DynamoDB')) return { service: 'dynamoDb', step: action };
  const region = CREDENTIAL_REGION.exec(headers.authorization ?? '')?.[1] ?? '';
  return { service: 'kms', step: `${action} ${region}` };
}

async function forward(
  endpoint: string,
  agent: Agent,
  { method = 'POST', url = '/', headers }: IncomingMessage,
  body: Buffer,
): Promise<{ status: number; headers: IncomingMessage['headers']; body: Buffer }> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    send(`${endpoint}${url}`, { method, headers, agent }, resolve).on('error', reject).end(body);
  });
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: await buffer(answer) };
}
