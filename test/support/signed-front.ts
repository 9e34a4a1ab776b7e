import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { close, listen } from '../../emulators/listen.ts';
import { signatureOf } from './signature.ts';

/** A server in front of the local API that checks signatures, as API Gateway's IAM authorizer does. */
export interface SignedFront {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/**
 * Starts a server that forwards signed requests to an API and rejects all other requests with 403.
 * @param secret the secret access key of the only caller
 */
export async function startSignedFront(apiUrl: string, secret: string): Promise<SignedFront> {
  const server = createServer((request, response) => void answer(apiUrl, secret, request, response));
  return { url: `http://127.0.0.1:${await listen(server, 0)}`, stop: () => close(server) };
}

async function answer(
  apiUrl: string,
  secret: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method = '', url: path = '', headers } = request;
  const body = await text(request);
  const isSigned =
    headers.authorization?.includes('/us-west-2/execute-api/aws4_request, ') === true &&
    headers.authorization === signatureOf({ method, path, headers, body }, secret);
  if (!isSigned) {
    response.writeHead(403, { 'content-type': 'application/json' }).end('{"message":"Forbidden"}');
    return;
  }
  const passed = await fetch(apiUrl + path, { method, headers: { 'content-type': 'application/json' }, body });
  response.writeHead(passed.status, { 'content-type': passed.headers.get('content-type') ?? '' });
  response.end(await passed.text());
}
