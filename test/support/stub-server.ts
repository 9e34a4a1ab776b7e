import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { readBody } from '../../emulators/http-body.ts';
import { close, listen } from '../../emulators/listen.ts';

/** How a stub server handles a request: it responds, hangs, or closes the connection before or during the response. */
export type StubAnswer =
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body: string | Uint8Array }
  | 'hang'
  | 'reset'
  | 'stall';

/** A way to handle a request, or a function that chooses one. */
export type AnswerOf = StubAnswer | ((request: StubRequest) => StubAnswer);

/** A received request, with the time of its arrival. */
export interface StubRequest {
  readonly method: string | undefined;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly atMs: number;
}

/**
 * A server for faults that no emulator causes. It handles each request in the next of the given ways, and repeats the
 * last one.
 */
export interface StubServer {
  readonly url: string;
  readonly requests: StubRequest[];
  readonly stop: () => Promise<void>;
}

export async function startStub(...answers: readonly AnswerOf[]): Promise<StubServer> {
  const requests: StubRequest[] = [];
  const server = createServer((request, response) => {
    void readBody(request, 10_000_000).then((body) => {
      const { method, url: path = '', headers } = request;
      const received = { method, path, headers, body: String(body), atMs: performance.now() };
      requests.push(received);
      const answer = answers[Math.min(requests.length, answers.length) - 1] ?? 'reset';
      return respond(response, typeof answer === 'function' ? answer(received) : answer);
    });
  });
  const url = `http://127.0.0.1:${await listen(server, 0)}`;
  return { url, requests, stop: () => close(server) };
}

async function respond(response: ServerResponse, answer: StubAnswer): Promise<void> {
  if (answer === 'hang') return;
  if (answer === 'reset') {
    response.destroy();
    return;
  }
  if (answer === 'stall') {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
    response.write('{"rec');
    await sleep(20);
    response.destroy();
    return;
  }
  response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
  response.end(answer.body);
}
