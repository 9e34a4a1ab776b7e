import { connect, type AddressInfo, type Socket } from 'node:net';
import { createServer } from 'node:tls';

/** A server's key and certificate in PEM. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** Accepts TLS connections and forwards their content unencrypted to a port on 127.0.0.1. */
export async function startTlsFront(
  upstreamPort: number,
  certificate: Certificate,
): Promise<{ readonly port: number; readonly stop: () => Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer(certificate, (client) => {
    const upstream = connect(upstreamPort, '127.0.0.1');
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.pipe(other);
      socket
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(socket);
          other.destroy();
        });
    }
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const stop = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => void server.close(resolve));
  };
  return { port: (server.address() as AddressInfo).port, stop };
}
