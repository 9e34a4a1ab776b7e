import type { IncomingMessage, RequestListener } from 'node:http';

/** Reads the whole body of a request. Undefined if the body is larger than `maxBytes`. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The addresses of this machine that browsers trust, so that they say from which site a request comes. */
const OWN_HOST = /^(?:127\.0\.0\.1|localhost)(?::\d+)?$/;
/** Another address of this machine. With it, browsers say only for POST from which site the request comes. */
const ANY_OWN_HOST = /^0\.0\.0\.0(?::\d+)?$/;

/**
 * Whether a request comes from this machine. The `Host` must be an address of this machine, so that DNS rebinding
 * fails. The `Origin`, if any, must be the same host over HTTP, so that the web page of another site cannot control
 * the local processes. Browsers send no `Origin` for an image, but `Sec-Fetch-Site`.
 */
export function isFromThisMachine({ headers, method }: IncomingMessage): boolean {
  const { host = '', origin = `http://${host}`, 'sec-fetch-site': site = 'none' } = headers;
  const isOwn = OWN_HOST.test(host) || (method === 'POST' && ANY_OWN_HOST.test(host));
  return isOwn && origin === `http://${host}` && (site === 'none' || site === 'same-origin');
}

/**
 * Makes a request handler that refuses requests that are not {@link isFromThisMachine}. Browsers send some requests to
 * other sites without asking first, such as a form, so a web page could otherwise change what an emulator holds.
 */
export function onlyFromThisMachine(answer: RequestListener): RequestListener {
  return (request, response) => {
    if (isFromThisMachine(request)) return answer(request, response);
    response.writeHead(403, { 'content-type': 'application/json', connection: 'close' });
    response.end('{"error":"Only requests from this machine may use the emulator."}');
  };
}
