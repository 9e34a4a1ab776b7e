import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * Makes a server listen on 127.0.0.1. If the port is 0 or in use, the server listens on a free port.
 * @returns the port that the server listens on
 */
export async function listen(server: Server, port: number): Promise<number> {
  try {
    return await bind(server, port);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    return bind(server, 0);
  }
}

function bind(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** Closes a server and all its connections, even those with a request in progress. */
export function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** Finds a free port on this machine. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server, 0);
  await close(server);
  return port;
}
