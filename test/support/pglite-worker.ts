/**
 * A process with PostgreSQL in WebAssembly (PGlite) behind a socket, for real drivers. It sends its port to its parent.
 */
import { PGlite } from '@electric-sql/pglite';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';

/** The codes of the messages that may come before a connection has started. */
const SSL_REQUEST = 80_877_103;
const CANCEL_REQUEST = 80_877_102;

const database = await PGlite.create();
let turn: Promise<unknown> = Promise.resolve();
const server = createServer((socket) => {
  socket.on('error', () => {});
  readMessages(socket, (query) => {
    turn = turn.then(async () => socket.write(await database.execProtocolRaw(query))).catch(() => socket.destroy());
  });
});
await once(server.listen(0, '127.0.0.1'), 'listening');
process.once('disconnect', () => process.exit());
process.send?.((server.address() as AddressInfo).port);

/**
 * Calls `send` for the start of a connection and for each whole query. A query consists of several messages, which must
 * stay together, because all connections send their queries to the same session.
 */
function readMessages(socket: Socket, send: (query: Buffer) => void): void {
  let unread = Buffer.alloc(0);
  let query: Buffer[] = [];
  let hasStarted = false;
  socket.on('data', (data) => {
    unread = Buffer.concat([unread, data]);
    for (;;) {
      // The first messages of a connection have no type. A message's length does not count its type.
      const lengthAt = hasStarted ? 1 : 0;
      if (unread.length < lengthAt + 4) return;
      const length = lengthAt + unread.readInt32BE(lengthAt);
      if (unread.length < length) return;
      const message = unread.subarray(0, length);
      unread = unread.subarray(length);
      const type = hasStarted ? message.toString('latin1', 0, 1) : startTypeOf(message);
      if (type === 'SSL') socket.write('N');
      else if (type === 'cancel' || type === 'X') socket.end();
      else query.push(message);
      if (!'start Q S'.split(' ').includes(type)) continue;
      hasStarted = true;
      send(Buffer.concat(query));
      query = [];
    }
  });
}

function startTypeOf(message: Buffer): 'SSL' | 'cancel' | 'start' {
  const code = message.readInt32BE(4);
  if (code === SSL_REQUEST) return 'SSL';
  return code === CANCEL_REQUEST ? 'cancel' : 'start';
}
