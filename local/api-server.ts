import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { toEvent } from './api-gateway.ts';
import { readBody } from '../emulators/http-body.ts';
import { answerInvoke } from './lambda-api.ts';
import { FUNCTION_TIMEOUT_MS, type LocalFunction } from './local-function.ts';
import type { PageServer } from './page-server.ts';
import type { AnsweredRequest } from './request-log.ts';

/** The body limit of API Gateway. A larger request gets a response with status 413, and does not reach the function. */
const MAX_BODY_BYTES = 10 * 1024 * 1024;

/**
 * Creates an HTTP server that takes the place of API Gateway. It also serves the page and Lambda's Invoke API.
 * - `POST /local/cold-start` ends the execution environment of every function.
 * - `POST /local/maintenance` invokes the maintenance function, as the daily schedule does.
 * - All other requests become events for the API function.
 * @param invokable the functions that Lambda's Invoke API can invoke, by name
 * @param onAnswer called for each response, except those of the page and of the routes that only the page uses
 */
export function createApiServer(
  api: LocalFunction,
  maintenance: LocalFunction,
  page: PageServer,
  invokable: Readonly<Record<string, LocalFunction>>,
  onAnswer: (answered: AnsweredRequest) => void = () => {},
): Server {
  return createServer((request, response) => {
    // A client may send the whole URL, as it would to a proxy (RFC 9112, 3.2.2).
    request.url = request.url?.replace(/^https?:\/\/[^/?]*\/?/i, '/');
    const startedAtMs = performance.now();
    void answer(api, maintenance, page, invokable, request, response)
      .catch((error: unknown) => {
        const what = `${request.method} ${request.url}`;
        if (!request.complete) return { what, outcome: 'client left' };
        console.error(error);
        if (!response.headersSent) response.writeHead(500, { 'content-type': 'application/json' });
        response.end('{"message":"Internal Server Error"}');
        return { what, outcome: '500' };
      })
      .then((answered) => answered && onAnswer({ ...answered, ms: performance.now() - startedAtMs }));
  });
}

async function answer(
  api: LocalFunction,
  maintenance: LocalFunction,
  page: PageServer,
  invokable: Readonly<Record<string, LocalFunction>>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Omit<AnsweredRequest, 'ms'> | undefined> {
  const invoked = await answerInvoke(invokable, request, response);
  if (invoked !== undefined) return invoked;
  const what = `${request.method} ${request.url}`;
  const body = await readBody(request, MAX_BODY_BYTES);
  if (body === undefined) {
    response.writeHead(413, { 'content-type': 'application/json', connection: 'close' });
    response.end('{"message":"Request Entity Too Large"}');
    return { what, outcome: '413' };
  }
  if (await page(request, body, response)) return undefined;
  if (request.method === 'POST' && request.url === '/local/cold-start') {
    await Promise.all([api, ...Object.values(invokable)].map((one) => one.recycle()));
    response.writeHead(204).end();
    return { what, outcome: '204' };
  }
  if (request.method === 'POST' && request.url === '/local/maintenance') {
    const report = await maintenance.invoke({ source: 'aws.events' }, FUNCTION_TIMEOUT_MS);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(report));
    return { what, outcome: '200' };
  }
  const result = (await api.invoke(toEvent(request, body), FUNCTION_TIMEOUT_MS)) as APIGatewayProxyStructuredResultV2;
  const { statusCode = 200, headers, body: answerBody = '', isBase64Encoded } = result;
  response.writeHead(statusCode, headers as Record<string, string>);
  response.end(isBase64Encoded ? Buffer.from(answerBody, 'base64') : answerBody);
  // The response to a HEAD request has no body.
  const isProblem = statusCode >= 400 && answerBody !== '';
  const { code } = isProblem ? (JSON.parse(answerBody) as { readonly code: string }) : { code: '' };
  return { what, outcome: `${statusCode} ${code}`.trim() };
}
