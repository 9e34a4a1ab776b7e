/**
 * Stands in for the program `bao` in development mode. It accepts the requests that set up a transit key and a token,
 * and answers with what it received.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { readBody } from '../../emulators/http-body.ts';
import { StubCluster } from './stub-vault.ts';

const FUNCTION_TOKEN = 'token-of-the-functions';

const port = Number(/-dev-listen-address=127\.0\.0\.1:(\d+)/.exec(process.argv.join(' '))?.[1]);
const rootToken = process.env['BAO_DEV_ROOT_TOKEN_ID'];
const cluster = new StubCluster();
/** The requests that set something up: each one's path and JSON. */
const made: string[] = [];

function answerTo(path: string, body: Record<string, unknown>, token: unknown): [status: number, body?: object] {
  if (path === 'sys/health') return [200, { made, arguments: process.argv.slice(2), home: process.env['HOME'] }];
  const [, action] = /^transit\/(encrypt|decrypt)\/keyfold$/.exec(path) ?? [];
  if (path === 'sys/denied' || (token !== rootToken && (token !== FUNCTION_TOKEN || action === undefined)))
    return [403, { errors: ['denied'] }];
  if (action === 'encrypt') return [200, { data: { ciphertext: cluster.encrypt(String(body['plaintext'])) } }];
  if (action === 'decrypt') return [200, { data: { plaintext: cluster.decrypt(String(body['ciphertext'])) } }];
  made.push(`${path} ${JSON.stringify(body)}`);
  return path === 'auth/token/create' ? [200, { auth: { client_token: FUNCTION_TOKEN } }] : [204];
}

const server = createServer((request, response) => {
  void respond(request, response);
});

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const bytes = await readBody(request, 1_000_000);
  const body = bytes?.length ? (JSON.parse(String(bytes)) as Record<string, unknown>) : {};
  const [status, answer] = answerTo(request.url?.slice('/v1/'.length) ?? '', body, request.headers['x-vault-token']);
  response.writeHead(status).end(answer === undefined ? '' : JSON.stringify(answer));
}

server.listen(port, '127.0.0.1', () => process.stdout.write('Unseal Key: key-of-the-stub\n'));
