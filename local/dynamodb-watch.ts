import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { JournalCall } from './call-journal.ts';

/** The access key id of whoever looks at the table without being part of what is counted. */
export const ONLOOKER = 'onlooker';

/** Tells of every call that reaches a DynamoDB emulator, as soon as it has been answered; not of an onlooker's. */
export function watchDynamoDb(server: Server, note: (call: JournalCall) => void): void {
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { authorization = '', 'x-amz-target': target = '' } = request.headers;
    if (authorization.includes(`Credential=${ONLOOKER}/`)) return;
    const action = String(target).replace(/^.*\./, '');
    const chunks: Buffer[] = [];
    // The emulator reads it, too: each listener is handed every chunk.
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.once('close', () => {
      const keyId = keyIdOf(Buffer.concat(chunks));
      note({ service: 'DynamoDB', region: null, action, keyId, outcome: outcomeOf(response) });
    });
  });
}

/** A key's id wherever the actions that Keyfold calls have it; null for any other call. */
function keyIdOf(body: Buffer): string | null {
  return /"(?:Id|:id)":\{"S":"(_[SI]K_[^"\\]*)"/.exec(body.toString('utf8'))?.[1] ?? null;
}

function outcomeOf({ writableFinished, statusCode }: ServerResponse): string {
  if (!writableFinished) return 'given up';
  return statusCode === 200 ? 'ok' : `HTTP ${statusCode}`;
}
