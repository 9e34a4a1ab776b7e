import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { JournalCall } from './call-journal.ts';

/** The access key ID of the page's own DynamoDB client, whose calls are not reported. */
export const ONLOOKER = 'onlooker';

/** Reports each call to a DynamoDB emulator when it ends, except calls with the access key ID `ONLOOKER`. */
export function watchDynamoDb(server: Server, note: (call: JournalCall) => void): void {
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { authorization = '', 'x-amz-target': target = '' } = request.headers;
    if (authorization.includes(`Credential=${ONLOOKER}/`)) return;
    const action = String(target).replace(/^.*\./, '');
    const chunks: Buffer[] = [];
    // The emulator reads the body too, because every `data` listener receives every chunk.
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.once('close', () => {
      const keyId = keyIdOf(Buffer.concat(chunks));
      note({ service: 'DynamoDB', region: null, action, keyId, outcome: outcomeOf(response) });
    });
  });
}

/** Finds the ID of the key row in a request from Keyfold. Null if the request names none. */
function keyIdOf(body: Buffer): string | null {
  return /"(?:Id|:id)":\{"S":"(_[SI]K_[^"\\]*)"/.exec(body.toString('utf8'))?.[1] ?? null;
}

function outcomeOf({ writableFinished, statusCode }: ServerResponse): string {
  if (!writableFinished) return 'given up';
  return statusCode === 200 ? 'ok' : `HTTP ${statusCode}`;
}
