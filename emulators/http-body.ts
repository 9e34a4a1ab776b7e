import type { IncomingMessage } from 'node:http';

/** A request's whole body; undefined where it is larger than that. */
export async function readBody(request: IncomingMessage, mostBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > mostBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * Whether a request may control what runs here: one made to this machine by its own name, and not by a web page of
 * elsewhere that happens to be open on it.
 */
export function isFromThisMachine({ headers }: IncomingMessage): boolean {
  const host = headers.host ?? '';
  if (!/^(?:127\.0\.0\.1|localhost)(?::\d+)?$/.test(host)) return false;
  return headers.origin === undefined || headers.origin === `http://${host}`;
}
