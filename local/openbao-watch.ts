import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import type { JournalCall } from './call-journal.ts';

/**
 * Creates an HTTP server that forwards each request to an OpenBao server, and reports the call when it ends. If OpenBao
 * does not respond, this server closes the connection, as if OpenBao had done so.
 * @param url the address of OpenBao
 */
export function watchOpenBao(url: string, note: (call: JournalCall) => void): Server {
  return createServer((request, response) => {
    let outcome = 'given up';
    const breakOff = (): void => {
      if (!response.destroyed) outcome = 'down';
      response.destroy();
    };
    const { method, headers } = request;
    const options = { method, path: request.url, headers: { ...headers, connection: 'close' } };
    const passedOn = httpRequest(url, options, (answer) => {
      const { connection: _, ...kept } = answer.headers;
      const { statusCode = 502 } = answer;
      response.writeHead(statusCode, kept);
      response.once('finish', () => (outcome = statusCode < 300 ? 'ok' : `HTTP ${statusCode}`));
      answer.on('error', breakOff).pipe(response);
    });
    passedOn.on('error', breakOff);
    response.once('close', () => {
      passedOn.destroy();
      note({ service: 'OpenBao', region: null, action: actionOf(request), keyId: null, outcome });
    });
    request.pipe(passedOn);
  });
}

/** The path of a request in the API, such as `transit/encrypt/keyfold`. */
function actionOf({ url = '' }: IncomingMessage): string {
  return url.replace(/^\/v1\//, '').replace(/\?.*$/, '');
}
